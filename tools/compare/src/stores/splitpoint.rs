//! This crate.

use std::time::Duration;

use splitpoint::{Batch as Commit, Durability, Index, Options, Residence};

use super::{able, locked};
use crate::data::{Batch, Keys};
use crate::store::{Kind, Need, Reader, Result, Setup, Sink, Store};

pub const KIND: Kind = Kind {
    name: "splitpoint",
    version: || locked("splitpoint"),
    settings: "defaults; one Reader for many lookups; expected_len (hint), key_size and value_size for 8 + 8; \
               Durability::Background(200 ms) where durability is in the background; budgets of \
               memory and log an eighth each of a limit; get_many_into for rows of a matrix. \
               Source: docs of Options",
    cannot: able,
    open,
    crash_safe: true,
};

/// The same for serving what fits memory: lookups that find the file in huge pages.
pub const PREFETCHED: Kind = Kind {
    name: "splitpointprefetched",
    version: || locked("splitpoint"),
    settings: "as splitpoint, with Residence::Prefetched but for what is read cold or in little \
               memory. Source: docs of Residence",
    cannot: |ask| match ask.need {
        Need::Durable | Need::Killed => Some("as splitpoint"),
        Need::Read | Need::Write | Need::Reopen => None,
    },
    open: |setup| {
        let is_roomy = !setup.cold && setup.memory.is_none();
        open_as(setup, if is_roomy { Residence::Prefetched } else { Residence::Mapped })
    },
    crash_safe: true,
};

fn open(setup: &Setup) -> Result<Box<dyn Store>> {
    open_as(setup, Residence::Mapped)
}

fn open_as(setup: &Setup, residence: Residence) -> Result<Box<dyn Store>> {
    let mut options = Options::new().expected_len(setup.records).residence(residence);
    if setup.shape.key == 8 && setup.shape.value == 8 {
        options = options.key_size(Some(8)).value_size(Some(8));
    }
    if !setup.durable {
        options = options.durability(Durability::Background(Duration::from_millis(200)));
    }
    if let Some(buffer) = setup.write_buffer() {
        options = options.memory_budget(buffer).log_budget(buffer);
    }
    Ok(Box::new(Splitpoint(options.open(setup.folder.join("index"))?)))
}

struct Splitpoint(Index);

impl Store for Splitpoint {
    fn write(&self, batch: &Batch) -> Result<()> {
        if batch.len() == 1 {
            for (key, value) in batch.iter() {
                self.0.insert(key, value)?;
            }
            return Ok(());
        }
        let mut commit = Commit::new();
        for (key, value) in batch.iter() {
            commit.insert(key, value);
        }
        self.0.commit(commit)?;
        Ok(())
    }

    fn delete(&self, keys: Keys<'_>) -> Result<()> {
        let mut commit = Commit::new();
        for key in keys.iter() {
            commit.remove(key);
        }
        self.0.commit(commit)?;
        Ok(())
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        let (index, keys, found) = (&self.0, Vec::new(), Vec::new());
        Ok(Box::new(Lookups { index, reader: None, keys, found }))
    }

    fn sync(&self) -> Result<bool> {
        self.0.sync()?;
        Ok(true)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.0.close()?)
    }
}

struct Lookups<'a> {
    index: &'a Index,
    reader: Option<splitpoint::Reader<'a>>,
    keys: Vec<&'static [u8]>,
    found: Vec<bool>,
}

impl Reader for Lookups<'_> {
    fn get(&mut self, key: &[u8], sink: &mut Sink<'_>) -> Result<()> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => none.insert(self.index.reader()?),
        };
        if let Some(value) = reader.get(key)? {
            sink.take(&value);
        }
        Ok(())
    }

    fn release(&mut self) {
        self.reader = None;
    }

    fn get_many(&mut self, keys: Keys<'_>, sink: &mut Sink<'_>) -> Result<()> {
        let mut slices = recycled(std::mem::take(&mut self.keys));
        slices.extend(keys.iter());
        if let Some((rows, len)) = &mut sink.matrix {
            self.found.resize(slices.len(), false);
            let rows = &mut rows[..slices.len() * *len];
            sink.found += self.index.get_many_into(&slices, *len, rows, &mut self.found)? as u64;
        } else {
            self.index.get_many_with(&slices, |row, value| {
                if let Some(value) = value {
                    sink.take_row(row, value);
                }
            })?;
        }
        self.keys = recycled(slices);
        Ok(())
    }
}

/// The room of an emptied vector, for slices that live otherwise.
fn recycled<'b>(mut slices: Vec<&[u8]>) -> Vec<&'b [u8]> {
    slices.clear();
    slices.into_iter().map(|_| -> &'b [u8] { &[] }).collect()
}
