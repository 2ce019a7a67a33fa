//! What a store must be able to do to be measured, and how it tells its settings. Knows neither
//! the stores nor the works.

use std::error::Error;
use std::path::PathBuf;

use crate::data::{Batch, Keys, Shape, fold};

pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// How a store is to be opened.
#[derive(Debug, Clone)]
pub struct Setup {
    /// A folder of the store's own.
    pub folder: PathBuf,
    pub shape: Shape,
    /// How many records it will hold: for stores whose documents ask for a hint.
    pub records: u64,
    /// Whether `write` and `delete` return only when the batch is on the disk. Else they may
    /// return at once, and `sync` waits.
    pub durable: bool,
    /// The table is larger than memory, or cold.
    pub cold: bool,
    /// Bytes of memory that caches and buffers may take together, if that is limited.
    pub memory: Option<u64>,
}

impl Setup {
    /// Room for a cache that is to hold all data: twice the payload, at least 256 MiB; less under
    /// a limit of memory.
    pub fn cache(&self) -> u64 {
        let all = (self.records * self.shape.payload() * 2).max(256 << 20);
        self.memory.map_or(all, |memory| memory / 2)
    }

    /// Room for writes that wait, under a limit of memory.
    pub fn write_buffer(&self) -> Option<u64> {
        self.memory.map(|memory| (memory / 8).max(1 << 20))
    }
}

/// An open store. Batches are atomic where the store can do that.
pub trait Store: Send + Sync {
    /// Inserts or overwrites. As durable as the setup says.
    fn write(&self, batch: &Batch) -> Result<()>;

    /// Removes keys that are there. As durable as the setup says.
    fn delete(&self, keys: Keys<'_>) -> Result<()>;

    /// Lookups of one thread.
    fn reader(&self) -> Result<Box<dyn Reader + '_>>;

    /// Returns when all that was written is on the disk. False: the store has no such call, only
    /// `close` is one.
    fn sync(&self) -> Result<bool>;

    /// Waits for work in the background (compaction, ...), then closes.
    fn close(self: Box<Self>) -> Result<()>;
}

/// Lookups of one thread. May look at a snapshot from its first lookup on.
pub trait Reader {
    /// Gives the value to `sink` as row 0, if it is there.
    fn get(&mut self, key: &[u8], sink: &mut Sink<'_>) -> Result<()>;

    /// Gives each value that is there to `sink`, with the place of its key.
    fn get_many(&mut self, keys: Keys<'_>, sink: &mut Sink<'_>) -> Result<()> {
        for (row, key) in keys.iter().enumerate() {
            sink.row = row;
            self.get(key, sink)?;
        }
        sink.row = 0;
        Ok(())
    }

    /// Lets go of a snapshot: the next lookup sees all that was committed before it.
    fn release(&mut self) {}
}

/// Reads all bytes of each value it is given.
#[derive(Debug, Default)]
pub struct Sink<'a> {
    pub found: u64,
    pub sum: u64,
    /// The place of the next value, for stores that look up one key at a time.
    pub row: usize,
    /// If there, values are copied into it instead of being summed: rows of this length.
    pub matrix: Option<(&'a mut [u8], usize)>,
}

impl Sink<'_> {
    #[inline]
    pub fn take(&mut self, value: &[u8]) {
        self.take_row(self.row, value);
    }

    #[inline]
    pub fn take_row(&mut self, row: usize, value: &[u8]) {
        self.found += 1;
        match &mut self.matrix {
            None => self.sum = self.sum.wrapping_add(fold(value)),
            Some((matrix, len)) => matrix[row * *len..][..*len].copy_from_slice(value),
        }
    }
}

/// A store that can be chosen.
pub struct Kind {
    pub name: &'static str,
    /// The crate whose version in Cargo.lock is given, or the version.
    pub version: fn() -> String,
    /// What is set, and which document says so.
    pub settings: &'static str,
    /// What it cannot do, and why: such rows stay empty with this note.
    pub cannot: fn(&Ask) -> Option<&'static str>,
    pub open: fn(&Setup) -> Result<Box<dyn Store>>,
    /// Whether it survives a crash of the machine without loss of what was synced.
    pub crash_safe: bool,
}

/// What a work asks of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    pub shape: Shape,
    pub need: Need,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Load and lookups.
    Read,
    /// Changes after the load.
    Write,
    /// Changes that are on the disk when the call returns.
    Durable,
    /// A file that can be opened again.
    Reopen,
    /// An open after the process was killed.
    Killed,
}
