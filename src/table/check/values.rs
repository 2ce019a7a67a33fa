//! The value area for a check: its pages are claimed as the value map has them, the grains of each
//! large record when its slot is met; the values are read later, in the order of the file. In the
//! end every grain of a value page is claimed once or dead, and each page has as many as it says.
//!
//! Memory: a bit for each grain of a group of pages in which one was claimed, 512 bytes for 64 pages
//! of 4 KiB, and two bytes for the count of each value page: 0.25 % of the area.

use std::collections::BTreeMap;
use std::ops::Range;

use super::Checker;
use super::pages::CHUNK_SIZE;
use super::trees::is_in;
use crate::checksum::crc32;
use crate::error::{Fault, Place, Promise};
use crate::hash::hash;
use crate::page::Kind;
use crate::page::record::{GRAIN_SIZE, LargeRecord};
use crate::pager::{LiveCounts, PageSet, WORD_PAGES, counts_of, parts};

/// Large records that are gathered before they are read, 40 bytes each.
const GATHERED_MAX: usize = 1 << 20;
/// Pages whose grains are claimed in one piece of memory.
const GROUP_PAGES: usize = 64;

/// What is known of the value area.
#[derive(Debug, Default)]
pub(super) struct ValueArea {
    live: LiveCounts,
    /// Pages of which the counts could not be read, in order and apart.
    unknown: Vec<Range<u64>>,
    /// Those of them that a record has shown to be value pages.
    adopted: PageSet,
    /// A bit for each grain, by group.
    claimed: BTreeMap<u64, Vec<u64>>,
    /// Large records that are yet to be read.
    gathered: Vec<LargeRecord>,
}

impl Checker<'_> {
    fn grains_per_page(&self) -> u64 {
        self.page_size() as u64 / GRAIN_SIZE
    }

    /// Loads the value map and claims the pages that it says are value pages.
    pub(super) fn load_values(&mut self) {
        let end = self.meta.values.end;
        let len = end.div_ceil(WORD_PAGES).max(1);
        let words = self.load_words(Kind::ValueMap, 0, len, self.meta.values.root);
        let per_page = self.grains_per_page();
        for (index, word) in words.entries() {
            for (page, count) in (index * WORD_PAGES..).zip(counts_of(word)) {
                let place = Place::Page(page);
                if count == 0 {
                    continue;
                }
                if page >= end {
                    self.find(place, Fault::new(Promise::PageRange, end, page));
                    continue;
                }
                if u64::from(count) > per_page {
                    self.find(place, Fault::new(Promise::LiveCount, per_page, count.into()));
                }
                if self.claim(page, place) {
                    self.counts.value_page_count += 1;
                    self.values.live.set(page, count);
                } else {
                    self.lose();
                }
            }
        }
        let pages = |range: Range<u64>| {
            range.start.saturating_mul(WORD_PAGES)..range.end.saturating_mul(WORD_PAGES)
        };
        self.values.unknown = words.unknown.into_iter().map(pages).collect();
        if !self.values.unknown.is_empty() {
            self.lose();
        }
    }

    /// Claims the grains of a large record whose slot is in page `from`. `false` if it does not
    /// have them for itself; it is not read then.
    pub(super) fn claim_large(&mut self, large: LargeRecord, from: u64) -> bool {
        self.counts.value_len += large.len();
        let end = large.end_page(self.page_size());
        if large.len() == 0 || end > self.page_limit {
            let end = end.max(large.first_page(self.page_size()) + 1);
            self.find(Place::Page(from), Fault::new(Promise::PageRange, self.page_limit, end));
            self.lose();
            return false;
        }
        // Claims are kept when a later grain is taken already: so even many large records that
        // overlap cost no more steps than the area has grains.
        for (page, grains) in parts(large.place, large.grain_count(), self.grains_per_page()) {
            if self.values.live.get(page) == 0 && !self.adopt_value_page(page) {
                if !self.may_be_value(page) {
                    self.find(Place::Page(from), Fault::new(Promise::LiveCount, grains, 0));
                }
                self.lose();
                return false;
            }
            let first = large.place.max(page * self.grains_per_page());
            if !self.claim_grains(first, grains) {
                self.find(Place::Page(page), Fault::new(Promise::ValueOverlap, 1, 2));
                self.lose();
                return false;
            }
        }
        if let Some(census) = &mut self.census {
            census.add_large(&large);
        }
        self.values.gathered.push(large);
        if self.values.gathered.len() >= GATHERED_MAX {
            self.check_values();
        }
        true
    }

    /// Whether the page is one of which the value map could not be read.
    pub(super) fn may_be_value(&self, page: u64) -> bool {
        is_in(&self.values.unknown, page)
    }

    /// Takes a record's word for it that a page is a value page, where the value map has none.
    fn adopt_value_page(&mut self, page: u64) -> bool {
        if !self.may_be_value(page) {
            return false;
        }
        if self.values.adopted.contains(page) {
            return true;
        }
        let is_new = self.claim(page, Place::Page(page));
        if is_new {
            self.values.adopted.insert(page);
            self.counts.value_page_count += 1;
        }
        is_new
    }

    /// Claims grains of one page.
    fn claim_grains(&mut self, first: u64, count: u64) -> bool {
        let group_grains = self.grains_per_page() * GROUP_PAGES as u64;
        let words = usize::try_from(group_grains / 64).expect("grains of 64 pages");
        let claimed = self.values.claimed.entry(first / group_grains);
        let claimed = claimed.or_insert_with(|| vec![0; words]);
        (first..first + count).all(|grain| {
            let at = usize::try_from(grain % group_grains / 64).expect("a word of the group");
            let Some(word) = claimed.get_mut(at) else { return false };
            let bit = 1 << (grain % 64);
            let is_free = *word & bit == 0;
            *word |= bit;
            is_free
        })
    }

    /// Reads and checks the large records that were gathered.
    pub(super) fn check_values(&mut self) {
        let mut values = std::mem::take(&mut self.values.gathered);
        values.sort_unstable_by_key(|large| large.place);
        let mut chunk = Vec::new();
        let per_page = self.grains_per_page();
        for large in values {
            let result = self.check_value(&large, &mut chunk);
            let (first, end) =
                (large.first_page(self.page_size()), large.end_page(self.page_size()));
            self.expect(Place::pages(first, end), result);
            let end = large.place + large.grain_count();
            self.advance(end / per_page - large.place / per_page);
        }
    }

    fn check_value(&mut self, large: &LargeRecord, chunk: &mut Vec<u8>) -> Result<(), Fault> {
        let mut offset = large.offset();
        let mut left = large.len();
        let mut checksum = 0;
        while left > 0 {
            let size = usize::try_from(left).unwrap_or(CHUNK_SIZE).min(CHUNK_SIZE);
            chunk.resize(size, 0);
            self.read(offset, chunk)?;
            checksum = crc32(checksum, chunk);
            offset += size as u64;
            left -= size as u64;
        }
        Fault::expect(Promise::ValueChecksum, large.checksum.into(), checksum.into())?;
        if !large.has_long_key() {
            return Ok(());
        }
        let key = self.key_of(large).unwrap_or_default();
        let hash = hash(&key, self.meta.parameters.hash_seed);
        Fault::expect(Promise::RecordPlace, hash, large.hash)
    }

    /// The long key of a large record whose grains are its own.
    pub(super) fn key_of(&mut self, large: &LargeRecord) -> Option<Vec<u8>> {
        let mut key = vec![0; large.key_len.into()];
        self.read(large.offset() + u64::from(large.value_len), &mut key).ok()?;
        Some(key)
    }

    /// Every grain is of one value or dead: each page has as many live ones as its count says.
    pub(super) fn check_live_counts(&mut self) {
        let per_page = self.grains_per_page();
        let values = std::mem::take(&mut self.values);
        for (group, counts) in values.live.stretches(GROUP_PAGES) {
            let claimed = values.claimed.get(&group).map(Vec::as_slice).unwrap_or_default();
            let words = usize::try_from(per_page / 64).expect("words of a page");
            let first = group * GROUP_PAGES as u64;
            for (i, (page, &count)) in (first..).zip(counts).enumerate() {
                let of_page = claimed.iter().skip(i * words).take(words);
                let found: u64 = of_page.map(|word| u64::from(word.count_ones())).sum();
                // What a damaged page leads to was not claimed.
                let is_lost = !self.report.is_complete && found < count.into();
                if is_lost {
                    self.unproven.insert(page);
                } else if found != u64::from(count) {
                    self.find(
                        Place::Page(page),
                        Fault::new(Promise::LiveCount, found, count.into()),
                    );
                }
            }
        }
    }
}
