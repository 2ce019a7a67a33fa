//! Two layouts of a page: cells of one cache line with 16-bit tags and offsets, which this crate
//! has, against one array of 8-bit tags per page, searched from end to end by vector compares,
//! then an array of offsets. Both hold the same records up to 90 % of the page, behind the same
//! hash; pages stand in memory as a file's do, one after another.
//!
//! `cargo run --release --example layouts`
//!
//! Cached: pages of 256 KiB together. Memory: 1 GiB, or as many MiB as the argument says. Each
//! round times the layouts in turn; the table has the median of the rounds.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a benchmark: whatever goes wrong must end it"
)]

use std::hint::black_box;
use std::time::Instant;

use splitpoint::fuzzing::BucketPages;

const ROUNDS: usize = 7;
const LOOKUPS: usize = 400_000;
const FILL: f64 = 0.9;

/// Pages of one array of tags, one of offsets, then the heap: what cells are compared with.
struct TagPages {
    memory: Vec<u8>,
    /// Bytes before the first page: pages begin with a cache line.
    first: usize,
    page_size: usize,
    /// Records of each page: what a directory would say, as it says the count of cells.
    count: usize,
}

/// Tags that are compared at once.
const CHUNK: usize = 32;

impl TagPages {
    fn new(page_size: usize, pages: usize, count: usize) -> TagPages {
        let memory = vec![0; pages * page_size + 64];
        let first = memory.as_ptr().align_offset(64);
        TagPages { memory, first, page_size, count }
    }

    /// Behind the header, and tags in whole chunks.
    fn offsets(&self) -> usize {
        64 + self.count.next_multiple_of(CHUNK)
    }

    fn fill(&mut self, page: usize, records: &[(u64, &[u8], &[u8])]) {
        let offsets = self.offsets();
        let bytes = &mut self.memory[self.first + page * self.page_size..][..self.page_size];
        let mut end = bytes.len();
        for (i, (hash, key, value)) in records.iter().enumerate() {
            end -= 2 + key.len() + value.len();
            bytes[64 + i] = *hash as u8;
            bytes[offsets + 2 * i..][..2].copy_from_slice(&(end as u16).to_le_bytes());
            bytes[end..end + 2].copy_from_slice(&[key.len() as u8, value.len() as u8]);
            bytes[end + 2..][..key.len()].copy_from_slice(key);
            bytes[end + 2 + key.len()..][..value.len()].copy_from_slice(value);
        }
        assert!(end >= offsets + 2 * self.count);
    }

    #[inline]
    fn get(&self, page: usize, hash: u64, key: &[u8]) -> Option<&[u8]> {
        let bytes = &self.memory[self.first + page * self.page_size..][..self.page_size];
        let tag = hash as u8;
        let offsets = self.offsets();
        for (i, chunk) in bytes[64..offsets].as_chunks::<CHUNK>().0.iter().enumerate() {
            let mut mask = 0_u32;
            for (lane, &found) in chunk.iter().enumerate() {
                mask |= u32::from(found == tag) << lane;
            }
            while mask != 0 {
                let slot = CHUNK * i + mask.trailing_zeros() as usize;
                mask &= mask - 1;
                if slot >= self.count {
                    break;
                }
                let at = offsets + 2 * slot;
                let at = u16::from_le_bytes([bytes[at], bytes[at + 1]]).into();
                let record = &bytes[at..];
                let [key_len, value_len] = [record[0], record[1]].map(usize::from);
                let body = &record[2..2 + key_len + value_len];
                if &body[..key_len] == key {
                    return Some(&body[key_len..]);
                }
            }
        }
        None
    }
}

fn hash(n: u64) -> u64 {
    let a = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let b = (a ^ a >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    b ^ b >> 32
}

/// The key of a record, or of no record from `u32::MAX` on; and its hash.
fn key<const N: usize>(page: usize, i: usize) -> ([u8; N], u64) {
    let n = (page as u64) << 32 | i as u64;
    let mut key = [0; N];
    key[..8].copy_from_slice(&hash(n).to_le_bytes());
    (key, hash(n ^ 0x5555_5555))
}

struct Setting {
    page_size: usize,
    value: usize,
    name: &'static str,
    memory: usize,
}

/// Nanoseconds of a lookup: hits, misses.
fn time(lookups: &[(usize, usize)], mut get: impl FnMut(usize, usize) -> bool) -> [f64; 2] {
    [0, 1 << 20].map(|beyond| {
        let started = Instant::now();
        for &(page, i) in lookups {
            assert_eq!(black_box(get(page, i + beyond)), beyond == 0);
        }
        started.elapsed().as_nanos() as f64 / lookups.len() as f64
    })
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn run<const KEY: usize>(setting: &Setting) {
    let Setting { page_size, value, .. } = *setting;
    let bytes = vec![7; value];
    // 2 bytes of lengths, 4 of slot and room for the cells' spare slots.
    let count = ((page_size - 64) as f64 * FILL
        / (KEY + value + 2) as f64
        / (1.0 + 6.0 / (KEY + value + 2) as f64)) as usize;
    let pages = (setting.memory / page_size).max(1);
    let keys = |page| (0..count).map(move |i| key::<KEY>(page, i));
    let mut cells = BucketPages::new(page_size, pages, None);
    let mut tags = TagPages::new(page_size, pages, count);
    for page in 0..pages {
        let keys: Vec<_> = keys(page).collect();
        let records: Vec<(u64, &[u8], &[u8])> =
            keys.iter().map(|(key, hash)| (*hash, &key[..], &bytes[..])).collect();
        assert_eq!(cells.fill(page, &records), 0);
        tags.fill(page, &records);
    }
    let lookups: Vec<(usize, usize)> = (0..LOOKUPS as u64)
        .map(|n| (hash(n) as usize % pages, hash(n ^ 1 << 40) as usize % count))
        .collect();
    let (mut of_cells, mut of_tags) = ([vec![], vec![]], [vec![], vec![]]);
    for _ in 0..ROUNDS {
        let times = time(&lookups, |page, i| {
            let (key, hash) = key::<KEY>(page, i);
            cells.get(page, hash, &key).is_some()
        });
        of_cells.iter_mut().zip(times).for_each(|(all, time)| all.push(time));
        let times = time(&lookups, |page, i| {
            let (key, hash) = key::<KEY>(page, i);
            tags.get(page, hash, &key).is_some()
        });
        of_tags.iter_mut().zip(times).for_each(|(all, time)| all.push(time));
    }
    let [a, b] = [of_cells, of_tags].map(|all| all.map(median));
    println!(
        "| {} | {} | {KEY} + {value} | {count} | {:.1} / {:.1} = {:.2} | {:.1} / {:.1} = {:.2} |",
        setting.name,
        page_size / 1024,
        a[0],
        b[0],
        a[0] / b[0],
        a[1],
        b[1],
        a[1] / b[1],
    );
}

fn main() {
    let megabytes: usize = std::env::args().nth(1).map_or(1024, |n| n.parse().unwrap());
    println!("| pages in | KiB | record | records | hit: cells / tag array, ns | miss, ns |");
    println!("|---|---|---|---|---|---|");
    for (name, memory) in [("cache", 256 << 10), ("memory", megabytes << 20)] {
        for page_size in [4096, 8192, 16384] {
            run::<8>(&Setting { page_size, value: 8, name, memory });
            run::<16>(&Setting { page_size, value: 100, name, memory });
        }
    }
}
