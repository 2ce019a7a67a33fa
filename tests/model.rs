//! The model test: a million random operations against `std::collections::HashMap`, with reopens,
//! checkpoints and resizes up and down. Each seed draws its own page size, record sizes, budgets
//! and durability. The seeds are printed; `SPLITPOINT_SEED` repeats one, `SPLITPOINT_OPERATIONS`
//! changes how many operations all seeds do together.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test: whatever goes wrong must end it"
)]

use std::collections::HashMap;
use std::time::{Duration, Instant};

use splitpoint::simulation::{Rng, SimulatedDisk};
use splitpoint::{Access, Batch, Durability, Error, Index, Options, Residence, Verify};

const SEEDS: u64 = 20;
const OPERATIONS: u64 = 1_000_000;

fn main() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds = match number("SPLITPOINT_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..SEEDS,
    };
    let count =
        number("SPLITPOINT_OPERATIONS").unwrap_or(OPERATIONS) / seeds.clone().count() as u64;
    let started = Instant::now();
    let mut total = 0;
    for seed in seeds.clone() {
        println!("model: seed {seed}");
        total += Run::new(seed).run(count);
    }
    println!(
        "model: {total} operations, seeds {}..{}, 0 failures, {:.1} s",
        seeds.start,
        seeds.end,
        started.elapsed().as_secs_f64()
    );
    println!("\ntest result: ok. {} passed; 0 failed", seeds.count());
}

struct Run {
    rng: Rng,
    disk: SimulatedDisk,
    options: Options,
    index: Index,
    model: HashMap<Vec<u8>, Vec<u8>>,
    metadata: Vec<u8>,
    keys: usize,
    value_max: usize,
    page_size: usize,
    /// Of every key and value, where they are fixed.
    sizes: Option<(usize, usize)>,
    copies: u64,
}

impl Run {
    fn new(seed: u64) -> Run {
        let mut rng = Rng::new(seed);
        let disk = SimulatedDisk::new(seed);
        let page_size = [4096, 4096, 8192, 16384, 65536][rng.below(5)];
        let durability = match rng.below(2) {
            0 => Durability::Immediate,
            _ => Durability::Background(Duration::from_secs(3600)),
        };
        let budgets = [(1 << 16, 1 << 16), (1 << 20, 1 << 18), (1 << 22, 1 << 24)];
        let (log, memory) = budgets[rng.below(3)];
        let memory = memory.max(8 * page_size as u64);
        let options = Options::new()
            .storage(&disk)
            .manual()
            .durability(durability)
            .small_budgets(log, memory)
            .inline_max([64, 496, 992][usize::try_from(seed % 3).unwrap()])
            .expected_len([0, 5_000][usize::try_from(seed / 3 % 2).unwrap()])
            .verify([Verify::OnFirstTouch, Verify::Always, Verify::Never][rng.below(3)])
            .access([Access::Mapped, Access::Mapped, Access::Pread][rng.below(3)]);
        let sizes = match rng.below(3) {
            0 => {
                Some([(8, 8), (8, 8), (3, 0), (16, 100), (300, 600), (7, page_size)][rng.below(6)])
            }
            _ => None,
        };
        let fixed = match sizes {
            Some((key, value)) => options.clone().key_size(Some(key)).value_size(Some(value)),
            None => options.clone(),
        };
        let index = fixed.page_size(page_size).open("/model").unwrap();
        let keys = [50, 1_000, 10_000][rng.below(3)];
        let value_max = [20, 200, 200, 2 * page_size][rng.below(4)];
        println!("  page size {page_size}, {keys} keys, values to {value_max}, sizes {sizes:?}");
        println!("  {options:?}");
        Run {
            rng,
            disk,
            options,
            index,
            model: HashMap::new(),
            metadata: Vec::new(),
            keys,
            value_max,
            page_size,
            sizes,
            copies: 0,
        }
    }

    fn key(&mut self) -> Vec<u8> {
        let n = self.rng.below(self.keys);
        if let Some((len, _)) = self.sizes {
            return (n as u64).to_le_bytes().repeat(len / 8 + 1)[..len].to_vec();
        }
        // One key in a hundred is longer than fits a bucket page.
        match n % 100 {
            0 => format!("{n:0>width$}", width = 1 + (n % 7) * self.page_size / 6).into_bytes(),
            1 => (n as u64).to_le_bytes()[..(n % 5)].to_vec(),
            _ => format!("key {n}").into_bytes(),
        }
    }

    fn value(&mut self) -> Vec<u8> {
        let len = match self.rng.below(200) {
            0 => self.rng.below(3 * self.page_size),
            _ => self.rng.below(self.value_max + 1),
        };
        let len = self.sizes.map_or(len, |(_, len)| len);
        let mut value = vec![0; len];
        self.rng.fill(&mut value);
        value
    }

    fn run(mut self, count: u64) -> u64 {
        // Tides: mostly inserts, then mostly removals, so that the table grows and shrinks.
        let mut tide = 0;
        for step in 0..count {
            if step % 5_000 == 0 {
                tide = self.rng.below(3);
            }
            match self.rng.below(1_000) {
                0 => self.reopen(),
                1 => self.index.checkpoint().unwrap(),
                2 | 3 => self.scan(),
                4 if self.rng.below(4) == 0 => self.backup(),
                4 if self.rng.below(3) == 0 => self.bulk(),
                4..30 => self.batch(),
                30..60 => drop(self.index.begin_checkpoint().unwrap()),
                60..200 => drop(self.index.step_checkpoint().unwrap()),
                200..230 => self.update(),
                230..250 => self.exchange(),
                250..255 => self.set_metadata(),
                255..400 => self.get(),
                400..404 => self.get_many(),
                404..406 => self.read(),
                406..410 => self.get_many_into(),
                draw => {
                    let removals = [150, 300, 450][tide];
                    if draw < 410 + removals { self.remove() } else { self.insert() }
                }
            }
        }
        self.reopen();
        self.index.close().unwrap();
        count
    }

    fn insert(&mut self) {
        let (key, value) = (self.key(), self.value());
        let new = self.index.insert(&key, &value).unwrap();
        assert_eq!(new, self.model.insert(key.clone(), value).is_none(), "insert {key:?}");
    }

    fn remove(&mut self) {
        let key = self.key();
        let was = self.index.remove(&key).unwrap();
        assert_eq!(was, self.model.remove(&key).is_some(), "remove {key:?}");
    }

    fn get(&mut self) {
        let key = self.key();
        let found = self.index.get(&key).unwrap();
        assert_eq!(found.as_deref(), self.model.get(&key).map(Vec::as_slice), "get {key:?}");
        assert_eq!(self.index.contains_key(&key).unwrap(), found.is_some(), "{key:?} is there");
    }

    /// Lookups of a reader see what is written meanwhile, and what was found stays as it was.
    fn read(&mut self) {
        let index = self.index.clone();
        let (mut reader, mut other) = (index.reader().unwrap(), index.reader().unwrap());
        for _ in 0..[20, 20, 3000][self.rng.below(3)] {
            let key = self.key();
            let before = reader.get(&key).unwrap();
            let expected = self.model.get(&key).cloned();
            assert_eq!(before.as_deref(), expected.as_deref(), "read {key:?}");
            match self.rng.below(3) {
                0 => self.insert(),
                1 => self.remove(),
                _ => {}
            }
            let is_there = self.model.contains_key(&key);
            assert_eq!(other.contains_key(&key).unwrap(), is_there, "{key:?} is there");
            assert_eq!(before.as_deref(), expected.as_deref(), "{key:?} is as it was");
            if self.rng.below(50) == 0 {
                other.renew();
            }
        }
    }

    fn get_many(&mut self) {
        let keys: Vec<Vec<u8>> = (0..self.rng.below(100)).map(|_| self.key()).collect();
        let mut seen = 0;
        let model = &self.model;
        self.index
            .get_many_with(&keys, |i, value| {
                assert_eq!(i, seen);
                seen += 1;
                assert_eq!(value, model.get(&keys[i]).map(Vec::as_slice));
            })
            .unwrap();
        assert_eq!(seen, keys.len());
        for (key, value) in keys.iter().zip(self.index.get_many(&keys).unwrap()) {
            assert_eq!(value.as_deref(), model.get(key).map(Vec::as_slice));
        }
    }

    fn get_many_into(&mut self) {
        let keys: Vec<Vec<u8>> = (0..self.rng.below(100)).map(|_| self.key()).collect();
        // Rows of the length that one of the values has: those of another length are an error.
        let mut lens = keys.iter().filter_map(|key| self.model.get(key).map(Vec::len));
        let row_len = lens.next_back().unwrap_or(7);
        let fits = |key: &Vec<u8>| self.model.get(key).is_none_or(|v| v.len() == row_len);
        let mut rows = vec![0xee; keys.len() * row_len];
        let mut found = vec![self.rng.below(2) == 0; keys.len()];
        let result = self.index.get_many_into(&keys, row_len, &mut rows, &mut found);
        match keys.iter().position(|key| !fits(key)) {
            Some(first) => {
                assert!(matches!(result, Err(Error::RowSize { row, .. }) if row == first));
                let keys: Vec<Vec<u8>> = keys.iter().filter(|key| fits(key)).cloned().collect();
                rows.truncate(keys.len() * row_len);
                found.truncate(keys.len());
                let count = self.index.get_many_into(&keys, row_len, &mut rows, &mut found);
                self.check_rows(&keys, row_len, (&rows, &found), count.unwrap());
            }
            None => self.check_rows(&keys, row_len, (&rows, &found), result.unwrap()),
        }
    }

    fn check_rows(
        &self,
        keys: &[Vec<u8>],
        row_len: usize,
        (rows, found): (&[u8], &[bool]),
        count: usize,
    ) {
        let zeros = vec![0; row_len];
        for (i, key) in keys.iter().enumerate() {
            let value = self.model.get(key);
            assert_eq!(found[i], value.is_some());
            assert_eq!(rows[i * row_len..][..row_len], **value.unwrap_or(&zeros), "{key:?}");
        }
        assert_eq!(count, found.iter().filter(|found| **found).count());
    }

    fn update(&mut self) {
        let key = self.key();
        let add = self.value();
        let is_kept = self.rng.below(3) > 0;
        let model = &mut self.model;
        let there = self
            .index
            .update(&key, |old| {
                assert_eq!(old, model.get(&key).map(Vec::as_slice));
                let new = is_kept.then(|| add.clone());
                match &new {
                    Some(value) => model.insert(key.clone(), value.clone()),
                    None => model.remove(&key),
                };
                new
            })
            .unwrap();
        assert_eq!(there, self.model.contains_key(&key));
    }

    fn exchange(&mut self) {
        let (key, value) = (self.key(), self.value());
        let current = self.model.get(&key).cloned();
        let wrong =
            self.index.compare_exchange(&key, Some(b"never a value of these"), None).unwrap();
        assert!(!wrong);
        let new = (self.rng.below(3) > 0).then_some(value);
        assert!(self.index.compare_exchange(&key, current.as_deref(), new.as_deref()).unwrap());
        match new {
            Some(value) => self.model.insert(key, value),
            None => self.model.remove(&key),
        };
    }

    fn batch(&mut self) {
        let mut batch = Batch::new();
        for _ in 0..self.rng.below(60) {
            let key = self.key();
            if self.rng.below(3) == 0 {
                batch.remove(&key);
                self.model.remove(&key);
            } else {
                let value = self.value();
                batch.insert(&key, &value);
                self.model.insert(key, value);
            }
        }
        let background = Durability::Background(Duration::from_secs(3600));
        let durability = [Durability::Immediate, background][self.rng.below(2)];
        self.index.commit_with(batch, durability).unwrap();
        self.index.sync().unwrap();
    }

    fn set_metadata(&mut self) {
        self.metadata = vec![7; self.rng.below(1025)];
        self.index.set_metadata(&self.metadata).unwrap();
    }

    fn scan(&mut self) {
        let mut seen = 0;
        for entry in self.index.iter().unwrap() {
            let (key, value) = entry.unwrap();
            assert_eq!(self.model.get(&key), Some(&value), "scan {key:?}");
            seen += 1;
        }
        assert_eq!(seen, self.model.len(), "a scan yields each record once");
        let mut iter = self.index.iter().unwrap();
        let skip = self.rng.below(seen + 1);
        let first: Vec<_> = iter.by_ref().take(skip).map(Result::unwrap).collect();
        let cursor = iter.cursor().to_string().parse().unwrap();
        let rest = self.index.scan_from(cursor).unwrap().count();
        assert_eq!(first.len() + rest, seen, "a cursor goes on where it was taken");
    }

    fn backup(&mut self) {
        self.copies += 1;
        let path = format!("/copy {}", self.copies);
        self.index.backup(&path).unwrap();
        let copy = self.options.clone().read_only(true).open(&path).unwrap();
        self.verify(&copy);
        copy.close().unwrap();
    }

    /// A load into what is there, or in its place; or a rewrite.
    fn bulk(&mut self) {
        if self.rng.below(2) == 0 {
            self.index.close().unwrap();
        }
        let other = SimulatedDisk::new(0);
        let placeholder = Options::new().storage(&other).manual().open("/none").unwrap();
        drop(std::mem::replace(&mut self.index, placeholder));
        let budget = [1 << 14, 1 << 17, 1 << 22][self.rng.below(3)];
        let mut loader =
            self.options.clone().bulk_load("/model").unwrap().small_budget(budget).unwrap();
        if self.rng.below(8) == 0 {
            loader = loader.replace().unwrap();
            self.model.clear();
        }
        let merging = self.rng.below(2) == 0 && self.sizes.is_none();
        if merging {
            loader = loader.merge_with(|old, new| old.extend_from_slice(new)).unwrap();
        }
        for _ in 0..[0, 10, 2_000][self.rng.below(3)] {
            let key = self.key();
            if self.rng.below(4) == 0 {
                loader.remove(&key).unwrap();
                self.model.remove(&key);
                continue;
            }
            let value = self.value();
            loader.insert(&key, &value).unwrap();
            match self.model.get_mut(&key).filter(|_| merging) {
                Some(old) => old.extend_from_slice(&value),
                None => drop(self.model.insert(key, value)),
            }
        }
        self.index = loader.finish().unwrap();
        self.verify(&self.index);
    }

    /// What an inspector sees of the file while nobody has it open.
    fn look(&self) {
        let inspector = splitpoint::fuzzing::inspector(&self.disk, "/model").unwrap();
        let stat = inspector.stat(|_, _| ()).unwrap();
        assert!(stat.check.is_sound(), "{}", stat.check);
        let sum: u64 = stat.pages.iter().map(|share| share.bytes).sum();
        assert_eq!((sum, stat.file_len), (stat.file_len, inspector.file_len()));
        let inside: u64 = stat.contents.iter().map(|share| share.bytes).sum();
        let of_pages = ["bucket_pages", "overflow_pages", "value_pages"];
        assert_eq!(inside, of_pages.into_iter().map(|name| stat.bytes(name)).sum::<u64>());
        let report = inspector.check(|_, _| ()).unwrap();
        assert!(report.is_sound(), "{report}");
        if !stat.is_clean {
            return;
        }
        assert_eq!(stat.record_count, self.model.len() as u64);
        let absent = [b"not there".to_vec()];
        for key in self.model.keys().take(50).chain(&absent) {
            let report = inspector.key(key).unwrap();
            let found = report.field("result").unwrap().to_string();
            assert_eq!(found == "found", self.model.contains_key(key), "{report}");
        }
    }

    fn reopen(&mut self) {
        match self.rng.below(4) {
            // Closed clean, dropped, or killed between two calls.
            0 | 1 => self.index.close().unwrap(),
            2 => {}
            _ => {
                self.index.sync().unwrap();
                self.disk = SimulatedDisk::from_image(&self.disk.snapshot(), self.rng.next());
                self.options = self.options.clone().storage(&self.disk);
            }
        }
        let other = SimulatedDisk::new(0);
        let placeholder = Options::new().storage(&other).manual().open("/none").unwrap();
        drop(std::mem::replace(&mut self.index, placeholder));
        self.look();
        if self.rng.below(3) == 0 {
            let mut options = self.options.clone().read_only(true);
            if self.rng.below(2) == 0 {
                // A copy in huge pages, or pages fetched ahead: the same answers.
                let residence = [Residence::HugePages, Residence::Prefetched][self.rng.below(2)];
                options = options.access(Access::Mapped).residence(residence);
            }
            let reader = match options.open("/model") {
                Err(Error::Io { action: "copy to huge pages", .. }) => {
                    self.options.clone().read_only(true).open("/model").unwrap()
                }
                opened => opened.unwrap(),
            };
            self.verify(&reader);
            reader.close().unwrap();
        }
        self.index = self.options.clone().open("/model").unwrap();
        self.verify(&self.index);
    }

    fn verify(&self, index: &Index) {
        assert_eq!(index.len(), self.model.len() as u64);
        for (key, value) in &self.model {
            assert_eq!(index.get(key).unwrap().as_deref(), Some(value.as_slice()), "{key:?}");
        }
        assert_eq!(index.metadata().unwrap(), self.metadata);
        let report = index.check().unwrap();
        assert!(report.is_sound(), "{report}");
    }
}
