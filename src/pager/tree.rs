//! Persistent arrays of words: a copy-on-write tree of pages for each directory, and one for the
//! bitmap of used pages.
//!
//! The tree of an array of `len` words has ⌈len / w⌉ leaves of w words each, above them pages of
//! pointers until one page is left, the root. Only the pointers are kept in memory. A changed leaf
//! is written to a new place, and so is every page above it (I1). Knows nothing of what the words
//! mean, nor of where pages are free: that is the [`Nodes`]' business.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Result;
use crate::page::{Kind, array};

/// Where the pages of trees are read from, written to and given back.
pub(crate) trait Nodes {
    /// Reads and checks a page.
    fn read(&mut self, node: Node, pointer: u64) -> Result<Vec<u64>>;
    /// Writes a page to a free place; gives its pointer.
    fn write(&mut self, node: Node, words: &[u64]) -> Result<u64>;
    /// The page of this pointer is no longer part of the newest tree.
    fn free(&mut self, pointer: u64);
}

/// Which page of which tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) bucket_count: u64,
    /// 0 for a leaf.
    pub(crate) level: u8,
    /// Index of the first word of the array that it covers, or would cover.
    pub(crate) owner: u64,
}

/// The pointers of one array's tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tree {
    kind: Kind,
    bucket_count: u64,
    words_per_page: u64,
    len: u64,
    /// `levels[0]` points to the leaves, the last has one pointer, the root's.
    levels: Vec<Vec<u64>>,
}

impl Tree {
    /// An array of `len` zeros, which takes no page.
    pub(crate) fn new(kind: Kind, bucket_count: u64, page_size: usize, len: u64) -> Tree {
        let words_per_page = array::words_per_page(page_size);
        let mut tree = Tree { kind, bucket_count, words_per_page, len: 0, levels: Vec::new() };
        tree.resize(len);
        tree
    }

    /// Makes room for `len` words; pages above the leaves are then written anew by the next
    /// update. Never fewer leaves: the bitmap only shrinks by being made anew.
    pub(crate) fn resize(&mut self, len: u64) {
        let mut count = len.max(1);
        let mut level = 0;
        loop {
            count = count.div_ceil(self.words_per_page);
            let pages = usize::try_from(count).expect("fewer pages than words");
            if level == self.levels.len() {
                self.levels.push(Vec::new());
            }
            if let Some(pointers) = self.levels.get_mut(level) {
                pointers.resize(pages, 0);
            }
            level += 1;
            if count == 1 {
                break;
            }
        }
        self.len = len;
    }

    /// The pointer to the root, 0 if all words are zero.
    pub(crate) fn root(&self) -> u64 {
        self.levels.last().and_then(|level| level.first()).copied().unwrap_or_default()
    }

    /// Pages on the lowest level.
    pub(crate) fn leaf_count(&self) -> usize {
        self.levels.first().map_or(0, Vec::len)
    }

    /// How many levels it has.
    pub(crate) fn level_count(&self) -> usize {
        self.levels.len()
    }

    fn node(&self, level: usize, index: usize) -> Node {
        let span =
            (0..level).fold(self.words_per_page, |n, _| n.saturating_mul(self.words_per_page));
        Node {
            kind: self.kind,
            bucket_count: self.bucket_count,
            level: u8::try_from(level).expect("a tree of 2³¹ words is flat"),
            owner: span.saturating_mul(index as u64),
        }
    }

    fn pointer(&self, level: usize, index: usize) -> u64 {
        self.levels.get(level).and_then(|l| l.get(index)).copied().unwrap_or_default()
    }

    /// Reads the whole tree; calls `leaf` with the index of each leaf's first word and its words.
    pub(crate) fn load(
        &mut self,
        root: u64,
        nodes: &mut dyn Nodes,
        leaf: &mut dyn FnMut(u64, &[u64]) -> Result<()>,
    ) -> Result<()> {
        let top = self.levels.len() - 1;
        self.set(top, 0, root);
        for level in (0..=top).rev() {
            let count = self.levels.get(level).map_or(0, Vec::len);
            for index in 0..count {
                let pointer = self.pointer(level, index);
                if pointer == 0 {
                    continue;
                }
                let node = self.node(level, index);
                let words = nodes.read(node, pointer)?;
                if level == 0 {
                    leaf(node.owner, &words)?;
                    continue;
                }
                let width = words.len();
                for (i, word) in words.into_iter().enumerate() {
                    self.set(level - 1, index * width + i, word);
                }
            }
        }
        Ok(())
    }

    fn set(&mut self, level: usize, index: usize, pointer: u64) {
        if let Some(slot) = self.levels.get_mut(level).and_then(|l| l.get_mut(index)) {
            *slot = pointer;
        }
    }

    /// Changes words of a directory, and writes some leaves anew in any case. A directory's page
    /// of zeros is not kept.
    pub(crate) fn update(
        &mut self,
        changes: &BTreeMap<u64, u64>,
        anew: &BTreeSet<usize>,
        nodes: &mut dyn Nodes,
    ) -> Result<()> {
        let mut by_leaf: BTreeMap<usize, Vec<(usize, u64)>> = BTreeMap::new();
        for (&index, &word) in changes {
            assert!(index < self.len);
            let (leaf, at) = (index / self.words_per_page, index % self.words_per_page);
            by_leaf.entry(as_usize(leaf)).or_default().push((as_usize(at), word));
        }
        for &leaf in anew {
            by_leaf.entry(leaf).or_default();
        }
        for (&leaf, leaf_changes) in &by_leaf {
            let node = self.node(0, leaf);
            let old = self.pointer(0, leaf);
            let mut words = match old {
                0 => vec![0; as_usize(self.words_per_page)],
                pointer => nodes.read(node, pointer)?,
            };
            for &(at, word) in leaf_changes {
                if let Some(slot) = words.get_mut(at) {
                    *slot = word;
                }
            }
            self.rewrite(0, leaf, &words, nodes)?;
        }
        self.update_above(by_leaf.into_keys().collect(), nodes)
    }

    fn rewrite(
        &mut self,
        level: usize,
        index: usize,
        words: &[u64],
        nodes: &mut dyn Nodes,
    ) -> Result<()> {
        let old = self.pointer(level, index);
        if old != 0 {
            nodes.free(old);
        }
        // The pages for a bitmap are set aside before it is known what it says.
        let zero = self.kind != Kind::Bitmap && words.iter().all(|&word| word == 0);
        let new = if zero { 0 } else { nodes.write(self.node(level, index), words)? };
        self.set(level, index, new);
        Ok(())
    }

    fn update_above(&mut self, mut dirty: BTreeSet<usize>, nodes: &mut dyn Nodes) -> Result<()> {
        let width = as_usize(self.words_per_page);
        for level in 1..self.levels.len() {
            dirty = dirty.into_iter().map(|index| index / width).collect();
            for &index in &dirty {
                let children = self.levels.get(level - 1).into_iter().flatten().copied();
                let words: Vec<u64> = children.skip(index * width).take(width).collect();
                self.rewrite(level, index, &words, nodes)?;
            }
        }
        Ok(())
    }

    /// Pages that writing these leaves anew takes: they, and all above them.
    pub(crate) fn pages_to_write(&self, leaves: &BTreeSet<usize>) -> usize {
        self.dirty_nodes(leaves).len()
    }

    /// The old pages that writing these leaves anew gives back.
    pub(crate) fn pages_to_free(&self, leaves: &BTreeSet<usize>) -> Vec<u64> {
        let nodes = self.dirty_nodes(leaves).into_iter();
        nodes.map(|(level, i)| self.pointer(level, i)).filter(|&pointer| pointer != 0).collect()
    }

    fn dirty_nodes(&self, leaves: &BTreeSet<usize>) -> BTreeSet<(usize, usize)> {
        let width = as_usize(self.words_per_page);
        let mut all = BTreeSet::new();
        let mut dirty = leaves.clone();
        for level in 0..self.levels.len() {
            all.extend(dirty.iter().map(|&index| (level, index)));
            dirty = dirty.into_iter().map(|index| index / width).collect();
        }
        all
    }

    /// Writes these leaves anew from `words`, the whole array.
    pub(crate) fn rewrite_leaves(
        &mut self,
        leaves: &BTreeSet<usize>,
        words: &[u64],
        nodes: &mut dyn Nodes,
    ) -> Result<()> {
        let width = as_usize(self.words_per_page);
        for &leaf in leaves {
            let words: Vec<u64> = words.iter().skip(leaf * width).take(width).copied().collect();
            self.rewrite(0, leaf, &words, nodes)?;
        }
        self.update_above(leaves.clone(), nodes)
    }

    /// The pointers of all its pages, with what each is.
    pub(crate) fn pages(&self) -> impl Iterator<Item = (Node, u64)> + '_ {
        self.levels.iter().enumerate().flat_map(move |(level, pointers)| {
            let nodes = pointers.iter().enumerate();
            nodes.filter(|(_, p)| **p != 0).map(move |(index, &p)| (self.node(level, index), p))
        })
    }

    /// The leaves below any of whose pages' numbers `moved` says yes to.
    pub(crate) fn leaves_through(&self, moved: &dyn Fn(u64) -> bool) -> BTreeSet<usize> {
        let width = as_usize(self.words_per_page);
        let leaf_count = self.levels.first().map_or(0, Vec::len);
        let mut leaves = BTreeSet::new();
        let mut span = 1;
        for pointers in &self.levels {
            for (index, &pointer) in pointers.iter().enumerate() {
                if pointer != 0 && moved(pointer) {
                    // One leaf below it suffices: all pages above that leaf are written anew.
                    let below = index * span..((index + 1) * span).min(leaf_count);
                    leaves.extend(below.clone().find(|&leaf| self.pointer(0, leaf) != 0));
                }
            }
            span *= width;
        }
        leaves
    }
}

fn as_usize(index: u64) -> usize {
    usize::try_from(index).expect("an index of an array in memory")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Heap {
        pages: BTreeMap<u64, (Node, Vec<u64>)>,
        next: u64,
    }

    impl Nodes for Heap {
        fn read(&mut self, node: Node, pointer: u64) -> Result<Vec<u64>> {
            let (found, words) = &self.pages[&pointer];
            assert_eq!(*found, node);
            Ok(words.clone())
        }
        fn write(&mut self, node: Node, words: &[u64]) -> Result<u64> {
            self.next += 1;
            let mut words = words.to_vec();
            words.resize(504, 0);
            self.pages.insert(self.next, (node, words));
            Ok(self.next)
        }
        fn free(&mut self, pointer: u64) {
            self.pages.remove(&pointer).expect("freed once");
        }
    }

    #[test]
    fn is_an_array_that_survives_being_loaded() {
        for len in [1, 504, 505, 5_000, 504 * 504 + 1] {
            let mut heap = Heap::default();
            let mut tree = Tree::new(Kind::Directory, 9, 4096, len);
            let mut model: BTreeMap<u64, u64> = BTreeMap::new();
            let mut state = len;
            for round in 0..30 {
                let mut changes = BTreeMap::new();
                for _ in 0..20 {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let word = if round % 3 == 0 { 0 } else { state };
                    changes.insert((state >> 20) % len, word);
                }
                tree.update(&changes, &BTreeSet::new(), &mut heap).unwrap();
                model.extend(changes);
                model.retain(|_, word| *word != 0);
                let mut loaded = Tree::new(Kind::Directory, 9, 4096, len);
                let mut found = BTreeMap::new();
                loaded
                    .load(tree.root(), &mut heap, &mut |owner, words| {
                        found.extend(words.iter().enumerate().map(|(i, &w)| (owner + i as u64, w)));
                        Ok(())
                    })
                    .unwrap();
                found.retain(|_, word| *word != 0);
                assert_eq!(found, model);
                assert_eq!(loaded, tree);
                assert_eq!(heap.pages.len(), tree.pages().count(), "no page is lost (I4)");
            }
        }
    }

    /// A tree with words in these leaves, of two pages above the leaves below the root.
    fn sparse(heap: &mut Heap, leaves: &[u64]) -> Tree {
        let mut tree = Tree::new(Kind::Directory, 9, 4096, 504 * 508);
        let changes = leaves.iter().map(|leaf| (leaf * 504 + 7, leaf + 1000)).collect();
        tree.update(&changes, &BTreeSet::new(), heap).unwrap();
        tree
    }

    #[test]
    fn each_page_is_loaded_to_its_place() {
        let mut heap = Heap::default();
        let tree = sparse(&mut heap, &[0, 503, 504, 507]);
        assert_eq!((tree.leaf_count(), tree.level_count(), tree.pages().count()), (508, 3, 7));
        let mut loaded = Tree::new(Kind::Directory, 9, 4096, 504 * 508);
        let mut found = Vec::new();
        let leaf = &mut |first, words: &[u64]| {
            found.extend((first..).zip(words.iter().copied()).filter(|(_, word)| *word != 0));
            Ok(())
        };
        loaded.load(tree.root(), &mut heap, leaf).unwrap();
        assert_eq!(loaded, tree);
        assert_eq!(found, [0, 503, 504, 507].map(|leaf| (leaf * 504 + 7, leaf + 1000)));
    }

    #[test]
    fn a_directory_s_page_of_zeros_is_not_kept_and_a_bitmap_s_is() {
        let mut heap = Heap::default();
        let mut tree = sparse(&mut heap, &[0, 504, 507]);
        let zero = |leaf: u64| BTreeMap::from([(leaf * 504 + 7, 0)]);
        for (leaf, left) in [(507, 5), (504, 3), (0, 0)] {
            tree.update(&zero(leaf), &BTreeSet::new(), &mut heap).unwrap();
            assert_eq!((tree.pages().count(), heap.pages.len()), (left, left), "{leaf}");
        }
        assert_eq!(tree.root(), 0);
        let mut bitmap = Tree::new(Kind::Bitmap, 0, 4096, 504 * 508);
        let words: Vec<u64> = (0..504 * 508).collect();
        let leaves = BTreeSet::from([0, 503, 504, 507]);
        bitmap.rewrite_leaves(&leaves, &words, &mut heap).unwrap();
        assert_eq!((bitmap.pages().count(), heap.pages.len()), (7, 7));
        for (node, pointer) in bitmap.pages().filter(|(node, _)| node.level == 0) {
            let owner = node.owner as usize;
            assert_eq!(heap.pages[&pointer].1, words[owner..owner + 504]);
        }
        bitmap.rewrite_leaves(&leaves, &[], &mut heap).unwrap();
        assert_eq!(bitmap.pages().count(), 7, "zeros as well");
    }

    #[test]
    fn a_page_moves_with_one_leaf_below_it() {
        let mut heap = Heap::default();
        let with_words = [2, 503, 504, 507];
        let tree = sparse(&mut heap, &with_words);
        assert!(tree.leaves_through(&|_| false).is_empty());
        assert_eq!(tree.leaves_through(&|_| true), with_words.map(as_usize).into());
        for (node, pointer) in tree.pages() {
            let below = match (node.level, node.owner) {
                (0, owner) => as_usize(owner / 504),
                (1, 0) | (2, 0) => 2,
                (1, _) => 504,
                other => panic!("{other:?}"),
            };
            let leaves = tree.leaves_through(&|moved| moved == pointer);
            assert_eq!(leaves, BTreeSet::from([below]), "{node:?}");
            let (mut copy, mut heap) = (tree.clone(), heap.clone());
            copy.update(&BTreeMap::new(), &leaves, &mut heap).unwrap();
            assert!(copy.pages().all(|(_, other)| other != pointer), "it was written anew");
            assert_eq!(copy.pages().count(), tree.pages().count());
        }
    }

    #[test]
    fn knows_beforehand_what_a_rewrite_takes_and_frees() {
        let mut heap = Heap::default();
        let mut tree = Tree::new(Kind::Bitmap, 0, 4096, 2000);
        let words = vec![1; 2000];
        let all: BTreeSet<usize> = (0..4).collect();
        assert_eq!(tree.pages_to_write(&all), 5);
        tree.rewrite_leaves(&all, &words, &mut heap).unwrap();
        assert_eq!(heap.pages.len(), 5);
        let two = BTreeSet::from([1, 3]);
        assert_eq!((tree.pages_to_write(&two), tree.pages_to_free(&two).len()), (3, 3));
        tree.rewrite_leaves(&two, &words, &mut heap).unwrap();
        assert_eq!(heap.pages.len(), 5);
        tree.resize(504 * 5);
        assert_eq!(tree.pages().count(), 5);
    }
}
