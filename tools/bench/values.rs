//! What large values cost: bytes on disk for each value size, after a fill and after overwrites, bytes
//! written for each byte given, and a random get with all bytes read beside one from a `HashMap`.
//!
//! `cargo run --release --example values [MEGABYTES [gets]]`
//!
//! Seen on two cores that other work kept busy, 96 MiB of values; bytes on disk for each byte of key
//! and value after a fill without a bulk loader, at most while twice as much was overwritten at
//! random, and closed after that; bytes written, log and close included, for each byte given:
//!
//! ```text
//!  value  filled  at most  closed  written
//!    512   1.055    1.665   1.228     5.33
//!   1024   1.029    1.679   1.056     5.09
//!   3072   1.011    1.762   1.197     3.54
//!   4096   1.008    1.629   1.019     2.55
//!   6144   1.006    1.756   1.072     3.22
//!  16384   1.003    1.538   1.013     2.43
//! ```
//! A random get of 3 KiB of 512 MiB, all bytes read: 0.72 to 0.75 times the speed of `HashMap`, with
//! and without verifying.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a benchmark: whatever goes wrong must end it"
)]

use std::collections::HashMap;
use std::hint::black_box;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use splitpoint::{Batch, Durability, Index, Options, Verify};

fn mix(i: u64) -> u64 {
    let a = i.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (a ^ a >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

fn key(i: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&mix(i).to_le_bytes());
    key[8..].copy_from_slice(&i.to_le_bytes());
    key
}

fn on_disk(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).unwrap();
    files.map(|entry| entry.unwrap().metadata().unwrap().blocks() * 512).sum()
}

/// Bytes that this process has passed to `write`.
fn written() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap();
    let line = io.lines().find_map(|line| line.strip_prefix("wchar: ")).unwrap();
    line.parse().unwrap()
}

fn options(budget: u64) -> Options {
    Options::new()
        .log_budget(budget)
        .memory_budget(budget)
        .durability(Durability::Background(Duration::from_millis(200)))
}

fn put(index: &Index, keys: impl Iterator<Item = u64>, value: &[u8]) {
    let mut batch = Batch::new();
    for i in keys {
        batch.insert(key(i), value);
        if batch.byte_len() > 1 << 20 {
            index.commit(std::mem::take(&mut batch)).unwrap();
        }
    }
    index.commit(batch).unwrap();
}

fn main() {
    let megabytes: u64 = std::env::args().nth(1).map_or(256, |n| n.parse().unwrap());
    if std::env::args().nth(2).as_deref() == Some("gets") {
        return gets(megabytes);
    }
    println!(
        "{megabytes} MiB of values, keys of 16 bytes; bytes on disk for each byte of key and value"
    );
    println!(" value   filled  overwritten twice: at most, closed  written for each byte given");
    for size in [512, 1024, 3072, 4096, 6144, 16384_u64] {
        let folder = tempfile::tempdir_in(".").unwrap();
        let path = folder.path().join("values");
        let count = (megabytes << 20) / size;
        let payload = (count * (size + 16)) as f64;
        let value: Vec<u8> = (0..size).map(|i| mix(i) as u8).collect();
        let index = options(256 << 20).open(&path).unwrap();
        put(&index, 0..count, &value);
        index.close().unwrap();
        drop(index);
        let full = on_disk(folder.path()) as f64 / payload;
        let index = options(256 << 20).open(&path).unwrap();
        let before = written();
        let mut most = 0;
        for part in 0..20 {
            put(&index, (0..count / 10).map(|i| mix(part << 40 | i) % count), &value);
            most = most.max(std::fs::metadata(&path).unwrap().blocks() * 512);
        }
        index.close().unwrap();
        drop(index);
        let amplification = (written() - before) as f64 / (payload * 2.0);
        let closed = on_disk(folder.path()) as f64 / payload;
        println!(
            "{size:>6}   {full:.3}   {:>29.3}  {closed:.3}  {amplification:>12.2}",
            most as f64 / payload
        );
    }
    gets(megabytes);
}

/// Random gets of 3 KiB, all bytes read, in turn from the index and from a map.
fn gets(megabytes: u64) {
    let folder = tempfile::tempdir_in(".").unwrap();
    let path = folder.path().join("values");
    let count = (megabytes << 20) / 3072;
    let value: Vec<u8> = (0..3072).map(|i| mix(i) as u8).collect();
    let index = options(256 << 20).open(&path).unwrap();
    put(&index, 0..count, &value);
    index.close().unwrap();
    drop(index);
    let map: HashMap<u64, Vec<u8>> = (0..count).map(|i| (mix(i), value.clone())).collect();
    let sum = |bytes: &[u8]| -> u64 {
        let words = bytes.as_chunks::<8>().0.iter();
        words.fold(0, |sum: u64, word| sum.wrapping_add(u64::from_le_bytes(*word)))
    };
    let lookups = 200_000;
    for verify in [Verify::OnFirstTouch, Verify::Never] {
        let index = options(256 << 20).verify(verify).open(&path).unwrap();
        let mut nanos = [0.0; 2];
        let mut n = 0;
        for _ in 0..100 {
            let started = Instant::now();
            for i in n..n + lookups / 100 {
                let found = index.get(key(mix(i) % count)).unwrap().unwrap();
                black_box(sum(&found));
            }
            nanos[0] += started.elapsed().as_nanos() as f64 / lookups as f64;
            let started = Instant::now();
            for i in n..n + lookups / 100 {
                black_box(sum(&map[&mix(mix(i ^ 1 << 50) % count)]));
            }
            nanos[1] += started.elapsed().as_nanos() as f64 / lookups as f64;
            n += lookups / 100;
        }
        let [ours, theirs] = nanos;
        println!(
            "get of 3 KiB, all bytes read, {verify:?}: {ours:.0} ns, HashMap {theirs:.0} ns: {:.2} x its speed",
            theirs / ours
        );
    }
}
