//! fjall.

use std::time::Duration;

use fjall::config::{BlockSizePolicy, CompressionPolicy, HashRatioPolicy};
use fjall::{
    CompressionType, Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode,
};

use super::{able, locked};
use crate::data::{Batch, Keys};
use crate::store::{Kind, Reader, Result, Setup, Sink, Store};

pub const KIND: Kind = Kind {
    name: "fjall",
    version: || locked("fjall"),
    settings: "cache_size as large as twice the payload (half of a limit); blocks of 4 KiB with \
               hash index (ratio 0.75) for lookups from a cache; no compression, as the bytes are \
               random; bloom filters as by default; key-value separation for values of 1 KiB or \
               more; PersistMode::SyncData a batch where durable, else by its journal and sync; \
               close flushes the memtable first. \
               Source: docs of KeyspaceCreateOptions",
    cannot: able,
    open,
    crash_safe: true,
};

fn open(setup: &Setup) -> Result<Box<dyn Store>> {
    let database = Database::builder(&setup.folder).cache_size(setup.cache()).open()?;
    let table = database.keyspace("table", || {
        let mut options = KeyspaceCreateOptions::default()
            .data_block_size_policy(BlockSizePolicy::all(4096))
            .data_block_hash_ratio_policy(HashRatioPolicy::all(0.75))
            .data_block_compression_policy(CompressionPolicy::all(CompressionType::None));
        if let Some(buffer) = setup.write_buffer() {
            options = options.max_memtable_size(buffer);
        }
        if setup.shape.value >= 1024 {
            options = options.with_kv_separation(Some(
                KvSeparationOptions::default().compression(CompressionType::None),
            ));
        }
        options
    })?;
    Ok(Box::new(Fjall { database, table, durable: setup.durable }))
}

struct Fjall {
    database: Database,
    table: Keyspace,
    durable: bool,
}

impl Fjall {
    fn mode(&self) -> Option<PersistMode> {
        self.durable.then_some(PersistMode::SyncData)
    }
}

impl Store for Fjall {
    fn write(&self, batch: &Batch) -> Result<()> {
        let mut writes = self.database.batch().durability(self.mode());
        for (key, value) in batch.iter() {
            writes.insert(&self.table, key, value);
        }
        Ok(writes.commit()?)
    }

    fn delete(&self, keys: Keys<'_>) -> Result<()> {
        let mut writes = self.database.batch().durability(self.mode());
        for key in keys.iter() {
            writes.remove(&self.table, key);
        }
        Ok(writes.commit()?)
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(Lookups(&self.table)))
    }

    fn sync(&self) -> Result<bool> {
        self.database.persist(PersistMode::SyncAll)?;
        Ok(true)
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.database.persist(PersistMode::SyncAll)?;
        // Else the next open puts the journal's records into memory, and nothing is cold.
        self.table.rotate_memtable_and_wait()?;
        // A flushed journal is removed a moment later.
        while self.database.outstanding_flushes() > 0
            || self.database.active_compactions() > 0
            || self.database.journal_count() > 1
        {
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

struct Lookups<'a>(&'a Keyspace);

impl Reader for Lookups<'_> {
    fn get(&mut self, key: &[u8], sink: &mut Sink<'_>) -> Result<()> {
        if let Some(value) = self.0.get(key)? {
            sink.take(&value);
        }
        Ok(())
    }
}
