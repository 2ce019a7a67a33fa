//! parity-db.

use parity_db::{Db, Options};

use super::locked;
use crate::data::{Batch, Keys};
use crate::store::{Ask, Kind, Need, Reader, Result, Setup, Sink, Store};

pub const KIND: Kind = Kind {
    name: "parity-db",
    version: || locked("parity-db"),
    settings: "one column, hash index, statistics off, sync_wal and sync_data on as by default; \
               uniform off: the keys are shorter than the 32 bytes it asks for. Commits go \
               through a queue in the background and nothing waits for one to be durable, so \
               load times run until close. Source: docs of parity_db::Options and ColumnOptions",
    cannot: |ask: &Ask| (ask.need == Need::Durable).then_some("no durable commit"),
    open,
    crash_safe: true,
};

fn open(setup: &Setup) -> Result<Box<dyn Store>> {
    let mut options = Options::with_columns(&setup.folder, 1);
    options.stats = false;
    Ok(Box::new(Parity(Db::open_or_create(&options)?)))
}

struct Parity(Db);

impl Store for Parity {
    fn write(&self, batch: &Batch) -> Result<()> {
        Ok(self.0.commit(batch.iter().map(|(key, value)| (0, key, Some(value.to_vec()))))?)
    }

    fn delete(&self, keys: Keys<'_>) -> Result<()> {
        Ok(self.0.commit(keys.iter().map(|key| (0, key, None)))?)
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(Lookups(&self.0)))
    }

    fn sync(&self) -> Result<bool> {
        Ok(false)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

struct Lookups<'a>(&'a Db);

impl Reader for Lookups<'_> {
    fn get(&mut self, key: &[u8], sink: &mut Sink<'_>) -> Result<()> {
        if let Some(value) = self.0.get(0, key)? {
            sink.take(&value);
        }
        Ok(())
    }
}
