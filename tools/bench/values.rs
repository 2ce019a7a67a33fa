//! What large values cost: bytes on disk for each value size, after a fill and after overwrites, bytes
//! written for each byte given, and a random get with all bytes read beside one from a `HashMap`.
//!
//! `cargo run --release --example values [MEGABYTES [space|gets|cold|inline|long]]`
//!
//! Seen beside other work, 200 MiB of values; bytes on disk for each byte of key and value after a fill
//! and after a bulk load, at most while twice as much was overwritten at random, and closed after that;
//! bytes written, log and close included, for each byte given:
//!
//! ```text
//!  value  filled    bulk  at most  closed  written
//!    512   1.065   1.048    1.607   1.238     5.72
//!   1024   1.038   1.025    1.550   1.208     4.76
//!   3072   1.020   1.010    1.615   1.223     3.64
//!   4096   1.016   1.007    1.274   1.018     2.50
//!   6144   1.011   1.005    1.710   1.046     3.16
//!  16384   1.005   1.002    1.244   1.013     2.38
//! ```
//! `cold`, 128 MiB, bucket pages in memory: a get of 3 KiB reads the device 0.987 times, 1.466 pages together.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    reason = "a benchmark: whatever goes wrong must end it"
)]

use std::collections::HashMap;
use std::hint::black_box;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use splitpoint::{Batch, Durability, Index, Options, Residence};

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
    match std::env::args().nth(2).as_deref() {
        None | Some("space") => space(megabytes),
        Some("gets") => gets(megabytes),
        Some("cold") => cold(megabytes),
        Some("inline") => inline(megabytes),
        Some("long") => long(megabytes),
        Some(other) => panic!("space, gets, cold, inline or long, not {other}"),
    }
}

fn space(megabytes: u64) {
    println!(
        "{megabytes} MiB of values, keys of 16 bytes; bytes on disk for each byte of key and value"
    );
    println!(
        " value  filled    bulk  at most (live, dead)   closed (dead, free)    written   MB/s"
    );
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
        std::fs::remove_file(&path).unwrap();
        load(&path, count, size as usize, options(256 << 20));
        let bulk = on_disk(folder.path()) as f64 / payload;
        let index = options(256 << 20).open(&path).unwrap();
        let (before, started) = (written(), Instant::now());
        let mut most = (0, 0, 0);
        for part in 0..200 {
            put(&index, (0..count / 100).map(|i| mix(mix(part << 40 | i)) % count), &value);
            let blocks = std::fs::metadata(&path).unwrap().blocks() * 512;
            if blocks > most.0 {
                let stats = index.stats().unwrap();
                let dead = (stats.value_page_count * 4096).saturating_sub(stats.value_len);
                most = (blocks, stats.value_len, dead);
            }
        }
        index.close().unwrap();
        drop(index);
        let speed = payload * 2.0 / 1e6 / started.elapsed().as_secs_f64();
        let written = (written() - before) as f64 / (payload * 2.0);
        let closed = on_disk(folder.path()) as f64 / payload;
        let of = |bytes: u64| bytes as f64 / payload;
        let left = Options::new().read_only(true).open(&path).unwrap().stats().unwrap();
        let dead = (left.value_page_count * 4096).saturating_sub(left.value_len);
        let free = left.free_page_count * 4096;
        println!(
            "{size:>6}   {full:.3}   {bulk:.3}  {:.3} ({:.3}, {:.3})  {closed:.3} ({:.3}, {:.3})  {written:>6.2} {speed:>6.0}",
            of(most.0),
            of(most.1),
            of(most.2),
            of(dead),
            of(free)
        );
    }
}

/// Fills a table with a bulk load; each value begins with the number of its key.
fn load(path: &Path, count: u64, size: usize, options: Options) {
    let mut load = options.bulk_load(path).unwrap();
    let mut value: Vec<u8> = (0..size as u64).map(|i| mix(i) as u8).collect();
    for i in 0..count {
        value[..8].copy_from_slice(&i.to_le_bytes());
        load.insert(key(i), &value).unwrap();
    }
    load.finish().unwrap();
}

fn sum(bytes: &[u8]) -> u64 {
    let words = bytes.as_chunks::<8>().0.iter();
    words.fold(0, |sum: u64, word| sum.wrapping_add(u64::from_le_bytes(*word)))
}

/// Where a map of the file begins in memory, by the system's list.
fn map_start(path: &Path) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let line = maps.lines().find(|line| line.ends_with(name)).unwrap();
    usize::from_str_radix(line.split('-').next().unwrap(), 16).unwrap()
}

/// Bytes and pages that this process has had read from devices, reads of all devices.
fn device() -> (u64, u64, u64) {
    let io = std::fs::read_to_string("/proc/self/io").unwrap();
    let bytes = io.lines().find_map(|line| line.strip_prefix("read_bytes: ")).unwrap();
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let faults = stat.rsplit(')').next().unwrap().split_whitespace().nth(9).unwrap();
    let mut reads = 0;
    for entry in std::fs::read_dir("/sys/block").unwrap() {
        let stat = std::fs::read_to_string(entry.unwrap().path().join("stat")).unwrap();
        reads += stat.split_whitespace().next().unwrap().parse::<u64>().unwrap();
    }
    (bytes.parse().unwrap(), faults.parse().unwrap(), reads)
}

/// Drops the pages of a file from memory. Of those that came in huge pages none would go alone.
fn forget(path: &Path) {
    let script = "import os,sys; f=os.open(sys.argv[1],os.O_RDONLY); os.fsync(f); \
        os.posix_fadvise(f,0,0,os.POSIX_FADV_DONTNEED)";
    let mut python = std::process::Command::new("python3");
    assert!(python.args(["-c", script]).arg(path).status().unwrap().success());
}

/// Gets of values that are not in memory, while their bucket pages are.
fn cold(megabytes: u64) {
    for size in [512, 3072, 6144, 16384, 65536_usize] {
        let folder = tempfile::tempdir_in(".").unwrap();
        let path = folder.path().join("values");
        let count = ((megabytes << 20) / size as u64).max(1);
        load(&path, count, size, Options::new());
        let sample: Vec<u64> = (0..1000.min(count / 4)).map(|i| mix(i ^ 77) % count).collect();
        let index = Options::new().read_only(true).open(&path).unwrap();
        let start = map_start(&path);
        let pages = |i: &u64| {
            let offset = index.get(key(*i)).unwrap().unwrap().as_ptr().addr() - start;
            (offset + size).div_ceil(4096) - offset / 4096
        };
        let expected: usize = sample.iter().map(pages).sum();
        index.close().unwrap();
        drop(index);
        forget(&path);
        let index = Options::new().read_only(true).open(&path).unwrap();
        assert!(sample.iter().all(|i| index.contains_key(key(*i)).unwrap()));
        let (before, started) = (device(), Instant::now());
        for i in &sample {
            black_box(sum(&index.get(key(*i)).unwrap().unwrap()));
        }
        let (after, taken) = (device(), started.elapsed());
        let each = |n: u64| n as f64 / sample.len() as f64;
        println!(
            "{size:>6} bytes on {:.3} pages: {:.3} pages read, {:.3} major faults, {:.3} device reads, {:.0} us a get",
            each(expected as u64),
            each(after.0 - before.0) / 4096.0,
            each(after.1 - before.1),
            each(after.2 - before.2),
            each(taken.as_micros() as u64)
        );
    }
}

/// Values within their pages, and the same packed.
fn inline(megabytes: u64) {
    println!(
        " value  page   bulk loaded: inline, packed   loaded at random, closed: inline, packed   hit, ns: inline, packed"
    );
    let sizes = [128, 256, 400, 480, 512, 640, 768, 940, 1024, 1500, 1900];
    for size in sizes {
        let page_size = if size <= 940 { 4096 } else { 8192 };
        let count = (megabytes << 20) / size as u64;
        let payload = (count * (size as u64 + 16)) as f64;
        let folder = tempfile::tempdir_in(".").unwrap();
        let mut space = Vec::new();
        let mut indexes = Vec::new();
        for (name, inline_max) in [("inline", page_size / 4 - 32), ("packed", 96)] {
            let options = || options(256 << 20).page_size(page_size).inline_max(inline_max);
            let bulk = folder.path().join(format!("{name}-bulk"));
            load(&bulk, count, size, options());
            space.push(std::fs::metadata(&bulk).unwrap().blocks() as f64 * 512.0 / payload);
            std::fs::remove_file(&bulk).unwrap();
            let path = folder.path().join(name);
            let index = options().open(&path).unwrap();
            put(&index, 0..count, &vec![7; size]);
            index.close().unwrap();
            space.push(std::fs::metadata(&path).unwrap().blocks() as f64 * 512.0 / payload);
            indexes.push(Options::new().read_only(true).open(&path).unwrap());
        }
        let mut nanos = [Vec::new(), Vec::new()];
        for round in 0..42 {
            for (at, index) in indexes.iter().enumerate() {
                let keys: Vec<u64> =
                    (0..5000).map(|i| mix(i ^ round << 40 ^ (at as u64) << 60) % count).collect();
                let started = Instant::now();
                for i in keys {
                    black_box(sum(&index.get(key(i)).unwrap().unwrap()));
                }
                nanos[at].push(started.elapsed().as_nanos() as u64 / 5000);
            }
        }
        nanos.iter_mut().for_each(|all| all.sort_unstable());
        println!(
            "{size:>6} {page_size:>5}   {:.3}, {:.3}   {:.3}, {:.3}   {}, {}",
            space[0], space[2], space[1], space[3], nanos[0][18], nanos[1][18]
        );
    }
}

/// Values of a megabyte and more, each durable when its commit returns: beside a copy of the same
/// bytes to a place in a file that is there, made durable, and a block to another file, made durable.
fn long(megabytes: u64) {
    use std::io::Write;
    use std::os::unix::fs::FileExt;
    for size in [256 << 10, 1 << 20, 4 << 20, 16 << 20_u64] {
        let folder = tempfile::tempdir_in(".").unwrap();
        let count = (megabytes << 20) / size;
        let value: Vec<u8> = (0..size).map(|i| mix(i) as u8).collect();
        let index = Options::new().open(folder.path().join("values")).unwrap();
        let data = std::fs::File::create(folder.path().join("data")).unwrap();
        (0..count).for_each(|i| data.write_all_at(&value, i * size).unwrap());
        let mut log = std::fs::File::create(folder.path().join("log")).unwrap();
        log.write_all(&vec![0; 4096 * count as usize]).unwrap();
        data.sync_all().unwrap();
        log.sync_all().unwrap();
        // All segments of the log are there after a first round.
        (0..count).for_each(|i| {
            index.insert(key(i), &value).unwrap();
        });
        index.checkpoint().unwrap();
        let (mut ours, mut direct, before) = (Vec::new(), Vec::new(), written());
        let mut direct_len = 0;
        for i in 0..count {
            let started = Instant::now();
            index.insert(key(i), &value).unwrap();
            ours.push(started.elapsed().as_micros());
            let started = Instant::now();
            data.write_all_at(&value, i * size).unwrap();
            data.sync_data().unwrap();
            log.write_all_at(&[7; 4096], i * 4096).unwrap();
            log.sync_data().unwrap();
            direct.push(started.elapsed().as_micros());
            direct_len += size + 4096;
        }
        index.checkpoint().unwrap();
        let written = (written() - before - direct_len) as f64 / (count * size) as f64;
        ours.sort_unstable();
        direct.sort_unstable();
        let middle = count as usize / 2;
        println!(
            "{size:>9} bytes: {} us an insert, direct {} us; {written:.2} bytes written for each given, direct {:.2}",
            ours[middle],
            direct[middle],
            1.0 + 4096.0 / size as f64
        );
        index.close().unwrap();
    }
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
    let lookups = 200_000;
    for residence in [Residence::Mapped, Residence::Prefetched] {
        let index = options(256 << 20).residence(residence).open(&path).unwrap();
        // The first touch checks a value, and maps its pages.
        for i in 0..count {
            black_box(sum(&index.get(key(i)).unwrap().unwrap()) + sum(&map[&mix(i)]));
        }
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
            "get of 3 KiB, all bytes read, {residence:?}: {ours:.0} ns, HashMap {theirs:.0} ns: {:.2} x its speed",
            theirs / ours
        );
    }
}
