//! Opening a file: which meta page counts, and the directories that it leads to.
//!
//! Nothing here writes but [`create`] and [`Persisted::write_meta`]. What is read is hostile until
//! checked (I8): every page of a directory is verified, every pointer must lead to a page of the
//! file that the bitmap calls used, and to each page but one. Redo is the caller's: it knows what
//! the operations in the log mean.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::live_counts::LiveCounts;
use super::persisted::{Moving, Persisted, bucket_count_max};
use super::residence::{Residence, open_map};
use super::sound::Sound;
use super::space::PageSet;
use super::state::{Side, State, Which};
use super::tree::{Node, Nodes, Tree};
use super::value_area::{ValueArea, WORD_PAGES, counts_of};
use super::values::Redone;
use super::write_back::read_node;
use super::{Access, Arena, Epoch, Pager, Published, Shared, Space, Verify};
use crate::error::{Error, Fault, Place, Promise, Result};
use crate::layout::Layout;
use crate::page::Kind;
use crate::page::meta::{
    self, Counts, FileParameters, LogPosition, META_SIZE, META_SLOTS, Meta, SideMeta, ValueMeta,
};
use crate::page::pointer::Pointer;
use crate::page::record::GRAIN_SIZE;
use crate::storage::StorageFile;

/// How the file is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) access: Access,
    pub(crate) verify: Verify,
    pub(crate) read_only: bool,
    pub(crate) residence: Residence,
}

/// The newest whole meta page, and the generation in each slot.
#[derive(Debug, Clone)]
pub(crate) struct MetaPages {
    pub(crate) newest: Meta,
    pub(crate) slots: [u64; META_SLOTS],
}

/// Reads the four meta pages.
pub(crate) fn read_meta(file: &dyn StorageFile, path: &Path) -> Result<MetaPages> {
    let not_ours =
        |reason: &str| Error::NotAnIndex { path: path.to_owned(), reason: reason.into() };
    let len = file.len().map_err(|e| Error::io("read", path, e))?;
    if len == 0 {
        return Err(not_ours("it is empty"));
    }
    let mut slots: Vec<Vec<u8>> = Vec::new();
    for slot in 0..META_SLOTS {
        let start = ((slot * META_SIZE) as u64).min(len);
        let size = (len - start).min(META_SIZE as u64);
        let mut page = vec![0; usize::try_from(size).unwrap_or(META_SIZE)];
        file.read_exact_at(&mut page, start).map_err(|e| Error::io("read", path, e))?;
        slots.push(page);
    }
    if !slots.iter().any(|page| meta::has_magic(page)) {
        return Err(not_ours("it does not begin with the words of the format"));
    }
    if len < (META_SIZE * META_SLOTS) as u64 {
        let fault = Fault::new(Promise::FileLength, (META_SIZE * META_SLOTS) as u64, len);
        return Err(fault.at(path, Place::File));
    }
    newest_of(&slots, path)
}

fn newest_of(slots: &[Vec<u8>], path: &Path) -> Result<MetaPages> {
    let mut newest: Option<(usize, u64, &Vec<u8>)> = None;
    let mut generations = [0; META_SLOTS];
    let mut first_fault = None;
    for (slot, page) in slots.iter().enumerate() {
        let place = Place::MetaPage(u8::try_from(slot).unwrap_or(u8::MAX));
        if page.iter().all(|&byte| byte == 0) {
            continue; // never written
        }
        if !meta::has_magic(page) {
            let found = crate::page::get_u64(page, 0);
            let fault = Fault::new(Promise::MetaPage, crate::page::get_u64(&meta::MAGIC, 0), found);
            first_fault.get_or_insert_with(|| fault.at(path, place));
            continue;
        }
        if let Err(fault) = meta::check_whole(page) {
            first_fault.get_or_insert_with(|| fault.at(path, place));
            continue;
        }
        let found = meta::version(page);
        if found > meta::VERSION {
            let path = path.to_owned();
            return Err(Error::UnsupportedVersion { path, found, supported: meta::VERSION });
        }
        let generation = crate::page::get_u64(page, 40);
        if let Some(slot) = generations.get_mut(slot) {
            *slot = generation;
        }
        match newest {
            Some((_, best, other)) if best == generation && other != page => {
                let fault = Fault::new(Promise::MetaField, best, generation);
                return Err(fault.at(path, place));
            }
            Some((_, best, _)) if best >= generation => {}
            _ => newest = Some((slot, generation, page)),
        }
    }
    let Some((slot, _, page)) = newest else {
        let none = || Fault::new(Promise::MetaPage, 1, 0).at(path, Place::File);
        return Err(first_fault.unwrap_or_else(none));
    };
    let place = Place::MetaPage(u8::try_from(slot).unwrap_or(u8::MAX));
    let newest = Meta::decode(page).map_err(|fault| fault.at(path, place))?;
    Ok(MetaPages { newest, slots: generations })
}

/// Writes the meta pages of an empty index into an empty file; the caller syncs.
pub(crate) fn create(
    file: &dyn StorageFile,
    path: &Path,
    parameters: FileParameters,
    layout: Layout,
    log: LogPosition,
) -> Result<()> {
    let side = SideMeta { layout, bucket_root: 0, run_root: 0 };
    let first_page = meta::first_page(parameters.page_size);
    let page_count = first_page.max(layout.bucket_count.saturating_sub(1024) / 64 + 1);
    let mut empty = Meta {
        parameters,
        generation: 0,
        clean: true,
        page_count,
        free_page_count: page_count - first_page,
        counts: Counts::default(),
        current: side,
        next: None,
        splitpoint: 0,
        bitmap_root: 0,
        values: ValueMeta::default(),
        log,
        metadata: Vec::new(),
    };
    let fail = |e| Error::io("write", path, e);
    let len = (page_count * parameters.page_size as u64).max((META_SIZE * META_SLOTS) as u64);
    file.set_len(len).map_err(fail)?;
    for slot in 0..2 {
        empty.generation += 1;
        file.write_all_at(&empty.encode(), slot * META_SIZE as u64).map_err(fail)?;
    }
    Ok(())
}

/// An open file, before redo.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) pager: Pager,
    pub(crate) persisted: Persisted,
}

/// Loads the directories that a meta page leads to.
pub(crate) fn open(
    file: Arc<dyn StorageFile>,
    path: &Path,
    pages: MetaPages,
    reading: Reading,
) -> Result<Opened> {
    let meta = pages.newest;
    let size = meta.parameters.page_size as u64;
    let len = file.len().map_err(|e| Error::io("read", path, e))?;
    if len < meta.page_count.saturating_mul(size) {
        let fault = Fault::new(Promise::FileLength, meta.page_count * size, len);
        return Err(fault.at(path, Place::File));
    }
    // Only whole pages can be reached.
    let len = len / size * size;
    let mapped_len = match (reading.access, reading.residence) {
        (Access::Pread, _) => 0,
        // A copy is of what counts, however long the file is.
        (_, Residence::HugePages) => meta.page_count * size,
        _ => len,
    };
    let map = open_map(&*file, path, mapped_len, reading.residence)?;
    let placeholder = State {
        current: Arc::new(Side::new(0, Layout::new(1))),
        next: None,
        splitpoint: AtomicU64::new(0),
    };
    let shared = Arc::new(Shared {
        parameters: meta.parameters,
        shape: meta.parameters.shape(),
        path: path.to_owned(),
        file,
        access: reading.access,
        verify: reading.verify,
        read_only: reading.read_only,
        residence: reading.residence,
        cold: AtomicBool::new(
            reading.access == Access::Mapped && reading.residence != Residence::HugePages,
        ),
        epoch: Epoch::new(),
        arena: Arc::new(Arena::new(meta.parameters.page_size)),
        state: Published::new(Arc::new(placeholder)),
        map: Published::new(Arc::new(map)),
        space: Arc::new(Mutex::new(Space::new(PageSet::default()))),
        resizing: Mutex::default(),
        file_len: AtomicU64::new(len),
        redone_values: Redone::default(),
        sound: Sound::default(),
        has_large: AtomicBool::new(meta.counts.value_page_count > 0),
        refused: OnceLock::new(),
        closed: AtomicBool::new(false),
    });
    check_splitpoint(&meta).map_err(|fault| fault.at(path, Place::File))?;
    check_counts(&meta).map_err(|fault| fault.at(path, Place::File))?;
    let mut loader = Loader { shared: &shared, meta: &meta, seen: PageSet::default() };
    let (bitmap, used) = loader.load_bitmap()?;
    let current = loader.load_side(0, &meta.current)?;
    let next = meta.next.as_ref().map(|side| loader.load_side(1, side)).transpose()?;
    let (value_map, values) = loader.load_values()?;
    loader.check_seen(&used)?;
    let mut trees = current.1;
    trees.extend(next.iter().flat_map(|(_, trees)| trees.clone()));
    let state = Arc::new(State {
        current: current.0,
        next: next.map(|(side, _)| side),
        splitpoint: AtomicU64::new(meta.splitpoint),
    });
    *shared.space() = Space::new(used.clone());
    shared.state.replace(&shared.epoch, state.clone());
    let pager = Pager::new(shared, state, meta.counts, meta.metadata.clone(), values);
    let slots = pages.slots;
    let moving = Moving::default();
    let persisted = Persisted { meta, trees, bitmap, value_map, used, slots, moving };
    Ok(Opened { pager, persisted })
}

/// A sweep moves whole runs, so the splitpoint is where one begins.
pub(crate) fn check_splitpoint(meta: &Meta) -> std::result::Result<(), Fault> {
    if meta.next.is_none() {
        return Ok(());
    }
    let layout = meta.current.layout;
    let run = Layout::run_of(layout.bucket_of(meta.splitpoint));
    let start = layout.first_hash(layout.buckets_of_run(run).start).unwrap_or_default();
    Fault::expect(Promise::MetaField, start, meta.splitpoint)
}

/// The counts steer growth and shrinking: those that no file of this size can have are refused.
fn check_counts(meta: &Meta) -> std::result::Result<(), Fault> {
    let Counts { record_count, record_len, overflow_page_count, value_page_count, value_len } =
        meta.counts;
    let len_max = meta.page_count * meta.parameters.page_size as u64;
    for (found, max) in [
        (record_len, len_max),
        (record_count, record_len),
        (overflow_page_count, meta.page_count),
        (value_page_count, meta.page_count),
        (value_len, len_max),
    ] {
        if found > max {
            return Err(Fault::new(Promise::Count, max, found));
        }
    }
    Ok(())
}

type LoadedSide = (Arc<Side>, BTreeMap<(u64, Which), Tree>);

/// Called with the index of a leaf's first word, and its words.
type LeafLoader<'f, L> = &'f mut dyn FnMut(&mut L, u64, &[u64]) -> Result<()>;

struct Loader<'o> {
    shared: &'o Shared,
    meta: &'o Meta,
    /// Every page that a pointer has led to.
    seen: PageSet,
}

impl Loader<'_> {
    fn fault(&self, fault: Fault, place: Place) -> Error {
        fault.at(&self.shared.path, place)
    }

    fn see(&mut self, pointer: u64) -> Result<()> {
        let page = match Pointer::decode(pointer) {
            Pointer::Unchecked { page, .. } => page,
            _ => u64::MAX,
        };
        let first = meta::first_page(self.meta.parameters.page_size);
        if page < first || page >= self.meta.page_count {
            let fault = Fault::new(Promise::PageRange, self.meta.page_count, page);
            return Err(self.fault(fault, Place::Page(page)));
        }
        if !self.seen.insert(page) {
            return Err(self.fault(Fault::new(Promise::PageUse, 1, 2), Place::Page(page)));
        }
        Ok(())
    }

    fn load_bitmap(&mut self) -> Result<(Tree, PageSet)> {
        let page_size = self.meta.parameters.page_size;
        let len = self.meta.page_count.div_ceil(64);
        let mut words: Vec<u64> = Vec::new();
        let tree =
            self.load_tree(Kind::Bitmap, 0, len, self.meta.bitmap_root, &mut |_, at, leaf| {
                let at = usize::try_from(at).expect("below the page count");
                words.resize(words.len().max(at + leaf.len()), 0);
                words.iter_mut().skip(at).zip(leaf).for_each(|(word, &value)| *word = value);
                Ok(())
            })?;
        let first_page = meta::first_page(page_size);
        let mut used = PageSet::from_words(words);
        if self.meta.bitmap_root == 0 {
            for page in 0..first_page {
                used.insert(page);
            }
        }
        let place = Place::File;
        if used.end() > self.meta.page_count {
            let fault = Fault::new(Promise::PageUse, self.meta.page_count, used.end());
            return Err(self.fault(fault, place));
        }
        if let Some(page) = (0..first_page).find(|&page| !used.contains(page)) {
            return Err(self.fault(Fault::new(Promise::PageUse, 1, 0), Place::Page(page)));
        }
        let free = self.meta.page_count - used.len();
        Fault::expect(Promise::Count, self.meta.free_page_count, free)
            .map_err(|fault| self.fault(fault, place))?;
        Ok((tree, used))
    }

    fn load_side(&mut self, id: u64, side_meta: &SideMeta) -> Result<LoadedSide> {
        let count = side_meta.layout.bucket_count;
        let max = bucket_count_max(self.meta.page_count);
        if count > max {
            return Err(self.fault(Fault::new(Promise::MetaField, max, count), Place::File));
        }
        let side = Side::new(id, side_meta.layout);
        let mut trees = BTreeMap::new();
        for (which, root) in
            [(Which::Buckets, side_meta.bucket_root), (Which::Runs, side_meta.run_root)]
        {
            let len = side.len(which);
            let tree =
                self.load_tree(Kind::Directory, count, len, root, &mut |loader, at, leaf| {
                    for (index, &word) in (at..).zip(leaf) {
                        if word == 0 {
                            continue;
                        }
                        loader.see(word)?;
                        if index >= len {
                            let fault = Fault::new(Promise::PageRange, len, index);
                            return Err(loader.fault(fault, Place::File));
                        }
                        side.word(which, index).store(word, Ordering::SeqCst);
                    }
                    Ok(())
                })?;
            trees.insert((id, which), tree);
        }
        Ok((Arc::new(side), trees))
    }

    /// The counts of live grains. A page with one is used, and no other kind of page.
    fn load_values(&mut self) -> Result<(Tree, ValueArea)> {
        let page_size = self.meta.parameters.page_size;
        let ValueMeta { end, root } = self.meta.values;
        let width = crate::page::array::words_per_page(page_size);
        let len = end.div_ceil(WORD_PAGES).max(1).next_multiple_of(width);
        let mut live = LiveCounts::default();
        let tree = self.load_tree(Kind::ValueMap, 0, len, root, &mut |loader, at, leaf| {
            let words = (at..).zip(leaf).filter(|(_, word)| **word != 0);
            for (index, &word) in words {
                for (page, count) in (index * WORD_PAGES..).zip(counts_of(word)) {
                    if count > 0 {
                        loader.see_value_page(page, count)?;
                        live.set(page, count);
                    }
                }
            }
            Ok(())
        })?;
        let values = ValueArea::new(page_size, live);
        Fault::expect(Promise::Count, values.page_count(), self.meta.counts.value_page_count)
            .map_err(|fault| self.fault(fault, Place::File))?;
        Ok((tree, values))
    }

    fn see_value_page(&mut self, page: u64, count: u16) -> Result<()> {
        let first = meta::first_page(self.meta.parameters.page_size);
        let max = self.meta.parameters.page_size as u64 / GRAIN_SIZE;
        let fault = if page < first || page >= self.meta.values.end {
            Fault::new(Promise::PageRange, self.meta.values.end, page)
        } else if u64::from(count) > max {
            Fault::new(Promise::LiveCount, max, count.into())
        } else if !self.seen.insert(page) {
            Fault::new(Promise::PageUse, 1, 2)
        } else {
            return Ok(());
        };
        Err(self.fault(fault, Place::Page(page)))
    }

    fn load_tree(
        &mut self,
        kind: Kind,
        bucket_count: u64,
        len: u64,
        root: u64,
        leaf: LeafLoader<'_, Self>,
    ) -> Result<Tree> {
        let mut tree = Tree::new(kind, bucket_count, self.meta.parameters.page_size, len);
        let mut leaves: Vec<(u64, Vec<u64>)> = Vec::new();
        if root != 0 {
            let mut nodes = Reader { loader: self };
            tree.load(root, &mut nodes, &mut |at, words| {
                leaves.push((at, words.to_vec()));
                Ok(())
            })?;
        }
        for (at, words) in leaves {
            leaf(self, at, &words)?;
        }
        Ok(tree)
    }

    /// I4, as far as the directories tell: what they reach is used.
    fn check_seen(&self, used: &PageSet) -> Result<()> {
        for (i, &word) in self.seen.words().iter().enumerate() {
            let missing = word & !used.words().get(i).copied().unwrap_or_default();
            if missing != 0 {
                let page = i as u64 * 64 + u64::from(missing.trailing_zeros());
                return Err(self.fault(Fault::new(Promise::PageUse, 1, 0), Place::Page(page)));
            }
        }
        Ok(())
    }
}

struct Reader<'r, 'o> {
    loader: &'r mut Loader<'o>,
}

impl Nodes for Reader<'_, '_> {
    fn read(&mut self, node: Node, pointer: u64) -> Result<Vec<u64>> {
        self.loader.see(pointer)?;
        read_node(self.loader.shared, node, pointer)
    }

    fn write(&mut self, _: Node, _: &[u64]) -> Result<u64> {
        unreachable!("a tree that is loaded is not written")
    }

    fn free(&mut self, _: u64) {
        unreachable!("a tree that is loaded is not written")
    }
}

impl Shared {
    /// Cuts off what the file has beyond the pages that anyone may still look at. The caller sees
    /// to it that no page is taken meanwhile: it holds the writer's lock and no checkpoint runs.
    pub(crate) fn shorten(&self, page_count: u64) -> Result<()> {
        let _resizing = self.resizing.lock().unwrap_or_else(PoisonError::into_inner);
        let pages = page_count.max(self.space().taken().end());
        let len = (pages * self.parameters.page_size as u64).max((META_SIZE * META_SLOTS) as u64);
        if len >= self.file_len() {
            return Ok(());
        }
        // The shorter map first: nobody may touch what is cut off.
        self.remap(len)?;
        self.file_len.store(len, Ordering::Release);
        self.or_refuse(self.file.set_len(len).map_err(|e| Error::io("shorten", &self.path, e)))
    }
}

#[cfg(test)]
mod tests;
