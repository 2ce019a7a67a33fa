//! Where the file's pages are while it is open, and how they come to memory.
//!
//! A map is read at random places, so the system is told not to read ahead: a lookup that is not in
//! memory costs one page. Whoever knows more pages that will be wanted asks for them, all at once.
//! What is asked for here is advice: no answer depends on it. Knows nothing of what a page holds.

use std::hint::black_box;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Access, Pin, Shared, Side, Which};
use crate::error::{Error, Result};
use crate::page::LINE_SIZE;
use crate::page::pointer::Pointer;
use crate::storage::map::Use;
use crate::storage::{Map, StorageFile};

/// Where the pages of the file are while it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Residence {
    /// In the system's page cache, as far as they were read. A lookup of a page that is not there
    /// reads that page and no other. The default.
    #[default]
    Mapped,
    /// As `Mapped`, but opening reads the whole file from the device into the page cache, in order and
    /// in huge pages where the file system can (ext4 and xfs of a recent Linux): a lookup is faster
    /// then. What is in the cache already and in nobody's map is dropped before, since pages that
    /// came or were written one by one stay small. Opening takes as long as that; what does not fit,
    /// or is not used for long, leaves again. Where the system offers no such call (outside of Linux,
    /// or before 5.14) it is only asked to read ahead.
    Prefetched,
    /// A copy in memory of one's own, in huge pages: for serving from a file that is only read, on
    /// a machine that has the room. The processor finds the address of a huge page without a walk
    /// through tables in memory, so a lookup is faster than in the page cache. Opening reads the
    /// whole file; the copy stays as long as the handle. A file that is damaged or cut off later
    /// does no harm. Linux with transparent huge pages only.
    HugePages,
}

/// Values of more bytes than this are asked for as a whole before they are read: without reading
/// ahead, each of their pages would be waited for in turn.
const LONG: usize = 16 << 10;
/// Bytes of a value that the processor is asked for at once.
const LINES_LEN: usize = 4096;
/// Bytes that a whole file is asked for at once.
const STEP: usize = 8 << 20;
/// Bytes of a page of the system, or of a part of one.
const BLOCK: usize = 4096;
/// A wave of lookups that took longer waited for the device.
const WAITED: Duration = Duration::from_micros(100);

/// The window that an open file is read through.
pub(super) fn open_map(
    file: &dyn StorageFile,
    path: &Path,
    len: u64,
    residence: Residence,
) -> Result<Map> {
    if residence == Residence::HugePages {
        let copy = Map::in_huge_pages(len, |bytes, offset| file.read_exact_at(bytes, offset));
        return copy.map_err(|e| Error::io("copy to huge pages", path, e));
    }
    if residence == Residence::Prefetched {
        file.drop_cached();
    }
    let map = file.map(len).map_err(|e| Error::io("map", path, e))?;
    if residence == Residence::Prefetched {
        prefetch(&map);
    }
    map.advise(Use::Scattered, (0, map.len()));
    Ok(map)
}

/// Reads all of a file into the system's cache, in huge pages where it has them.
fn prefetch(map: &Map) {
    map.advise(Use::Long, (0, map.len()));
    for start in (0..map.len()).step_by(STEP) {
        let piece = (start, STEP.min(map.len() - start));
        if !map.advise(Use::Now, piece) {
            map.advise(Use::Soon, piece);
        }
    }
}

/// Asks the processor to have bytes of the file ready. By itself it fetches ahead, too, but begins late and
/// stops at the end of each page.
#[inline]
pub(super) fn fetch_lines(map: &Map, (offset, len): (usize, usize)) {
    let len = len.min(LINES_LEN);
    if let Some(view) = map.view(offset, len) {
        (0..len).step_by(LINE_SIZE).for_each(|at| view.prefetch(at));
    }
}

impl Shared {
    /// Whether lookups have lately waited for the device, so that asking ahead pays.
    #[inline]
    pub(crate) fn is_cold(&self) -> bool {
        self.cold.load(Ordering::Relaxed)
    }

    /// Notes how long lookups took until they had their pages.
    #[inline]
    pub(crate) fn note_wait(&self, took: Duration) {
        let cold = took > WAITED && self.is_from_file();
        // Readers share this line: it is written when something changes, and only then.
        if cold != self.cold.load(Ordering::Relaxed) {
            self.cold.store(cold, Ordering::Relaxed);
        }
    }

    /// Whether reading a page may wait for the device within a load of the processor.
    pub(super) fn is_from_file(&self) -> bool {
        self.access == Access::Mapped && self.residence != Residence::HugePages
    }

    /// Asks for the bucket pages of these buckets, neighbours in one go.
    pub(crate) fn ask_for_buckets(
        &self,
        pin: &Pin<'_>,
        side: &Side,
        buckets: impl Iterator<Item = u64>,
    ) {
        if !self.is_from_file() {
            return;
        }
        let page_of = |bucket| Pointer::page_of(side.load(Which::Buckets, bucket));
        let offsets = buckets.filter_map(page_of).map(|page| self.offset_of(page));
        let size = self.parameters.page_size;
        self.ask_for_ranges(self.map.load(pin), offsets.map(|offset| (offset, size)));
    }

    /// Asks for ranges of the file, each a start and a length; neighbours in one go.
    pub(super) fn ask_for_ranges(&self, map: &Map, ranges: impl Iterator<Item = (usize, usize)>) {
        if !self.is_from_file() {
            return;
        }
        let ask = |(start, end): (usize, usize)| {
            map.advise(Use::Soon, (start, end - start));
        };
        let mut run: Option<(usize, usize)> = None;
        for (offset, len) in ranges {
            let end = offset.saturating_add(len);
            run = match run {
                Some((start, last)) if (start..last.saturating_add(BLOCK)).contains(&offset) => {
                    Some((start, last.max(end)))
                }
                other => {
                    other.into_iter().for_each(ask);
                    Some((offset, end))
                }
            };
        }
        run.into_iter().for_each(ask);
    }

    /// Has the bytes of a large record ready before they are read.
    #[inline]
    pub(super) fn fetch_value(&self, map: &Map, (offset, len): (usize, usize)) {
        if len > LONG {
            self.ask_for_ranges(map, std::iter::once((offset, len)));
        }
        fetch_lines(map, (offset, len));
    }

    /// As `fetch_value`, of bytes that may not be in memory: if they are on two pages, both come with
    /// one read.
    #[cold]
    pub(super) fn fetch_cold(&self, map: &Map, (offset, len): (usize, usize)) {
        // Those were asked for as a whole.
        if len > LONG || !self.is_from_file() {
            return;
        }
        if (offset | (BLOCK - 1)) + 1 - offset < len {
            self.ask_for_ranges(map, std::iter::once((offset, len)));
        }
        if let Some(bytes) = map.bytes(offset, len) {
            let started = Instant::now();
            let of_each_block = bytes.iter().step_by(BLOCK).chain(bytes.last());
            black_box(of_each_block.fold(0, |sum, byte| sum ^ byte));
            self.note_wait(started.elapsed());
        }
    }
}
