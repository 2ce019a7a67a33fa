//! How much disk records take, and that removing them gives it back: 16-byte keys with 100-byte
//! values, inserted a batch of 1,000 at a time, half of them removed, then all. The content is
//! verified at each step, the bytes on disk (allocated blocks of the data file and its log) after
//! each close. Then the same with values of 3 KiB, each overwritten twice on average.
//!
//! `SPLITPOINT_RECORDS` sets how many records; the promise is made for 5,000,000.
#![expect(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    reason = "a test: whatever goes wrong must end it"
)]

use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use splitpoint::inspect::Inspector;
use splitpoint::{Batch, Durability, Index, Options};

const BATCH: u64 = 1_000;
const PAYLOAD: u64 = 16 + 100;
/// Bytes on disk for a byte of payload, at most.
const RATIO_MAX: f64 = 1.35;
const EMPTY_MAX: u64 = 1 << 20;
const SEED: u64 = 0x0005_7ace;

fn main() {
    let usual = if cfg!(debug_assertions) { 50_000 } else { 500_000 };
    let count = std::env::var("SPLITPOINT_RECORDS").map_or(usual, |text| text.parse().unwrap());
    let count = count / BATCH * BATCH;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records");
    println!("space: {count} records, seed {SEED:#x}");
    let started = Instant::now();

    let index = open(&path);
    write(&index, 0..count, "inserted", |batch, n| {
        batch.insert(key(n), value(n));
    });
    verify(&index, count, |_| true);
    index.close().unwrap();
    let (full, files) = on_disk(&path);
    let ratio = full as f64 / (count * PAYLOAD) as f64;
    println!(
        "space: full {full} bytes on disk, {:.1} a record, {ratio:.3} x payload, {files} file",
        full as f64 / count as f64
    );
    assert!(ratio <= RATIO_MAX, "{ratio:.3} x payload");
    assert_eq!(files, 1, "a closed index is one file");

    let index = open(&path);
    let removed = |n: u64| n.is_multiple_of(2);
    write(&index, 0..count / 2, "removed", |batch, n| {
        batch.remove(key(2 * n));
    });
    verify(&index, count, |n| !removed(n));
    index.close().unwrap();
    let half = on_disk(&path).0;
    println!(
        "space: half {half} bytes on disk, {:.3} x payload",
        half as f64 / (count / 2 * PAYLOAD) as f64
    );
    // Once a close stopped after one pass that had moved other pages than the file's last, and
    // left the file larger than it was when full.
    assert!(half < full / 10 * 7, "{half} bytes of {full}");

    let index = open(&path);
    verify_some(&index, 0..count, |n| !removed(n));
    write(&index, 0..count / 2, "removed", |batch, n| {
        batch.remove(key(2 * n + 1));
    });
    verify(&index, count, |_| false);
    index.close().unwrap();
    let (empty, files) = on_disk(&path);
    println!("space: empty {empty} bytes on disk, {files} file");
    assert!(empty < EMPTY_MAX, "{empty} bytes");
    large(count / 20);
    println!("space: {:.1} s", started.elapsed().as_secs_f64());
    println!("\ntest result: ok. 2 passed; 0 failed");
}

const LARGE: usize = 3072;

/// Values that stand in the value area: packed when they were inserted, cleaned when they were
/// overwritten, gone when they were removed.
fn large(count: u64) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("values");
    let payload = (count * (16 + LARGE as u64)) as f64;
    let open = || {
        let later = Durability::Background(Duration::from_millis(100));
        Options::new().durability(later).log_budget(16 << 20).open(&path).unwrap()
    };
    let large_value = |n: u64, round: u64| -> Vec<u8> {
        let words = (0..LARGE as u64 / 8).map(|i| mix(n ^ round << 40).wrapping_add(i));
        words.flat_map(u64::to_le_bytes).collect()
    };
    let mut rounds = vec![0; usize::try_from(count).unwrap()];
    let verify = |index: &Index, rounds: &[u64]| {
        for (n, &round) in (0..).zip(rounds) {
            assert!(index.get(key(n)).unwrap().unwrap() == large_value(n, round), "value {n}");
        }
        assert!(index.check().unwrap().is_sound());
    };

    let index = open();
    for n in 0..count {
        index.insert(key(n), large_value(n, 0)).unwrap();
    }
    index.close().unwrap();
    let ratio = on_disk(&path).0 as f64 / payload;
    println!("space: {count} values of {LARGE} bytes, {ratio:.3} x payload");
    assert!(ratio <= 1.05, "{ratio:.3} x payload");

    let index = open();
    let mut most = 0.0_f64;
    for round in 1..=2 * count {
        let n = mix(round) % count;
        index.insert(key(n), large_value(n, round)).unwrap();
        rounds[usize::try_from(n).unwrap()] = round;
        if round.is_multiple_of(count / 10) {
            most = most.max(index.stats().unwrap().file_allocated_len as f64 / payload);
        }
    }
    index.checkpoint().unwrap();
    verify(&index, &rounds);
    index.close().unwrap();
    let ratio = on_disk(&path).0 as f64 / payload;
    println!("space: overwritten twice, {ratio:.3} x payload, at most {most:.3} x meanwhile");
    assert!(ratio <= 1.25, "{ratio:.3} x payload");

    let index = open();
    verify(&index, &rounds);
    for n in 0..count {
        assert!(index.remove(key(n)).unwrap());
    }
    index.close().unwrap();
    let (empty, files) = on_disk(&path);
    println!("space: removed, {empty} bytes on disk, {files} file");
    assert!(empty < EMPTY_MAX, "{empty} bytes");
}

fn open(path: &Path) -> Index {
    Options::new()
        .durability(Durability::Background(Duration::from_millis(100)))
        .open(path)
        .unwrap()
}

/// Numbers without order: one to one, so that no two records have the same key.
fn mix(n: u64) -> u64 {
    let n = (n ^ SEED).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (n ^ n >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

fn key(n: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&mix(n).to_le_bytes());
    key[8..].copy_from_slice(&n.to_le_bytes());
    key
}

fn value(n: u64) -> [u8; 100] {
    let mut value = [0; 100];
    let words = value.as_chunks_mut::<8>().0;
    words.iter_mut().zip(n..).for_each(|(word, n)| *word = mix(n).to_le_bytes());
    value
}

fn write(index: &Index, numbers: Range<u64>, did: &str, change: impl Fn(&mut Batch, u64)) {
    let started = Instant::now();
    let tenth = (numbers.end / 10).max(1);
    let mut batch = Batch::new();
    for n in numbers.clone() {
        change(&mut batch, n);
        if batch.len() as u64 == BATCH || n + 1 == numbers.end {
            index.commit(std::mem::take(&mut batch)).unwrap();
        }
        if did == "inserted" && (n + 1).is_multiple_of(tenth) {
            // What a batch has not yet committed is not there.
            let committed = (n + 1) / BATCH * BATCH;
            let committed = if n + 1 == numbers.end { n + 1 } else { committed };
            verify_some(index, 0..numbers.end, |n| n < committed);
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let count = numbers.end as f64;
    println!("space: {did} {count} in {seconds:.1} s, {:.0} a second", count / seconds);
}

/// A thousand records spread over all.
fn verify_some(index: &Index, numbers: Range<u64>, is_there: impl Fn(u64) -> bool) {
    let step = (numbers.end / 1_000).max(1);
    let some: Vec<u64> = numbers.step_by(usize::try_from(step).unwrap()).collect();
    verify_these(index, &some, &is_there);
}

/// Every record.
fn verify(index: &Index, count: u64, is_there: impl Fn(u64) -> bool) {
    let started = Instant::now();
    let all: Vec<u64> = (0..count).collect();
    for some in all.chunks(10_000) {
        verify_these(index, some, &is_there);
    }
    assert_eq!(index.len(), all.iter().filter(|&&n| is_there(n)).count() as u64);
    println!("space: verified {count} in {:.1} s", started.elapsed().as_secs_f64());
}

fn verify_these(index: &Index, numbers: &[u64], is_there: &impl Fn(u64) -> bool) {
    let keys: Vec<[u8; 16]> = numbers.iter().map(|&n| key(n)).collect();
    let mut seen = 0;
    let found = index.get_many_with(&keys, |i, found| {
        let n = numbers[i];
        seen += 1;
        assert_eq!(found.is_some(), is_there(n), "record {n}");
        assert!(found.is_none_or(|found| found == value(n)), "record {n}");
    });
    found.unwrap();
    assert_eq!(seen, numbers.len());
}

/// Allocated bytes of all files in the file's folder, and how many files; what the bytes are for adds up.
fn on_disk(path: &Path) -> (u64, usize) {
    let folder = path.parent().unwrap();
    let stat = Inspector::open(path).unwrap().stat(|_, _| ()).unwrap();
    let sum: u64 = stat.pages.iter().map(|share| share.bytes).sum();
    assert_eq!(sum, path.metadata().unwrap().len());
    assert!(stat.check.is_sound(), "{}", stat.check);
    println!("space: {}", stat.advice());
    let files: Vec<u64> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().blocks() * 512)
        .collect();
    (files.iter().sum(), files.len())
}
