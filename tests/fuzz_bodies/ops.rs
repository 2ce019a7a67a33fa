//! Operations drawn from bytes, against `std::collections::HashMap`.

use std::collections::HashMap;
use std::time::Duration;

use splitpoint::simulation::{Rng, SimulatedDisk};
use splitpoint::{Access, Batch, Durability, Error, Index, Options, Verify};

use super::bytes::Bytes;

const OPERATIONS_MAX: usize = 400;
const LATER: Durability = Durability::Background(Duration::from_secs(3600));

/// What keys and values are made for.
#[derive(Clone, Copy)]
struct Sizes {
    page_size: usize,
    /// Keys and values have [`FIXED_LEN`] bytes each.
    fixed: bool,
}

const FIXED_LEN: usize = 8;
const KEY_LEN_MAX: usize = 0xffff;

impl Sizes {
    fn fit(self, mut bytes: Vec<u8>) -> Vec<u8> {
        if self.fixed {
            // Numbers stand at the end.
            bytes.drain(..bytes.len().saturating_sub(FIXED_LEN));
            bytes.resize(FIXED_LEN, 0);
        }
        bytes
    }
}

/// An index and what it should hold.
struct Run {
    disk: SimulatedDisk,
    options: Options,
    index: Option<Index>,
    model: HashMap<Vec<u8>, Vec<u8>>,
    metadata: Vec<u8>,
    later: bool,
    sizes: Sizes,
    copies: usize,
}

/// Runs the operations that the bytes say.
pub(crate) fn run(data: &[u8]) {
    let mut bytes = Bytes(data);
    let mut run = Run::new(&mut bytes);
    for _ in 0..OPERATIONS_MAX {
        if bytes.is_empty() {
            break;
        }
        run.step(&mut bytes);
    }
    run.reopen(0);
    run.index().close().expect("closing");
}

fn key(bytes: &mut Bytes<'_>, sizes: Sizes) -> Vec<u8> {
    let n = bytes.u8();
    sizes.fit(match n {
        0..4 => vec![n; usize::from(n)],
        4..8 => vec![n; (usize::from(n) * sizes.page_size / 7).min(KEY_LEN_MAX)],
        250..=255 => bytes.take(usize::from(n - 250)).to_vec(),
        _ => format!("key {n}").into_bytes(),
    })
}

fn value(bytes: &mut Bytes<'_>, sizes: Sizes) -> Vec<u8> {
    let n = usize::from(bytes.u8());
    let len = match n {
        0..200 => n,
        200..250 => 4 * (n - 200) + 190,
        _ => sizes.page_size * (n - 249) / 2 + n,
    };
    let mut value = vec![0; len];
    Rng::new(n as u64).fill(&mut value);
    sizes.fit(value)
}

impl Run {
    fn new(bytes: &mut Bytes<'_>) -> Run {
        let disk = SimulatedDisk::new(1);
        let page_size = bytes.of(&[4096, 4096, 4096, 8192, 65536]);
        let later = bytes.below(2) == 1;
        let (log, memory) = bytes.of(&[(1 << 16, 1 << 16), (1 << 20, 1 << 18)]);
        // A high seed makes a table of fixed sizes.
        let seed = bytes.u8();
        let sizes = Sizes { page_size, fixed: seed >= 0xc0 };
        let options = Options::new()
            .storage(&disk)
            .manual()
            .hash_seed(seed.into())
            .inline_max(if log == 1 << 16 { 64 } else { 496 })
            .durability(if later { LATER } else { Durability::Immediate })
            .small_budgets(log, memory.max(8 * page_size as u64))
            .verify(bytes.of(&[Verify::OnFirstTouch, Verify::Always, Verify::Never]))
            .access(bytes.of(&[Access::Pread, Access::Mapped]));
        let size = sizes.fixed.then_some(FIXED_LEN);
        let new = options.clone().page_size(page_size).key_size(size).value_size(size);
        let index = new.open("/ops").expect("a new index");
        let (model, metadata) = (HashMap::new(), Vec::new());
        Run { disk, options, index: Some(index), model, metadata, later, sizes, copies: 0 }
    }

    fn index(&self) -> &Index {
        self.index.as_ref().expect("an open index")
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        let sizes = self.sizes;
        match bytes.u8() % 32 {
            0..8 => {
                let (key, value) = (key(bytes, sizes), value(bytes, sizes));
                let new = self.index().insert(&key, &value).expect("insert");
                assert_eq!(new, self.model.insert(key, value).is_none());
            }
            8..12 => {
                let key = key(bytes, sizes);
                let was = self.index().remove(&key).expect("remove");
                assert_eq!(was, self.model.remove(&key).is_some());
            }
            12..15 => self.get(&key(bytes, sizes)),
            15 => self.update(&key(bytes, sizes), value(bytes, sizes)),
            16 => self.exchange(key(bytes, sizes), value(bytes, sizes)),
            17..20 => self.batch(bytes),
            20 | 21 => self.flood(bytes),
            22 => {
                self.metadata = vec![9; bytes.below(1025)];
                self.index().set_metadata(&self.metadata).expect("set_metadata");
            }
            23 => self.index().checkpoint().expect("checkpoint"),
            24 => drop(self.index().begin_checkpoint().expect("begin_checkpoint")),
            25..27 => {
                for _ in 0..=bytes.below(8) {
                    self.index().step_checkpoint().expect("step_checkpoint");
                }
            }
            27 => self.index().sync().expect("sync"),
            28 => self.scan(bytes.u8().into()),
            29 if bytes.below(4) == 3 => self.rows(bytes),
            29 => self.backup(),
            30 => self.bulk(bytes),
            _ => self.reopen(bytes.u8()),
        }
    }

    fn get(&self, key: &[u8]) {
        let found = self.index().get(key).expect("get");
        assert_eq!(found.as_deref(), self.model.get(key).map(Vec::as_slice));
        assert_eq!(self.index().contains_key(key).expect("contains"), self.model.contains_key(key));
        let mut reader = self.index().reader().expect("reader");
        assert_eq!(reader.get(key).expect("read"), found.as_deref().map(Into::into));
    }

    /// Values into a matrix: zeros for what is not there, an error for the first of another length.
    fn rows(&self, bytes: &mut Bytes<'_>) {
        let keys: Vec<Vec<u8>> = (0..bytes.below(80)).map(|_| key(bytes, self.sizes)).collect();
        let row_len = match keys.first().and_then(|key| self.model.get(key)) {
            Some(value) => value.len(),
            None => usize::from(bytes.u8()),
        };
        let mut rows = vec![0xee; keys.len() * row_len];
        let mut found = vec![true; keys.len()];
        let result = self.index().get_many_into(&keys, row_len, &mut rows, &mut found);
        let values: Vec<Option<&Vec<u8>>> = keys.iter().map(|key| self.model.get(key)).collect();
        match values.iter().position(|value| value.is_some_and(|v| v.len() != row_len)) {
            Some(first) => {
                let error = result.expect_err("a value that does not fit");
                assert!(matches!(error, Error::RowSize { row, .. } if row == first));
            }
            None => {
                assert_eq!(result.expect("rows"), values.iter().flatten().count());
                let expected: Vec<u8> = values
                    .iter()
                    .flat_map(|value| value.cloned().unwrap_or_else(|| vec![0; row_len]))
                    .collect();
                assert_eq!(rows, expected);
                assert!(found.iter().zip(&values).all(|(found, v)| *found == v.is_some()));
            }
        }
    }

    fn update(&mut self, key: &[u8], value: Vec<u8>) {
        let drawn = if self.sizes.fixed { value[0].into() } else { value.len() };
        let is_kept = !drawn.is_multiple_of(3);
        let new = is_kept.then_some(value);
        let expected = self.model.get(key).cloned();
        let there = self.index().update(key, |old| {
            assert_eq!(old, expected.as_deref());
            new.clone()
        });
        assert_eq!(there.expect("update"), new.is_some());
        match new {
            Some(value) => self.model.insert(key.to_vec(), value),
            None => self.model.remove(key),
        };
    }

    fn exchange(&mut self, key: Vec<u8>, value: Vec<u8>) {
        let current = self.model.get(&key).cloned();
        let done = self.index().compare_exchange(&key, current.as_deref(), Some(&value));
        assert!(done.expect("compare_exchange"));
        self.model.insert(key, value);
    }

    fn batch(&mut self, bytes: &mut Bytes<'_>) {
        let mut batch = Batch::new();
        for _ in 0..bytes.below(16) {
            let key = key(bytes, self.sizes);
            if bytes.below(3) == 0 {
                batch.remove(&key);
                self.model.remove(&key);
            } else {
                let value = value(bytes, self.sizes);
                batch.insert(&key, &value);
                self.model.insert(key, value);
            }
        }
        let durability = if bytes.below(2) == 0 { Durability::Immediate } else { LATER };
        self.index().commit_with(batch, durability).expect("commit");
        self.index().sync().expect("sync");
    }

    /// Many records in or out at once, so that the table grows and shrinks.
    fn flood(&mut self, bytes: &mut Bytes<'_>) {
        let (first, count) = (bytes.u8(), bytes.u8());
        let (out, len) = (bytes.below(2) == 1, bytes.below(120));
        let mut batch = Batch::new();
        for n in 0..2 * usize::from(count) {
            let key = format!("flood {}", 64 * usize::from(first % 8) + n).into_bytes();
            let (key, value) = (self.sizes.fit(key), self.sizes.fit(vec![first; len]));
            if out {
                batch.remove(&key);
                self.model.remove(&key);
            } else {
                batch.insert(&key, &value);
                self.model.insert(key, value);
            }
        }
        self.index().commit(batch).expect("commit");
        self.index().sync().expect("sync");
    }

    fn scan(&self, skip: usize) {
        let mut iter = self.index().iter().expect("iter");
        let mut seen = 0;
        for entry in iter.by_ref().take(skip) {
            let (key, value) = entry.expect("scan");
            assert_eq!(self.model.get(&key), Some(&value));
            seen += 1;
        }
        let cursor = iter.cursor().to_string().parse().expect("a cursor");
        for entry in self.index().scan_from(cursor).expect("scan_from") {
            let (key, value) = entry.expect("scan");
            assert_eq!(self.model.get(&key), Some(&value));
            seen += 1;
        }
        assert_eq!(seen, self.model.len(), "a scan yields each record once");
    }

    fn backup(&mut self) {
        self.copies += 1;
        let path = format!("/copy {}", self.copies);
        self.index().backup(&path).expect("backup");
        let copy = self.options.clone().read_only(true).open(&path).expect("the copy opens");
        self.verify(&copy);
    }

    fn bulk(&mut self, bytes: &mut Bytes<'_>) {
        self.index = None;
        let budget = bytes.of(&[1 << 14, 1 << 18]);
        let loader = self.options.clone().bulk_load("/ops").expect("bulk_load");
        let mut loader = loader.small_budget(budget).expect("small_budget");
        if bytes.below(4) == 3 {
            loader = loader.replace().expect("replace");
            self.model.clear();
        }
        let merging = bytes.below(2) == 1 && !self.sizes.fixed;
        if merging {
            let append = |old: &mut Vec<u8>, new: &[u8]| old.extend_from_slice(new);
            loader = loader.merge_with(append).expect("merge_with");
        }
        for _ in 0..bytes.below(64) {
            let key = key(bytes, self.sizes);
            if bytes.below(3) == 0 {
                loader.remove(&key).expect("remove");
                self.model.remove(&key);
                continue;
            }
            let value = value(bytes, self.sizes);
            loader.insert(&key, &value).expect("insert");
            match self.model.get_mut(&key).filter(|_| merging) {
                Some(old) => old.extend_from_slice(&value),
                None => drop(self.model.insert(key, value)),
            }
        }
        self.index = Some(loader.finish().expect("finish"));
        self.verify(self.index());
    }

    /// Closed, dropped, or killed between two calls; seen by a reader; open again.
    fn reopen(&mut self, how: u8) {
        match how % 3 {
            0 => self.index().close().expect("close"),
            1 => {}
            _ => {
                self.index().sync().expect("sync");
                self.disk = SimulatedDisk::from_image(&self.disk.snapshot(), how.into());
                self.options = self.options.clone().storage(&self.disk);
            }
        }
        self.index = None;
        if how & 64 != 0 {
            let reader = self.options.clone().read_only(true).open("/ops").expect("read-only");
            self.verify(&reader);
        }
        self.index = Some(self.options.clone().open("/ops").expect("open again"));
        self.verify(self.index());
    }

    fn verify(&self, index: &Index) {
        assert_eq!(index.len(), self.model.len() as u64);
        for (key, value) in &self.model {
            assert_eq!(index.get(key).expect("get").as_deref(), Some(value.as_slice()));
        }
        assert_eq!(index.metadata().expect("metadata"), self.metadata);
        let report = index.check().expect("check");
        assert!(report.is_sound(), "{report}");
    }
}
