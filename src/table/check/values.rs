//! Large records for a check: their pages are claimed when their slot is met, and read later, in
//! the order of the file.

use super::Checker;
use super::pages::CHUNK_SIZE;
use crate::checksum::crc32;
use crate::error::{Fault, Place, Promise};
use crate::hash::hash;
use crate::page::record::LargeRecord;

/// Large records that are gathered before they are read, 32 bytes each.
const GATHERED_MAX: usize = 1 << 20;

/// A large record whose pages are its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct ValueRun(LargeRecord);

impl Checker<'_> {
    /// Claims the pages of a large record whose slot is in page `from`. `false` if it does not
    /// have them for itself; it is not read then.
    pub(super) fn claim_large(&mut self, large: LargeRecord, from: u64) -> bool {
        let count = large.page_count(self.page_size());
        self.counts.value_page_count += count;
        let first = u64::from(large.page);
        if count == 0 || first + count > self.page_limit {
            let end = first + count.max(1);
            self.find(Place::Page(from), Fault::new(Promise::PageRange, self.page_limit, end));
            self.lose();
            return false;
        }
        // Claims are kept when a later page is taken already: so even many large records that
        // overlap cost no more steps than the file has pages (R4).
        if !(first..first + count).all(|page| self.claim(page, Place::Page(from))) {
            self.lose();
            return false;
        }
        if let Some(census) = &mut self.census {
            census.add_large(&large, count);
        }
        self.values.push(ValueRun(large));
        if self.values.len() >= GATHERED_MAX {
            self.check_values();
        }
        true
    }

    /// Reads and checks the large records that were gathered.
    pub(super) fn check_values(&mut self) {
        let mut values = std::mem::take(&mut self.values);
        values.sort_unstable_by_key(|value| value.0.page);
        let mut chunk = Vec::new();
        for ValueRun(large) in values {
            let result = self.check_value(&large, &mut chunk);
            self.expect(Place::Page(large.page.into()), result);
            self.advance(large.page_count(self.page_size()));
        }
    }

    fn check_value(&mut self, large: &LargeRecord, chunk: &mut Vec<u8>) -> Result<(), Fault> {
        let mut offset = self.offset_of(large.page.into());
        let mut left = large.len();
        let mut checksum = 0;
        let mut key_hash = None;
        while left > 0 {
            // A chunk is longer than the longest key.
            let size = usize::try_from(left).unwrap_or(CHUNK_SIZE).min(CHUNK_SIZE);
            chunk.resize(size, 0);
            self.read(offset, chunk)?;
            if key_hash.is_none() {
                let key = chunk.get(..large.key_len.into()).unwrap_or_default();
                key_hash = Some(hash(key, self.meta.parameters.hash_seed));
            }
            checksum = crc32(checksum, chunk);
            offset += size as u64;
            left -= size as u64;
        }
        Fault::expect(Promise::ValueChecksum, large.checksum.into(), checksum.into())?;
        Fault::expect(Promise::RecordPlace, key_hash.unwrap_or_default(), large.hash)
    }

    /// The key of a large record whose pages are its own.
    pub(super) fn key_of(&mut self, large: &LargeRecord) -> Option<Vec<u8>> {
        let mut key = vec![0; large.key_len.into()];
        self.read(self.offset_of(large.page.into()), &mut key).ok()?;
        Some(key)
    }
}
