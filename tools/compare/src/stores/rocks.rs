//! RocksDB, the library that the system has.

use std::time::Duration;

use rocksdb::{
    ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, Options, WriteBatch, WriteOptions,
};

use super::{able, locked};
use crate::data::{Batch, Keys};
use crate::store::{Ask, Kind, Reader, Result, Setup, Sink, Store};

pub const KIND: Kind = Kind {
    name: "RocksDB",
    version: || format!("RocksDB {}, crate rocksdb {}", env!("COMPARE_ROCKSDB"), locked("rocksdb")),
    settings: "OptimizeForPointLookup with a block cache of twice the payload (half of a limit): \
               bloom filter of 10 bits, hash index in blocks; IncreaseParallelism(2); \
               bytes_per_sync 1 MiB; no compression, as the bytes are random; write-ahead log on, \
               sync a batch where durable; MultiGet batched; close flushes the memtable first. \
               Source: rocksdb/options.h, the wiki's Setup Options and Basic Tuning",
    cannot: able,
    open,
    crash_safe: true,
};

/// As its documents recommend for large values.
pub const BLOBS: Kind = Kind {
    name: "RocksDB blobs",
    settings: "as RocksDB; values of 1 KiB and more in blob files, which are collected. The crate \
               cannot give them a cache: they are read through the system's. Source: the wiki's \
               BlobDB",
    cannot: |ask: &Ask| (ask.shape.value < BLOB_LEN_MIN).then_some("for big values only"),
    open: |setup: &Setup| {
        open_with(setup, |options| {
            options.set_enable_blob_files(true);
            options.set_min_blob_size(BLOB_LEN_MIN as u64);
            options.set_enable_blob_gc(true);
        })
    },
    ..KIND
};

const BLOB_LEN_MIN: usize = 1 << 10;

fn open(setup: &Setup) -> Result<Box<dyn Store>> {
    open_with(setup, |_| ())
}

fn open_with(setup: &Setup, choose: impl FnOnce(&mut Options)) -> Result<Box<dyn Store>> {
    let mut options = Options::default();
    choose(&mut options);
    options.create_if_missing(true);
    options.optimize_for_point_lookup((setup.cache() >> 20).max(1));
    options.increase_parallelism(2);
    options.set_bytes_per_sync(1 << 20);
    options.set_compression_type(DBCompressionType::None);
    if let Some(buffer) = setup.write_buffer() {
        options.set_write_buffer_size(buffer as usize);
    }
    let mut writes = WriteOptions::default();
    writes.set_sync(setup.durable);
    // By name, since MultiGet in batches wants a handle.
    let families = [ColumnFamilyDescriptor::new("default", options.clone())];
    let database = DB::open_cf_descriptors(&options, &setup.folder, families)?;
    Ok(Box::new(Rocks { database, writes }))
}

struct Rocks {
    database: DB,
    writes: WriteOptions,
}

/// What tells of work in the background, each a number that is 0 when there is none.
const WORK: [&str; 4] = [
    "rocksdb.mem-table-flush-pending",
    "rocksdb.num-running-flushes",
    "rocksdb.compaction-pending",
    "rocksdb.num-running-compactions",
];

impl Rocks {
    fn busy(&self) -> Result<bool> {
        for name in WORK {
            let value = self.database.property_int_value(name)?;
            if value.ok_or_else(|| format!("RocksDB does not know {name}"))? > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Store for Rocks {
    fn write(&self, batch: &Batch) -> Result<()> {
        let mut writes = WriteBatch::default();
        for (key, value) in batch.iter() {
            writes.put(key, value);
        }
        Ok(self.database.write_opt(writes, &self.writes)?)
    }

    fn delete(&self, keys: Keys<'_>) -> Result<()> {
        let mut writes = WriteBatch::default();
        for key in keys.iter() {
            writes.delete(key);
        }
        Ok(self.database.write_opt(writes, &self.writes)?)
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        let family = self.database.cf_handle("default").ok_or("no default column family")?;
        Ok(Box::new(Lookups { database: &self.database, family }))
    }

    fn sync(&self) -> Result<bool> {
        self.database.flush_wal(true)?;
        Ok(true)
    }

    fn close(self: Box<Self>) -> Result<()> {
        // Else a clean open would have to read up to 64 MiB of log again.
        self.database.flush()?;
        while self.busy()? {
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

struct Lookups<'a> {
    database: &'a DB,
    family: &'a ColumnFamily,
}

impl Reader for Lookups<'_> {
    fn get(&mut self, key: &[u8], sink: &mut Sink<'_>) -> Result<()> {
        if let Some(value) = self.database.get_pinned(key)? {
            sink.take(&value);
        }
        Ok(())
    }

    fn get_many(&mut self, keys: Keys<'_>, sink: &mut Sink<'_>) -> Result<()> {
        let values = self.database.batched_multi_get_cf(self.family, keys.iter(), false);
        for (row, value) in values.into_iter().enumerate() {
            if let Some(value) = value? {
                sink.take_row(row, &value);
            }
        }
        Ok(())
    }
}
