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
use std::ptr::NonNull;
use std::sync::Arc;

use crate::page::View;

/// A window on the first `len` bytes of a file; cheap to clone.
#[derive(Clone)]
pub(crate) struct Map {
    start: NonNull<u8>,
    len: usize,
    _owner: Arc<dyn Any + Send + Sync>,
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

impl Map {
    /// # Safety
    /// `start..start + len` must be readable for as long as `owner` lives, at the same address,
    /// and be aligned to 8 bytes.
    pub(crate) unsafe fn new(
        start: NonNull<u8>,
        len: usize,
        owner: Arc<dyn Any + Send + Sync>,
    ) -> Map {
        Map { start, len, _owner: owner }
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
