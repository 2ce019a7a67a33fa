//! LMDB, by heed.

use heed::types::Bytes;
use heed::{Database, Env, EnvFlags, EnvOpenOptions, RoTxn, WithTls};

use super::{able, locked};
use crate::data::{Batch, Keys};
use crate::store::{Kind, Reader, Result, Setup, Sink, Store};

pub const KIND: Kind = Kind {
    name: "LMDB",
    version: || format!("heed {}, lmdb-master-sys {}", locked("heed"), locked("lmdb-master-sys")),
    settings: "map_size 8 x payload + 1 GiB; MDB_NOSYNC and mdb_env_sync where durability is in \
               the background; MDB_NORDAHEAD where the table is cold or larger than memory; one \
               read transaction for many lookups; no MDB_WRITEMAP, which gives up protection. \
               Source: lmdb.h, mdb_env_set_mapsize and mdb_env_open",
    cannot: able,
    open,
    crash_safe: true,
};

#[expect(unsafe_code, reason = "LMDB maps a file, which nobody else must change: nobody does")]
fn open(setup: &Setup) -> Result<Box<dyn Store>> {
    let mut flags = EnvFlags::empty();
    if !setup.durable {
        flags |= EnvFlags::NO_SYNC;
    }
    if setup.cold {
        flags |= EnvFlags::NO_READ_AHEAD;
    }
    let size = (setup.records * setup.shape.payload() * 8 + (1 << 30)) & !0xffff;
    let mut options = EnvOpenOptions::new();
    options.map_size(size as usize).max_readers(64);
    unsafe { options.flags(flags) };
    let env = unsafe { options.open(&setup.folder)? };
    let mut txn = env.write_txn()?;
    let table = env.create_database(&mut txn, None)?;
    txn.commit()?;
    Ok(Box::new(Lmdb { env, table }))
}

type Table = Database<Bytes, Bytes>;

struct Lmdb {
    env: Env,
    table: Table,
}

impl Store for Lmdb {
    fn write(&self, batch: &Batch) -> Result<()> {
        let mut txn = self.env.write_txn()?;
        for (key, value) in batch.iter() {
            self.table.put(&mut txn, key, value)?;
        }
        Ok(txn.commit()?)
    }

    fn delete(&self, keys: Keys<'_>) -> Result<()> {
        let mut txn = self.env.write_txn()?;
        for key in keys.iter() {
            self.table.delete(&mut txn, key)?;
        }
        Ok(txn.commit()?)
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(Lookups { store: self, txn: None }))
    }

    fn sync(&self) -> Result<bool> {
        self.env.force_sync()?;
        Ok(true)
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.env.force_sync()?;
        self.env.prepare_for_closing().wait();
        Ok(())
    }
}

struct Lookups<'a> {
    store: &'a Lmdb,
    txn: Option<RoTxn<'a, WithTls>>,
}

impl Reader for Lookups<'_> {
    fn get(&mut self, key: &[u8], sink: &mut Sink<'_>) -> Result<()> {
        if self.txn.is_none() {
            self.txn = Some(self.store.env.read_txn()?);
        }
        if let Some(txn) = &self.txn
            && let Some(value) = self.store.table.get(txn, key)?
        {
            sink.take(value);
        }
        Ok(())
    }

    fn release(&mut self) {
        self.txn = None;
    }
}
