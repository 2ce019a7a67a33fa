//! The value area: which pages hold values, how many live grains each has, and where the next value
//! goes.
//!
//! Values stand one after another, each without a gap, each from a multiple of 64 bytes (a *grain*)
//! on. A *value page* is one with a live grain; it counts them, and is dropped when none is left.
//! The next value goes to the *tail*, as long as the pages that follow are free; else the tail jumps
//! to another run of free pages. A checkpoint moves it on to a block that nothing stands in yet: no
//! later write touches a block that a meta page reaches (F3).
//!
//! Who makes a whole file at once can use it by itself: [`ValueArea::append`] gives places one
//! behind another, and [`ValueArea::freeze`] the words of the value map in the end.
//!
//! Knows nothing of files, nor of what is a key.

use std::collections::{BTreeMap, BTreeSet};

use super::PageRun;
use super::live_counts::LiveCounts;
use super::space::Space;
use crate::mutant::{Mutant, mutant};
use crate::page::pointer::PAGE_COUNT_MAX;
use crate::page::record::GRAIN_SIZE;

/// Grains of a block, which a torn write harms as a whole (F2).
const BLOCK_GRAINS: u64 = 4096 / GRAIN_SIZE;
/// Pages of which the counts stand in one word.
pub(crate) const WORD_PAGES: u64 = 4;
/// Pages that are cleaned together.
pub(crate) const GROUP_PAGES: usize = 64;
/// Free pages in a row that the tail jumps to, if values of the size at hand fill no fewer well.
const RUN_PAGES: u64 = 16;

/// The pages of values.
#[derive(Debug)]
pub(crate) struct ValueArea {
    grains_per_page: u64,
    /// Live grains of each page.
    live: LiveCounts,
    page_count: u64,
    grain_count: u64,
    /// The grain that the next value begins at. The page around it is open, unless it begins there.
    tail: u64,
    /// Words of counts that differ from the last checkpoint's.
    changed: BTreeSet<u64>,
    /// Pages that the last checkpoint does not reach.
    new: Vec<PageRun>,
    /// Pages without a live grain that the last checkpoint may reach.
    dropped: Vec<PageRun>,
    /// Grains written since the file was opened.
    written: u64,
    /// Grains that have died since the last freeze: their pages cannot be used before it is done.
    released: u64,
    /// Only the lowest free pages will do: the file is being shortened.
    pub(crate) is_packing: bool,
}

/// What a checkpoint takes along.
#[derive(Debug, Default)]
pub(crate) struct FrozenValues {
    /// Words of counts, by index.
    pub(crate) words: BTreeMap<u64, u64>,
    /// One more than the last value page.
    pub(crate) end: u64,
    pub(crate) new: Vec<PageRun>,
    pub(crate) dropped: Vec<PageRun>,
}

impl ValueArea {
    /// From the counts of all pages, as the file has them.
    pub(crate) fn new(page_size: usize, live: LiveCounts) -> ValueArea {
        let groups = live.stretches(GROUP_PAGES).map(sum_up);
        let (pages, grains) = groups.fold((0, 0), |sum, (_, p, g)| (sum.0 + p, sum.1 + g));
        ValueArea {
            grains_per_page: page_size as u64 / GRAIN_SIZE,
            page_count: pages,
            grain_count: grains,
            live,
            tail: 0,
            changed: BTreeSet::new(),
            new: Vec::new(),
            dropped: Vec::new(),
            written: 0,
            released: 0,
            is_packing: false,
        }
    }

    /// Pages with a live grain.
    pub(crate) fn page_count(&self) -> u64 {
        self.page_count
    }

    /// Live grains of all pages.
    pub(crate) fn grain_count(&self) -> u64 {
        self.grain_count
    }

    /// Grains written since the file was opened.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Bytes that have died since the last freeze.
    pub(crate) fn released_len(&self) -> u64 {
        self.released * GRAIN_SIZE
    }

    /// Grains of a page.
    pub(crate) fn grains_per_page(&self) -> u64 {
        self.grains_per_page
    }

    /// Whether the last checkpoint has it all.
    pub(super) fn is_unchanged(&self) -> bool {
        self.new.is_empty() && self.dropped.is_empty()
    }

    /// For each group of pages with a value page: its number, its value pages, their live grains.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (u64, u64, u64)> + '_ {
        self.live.stretches(GROUP_PAGES).map(sum_up)
    }

    /// Finds a place for a value of so many grains; `None` if no page number is left.
    pub(crate) fn append(&mut self, grains: u64, space: &mut Space) -> Option<u64> {
        let per_page = self.grains_per_page;
        let next = self.tail.div_ceil(per_page);
        let room = next * per_page - self.tail;
        if grains > room {
            let pages = (grains - room).div_ceil(per_page);
            // Behind the file's end all pages are free: what was given back must be looked at first.
            let follows = self.tail > 0
                && (self.is_packing || !space.has_more())
                && next + pages <= PAGE_COUNT_MAX
                && space.allocate_at(PageRun { first: next, count: pages });
            if follows {
                self.new.push(PageRun { first: next, count: pages });
            } else {
                self.leave_tail();
                let count = grains.div_ceil(per_page);
                let least = if self.is_packing { count } else { self.least_run(grains) };
                let run = space.allocate_from(count, least);
                if run.end() > PAGE_COUNT_MAX {
                    space.free(run);
                    return None;
                }
                self.new.push(run);
                self.tail = run.first * per_page;
            }
        }
        let place = self.tail;
        self.tail += grains;
        self.written += grains;
        self.count(place, grains);
        Some(place)
    }

    /// The free pages in a row that the tail jumps to at least: as many as values of this size fill
    /// but for a sixteenth.
    fn least_run(&self, grains: u64) -> u64 {
        let count = grains.div_ceil(self.grains_per_page);
        let is_full = |pages: &u64| {
            let room = pages * self.grains_per_page;
            room % grains * 16 <= room
        };
        (count..RUN_PAGES).find(is_full).unwrap_or(count.max(RUN_PAGES))
    }

    fn count(&mut self, place: u64, grains: u64) {
        for (page, grains) in parts(place, grains, self.grains_per_page) {
            let count = self.live.get(page);
            let added = u16::try_from(grains).expect("a page has 1024 grains at most");
            self.page_count += u64::from(count == 0);
            self.live.set(page, count.saturating_add(added));
            self.changed.insert(page / WORD_PAGES);
        }
        self.grain_count += grains;
    }

    /// No record leads to these grains any more. The counts come from the file: `check` tells if
    /// they lie, here they must only not wrap, nor give a page back twice.
    pub(super) fn release(&mut self, place: u64, grains: u64) {
        let end = self.live.end() * self.grains_per_page;
        let grains = grains.min(end.saturating_sub(place));
        self.released += grains;
        for (page, grains) in parts(place, grains, self.grains_per_page) {
            if self.discount(page, grains) && self.open_page() != Some(page) {
                self.dropped.push(PageRun::one(page));
            }
        }
    }

    /// `true` if the page has no live grain any more.
    fn discount(&mut self, page: u64, grains: u64) -> bool {
        let count = self.live.get(page);
        let gone = u16::try_from(grains).unwrap_or(u16::MAX).min(count);
        if gone == 0 {
            return false;
        }
        self.live.set(page, count - gone);
        self.grain_count = self.grain_count.saturating_sub(gone.into());
        self.changed.insert(page / WORD_PAGES);
        self.page_count -= u64::from(gone == count);
        gone == count
    }

    /// Takes back a value that no record has led to. If it is the newest its pages are free at once,
    /// and the tail is where it was before, or at the beginning of a page of its own; if the tail
    /// has jumped since, it is dead like any other.
    pub(super) fn take_back(&mut self, place: u64, grains: u64, space: &mut Space) {
        if place + grains != self.tail {
            return self.release(place, grains);
        }
        let first_unused = place.div_ceil(self.grains_per_page);
        for (page, grains) in parts(place, grains, self.grains_per_page) {
            self.discount(page, grains);
        }
        self.tail = place;
        let Some(run) = self.new.last_mut().filter(|run| run.end() > first_unused) else { return };
        let unused = PageRun {
            first: first_unused.max(run.first),
            count: run.end() - first_unused.max(run.first),
        };
        run.count -= unused.count;
        if run.count == 0 {
            self.new.pop();
        }
        space.free(unused);
    }

    /// The page that the tail is in the midst of.
    fn open_page(&self) -> Option<u64> {
        (!self.tail.is_multiple_of(self.grains_per_page)).then(|| self.tail / self.grains_per_page)
    }

    /// The next value goes elsewhere.
    pub(crate) fn leave_tail(&mut self) {
        let open = self.open_page();
        self.tail = 0;
        self.drop_if_dead(open);
    }

    /// Drops the page that was open, if nothing in it is alive.
    fn drop_if_dead(&mut self, open: Option<u64>) {
        if let Some(page) = open.filter(|&page| self.live.get(page) == 0) {
            self.dropped.push(PageRun::one(page));
        }
    }

    /// What has changed since the last freeze. From now on nothing is written into a block that
    /// holds a value of before.
    pub(crate) fn freeze(&mut self) -> FrozenValues {
        let open = self.open_page();
        if !mutant(Mutant::ValueInReachedBlock) {
            self.tail = self.tail.next_multiple_of(BLOCK_GRAINS);
        }
        if self.open_page().is_none() {
            self.drop_if_dead(open);
        } else if open.is_some_and(|page| self.live.get(page) == 0) {
            self.leave_tail();
        }
        self.released = 0;
        let words = std::mem::take(&mut self.changed);
        FrozenValues {
            words: words.into_iter().map(|index| (index, self.word(index))).collect(),
            end: self.live.end(),
            new: std::mem::take(&mut self.new),
            dropped: std::mem::take(&mut self.dropped),
        }
    }

    /// A checkpoint was abandoned: the next one takes along what it would have.
    pub(super) fn thaw(&mut self, frozen: FrozenValues) {
        self.changed.extend(frozen.words.keys());
        // What is given back stands last.
        self.new.splice(0..0, frozen.new);
        self.dropped.extend(frozen.dropped);
    }

    fn word(&self, index: u64) -> u64 {
        let first = index * WORD_PAGES;
        (0..WORD_PAGES).fold(0, |word, i| word | u64::from(self.live.get(first + i)) << (16 * i))
    }
}

/// The counts in a word.
pub(crate) fn counts_of(word: u64) -> [u16; 4] {
    [0, 16, 32, 48].map(|shift| u16::try_from(word >> shift & 0xffff).unwrap_or_default())
}

/// The pages that grains lie in, and how many in each.
pub(crate) fn parts(place: u64, grains: u64, per_page: u64) -> impl Iterator<Item = (u64, u64)> {
    let end = place + grains;
    let pages = place / per_page..end.div_ceil(per_page).max(place / per_page);
    pages.map(move |page| {
        let (first, last) = (page * per_page, (page + 1) * per_page);
        (page, end.min(last) - place.max(first))
    })
}

fn sum_up((group, counts): (u64, &[u16])) -> (u64, u64, u64) {
    let pages = counts.iter().filter(|&&count| count > 0).count() as u64;
    (group, pages, counts.iter().map(|&count| u64::from(count)).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pager::PageSet;

    fn space() -> Space {
        let mut taken = PageSet::default();
        (0..4).for_each(|page| {
            taken.insert(page);
        });
        Space::new(taken)
    }

    /// Frees what a checkpoint would; checks that no block is written after one that has it.
    fn settle(area: &mut ValueArea, space: &mut Space) -> FrozenValues {
        let frozen = area.freeze();
        frozen.dropped.iter().for_each(|&run| space.free(run));
        frozen
    }

    #[test]
    fn values_have_their_grains_for_themselves_and_pages_are_given_back() {
        for page_size in [4096, 16384, 65536] {
            let mut space = space();
            let mut area = ValueArea::new(page_size, LiveCounts::default());
            let mut live: Vec<(u64, u64)> = Vec::new();
            let mut frozen_blocks = BTreeSet::new();
            let mut state = 3_u64;
            for step in 0..20_000 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let draw = (state >> 33) % 1000;
                let grains = [1, 3, 48, 64, 65, 300][(state >> 50) as usize % 6];
                if draw < 450 {
                    let place = area.append(grains, &mut space).unwrap();
                    let end = place + grains;
                    assert!(live.iter().all(|&(p, g)| end <= p || p + g <= place), "step {step}");
                    let blocks = place / BLOCK_GRAINS..end.div_ceil(BLOCK_GRAINS);
                    assert!(blocks.into_iter().all(|block| !frozen_blocks.contains(&block)));
                    if draw < 50 {
                        // Several, as of a commit that could not be appended; the tail may jump.
                        let more: Vec<u64> = (0..draw % 4)
                            .map(|_| area.append(grains, &mut space).unwrap())
                            .collect();
                        more.iter().rev().for_each(|&p| area.take_back(p, grains, &mut space));
                        area.take_back(place, grains, &mut space);
                    } else {
                        live.push((place, grains));
                    }
                } else if draw < 950 && !live.is_empty() {
                    let (place, grains) = live.swap_remove(state as usize % live.len());
                    area.release(place, grains);
                } else if draw > 990 {
                    settle(&mut area, &mut space);
                    frozen_blocks = live
                        .iter()
                        .flat_map(|&(p, g)| p / BLOCK_GRAINS..(p + g).div_ceil(BLOCK_GRAINS))
                        .collect();
                }
                assert_eq!(area.grain_count(), live.iter().map(|(_, g)| g).sum::<u64>());
            }
            live.drain(..).for_each(|(place, grains)| area.release(place, grains));
            area.leave_tail();
            let frozen = settle(&mut area, &mut space);
            assert_eq!((area.page_count(), frozen.end, space.taken().len()), (0, 0, 4));
        }
    }

    #[test]
    fn a_page_that_came_or_went_is_a_change() {
        let mut space = space();
        let mut area = ValueArea::new(4096, LiveCounts::default());
        assert!(area.is_unchanged());
        let place = area.append(1, &mut space).unwrap();
        assert!(!area.is_unchanged(), "a new page");
        settle(&mut area, &mut space);
        assert!(area.is_unchanged());
        area.leave_tail();
        area.release(place, 1);
        assert_eq!((area.released_len(), area.page_count()), (64, 0));
        assert!(!area.is_unchanged(), "a dropped page");
        settle(&mut area, &mut space);
        assert!(area.is_unchanged());
        assert_eq!((area.released_len(), space.taken().len()), (0, 4));
    }

    #[test]
    fn the_tail_goes_on_unless_pages_were_given_back() {
        let mut space = space();
        let mut area = ValueArea::new(4096, LiveCounts::default());
        assert_eq!(area.grains_per_page(), 64);
        let per_page = 64;
        let first = area.append(64, &mut space).unwrap();
        assert_eq!((area.append(64, &mut space), area.written()), (Some(first + 64), 128));
        // A page of others stands in the way; once it is free the tail jumps back to it.
        let gap = space.allocate(1);
        assert_eq!(area.append(64, &mut space), Some(gap.end() * per_page), "not in a row");
        space.free(gap);
        assert_eq!(area.append(64, &mut space), Some(gap.first * per_page));
        assert_eq!(area.written(), 256);
        // What fits the rest of a page stays there.
        let end = area.append(60, &mut space).unwrap() + 60;
        assert_eq!(area.append(4, &mut space), Some(end));
        assert_eq!(area.page_count(), 5);
    }

    #[test]
    fn a_count_that_lies_does_no_harm() {
        let mut live = LiveCounts::default();
        live.set(9, 1);
        let mut area = ValueArea::new(4096, live);
        area.release(9 * 64, 64);
        area.release(9 * 64, 64);
        area.release(8 * 64, 1 << 26);
        area.release(1 << 39, 64);
        assert_eq!(area.dropped, [PageRun::one(9)], "once");
        assert_eq!((area.page_count(), area.grain_count()), (0, 0));
        // Beside a page that has some.
        let mut live = LiveCounts::default();
        live.set(20, 7);
        let mut area = ValueArea::new(4096, live);
        area.release(9 * 64, 64);
        assert!(area.dropped.is_empty() && area.changed.is_empty());
        assert_eq!((area.page_count(), area.grain_count()), (1, 7));
    }

    #[test]
    fn no_page_has_a_number_above_the_limit() {
        // All pages but the last 64 are taken.
        let words = usize::try_from(PAGE_COUNT_MAX / 64 - 1).unwrap();
        let mut space = Space::new(PageSet::from_words(vec![u64::MAX; words]));
        let free_from = PAGE_COUNT_MAX - 64;
        let mut area = ValueArea::new(4096, LiveCounts::default());
        assert_eq!(area.append(65 * 64, &mut space), None);
        assert_eq!(area.append(30 * 64, &mut space), Some(free_from * 64));
        assert_eq!(area.append(30 * 64, &mut space), Some((free_from + 30) * 64));
        assert_eq!(area.append(5 * 64, &mut space), None, "neither at the tail nor elsewhere");
        assert_eq!(space.taken().end(), PAGE_COUNT_MAX - 4);
        assert_eq!(area.append(4 * 64, &mut space), Some((free_from + 60) * 64));
        assert_eq!(space.taken().end(), PAGE_COUNT_MAX);
        assert_eq!((area.page_count(), area.grain_count()), (64, 64 * 64));
    }
}
