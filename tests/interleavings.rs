//! A model checker runs the protocol between the writer and readers: *believe a hit, doubt a miss*
//! (`table/get.rs`), and what is retired is used again only when every pin of that moment is gone
//! (`pager/epoch.rs`). One key, in a table of one bucket in each layout; a page is its record and
//! its filter bit. Each way that the writer moves a record is here, its stores in the order of
//! `table/write.rs` and `table/resize.rs`, and the reader's loop is that of `get_hashed`.
//!
//! All words of the protocol are SeqCst, so an interleaving of steps is what there is to explore:
//! thousands at random, and by few changes of priority, for each single move and for rows of moves
//! with two readers.
//! The epoch is modelled by what it promises, each of its calls in one step; how `seize` keeps that promise is not in the model.
//! Each mistake must be found, or the model is not good enough.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use shuttle::sync::Arc;
use shuttle::sync::atomic::{AtomicU64, Ordering::SeqCst};
use shuttle::thread;

/// Schedules of a random search.
const SCHEDULES: usize = 10_000;
/// What a page holds that was given out again.
const GARBAGE: u64 = u64::MAX;
const PAGES: usize = 8;

/// One rule that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mistake {
    None,
    /// A miss counts at once.
    MissNotDoubted,
    /// A miss counts though the splitpoint has moved.
    SplitpointNotDoubted,
    /// A sweep clears the old place before the splitpoint leads to the new one.
    ClearedTooEarly,
    /// The bucket's word stays as it was while a record comes back from overflow.
    BucketNotTouched,
    /// The record is removed from its bucket before it is in overflow.
    RemovedTooEarly,
    /// Pages are used again at once.
    RecycledEarly,
}

/// One way that the record moves, or changes where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Move {
    Replace,
    ToOverflow,
    FromOverflow,
    Sweep,
}

/// A page of one cell: at most one record, by its version, and whether more may be in overflow.
#[derive(Default)]
struct Page {
    record: AtomicU64,
    filter: AtomicU64,
}

/// The words of a layout: page numbers, 0 for none.
#[derive(Default)]
struct Side {
    bucket: AtomicU64,
    chain: AtomicU64,
}

/// Who is pinned, and which pages wait for whom.
#[derive(Default)]
struct Epoch {
    next: u64,
    pinned: BTreeSet<u64>,
    retired: Vec<(BTreeSet<u64>, u64)>,
}

struct Table {
    mistake: Mistake,
    sides: [Side; 2],
    /// 0 or 1: which side the key's hash is looked up in.
    splitpoint: AtomicU64,
    pages: [Page; PAGES],
    epoch: Mutex<Epoch>,
}

impl Table {
    /// With version 1 in the bucket of the first side.
    fn new(mistake: Mistake) -> Table {
        let table = Table {
            mistake,
            sides: Default::default(),
            splitpoint: AtomicU64::new(0),
            pages: Default::default(),
            epoch: Mutex::default(),
        };
        table.pages[1].record.store(1, SeqCst);
        table.sides[0].bucket.store(1, SeqCst);
        table
    }

    fn page(&self, word: u64) -> &Page {
        &self.pages[usize::try_from(word).unwrap()]
    }

    fn pin(&self) -> u64 {
        let mut epoch = self.epoch.lock().unwrap();
        epoch.next += 1;
        let pin = epoch.next;
        epoch.pinned.insert(pin);
        pin
    }

    fn unpin(&self, pin: u64) {
        let mut epoch = self.epoch.lock().unwrap();
        epoch.pinned.remove(&pin);
        let mut free = Vec::new();
        epoch.retired.retain_mut(|(waits_for, page)| {
            waits_for.remove(&pin);
            if waits_for.is_empty() {
                free.push(*page);
            }
            !waits_for.is_empty()
        });
        drop(epoch);
        free.into_iter().for_each(|page| self.recycle(page));
    }

    fn retire(&self, page: u64) {
        let mut epoch = self.epoch.lock().unwrap();
        let pinned = epoch.pinned.clone();
        if pinned.is_empty() || self.mistake == Mistake::RecycledEarly {
            drop(epoch);
            return self.recycle(page);
        }
        epoch.retired.push((pinned, page));
    }

    fn recycle(&self, page: u64) {
        self.page(page).record.store(GARBAGE, SeqCst);
    }

    /// As `get_hashed`.
    fn get(&self) -> Option<u64> {
        loop {
            let splitpoint = self.splitpoint.load(SeqCst);
            let side = &self.sides[usize::try_from(splitpoint).unwrap()];
            let word = side.bucket.load(SeqCst);
            let mut chain_word = None;
            if word != 0 {
                let page = self.page(word);
                let has_overflow = page.filter.load(SeqCst) == 1;
                let record = page.record.load(SeqCst);
                if record != 0 {
                    return Some(record);
                }
                if has_overflow {
                    let head = side.chain.load(SeqCst);
                    chain_word = Some(head);
                    if head != 0 {
                        let record = self.page(head).record.load(SeqCst);
                        if record != 0 {
                            return Some(record);
                        }
                    }
                }
            }
            let is_current = || {
                self.mistake == Mistake::SplitpointNotDoubted
                    || self.splitpoint.load(SeqCst) == splitpoint
            };
            if self.mistake == Mistake::MissNotDoubted
                || (is_current()
                    && side.bucket.load(SeqCst) == word
                    && chain_word.is_none_or(|head| side.chain.load(SeqCst) == head))
            {
                return None;
            }
        }
    }

    /// The writer's side. `fresh` are pages that nobody uses.
    fn change(&self, by: Move, version: &mut u64, fresh: &mut impl Iterator<Item = u64>) {
        let side = &self.sides[usize::try_from(self.splitpoint.load(SeqCst)).unwrap()];
        let mut page = || fresh.next().unwrap();
        match by {
            Move::Replace => {
                *version += 1;
                let bucket = self.page(side.bucket.load(SeqCst));
                let is_there = bucket.record.load(SeqCst) != 0;
                let at = if is_there { bucket } else { self.page(side.chain.load(SeqCst)) };
                at.record.store(*version, SeqCst);
            }
            Move::ToOverflow => {
                *version += 1;
                let (old, head, rebuilt) = (side.bucket.load(SeqCst), page(), page());
                let remove = || {
                    self.page(rebuilt).filter.store(1, SeqCst);
                    side.bucket.store(rebuilt, SeqCst);
                };
                if self.mistake == Mistake::RemovedTooEarly {
                    remove();
                }
                self.page(head).record.store(*version, SeqCst);
                side.chain.store(head, SeqCst);
                self.page(old).filter.store(1, SeqCst);
                if self.mistake != Mistake::RemovedTooEarly {
                    remove();
                }
                self.retire(old);
            }
            Move::FromOverflow => {
                *version += 1;
                let (old, head) = (side.bucket.load(SeqCst), side.chain.load(SeqCst));
                self.page(old).record.store(*version, SeqCst);
                if self.mistake != Mistake::BucketNotTouched {
                    let touched = page();
                    self.page(touched).record.store(*version, SeqCst);
                    self.page(touched).filter.store(1, SeqCst);
                    side.bucket.store(touched, SeqCst);
                    self.retire(old);
                }
                // It stays as the empty page of others.
                self.page(head).record.store(0, SeqCst);
            }
            Move::Sweep => self.sweep(*version, page()),
        }
    }

    fn sweep(&self, version: u64, new: u64) {
        let [current, next] = &self.sides;
        self.page(new).record.store(version, SeqCst);
        next.bucket.store(new, SeqCst);
        let olds = [current.bucket.load(SeqCst), current.chain.load(SeqCst)];
        let clear = || {
            current.bucket.store(0, SeqCst);
            current.chain.store(0, SeqCst);
        };
        if self.mistake == Mistake::ClearedTooEarly {
            clear();
        }
        self.splitpoint.store(1, SeqCst);
        if self.mistake != Mistake::ClearedTooEarly {
            clear();
        }
        olds.into_iter().filter(|old| *old != 0).for_each(|old| self.retire(old));
    }
}

/// One writer that makes these moves, after `before` were made alone, and readers beside it.
fn play(mistake: Mistake, before: &[Move], moves: &[Move], readers: usize, gets: usize) {
    let table = Arc::new(Table::new(mistake));
    let (mut version, mut fresh) = (1, 2..PAGES as u64);
    before.iter().for_each(|by| table.change(*by, &mut version, &mut fresh));
    let first = version;
    let readers: Vec<_> = (0..readers)
        .map(|_| {
            let table = table.clone();
            thread::spawn(move || {
                let mut seen = first;
                for _ in 0..gets {
                    let pin = table.pin();
                    let found = table.get();
                    table.unpin(pin);
                    let found = found.expect("a key is missed that is there throughout");
                    assert!(found != GARBAGE, "a page is read that was given out again");
                    assert!(found >= seen, "version {found} after {seen}");
                    seen = found;
                }
            })
        })
        .collect();
    moves.iter().for_each(|by| table.change(*by, &mut version, &mut fresh));
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    assert_eq!(table.get(), Some(version));
}

/// What comes before each single move, and the move.
const SINGLE: [(&[Move], Move); 6] = [
    (&[], Move::Replace),
    (&[], Move::ToOverflow),
    (&[], Move::Sweep),
    (&[Move::ToOverflow], Move::Replace),
    (&[Move::ToOverflow], Move::FromOverflow),
    (&[Move::ToOverflow], Move::Sweep),
];

const ROWS: [&[Move]; 3] = [
    &[Move::ToOverflow, Move::FromOverflow, Move::Sweep],
    &[Move::Replace, Move::ToOverflow, Move::Replace, Move::Sweep],
    &[Move::Sweep, Move::ToOverflow, Move::FromOverflow, Move::Replace],
];

fn explore(mistake: Mistake) {
    for (before, single) in SINGLE {
        shuttle::check_random(move || play(mistake, before, &[single], 1, 2), SCHEDULES);
    }
    for row in ROWS {
        shuttle::check_random(move || play(mistake, &[], row, 2, 2), SCHEDULES);
        shuttle::check_pct(move || play(mistake, &[], row, 2, 2), SCHEDULES, 3);
    }
}

#[test]
fn readers_are_right_in_every_interleaving() {
    explore(Mistake::None);
}

#[test]
fn each_mistake_is_found() {
    let mistakes = [
        Mistake::MissNotDoubted,
        Mistake::SplitpointNotDoubted,
        Mistake::ClearedTooEarly,
        Mistake::BucketNotTouched,
        Mistake::RemovedTooEarly,
        Mistake::RecycledEarly,
    ];
    for mistake in mistakes {
        let found = catch_unwind(AssertUnwindSafe(|| explore(mistake)));
        assert!(found.is_err(), "{mistake:?} is not found");
        println!("{mistake:?}: found");
    }
}
