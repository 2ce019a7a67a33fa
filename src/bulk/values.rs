//! Values of large records, packed as they come: in hash order, into stretches of pages that a thread
//! has for itself.
//!
//! Knows nothing of buckets.

use super::output::Output;
use crate::error::Result;
use crate::page::record::GRAIN_SIZE;
use crate::pager::parts;

/// Bytes of values that are written at once.
const WRITE_LEN: usize = 1 << 20;

/// Where the next value goes, and what is not yet written.
#[derive(Debug, Default)]
pub(super) struct Values {
    /// Grains from here to the end are the thread's own.
    tail: u64,
    end: u64,
    /// The bytes before the tail that are not yet written, and where they begin.
    bytes: Vec<u8>,
    start: u64,
    /// Value pages, and the grains of each that are live.
    pub(super) live: Vec<(u64, u16)>,
}

impl Values {
    /// Adds a value, of two parts; gives its place.
    pub(super) fn append(&mut self, output: &Output<'_>, parts_of: [&[u8]; 2]) -> Result<u64> {
        let len: usize = parts_of.iter().map(|part| part.len()).sum();
        let grains = (len as u64).div_ceil(GRAIN_SIZE);
        let per_page = output.page_size() as u64 / GRAIN_SIZE;
        if self.tail + grains > self.end {
            self.flush(output)?;
            self.give_back(output);
            let run = output.allocate_values(grains.div_ceil(per_page))?;
            (self.tail, self.end) = (run.start * per_page, run.end * per_page);
            self.start = self.tail;
        }
        let place = self.tail;
        self.tail += grains;
        parts_of.iter().for_each(|part| self.bytes.extend_from_slice(part));
        let grain_len = usize::try_from(GRAIN_SIZE).expect("64");
        self.bytes.resize(self.bytes.len().next_multiple_of(grain_len), 0);
        self.count(place, grains, per_page);
        if self.bytes.len() >= WRITE_LEN {
            self.flush(output)?;
        }
        Ok(place)
    }

    fn count(&mut self, place: u64, grains: u64, per_page: u64) {
        for (page, grains) in parts(place, grains, per_page) {
            let grains = u16::try_from(grains).expect("a page has 1024 grains at most");
            match self.live.last_mut() {
                Some((last, count)) if *last == page => *count += grains,
                _ => self.live.push((page, grains)),
            }
        }
    }

    fn flush(&mut self, output: &Output<'_>) -> Result<()> {
        if !self.bytes.is_empty() {
            output.write_at(&self.bytes, self.start * GRAIN_SIZE)?;
            self.bytes.clear();
        }
        self.start = self.tail;
        Ok(())
    }

    /// Pages that no value has begun in are for others.
    fn give_back(&mut self, output: &Output<'_>) {
        let per_page = output.page_size() as u64 / GRAIN_SIZE;
        output.give_back(self.tail.div_ceil(per_page)..self.end / per_page);
        self.end = self.tail;
    }

    /// Everything is written.
    pub(super) fn finish(&mut self, output: &Output<'_>) -> Result<()> {
        self.flush(output)?;
        self.give_back(output);
        Ok(())
    }
}
