//! A reference for batches of big values: one array with a row for each record. The key is turned
//! back into the record's number, so nothing is searched.

use std::sync::{RwLock, RwLockReadGuard};

use crate::data::{Batch, Keys, unmix};
use crate::store::{Ask, Kind, Need, Reader, Result, Setup, Sink, Store};

pub const KIND: Kind = Kind {
    name: "memcpy",
    version: || "an array".to_owned(),
    settings: "one array in memory, a row for each record: what copying alone costs",
    cannot: |ask: &Ask| match (ask.need, ask.shape.value) {
        (Need::Read, 3072) => None,
        (Need::Read, _) => Some("for big values only"),
        _ => Some("an array"),
    },
    open: |setup: &Setup| {
        let rows = RwLock::new(vec![0; setup.records as usize * setup.shape.value]);
        Ok(Box::new(Rows { rows, len: setup.shape.value }))
    },
    crash_safe: false,
};

struct Rows {
    rows: RwLock<Vec<u8>>,
    len: usize,
}

/// Where the row of this key is, if its record is one of the array's.
fn row(key: &[u8], len: usize, rows: &[u8]) -> Option<std::ops::Range<usize>> {
    let record = unmix(u64::from_le_bytes(*key.first_chunk()?));
    (record < (rows.len() / len) as u64).then(|| record as usize * len..(record as usize + 1) * len)
}

impl Store for Rows {
    fn write(&self, batch: &Batch) -> Result<()> {
        let mut rows = self.rows.write().map_err(|_| "a thread panicked")?;
        for (key, value) in batch.iter() {
            let place = row(key, self.len, &rows).ok_or("no such row")?;
            rows[place].copy_from_slice(value);
        }
        Ok(())
    }

    fn delete(&self, _: Keys<'_>) -> Result<()> {
        Err("rows stay".into())
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        let rows = self.rows.read().map_err(|_| "a thread panicked")?;
        Ok(Box::new(Lookups { rows, len: self.len }))
    }

    fn sync(&self) -> Result<bool> {
        Ok(true)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

struct Lookups<'a> {
    rows: RwLockReadGuard<'a, Vec<u8>>,
    len: usize,
}

impl Reader for Lookups<'_> {
    fn get(&mut self, key: &[u8], sink: &mut Sink<'_>) -> Result<()> {
        if let Some(place) = row(key, self.len, &self.rows) {
            sink.take(&self.rows[place]);
        }
        Ok(())
    }
}
