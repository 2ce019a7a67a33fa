//! The writer's side: pages are made its own, changed in memory, and listed as dirty.
//!
//! Between two checkpoints lies an *interval*. A frame born in the current one may be changed in
//! place; an older one is frozen, a checkpoint may be writing it: it is copied first. So is a page
//! of the file. What is replaced is retired: a frame of this interval at once, a frozen frame by
//! the checkpoint that writes it, a page of the file by the next checkpoint, since until then a
//! crash would need it (I1).
//!
//! Chains of overflow pages are frames first, then pages on file: a page that is made the writer's
//! own brings all pages before it along. Knows nothing of keys.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::arena::{FrameInfo, Frames};
use super::{PageRun, Shared, Side, State, ValueArea, Which};
use crate::error::{Error, Fault, Place, Promise, Result};
use crate::page::edit::PageOf;
use crate::page::meta::Counts;
use crate::page::pointer::Pointer;
use crate::page::{Frame, View};

/// A word of a directory that differs from the last checkpoint's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dirty {
    pub(crate) side: u64,
    pub(crate) which: Which,
    pub(crate) index: u64,
    /// The page, or the first of the chain; `None` if there is none any more.
    pub(crate) frame: Option<u32>,
}

/// The page manager of the one writer.
#[derive(Debug)]
pub(crate) struct Pager {
    pub(crate) shared: Arc<Shared>,
    pub(super) frames: Frames,
    pub(super) interval: u32,
    pub(super) dirty: Vec<Dirty>,
    /// Entries among them that have a page.
    pub(super) dirty_frames: usize,
    /// Pages of the last checkpoint that the next one does not reach.
    pub(super) dropped: Vec<PageRun>,
    pub(crate) values: ValueArea,
    /// Frames that nobody can find any more, to be retired together.
    garbage: Vec<u32>,
    state: Arc<State>,
    next_side_id: u64,
    pub(crate) counts: Counts,
    pub(crate) metadata: Vec<u8>,
    /// Pages whose records or whose place a resize or a compaction has changed, since the open.
    pub(crate) moved_page_count: u64,
}

/// Garbage frames that are retired together: a retirement costs a barrier of all cores.
const GARBAGE_BATCH: usize = 64;

impl Pager {
    pub(super) fn new(
        shared: Arc<Shared>,
        state: Arc<State>,
        counts: Counts,
        metadata: Vec<u8>,
        values: ValueArea,
    ) -> Pager {
        let frames = Frames::new(shared.arena.clone());
        let sides = [Some(&state.current), state.next.as_ref()];
        let next_side_id = sides.into_iter().flatten().map(|side| side.id).max().unwrap_or(0) + 1;
        Pager {
            shared,
            frames,
            interval: 1,
            dirty: Vec::new(),
            dirty_frames: 0,
            dropped: Vec::new(),
            values,
            garbage: Vec::new(),
            state,
            next_side_id,
            counts,
            metadata,
            moved_page_count: 0,
        }
    }

    pub(crate) fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// Changed pages since the last freeze; of a chain, the first.
    pub(crate) fn dirty_count(&self) -> usize {
        self.dirty_frames
    }

    /// Whether a checkpoint would find nothing to write.
    pub(crate) fn is_unchanged(&self) -> bool {
        self.dirty.is_empty() && self.dropped.is_empty() && self.values.is_unchanged()
    }

    /// A new empty side, for a sweep to fill.
    pub(crate) fn new_side(&mut self, layout: crate::layout::Layout) -> Arc<Side> {
        self.next_side_id += 1;
        Arc::new(Side::new(self.next_side_id - 1, layout))
    }

    /// Publishes another pair of layouts.
    pub(crate) fn set_state(&mut self, state: State) {
        self.state = Arc::new(state);
        self.shared.state.replace(&self.shared.epoch, self.state.clone());
        self.forget_dead_sides();
    }

    /// What was listed of a side that a sweep has left behind is of no interest any more.
    fn forget_dead_sides(&mut self) {
        let state = self.state.clone();
        self.dirty.retain(|dirty| state.side(dirty.side).is_some() || dirty.frame.is_some());
        for (index, dirty) in self.dirty.iter().enumerate() {
            if let Some(frame) = dirty.frame {
                self.frames.info_mut(frame).dirty_index = list_index(index);
            }
        }
    }

    pub(crate) fn set_splitpoint(&mut self, splitpoint: u64) {
        self.state.splitpoint.store(splitpoint, Ordering::SeqCst);
    }

    /// The frame, for reading.
    pub(crate) fn view(&self, frame: u32) -> View<'_> {
        self.frames.view(frame)
    }

    /// The frame, for changing in place: it is private.
    pub(crate) fn edit(&mut self, frame: u32) -> Frame<'_> {
        assert_eq!(self.frames.info(frame).born, self.interval, "a frozen page is not changed");
        self.frames.edit(frame)
    }

    fn is_private(&self, frame: u32) -> bool {
        self.frames.info(frame).born == self.interval
    }

    /// A frame that is not published yet, filled by `fill`.
    pub(crate) fn new_frame<R>(&mut self, fill: impl FnOnce(&mut Frame<'_>) -> R) -> (u32, R) {
        let info = FrameInfo { born: self.interval, dirty_index: u32::MAX };
        let frame = self.frames.allocate(info);
        let result = fill(&mut self.frames.edit(frame));
        (frame, result)
    }

    /// A frame filled from another one's records.
    pub(crate) fn new_frame_from<R>(
        &mut self,
        sources: &[u32],
        fill: impl FnOnce(&mut Frame<'_>, &[View<'_>]) -> R,
    ) -> (u32, R) {
        let info = FrameInfo { born: self.interval, dirty_index: u32::MAX };
        let frame = self.frames.allocate(info);
        let arena = self.shared.arena.clone();
        let views: Vec<View<'_>> = sources.iter().map(|&source| arena.view(source)).collect();
        let result = fill(&mut self.frames.edit_beside(&arena, frame), &views);
        (frame, result)
    }

    /// An unpublished frame is not needed after all.
    pub(crate) fn give_back_frame(&mut self, frame: u32) {
        self.frames.give_back(frame);
    }

    /// Makes `frame` (or nothing) the page of an entry. The page that it replaces must be a copy's
    /// original, or hold nothing that readers still need to find.
    pub(crate) fn publish(&mut self, side: &Side, which: Which, index: u64, frame: Option<u32>) {
        let slot = side.word(which, index);
        let old = Pointer::decode(slot.load(Ordering::SeqCst));
        let entry = Dirty { side: side.id, which, index, frame };
        match old {
            Pointer::Frame { frame: old, .. } if self.is_private(old) => {
                self.dirty_frames -= 1;
                let dirty_index = self.frames.info(old).dirty_index;
                *self.dirty.get_mut(dirty_index as usize).expect("a private frame is listed") =
                    entry;
                if let Some(frame) = frame {
                    self.frames.info_mut(frame).dirty_index = dirty_index;
                }
            }
            _ => {
                if let Some(frame) = frame {
                    self.frames.info_mut(frame).dirty_index = list_index(self.dirty.len());
                }
                self.dirty.push(entry);
            }
        }
        self.dirty_frames += usize::from(frame.is_some());
        let word = frame.map_or(Pointer::Empty, |frame| self.pointer_to(frame));
        slot.store(word.encode(), Ordering::SeqCst);
    }

    fn pointer_to(&self, frame: u32) -> Pointer {
        let cell_count = super::bucket_cells(self.frames.view(frame));
        Pointer::Frame { frame, cell_count }
    }

    /// The word that points to a frame.
    pub(crate) fn word_of(&self, frame: u32) -> u64 {
        self.pointer_to(frame).encode()
    }

    /// A page that was pointed to is not any more; called after the pointer's store.
    pub(crate) fn discard(&mut self, pointer: u64) {
        match Pointer::decode(pointer) {
            Pointer::Empty => {}
            Pointer::Frame { frame, .. } if self.is_private(frame) => self.garbage.push(frame),
            Pointer::Frame { .. } => {} // frozen: the checkpoint that writes it retires it
            Pointer::Checked { page, .. } | Pointer::Unchecked { page, .. } => {
                self.dropped.push(PageRun::one(page));
            }
        }
        if self.garbage.len() >= GARBAGE_BATCH {
            self.collect_garbage();
        }
    }

    /// Retires what has been discarded.
    pub(crate) fn collect_garbage(&mut self) {
        let frames = std::mem::take(&mut self.garbage);
        self.shared.retire(frames, Vec::new());
    }

    /// Makes the page of a bucket the writer's own; `None` if there is none.
    pub(crate) fn private_bucket(&mut self, side: &Side, bucket: u64) -> Result<Option<u32>> {
        let slot = side.word(Which::Buckets, bucket);
        let word = slot.load(Ordering::SeqCst);
        match Pointer::decode(word) {
            Pointer::Frame { frame, .. } if self.is_private(frame) => {
                // The header is wanted after the cells: let both come at once.
                self.frames.view(frame).prefetch(0);
                return Ok(Some(frame));
            }
            _ => {}
        }
        let Some(frame) = self.copy_page(side, Which::Buckets, bucket, word)? else {
            return Ok(None);
        };
        self.publish(side, Which::Buckets, bucket, Some(frame));
        self.discard(word);
        Ok(Some(frame))
    }

    /// Cells of a bucket's page, from the word that leads to it: the page itself is not touched.
    pub(crate) fn bucket_cells(&self, side: &Side, bucket: u64) -> usize {
        match Pointer::decode(side.load(Which::Buckets, bucket)) {
            Pointer::Frame { cell_count, .. } | Pointer::Checked { cell_count, .. } => cell_count,
            Pointer::Empty | Pointer::Unchecked { .. } => 0,
        }
    }

    /// The page of a bucket, which is the writer's own; `None` if there is none.
    pub(crate) fn bucket_frame(&self, side: &Side, bucket: u64) -> Option<u32> {
        match Pointer::decode(side.load(Which::Buckets, bucket)) {
            Pointer::Empty => None,
            Pointer::Frame { frame, .. } => Some(frame),
            _ => panic!("a change of bucket {bucket} was not prepared"),
        }
    }

    /// Takes a page of the writer's own out of a run's chain if it has no records. The first stays
    /// where a page on file follows.
    pub(crate) fn unlink_if_empty(&mut self, side: &Side, run: u64, frame: u32) {
        let view = self.frames.view(frame);
        if crate::page::record_count(view) > 0 {
            return;
        }
        let next = view.word(crate::page::word::NEXT);
        match (self.frame_before(side, run, frame), Pointer::decode(next)) {
            (Some(before), _) => self.edit(before).set_next(next),
            (None, Pointer::Empty) => self.publish(side, Which::Runs, run, None),
            (None, Pointer::Frame { frame, .. }) => {
                self.publish(side, Which::Runs, run, Some(frame));
            }
            (None, _) => return,
        }
        self.discard(self.word_of(frame));
        self.counts.overflow_page_count = self.counts.overflow_page_count.saturating_sub(1);
    }

    /// The frame of a chain that leads to another one of it; `None` before the first.
    fn frame_before(&self, side: &Side, run: u64, frame: u32) -> Option<u32> {
        let frames = self.chain_frames(side, run);
        let at = frames.iter().position(|&other| other == frame).expect("a page of the chain");
        at.checked_sub(1).and_then(|before| frames.get(before)).copied()
    }

    /// Makes the frames that a run's chain begins with the writer's own, so that no frame of this
    /// interval ever points to an older one. Reads no file, so it cannot fail.
    pub(crate) fn private_chain_frames(&mut self, side: &Side, run: u64) -> Vec<u32> {
        let frames = self.chain_frames(side, run);
        let words: Vec<u64> = frames.iter().map(|&frame| self.word_of(frame)).collect();
        let next =
            frames.last().map_or(0, |&last| self.frames.view(last).word(crate::page::word::NEXT));
        self.private_chain_of(side, run, &words, next).expect("frames can always be read")
    }

    /// Makes a run's whole overflow chain the writer's own.
    pub(crate) fn private_chain(&mut self, side: &Side, run: u64) -> Result<Vec<u32>> {
        let words = self.chain_words(side, run)?;
        self.private_chain_of(side, run, &words, 0)
    }

    /// The frames that a chain begins with: all that may have changed since the last checkpoint.
    pub(crate) fn chain_frames(&self, side: &Side, run: u64) -> Vec<u32> {
        let mut frames = Vec::new();
        let mut word = side.word(Which::Runs, run).load(Ordering::SeqCst);
        while let Pointer::Frame { frame, .. } = Pointer::decode(word) {
            frames.push(frame);
            word = self.frames.view(frame).word(crate::page::word::NEXT);
        }
        frames
    }

    /// Puts a frame that leads on as another one does in its place in a run's chain, whose frames
    /// are the writer's own.
    pub(crate) fn replace_in_chain(&mut self, side: &Side, run: u64, old: u32, new: u32) {
        let word = self.word_of(new);
        match self.frame_before(side, run, old) {
            Some(before) => self.edit(before).set_next(word),
            None => self.publish(side, Which::Runs, run, Some(new)),
        }
        self.discard(self.word_of(old));
    }

    /// The words that lead along a chain; each page is checked.
    pub(crate) fn chain_words(&self, side: &Side, run: u64) -> Result<Vec<u64>> {
        let pin = self.shared.epoch.pin();
        let slot = side.word(Which::Runs, run);
        let mut words = Vec::new();
        let mut word = slot.load(Ordering::SeqCst);
        let mut at = Some(slot);
        while word != 0 {
            self.shared.check_chain_len(words.len(), word)?;
            let page = self.shared.page(&pin, side, Which::Runs, run, word, at.take())?;
            words.push(word);
            word = page.map_or(0, |page| page.next());
        }
        Ok(words)
    }

    fn private_chain_of(
        &mut self,
        side: &Side,
        run: u64,
        words: &[u64],
        mut next: u64,
    ) -> Result<Vec<u32>> {
        let mut frames = Vec::with_capacity(words.len());
        let mut replaced = Vec::new();
        for &word in words.iter().rev() {
            let private = match Pointer::decode(word) {
                Pointer::Frame { frame, .. } if self.is_private(frame) => Some(frame),
                _ => None,
            };
            let copy = match private {
                Some(_) => private,
                None => self.copy_page(side, Which::Runs, run, word)?,
            };
            let Some(frame) = copy else { continue };
            if private.is_none() {
                replaced.push(word);
            }
            // A reader on the old page goes on to the old next one, on this page to its copy.
            self.frames.edit(frame).set_next(next);
            next = self.word_of(frame);
            frames.push(frame);
        }
        frames.reverse();
        let is_head = side.load(Which::Runs, run) == next;
        if let (Some(&head), false) = (frames.first(), is_head) {
            self.publish(side, Which::Runs, run, Some(head));
        }
        replaced.into_iter().for_each(|word| self.discard(word));
        Ok(frames)
    }

    fn copy_page(
        &mut self,
        side: &Side,
        which: Which,
        index: u64,
        word: u64,
    ) -> Result<Option<u32>> {
        let shared = self.shared.clone();
        let pin = shared.epoch.pin();
        let Some(page) = shared.page(&pin, side, which, index, word, None)? else {
            return Ok(None);
        };
        shared.check_again(&pin, side, which, index, word)?;
        let (frame, is_sound) = self.new_frame(|frame| frame.copy_from(page.view()));
        if !is_sound {
            self.give_back_frame(frame);
            let number = page.view().word(crate::page::word::PAGE_NUMBER);
            let fault = Fault::new(Promise::RecordBounds, 0, 0);
            return Err(fault.at(&shared.path, Place::Page(number)));
        }
        Ok(Some(frame))
    }

    /// An empty page of an entry.
    pub(crate) fn page_of(&self, side: &Side, which: Which, index: u64) -> PageOf {
        PageOf {
            kind: which.kind(),
            owner: index,
            bucket_count: side.layout.bucket_count,
            shape: self.shared.shape,
        }
    }

    /// Puts a new page behind the frames of a run's chain, for records that no other page has room
    /// for: so the full pages come first, and most searches end there. Pages on file come after it.
    /// Gives the frame.
    pub(crate) fn push_overflow<R>(
        &mut self,
        side: &Side,
        run: u64,
        fill: impl FnOnce(&mut Frame<'_>, PageOf) -> R,
    ) -> (u32, R) {
        let last = self.private_chain_frames(side, run).last().copied();
        let next = match last {
            Some(last) => self.frames.view(last).word(crate::page::word::NEXT),
            None => self.shared.with_checksum(side.load(Which::Runs, run)),
        };
        let of = self.page_of(side, Which::Runs, run);
        let (frame, result) = self.new_frame(|frame| {
            let result = fill(frame, of);
            frame.set_next(next);
            result
        });
        let word = self.word_of(frame);
        match last {
            Some(last) => self.edit(last).set_next(word),
            None => self.publish(side, Which::Runs, run, Some(frame)),
        }
        self.counts.overflow_page_count += 1;
        (frame, result)
    }
}

/// A place in the list of dirty entries.
pub(super) fn list_index(index: usize) -> u32 {
    u32::try_from(index).expect("fewer dirty entries than pages")
}

impl Shared {
    /// A word that can stand in a page: a checked page's own checksum goes back into the pointer.
    fn with_checksum(&self, word: u64) -> u64 {
        let Pointer::Checked { page, .. } = Pointer::decode(word) else { return word };
        let pin = self.epoch.pin();
        let view = self.map.load(&pin).view(self.offset_of(page), self.parameters.page_size);
        let first = view.expect("a page that was checked").word(crate::page::word::FIRST);
        let checksum = u32::try_from(first & 0xffff_ffff).expect("masked");
        Pointer::Unchecked { page, checksum }.encode()
    }

    /// A chain is not longer than the file and the memory have pages: else it is a circle (I8).
    pub(crate) fn check_chain_len(&self, len: usize, word: u64) -> Result<()> {
        /// Longer chains are looked at, at lengths that double.
        const USUAL: usize = 256;
        if len < USUAL || !len.is_power_of_two() {
            return Ok(());
        }
        let frames = self.arena.in_use();
        // Not the file's length: a sparse file has as many pages as it likes.
        let pages = self.space().taken().len();
        if len as u64 > pages + frames as u64 {
            let place = Pointer::page_of(word).map_or(Place::File, Place::Page);
            return Err(Fault::new(Promise::ChainLength, pages, len as u64).at(&self.path, place));
        }
        Ok(())
    }

    /// That a chain comes back to a page after so many.
    #[cold]
    pub(crate) fn circle(&self, page: u64, len: usize) -> Error {
        let fault = Fault::new(Promise::ChainLength, len as u64, len as u64 + 1);
        fault.at(&self.path, Place::Page(page))
    }
}
