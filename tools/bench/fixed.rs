//! Tables of fixed sizes: 8-byte keys, 8-byte values. Size, loads, lookups, updates; beside them
//! the same records in a table of any sizes, in turn, so that both meet the same machine.
//!
//! `cargo run --release --example fixed [RECORDS]`
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a benchmark: whatever goes wrong must end it"
)]

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use splitpoint::{Durability, Index, Options};

const ROUNDS: u64 = 3;

fn key(i: u64) -> [u8; 8] {
    let a = i.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (a ^ a >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9).to_le_bytes()
}

fn nanos(count: u64, run: impl FnOnce()) -> f64 {
    let started = Instant::now();
    run();
    started.elapsed().as_nanos() as f64 / count as f64
}

struct Table {
    name: &'static str,
    options: Options,
    index: Index,
    fields: Vec<(String, f64)>,
}

impl Table {
    fn new(name: &'static str, folder: &Path, size: Option<usize>) -> Table {
        let options = Options::new()
            .memory_budget(1 << 30)
            .log_budget(1 << 30)
            .durability(Durability::Background(Duration::from_millis(200)))
            .key_size(size)
            .value_size(size);
        let index = options.clone().open(folder.join(name)).unwrap();
        Table { name, options, index, fields: Vec::new() }
    }

    fn note(&mut self, name: &str, value: f64) {
        self.fields.push((name.to_owned(), value));
    }

    fn timed(&mut self, name: &str, count: u64, run: impl FnOnce(&Index)) {
        let value = nanos(count, || run(&self.index));
        self.note(name, value);
    }
}

fn main() {
    let count: u64 = std::env::args().nth(1).map_or(2_000_000, |n| n.parse().unwrap());
    let folder = tempfile::tempdir_in(".").unwrap();
    let mut tables =
        [Table::new("fixed", folder.path(), Some(8)), Table::new("general", folder.path(), None)];
    for table in &mut tables {
        table.timed("load, ns", count, |index| {
            for i in 0..count {
                index.insert(key(i), i.to_le_bytes()).unwrap();
            }
            index.sync().unwrap();
        });
        table.index.close().unwrap();
        table.index = table.options.clone().open(folder.path().join(table.name)).unwrap();
        let len = table.index.stats().unwrap().file_len;
        table.note("bytes a record", len as f64 / count as f64);
    }
    let random: Vec<u64> = (0..count).map(|i| u64::from_le_bytes(key(i)) >> 11).collect();
    for round in 0..ROUNDS {
        for table in &mut tables {
            table.timed(&format!("hit, ns ({round})"), count, |index| {
                for r in &random {
                    black_box(index.get(key(r % count)).unwrap().unwrap()[0]);
                }
            });
            table.timed(&format!("miss, ns ({round})"), count, |index| {
                for r in &random {
                    assert!(index.get(key(count + r % count)).unwrap().is_none());
                }
            });
        }
    }
    for round in 0..ROUNDS {
        for table in &mut tables {
            table.timed(&format!("counter update, ns ({round})"), count, |index| {
                for r in &random {
                    index
                        .update(key(r % count), |old| {
                            let old = u64::from_le_bytes(old?.try_into().ok()?);
                            Some((old + 1).to_le_bytes().to_vec())
                        })
                        .unwrap();
                }
                index.sync().unwrap();
            });
        }
    }
    let [fixed, general] = &tables;
    println!("{:<28} {:>10} {:>10} {:>8}", "8 + 8 bytes", fixed.name, general.name, "ratio");
    for ((name, a), (_, b)) in fixed.fields.iter().zip(&general.fields) {
        println!("{name:<28} {a:>10.1} {b:>10.1} {:>8.2}", a / b);
    }
    for table in &tables {
        println!("{}: {:?}", table.name, table.index.stats().unwrap());
    }
}
