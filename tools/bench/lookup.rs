//! How fast are loads and lookups, in memory? A first look without any peer beside it.
//!
//! `cargo run --release --example lookup [RECORDS]`
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a benchmark: whatever goes wrong must end it"
)]

use std::collections::HashMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use splitpoint::{Durability, Options};

fn key(i: u64) -> [u8; 16] {
    let a = i.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let b = (a ^ a >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mut key = [0; 16];
    key[..8].copy_from_slice(&b.to_le_bytes());
    key[8..].copy_from_slice(&a.to_le_bytes());
    key
}

fn timed(name: &str, count: u64, run: impl FnOnce()) {
    let started = Instant::now();
    run();
    let nanos = started.elapsed().as_nanos() as f64 / count as f64;
    println!("{name:<28} {nanos:8.1} ns");
}

fn main() {
    let count: u64 = std::env::args().nth(1).map_or(2_000_000, |n| n.parse().unwrap());
    let folder = tempfile::tempdir_in(".").unwrap();
    let path = folder.path().join("bench");
    let megabytes = std::env::var("MEMORY").map_or(256, |n| n.parse().unwrap());
    let options = Options::new()
        .memory_budget(megabytes << 20)
        .log_budget(megabytes << 20)
        .durability(Durability::Background(Duration::from_millis(200)));
    let index = options.clone().open(&path).unwrap();
    let value = [7_u8; 100];
    timed("load, one insert at a time", count, || {
        for i in 0..count {
            index.insert(key(i), value).unwrap();
        }
        index.sync().unwrap();
    });
    println!("{:?}", index.stats().unwrap());
    let random: Vec<u64> =
        (0..count).map(|i| u64::from_le_bytes(key(i)[8..].try_into().unwrap()) >> 11).collect();
    timed("close", 1, || index.close().unwrap());
    drop(index);
    let index = options.open(&path).unwrap();
    let len = index.stats().unwrap().file_len;
    println!(
        "{:.1} bytes a record, {:.3} x payload",
        len as f64 / count as f64,
        len as f64 / count as f64 / 116.0
    );
    for round in 0..3 {
        timed(&format!("random hits, round {round}"), count, || {
            for r in &random {
                let found = index.get(key(r % count)).unwrap().unwrap();
                black_box(found[0]);
            }
        });
    }
    timed("random misses", count, || {
        for r in &random {
            assert!(index.get(key(count + r % count)).unwrap().is_none());
        }
    });
    for size in [100, 1000] {
        timed(&format!("get_many of {size}"), count, || {
            for chunk in random.chunks(size) {
                let keys: Vec<[u8; 16]> = chunk.iter().map(|r| key(r % count)).collect();
                index
                    .get_many_with(&keys, |_, value| {
                        black_box(value.unwrap()[0]);
                    })
                    .unwrap();
            }
        });
    }
    index.close().unwrap();
    let map: HashMap<Vec<u8>, Vec<u8>, std::hash::BuildHasherDefault<std::hash::DefaultHasher>> =
        (0..count).map(|i| (key(i).to_vec(), value.to_vec())).collect();
    timed("HashMap (SipHash), hits", count, || {
        for r in &random {
            black_box(map.get(&key(r % count)[..]).unwrap()[0]);
        }
    });
}
