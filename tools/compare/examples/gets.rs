//! Random lookups of large values in memory, all their bytes read: splitpoint, a `HashMap` and LMDB
//! in turn, a few thousand each, so that whatever else the machine does hits all three.
//!
//! `cargo run --release --example gets -- FOLDER [COUNT [BYTES [ROUNDS]]]`; FOLDER is filled if it is
//! not there yet.
#![allow(clippy::unwrap_used, reason = "a benchmark: whatever goes wrong must end it")]

use std::collections::HashMap;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use heed::types::Bytes;
use heed::{Database, Env, EnvFlags, EnvOpenOptions};
use splitpoint::{Batch, Durability, Index, Options, Residence, Verify};

fn mix(i: u64) -> u64 {
    let a = i.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let b = (a ^ a >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    b ^ b >> 32
}

fn key(i: u64) -> [u8; 8] {
    mix(i).to_le_bytes()
}

fn sum(bytes: &[u8]) -> u64 {
    let words = bytes.as_chunks::<8>().0.iter();
    words.fold(0, |sum: u64, word| sum.wrapping_add(u64::from_le_bytes(*word)))
}

fn value(i: u64, len: usize) -> Vec<u8> {
    let mut value = vec![7; len];
    value[..8].copy_from_slice(&i.to_le_bytes());
    value
}

#[expect(unsafe_code, reason = "LMDB maps a file, which nobody else must change: nobody does")]
fn lmdb(folder: &Path, count: u64, len: usize) -> (Env, Database<Bytes, Bytes>) {
    std::fs::create_dir_all(folder).unwrap();
    let mut options = EnvOpenOptions::new();
    options.map_size(((count * len as u64) as usize * 4 + (1 << 30)) & !0xffff);
    unsafe { options.flags(EnvFlags::NO_SYNC) };
    let env = unsafe { options.open(folder).unwrap() };
    let mut txn = env.write_txn().unwrap();
    let table = env.create_database(&mut txn, None).unwrap();
    txn.commit().unwrap();
    (env, table)
}

fn fill(folder: &Path, count: u64, len: usize) {
    if folder.exists() {
        return;
    }
    let (env, table) = lmdb(&folder.join("lmdb"), count, len);
    let durability = Durability::Background(Duration::from_secs(1));
    let index = Options::new().durability(durability).open(folder.join("index")).unwrap();
    for from in (0..count).step_by(1000) {
        let mut batch = Batch::new();
        let mut txn = env.write_txn().unwrap();
        for i in from..count.min(from + 1000) {
            let value = value(i, len);
            table.put(&mut txn, &key(i), &value).unwrap();
            batch.insert(key(i), value);
        }
        txn.commit().unwrap();
        index.commit(batch).unwrap();
    }
    env.force_sync().unwrap();
    index.close().unwrap();
    let mut load = Options::new().bulk_load(folder.join("bulk")).unwrap();
    (0..count).for_each(|i| load.insert(key(i), value(i, len)).unwrap());
    load.finish().unwrap();
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, usual: u64| args.get(i).map_or(usual, |text| text.parse().unwrap());
    let folder = Path::new(&args[0]);
    let (count, len, rounds) = (number(1, 170_000), number(2, 3072) as usize, number(3, 30));
    fill(folder, count, len);
    let open = |name: &str, options: Options| -> Index { options.open(folder.join(name)).unwrap() };
    let plain = open("index", Options::new().read_only(true));
    let bulk = open("bulk", Options::new().read_only(true));
    let never = open("index", Options::new().read_only(true).verify(Verify::Never));
    let huge = open("index", Options::new().read_only(true).residence(Residence::HugePages));
    std::fs::copy(folder.join("index"), folder.join("writable")).unwrap();
    let writable = open("writable", Options::new());
    let map: HashMap<u64, Vec<u8>> = (0..count).map(|i| (mix(i), value(i, len))).collect();
    let (env, table) = lmdb(&folder.join("lmdb"), count, len);
    let txn = env.read_txn().unwrap();

    let get = |index: &Index, i: u64| sum(&index.get(key(i)).unwrap().unwrap());
    type Get<'a> = (&'a str, Box<dyn Fn(u64) -> u64 + 'a>);
    let stores: Vec<Get<'_>> = vec![
        ("HashMap", Box::new(|i| sum(&map[&mix(i)]))),
        ("LMDB", Box::new(|i| sum(table.get(&txn, &key(i)).unwrap().unwrap()))),
        ("splitpoint", Box::new(|i| get(&plain, i))),
        ("bulk loaded", Box::new(|i| get(&bulk, i))),
        ("Verify::Never", Box::new(|i| get(&never, i))),
        ("writable", Box::new(|i| get(&writable, i))),
        ("HugePages", Box::new(|i| get(&huge, i))),
    ];
    let expected = |i: u64| sum(&value(i, len));
    for (name, get) in &stores {
        (0..count).for_each(|i| assert_eq!(get(i), expected(i), "{name}"));
    }
    let lookups = 4000;
    let mut nanos: Vec<Vec<f64>> = vec![Vec::new(); stores.len()];
    for round in 0..rounds {
        for (at, (_, get)) in stores.iter().enumerate() {
            let salt = (round << 8 | at as u64) << 32;
            let started = Instant::now();
            (0..lookups).for_each(|i| {
                black_box(get(mix(salt + i) % count));
            });
            nanos[at].push(started.elapsed().as_nanos() as f64 / lookups as f64);
        }
    }
    let medians: Vec<f64> = nanos
        .iter_mut()
        .map(|all| {
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        })
        .collect();
    println!("{count} values of {len} bytes, medians of {rounds} rounds of {lookups} lookups");
    for ((name, _), nanos) in stores.iter().zip(&medians) {
        println!(
            "{name:<14} {nanos:8.0} ns, {:.2} x the speed of HashMap, {:.2} x LMDB",
            medians[0] / nanos,
            medians[1] / nanos
        );
    }
}
