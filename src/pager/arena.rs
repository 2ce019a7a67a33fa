//! Memory for pages that a checkpoint has not yet written: *frames*, by number.
//!
//! Blocks of frames double in size, so that a frame's address is found from its number by one
//! table look-up, and a block never moves. Frames go back to a free list when the epoch says that
//! no reader can see them any more.
//!
//! # Proof
//! 1. A block is an anonymous mapping, so zeroed, with a start aligned to the page size within it, and
//!    unmapped only with the arena. The system gives its memory when it is first written: a block is
//!    as large as all before it, and whoever needs its first frame does not wait for the last one.
//! 2. [`Arena::view`] borrows the arena, so a view lives no longer than the block. That the frame
//!    is not recycled meanwhile is the pin's promise (see `epoch`).
//! 3. [`Frames`] is the only maker of [`Frame`]s, there is one of it, and it lends one at a time.
#![allow(unsafe_code, reason = "one of the modules that DESIGN.md names; the proof is above")]

use std::alloc::{Layout as Memory, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use memmap2::{MmapMut, MmapRaw};

use crate::page::{Frame, View};

/// Frames of the first block; each further one is as large as all before it, and one frame more.
const FIRST_BLOCK: usize = 16;
const BLOCK_COUNT: usize = 27;

/// Blocks from here on are asked for in huge pages: fewer faults, and fewer translations for readers.
const HUGE: usize = 2 << 20;

#[derive(Debug)]
struct Block {
    start: NonNull<u8>,
    _memory: MmapRaw,
}

// SAFETY: a block is plain memory; access to it follows the proof above.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

impl Block {
    fn new(size: usize, page_size: usize) -> Block {
        let align = if size > HUGE { HUGE } else { page_size };
        let shape = Memory::from_size_align(size, page_size).expect("a block's layout");
        let memory = MmapMut::map_anon(size + align).unwrap_or_else(|_| handle_alloc_error(shape));
        #[cfg(all(target_os = "linux", not(miri)))]
        if align == HUGE {
            // Advice: a system without huge pages does without.
            let _ = memory.advise(memmap2::Advice::HugePage);
        }
        let memory = MmapRaw::from(memory);
        let first = memory.as_mut_ptr();
        // SAFETY: less than `align` bytes on, so that `size` bytes of the mapping are left.
        let start = unsafe { first.add(first.align_offset(align)) };
        Block {
            start: NonNull::new(start).unwrap_or_else(|| handle_alloc_error(shape)),
            _memory: memory,
        }
    }
}

/// All frames of an index.
#[derive(Debug)]
pub(crate) struct Arena {
    page_size: usize,
    blocks: [OnceLock<Block>; BLOCK_COUNT],
    free: Mutex<Vec<u32>>,
    in_use: AtomicUsize,
}

impl Arena {
    pub(crate) fn new(page_size: usize) -> Arena {
        Arena {
            page_size,
            blocks: std::array::from_fn(|_| OnceLock::new()),
            free: Mutex::default(),
            in_use: AtomicUsize::new(0),
        }
    }

    /// Frames that are not free, those included that wait for readers.
    pub(crate) fn in_use(&self) -> usize {
        self.in_use.load(Ordering::Relaxed)
    }

    /// Takes frames back; no reader can see them.
    pub(crate) fn free(&self, frames: &[u32]) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(frames);
        self.in_use.fetch_sub(frames.len(), Ordering::Relaxed);
    }

    /// A page in memory, for reading.
    #[inline]
    pub(crate) fn view(&self, frame: u32) -> View<'_> {
        // SAFETY: rules 1 and 2.
        unsafe { View::new(self.address(frame), self.page_size) }
    }

    #[inline]
    fn address(&self, frame: u32) -> NonNull<u8> {
        let (block, index) = Arena::place(frame);
        let block = self.blocks.get(block).and_then(OnceLock::get).expect("a frame given out");
        // SAFETY: `index` is below the block's frame count, by construction of `place`.
        unsafe { block.start.add(index * self.page_size) }
    }

    /// Block `b` holds the frames from 16 × (2ᵇ − 1).
    #[inline]
    fn place(frame: u32) -> (usize, usize) {
        let shifted = frame as usize / FIRST_BLOCK + 1;
        let block = shifted.ilog2() as usize;
        (block, frame as usize - FIRST_BLOCK * ((1 << block) - 1))
    }

    fn ensure_block(&self, block: usize) {
        let slot = self.blocks.get(block).expect("fewer frames than page numbers");
        slot.get_or_init(|| Block::new((FIRST_BLOCK << block) * self.page_size, self.page_size));
    }
}

/// What the writer knows of a frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameInfo {
    /// The checkpoint interval in which it was made: older than the current one means frozen.
    pub(crate) born: u32,
    /// Its place in the list of dirty entries.
    pub(crate) dirty_index: u32,
}

/// The writer's side of the arena: gives out frames and lends them for writing.
#[derive(Debug)]
pub(crate) struct Frames {
    arena: Arc<Arena>,
    info: Vec<FrameInfo>,
    /// Freed ones, taken over from the arena in one go.
    free: Vec<u32>,
}

impl Frames {
    pub(crate) fn new(arena: Arc<Arena>) -> Frames {
        Frames { arena, info: Vec::new(), free: Vec::new() }
    }

    /// A frame that nobody uses; its bytes are left from before.
    pub(crate) fn allocate(&mut self, info: FrameInfo) -> u32 {
        if self.free.is_empty() {
            let mut free = self.arena.free.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::swap(&mut self.free, &mut free);
        }
        self.arena.in_use.fetch_add(1, Ordering::Relaxed);
        if let Some(frame) = self.free.pop() {
            *self.info_mut(frame) = info;
            return frame;
        }
        let frame = u32::try_from(self.info.len()).expect("fewer frames than 2³⁰");
        self.arena.ensure_block(Arena::place(frame).0);
        self.info.push(info);
        frame
    }

    /// Gives back a frame that was never published.
    pub(crate) fn give_back(&mut self, frame: u32) {
        self.arena.in_use.fetch_sub(1, Ordering::Relaxed);
        self.free.push(frame);
    }

    pub(crate) fn info(&self, frame: u32) -> FrameInfo {
        *self.info.get(frame as usize).expect("a frame given out")
    }

    pub(crate) fn info_mut(&mut self, frame: u32) -> &mut FrameInfo {
        self.info.get_mut(frame as usize).expect("a frame given out")
    }

    /// The frame, for writing.
    pub(crate) fn edit(&mut self, frame: u32) -> Frame<'_> {
        // SAFETY: rules 1 and 3; `self` is borrowed mutably for the frame's life.
        unsafe { Frame::new(self.arena.address(frame), self.arena.page_size) }
    }

    /// The frame, for writing beside views of other frames.
    ///
    /// One at a time: the caller does not call it, or `edit`, for the same frame before it has
    /// dropped this one (rule 3).
    pub(crate) fn edit_beside<'a>(&mut self, arena: &'a Arena, frame: u32) -> Frame<'a> {
        assert!(std::ptr::eq(arena, &raw const *self.arena));
        // SAFETY: rules 1 and 3.
        unsafe { Frame::new(arena.address(frame), arena.page_size) }
    }

    /// The frame, for reading.
    pub(crate) fn view(&self, frame: u32) -> View<'_> {
        self.arena.view(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::{Arena, FrameInfo, Frames};
    use std::sync::Arc;

    #[test]
    fn frames_have_places_of_their_own() {
        let mut next = (0, 0);
        for frame in 0..100_000 {
            assert_eq!(Arena::place(frame), next);
            next.1 += 1;
            if next.1 == 16 << next.0 {
                next = (next.0 + 1, 0);
            }
        }
    }

    #[test]
    fn freed_frames_are_given_out_again() {
        let arena = Arc::new(Arena::new(4096));
        let mut frames = Frames::new(arena.clone());
        let info = FrameInfo { born: 0, dirty_index: 0 };
        let first: Vec<u32> = (0..40).map(|_| frames.allocate(info)).collect();
        for &frame in &first {
            frames.edit(frame).reset(crate::page::Kind::Bucket, 1, frame.into(), 1);
        }
        for &frame in &first {
            assert_eq!(arena.view(frame).word(crate::page::word::OWNER), u64::from(frame));
        }
        arena.free(&first);
        assert_eq!(arena.in_use(), 0);
        let again: std::collections::BTreeSet<u32> =
            (0..40).map(|_| frames.allocate(info)).collect();
        assert_eq!(again, first.into_iter().collect());
    }
}
