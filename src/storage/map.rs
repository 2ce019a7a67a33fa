//! A read-only window on a file's bytes, raw: no `&[u8]` ever covers it, since the writer of this
//! process writes to the file beneath it. It hands out [`View`]s, whose words are atomic and whose
//! byte slices cover only what is published and hence no longer written (I1, I7).
//!
//! # Proof
//! 1. `start..start + len` stays readable while `owner` lives, and the `Map` holds `owner`.
//! 2. Every store to those bytes while a reader may look at them is to a page that no reader can
//!    reach (I1), made by the writer before it publishes the page with a release store.
//! 3. `view` and `bytes` bound their range by `len`; `view` asks for the alignment that
//!    atomic words need. `bytes` is for pages that are published, so rule 2 covers it.
#![allow(unsafe_code, reason = "one of the modules that DESIGN.md names; the proof is above")]

use std::any::Any;
use std::fs::File;
use std::io;
use std::ptr::NonNull;
use std::sync::Arc;
#[cfg(any(test, feature = "simulation"))]
use std::sync::atomic::AtomicU64;

use memmap2::{MmapOptions, MmapRaw};

use crate::page::View;

/// How the bytes of a window are going to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// At random places: to read ahead would be vain.
    Scattered,
    /// Soon: let the system begin to read them.
    Soon,
    /// Now: let the system read them before the call returns.
    Now,
    /// Long: let the system bring them in huge pages.
    Long,
}

/// A window on the first `len` bytes of a file; cheap to clone.
#[derive(Clone)]
pub(crate) struct Map {
    start: NonNull<u8>,
    len: usize,
    #[cfg_attr(not(unix), allow(dead_code, reason = "it keeps the bytes where they are"))]
    owner: Arc<dyn Any + Send + Sync>,
}

// SAFETY: rules 1 and 2: the bytes are only read, through atomics or once published.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

impl std::fmt::Debug for Map {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Map").field("len", &self.len).finish_non_exhaustive()
    }
}

/// Bytes that are copied at once.
const PIECE: usize = 8 << 20;

fn no_huge_pages() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "this system gives no huge pages")
}

/// An error if the system never gives huge pages for the asking.
fn check_huge_pages() -> io::Result<()> {
    if cfg!(miri) {
        return Ok(());
    }
    let setting = "/sys/kernel/mm/transparent_hugepage/enabled";
    match std::fs::read_to_string(setting) {
        Ok(text) if !text.contains("[never]") => Ok(()),
        _ => Err(no_huge_pages()),
    }
}

impl Map {
    /// # Safety
    /// `start..start + len` must be readable for as long as `owner` lives, at the same address,
    /// and be aligned to 8 bytes.
    pub(crate) unsafe fn new(
        start: NonNull<u8>,
        len: usize,
        owner: Arc<dyn Any + Send + Sync>,
    ) -> Map {
        Map { start, len, owner }
    }

    /// A window on the first `len` bytes of a file, which it must have: what it does not have is
    /// not readable, and touching that is SIGBUS (F9).
    pub(crate) fn of_file(file: &File, len: u64) -> io::Result<Map> {
        let too_long = |_| io::Error::new(io::ErrorKind::OutOfMemory, "larger than memory");
        let len = usize::try_from(len).map_err(too_long)?;
        if len == 0 {
            return Ok(Map::empty());
        }
        if file.metadata()?.len() < len as u64 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file is shorter than what should be mapped",
            ));
        }
        let mapping = Arc::new(MmapOptions::new().len(len).map_raw_read_only(file)?);
        let start = NonNull::new(mapping.as_mut_ptr()).ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: a mapping of `len` bytes starts at a page, does not move, and ends when it is
        // dropped, by its owner.
        Ok(unsafe { Map::new(start, len, mapping) })
    }

    /// A window on the first `len` bytes of words in memory; `None` if there are fewer.
    ///
    /// Whoever shares the words writes to them as atomics only, so rule 2 holds for these too.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn of_words(words: Arc<[AtomicU64]>, len: usize) -> Option<Map> {
        if len > words.len().checked_mul(8)? {
            return None;
        }
        let start = NonNull::from(&*words).cast::<u8>();
        // SAFETY: the words stay where they are while `words` lives, and are aligned to 8 bytes.
        Some(unsafe { Map::new(start, len, Arc::new(words)) })
    }

    /// A window on a copy of the first `len` bytes of a file, in huge pages as far as the system
    /// has them; an error if it never gives any.
    ///
    /// The copy is written here, before anyone else can see it, and never after: rule 2.
    pub(crate) fn in_huge_pages(
        len: u64,
        mut read: impl FnMut(&mut [u8], u64) -> io::Result<()>,
    ) -> io::Result<Map> {
        let too_long = |_| io::Error::new(io::ErrorKind::OutOfMemory, "larger than memory");
        let size = usize::try_from(len).map_err(too_long)?;
        check_huge_pages()?;
        if size == 0 {
            return Ok(Map::empty());
        }
        let mut copy = MmapOptions::new().len(size).map_anon()?;
        #[cfg(target_os = "linux")]
        copy.advise(memmap2::Advice::HugePage).map_err(|_| no_huge_pages())?;
        let mut offset = 0;
        for piece in copy.chunks_mut(PIECE) {
            read(piece, offset)?;
            offset += piece.len() as u64;
        }
        let copy = Arc::new(MmapRaw::from(copy));
        let start = NonNull::new(copy.as_mut_ptr()).ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: a mapping of `size` bytes starts at a page, does not move, and ends when it is
        // dropped, by its owner.
        Ok(unsafe { Map::new(start, size, copy) })
    }

    /// Tells the system how a range (its start and its length) will be used. Advice: without
    /// effect (`false`) where the system does not know it, and on what is not a file's.
    pub(crate) fn advise(&self, usage: Use, (offset, len): (usize, usize)) -> bool {
        let is_inside = offset.checked_add(len).is_some_and(|end| end <= self.len);
        #[cfg(all(unix, not(miri)))]
        if let (true, Some(mapping)) = (is_inside && len > 0, self.owner.downcast_ref::<MmapRaw>())
        {
            let advice = match usage {
                Use::Scattered => memmap2::Advice::Random,
                #[cfg(target_os = "linux")]
                Use::Now => memmap2::Advice::PopulateRead,
                #[cfg(target_os = "linux")]
                Use::Long => memmap2::Advice::HugePage,
                _ => memmap2::Advice::WillNeed,
            };
            return mapping.advise_range(advice, offset, len).is_ok();
        }
        let _ = (usage, is_inside);
        false
    }

    /// A window on nothing.
    fn empty() -> Map {
        let start = NonNull::<u64>::dangling().cast::<u8>();
        // SAFETY: no byte is readable, and the address is aligned to 8 bytes.
        unsafe { Map::new(start, 0, Arc::new(())) }
    }

    /// Whether nobody else has a clone of it, and hence no view.
    #[cfg(feature = "simulation")]
    pub(crate) fn is_unique(&mut self) -> bool {
        Arc::get_mut(&mut self.owner).is_some()
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The `len` bytes at `offset`; `None` outside the window or at an odd address.
    #[inline]
    pub(crate) fn view(&self, offset: usize, len: usize) -> Option<View<'_>> {
        if offset.checked_add(len)? > self.len || !offset.is_multiple_of(8) {
            return None;
        }
        // SAFETY: rule 3: within the window.
        let start = unsafe { self.start.add(offset) };
        // SAFETY: rules 1 and 2; the view's lifetime is that of the borrow of the map.
        Some(unsafe { View::new(start, len) })
    }

    /// The page of this number, where all have so many bytes; `None` outside the window, or if that is
    /// no multiple of 8.
    #[inline]
    pub(crate) fn page(&self, number: u32, size: usize) -> Option<View<'_>> {
        let last = self.len.checked_sub(size)?;
        // A product that wrapped around is a multiple of 8 as well, and looked at as any other.
        let offset = usize::try_from(u64::from(number).wrapping_mul(size as u64)).ok()?;
        if offset > last || !size.is_multiple_of(8) {
            return None;
        }
        // SAFETY: rule 3: within the window.
        let start = unsafe { self.start.add(offset) };
        // SAFETY: rules 1 and 2; the view's lifetime is that of the borrow of the map.
        Some(unsafe { View::new(start, size) })
    }

    /// The `len` bytes at `offset` of a published page or value; `None` outside the window.
    #[inline]
    pub(crate) fn bytes(&self, offset: usize, len: usize) -> Option<&[u8]> {
        if offset.checked_add(len)? > self.len {
            return None;
        }
        // SAFETY: rule 3: within the window.
        let start = unsafe { self.start.add(offset) };
        // SAFETY: rules 1 and 2: readable while `self` is borrowed, and not written meanwhile.
        Some(unsafe { std::slice::from_raw_parts(start.as_ptr(), len) })
    }
}
