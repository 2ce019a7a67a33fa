//! redb.

use std::sync::atomic::{AtomicU64, Ordering};

use redb::{Database, Durability, ReadOnlyTable, ReadableDatabase, TableDefinition};

use super::{able, locked};
use crate::data::{Batch, Keys};
use crate::store::{Kind, Reader, Result, Setup, Sink, Store};

pub const KIND: Kind = Kind {
    name: "redb",
    version: || locked("redb"),
    settings: "cache_size as large as twice the payload (half of a limit); Durability::None and \
               an immediate commit every 100 where durability is in the background, since pages \
               are freed by those alone; one read transaction for many lookups. Source: docs of \
               redb::Builder and redb::Durability",
    cannot: able,
    open,
    crash_safe: true,
};

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("table");

fn open(setup: &Setup) -> Result<Box<dyn Store>> {
    let database = Database::builder()
        .set_cache_size(setup.cache() as usize)
        .create(setup.folder.join("redb"))?;
    let txn = database.begin_write()?;
    txn.open_table(TABLE)?;
    txn.commit()?;
    Ok(Box::new(Redb { database, durable: setup.durable, commits: AtomicU64::new(0) }))
}

struct Redb {
    database: Database,
    durable: bool,
    commits: AtomicU64,
}

impl Redb {
    fn durability(&self) -> Durability {
        let count = self.commits.fetch_add(1, Ordering::Relaxed) + 1;
        if self.durable || count.is_multiple_of(100) {
            Durability::Immediate
        } else {
            Durability::None
        }
    }
}

impl Store for Redb {
    fn write(&self, batch: &Batch) -> Result<()> {
        let mut txn = self.database.begin_write()?;
        txn.set_durability(self.durability())?;
        {
            let mut table = txn.open_table(TABLE)?;
            for (key, value) in batch.iter() {
                table.insert(key, value)?;
            }
        }
        Ok(txn.commit()?)
    }

    fn delete(&self, keys: Keys<'_>) -> Result<()> {
        let mut txn = self.database.begin_write()?;
        txn.set_durability(self.durability())?;
        {
            let mut table = txn.open_table(TABLE)?;
            for key in keys.iter() {
                table.remove(key)?;
            }
        }
        Ok(txn.commit()?)
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(Lookups { database: &self.database, table: None }))
    }

    fn sync(&self) -> Result<bool> {
        self.database.begin_write()?.commit()?;
        Ok(true)
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.sync()?;
        Ok(self.database.close()?)
    }
}

struct Lookups<'a> {
    database: &'a Database,
    table: Option<ReadOnlyTable<&'static [u8], &'static [u8]>>,
}

impl Reader for Lookups<'_> {
    fn get(&mut self, key: &[u8], sink: &mut Sink<'_>) -> Result<()> {
        if self.table.is_none() {
            self.table = Some(self.database.begin_read()?.open_table(TABLE)?);
        }
        if let Some(table) = &self.table
            && let Some(value) = table.get(key)?
        {
            sink.take(value.value());
        }
        Ok(())
    }

    fn release(&mut self) {
        self.table = None;
    }
}
