//! Where the file's pages are while it is open, and how they come to memory.
//!
//! A map is read at random places, so the system is told not to read ahead: a lookup that is not in
//! memory costs one page. Whoever knows more pages that will be wanted asks for them, all at once.
//! What is asked for here is advice: no answer depends on it. Knows nothing of what a page holds.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Access, Pin, Shared, Side, Which};
use crate::error::{Error, Result};
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
    /// As `Mapped`, but opening reads the whole file into the page cache, in order. Opening takes
    /// as long as that; what does not fit, or is not used for long, leaves again. Where the system
    /// offers no such call (outside of Linux, or before 5.14) it is only asked to read ahead.
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
/// Bytes that a whole file is asked for at once.
const STEP: usize = 8 << 20;
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
    let map = file.map(len).map_err(|e| Error::io("map", path, e))?;
    if residence == Residence::Prefetched {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        // The first piece is waited for when the next is already on its way.
        let mut previous = None;
        for start in (0..len).step_by(STEP) {
            let piece = (start, STEP.min(len - start));
            map.advise(Use::Soon, piece);
            if let Some(piece) = previous.replace(piece) {
                map.advise(Use::Now, piece);
            }
        }
        previous.into_iter().for_each(|piece| map.advise(Use::Now, piece));
    }
    map.advise(Use::Scattered, (0, map.len()));
    Ok(map)
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
        let cold = took > WAITED;
        // Readers share this line: it is written when something changes, and only then.
        if cold != self.cold.load(Ordering::Relaxed) {
            self.cold.store(cold && self.is_from_file(), Ordering::Relaxed);
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
        let map = self.map.load(pin);
        let size = self.parameters.page_size;
        let mut run: Option<(usize, usize)> = None;
        for bucket in buckets {
            let word = side.load(Which::Buckets, bucket);
            let (Pointer::Unchecked { page, .. } | Pointer::Checked { page, .. }) =
                Pointer::decode(word)
            else {
                continue;
            };
            let offset = self.offset_of(page);
            run = match run {
                Some((start, len)) if start.saturating_add(len) == offset => {
                    Some((start, len + size))
                }
                other => {
                    other.into_iter().for_each(|run| map.advise(Use::Soon, run));
                    Some((offset, size))
                }
            };
        }
        run.into_iter().for_each(|run| map.advise(Use::Soon, run));
    }

    /// Asks for the bytes behind a large record.
    pub(super) fn ask_for_bytes(&self, map: &Map, offset: usize, len: usize) {
        if self.is_from_file() {
            map.advise(Use::Soon, (offset, len));
        }
    }

    /// As `ask_for_bytes` if there are many.
    #[inline]
    pub(super) fn ask_for_long(&self, map: &Map, offset: usize, len: usize) {
        if len > LONG {
            self.ask_for_bytes(map, offset, len);
        }
    }
}
