//! Many threads on one index, on real files: what a reader may see, key by key.
//!
//! Each writer owns its keys and writes rising counters. A reader notes what was acknowledged
//! before it looks, and must find that or something newer, and never something older than it has
//! seen before; a key that is there throughout is never missed. Meanwhile checkpoints run and the
//! table grows and shrinks. `SPLITPOINT_SECONDS` makes each run longer than its usual 2 seconds.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test: whatever goes wrong must end it"
)]

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use splitpoint::simulation::Rng;
use splitpoint::{Access, Batch, Durability, Error, Index, Options, Verify};

const WRITERS: usize = 3;
const READERS: usize = 3;
const KEYS: usize = 400;
const FIXED_KEY: usize = 24;
const FIXED_VALUE: usize = 16;

fn patience() -> Duration {
    let seconds = std::env::var("SPLITPOINT_SECONDS").map_or(2, |text| text.parse().unwrap());
    Duration::from_secs(seconds)
}

fn key(writer: usize, n: usize) -> Vec<u8> {
    format!("writer {writer} key {n}").into_bytes()
}

/// A counter and bytes that follow from it, of a length that changes: records move.
fn value(counter: u64, n: usize) -> Vec<u8> {
    let len = match n % 50 {
        0 => 5_000 + counter as usize % 3_000,
        _ => 8 + (counter as usize * 7 + n) % 120,
    };
    counter.to_le_bytes().iter().copied().cycle().take(len).collect()
}

fn counter_of(bytes: &[u8]) -> u64 {
    let counter = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    let whole = bytes.chunks(8).all(|part| *part == counter.to_le_bytes()[..part.len()]);
    assert!(whole, "a torn value: {:?}", bytes.escape_ascii().to_string());
    counter
}

/// For each key of each writer, the counter that is acknowledged.
struct Acknowledged(Vec<Vec<AtomicU64>>);

struct Run<'r> {
    index: &'r Index,
    acknowledged: &'r Acknowledged,
    stop: &'r AtomicBool,
    immediate: bool,
    /// Keys and values have one size each.
    is_fixed: bool,
}

impl Run<'_> {
    fn fit(&self, mut key: Vec<u8>) -> Vec<u8> {
        key.resize(if self.is_fixed { FIXED_KEY } else { key.len() }, b' ');
        key
    }

    fn key(&self, writer: usize, n: usize) -> Vec<u8> {
        self.fit(key(writer, n))
    }

    fn value(&self, counter: u64, n: usize) -> Vec<u8> {
        if self.is_fixed {
            counter.to_le_bytes().repeat(FIXED_VALUE / 8)
        } else {
            value(counter, n)
        }
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn writes(&self, writer: usize) -> u64 {
        let mut rng = Rng::new(writer as u64);
        let mut counter = 1_u64;
        while self.goes_on() {
            counter += 1;
            let first = rng.below(KEYS);
            let some: Vec<usize> = match rng.below(3) {
                0 => (first..KEYS.min(first + 20)).collect(),
                _ => vec![first],
            };
            match some.as_slice() {
                [n] if counter.is_multiple_of(2) => {
                    assert!(
                        !self.index.insert(self.key(writer, *n), self.value(counter, *n)).unwrap()
                    );
                }
                [n] => {
                    let change = |old: Option<&[u8]>| {
                        assert!(counter_of(old.unwrap()) < counter);
                        Some(self.value(counter, *n))
                    };
                    assert!(self.index.update(self.key(writer, *n), change).unwrap());
                }
                _ => {
                    let mut batch = Batch::new();
                    for &n in &some {
                        batch.insert(self.key(writer, n), self.value(counter, n));
                    }
                    self.index.commit(batch).unwrap();
                }
            }
            for n in some {
                self.acknowledged.0[writer][n].store(counter, Ordering::SeqCst);
            }
        }
        counter
    }

    fn reads(&self, seed: u64) -> u64 {
        let mut rng = Rng::new(seed);
        let mut seen = vec![vec![0; KEYS]; WRITERS];
        let mut held = Vec::new();
        let mut count = 0;
        while self.goes_on() {
            let (writer, n) = (rng.below(WRITERS), rng.below(KEYS - 8));
            let before = |n: usize| self.acknowledged.0[writer][n].load(Ordering::SeqCst);
            let mut check = |n: usize, least: u64, found: Option<&[u8]>| {
                let found = found.unwrap_or_else(|| panic!("missed key {n} of writer {writer}"));
                let counter = counter_of(found);
                assert!(counter >= least, "key {n} of {writer}: {counter} after {least}");
                assert!(counter >= seen[writer][n], "key {n} of {writer} went back to {counter}");
                seen[writer][n] = counter;
            };
            count += 1;
            if rng.below(4) == 0 {
                let least: Vec<u64> = (n..n + 8).map(before).collect();
                let keys: Vec<Vec<u8>> = (n..n + 8).map(|n| self.key(writer, n)).collect();
                let found =
                    self.index.get_many_with(&keys, |i, found| check(n + i, least[i], found));
                found.unwrap();
                continue;
            }
            if rng.below(4) == 0 {
                self.gathers(writer, n, &mut seen[writer][n]);
                continue;
            }
            let least = before(n);
            let found = self.index.get(self.key(writer, n)).unwrap();
            check(n, least, found.as_deref());
            if rng.below(50) == 0 {
                let found = found.unwrap();
                held.push((found.to_vec(), found));
            }
            // Values that were held keep their bytes, whatever was written since.
            if held.len() > 40 {
                let (copy, value) = held.swap_remove(rng.below(40));
                assert_eq!(*copy, *value);
            }
            assert!(
                self.index.get(self.fit(format!("absent {n}").into_bytes())).unwrap().is_none()
            );
        }
        assert!(held.iter().all(|(copy, value)| **copy == **value));
        count
    }

    /// Reads one key into many rows. Its length changes with its counter: a row that does not fit
    /// was changed meanwhile.
    fn gathers(&self, writer: usize, n: usize, seen: &mut u64) {
        let acknowledged = self.acknowledged.0[writer][n].load(Ordering::SeqCst);
        let least = acknowledged.max(*seen);
        let mut keys = vec![self.key(writer, n); 40];
        keys.push(self.fit(b"absent".to_vec()));
        let row_len = self.value(least, n).len();
        let (mut rows, mut found) = (vec![0xee; keys.len() * row_len], vec![false; keys.len()]);
        match self.index.get_many_into(&keys, row_len, &mut rows, &mut found) {
            Err(Error::RowSize { row, len, expected }) => {
                assert!(row < 40 && len != expected && expected == row_len as u64);
            }
            result => {
                assert_eq!(result.unwrap(), 40);
                assert!(found[..40].iter().all(|found| *found) && !found[40]);
                for row in rows.chunks(row_len).take(40) {
                    let counter = counter_of(row);
                    assert!(counter >= least, "key {n} of {writer}: {counter} after {least}");
                    *seen = counter.max(*seen);
                }
                assert!(rows[40 * row_len..].iter().all(|byte| *byte == 0));
            }
        }
    }

    /// Grows and shrinks the table beside the writers, and scans it.
    fn resizes(&self) -> u64 {
        let mut rounds = 0;
        while self.goes_on() {
            for (from, insert) in [(0, true), (0, false)] {
                for chunk in (from..3_000_usize).collect::<Vec<_>>().chunks(250) {
                    let mut batch = Batch::new();
                    for n in chunk {
                        match insert {
                            true => batch.insert(
                                self.fit(format!("ballast {n}").into_bytes()),
                                self.value(7, *n),
                            ),
                            false => batch.remove(self.fit(format!("ballast {n}").into_bytes())),
                        };
                    }
                    self.index.commit(batch).unwrap();
                }
                if !insert {
                    self.index.checkpoint().unwrap();
                }
                let found = self.index.iter().unwrap().map(Result::unwrap);
                let owned = found.filter(|(key, _)| key.starts_with(b"writer")).count();
                assert_eq!(owned, WRITERS * KEYS, "a scan yields what is there throughout once");
            }
            rounds += 1;
        }
        rounds
    }
}

fn options(immediate: bool) -> Options {
    let durability = match immediate {
        true => Durability::Immediate,
        false => Durability::Background(Duration::from_millis(5)),
    };
    Options::new().durability(durability).small_budgets(1 << 20, 1 << 20)
}

fn run(immediate: bool, is_fixed: bool, options: &Options, path: &Path) {
    let index = options.clone().open(path).unwrap();
    let of_writer = |_| (0..KEYS).map(|_| AtomicU64::new(1)).collect();
    let acknowledged = Acknowledged((0..WRITERS).map(of_writer).collect());
    let stop = AtomicBool::new(false);
    let run = Run { index: &index, acknowledged: &acknowledged, stop: &stop, immediate, is_fixed };
    let mut first = Batch::new();
    for (writer, n) in (0..WRITERS).flat_map(|w| (0..KEYS).map(move |n| (w, n))) {
        first.insert(run.key(writer, n), run.value(1, n));
    }
    index.commit(first).unwrap();
    index.sync().unwrap();
    let started = Instant::now();
    let counts = std::thread::scope(|scope| {
        /// Lets the others end when one of them panics.
        struct Ends<'s>(&'s AtomicBool);
        impl Drop for Ends<'_> {
            fn drop(&mut self) {
                if std::thread::panicking() {
                    self.0.store(true, Ordering::Relaxed);
                }
            }
        }
        let (run, stop) = (&run, &stop);
        let guarded = |what: &dyn Fn() -> u64| {
            let _ends = Ends(stop);
            what()
        };
        let writers: Vec<_> =
            (0..WRITERS).map(|w| scope.spawn(move || guarded(&|| run.writes(w)))).collect();
        let readers: Vec<_> =
            (0..READERS).map(|r| scope.spawn(move || guarded(&|| run.reads(r as u64)))).collect();
        let resizer = scope.spawn(move || guarded(&|| run.resizes()));
        while started.elapsed() < patience() && run.goes_on() {
            std::thread::sleep(Duration::from_millis(20));
        }
        stop.store(true, Ordering::Relaxed);
        let sum = |threads: Vec<std::thread::ScopedJoinHandle<'_, u64>>| -> u64 {
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        };
        (sum(writers), sum(readers), resizer.join().unwrap())
    });
    let stats = index.stats().unwrap();
    println!(
        "threads: immediate {}, {} commits, {} lookups, {} tides, {} checkpoints",
        run.immediate, counts.0, counts.1, counts.2, stats.checkpoint_count
    );
    assert!(stats.checkpoint_count > 0);
    let report = index.check().unwrap();
    assert!(report.is_sound(), "{report}");
    index.close().unwrap();
    let again = options.clone().open(path).unwrap();
    for (writer, n) in (0..WRITERS).flat_map(|w| (0..KEYS).map(move |n| (w, n))) {
        let last = acknowledged.0[writer][n].load(Ordering::SeqCst);
        let found = again.get(run.key(writer, n)).unwrap().unwrap();
        assert_eq!(counter_of(&found), last);
    }
    again.close().unwrap();
}

#[test]
fn readers_never_go_back_when_commits_are_immediate() {
    let folder = tempfile::tempdir().unwrap();
    run(true, false, &options(true), &folder.path().join("index"));
}

#[test]
fn readers_never_go_back_when_commits_are_in_the_background() {
    let folder = tempfile::tempdir().unwrap();
    run(false, false, &options(false), &folder.path().join("index"));
}

#[test]
fn readers_never_go_back_where_sizes_are_fixed() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(false).key_size(Some(FIXED_KEY)).value_size(Some(FIXED_VALUE));
    run(false, true, &options, &folder.path().join("index"));
}

#[test]
fn readers_never_go_back_without_a_map() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(false).access(Access::Pread).verify(Verify::Always);
    run(false, false, &options, &folder.path().join("index"));
}

#[test]
fn many_handles_open_and_close_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let started = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..8_u64 {
            let path = folder.path().join(format!("index {}", thread % 4));
            scope.spawn(move || {
                let wait = Duration::from_secs(60);
                while started.elapsed() < patience() {
                    let index = options(false).wait_for_lock(wait).open(&path).unwrap();
                    let add = |old: Option<&[u8]>| {
                        let old = old.map_or(0, |old| u64::from_le_bytes(old.try_into().unwrap()));
                        Some((old + 1).to_le_bytes().to_vec())
                    };
                    index.update("opens", add).unwrap();
                    index.update(format!("of {thread}"), add).unwrap();
                    // Closed, or dropped.
                    if thread % 2 == 0 {
                        index.close().unwrap();
                    }
                }
            });
        }
    });
    for n in 0..4 {
        let index = Index::open(folder.path().join(format!("index {n}"))).unwrap();
        let count = |key: String| {
            let value = index.get(key).unwrap().unwrap();
            u64::from_le_bytes((*value).try_into().unwrap())
        };
        let sum = count(format!("of {n}")) + count(format!("of {}", n + 4));
        assert_eq!(count("opens".into()), sum, "no update is lost between handles");
        assert!(index.check().unwrap().is_sound());
    }
}

#[test]
fn readers_run_on_while_clones_close_and_drop() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    for round in 0..20_u64 {
        let index = options(false).open(&path).unwrap();
        let mut batch = Batch::new();
        for n in 0..500 {
            batch.insert(key(0, n), value(round + 1, n));
        }
        index.commit(batch).unwrap();
        std::thread::scope(|scope| {
            for seed in 0..3 {
                let index = index.clone();
                scope.spawn(move || {
                    let mut rng = Rng::new(seed);
                    for _ in 0..20_000 {
                        let n = rng.below(500);
                        match index.get(key(0, n)) {
                            Ok(found) => assert_eq!(counter_of(&found.unwrap()), round + 1),
                            Err(splitpoint::Error::Closed) => return,
                            Err(error) => panic!("{error}"),
                        }
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(round));
            if round % 2 == 0 { index.close().unwrap() } else { drop(index) }
        });
    }
    let index = Index::open(&path).unwrap();
    assert_eq!((index.len(), index.check().unwrap().is_sound()), (500, true));
}

/// What was replaced while a value is held waits for it; `stats` says how much, and how long.
#[test]
fn what_a_held_value_keeps_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    // Roomy, so that few pages are made anew for want of room, which would be held too. How many are
    // hangs on the hashes: with random seeds one file in ten held more than this counts.
    let options = Options::new().expected_len(20_000).hash_seed(7);
    let index = options.open(folder.path().join("index")).unwrap();
    let put = |byte: u8| {
        let mut batch = Batch::new();
        for n in 0..100 {
            batch.insert(key(0, n), [byte; 100]);
        }
        index.commit(batch).unwrap();
        let changed = index.stats().unwrap().dirty_len;
        index.checkpoint().unwrap();
        changed
    };
    put(1);
    assert_eq!(index.stats().unwrap().held_len, 0);
    let value = index.get(key(0, 7)).unwrap().unwrap();
    let changed = put(2);
    let stats = index.stats().unwrap();
    assert!(*value == [1; 100] && stats.held_micros > 0);
    // Of each changed page the one in the file that was replaced, and the frame that the checkpoint has
    // written; and the pages on the way to them.
    let pages = |len: u64| (len / stats.page_size, len % stats.page_size);
    let ((held, 0), (changed, 0)) = (pages(stats.held_len), pages(changed)) else {
        panic!("{} and {changed} bytes are no pages", stats.held_len);
    };
    assert!((2 * changed..2 * changed + 16).contains(&held), "{held} of {changed}");
    drop(value);
    let stats = index.stats().unwrap();
    assert_eq!((stats.held_len, stats.held_micros), (0, 0));
}

/// Whoever called `sync` while the log went on in next segments could end with a part of what was
/// appended, and take with it the mark that a sync of the rest was asked for: the last commits
/// before a pause stayed in memory until something else came.
#[test]
fn what_is_written_in_the_background_is_durable_soon_whoever_syncs() {
    // More than a segment of the log, and few bursts to a checkpoint, which syncs as well.
    const BURST: usize = 2_000;
    let folder = tempfile::tempdir().unwrap();
    let options = options(false).small_budgets(4 << 20, 16 << 20);
    let index = options.open(folder.path().join("index")).unwrap();
    let (stop, syncs) = (AtomicBool::new(false), AtomicBool::new(false));
    let end = Instant::now() + patience();
    let late = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                match syncs.load(Ordering::Relaxed) {
                    true => index.sync().unwrap(),
                    false => std::thread::yield_now(),
                }
            }
        });
        let late = (0..).map_while(|burst| {
            syncs.store(true, Ordering::Relaxed);
            let mut newest = None;
            for n in 0..BURST {
                // From here on the index itself is to sync; one call may be on its way.
                if n == BURST - 1 - burst * 7 % 1_000 {
                    syncs.store(false, Ordering::Relaxed);
                }
                let mut batch = Batch::new();
                batch.insert(key(0, n % KEYS), [burst as u8; 300]);
                newest = Some(index.commit(batch).unwrap());
            }
            let asked = Instant::now();
            while index.durable_lsn() < newest.unwrap() && asked.elapsed() < Duration::from_secs(20)
            {
                std::thread::sleep(Duration::from_micros(100));
            }
            let is_late = index.durable_lsn() < newest.unwrap();
            (is_late || Instant::now() < end).then_some((burst, is_late))
        });
        let late = late.into_iter().find(|(_, is_late)| *is_late).map(|(burst, _)| burst);
        stop.store(true, Ordering::Relaxed);
        late
    });
    assert_eq!(late, None, "the burst's last commit was never durable");
    index.close().unwrap();
}

/// A reader has what it may look at stay as it is: the file is locked until it is renewed or gone.
#[test]
fn a_reader_keeps_a_closed_file_until_it_is_renewed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    let index = Index::open(&path).unwrap();
    index.insert("key", "value").unwrap();
    let mut reader = index.reader().unwrap();
    for n in 0..3000 {
        assert_eq!(reader.get("key").unwrap().as_deref(), Some(&b"value"[..]), "{n}");
        assert!(!reader.contains_key("absent").unwrap());
    }
    index.close().unwrap();
    assert!(matches!(reader.get("key"), Err(Error::Closed)));
    assert!(matches!(Index::open(&path), Err(Error::Locked { .. })));
    assert!(matches!(index.reader(), Err(Error::Closed)));
    reader.renew();
    assert!(matches!(reader.get("key"), Err(Error::Closed)));
    reader.renew();
    let again = Index::open(&path).unwrap();
    assert_eq!(again.get("key").unwrap().as_deref(), Some(&b"value"[..]));
    let mut second = again.reader().unwrap();
    assert!(second.get("key").unwrap().is_some() && second.get("other").unwrap().is_none());
    drop(second);
    let stats = again.stats().unwrap();
    assert_eq!((stats.hit_count, stats.miss_count), (2, 1), "counted when it is gone");
}
