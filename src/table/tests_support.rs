//! Tables for tests: made through the writer's side on a file in memory, without a log.
//!
//! Knows how a file is created, filled, checkpointed and opened again; nothing of the index.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Table;
use super::check::{CheckReport, check};
use super::get::get;
use crate::hash::hash;
use crate::layout::Layout;
use crate::page::meta::{FileParameters, LogPosition, Meta};
use crate::pager::{self, Access, Checkpoint, Persisted, Progress, Reading, Residence, Verify};
use crate::storage::memory::MemoryStorage;
use crate::storage::{OpenMode, Storage, StorageFile};

const PATH: &str = "/table";
pub(crate) const SEED: u64 = 11;

/// A table on a file in memory.
#[derive(Debug)]
pub(crate) struct Built {
    storage: MemoryStorage,
    pub(crate) table: Table,
    persisted: Option<Persisted>,
    lsn: u64,
}

impl Built {
    /// An empty table whose file may grow to `capacity` bytes.
    pub(crate) fn new(page_size: usize, bucket_count: u64, capacity: usize) -> Built {
        let storage = MemoryStorage::new(capacity);
        let file = storage.open(Path::new(PATH), OpenMode::CreateNew).unwrap();
        let parameters = FileParameters {
            file_id: *b"a test's file id",
            page_size,
            hash_seed: SEED,
            key_size: None,
            value_size: None,
            inline_max: 992,
        };
        let log = LogPosition { lsn: 1, ..LogPosition::default() };
        pager::create(&*file, Path::new(PATH), parameters, Layout::new(bucket_count), log).unwrap();
        let (table, persisted) = open(&storage);
        Built { storage, table, persisted: Some(persisted), lsn: 1 }
    }

    fn hash(&self, key: &[u8]) -> u64 {
        hash(key, self.table.shared().parameters.hash_seed)
    }

    pub(crate) fn insert(&mut self, key: &[u8], value: &[u8]) -> bool {
        self.lsn += 1;
        let hash = self.hash(key);
        let prepared = self.table.prepare_insert(hash, key, value).unwrap();
        self.table.apply_insert(hash, key, value, &prepared)
    }

    pub(crate) fn remove(&mut self, key: &[u8]) -> bool {
        self.lsn += 1;
        let hash = self.hash(key);
        self.table.prepare_remove(hash, key).unwrap();
        self.table.apply_remove(hash, key)
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let shared = self.table.shared();
        let pin = shared.epoch.pin();
        get(shared, &pin, key).unwrap().map(|hit| hit.to_vec())
    }

    /// Inserts records `first..end` of `value_len` bytes each.
    pub(crate) fn fill(&mut self, keys: std::ops::Range<u32>, value_len: usize) {
        for i in keys {
            self.insert(&key(i), &value(i, value_len));
        }
    }

    /// Writes a checkpoint; `clean` as at a close.
    pub(crate) fn checkpoint(&mut self, clean: bool) -> Meta {
        let log = LogPosition { lsn: self.lsn, ..LogPosition::default() };
        let persisted = self.persisted.take().unwrap();
        let mut checkpoint = self.table.pager.freeze(persisted, log, clean);
        while checkpoint.step().unwrap() == Progress::More {}
        while self.table.pager.install(&mut checkpoint) == Progress::More {}
        let meta = checkpoint.meta().clone();
        let shared = self.table.shared();
        let len = meta.page_count * shared.parameters.page_size as u64;
        assert!(shared.file_len() >= len, "a page that is written can be looked at");
        self.persisted = Some(checkpoint.into_persisted());
        meta
    }

    /// Writes a checkpoint while `meanwhile` goes on changing the table before each step of it, and
    /// abandons it at the step of this number if it can be.
    pub(crate) fn checkpoint_beside(
        &mut self,
        abandon_at: Option<usize>,
        mut meanwhile: impl FnMut(&mut Built),
    ) -> bool {
        let log = LogPosition { lsn: self.lsn, ..LogPosition::default() };
        let persisted = self.persisted.take().unwrap();
        let mut checkpoint = self.table.pager.freeze(persisted, log, false);
        for step in 0.. {
            meanwhile(self);
            if abandon_at == Some(step) && checkpoint.can_be_abandoned() {
                self.persisted = Some(self.table.pager.abandon(checkpoint));
                return false;
            }
            if checkpoint.step().unwrap() == Progress::Done {
                break;
            }
        }
        loop {
            meanwhile(self);
            if self.table.pager.install(&mut checkpoint) == Progress::Done {
                break;
            }
        }
        self.persisted = Some(checkpoint.into_persisted());
        true
    }

    /// Writes a checkpoint and looks at it before each step; gives what the last look gave.
    pub(crate) fn checkpoint_by_steps<R>(
        &mut self,
        mut look: impl FnMut(&Built, &Checkpoint) -> R,
    ) -> R {
        let log = LogPosition { lsn: self.lsn, ..LogPosition::default() };
        let persisted = self.persisted.take().unwrap();
        let mut checkpoint = self.table.pager.freeze(persisted, log, false);
        let last = loop {
            let seen = look(self, &checkpoint);
            if checkpoint.step().unwrap() == Progress::Done {
                break seen;
            }
        };
        while self.table.pager.install(&mut checkpoint) == Progress::More {}
        self.persisted = Some(checkpoint.into_persisted());
        last
    }

    /// What the last checkpoint wrote.
    pub(crate) fn persisted(&mut self) -> &mut Persisted {
        self.persisted.as_mut().unwrap()
    }

    /// The meta page in force on the file.
    pub(crate) fn newest_meta(&self) -> Meta {
        pager::read_meta(&*self.file(), Path::new(PATH)).unwrap().newest
    }

    /// Opens the file anew, as it was left by the last checkpoint.
    pub(crate) fn reopen(&mut self) {
        let (table, persisted) = open(&self.storage);
        self.table = table;
        self.persisted = Some(persisted);
    }

    pub(crate) fn file(&self) -> Arc<dyn StorageFile> {
        self.storage.open(Path::new(PATH), OpenMode::ReadWrite).unwrap()
    }

    /// Checks the last checkpoint.
    pub(crate) fn check(&self) -> CheckReport {
        let meta = self.persisted.as_ref().unwrap().meta();
        check(&*self.file(), Path::new(PATH), meta, &mut |_, _| ()).unwrap()
    }

    /// The file's bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let file = self.file();
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }
}

fn open(storage: &MemoryStorage) -> (Table, Persisted) {
    let path = PathBuf::from(PATH);
    let file = storage.open(&path, OpenMode::ReadWrite).unwrap();
    let pages = pager::read_meta(&*file, &path).unwrap();
    let reading = Reading {
        access: Access::Mapped,
        verify: Verify::OnFirstTouch,
        read_only: false,
        residence: Residence::Mapped,
    };
    let opened = pager::open(file, &path, pages, reading).unwrap();
    (Table::new(opened.pager), opened.persisted)
}

/// The key of the `i`th record.
pub(crate) fn key(i: u32) -> Vec<u8> {
    format!("key-{i:08}").into_bytes()
}

/// The value of the `i`th record.
pub(crate) fn value(i: u32, len: usize) -> Vec<u8> {
    i.to_le_bytes().into_iter().cycle().take(len).collect()
}

/// A file in memory with these bytes.
pub(crate) fn file_of(bytes: &[u8]) -> Arc<dyn StorageFile> {
    let storage = MemoryStorage::new(bytes.len().next_multiple_of(8));
    let file = storage.open(Path::new(PATH), OpenMode::CreateNew).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file
}
