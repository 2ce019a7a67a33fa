//! The table: keys and values, on pages. Get, insert, remove, resize, scan, check.
//!
//! [`get`] is the readers' side, [`Table`] the writer's. A record lives in the bucket of its key's
//! hash, under the layout that the splitpoint selects (I5): in the bucket's page or, if that was
//! full, in the overflow chain that the buckets of a run share. Knows keys, layouts and chains;
//! nothing of files or of the log.

pub(crate) mod check;
mod clean;
mod compact;
#[cfg(test)]
mod crowded;
pub(crate) mod get;
pub(crate) mod many;
pub(crate) mod operation;
mod relocate;
pub(crate) mod resize;
pub(crate) mod scan;
#[cfg(test)]
mod steady;
#[cfg(test)]
pub(crate) mod tests_support;
mod write;

use std::sync::Arc;

use crate::hash::hash;
use crate::layout::Layout;
use crate::page::bucket::KeyMatch;
use crate::page::record::{LargeRecord, Record};
use crate::pager::{Pager, Pin, Shared, Side, Which};
use crate::{Error, Result};

pub(crate) use write::Prepared;

/// The most bytes of a key.
pub(crate) const KEY_LEN_MAX: u64 = u16::MAX as u64;
/// The most bytes of a value.
pub(crate) const VALUE_LEN_MAX: u64 = u32::MAX as u64;

/// The writer's table.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) pager: Pager,
    cleaning: clean::Cleaning,
    /// As many records will come, as far as its user knows.
    expected_len: u64,
}

/// Where a hash belongs.
#[derive(Debug, Clone)]
struct Home {
    side: Arc<Side>,
    bucket: u64,
    run: u64,
}

impl Home {
    fn new(side: &Arc<Side>, hash: u64) -> Home {
        let bucket = side.layout.bucket_of(hash);
        Home { side: side.clone(), bucket, run: Layout::run_of(bucket) }
    }
}

impl Table {
    pub(crate) fn new(pager: Pager) -> Table {
        Table { pager, cleaning: clean::Cleaning::default(), expected_len: 0 }
    }

    /// Grows to what so many records need as soon as it knows how long they are.
    pub(crate) fn expecting(self, records: u64) -> Table {
        Table { expected_len: records, ..self }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.pager.shared
    }

    /// Asks the processor for the words that lead to the pages of a hash.
    pub(crate) fn prefetch_words(&self, hash: u64) {
        let (side, _) = self.pager.state().side_of(hash);
        let bucket = side.layout.bucket_of(hash);
        side.prefetch(Which::Buckets, bucket);
        side.prefetch(Which::Runs, Layout::run_of(bucket));
    }

    /// Asks it for the pages of a hash, where a change looks first.
    pub(crate) fn prefetch(&self, pin: &Pin<'_>, hash: u64) {
        let (side, _) = self.pager.state().side_of(hash);
        let bucket = side.layout.bucket_of(hash);
        let shared = self.shared();
        shared.prefetch(pin, side.load(Which::Buckets, bucket), hash);
        shared.prefetch_chain_head(pin, side.load(Which::Runs, Layout::run_of(bucket)));
    }

    fn home(&self, hash: u64) -> Home {
        Home::new(self.pager.state().side_of(hash).0, hash)
    }

    fn hash_of(&self, record: &Record<'_>) -> u64 {
        record_hash(record, self.pager.shared.parameters.hash_seed)
    }
}

/// The hash of a record's key; a large record with a long key has it with it.
pub(crate) fn record_hash(record: &Record<'_>, seed: u64) -> u64 {
    match record {
        Record::Large(large, _) if large.has_long_key() => large.hash,
        Record::Inline { key, .. } | Record::Large(_, key) => hash(key, seed),
    }
}

/// Checks a key's length against what this index holds.
pub(crate) fn check_key(shared: &Shared, key: &[u8]) -> Result<()> {
    let len = key.len() as u64;
    match shared.parameters.key_size {
        Some(size) if size != key.len() => Err(Error::KeySize { len, expected: size as u64 }),
        _ if len > KEY_LEN_MAX => Err(Error::KeyTooLarge { len, max: KEY_LEN_MAX }),
        _ => Ok(()),
    }
}

/// Checks a value's length against what this index holds.
pub(crate) fn check_value(shared: &Shared, value: &[u8]) -> Result<()> {
    let len = value.len() as u64;
    match shared.parameters.value_size {
        Some(size) if size != value.len() => Err(Error::ValueSize { len, expected: size as u64 }),
        _ if len > VALUE_LEN_MAX => Err(Error::ValueTooLarge { len, max: VALUE_LEN_MAX }),
        _ => Ok(()),
    }
}

/// Knows the key that a search looks for, and reads large records to compare theirs.
struct Wanted<'k> {
    key: &'k [u8],
    shared: &'k Shared,
    pin: &'k Pin<'k>,
}

impl KeyMatch for Wanted<'_> {
    type Error = Error;

    #[inline]
    fn matches_inline(&self, key: &[u8]) -> bool {
        key == self.key
    }

    fn matches_large(&self, large: &LargeRecord) -> Result<bool> {
        if usize::from(large.key_len) != self.key.len() {
            return Ok(false);
        }
        if self.shared.large_key_is(self.pin, large, self.key)? {
            return Ok(true);
        }
        // The same 64 bits of hash and another key: more likely the key's bytes are damaged.
        self.shared.large_bytes(self.pin, large).map(|_| false)
    }
}
