//! Loading the trees for a check: directories and bitmap, as far as they can be read.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{Bitmap, Checker};
use crate::error::{Fault, Place, Promise, Result};
use crate::layout::Layout;
use crate::page::meta::SideMeta;
use crate::page::{Identity, Kind, OwnedPage, array};
use crate::pager::{Node, Nodes, PageSet, Tree, Which, bucket_count_max};

/// An entry whose pointer was wrong: not empty, and of no use. No page has this pointer.
const LOST: u64 = u64::MAX;

/// Puts ranges in order, those that touch into one: a damaged file may have one for every leaf.
pub(super) fn merged(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_unstable_by_key(|range| range.start);
    ranges.dedup_by(|next, range| {
        let touches = next.start <= range.end;
        if touches {
            range.end = range.end.max(next.end);
        }
        touches
    });
    ranges
}

/// Whether one of the ranges, which are [`merged`], has it.
pub(super) fn is_in(ranges: &[Range<u64>], at: u64) -> bool {
    let first = ranges.partition_point(|range| range.end <= at);
    ranges.get(first).is_some_and(|range| range.contains(&at))
}

/// An array of words as far as it could be read: only the leaves that the file has.
pub(super) struct Words {
    width: u64,
    leaves: BTreeMap<u64, (u64, Vec<u64>)>,
    /// Words of which nothing is known, in order and apart.
    pub(super) unknown: Vec<Range<u64>>,
}

impl Words {
    /// The word; `None` if it could not be read.
    pub(super) fn get(&self, index: u64) -> Option<u64> {
        if is_in(&self.unknown, index) {
            return None;
        }
        let at = usize::try_from(index % self.width).unwrap_or_default();
        let leaf = self.leaves.get(&(index / self.width));
        Some(leaf.and_then(|(_, words)| words.get(at)).copied().unwrap_or_default())
    }

    /// Whether an entry could not be read, or leads nowhere.
    pub(super) fn is_lost(&self, index: u64) -> bool {
        matches!(self.get(index), None | Some(LOST))
    }

    /// Whether any is.
    pub(super) fn has_lost(&self) -> bool {
        let mut words = self.leaves.values().flat_map(|(_, words)| words);
        !self.unknown.is_empty() || words.any(|&word| word == LOST)
    }

    /// Sets an entry that was lost. That it is in an unknown stretch stays known.
    pub(super) fn adopt(&mut self, index: u64, word: u64) {
        let width = usize::try_from(self.width).unwrap_or_default();
        let (_, words) =
            self.leaves.entry(index / self.width).or_insert_with(|| (0, vec![0; width]));
        let at = usize::try_from(index % self.width).unwrap_or_default();
        if let Some(slot) = words.get_mut(at) {
            *slot = word;
        }
    }

    /// The entries that lead to a page.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.leaves.iter().flat_map(move |(leaf, (_, words))| {
            let first = leaf * self.width;
            let all = (first..).zip(words.iter().copied());
            all.filter(|(_, word)| *word != 0 && *word != LOST)
        })
    }
}

/// A layout and its directories.
pub(super) struct CheckedSide {
    pub(super) layout: Layout,
    pub(super) is_next: bool,
    pub(super) buckets: Words,
    pub(super) runs: Words,
}

/// Reads the pages of one tree; a page that is damaged reads as zeros, and what it covers is noted
/// as unknown.
struct Reader<'r, 'c> {
    checker: &'r mut Checker<'c>,
    words: Words,
    len: u64,
}

impl Reader<'_, '_> {
    fn read_checked(&mut self, node: Node, pointer: u64) -> Option<Vec<u64>> {
        // The pointer to a node stands in a node or in the meta page; the walk does not tell which.
        let (page, checksum) = self.checker.claim_pointer(pointer, Place::File)?;
        let mut owned = OwnedPage::new(self.checker.page_size());
        let read = self.checker.read(self.checker.offset_of(page), owned.bytes_mut());
        self.checker.advance(1);
        let is = Identity {
            page_number: page,
            file_tag: self.checker.meta.parameters.file_tag(),
            kind: node.kind,
            owner: node.owner,
            bucket_count: node.bucket_count,
        };
        let place = Place::Page(page);
        let is_sound = self.checker.expect(place, read)
            && self.checker.check_page(&owned, checksum, is)
            && self.checker.expect(place, array::check_header(owned.bytes(), node.level));
        if !is_sound {
            return None;
        }
        let page_size = self.checker.page_size() as u64;
        if let Some(census) = &mut self.checker.census {
            let pages = &mut census.pages;
            let sum = match node.kind {
                Kind::Bitmap => &mut pages.bitmap,
                Kind::ValueMap => &mut pages.value_map,
                _ => &mut pages.directory,
            };
            *sum += page_size;
        }
        let mut words: Vec<u64> = array::words(owned.bytes()).collect();
        let child = self.span(node.level) / self.words.width;
        // Words beyond the array's end; those of the bitmap are looked at as pages.
        let end = self.len.saturating_sub(node.owner).div_ceil(child.max(1));
        let end = usize::try_from(end).unwrap_or(usize::MAX);
        if node.kind != Kind::Bitmap || node.level > 0 {
            let beyond = words.iter().skip(end).position(|&word| word != 0);
            if let Some(beyond) = beyond {
                let found = node.owner + (end + beyond) as u64 * child;
                self.checker.find(place, Fault::new(Promise::PageRange, self.len, found));
            }
            words.iter_mut().skip(end).for_each(|word| *word = 0);
        }
        if node.level == 0 {
            let leaf = node.owner / self.words.width;
            self.words.leaves.insert(leaf, (page, words.clone()));
        }
        Some(words)
    }

    /// Words that a node of this level covers.
    fn span(&self, level: u8) -> u64 {
        let width = self.words.width;
        (0..level).fold(width, |span, _| span.saturating_mul(width))
    }
}

impl Nodes for Reader<'_, '_> {
    fn read(&mut self, node: Node, pointer: u64) -> Result<Vec<u64>> {
        Ok(self.read_checked(node, pointer).unwrap_or_else(|| {
            if node.level > 0 {
                self.checker.lose();
            }
            let end = node.owner.saturating_add(self.span(node.level));
            self.words.unknown.push(node.owner..end);
            vec![0; usize::try_from(self.words.width).unwrap_or_default()]
        }))
    }

    fn write(&mut self, _: Node, _: &[u64]) -> Result<u64> {
        unreachable!("a tree that is checked is not written")
    }

    fn free(&mut self, _: u64) {
        unreachable!("a tree that is checked is not written")
    }
}

impl Checker<'_> {
    pub(super) fn load_words(
        &mut self,
        kind: Kind,
        bucket_count: u64,
        len: u64,
        root: u64,
    ) -> Words {
        let page_size = self.page_size();
        let width = array::words_per_page(page_size);
        let words = Words { width, leaves: BTreeMap::new(), unknown: Vec::new() };
        let mut reader = Reader { checker: self, words, len };
        if root != 0 {
            let mut tree = Tree::new(kind, bucket_count, page_size, len);
            // The reader never fails: it notes what it finds and goes on.
            let _ = tree.load(root, &mut reader, &mut |_, _| Ok(()));
        }
        let mut words = reader.words;
        words.unknown = merged(words.unknown);
        words
    }

    /// Loads the bitmap of used pages.
    pub(super) fn load_bitmap(&mut self) -> Bitmap {
        let len = self.meta.page_count.div_ceil(64);
        let words = self.load_words(Kind::Bitmap, 0, len, self.meta.bitmap_root);
        let mut used: Vec<u64> = Vec::new();
        for (leaf, (_, leaf_words)) in words.leaves {
            let at = usize::try_from(leaf * words.width).unwrap_or_default();
            used.resize(used.len().max(at + leaf_words.len()), 0);
            used.splice(at..at + leaf_words.len(), leaf_words);
        }
        let mut used = PageSet::from_words(used);
        if self.meta.bitmap_root == 0 {
            (0..self.first_page).for_each(|page| {
                used.insert(page);
            });
        }
        let pages = |range: Range<u64>| range.start * 64..range.end.saturating_mul(64);
        let unknown: Vec<Range<u64>> = words.unknown.into_iter().map(pages).collect();
        self.total = if unknown.is_empty() { used.len() } else { self.page_limit };
        Bitmap { used, unknown }
    }

    /// Loads the directories of a layout and claims the pages that they lead to.
    pub(super) fn load_side(&mut self, side: &SideMeta, is_next: bool) -> CheckedSide {
        let layout = side.layout;
        let count = layout.bucket_count;
        // What so few pages cannot hold is not given memory.
        if count > bucket_count_max(self.page_limit) {
            self.lose();
            let width = array::words_per_page(self.page_size());
            let all: Range<u64> = 0..u64::MAX;
            let unknown = || Words {
                width,
                leaves: BTreeMap::new(),
                unknown: std::iter::once(all.clone()).collect(),
            };
            return CheckedSide { layout, is_next, buckets: unknown(), runs: unknown() };
        }
        let mut buckets = self.load_words(Kind::Directory, count, count, side.bucket_root);
        let mut runs = self.load_words(Kind::Directory, count, layout.run_count(), side.run_root);
        for (which, words) in [(Which::Buckets, &mut buckets), (Which::Runs, &mut runs)] {
            if !words.unknown.is_empty() {
                self.lose();
            }
            let width = words.width;
            for (&leaf, (page, words)) in &mut words.leaves {
                self.claim_entries(layout, is_next, which, leaf * width, *page, words);
            }
        }
        CheckedSide { layout, is_next, buckets, runs }
    }

    fn claim_entries(
        &mut self,
        layout: Layout,
        is_next: bool,
        which: Which,
        first: u64,
        page: u64,
        words: &mut [u64],
    ) {
        let place = Place::Page(page);
        for (index, word) in (first..).zip(words).filter(|(_, word)| **word != 0) {
            if !self.may_have_page(layout, is_next, which, index) {
                self.find(place, Fault::new(Promise::SweptEntry, 0, index));
            }
            if self.claim_pointer(*word, place).is_none() {
                *word = LOST;
                self.lose();
            }
        }
    }

    /// I5: while a sweep runs, the entries of each side that the splitpoint does not select are
    /// empty. It stands where a run of the current layout begins.
    pub(super) fn may_have_page(
        &self,
        layout: Layout,
        is_next: bool,
        which: Which,
        index: u64,
    ) -> bool {
        let splitpoint = self.meta.splitpoint;
        let first_bucket = match which {
            Which::Buckets => index,
            Which::Runs => layout.buckets_of_run(index).start,
        };
        if is_next {
            layout.first_hash(first_bucket).is_some_and(|hash| hash < splitpoint)
        } else if self.meta.next.is_some() {
            let swept = layout.bucket_of(splitpoint);
            match which {
                Which::Buckets => index >= swept,
                Which::Runs => index >= Layout::run_of(swept),
            }
        } else {
            true
        }
    }
}
