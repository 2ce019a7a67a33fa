//! Which pages of the file are taken: a bitmap in memory, lowest free page first.
//!
//! *Taken* means: reachable from the newest checkpoint or from memory, or dropped and perhaps
//! still looked at. Knows nothing of files; the file's own bitmap is the checkpoint's business.

/// Pages one after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PageRun {
    pub(crate) first: u64,
    pub(crate) count: u64,
}

impl PageRun {
    pub(crate) fn one(page: u64) -> PageRun {
        PageRun { first: page, count: 1 }
    }

    pub(crate) fn end(self) -> u64 {
        self.first + self.count
    }
}

/// A set of page numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PageSet {
    words: Vec<u64>,
}

impl PageSet {
    pub(crate) fn from_words(words: Vec<u64>) -> PageSet {
        PageSet { words }
    }

    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }

    pub(crate) fn contains(&self, page: u64) -> bool {
        let (word, bit) = place(page);
        self.words.get(word).is_some_and(|w| w & bit != 0)
    }

    /// Adds a page; `false` if it was there.
    pub(crate) fn insert(&mut self, page: u64) -> bool {
        let (word, bit) = place(page);
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let Some(w) = self.words.get_mut(word) else { return false };
        let new = *w & bit == 0;
        *w |= bit;
        new
    }

    /// Removes a page; `false` if it was not there.
    pub(crate) fn remove(&mut self, page: u64) -> bool {
        let (word, bit) = place(page);
        let Some(w) = self.words.get_mut(word) else { return false };
        let was = *w & bit != 0;
        *w &= !bit;
        was
    }

    pub(crate) fn len(&self) -> u64 {
        self.words.iter().map(|w| u64::from(w.count_ones())).sum()
    }

    /// How many of its pages are below that one.
    pub(crate) fn count_below(&self, end: u64) -> u64 {
        let (word, bit) = place(end);
        let whole = self.words.iter().take(word).map(|w| u64::from(w.count_ones())).sum::<u64>();
        whole + self.words.get(word).map_or(0, |w| u64::from((w & (bit - 1)).count_ones()))
    }

    /// One more than the greatest page in it.
    pub(crate) fn end(&self) -> u64 {
        let last = self.words.iter().rposition(|&w| w != 0);
        last.map_or(0, |i| {
            let word = self.words.get(i).copied().unwrap_or_default();
            (i as u64 + 1) * 64 - u64::from(word.leading_zeros())
        })
    }
}

fn place(page: u64) -> (usize, u64) {
    (usize::try_from(page / 64).expect("page numbers have 30 bits"), 1 << (page % 64))
}

/// The allocator.
#[derive(Debug)]
pub(crate) struct Space {
    taken: PageSet,
    /// No word below this one has a free page.
    hint: usize,
    /// No run of several pages is looked for below this page.
    run_hint: u64,
    /// Whether pages were given back since it was asked last.
    has_more: bool,
}

impl Space {
    /// All of `taken` is, and nothing else.
    pub(crate) fn new(taken: PageSet) -> Space {
        Space { taken, hint: 0, run_hint: 0, has_more: true }
    }

    pub(crate) fn taken(&self) -> &PageSet {
        &self.taken
    }

    /// The lowest run of `count` free pages, taken now. It may lie beyond the file's end.
    pub(crate) fn allocate(&mut self, count: u64) -> PageRun {
        let first = if count == 1 { self.lowest_free() } else { self.lowest_run(count) };
        for page in first..first + count {
            let new = self.taken.insert(page);
            assert!(new, "page {page} is given out twice (I4)");
        }
        PageRun { first, count }
    }

    /// The first `count` pages of the lowest run of at least `least` free ones, taken now.
    pub(crate) fn allocate_from(&mut self, count: u64, least: u64) -> PageRun {
        let first = self.lowest_run(least.max(count));
        let run = PageRun { first, count };
        assert!(self.allocate_at(run), "pages that were found free (I4)");
        run
    }

    /// Whether pages were given back since this was asked last.
    pub(crate) fn has_more(&mut self) -> bool {
        std::mem::take(&mut self.has_more)
    }

    /// Looks for runs of pages from the file's start on again.
    pub(crate) fn look_from_the_start(&mut self) {
        self.run_hint = 0;
    }

    /// Takes these pages if all of them are free.
    pub(crate) fn allocate_at(&mut self, run: PageRun) -> bool {
        let is_free = (run.first..run.end()).all(|page| !self.taken.contains(page));
        if is_free {
            (run.first..run.end()).for_each(|page| {
                self.taken.insert(page);
            });
        }
        is_free
    }

    fn lowest_free(&mut self) -> u64 {
        let words = &self.taken.words;
        while words.get(self.hint).is_some_and(|&w| w == u64::MAX) {
            self.hint += 1;
        }
        let word = words.get(self.hint).copied().unwrap_or_default();
        self.hint as u64 * 64 + u64::from(word.trailing_ones())
    }

    fn lowest_run(&mut self, count: u64) -> u64 {
        let end = self.taken.words.len() as u64 * 64;
        let mut first = self.run_hint.max(self.hint as u64 * 64);
        let mut page = first;
        while page < end && page - first < count {
            let (word, bit) = place(page);
            let bits = self.taken.words.get(word).copied().unwrap_or_default();
            if bits == u64::MAX && bit == 1 {
                page += 64;
                first = page;
            } else {
                page += 1;
                if bits & bit != 0 {
                    first = page;
                }
            }
        }
        self.run_hint = first;
        first
    }

    /// Gives pages back.
    pub(crate) fn free(&mut self, run: PageRun) {
        for page in run.first..run.end() {
            let was = self.taken.remove(page);
            assert!(was, "page {page} is freed twice (I4)");
        }
        self.hint = self.hint.min(place(run.first).0);
        self.run_hint = self.run_hint.min(run.first);
        self.has_more = true;
    }
}

#[cfg(test)]
mod tests {
    use super::{PageRun, PageSet, Space};

    #[test]
    fn gives_the_lowest_first_and_never_twice() {
        let mut taken = PageSet::default();
        for page in 0..4 {
            taken.insert(page);
        }
        let mut space = Space::new(taken);
        let mut held: Vec<PageRun> = Vec::new();
        let mut state = 7_u64;
        for step in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            if state >> 63 == 0 || held.is_empty() {
                let count = if state >> 60 & 1 == 0 { 1 } else { 1 + (state >> 33) % 9 };
                let run = space.allocate(count);
                assert!(held.iter().all(|h| h.end() <= run.first || run.end() <= h.first));
                assert!(run.first >= 4);
                if count == 1 {
                    let lower = (4..run.first).find(|&p| !space.taken().contains(p));
                    assert_eq!(lower, None, "step {step}");
                }
                held.push(run);
            } else {
                let at = (state >> 33) as usize % held.len();
                space.free(held.swap_remove(at));
            }
        }
        let total: u64 = held.iter().map(|run| run.count).sum();
        let taken = space.taken();
        assert_eq!(taken.len(), total + 4);
        for end in [0, 1, 4, 63, 64, 65, 128, 1000, taken.end(), 1 << 20] {
            let below = (0..end).filter(|&page| taken.contains(page)).count();
            assert_eq!(taken.count_below(end), below as u64, "below {end}");
        }
    }

    /// The lowest run of so many free pages, page by page; beyond the last all are free.
    fn lowest_run(taken: &PageSet, count: u64) -> u64 {
        let is_free = |first: &u64| (*first..first + count).all(|page| !taken.contains(page));
        (0..=taken.end()).find(is_free).unwrap()
    }

    #[test]
    fn a_run_is_the_lowest_that_is_long_enough() {
        let mut state = 5_u64;
        for round in 0..300 {
            // Stretches of all lengths, whole words among them.
            let mut taken = PageSet::default();
            let mut page = 0;
            while page < 700 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let len = [1, 3, 40, 64, 130][(state >> 40) as usize % 5];
                if state >> 62 > 0 {
                    (page..page + len).for_each(|page| {
                        taken.insert(page);
                    });
                }
                page += len;
            }
            let mut space = Space::new(taken);
            for count in [2, 3, 4, 41, 64, 65, 129, 2] {
                space.look_from_the_start();
                let lowest = lowest_run(space.taken(), count);
                let run = space.allocate(count);
                assert_eq!(run, PageRun { first: lowest, count }, "round {round}");
            }
            let lowest = lowest_run(space.taken(), 50);
            space.look_from_the_start();
            assert_eq!(space.allocate_from(20, 50), PageRun { first: lowest, count: 20 });
        }
    }

    #[test]
    fn runs_are_looked_for_behind_the_last_one_and_single_pages_are_not() {
        let mut taken = PageSet::default();
        (0..100).filter(|page| !(20..23).contains(page)).for_each(|page| {
            taken.insert(page);
        });
        let mut space = Space::new(taken);
        assert_eq!(space.allocate(5).first, 100);
        assert_eq!(space.allocate(2).first, 105, "not in the gap that was too short before");
        assert_eq!(space.allocate(1).first, 20);
        space.look_from_the_start();
        assert_eq!(space.allocate(2).first, 21);
        assert_eq!(space.allocate(9).first, 107);
        space.free(PageRun { first: 30, count: 2 });
        assert_eq!(space.allocate(2).first, 30, "what was given back is looked at");
    }

    #[test]
    fn it_tells_once_that_pages_were_given_back() {
        let mut space = Space::new(PageSet::default());
        assert!(space.has_more(), "nobody has looked yet");
        assert!(!space.has_more());
        let run = space.allocate(3);
        assert!(!space.has_more());
        space.free(run);
        assert!(space.has_more());
        assert!(!space.has_more());
    }

    #[test]
    fn pages_are_taken_all_or_none() {
        let mut space = Space::new(PageSet::default());
        assert!(space.allocate_at(PageRun { first: 70, count: 2 }));
        assert!(!space.allocate_at(PageRun { first: 68, count: 3 }));
        assert!(!space.allocate_at(PageRun { first: 71, count: 3 }));
        assert_eq!(space.taken().len(), 2);
        assert!(space.allocate_at(PageRun { first: 68, count: 2 }));
        assert!(space.allocate_at(PageRun::one(72)));
        assert_eq!((space.taken().len(), space.taken().end()), (5, 73));
    }

    #[test]
    fn is_a_set_of_numbers() {
        let (mut set, mut model) = (PageSet::default(), std::collections::BTreeSet::new());
        let mut state = 9_u64;
        for _ in 0..5_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let page = (state >> 40) % 300;
            if state >> 62 == 0 {
                assert_eq!(set.insert(page), model.insert(page));
            } else {
                assert_eq!(set.remove(page), model.remove(&page));
            }
            assert_eq!(set.contains(page), model.contains(&page));
            assert_eq!(set.len(), model.len() as u64);
            assert_eq!(set.end(), model.last().map_or(0, |last| last + 1));
        }
        assert!((0..300).all(|page| set.contains(page) == model.contains(&page)));
        assert!(!set.contains(1 << 20) && !set.remove(1 << 20));
        assert_eq!(PageSet::from_words(set.words().to_vec()), set);
    }

    #[test]
    fn end_is_one_past_the_last() {
        let mut set = PageSet::default();
        assert_eq!(set.end(), 0);
        set.insert(63);
        assert_eq!(set.end(), 64);
        set.insert(64);
        assert_eq!(set.end(), 65);
    }
}
