//! Checkpoints: the changed pages go to free places of the file, then the directories that lead to
//! them, then the bitmap, then a meta page. Nothing that the last checkpoint reaches is touched.
//!
//! A [`Checkpoint`] is a job of small steps that needs no lock while it writes; the one who runs it
//! calls [`Checkpoint::step`] until it is done, then [`Pager::install`] under the writer's lock.
//! The steps are those of DESIGN.md, "Checkpoint". Knows no keys and no log records, only the
//! position where redo would begin.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::edit::{Dirty, list_index};
use super::persisted::Persisted;
use super::space::{PageRun, PageSet};
use super::tree::{Nodes, Tree};
use super::value_area::FrozenValues;
use super::write_back::{FileNodes, Writer, page_of};
use super::{Pager, Shared, Which};
use crate::error::{Error, Fault, Place, Promise, Result};
use crate::mutant::{Mutant, mutant};
use crate::page::meta::{self, Counts, LogPosition, Meta, SideMeta, ValueMeta};
use crate::page::pointer::Pointer;
use crate::page::{Frame, Kind, array, put_u64, word};

/// Bytes of entries that one step writes, or installs under the lock, if each is one page.
const STEP_LEN: usize = 1 << 20;
/// After so many steps what they have written is synced. All of it at once would keep the device
/// busy, and whoever syncs the log meanwhile would wait for that.
const PAUSE_STEPS: usize = 4;

/// What is left to do of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Entries(usize),
    /// The entries before this one are written; what that brought is to be synced.
    Pause(usize),
    Trees,
    Bitmap,
    SyncData,
    WriteMeta,
    SyncMeta,
    Written,
}

/// Whether there is more to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    More,
    Done,
}

/// An entry that the checkpoint wrote.
#[derive(Debug)]
struct Placed {
    dirty: Dirty,
    frames: Vec<u32>,
    pages: Vec<u64>,
    pointer: u64,
}

/// A frozen state on its way to the file.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    shared: Arc<Shared>,
    phase: Phase,
    step_entries: usize,
    dirty: Vec<Dirty>,
    dropped: Vec<PageRun>,
    values: FrozenValues,
    sides: Vec<(u64, crate::layout::Layout)>,
    splitpoint: u64,
    counts: Counts,
    metadata: Vec<u8>,
    log: LogPosition,
    clean: bool,
    old: Persisted,
    new: Persisted,
    placed: Vec<Placed>,
    /// Pages that this checkpoint took, to be given back if it fails.
    taken: Vec<PageRun>,
    /// Pages that no later checkpoint reaches.
    freed: Vec<PageRun>,
    installed: usize,
}

impl Pager {
    /// Freezes what has changed. Every commit before `log.lsn` is applied and durable, none after
    /// it is applied (C9). One checkpoint at a time.
    pub(crate) fn freeze(
        &mut self,
        persisted: Persisted,
        log: LogPosition,
        clean: bool,
    ) -> Checkpoint {
        self.collect_garbage();
        self.interval += 1;
        let state = self.state().clone();
        let sides = [Some(&state.current), state.next.as_ref()];
        let mut dirty = std::mem::take(&mut self.dirty);
        self.dirty_frames = 0;
        // An entry may be listed twice if it was empty in between: the later one counts.
        dirty.sort_by_key(|d| (d.side, d.which, d.index));
        Checkpoint {
            shared: self.shared.clone(),
            phase: Phase::Entries(0),
            step_entries: STEP_LEN / self.shared.parameters.page_size,
            dirty,
            dropped: std::mem::take(&mut self.dropped),
            values: self.values.freeze(),
            sides: sides.into_iter().flatten().map(|side| (side.id, side.layout)).collect(),
            splitpoint: state.splitpoint.load(Ordering::SeqCst),
            counts: self.counts,
            metadata: self.metadata.clone(),
            log,
            clean,
            new: persisted.clone(),
            old: persisted,
            placed: Vec::new(),
            taken: Vec::new(),
            freed: Vec::new(),
            installed: 0,
        }
    }

    /// Puts the written pages into the directory, a batch at a time, under the writer's lock.
    pub(crate) fn install(&mut self, checkpoint: &mut Checkpoint) -> Progress {
        assert_eq!(checkpoint.phase, Phase::Written);
        let state = self.state().clone();
        let mut frames = Vec::new();
        let batch = checkpoint.placed.iter().skip(checkpoint.installed);
        let batch = batch.take(checkpoint.step_entries);
        for placed in batch {
            checkpoint.installed += 1;
            let dirty = placed.dirty;
            let slot = state.side(dirty.side).map(|side| side.word(dirty.which, dirty.index));
            let word = slot.map_or(0, |slot| slot.load(Ordering::SeqCst));
            let still = matches!(
                (Pointer::decode(word), placed.frames.first()),
                (Pointer::Frame { frame, .. }, Some(&frozen)) if frame == frozen
            );
            if let (true, Some(slot)) = (still, slot) {
                slot.store(placed.pointer, Ordering::SeqCst);
            } else {
                self.dropped.extend(placed.pages.iter().map(|&page| PageRun::one(page)));
            }
            frames.extend(&placed.frames);
        }
        self.shared.retire(frames, Vec::new());
        if checkpoint.installed < checkpoint.placed.len() {
            return Progress::More;
        }
        self.shared.retire(Vec::new(), std::mem::take(&mut checkpoint.freed));
        Progress::Done
    }

    /// A checkpoint ran out of disk before it changed anything: its entries are dirty again, and
    /// the pages that it took are free.
    pub(crate) fn abandon(&mut self, checkpoint: Checkpoint) -> Persisted {
        let state = self.state().clone();
        for dirty in &checkpoint.dirty {
            let slot = state.side(dirty.side).map(|side| side.word(dirty.which, dirty.index));
            let live = slot.map(|slot| Pointer::decode(slot.load(Ordering::SeqCst)));
            let chain = self.frozen_chain(dirty.frame);
            match (live, dirty.frame) {
                (Some(Pointer::Frame { frame, .. }), Some(frozen)) if frame == frozen => {
                    for &frame in &chain {
                        self.frames.info_mut(frame).born = self.interval;
                    }
                    self.frames.info_mut(frozen).dirty_index = list_index(self.dirty.len());
                    self.dirty.push(*dirty);
                    self.dirty_frames += 1;
                }
                (Some(Pointer::Empty), None) => self.dirty.push(*dirty),
                // Changed meanwhile, so listed anew; or a sweep has dropped the whole side.
                _ => self.shared.retire(chain, Vec::new()),
            }
        }
        self.dropped.extend(&checkpoint.dropped);
        self.values.thaw(checkpoint.values);
        // Nothing of these was ever published.
        let mut space = self.shared.space();
        checkpoint.taken.iter().for_each(|&run| space.free(run));
        drop(space);
        checkpoint.old
    }

    fn frozen_chain(&self, head: Option<u32>) -> Vec<u32> {
        frozen_chain(&self.shared, head)
    }
}

/// The frames from this one on that a chain consists of; a bucket page is a chain of one.
fn frozen_chain(shared: &Shared, head: Option<u32>) -> Vec<u32> {
    let mut frames = Vec::new();
    let mut next = head;
    while let Some(frame) = next {
        frames.push(frame);
        next = match Pointer::decode(shared.arena.view(frame).word(word::NEXT)) {
            Pointer::Frame { frame, .. } => Some(frame),
            _ => None,
        };
    }
    frames
}

impl Checkpoint {
    /// Makes its steps so many entries long.
    pub(crate) fn in_steps_of(mut self, entries: usize) -> Checkpoint {
        self.step_entries = entries;
        self
    }

    /// The log position that its meta page names.
    pub(crate) fn log(&self) -> LogPosition {
        self.log
    }

    /// Whether a failure now leaves the last checkpoint in force and nothing in doubt.
    pub(crate) fn can_be_abandoned(&self) -> bool {
        matches!(self.phase, Phase::Entries(_) | Phase::Trees | Phase::Bitmap)
    }

    /// Does the next step. After an error call it no more: abandon it or refuse writes.
    pub(crate) fn step(&mut self) -> Result<Progress> {
        self.phase = match self.phase {
            Phase::Entries(first) => self.write_entries(first)?,
            Phase::Pause(next) => {
                self.sync()?;
                Phase::Entries(next)
            }
            Phase::Trees => {
                self.write_trees()?;
                Phase::Bitmap
            }
            Phase::Bitmap => {
                self.write_bitmap()?;
                Phase::SyncData
            }
            Phase::SyncData => {
                // I3: everything that the meta page reaches is durable before it is written.
                if !mutant(Mutant::MetaBeforeData) {
                    self.sync()?;
                }
                Phase::WriteMeta
            }
            Phase::WriteMeta => {
                self.new.write_meta(&self.shared)?;
                Phase::SyncMeta
            }
            Phase::SyncMeta if mutant(Mutant::MetaNotSynced) => Phase::Written,
            Phase::SyncMeta => {
                self.sync()?;
                if self.clean {
                    // The only meta page that says there is no log gets a twin.
                    self.new.write_meta(&self.shared)?;
                    self.sync()?;
                }
                Phase::Written
            }
            Phase::Written => Phase::Written,
        };
        Ok(if self.phase == Phase::Written { Progress::Done } else { Progress::More })
    }

    /// What the next checkpoint starts from. To be called when it is installed.
    pub(crate) fn into_persisted(self) -> Persisted {
        self.new
    }

    /// Bytes that it wrote to the file, but for the meta page.
    pub(crate) fn written_len(&self) -> u64 {
        let pages: u64 = self.taken.iter().map(|run| run.count).sum();
        pages * self.shared.parameters.page_size as u64
    }

    /// The meta page that it wrote.
    pub(crate) fn meta(&self) -> &Meta {
        &self.new.meta
    }

    fn sync(&self) -> Result<()> {
        self.shared.file.sync_data().map_err(|e| Error::io("sync", &self.shared.path, e))
    }

    fn write_entries(&mut self, first: usize) -> Result<Phase> {
        let end = (first + self.step_entries).min(self.dirty.len());
        let batch: Vec<Dirty> = self.dirty.iter().take(end).skip(first).copied().collect();
        let mut writer = Writer::new(&self.shared, self.old.meta.generation + 1, &mut self.taken);
        for dirty in batch {
            let frames = frozen_chain(&self.shared, dirty.frame);
            let mut pages = Vec::with_capacity(frames.len());
            let mut next = frames
                .last()
                .map_or(0, |&last| on_file(self.shared.arena.view(last).word(word::NEXT)));
            for &frame in frames.iter().rev() {
                let view = self.shared.arena.view(frame);
                let (page, pointer) = writer.page(|bytes| {
                    Frame::copy_frozen(view, bytes);
                    put_u64(bytes, 8 * word::NEXT, next);
                })?;
                pages.push(page);
                next = pointer;
            }
            self.placed.push(Placed { dirty, frames, pages, pointer: next });
        }
        writer.flush()?;
        Ok(match end {
            _ if end == self.dirty.len() => Phase::Trees,
            _ if end.is_multiple_of(PAUSE_STEPS * self.step_entries) => Phase::Pause(end),
            _ => Phase::Entries(end),
        })
    }

    fn write_trees(&mut self) -> Result<()> {
        let mut by_tree: BTreeMap<(u64, Which), BTreeMap<u64, u64>> = BTreeMap::new();
        for placed in &self.placed {
            let Dirty { side, which, index, .. } = placed.dirty;
            by_tree.entry((side, which)).or_default().insert(index, placed.pointer);
        }
        let page_size = self.shared.parameters.page_size;
        let live: BTreeSet<u64> = self.sides.iter().map(|(id, _)| *id).collect();
        let moving = std::mem::take(&mut self.new.moving.trees);
        let mut nodes = FileNodes::new(&self.shared, self.old.meta.generation + 1, &mut self.taken);
        // The sides that a sweep has left behind.
        self.new.trees.retain(|(side, _), tree| {
            let keep = live.contains(side);
            if !keep {
                tree.pages().for_each(|(_, pointer)| nodes.free(pointer));
            }
            keep
        });
        for &(id, layout) in &self.sides {
            for (which, len) in
                [(Which::Buckets, layout.bucket_count), (Which::Runs, layout.run_count())]
            {
                let tree = self.new.trees.entry((id, which)).or_insert_with(|| {
                    Tree::new(Kind::Directory, layout.bucket_count, page_size, len)
                });
                let changes = by_tree.remove(&(id, which)).unwrap_or_default();
                let none = BTreeSet::new();
                tree.update(&changes, moving.get(&(id, which)).unwrap_or(&none), &mut nodes)?;
            }
        }
        self.new.update_value_map(&self.values, &mut nodes)?;
        let freed = std::mem::take(&mut nodes.freed);
        nodes.writer.flush()?;
        self.freed.extend(freed);
        Ok(())
    }

    /// Decides which pages are used, bitmap pages included: setting pages aside for the bitmap
    /// changes the bitmap, so it goes round until nothing changes. The set of leaves to write only
    /// grows, so it ends.
    fn write_bitmap(&mut self) -> Result<()> {
        let mut used = self.old.used.clone();
        for page in self.values.new.iter().chain(&self.taken).flat_map(|run| run.first..run.end()) {
            used.insert(page);
        }
        self.freed.extend(self.dropped.iter().chain(&self.values.dropped));
        let first_page = meta::first_page(self.shared.parameters.page_size);
        for page in self.freed.iter().flat_map(|run| run.first..run.end()) {
            // The directories of a damaged file may share a page with the value area.
            if page < first_page || !used.remove(page) {
                let fault = Fault::new(Promise::PageUse, 1, 0);
                return Err(fault.at(&self.shared.path, Place::Page(page)));
            }
        }
        let page_size = self.shared.parameters.page_size;
        let width = array::words_per_page(page_size);
        let floor = self.sides.iter().map(|(_, l)| l.bucket_count.saturating_sub(1024) / 64 + 1);
        let mut page_count = floor.max().unwrap_or(1);
        let mut set_aside: Vec<u64> = Vec::new();
        let mut given_up: BTreeSet<u64> = BTreeSet::new();
        let leaf_count = |page_count: u64| {
            usize::try_from(page_count.div_ceil(64).div_ceil(width).max(1)).expect("few pages")
        };
        // A tree with fewer leaves is made anew: decided once, or pages would be given up twice.
        let anew = leaf_count(page_count.max(used.end())) < self.new.bitmap.leaf_count();
        let (mut tree, leaves) = loop {
            page_count = page_count.max(used.end());
            let len = page_count.div_ceil(64);
            let all = 0..leaf_count(page_count);
            let mut tree = self.new.bitmap.clone();
            let (leaves, old_pages) = if anew {
                tree = Tree::new(Kind::Bitmap, 0, page_size, len);
                (all.collect(), self.new.bitmap.pages().map(|(_, pointer)| pointer).collect())
            } else {
                let changed = changed_leaves(self.old.used.words(), used.words(), width, all.end);
                let new = (0..all.end).skip(tree.leaf_count());
                let moving = self.new.moving.bitmap.iter().copied().filter(|leaf| *leaf < all.end);
                let leaves: BTreeSet<usize> =
                    changed.into_iter().chain(new).chain(moving).collect();
                tree.resize(len);
                let old_pages = tree.pages_to_free(&leaves);
                (leaves, old_pages)
            };
            let before = (set_aside.len(), given_up.len());
            for pointer in old_pages {
                if given_up.insert(pointer) {
                    used.remove(page_of(pointer));
                }
            }
            while set_aside.len() < tree.pages_to_write(&leaves) {
                let run = self.shared.allocate_page()?;
                self.taken.push(run);
                used.insert(run.first);
                set_aside.push(run.first);
            }
            if before == (set_aside.len(), given_up.len()) {
                break (tree, leaves);
            }
        };
        let mut taken = Vec::new();
        let mut nodes = FileNodes::new(&self.shared, self.old.meta.generation + 1, &mut taken);
        nodes.writer.set_aside = set_aside;
        tree.rewrite_leaves(&leaves, used.words(), &mut nodes)?;
        nodes.writer.flush()?;
        assert!(nodes.writer.set_aside.is_empty(), "every page set aside is written (I4)");
        self.freed.extend(given_up.into_iter().map(|pointer| PageRun::one(page_of(pointer))));
        self.shared.ensure_len(page_count)?;
        if mutant(Mutant::PageReusedEarly) {
            self.shared.retire(Vec::new(), std::mem::take(&mut self.freed));
        }
        self.new.bitmap = tree;
        self.fill_meta(page_count, &used);
        self.new.used = used;
        self.new.moving.bitmap.clear();
        Ok(())
    }

    fn fill_meta(&mut self, page_count: u64, used: &PageSet) {
        let side = |(id, layout): &(u64, crate::layout::Layout)| SideMeta {
            layout: *layout,
            bucket_root: self.new.trees.get(&(*id, Which::Buckets)).map_or(0, Tree::root),
            run_root: self.new.trees.get(&(*id, Which::Runs)).map_or(0, Tree::root),
        };
        let current = self.sides.first().map(side).expect("a state has a current side");
        let next = self.sides.get(1).map(side);
        self.new.meta = Meta {
            parameters: self.shared.parameters,
            generation: self.old.meta.generation,
            clean: self.clean,
            page_count,
            free_page_count: page_count - used.len(),
            counts: self.counts,
            current,
            next,
            splitpoint: if next.is_some() { self.splitpoint } else { 0 },
            bitmap_root: self.new.bitmap.root(),
            values: ValueMeta { end: self.values.end, root: self.new.value_map.root() },
            log: self.log,
            metadata: self.metadata.clone(),
        };
    }
}

fn changed_leaves(old: &[u64], new: &[u64], width: u64, leaf_count: usize) -> BTreeSet<usize> {
    let width = usize::try_from(width).expect("words of a page");
    let word = |words: &[u64], i: usize| words.get(i).copied().unwrap_or_default();
    (0..leaf_count)
        .filter(|leaf| (leaf * width..(leaf + 1) * width).any(|i| word(old, i) != word(new, i)))
        .collect()
}

/// A word as it stands in the file: checked pages lose their mark, but then the checksum is gone;
/// a page that a frame points to is never marked.
fn on_file(word: u64) -> u64 {
    match Pointer::decode(word) {
        Pointer::Empty => 0,
        Pointer::Unchecked { .. } => word,
        Pointer::Checked { .. } | Pointer::Frame { .. } => {
            panic!("the last frame of a chain points to a page on file or to nothing")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::changed_leaves;

    #[test]
    fn the_leaves_of_changed_words_are_those_that_have_them() {
        let old: Vec<u64> = (0..30).collect();
        let changed = |words: &[usize], len: usize, leaf_count| {
            let mut new = old.clone();
            new.resize(len, 0);
            words.iter().for_each(|&word| new[word] ^= 1);
            changed_leaves(&old, &new, 10, leaf_count).into_iter().collect::<Vec<_>>()
        };
        assert_eq!(changed(&[], 30, 3), [0_usize; 0]);
        for word in 0..30 {
            assert_eq!(changed(&[word], 30, 3), [word / 10], "{word}");
        }
        assert_eq!(changed(&[9, 20], 30, 3), [0, 2]);
        assert_eq!(changed(&[9, 20], 30, 2), [0], "there are two");
        assert_eq!(changed(&[44], 50, 5), [4], "what is behind the end is zero");
        assert_eq!(changed(&[], 25, 3), [2], "on either side");
    }
}
