//! Linearizability, key by key: every value that a reader sees was current at some moment of its
//! call, while writers, checkpoints and resizes are at work.
//!
//! Each key is one writer's, who gives it rising versions; some versions are removals. A version is
//! noted before its call begins and after it returns, and a reader's finding after the read. So a
//! reader may see nothing older than what was acknowledged, or found by anybody, before its call,
//! and nothing newer than what had begun when it returned: for a register with one writer these
//! three are all that linearizability asks.
//!
//! `SPLITPOINT_SECONDS` makes each run longer than its usual 2 seconds. `SPLITPOINT_MUTANT` names a
//! mistake; a test starts this program with each of them and must see it fail.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test: whatever goes wrong must end it"
)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use splitpoint::mutant::{self, Mutant};
use splitpoint::simulation::Rng;
use splitpoint::{Access, Batch, Durability, Index, Options};

const WRITERS: usize = 2;
const READERS: usize = 2;
const KEYS: usize = 200;
/// Records that come and go, so that the table grows and shrinks all the time.
const BALLAST: usize = 3_000;

fn seconds() -> u64 {
    std::env::var("SPLITPOINT_SECONDS").map_or(2, |text| text.parse().unwrap())
}

/// The mistake that all threads make, if any.
fn mistake() -> Option<Mutant> {
    let name = std::env::var("SPLITPOINT_MUTANT").ok()?;
    Mutant::OF_THREADS.into_iter().find(|mutant| format!("{mutant:?}") == name)
}

fn key(n: usize) -> Vec<u8> {
    format!("key {n}").into_bytes()
}

/// Removals are among the versions of every third key; the others are there throughout.
fn is_removal(n: usize, version: u64) -> bool {
    n.is_multiple_of(3) && version % 4 == 3
}

/// The version, again and again, at a length that changes: records move within and between pages.
fn value(n: usize, version: u64) -> Vec<u8> {
    let len = match n % 40 {
        0 => 4_000 + version as usize % 4_000,
        _ => 8 + (version as usize * 11 + n) % 140,
    };
    version.to_le_bytes().iter().copied().cycle().take(len).collect()
}

fn version_of(n: usize, bytes: &[u8]) -> u64 {
    let version = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert!(bytes == value(n, version), "key {n}: a torn value that begins as version {version}");
    version
}

/// What is known of a key.
#[derive(Default)]
struct Register {
    begun: AtomicU64,
    acknowledged: AtomicU64,
    found: AtomicU64,
}

struct Run {
    index: Index,
    registers: Vec<Register>,
    stop: AtomicBool,
}

impl Run {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn writes(&self, writer: usize) -> u64 {
        let mut rng = Rng::new(writer as u64);
        let mut versions = vec![0_u64; KEYS];
        let mut calls = 0;
        while self.goes_on() {
            calls += 1;
            let len = if rng.below(3) == 0 { 8 } else { 1 };
            let first = rng.below(KEYS / WRITERS - len);
            // Of every writer's own: those that leave its number.
            let some: Vec<usize> = (first..first + len).map(|i| i * WRITERS + writer).collect();
            for &n in &some {
                versions[n] += 1;
                self.registers[n].begun.store(versions[n], Ordering::SeqCst);
            }
            match some.as_slice() {
                [n] if is_removal(*n, versions[*n]) => drop(self.index.remove(key(*n)).unwrap()),
                [n] => drop(self.index.insert(key(*n), value(*n, versions[*n])).unwrap()),
                _ => {
                    let mut batch = Batch::new();
                    for &n in &some {
                        match is_removal(n, versions[n]) {
                            true => batch.remove(key(n)),
                            false => batch.insert(key(n), value(n, versions[n])),
                        };
                    }
                    self.index.commit(batch).unwrap();
                }
            }
            for n in some {
                self.registers[n].acknowledged.store(versions[n], Ordering::SeqCst);
            }
        }
        calls
    }

    /// What a key must at least be when a read of it begins.
    fn least(&self, n: usize) -> u64 {
        let register = &self.registers[n];
        let acknowledged = register.acknowledged.load(Ordering::SeqCst);
        acknowledged.max(register.found.load(Ordering::SeqCst))
    }

    /// Judges what a read has found that began when `least` was known.
    fn judge(&self, n: usize, least: u64, bytes: Option<&[u8]>) {
        let register = &self.registers[n];
        let most = register.begun.load(Ordering::SeqCst);
        let found = match bytes {
            Some(bytes) => version_of(n, bytes),
            // Which removal it was nobody knows: one of that time, the first at least.
            None => (least..=most).find(|v| *v == 0 || is_removal(n, *v)).unwrap_or_else(|| {
                panic!("key {n} is missed: neither version {least} nor any up to {most} removes it")
            }),
        };
        assert!(least <= found && found <= most, "key {n}: {found} is not in {least}..={most}");
        register.found.fetch_max(found, Ordering::SeqCst);
    }

    fn reads(&self, seed: u64) -> u64 {
        let mut rng = Rng::new(seed);
        let mut calls = 0;
        let mut held = Vec::new();
        while self.goes_on() {
            calls += 1;
            let n = rng.below(KEYS);
            match rng.below(8) {
                0 => {
                    let some: Vec<usize> = (0..16).map(|_| rng.below(KEYS)).collect();
                    let keys: Vec<_> = some.iter().map(|n| key(*n)).collect();
                    let least: Vec<u64> = some.iter().map(|n| self.least(*n)).collect();
                    let judge =
                        |i: usize, found: Option<&[u8]>| self.judge(some[i], least[i], found);
                    self.index.get_many_with(&keys, judge).unwrap();
                }
                2 => {
                    let mut reader = self.index.reader().unwrap();
                    for _ in 0..rng.below(60) {
                        let n = rng.below(KEYS);
                        let least = self.least(n);
                        self.judge(n, least, reader.get(key(n)).unwrap().as_deref());
                        if rng.below(20) == 0 {
                            reader.renew();
                        }
                    }
                }
                1 => {
                    let least = self.least(n);
                    let found = self.index.get(key(n)).unwrap();
                    self.judge(n, least, found.as_deref());
                    held.extend(found.map(|value| (n, value)));
                }
                _ => {
                    let least = self.least(n);
                    let found = self.index.get(key(n)).unwrap();
                    self.judge(n, least, found.as_deref());
                }
            }
            if held.len() > 30 {
                // Held while much was written: still the same bytes.
                let (n, value) = held.swap_remove(rng.below(30));
                version_of(n, &value);
            }
        }
        calls
    }

    fn resizes(&self) -> u64 {
        let mut tides = 0;
        while self.goes_on() {
            for is_flood in [true, false] {
                for chunk in (0..BALLAST).collect::<Vec<_>>().chunks(100) {
                    let mut batch = Batch::new();
                    for n in chunk {
                        match is_flood {
                            true => batch.insert(format!("ballast {n}"), [7; 90]),
                            false => batch.remove(format!("ballast {n}")),
                        };
                    }
                    self.index.commit(batch).unwrap();
                }
                self.index.checkpoint().unwrap();
            }
            tides += 1;
        }
        tides
    }
}

fn run(name: &str, durability: Durability, access: Access) {
    let folder = tempfile::tempdir().unwrap();
    let options = Options::new().durability(durability).access(access);
    let options = options.small_budgets(1 << 20, 1 << 20);
    let index = options.open(folder.path().join("index")).unwrap();
    let registers = (0..KEYS).map(|_| Register::default()).collect();
    let run = Run { index, registers, stop: AtomicBool::new(false) };
    let started = Instant::now();
    let counts = std::thread::scope(|scope| {
        let run = &run;
        let guarded = |what: &dyn Fn() -> u64| {
            mutant::set(mistake());
            let _ends = Ends(&run.stop);
            what()
        };
        let writers: Vec<_> =
            (0..WRITERS).map(|w| scope.spawn(move || guarded(&|| run.writes(w)))).collect();
        let readers: Vec<_> =
            (0..READERS).map(|r| scope.spawn(move || guarded(&|| run.reads(r as u64)))).collect();
        let resizer = scope.spawn(move || guarded(&|| run.resizes()));
        while started.elapsed() < Duration::from_secs(seconds()) && run.goes_on() {
            std::thread::sleep(Duration::from_millis(20));
        }
        run.stop.store(true, Ordering::Relaxed);
        let sum = |threads: Vec<std::thread::ScopedJoinHandle<'_, u64>>| -> u64 {
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        };
        (sum(writers), sum(readers), resizer.join().unwrap())
    });
    let stats = run.index.stats().unwrap();
    println!(
        "linearizable: {name}: {} reads, {} writes, {} tides, {} checkpoints, {} bytes held back",
        counts.1, counts.0, counts.2, stats.checkpoint_count, stats.held_len
    );
    assert!(counts.0 > 0 && counts.1 > 0 && stats.checkpoint_count > 0);
    let report = run.index.check().unwrap();
    assert!(report.is_sound(), "{report}");
    (0..KEYS).for_each(|n| {
        run.judge(n, run.least(n), run.index.get(key(n)).unwrap().as_deref());
    });
    run.index.close().unwrap();
}

/// Lets the others end when one of them panics.
struct Ends<'s>(&'s AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

#[test]
fn reads_are_linearizable_when_commits_are_immediate() {
    run("immediate", Durability::Immediate, Access::Mapped);
}

#[test]
fn reads_are_linearizable_when_commits_are_in_the_background() {
    run("background", Durability::Background(Duration::from_millis(5)), Access::Mapped);
}

#[test]
fn reads_are_linearizable_without_a_map() {
    run("no map", Durability::Background(Duration::from_millis(5)), Access::Pread);
}

/// The test of this test: with each mistake it must fail, by whatever the mistake leads to.
#[test]
fn each_mistake_is_caught() {
    if std::env::var_os("SPLITPOINT_MUTANT").is_some() {
        return;
    }
    for mistake in Mutant::OF_THREADS {
        let started = Instant::now();
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "reads_are_linearizable_when_commits_are_in_the_background"])
            .arg("--nocapture")
            .env("SPLITPOINT_MUTANT", format!("{mistake:?}"))
            // It ends as soon as it fails.
            .env("SPLITPOINT_SECONDS", "120")
            .output()
            .unwrap();
        assert!(!output.status.success(), "{mistake:?} was not caught");
        let words = String::from_utf8_lossy(&output.stderr);
        let how = words.lines().skip_while(|line| !line.contains("panicked")).nth(1);
        let (how, seconds) = (how.unwrap_or("no panic"), started.elapsed().as_secs_f64());
        println!("{mistake:?}: caught after {seconds:.1} s: {how}");
    }
}
