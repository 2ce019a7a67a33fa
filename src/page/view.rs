//! A page that the writer may be adding to while readers look at it.
//!
//! # Proof
//! 1. Whoever makes a [`View`] promises that its bytes stay allocated for its lifetime (a pin of
//!    the epoch, or a borrow of the map) and that its start is aligned to 8 bytes.
//! 2. Words that the writer may change in a published page are only ever accessed as `AtomicU64`.
//! 3. Bytes outside those words are written before the word that publishes them is stored with
//!    release, and never again while a view may live (I7). [`View::bytes`] is `unsafe` because
//!    only its caller knows that the range was published by a word that it loaded.
//!
//! Knows nothing of what the words mean.
#![allow(unsafe_code, reason = "one of the modules that DESIGN.md names; the proof is above")]

use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

/// Words in a cache line.
pub(crate) const LINE_WORDS: usize = 8;
/// Bytes of a cache line.
pub(crate) const LINE_SIZE: usize = 64;

/// A borrowed page, or several, of which another thread may be changing words.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    start: NonNull<u8>,
    len: usize,
    _life: PhantomData<&'a [AtomicU64]>,
}

// SAFETY: a view is a shared borrow of atomics and of bytes that nobody writes (rules 2 and 3).
unsafe impl Send for View<'_> {}
// SAFETY: as above.
unsafe impl Sync for View<'_> {}

impl<'a> View<'a> {
    /// # Safety
    /// Rules 1 to 3 of the module must hold for `start..start + len` during `'a`.
    #[inline]
    pub(crate) unsafe fn new(start: NonNull<u8>, len: usize) -> View<'a> {
        View { start, len, _life: PhantomData }
    }

    /// Bytes in it.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Its address, for a prefetch.
    #[inline]
    pub(crate) fn start(&self) -> *const u8 {
        self.start.as_ptr()
    }

    #[inline]
    fn atomic(&self, index: usize) -> Option<&'a AtomicU64> {
        if index >= self.len / 8 {
            return None;
        }
        // SAFETY: within the view, by the check above.
        let word = unsafe { self.start.cast::<AtomicU64>().add(index) };
        // SAFETY: rules 1 and 2: allocated, aligned, and only accessed as an atomic.
        Some(unsafe { word.as_ref() })
    }

    /// The word at `8 × index`, and all that its store published.
    #[inline]
    pub(crate) fn word(&self, index: usize) -> Option<u64> {
        Some(u64::from_le(self.atomic(index)?.load(Ordering::Acquire)))
    }

    /// The eight words of the cache line at `64 × index`.
    #[inline]
    pub(crate) fn line(&self, index: usize) -> Option<[u64; LINE_WORDS]> {
        if (index + 1) * LINE_SIZE > self.len {
            return None;
        }
        let mut words = [0; LINE_WORDS];
        for (i, word) in words.iter_mut().enumerate() {
            *word = self.word(index * LINE_WORDS + i)?;
        }
        Some(words)
    }

    /// Stores a word; readers that load it see everything written before.
    ///
    /// Only the writer calls this, and only on a page of its own memory.
    ///
    /// # Safety
    /// The view must be of writable memory, and the word one that is only accessed as an atomic.
    #[inline]
    pub(crate) unsafe fn store_word(&self, index: usize, word: u64) {
        let atomic = self.atomic(index).expect("a word within the page");
        atomic.store(word.to_le(), Ordering::Release);
    }

    /// Writes bytes that no reader can look at yet.
    ///
    /// # Safety
    /// The view must be of writable memory, and no other reference to the range may exist: it is
    /// not yet published.
    #[inline]
    pub(crate) unsafe fn write_bytes(&self, offset: usize, bytes: &[u8]) {
        assert!(offset.checked_add(bytes.len()).is_some_and(|end| end <= self.len));
        // SAFETY: within the view, by the assertion.
        let target = unsafe { self.start.as_ptr().add(offset) };
        // SAFETY: the caller promises that the range is writable and its own alone.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len()) };
    }

    /// `len` bytes at `offset`, or `None` outside the view.
    ///
    /// # Safety
    /// The range must have been published by a word that the caller loaded from this view, or the
    /// whole view must be immutable for `'a`.
    #[inline]
    pub(crate) unsafe fn bytes(&self, offset: usize, len: usize) -> Option<&'a [u8]> {
        if offset.checked_add(len)? > self.len {
            return None;
        }
        // SAFETY: within the view, by the check above.
        let start = unsafe { self.start.as_ptr().add(offset) };
        // SAFETY: rule 3, and the caller's promise: nobody writes these bytes during `'a`.
        Some(unsafe { std::slice::from_raw_parts(start, len) })
    }
}
