//! The sound index that is damaged: bucket pages, overflow, large records, closed or with a log.

use splitpoint::simulation::{Rng, SimulatedDisk};
use splitpoint::{Index, Options};

use crate::file::{File, LOG_SEGMENT};

/// Where the data file is on the simulated disk, and its name in a folder.
pub(crate) const PATH: &str = "/data";
/// Of the simulated disk and of the hash.
pub(crate) const SEED: u64 = 7;

/// A data file and the segments of its log, by name.
#[derive(Clone)]
pub(crate) struct Sample {
    pub(crate) data: File,
    pub(crate) log: Vec<(String, Vec<u8>)>,
    pub(crate) keys: Vec<Vec<u8>>,
}

pub(crate) fn options(disk: &SimulatedDisk) -> Options {
    Options::new().storage(disk).manual().hash_seed(SEED).small_budgets(1 << 16, 1 << 24)
}

pub(crate) fn key(n: usize) -> Vec<u8> {
    format!("key {n}").into_bytes()
}

fn fill(index: &Index) -> Vec<Vec<u8>> {
    let mut rng = Rng::new(SEED);
    let mut keys = Vec::new();
    for n in 0.. {
        let len = if n % 100 == 99 { 9_000 } else { 20 + rng.below(100) };
        let mut value = vec![0; len];
        rng.fill(&mut value);
        keys.push(key(n));
        index.insert(key(n), value).unwrap();
        let stats = index.stats().unwrap();
        if n > 1_000 && stats.overflow_page_count > 1 && stats.next_bucket_count == 0 {
            break;
        }
    }
    keys
}

fn take(disk: &SimulatedDisk, keys: Vec<Vec<u8>>) -> Sample {
    let image = disk.snapshot();
    let name = |path: &std::path::Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let bytes = |path: &std::path::Path| image.bytes(path).unwrap();
    let log = image.paths().filter(|path| name(path) != "data");
    let log = log.map(|path| (name(path), bytes(path))).collect();
    Sample { data: File(image.bytes(PATH).unwrap()), log, keys }
}

impl Sample {
    /// Closed: one file.
    pub(crate) fn closed() -> Sample {
        let disk = SimulatedDisk::new(SEED);
        let index = options(&disk).open(PATH).unwrap();
        let keys = fill(&index);
        index.close().unwrap();
        take(&disk, keys)
    }

    /// Keys and values of eight bytes each, closed.
    pub(crate) fn fixed() -> Sample {
        let disk = SimulatedDisk::new(SEED);
        let index = options(&disk).key_size(Some(8)).value_size(Some(8)).open(PATH).unwrap();
        let mut keys = Vec::new();
        for n in 0_u64.. {
            keys.push(n.to_le_bytes().to_vec());
            index.insert(n.to_le_bytes(), n.to_le_bytes()).unwrap();
            let stats = index.stats().unwrap();
            if n > 3_000 && stats.overflow_page_count > 1 && stats.next_bucket_count == 0 {
                break;
            }
        }
        index.close().unwrap();
        take(&disk, keys)
    }

    /// In the middle of a sweep, closed.
    pub(crate) fn sweeping() -> Sample {
        let disk = SimulatedDisk::new(SEED);
        let index = options(&disk).open(PATH).unwrap();
        let mut keys = fill(&index);
        loop {
            let stats = index.stats().unwrap();
            if stats.next_bucket_count > 0 && stats.splitpoint > u64::MAX / 3 {
                break;
            }
            keys.push(key(keys.len()));
            index.insert(keys.last().unwrap(), [5; 80]).unwrap();
        }
        index.close().unwrap();
        take(&disk, keys)
    }

    /// Killed while it was open: a data file and a log with 25 commits that are not in it.
    pub(crate) fn killed() -> Sample {
        let disk = SimulatedDisk::new(SEED);
        let index = options(&disk).small_budgets(1 << 20, 1 << 24).open(PATH).unwrap();
        let mut keys = fill(&index);
        index.checkpoint().unwrap();
        for n in 0..25 {
            keys.push(key(100_000 + n));
            index.insert(key(100_000 + n), vec![1; 50 * n]).unwrap();
        }
        let mut sample = take(&disk, keys);
        // Without what recycling keeps ready.
        let first = sample.data.get(sample.data.meta() + LOG_SEGMENT);
        sample.log.retain(|(name, _)| *name == format!("data-wal-{first:016x}"));
        assert_eq!(sample.log.len(), 1);
        sample
    }

    /// The files in a folder.
    pub(crate) fn write(&self, folder: &std::path::Path) {
        std::fs::write(folder.join("data"), &self.data.0).unwrap();
        self.log.iter().for_each(|(name, bytes)| {
            std::fs::write(folder.join(name), bytes).unwrap();
        });
    }

    /// The files on a simulated disk.
    pub(crate) fn disk(&self) -> SimulatedDisk {
        let disk = SimulatedDisk::new(SEED);
        disk.set_live_bytes(PATH, &self.data.0);
        for (name, bytes) in &self.log {
            disk.set_live_bytes(format!("/{name}"), bytes);
        }
        disk
    }

    pub(crate) fn len(&self) -> usize {
        self.data.0.len() + self.log.iter().map(|(_, bytes)| bytes.len()).sum::<usize>()
    }
}
