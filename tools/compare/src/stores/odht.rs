//! A reference: odht, a read-only hash table in a mapped file, for keys and values of one size.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use memmap2::Mmap;
use odht::{Config, FxHashFn, HashTable, HashTableOwned};

use super::locked;
use crate::data::{Batch, Keys, Shape};
use crate::store::{Ask, Kind, Need, Reader, Result, Setup, Sink, Store};

pub const KIND: Kind = Kind {
    name: "odht",
    version: || locked("odht"),
    settings: "read-only: built in memory and written at close, then mapped, with \
               MADV_RANDOM where cold or limited; load factor 87 % as \
               by default; FxHashFn. Source: docs of odht",
    cannot: |ask: &Ask| match (ask.need, ask.shape) {
        (Need::Read | Need::Reopen, Shape { value: 3072, .. }) => Some("not built for this shape"),
        (Need::Read | Need::Reopen, _) => None,
        _ => Some("read-only"),
    },
    open,
    crash_safe: false,
};

struct Fixed<const K: usize, const V: usize>;

impl<const K: usize, const V: usize> Config for Fixed<K, V> {
    type Key = [u8; K];
    type Value = [u8; V];
    type EncodedKey = [u8; K];
    type EncodedValue = [u8; V];
    type H = FxHashFn;

    #[inline]
    fn encode_key(key: &[u8; K]) -> [u8; K] {
        *key
    }
    #[inline]
    fn encode_value(value: &[u8; V]) -> [u8; V] {
        *value
    }
    #[inline]
    fn decode_key(key: &[u8; K]) -> [u8; K] {
        *key
    }
    #[inline]
    fn decode_value(value: &[u8; V]) -> [u8; V] {
        *value
    }
}

fn open(setup: &Setup) -> Result<Box<dyn Store>> {
    let path = setup.folder.join("odht");
    match (setup.shape.key, setup.shape.value) {
        (16, 100) => Odht::<16, 100>::open(path, setup.records, setup.cold),
        (16, 40) => Odht::<16, 40>::open(path, setup.records, setup.cold),
        (8, 8) => Odht::<8, 8>::open(path, setup.records, setup.cold),
        (24, 150) => Odht::<24, 150>::open(path, setup.records, setup.cold),
        _ => Err("odht: no such shape".into()),
    }
}

struct Mapped(Mmap);

impl std::borrow::Borrow<[u8]> for Mapped {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

enum Odht<const K: usize, const V: usize> {
    Built(PathBuf, Mutex<HashTableOwned<Fixed<K, V>>>),
    Mapped(HashTable<Fixed<K, V>, Mapped>),
}

impl<const K: usize, const V: usize> Odht<K, V> {
    #[expect(unsafe_code, reason = "nobody changes the file while it is mapped")]
    fn open(path: PathBuf, records: u64, cold: bool) -> Result<Box<dyn Store>> {
        if !Path::new(&path).exists() {
            let table = HashTableOwned::<Fixed<K, V>>::with_capacity(records as usize, 87);
            return Ok(Box::new(Odht::Built(path, Mutex::new(table))));
        }
        let map = unsafe { Mmap::map(&File::open(&path)?)? };
        if cold {
            map.advise(memmap2::Advice::Random)?;
        }
        let table = HashTable::<Fixed<K, V>, Mapped>::from_raw_bytes(Mapped(map));
        Ok(Box::new(Odht::Mapped(table.map_err(|error| error.to_string())?)))
    }
}

impl<const K: usize, const V: usize> Store for Odht<K, V> {
    fn write(&self, batch: &Batch) -> Result<()> {
        let Odht::Built(_, table) = self else { return Err("odht is read-only".into()) };
        let mut table = table.lock().map_err(|_| "a thread panicked")?;
        for (key, value) in batch.iter() {
            table.insert(key.try_into()?, value.try_into()?);
        }
        Ok(())
    }

    fn delete(&self, _: Keys<'_>) -> Result<()> {
        Err("odht is read-only".into())
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        let Odht::Mapped(table) = self else { return Err("odht: close it first".into()) };
        Ok(Box::new(Lookups(table)))
    }

    fn sync(&self) -> Result<bool> {
        Ok(false)
    }

    fn close(self: Box<Self>) -> Result<()> {
        if let Odht::Built(path, table) = &*self {
            let table = table.lock().map_err(|_| "a thread panicked")?;
            let mut file = fs::File::create(path)?;
            file.write_all(table.raw_bytes())?;
            file.sync_all()?;
        }
        Ok(())
    }
}

struct Lookups<'a, const K: usize, const V: usize>(&'a HashTable<Fixed<K, V>, Mapped>);

impl<const K: usize, const V: usize> Reader for Lookups<'_, K, V> {
    fn get(&mut self, key: &[u8], sink: &mut Sink<'_>) -> Result<()> {
        if let Some(value) = self.0.get(key.try_into()?) {
            sink.take(&value);
        }
        Ok(())
    }
}
