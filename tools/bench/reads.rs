//! How fast are lookups in memory, round by round beside a `HashMap` of the same records? And how
//! many bytes of the device does one cost that is not in memory?
//!
//! `cargo run --release --example reads -- FILE hot|cold|rows|inserts [RECORDS] [ROUNDS]
//! [mapped|prefetched|huge]`
//!
//! `rows` gathers embeddings of 768 floats, `inserts` measures each insert of a load by itself.
//! `FILE` is filled if it is not there yet. `cold` asks the system to drop its cache, as root.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a benchmark: whatever goes wrong must end it"
)]

use std::collections::HashMap;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use splitpoint::{Batch, Durability, Index, Options, Residence, Verify};

#[path = "records.rs"]
mod records;
use records::{VALUE, key, mix};

fn fill(path: &Path, count: u64) {
    if path.exists() {
        return;
    }
    let index = Options::new()
        .memory_budget(1 << 30)
        .log_budget(1 << 30)
        .durability(Durability::Background(Duration::from_secs(1)))
        .open(path)
        .unwrap();
    for from in (0..count).step_by(1000) {
        let mut batch = Batch::new();
        for i in from..count.min(from + 1000) {
            batch.insert(key(i), VALUE);
        }
        index.commit(batch).unwrap();
    }
    index.close().unwrap();
}

/// Nanoseconds for each of `count`.
fn timed(count: usize, run: impl FnOnce()) -> f64 {
    let started = Instant::now();
    run();
    started.elapsed().as_nanos() as f64 / count as f64
}

/// A table of rounds: the medians at the end, beside the first column's.
struct Table {
    names: Vec<&'static str>,
    rounds: Vec<Vec<f64>>,
}

impl Table {
    fn note(&mut self, round: Vec<(&'static str, f64)>) {
        let line: Vec<String> = round.iter().map(|(name, ns)| format!("{name} {ns:.0}")).collect();
        println!("{}", line.join(", "));
        self.names = round.iter().map(|(name, _)| *name).collect();
        self.rounds.push(round.into_iter().map(|(_, ns)| ns).collect());
    }

    fn print(&self) {
        let median = |column: usize| {
            let mut all: Vec<f64> = self.rounds.iter().map(|round| round[column]).collect();
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        };
        for (column, name) in self.names.iter().enumerate() {
            let ratio = median(0) / median(column);
            println!("{name:<20} {:9.1} ns, {ratio:5.2} x the first", median(column));
        }
    }
}

/// Reads all of a value, as who asks for it does.
fn read(value: &[u8]) {
    let words = value.as_chunks::<8>().0;
    black_box(words.iter().fold(0, |sum: u64, word| sum.wrapping_add(u64::from_le_bytes(*word))));
}

fn many(index: &Index, keys: &[[u8; 16]], size: usize) {
    for chunk in keys.chunks(size) {
        index
            .get_many_with(chunk, |_, value| {
                read(value.unwrap());
            })
            .unwrap();
    }
}

fn hot(index: &Index, count: u64, rounds: u64) {
    let map: HashMap<Vec<u8>, Vec<u8>> =
        (0..count).map(|i| (key(i).to_vec(), VALUE.to_vec())).collect();
    let lookups = 500_000.min(count) as usize;
    let mut table = Table { names: Vec::new(), rounds: Vec::new() };
    for round in 0..rounds {
        let draw = |salt: u64| -> Vec<[u8; 16]> {
            (0..lookups as u64).map(|i| key(mix(i + (salt << 40)) % count)).collect()
        };
        let keys: Vec<Vec<[u8; 16]>> = (0..8).map(|salt| draw(round * 8 + salt)).collect();
        let absent: Vec<[u8; 16]> = (0..lookups as u64).map(|i| key(count + i)).collect();
        let mut line = Vec::new();
        let mut note = |name, run: &dyn Fn()| line.push((name, timed(lookups, run)));
        note("HashMap", &|| {
            keys[0].iter().for_each(|key| {
                read(map.get(&key[..]).unwrap());
            });
        });
        note("get, hits", &|| {
            keys[1].iter().for_each(|key| {
                read(&index.get(key).unwrap().unwrap());
            });
        });
        note("get, hits, pinned", &|| {
            let _held = index.get(key(0)).unwrap();
            keys[6].iter().for_each(|key| {
                read(&index.get(key).unwrap().unwrap());
            });
        });
        note("reader, hits", &|| {
            let mut reader = index.reader().unwrap();
            keys[7].iter().for_each(|key| {
                read(&reader.get(key).unwrap().unwrap());
            });
        });
        note("reader, misses", &|| {
            let mut reader = index.reader().unwrap();
            absent.iter().for_each(|key| assert!(reader.get(key).unwrap().is_none()));
        });
        note("get_with 1", &|| {
            keys[5].iter().for_each(|key| {
                index
                    .get_many_with(&[key], |_, v| {
                        read(v.unwrap());
                    })
                    .unwrap();
            });
        });
        note("get, misses", &|| {
            absent.iter().for_each(|key| assert!(index.get(key).unwrap().is_none()));
        });
        note("get_many_with 100", &|| many(index, &keys[2], 100));
        note("get_many_with 1000", &|| many(index, &keys[3], 1000));
        note("get_many 100", &|| {
            for chunk in keys[4].chunks(100) {
                for value in index.get_many(chunk).unwrap() {
                    read(&value.unwrap());
                }
            }
        });
        note("HashMap, misses", &|| {
            absent.iter().for_each(|key| assert!(!map.contains_key(&key[..])));
        });
        table.note(line);
    }
    table.print();
}

/// Bytes that this process has had read from devices.
fn read_bytes() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap();
    let line = io.lines().find_map(|line| line.strip_prefix("read_bytes: ")).unwrap();
    line.parse().unwrap()
}

fn cold(options: &Options, path: &Path, count: u64, rounds: u64) {
    let mut table = Table { names: Vec::new(), rounds: Vec::new() };
    let mut pages: Vec<(&str, f64)> = Vec::new();
    for round in 0..rounds {
        let keys: Vec<[u8; 16]> = (0..4000).map(|i| key(mix(i + (round << 40)) % count)).collect();
        let absent: Vec<[u8; 16]> = (0..1000).map(|i| key(count + i + round * 1000)).collect();
        let index = options.clone().open(path).unwrap();
        let mut line = Vec::new();
        let mut note = |name, lookups: usize, run: &dyn Fn()| {
            std::fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
            let before = read_bytes();
            line.push((name, timed(lookups, run)));
            pages.push((name, (read_bytes() - before) as f64 / 4096.0 / lookups as f64));
        };
        note("cold hits", 1000, &|| {
            keys[..1000].iter().for_each(|key| assert!(index.get(key).unwrap().is_some()));
        });
        note("cold misses", 1000, &|| {
            absent.iter().for_each(|key| assert!(index.get(key).unwrap().is_none()));
        });
        note("cold 100 at once", 1000, &|| many(&index, &keys[1000..2000], 100));
        note("cold 1000 at once", 2000, &|| many(&index, &keys[2000..], 1000));
        table.note(line);
        // Pages that were checked before and are gone from memory: the words cannot tell.
        let mut line = Vec::new();
        let mut note = |name, lookups: usize, run: &dyn Fn()| {
            std::fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
            line.push((name, timed(lookups, run)));
        };
        note("again hits", 1000, &|| {
            keys[..1000].iter().for_each(|key| assert!(index.get(key).unwrap().is_some()));
        });
        note("again 100 at once", 1000, &|| many(&index, &keys[1000..2000], 100));
        let line: Vec<String> = line.iter().map(|(name, ns)| format!("{name} {ns:.0}")).collect();
        println!("  {}", line.join(", "));
        index.close().unwrap();
    }
    table.print();
    for (name, pages) in pages {
        println!("{name:<20} {pages:.3} pages a lookup");
    }
}

/// Bytes of an embedding of 768 floats.
const ROW: usize = 768 * 4;

fn fill_rows(path: &Path, count: u64) {
    if path.exists() {
        return;
    }
    let durability = Durability::Background(Duration::from_secs(1));
    let index = Options::new().durability(durability).open(path).unwrap();
    let mut value = vec![0; ROW];
    for from in (0..count).step_by(1000) {
        let mut batch = Batch::new();
        for i in from..count.min(from + 1000) {
            value[..8].copy_from_slice(&i.to_le_bytes());
            batch.insert(key(i), &value);
        }
        index.commit(batch).unwrap();
    }
    index.close().unwrap();
}

/// Gathers 1,000 rows at a time: beside copies of as many bytes from random places in memory.
fn rows(options: &Options, path: &Path, count: u64, rounds: u64) {
    fill_rows(path, count);
    let index = options.clone().open(path).unwrap();
    let unchecked = options.clone().verify(Verify::Never).open(path).unwrap();
    let memory = vec![7_u8; count as usize * ROW];
    let map: HashMap<u64, Vec<u8>> = (0..count).map(|i| (i, vec![7; ROW])).collect();
    let mut table = Table { names: Vec::new(), rounds: Vec::new() };
    let mut matrix = vec![0_u8; 1000 * ROW];
    let mut found = vec![false; 1000];
    // What was never touched is checked: that is another measurement.
    let all: Vec<[u8; 16]> = (0..count / 1000 * 1000).map(key).collect();
    for (chunk, index) in all.chunks(1000).flat_map(|chunk| [(chunk, &index), (chunk, &unchecked)])
    {
        index.get_many_into(chunk, ROW, &mut matrix, &mut found).unwrap();
    }
    for round in 0..rounds {
        let draw = |salt: u64| -> Vec<u64> {
            (0..20_000).map(|i| mix(i + ((round * 8 + salt) << 40)) % count).collect()
        };
        let keys = |numbers: Vec<u64>| -> Vec<[u8; 16]> { numbers.into_iter().map(key).collect() };
        let mut line = Vec::new();
        let numbers = draw(0);
        line.push((
            "memcpy",
            timed(20_000, || {
                for chunk in numbers.chunks(1000) {
                    for (row, i) in matrix.chunks_mut(ROW).zip(chunk) {
                        row.copy_from_slice(&memory[*i as usize * ROW..][..ROW]);
                    }
                    black_box(&mut matrix);
                }
            }),
        ));
        let numbers = draw(1);
        line.push((
            "HashMap, copied",
            timed(20_000, || {
                for chunk in numbers.chunks(1000) {
                    for (row, i) in matrix.chunks_mut(ROW).zip(chunk) {
                        row.copy_from_slice(map.get(i).unwrap());
                    }
                    black_box(&mut matrix);
                }
            }),
        ));
        for (name, index, salt) in
            [("get_many_into", &index, 2), ("without checksums", &unchecked, 3)]
        {
            let keys = keys(draw(salt));
            line.push((
                name,
                timed(20_000, || {
                    for chunk in keys.chunks(1000) {
                        let all = index.get_many_into(chunk, ROW, &mut matrix, &mut found).unwrap();
                        assert_eq!(all, 1000);
                        black_box(&mut matrix);
                    }
                }),
            ));
        }
        let keys = keys(draw(4));
        line.push((
            "get, copied",
            timed(20_000, || {
                for chunk in keys.chunks(1000) {
                    for (row, key) in matrix.chunks_mut(ROW).zip(chunk) {
                        row.copy_from_slice(&index.get(key).unwrap().unwrap());
                    }
                    black_box(&mut matrix);
                }
            }),
        ));
        table.note(line);
    }
    table.print();
}

/// How long a single insert takes while checkpoints and resizes run.
fn inserts(path: &Path, count: u64) {
    let index = Options::new()
        .create_new(true)
        .memory_budget(64 << 20)
        .log_budget(64 << 20)
        .durability(Durability::Background(Duration::from_millis(100)))
        .open(path)
        .unwrap();
    let mut micros: Vec<f64> = (0..count)
        .map(|i| {
            let key = key(i);
            let started = Instant::now();
            index.insert(key, VALUE).unwrap();
            started.elapsed().as_nanos() as f64 / 1e3
        })
        .collect();
    let stats = index.stats().unwrap();
    micros.sort_by(f64::total_cmp);
    for (name, share) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)] {
        println!("{name:<6} {:10.1} us", micros[((count - 1) as f64 * share) as usize]);
    }
    let (buckets, checkpoints) = (stats.bucket_count, stats.checkpoint_count);
    println!("{checkpoints} checkpoints, {buckets} buckets");
    index.close().unwrap();
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, usual| args.get(i).map_or(usual, |text| text.parse().unwrap());
    let path = Path::new(&args[0]);
    let (count, rounds) = (number(2, 2_000_000), number(3, 5));
    let residence = match args.get(4).map_or("mapped", String::as_str) {
        "mapped" => Residence::Mapped,
        "prefetched" => Residence::Prefetched,
        "huge" => Residence::HugePages,
        other => panic!("mapped, prefetched or huge, not {other}"),
    };
    let options = Options::new().read_only(true).residence(residence);
    match args[1].as_str() {
        "rows" => rows(&options, path, count, rounds),
        "inserts" => inserts(path, count),
        "hot" => {
            fill(path, count);
            let started = Instant::now();
            let index = options.open(path).unwrap();
            println!("opened in {:.1} ms", started.elapsed().as_secs_f64() * 1e3);
            hot(&index, count, rounds);
        }
        "cold" => {
            fill(path, count);
            cold(&options, path, count, rounds);
        }
        other => panic!("hot, cold, rows or inserts, not {other}"),
    }
}
