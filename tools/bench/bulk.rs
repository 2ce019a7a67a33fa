//! Bulk load of N seeded random records: how long each phase takes, how much memory and disk, and
//! whether every record is there.
//!
//! ```text
//! cargo run --release --example bulk -- FILE COUNT [OPTION=VALUE ...]
//!   key=16 value=39     bytes of each
//!   fixed=1             the file has fixed sizes [0]
//!   budget=4096         MiB of memory [1024]
//!   threads=2 fill=100  as the loader's settings
//!   keys=1000000        so many different keys, counted with merge_with; COUNT rows
//!   verify=0            leave out the verification [1]
//!   keep=1              keep the file [0]
//!   disk=1              first measure the disk: 2 GiB written one after another, and synced [0]
//! ```
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    reason = "a benchmark: whatever goes wrong must end it"
)]

use std::collections::HashMap;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use splitpoint::{BulkPhase, Index, Options};

/// Keys in a call of `get_many_with`.
const BATCH: usize = 100;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let usage = "bulk FILE COUNT [OPTION=VALUE ...]";
    let path = PathBuf::from(arguments.next().expect(usage));
    let count: u64 = arguments.next().expect(usage).parse().expect(usage);
    let options: HashMap<String, u64> = arguments
        .map(|argument| {
            let (name, value) = argument.split_once('=').expect(usage);
            (name.to_owned(), value.parse().expect(usage))
        })
        .collect();
    let get = |name: &str, default| options.get(name).copied().unwrap_or(default);
    if get("disk", 0) == 1 {
        measure_disk(&path);
    }
    let run = Run {
        count,
        keys: get("keys", 0),
        key_len: get("key", 16) as usize,
        value_len: get("value", 39) as usize,
        fixed: get("fixed", 0) == 1,
        budget: get("budget", 1024) << 20,
        threads: get("threads", 0) as usize,
        fill: get("fill", 0) as u32,
    };
    let index = run.load(&path);
    if get("verify", 1) == 1 {
        run.verify(&index);
    }
    index.close().unwrap();
    if get("keep", 0) == 0 {
        std::fs::remove_file(&path).unwrap();
    }
}

struct Run {
    count: u64,
    keys: u64,
    key_len: usize,
    value_len: usize,
    fixed: bool,
    budget: u64,
    threads: usize,
    fill: u32,
}

/// The words that record `n` is made from.
fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn fill(bytes: &mut [u8], seed: u64) {
    let mut word = mix(seed);
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
        word = word.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(seed | 1);
    }
}

impl Run {
    /// The key of record `n`; from 2⁶⁰ on they are those of no record.
    fn key<'b>(&self, n: u64, bytes: &'b mut [u8; 256]) -> &'b [u8] {
        let n = if self.keys > 0 && n < 1 << 60 { mix(n) % self.keys } else { n };
        let key = &mut bytes[..self.key_len];
        fill(key, n);
        key
    }

    fn value<'b>(&self, n: u64, bytes: &'b mut [u8; 4096]) -> &'b [u8] {
        let value = &mut bytes[..self.value_len];
        fill(value, n ^ (1 << 61));
        value
    }

    /// Makes all records, one after another.
    fn generate(&self, mut take: impl FnMut(&[u8], &[u8])) {
        let (mut key, mut value) = ([0; 256], [0; 4096]);
        for n in 0..self.count {
            let key = self.key(n, &mut key);
            match self.keys {
                0 => take(key, self.value(n, &mut value)),
                _ => take(key, &1_u64.to_le_bytes()),
            }
        }
    }

    /// Makes all records for nobody: from when to when.
    fn generator_alone(&self) -> (Moment, Moment) {
        let first = Moment::now();
        self.generate(|key, value| {
            std::hint::black_box((key, value));
        });
        (first, Moment::now())
    }

    fn per_record(&self, time: Duration) -> u64 {
        time.as_nanos() as u64 / self.count.max(1)
    }

    fn print_phase(&self, name: &str, from: Moment, to: Moment) {
        let (user, system) = (to.user - from.user, to.system - from.system);
        println!(
            "{name}{:.1}, of the processor {:.1} user, {:.1} system: {} and {} ns a record",
            (to.at - from.at).as_secs_f64(),
            user.as_secs_f64(),
            system.as_secs_f64(),
            self.per_record(user),
            self.per_record(system)
        );
    }

    fn load(&self, path: &Path) -> Index {
        let _ = std::fs::remove_file(path);
        let mut options = Options::new();
        if self.fixed {
            options = options.key_size(Some(self.key_len)).value_size(Some(self.value_len));
        }
        let mut loader = options.bulk_load(path).unwrap().memory_budget(self.budget).unwrap();
        if self.threads > 0 {
            loader = loader.threads(self.threads).unwrap();
        }
        if self.fill > 0 {
            loader = loader.fill_percent(self.fill).unwrap();
        }
        if self.keys > 0 {
            loader = loader
                .merge_with(|sum, more| {
                    let sum: &mut [u8; 8] = sum.first_chunk_mut().unwrap();
                    let more = u64::from_le_bytes(*more.first_chunk().unwrap());
                    *sum = (u64::from_le_bytes(*sum) + more).to_le_bytes();
                })
                .unwrap();
        }
        let times = Arc::new(Mutex::new(Vec::new()));
        let seen = times.clone();
        let mut loader = loader
            .progress(move |now| {
                let mut times = seen.lock().unwrap();
                if now.phase == BulkPhase::Input {
                    times.clear();
                }
                times.push((*now, Moment::now()));
            })
            .unwrap();
        let generator = self.generator_alone();
        let watch = Watch::start(path);
        let (started, first) = (Instant::now(), Moment::now());
        self.generate(|key, value| loader.insert(key, value).unwrap());
        let input = Moment::now();
        let index = loader.finish().unwrap();
        let (time, end) = (started.elapsed(), Moment::now());
        let states = times.lock().unwrap();
        let synced = states.iter().find(|(now, _)| now.phase == BulkPhase::Sync);
        let built = synced.map_or(end, |(_, moment)| *moment);
        let last = states.last().unwrap().0;
        println!("records       {} in, {} in the file", self.count, index.len());
        println!("seconds       {:.1}", time.as_secs_f64());
        self.print_phase("  input       ", first, input);
        self.print_phase("  build       ", input, built);
        self.print_phase("  sync        ", built, end);
        self.print_phase("generator     ", generator.0, generator.1);
        let cpu = end.cpu() - first.cpu();
        let own = cpu.saturating_sub(generator.1.cpu() - generator.0.cpu());
        println!(
            "cpu           {:.1} s, {} ns a record; {} ns without the generator",
            cpu.as_secs_f64(),
            self.per_record(cpu),
            self.per_record(own)
        );
        println!("peak memory   {} MiB, the budget is {}", peak_memory(), self.budget >> 20);
        let len = std::fs::metadata(path).unwrap().len();
        let payload =
            (self.key_len + if self.keys > 0 { 8 } else { self.value_len }) as u64 * index.len();
        println!("file          {len} bytes, {:.3} of the payload", len as f64 / payload as f64);
        println!("spilled       {} bytes", last.spilled_len);
        println!("peak of disk  {:.2} of the file", watch.end() as f64 / len as f64);
        println!(
            "overflow      {:.2} % of the records, {} pages beside {} of buckets",
            100.0 * last.overflow_count as f64 / index.len().max(1) as f64,
            last.overflow_page_count,
            last.bucket_count
        );
        index
    }

    fn verify(&self, index: &Index) {
        let count = if self.keys > 0 { 0 } else { self.count };
        let threads = match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        } as u64;
        for (what, first) in [("present", 0), ("absent", 1 << 60)] {
            let started = Instant::now();
            let part = |i: u64| first + count * i / threads;
            let wrong: u64 = std::thread::scope(|scope| {
                let parts: Vec<_> = (0..threads)
                    .map(|i| scope.spawn(move || self.wrong_ones(index, part(i)..part(i + 1))))
                    .collect();
                parts.into_iter().map(|part| part.join().unwrap()).sum()
            });
            assert_eq!(wrong, 0, "of the {what} keys");
            let rate = count as f64 / started.elapsed().as_secs_f64();
            println!(
                "verified      {count} {what} keys, {rate:.0} lookups a second in get_many of \
                 {BATCH} on {threads} threads"
            );
        }
        if self.keys > 0 {
            let mut sum = 0;
            for entry in index.iter().unwrap() {
                sum += u64::from_le_bytes(entry.unwrap().1.try_into().unwrap());
            }
            assert_eq!(sum, self.count);
            println!("verified      the counts of {} keys are those of {sum} rows", index.len());
        }
    }

    /// How many of these keys are not found as they should be.
    fn wrong_ones(&self, index: &Index, numbers: Range<u64>) -> u64 {
        let (mut keys, mut value) = (vec![[0; 256]; BATCH], [0; 4096]);
        let mut wrong = 0;
        let mut n = numbers.start;
        while n < numbers.end {
            let len = BATCH.min((numbers.end - n) as usize);
            for (i, key) in keys.iter_mut().enumerate().take(len) {
                self.key(n + i as u64, key);
            }
            let slices: Vec<&[u8]> = keys[..len].iter().map(|key| &key[..self.key_len]).collect();
            let is_absent = n >= 1 << 60;
            index
                .get_many_with(&slices, |i, found| {
                    let right = match found {
                        Some(found) => !is_absent && found == self.value(n + i as u64, &mut value),
                        None => is_absent,
                    };
                    wrong += u64::from(!right);
                })
                .unwrap();
            n += len as u64;
        }
        wrong
    }
}

/// MiB of memory at most so far.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|n| n.parse().ok());
    kib.unwrap_or(0_u64) >> 10
}

/// A moment, and how long all threads of this process had been running until then.
#[derive(Clone, Copy)]
struct Moment {
    at: Instant,
    user: Duration,
    system: Duration,
}

impl Moment {
    fn now() -> Moment {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
        let time = |i| Duration::from_millis(10 * ticks(i));
        Moment { at: Instant::now(), user: time(11), system: time(12) }
    }

    fn cpu(self) -> Duration {
        self.user + self.system
    }
}

/// Looks how much disk the files beside the target take.
struct Watch {
    peak: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Watch {
    fn start(path: &Path) -> Watch {
        let watch = Watch { peak: Arc::default(), stop: Arc::default() };
        let (peak, stop) = (watch.peak.clone(), watch.stop.clone());
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = folder.to_owned();
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                use std::os::unix::fs::MetadataExt;
                let entries = std::fs::read_dir(&folder).unwrap().flatten();
                let ours = entries.filter(|e| e.file_name().to_string_lossy().starts_with(&name));
                let len = ours.flat_map(|e| e.metadata()).map(|m| m.blocks() * 512).sum();
                peak.fetch_max(len, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        watch
    }

    fn end(&self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.peak.load(Ordering::Relaxed)
    }
}

fn measure_disk(path: &Path) {
    let path = path.with_extension("disk-speed");
    let started = Instant::now();
    let mut file = std::fs::File::create(&path).unwrap();
    let block = vec![0x5a; 1 << 20];
    for _ in 0..2048 {
        file.write_all(&block).unwrap();
    }
    file.sync_all().unwrap();
    let speed = (2_u64 << 30) as f64 / started.elapsed().as_secs_f64() / 1e6;
    println!("disk          {speed:.0} MB/s, 2 GiB written and synced");
    std::fs::remove_file(&path).unwrap();
}
