//! Which large records were read and found sound, so that their checksums are not computed again on
//! every read: what the words of a directory say of pages, this says of values.
//!
//! A mark for each 512 bytes of the value area, which stands for the record that begins there, and
//! says nothing of one that it does not fit. So the marks take a 128th of the values that are read,
//! in blocks that double and come when a record behind them is noted: a file that grows needs no
//! other table. A record's writer forgets its mark before the record can be found; who notes one
//! holds a pin, so its pages are not reused meanwhile. Knows no bytes.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::page::record::{GRAIN_SIZE, LargeRecord};
use crate::page::{prefetch, zeroed_marks};

/// Grains that one mark is for. Where records are shorter, one takes the mark of another.
const MARK_GRAINS: u64 = MARK_LEN as u64 / GRAIN_SIZE;
/// Bytes behind a mark: a record that is not longer shares pages with the one whose mark it is.
pub(super) const MARK_LEN: usize = 512;
/// Marks of the first block; each further one is as large as all before it, and this many more.
const FIRST_BLOCK: usize = 1 << 10;
const BLOCK_COUNT: usize = 14;
/// Marks of all blocks, for 8 GiB of values: places beyond share them.
const MARKS_MAX: u64 = FIRST_BLOCK as u64 * ((1 << BLOCK_COUNT) - 1);

/// The records that were found sound.
#[derive(Debug, Default)]
pub(super) struct Sound {
    blocks: [OnceLock<Box<[AtomicU32]>>; BLOCK_COUNT],
}

/// What a mark says of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// It was found sound.
    Sound,
    /// Nothing of any record at its place.
    Blank,
    /// Another that shares the mark was: one that begins beside it, or 8 GiB away.
    OfAnother,
}

impl Sound {
    /// What the mark at a record's place says of a record of this place, length and checksum.
    #[inline]
    pub(super) fn look(&self, large: &LargeRecord) -> Mark {
        match self.mark(large).map_or(0, |mark| mark.load(Ordering::Acquire)) {
            0 => Mark::Blank,
            mark if mark == mark_of(large) => Mark::Sound,
            _ => Mark::OfAnother,
        }
    }

    /// Notes a record that was checked under a pin that is still held.
    pub(super) fn note(&self, large: &LargeRecord) {
        let (block, _) = position(large);
        if let Some(slot) = self.blocks.get(block) {
            slot.get_or_init(|| zeroed_marks(FIRST_BLOCK << block));
        }
        self.mark(large).into_iter().for_each(|mark| mark.store(mark_of(large), Ordering::Release));
    }

    /// Forgets what was at a record's place.
    pub(super) fn forget(&self, large: &LargeRecord) {
        self.mark(large).into_iter().for_each(|mark| mark.store(0, Ordering::Release));
    }

    /// Asks the processor to have a record's mark ready.
    #[inline]
    pub(super) fn prefetch(&self, large: &LargeRecord) {
        self.mark(large).into_iter().for_each(|mark| prefetch(mark));
    }

    #[inline]
    fn mark(&self, large: &LargeRecord) -> Option<&AtomicU32> {
        let (block, at) = position(large);
        self.blocks.get(block)?.get()?.get(at)
    }
}

/// The block that a record's mark is in, and its place there.
#[inline]
fn position(large: &LargeRecord) -> (usize, usize) {
    let index = usize::try_from(large.place / MARK_GRAINS % MARKS_MAX).unwrap_or(0);
    let block = (index / FIRST_BLOCK + 1).ilog2() as usize;
    (block, index - FIRST_BLOCK * ((1 << block) - 1))
}

/// Spreads the bits of a number over the upper ones of a word.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// What stands for a record: 31 bits of its place, lengths and checksum, and one, so that it is never
/// 0. A value that rotted is taken for sound if it shares a mark with one that was, and in one of 2^31
/// cases.
#[inline]
fn mark_of(large: &LargeRecord) -> u32 {
    let lens = u64::from(large.key_len) << 32 | u64::from(large.value_len);
    let mixed = (large.place.wrapping_mul(SPREAD) ^ lens).wrapping_mul(SPREAD);
    let mixed = (mixed ^ mixed >> 32 ^ u64::from(large.checksum)).wrapping_mul(SPREAD);
    u32::try_from(mixed >> 32).unwrap_or(u32::MAX) | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn large(place: u64, value_len: u32, checksum: u32) -> LargeRecord {
        LargeRecord { hash: 0, key_len: 3, value_len, place, checksum }
    }

    #[test]
    fn what_was_noted_counts_until_its_place_is_another_s() {
        let sound = Sound::default();
        let noted = large(16, 600, 7);
        assert_eq!(sound.look(&noted), Mark::Blank);
        sound.forget(&noted);
        sound.note(&noted);
        assert_eq!(sound.look(&noted), Mark::Sound);
        let others = [large(17, 600, 7), large(16, 601, 7), large(16, 600, 8)];
        for other in others {
            assert_eq!(sound.look(&other), Mark::OfAnother, "{other:?}");
        }
        assert_eq!(sound.look(&large(24, 600, 7)), Mark::Blank);
        sound.note(&large(24, 600, 7));
        assert_eq!(sound.look(&noted), Mark::Sound, "the next 512 bytes have a mark of their own");
        sound.note(&large(17, 60, 7));
        assert_eq!(sound.look(&noted), Mark::OfAnother, "a short record took its mark");
        sound.note(&noted);
        sound.forget(&large(16, 9, 9));
        assert_eq!(sound.look(&noted), Mark::Blank, "something else is written there");
    }

    #[test]
    fn a_file_may_grow_to_any_size() {
        let sound = Sound::default();
        let step = 8191 * MARK_GRAINS;
        let places: Vec<u64> = (0..1000).map(|i| i * step).collect();
        places.iter().for_each(|&place| sound.note(&large(place, 512, 1)));
        assert!(places.iter().all(|&place| sound.look(&large(place, 512, 1)) == Mark::Sound));
        let end = (1 << 40) - 1;
        sound.note(&large(end, 512, 1));
        assert_eq!(sound.look(&large(end, 512, 1)), Mark::Sound);
        let marks: usize = sound.blocks.iter().filter_map(OnceLock::get).map(|b| b.len()).sum();
        assert!(marks as u64 <= MARKS_MAX);
        let last = position(&large(MARKS_MAX * MARK_GRAINS - 1, 1, 1));
        assert_eq!(last, (BLOCK_COUNT - 1, (FIRST_BLOCK << (BLOCK_COUNT - 1)) - 1));
        assert_eq!(position(&large(MARKS_MAX * MARK_GRAINS, 1, 1)), (0, 0));
    }
}
