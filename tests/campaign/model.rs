//! What an index should hold: a sum over its records that each commit changes a little, so that a
//! state of any size is compared by two numbers.

use std::collections::BTreeMap;

use splitpoint::Index;
use splitpoint::simulation::Rng;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::plan::{Change, key_bytes, value_bytes};

/// Two numbers that tell states apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Sum {
    pub(crate) len: u64,
    pub(crate) sum: u64,
}

/// A record's part of the sum.
fn record_sum(key: &[u8], value: &[u8]) -> u64 {
    xxh3_64_with_seed(value, xxh3_64(key))
}

fn metadata_sum(metadata: &[u8]) -> u64 {
    if metadata.is_empty() { 0 } else { xxh3_64_with_seed(metadata, 77) }
}

impl Sum {
    /// As after the insert of one more record.
    pub(crate) fn with(self, key: &[u8], value: &[u8]) -> Sum {
        Sum { len: self.len + 1, sum: self.sum.wrapping_add(record_sum(key, value)) }
    }
}

/// The records that should be there, each by its key's number and what its value is made from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    records: BTreeMap<u16, (u32, u64, u64)>,
    metadata: Vec<u8>,
    sum: u64,
}

impl Model {
    pub(crate) fn sum(&self) -> Sum {
        let sum = self.sum.wrapping_add(metadata_sum(&self.metadata));
        Sum { len: self.records.len() as u64, sum }
    }

    pub(crate) fn contains(&self, key: u16) -> bool {
        self.records.contains_key(&key)
    }

    pub(crate) fn value(&self, key: u16) -> Option<Vec<u8>> {
        self.records.get(&key).map(|(len, tag, _)| value_bytes(*len, *tag))
    }

    pub(crate) fn metadata(&self) -> &[u8] {
        &self.metadata
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = u16> {
        self.records.keys().copied()
    }

    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::Insert { key, len, tag } => {
                let sum = record_sum(&key_bytes(*key), &value_bytes(*len, *tag));
                let old = self.records.insert(*key, (*len, *tag, sum));
                self.sum = self.sum.wrapping_add(sum);
                self.sum = self.sum.wrapping_sub(old.map_or(0, |(_, _, sum)| sum));
            }
            Change::Remove { key } => {
                let old = self.records.remove(key);
                self.sum = self.sum.wrapping_sub(old.map_or(0, |(_, _, sum)| sum));
            }
            Change::Metadata { len, tag } => {
                self.metadata = metadata_bytes(*len, *tag);
            }
        }
    }
}

/// The bytes of the user's metadata.
pub(crate) fn metadata_bytes(len: u16, tag: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::from(len)];
    Rng::new(tag).fill(&mut bytes);
    bytes
}

/// What an index holds, by a scan over all of it.
pub(crate) fn sum_of(index: &Index) -> Result<Sum, String> {
    let mut found = Sum::default();
    for entry in index.iter().map_err(|e| format!("iter: {e}"))? {
        let (key, value) = entry.map_err(|e| format!("scan: {e}"))?;
        found = found.with(&key, &value);
    }
    if found.len != index.len() {
        return Err(format!("{} records found, len() says {}", found.len, index.len()));
    }
    let metadata = index.metadata().map_err(|e| format!("metadata: {e}"))?;
    found.sum = found.sum.wrapping_add(metadata_sum(&metadata));
    Ok(found)
}

/// What of it a lookup by key must find, for a few keys.
pub(crate) fn check_lookups(index: &Index, model: &Model, rng: &mut Rng) -> Result<(), String> {
    for _ in 0..4 {
        let key = u16::try_from(rng.below(200)).unwrap_or_default();
        let found = index.get(key_bytes(key)).map_err(|e| format!("get: {e}"))?;
        if found.as_deref() != model.value(key).as_deref() {
            return Err(format!("get of key {key} is not what a scan finds"));
        }
    }
    Ok(())
}
