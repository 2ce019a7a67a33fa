//! Which large records were read and found sound, so that their checksums are not computed again on
//! every read: what the words of a directory say of pages, this says of values.
//!
//! A table of words, each at the place that a record's first page chooses; a record whose word was
//! taken by another is checked again. Its writer forgets a record's word before the record can be
//! found; who notes one holds a pin, so its pages are not reused meanwhile. Knows no bytes.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::page::record::LargeRecord;
use crate::page::{prefetch, zeroed_words};

/// Words of the table: one for each page of the file, within these.
const WORDS_MIN: u64 = 1 << 10;
const WORDS_MAX: u64 = 1 << 20;

/// The records that were found sound.
#[derive(Debug)]
pub(super) struct Sound {
    words: Box<[AtomicU64]>,
}

impl Sound {
    /// None yet, of a file of about so many pages. The memory comes when it is touched.
    pub(super) fn new(page_count: u64) -> Sound {
        let count = page_count.clamp(WORDS_MIN, WORDS_MAX).next_power_of_two();
        Sound { words: zeroed_words(count) }
    }

    /// Whether a record of this place, length and checksum was noted.
    #[inline]
    pub(super) fn has(&self, large: &LargeRecord) -> bool {
        self.word(large).is_some_and(|word| word.load(Ordering::Acquire) == mark(large))
    }

    /// Notes a record that was checked under a pin that is still held.
    pub(super) fn note(&self, large: &LargeRecord) {
        self.word(large).into_iter().for_each(|word| word.store(mark(large), Ordering::Release));
    }

    /// Forgets what was at a record's place.
    pub(super) fn forget(&self, large: &LargeRecord) {
        self.word(large).into_iter().for_each(|word| word.store(0, Ordering::Release));
    }

    /// Asks the processor to have a record's word ready.
    #[inline]
    pub(super) fn prefetch(&self, large: &LargeRecord) {
        self.word(large).into_iter().for_each(|word| prefetch(word));
    }

    #[inline]
    fn word(&self, large: &LargeRecord) -> Option<&AtomicU64> {
        self.words.get(large.page as usize & (self.words.len() - 1))
    }
}

/// What stands for a record: its first page, and its checksum and length in one.
#[inline]
fn mark(large: &LargeRecord) -> u64 {
    let lens = (u64::from(large.key_len) << 32 | u64::from(large.value_len))
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    u64::from(large.page) << 32 | (u64::from(large.checksum) ^ lens >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn large(page: u32, value_len: u32, checksum: u32) -> LargeRecord {
        LargeRecord { hash: 1, key_len: 3, value_len, page, checksum }
    }

    #[test]
    fn what_was_noted_counts_until_its_place_is_another_s() {
        let sound = Sound::new(0);
        let noted = large(5, 100, 7);
        assert!(!sound.has(&noted));
        sound.note(&noted);
        assert!(sound.has(&noted));
        for other in [large(6, 100, 7), large(5, 101, 7), large(5, 100, 8), large(1029, 100, 7)] {
            assert!(!sound.has(&other), "{other:?}");
        }
        sound.note(&large(1029, 100, 7));
        assert!(!sound.has(&noted), "its word was taken");
        sound.note(&noted);
        sound.forget(&large(5, 9, 9));
        assert!(!sound.has(&noted), "something else is written there");
    }

    #[test]
    fn no_page_count_makes_an_unbounded_table() {
        assert_eq!(Sound::new(u64::MAX).words.len(), 1 << 20);
    }
}
