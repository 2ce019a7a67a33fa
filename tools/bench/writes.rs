//! How fast are durable batches, single updates and inserts in a table that is loaded already?
//!
//! `cargo run --release --example writes -- FILE load,inserts,updates,singles,threads [RECORDS] [SECONDS]
//! [MEMORY_BUDGET_MIB]`
//!
//! `load` fills the file anew: records of 16 + 100 bytes in random order.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    reason = "a benchmark: whatever goes wrong must end it"
)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use splitpoint::{Batch, Durability, Index, Options};

#[path = "records.rs"]
mod records;
use records::{VALUE, key, mix};

fn options(budget: u64) -> Options {
    match budget {
        0 => Options::new(),
        mebibytes => Options::new().memory_budget(mebibytes << 20),
    }
}

/// Microseconds for each batch of 1,000 that `record` numbers.
fn batches(index: &Index, span: Duration, mut record: impl FnMut(u64) -> u64) -> (f64, u64) {
    let (mut taken, mut count, mut longest) = (Duration::ZERO, 0_u64, Duration::ZERO);
    while taken < span {
        let mut batch = Batch::new();
        for i in count * 1000..count * 1000 + 1000 {
            batch.insert(key(record(i)), VALUE);
        }
        let started = Instant::now();
        index.commit(batch).unwrap();
        let one = started.elapsed();
        longest = longest.max(one);
        taken += one;
        count += 1;
    }
    println!("longest batch {longest:?}");
    (taken.as_secs_f64() * 1e6 / count as f64, count)
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |i: usize, default| arguments.get(i).map_or(default, |a| a.parse().unwrap());
    let (records, seconds, budget) = (number(3, 2_000_000), number(4, 4), number(5, 0));
    let span = Duration::from_secs(seconds);
    let path = std::path::Path::new(&arguments[1]);
    let background = options(budget).durability(Durability::Background(Duration::from_millis(200)));
    for work in arguments[2].split(',') {
        match work {
            "load" => load(path, records, background.clone()),
            "inserts" | "updates" => {
                let index = options(budget).open(path).unwrap();
                let first = records * 4 + index.len();
                let record = |i| if work == "inserts" { first + i } else { mix(i) % records };
                let (micros, count) = batches(&index, span, record);
                println!("durable batch of {work} {micros:.0} us, {count}");
                index.close().unwrap();
            }
            "singles" => singles(path, records, span, background.clone()),
            "threads" => threads(path, records, span, options(budget)),
            _ => panic!("{work}?"),
        }
    }
}

fn load(path: &std::path::Path, records: u64, options: Options) {
    let _ = std::fs::remove_file(path);
    let index = options.expected_len(records).open(path).unwrap();
    let started = Instant::now();
    for i in 0..records {
        index.insert(key(i), VALUE).unwrap();
    }
    index.sync().unwrap();
    let synced = started.elapsed().as_nanos() as f64 / records as f64;
    index.close().unwrap();
    let closed = started.elapsed().as_nanos() as f64 / records as f64;
    println!("load {synced:.0} ns synced, {closed:.0} ns closed");
}

fn singles(path: &std::path::Path, records: u64, span: Duration, options: Options) {
    let index = options.open(path).unwrap();
    let started = Instant::now();
    let mut waits = Vec::new();
    while started.elapsed() < span {
        for i in waits.len() as u64..waits.len() as u64 + 1000 {
            let begun = Instant::now();
            index.insert(key(mix(i ^ 77) % records), VALUE).unwrap();
            waits.push(begun.elapsed().as_nanos() as u64);
        }
    }
    println!(
        "update in the background {:.0} ns",
        started.elapsed().as_nanos() as f64 / waits.len() as f64
    );
    waits.sort_unstable();
    for part in [0.5, 0.99, 0.999, 0.9999, 1.0] {
        let wait = waits[((waits.len() - 1) as f64 * part) as usize];
        println!("    {part}: {:.1} us", wait as f64 / 1e3);
    }
    index.close().unwrap();
}

/// Durable single inserts by one thread and by eight.
fn threads(path: &std::path::Path, records: u64, span: Duration, options: Options) {
    let index = options.open(path).unwrap();
    let next = AtomicU64::new(records * 8 + index.len());
    for count in [1, 8] {
        let first = next.load(Ordering::Relaxed);
        let syncs = index.stats().unwrap().sync_count;
        let started = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..count {
                scope.spawn(|| {
                    while started.elapsed() < span {
                        index.insert(key(next.fetch_add(1, Ordering::Relaxed)), VALUE).unwrap();
                    }
                });
            }
        });
        let inserts = (next.load(Ordering::Relaxed) - first) as f64;
        let micros = started.elapsed().as_secs_f64() * 1e6 / inserts;
        let group = inserts / (index.stats().unwrap().sync_count - syncs) as f64;
        println!("durable insert, {count} threads: {micros:.1} us, {group:.2} a sync");
    }
    index.close().unwrap();
}
