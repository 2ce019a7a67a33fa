//! The new file as it is written: a page for each bucket at a fixed place, in hash order; behind
//! them, as they come, overflow pages, value pages, and at last the directories and the bitmap.
//!
//! ```text
//! meta pages | bucket 0 | bucket 1 | … | overflow and value pages | directories | bitmap
//! ```
//!
//! Knows pages and where they go, not where records come from.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::build::Pages;
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::page::meta::{
    Counts, FileParameters, LogPosition, META_SIZE, META_SLOTS, Meta, SideMeta, ValueMeta,
    first_page,
};
use crate::page::pointer::{PAGE_COUNT_MAX, Pointer};
use crate::page::{Kind, array, seal};
use crate::pager::{LiveCounts, Node, Nodes, Tree, WORD_PAGES};
use crate::storage::StorageFile;

/// Of the pages of a new file: they are older than any checkpoint.
const GENERATION: u64 = 1;
/// Bytes that the file grows by at least.
const GROWTH: u64 = 1 << 20;

/// The file, for all who write pages of it.
pub(super) struct Output<'o> {
    pub(super) file: &'o dyn StorageFile,
    pub(super) path: &'o Path,
    pub(super) parameters: FileParameters,
    pub(super) layout: Layout,
    /// What its pages hold, and how.
    pub(super) pages: Pages,
    tail: Mutex<Tail>,
    written_len: AtomicU64,
}

/// The pages behind those of the buckets.
struct Tail {
    next_page: u64,
    file_len: u64,
    /// Pages before the next one that nobody uses.
    holes: Vec<Range<u64>>,
}

impl<'o> Output<'o> {
    pub(super) fn new(
        file: &'o dyn StorageFile,
        path: &'o Path,
        parameters: FileParameters,
        layout: Layout,
    ) -> Result<Output<'o>> {
        let next_page = first_page(parameters.page_size) + layout.bucket_count;
        let tail = Mutex::new(Tail { next_page, file_len: 0, holes: Vec::new() });
        let (pages, written_len) = (Pages::new(&parameters), AtomicU64::new(0));
        let output = Output { file, path, parameters, layout, pages, tail, written_len };
        output.grow(&mut output.tail(), next_page)?;
        Ok(output)
    }

    fn tail(&self) -> std::sync::MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn page_size(&self) -> usize {
        self.parameters.page_size
    }

    /// The page of a bucket.
    pub(super) fn bucket_page(&self, bucket: u64) -> u64 {
        first_page(self.page_size()) + bucket
    }

    /// Bytes that were written.
    pub(super) fn written_len(&self) -> u64 {
        self.written_len.load(Ordering::Relaxed)
    }

    /// The next pages behind all others.
    pub(super) fn allocate(&self, count: u64) -> Result<u64> {
        let mut tail = self.tail();
        let first = tail.next_page;
        let end = first + count;
        self.grow(&mut tail, end)?;
        tail.next_page = end;
        Ok(first)
    }

    /// Pages for values of which one takes `least`: some that were given back, or more than that
    /// behind all others, in proportion to the file.
    pub(super) fn allocate_values(&self, least: u64) -> Result<Range<u64>> {
        const PAGES_MIN: u64 = 16;
        const PAGES_MAX: u64 = 256;
        let mut tail = self.tail();
        if let Some(at) = tail.holes.iter().position(|hole| hole.end - hole.start >= least) {
            return Ok(tail.holes.swap_remove(at));
        }
        let count = least.max((tail.next_page / 64).clamp(PAGES_MIN, PAGES_MAX));
        let first = tail.next_page;
        self.grow(&mut tail, first + count)?;
        tail.next_page = first + count;
        Ok(first..first + count)
    }

    /// Takes back pages that nothing was written to.
    pub(super) fn give_back(&self, pages: Range<u64>) {
        let mut tail = self.tail();
        if pages.end == tail.next_page {
            tail.next_page = pages.start.min(pages.end);
        } else if !pages.is_empty() {
            tail.holes.push(pages);
        }
    }

    /// Before pages are written the file is as long as they need, and always whole pages.
    fn grow(&self, tail: &mut Tail, end: u64) -> Result<()> {
        if end >= PAGE_COUNT_MAX {
            let full = std::io::Error::from(std::io::ErrorKind::FileTooLarge);
            return Err(Error::io("write", self.path, full));
        }
        let needed = end * self.page_size() as u64;
        if needed > tail.file_len {
            let len = (needed + GROWTH).next_multiple_of(1 << 16);
            self.file.set_len(len).map_err(|e| Error::io("grow", self.path, e))?;
            tail.file_len = len;
        }
        Ok(())
    }

    /// Writes pages to their place.
    pub(super) fn write(&self, page: u64, bytes: &[u8]) -> Result<()> {
        self.write_at(bytes, page * self.page_size() as u64)
    }

    /// Writes bytes to where pages were allocated for them.
    pub(super) fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let written = self.file.write_all_at(bytes, offset);
        written.map_err(|e| Error::io("write", self.path, e))?;
        self.written_len.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Seals a page; gives its pointer.
    pub(super) fn seal(&self, bytes: &mut [u8], page: u64) -> u64 {
        let checksum = seal(bytes, page, self.parameters.file_tag(), GENERATION);
        Pointer::Unchecked { page, checksum }.encode()
    }

    /// Writes directories, bitmap and meta pages: the file is whole. Not yet synced.
    pub(super) fn end(
        &self,
        (bucket_words, run_words, live): (&[u64], &[u64], &LiveCounts),
        counts: Counts,
        log: LogPosition,
        metadata: Vec<u8>,
    ) -> Result<()> {
        let size = self.page_size();
        let count = self.layout.bucket_count;
        let mut nodes = NewNodes { output: self, first: 0, buffer: Vec::new() };
        let mut root = |words: &[u64]| -> Result<u64> {
            let mut tree = Tree::new(Kind::Directory, count, size, words.len() as u64);
            tree.rewrite_leaves(&(0..tree.leaf_count()).collect(), words, &mut nodes)?;
            Ok(tree.root())
        };
        let (bucket_root, run_root) = (root(bucket_words)?, root(run_words)?);
        nodes.flush()?;
        let values = self.write_value_map(live)?;
        let (bitmap_root, page_count, free_page_count) = self.write_bitmap(bucket_words)?;
        let mut meta = Meta {
            parameters: self.parameters,
            generation: 0,
            clean: true,
            page_count,
            free_page_count,
            counts,
            current: SideMeta { layout: self.layout, bucket_root, run_root },
            next: None,
            splitpoint: 0,
            bitmap_root,
            values,
            log,
            metadata,
        };
        let len = (page_count * size as u64).max((META_SIZE * META_SLOTS) as u64);
        self.file.set_len(len).map_err(|e| Error::io("write", self.path, e))?;
        for slot in 0..2 {
            meta.generation += 1;
            self.write_at(&meta.encode(), slot * META_SIZE as u64)?;
        }
        Ok(())
    }

    fn write_value_map(&self, live: &LiveCounts) -> Result<ValueMeta> {
        let end = live.end();
        let len = end.div_ceil(WORD_PAGES);
        let mut words = vec![0; usize::try_from(len).expect("page numbers have 30 bits")];
        let width = usize::try_from(WORD_PAGES).expect("4");
        for (index, counts) in live.stretches(width) {
            let word = counts.iter().rev().fold(0, |word, &count| word << 16 | u64::from(count));
            let at = usize::try_from(index).ok();
            at.and_then(|at| words.get_mut(at)).into_iter().for_each(|to| *to = word);
        }
        let mut tree = Tree::new(Kind::ValueMap, 0, self.page_size(), len.max(1));
        let mut nodes = NewNodes { output: self, first: 0, buffer: Vec::new() };
        if end > 0 {
            tree.rewrite_leaves(&(0..tree.leaf_count()).collect(), &words, &mut nodes)?;
            nodes.flush()?;
        }
        Ok(ValueMeta { end, root: tree.root() })
    }

    /// All pages are used but those of buckets without records, and those that were given back.
    fn write_bitmap(&self, bucket_words: &[u64]) -> Result<(u64, u64, u64)> {
        let size = self.page_size();
        let before = self.tail().next_page;
        // Its own pages are in it: as many more as that makes.
        let mut page_count = before;
        let tree = loop {
            let tree = Tree::new(Kind::Bitmap, 0, size, page_count.div_ceil(64));
            let needed = before + tree.pages_to_write(&(0..tree.leaf_count()).collect()) as u64;
            if needed <= page_count {
                break tree;
            }
            page_count = needed;
        };
        let mut words = vec![u64::MAX; words_len(page_count)];
        if let (Some(last), rest @ 1..) = (words.last_mut(), page_count % 64) {
            *last = (1 << rest) - 1;
        }
        let mut free_page_count = 0;
        let holes = self.tail().holes.clone();
        let empty = (self.bucket_page(0)..).zip(bucket_words).filter(|(_, word)| **word == 0);
        for page in empty.map(|(page, _)| page).chain(holes.into_iter().flatten()) {
            if let Some(word) = words.get_mut(words_len(page + 1) - 1) {
                *word &= !(1 << (page % 64));
                free_page_count += 1;
            }
        }
        let mut tree = tree;
        let mut nodes = NewNodes { output: self, first: 0, buffer: Vec::new() };
        tree.rewrite_leaves(&(0..tree.leaf_count()).collect(), &words, &mut nodes)?;
        nodes.flush()?;
        Ok((tree.root(), self.tail().next_page, free_page_count))
    }
}

fn words_len(page_count: u64) -> usize {
    usize::try_from(page_count.div_ceil(64)).expect("page numbers have 30 bits")
}

/// Pages of trees, gathered as they come.
struct NewNodes<'n> {
    output: &'n Output<'n>,
    first: u64,
    buffer: Vec<u8>,
}

impl NewNodes<'_> {
    fn flush(&mut self) -> Result<()> {
        if !self.buffer.is_empty() {
            self.output.write(self.first, &self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }
}

impl Nodes for NewNodes<'_> {
    fn read(&mut self, _: Node, _: u64) -> Result<Vec<u64>> {
        unreachable!("a tree that is made anew is not read")
    }

    fn write(&mut self, node: Node, words: &[u64]) -> Result<u64> {
        const BUFFER_LEN: usize = 1 << 20;
        let size = self.output.page_size();
        let page = self.output.allocate(1)?;
        if self.buffer.len() >= BUFFER_LEN {
            self.flush()?;
        }
        if self.buffer.is_empty() {
            self.first = page;
        }
        let at = self.buffer.len();
        self.buffer.resize(at + size, 0);
        let bytes = self.buffer.get_mut(at..).unwrap_or_default();
        array::encode(bytes, node.kind, node.level, node.owner, node.bucket_count, words);
        Ok(self.output.seal(bytes, page))
    }

    fn free(&mut self, _: u64) {
        unreachable!("a tree that is made anew has no old pages")
    }
}
