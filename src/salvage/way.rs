//! The way from the newest sound meta page: which pages it leads to, as far as that can be told.
//!
//! Where a directory is sound, it decides: the page that it names, by its checksum, or that there
//! is none. Where it is not, the bitmap does: what it calls used and proves itself is of this
//! checkpoint. Chains are followed by the checksums in their pages. Knows nothing of records.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::cover::END;
use super::report::Loss;
use super::roster::{Roster, Sound, examine};
use super::source::Source;
use crate::error::{Fault, Place, Promise, Result};
use crate::layout::Layout;
use crate::page::meta::{Meta, SideMeta};
use crate::page::pointer::Pointer;
use crate::page::{Kind, OwnedPage, array};
use crate::pager::{Node, Nodes, PageSet, Tree, WORD_PAGES, bucket_count_max};

/// What the checkpoint of a meta page is known to hold.
#[derive(Debug, Default)]
pub(super) struct Way {
    /// Bucket and overflow pages that it leads to, and that prove themselves.
    pub(super) pages: Vec<Sound>,
    /// Stretches of hashes that it has no bucket page for.
    pub(super) empty: Vec<(u128, u128)>,
    /// Runs whose overflow chain is not whole, by the layout's bucket count.
    pub(super) broken_runs: BTreeSet<(u64, u64)>,
    /// What pointers lead to, sound or not.
    pub(super) reached: PageSet,
    /// The pages of each kind that were reached and are sound, for those who draw them.
    pub(super) trees: Vec<(u64, Kind)>,
    /// By the bitmap, as far as it could be read.
    pub(super) used: PageSet,
    pub(super) losses: Vec<Loss>,
}

/// The words of a tree as far as it could be read.
#[derive(Debug, Default)]
struct Words {
    width: u64,
    leaves: BTreeMap<u64, Vec<u64>>,
    unknown: Vec<Range<u64>>,
}

impl Words {
    /// The word; `None` if it could not be read.
    fn get(&self, index: u64) -> Option<u64> {
        if self.unknown.iter().any(|range| range.contains(&index)) {
            return None;
        }
        let at = usize::try_from(index % self.width).unwrap_or_default();
        let leaf = self.leaves.get(&(index / self.width));
        Some(leaf.and_then(|words| words.get(at)).copied().unwrap_or_default())
    }
}

/// The hashes of a layout's part that the splitpoint leaves to it.
pub(super) fn clip(meta: &Meta, bucket_count: u64, stretch: (u128, u128)) -> (u128, u128) {
    let Some(next) = &meta.next else { return stretch };
    let splitpoint = u128::from(meta.splitpoint);
    if bucket_count == next.layout.bucket_count {
        (stretch.0, stretch.1.min(splitpoint))
    } else {
        (stretch.0.max(splitpoint), stretch.1)
    }
}

/// The hashes of a bucket.
pub(super) fn stretch(layout: Layout, bucket: u64) -> (u128, u128) {
    let first = layout.first_hash(bucket).map_or(END, u128::from);
    // A page that states a bucket of any number asks, too.
    let next = bucket.checked_add(1).and_then(|next| layout.first_hash(next));
    (first, next.map_or(END, u128::from))
}

pub(super) fn find(source: &Source, roster: &Roster, meta: &Meta) -> Way {
    let mut finder = Finder { source, roster, meta, way: Way::default() };
    finder.load_bitmap();
    finder.load_value_map();
    for side in [Some(&meta.current), meta.next.as_ref()].into_iter().flatten() {
        finder.load_side(side);
    }
    finder.way
}

struct Finder<'f> {
    source: &'f Source,
    roster: &'f Roster,
    meta: &'f Meta,
    way: Way,
}

impl Finder<'_> {
    fn load_bitmap(&mut self) {
        let len = self.meta.page_count.div_ceil(64);
        let words = self.load_words(Kind::Bitmap, 0, len, self.meta.bitmap_root);
        let mut used: Vec<u64> = Vec::new();
        for (leaf, leaf_words) in words.leaves {
            let at = usize::try_from(leaf * words.width).unwrap_or_default();
            used.resize(used.len().max(at + leaf_words.len()), 0);
            used.splice(at..at + leaf_words.len(), leaf_words);
        }
        self.way.used = PageSet::from_words(used);
    }

    /// Only for where its pages are: values are proven by their records.
    fn load_value_map(&mut self) {
        let end = self.meta.values.end;
        let len = end.div_ceil(WORD_PAGES).max(1);
        self.load_words(Kind::ValueMap, 0, len, self.meta.values.root);
    }

    fn load_side(&mut self, side: &SideMeta) {
        let (layout, count) = (side.layout, side.layout.bucket_count);
        // Counts that no file of this length can have make no array.
        if count > bucket_count_max(self.source.page_limit()) {
            let fault = Fault::new(Promise::MetaField, self.source.page_limit(), count);
            self.way.losses.push(Loss::new(Place::File, "directory", fault));
            return;
        }
        let buckets = self.load_words(Kind::Directory, count, count, side.bucket_root);
        let runs = self.load_words(Kind::Directory, count, layout.run_count(), side.run_root);
        let mut unknown = BTreeSet::new();
        for bucket in 0..count {
            let (first, end) = clip(self.meta, count, stretch(layout, bucket));
            if first >= end {
                continue;
            }
            match buckets.get(bucket) {
                Some(0) => match self.way.empty.last_mut() {
                    Some(last) if last.1 == first => last.1 = end,
                    _ => self.way.empty.push((first, end)),
                },
                Some(word) => {
                    let found = self.reach(word, (Kind::Bucket, bucket, count), "bucket page");
                    self.way.pages.extend(found);
                }
                None => {
                    unknown.insert(bucket);
                }
            }
        }
        let mut unknown_runs = BTreeSet::new();
        for run in 0..layout.run_count() {
            match runs.get(run) {
                Some(word) => self.follow(count, run, word),
                None => {
                    self.way.broken_runs.insert((count, run));
                    unknown_runs.insert(run);
                }
            }
        }
        self.take_used(count, &unknown);
    }

    /// Goes along a chain as far as its pages prove themselves.
    fn follow(&mut self, bucket_count: u64, run: u64, mut word: u64) {
        while word != 0 {
            let found = self.reach(word, (Kind::Overflow, run, bucket_count), "overflow page");
            let Some(sound) = found else {
                self.way.broken_runs.insert((bucket_count, run));
                return;
            };
            self.way.pages.push(sound);
            word = sound.next;
        }
    }

    /// What the bitmap calls used, and no sound directory or chain leads to.
    fn take_used(&mut self, bucket_count: u64, unknown: &BTreeSet<u64>) {
        for sound in &self.roster.pages {
            let is_lost_track_of = match sound.kind {
                Kind::Bucket => unknown.contains(&sound.owner),
                Kind::Overflow => self.way.broken_runs.contains(&(bucket_count, sound.owner)),
                Kind::Directory | Kind::Bitmap | Kind::ValueMap => false,
            };
            if is_lost_track_of
                && sound.bucket_count == bucket_count
                && sound.generation <= self.meta.generation
                && self.way.used.contains(sound.number)
                && self.way.reached.insert(sound.number)
            {
                self.way.pages.push(*sound);
            }
        }
    }

    /// The page that a pointer leads to, if it is that page.
    fn reach(
        &mut self,
        word: u64,
        (kind, owner, bucket_count): (Kind, u64, u64),
        what: &'static str,
    ) -> Option<Sound> {
        let Pointer::Unchecked { page, checksum } = Pointer::decode(word) else {
            let fault = Fault::new(Promise::PageRange, self.source.page_limit(), word);
            self.lose(Place::File, what, owner, fault);
            return None;
        };
        // A page that is reached twice ends a circle, and what is reached is not read twice.
        // Only pages that the file has: a set of others would have any size.
        let is_new = page < self.source.page_limit() && self.way.reached.insert(page);
        let sound = self.roster.of_pointer(page, checksum).filter(|sound| {
            is_new && (sound.kind, sound.owner, sound.bucket_count) == (kind, owner, bucket_count)
        });
        if sound.is_none() {
            let fault = self.fault_of(page, checksum, kind);
            self.lose(Place::Page(page), what, owner, fault);
        } else if sound.is_some_and(|sound| sound.at != page) {
            let found = sound.map_or(0, |sound| sound.at);
            self.way.losses.push(Loss {
                is_recovered: true,
                owner: Some(owner),
                ..Loss::new(Place::Page(page), what, Fault::new(Promise::PageNumber, page, found))
            });
        }
        sound.copied()
    }

    fn lose(&mut self, place: Place, what: &'static str, owner: u64, fault: Fault) {
        self.way.losses.push(Loss { owner: Some(owner), ..Loss::new(place, what, fault) });
    }

    /// Why the page is not the one that was meant.
    fn fault_of(&self, page: u64, checksum: u32, kind: Kind) -> Fault {
        if page < self.source.first_page() || page >= self.source.page_limit() {
            return Fault::new(Promise::PageRange, self.source.page_limit(), page);
        }
        let mut bytes = OwnedPage::new(self.source.page_size);
        if !self.source.read_page(page, &mut bytes) {
            return Fault::new(Promise::PageRead, 0, 1);
        }
        match examine(self.source, page, &bytes) {
            Err(fault) => fault,
            Ok(sound) if sound.number != page => {
                Fault::new(Promise::PageNumber, page, sound.number)
            }
            Ok(sound) if sound.kind != kind => {
                Fault::new(Promise::PageKind, kind as u64, sound.kind as u64)
            }
            Ok(sound) => {
                Fault::new(Promise::PointerChecksum, checksum.into(), sound.checksum.into())
            }
        }
    }

    fn load_words(&mut self, kind: Kind, bucket_count: u64, len: u64, root: u64) -> Words {
        let page_size = self.source.page_size;
        let width = array::words_per_page(page_size);
        let mut words = Words { width, ..Words::default() };
        if root != 0 {
            let mut tree = Tree::new(kind, bucket_count, page_size, len);
            let mut reader = Reader { finder: self, words: &mut words };
            // The reader never fails: it notes what is lost and goes on.
            let _ = tree.load(root, &mut reader, &mut |_, _| Ok(()));
        }
        words
    }
}

struct Reader<'r, 'f> {
    finder: &'r mut Finder<'f>,
    words: &'r mut Words,
}

impl Nodes for Reader<'_, '_> {
    fn read(&mut self, node: Node, pointer: u64) -> Result<Vec<u64>> {
        let what = match node.kind {
            Kind::Bitmap => "bitmap page",
            Kind::ValueMap => "page of the value map",
            _ => "directory page",
        };
        let is = (node.kind, node.owner, node.bucket_count);
        let size = self.finder.source.page_size;
        let found = self.finder.reach(pointer, is, what).and_then(|sound| {
            let mut page = OwnedPage::new(size);
            let is_read = self.finder.source.read_page(sound.at, &mut page);
            let is_level = array::check_header(page.bytes(), node.level).is_ok();
            (is_read && is_level).then(|| (sound.number, array::words(page.bytes()).collect()))
        });
        let width = self.words.width;
        let (number, words): (u64, Vec<u64>) = match found {
            Some(found) => found,
            None => {
                let span = (0..node.level).fold(width, |span, _| span.saturating_mul(width));
                self.words.unknown.push(node.owner..node.owner.saturating_add(span));
                return Ok(vec![0; usize::try_from(width).unwrap_or_default()]);
            }
        };
        self.finder.way.trees.push((number, node.kind));
        if node.level == 0 {
            self.words.leaves.insert(node.owner / width, words.clone());
        }
        Ok(words)
    }

    fn write(&mut self, _: Node, _: &[u64]) -> Result<u64> {
        unreachable!("a tree that is salvaged is not written")
    }

    fn free(&mut self, _: u64) {
        unreachable!("a tree that is salvaged is not written")
    }
}

#[cfg(test)]
mod tests {
    use super::{END, Layout, stretch};

    /// A page may state any bucket, the last number there is among them: what comes behind it has no
    /// number.
    #[test]
    fn a_bucket_of_any_number_has_a_stretch() {
        let layout = Layout::new(7);
        assert_eq!(stretch(layout, 6).1, END);
        for bucket in [7, u64::MAX - 1, u64::MAX] {
            assert_eq!(stretch(layout, bucket), (END, END), "{bucket}");
        }
    }
}
