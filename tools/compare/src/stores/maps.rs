//! References, not stores: hash maps in memory, `Vec<u8>` to `Vec<u8>`.

use std::sync::{RwLock, RwLockReadGuard};

use super::{in_memory, locked};
use crate::data::{Batch, Keys};
use crate::store::{Kind, Reader, Result, Setup, Sink, Store};

pub const HASHBROWN: Kind = Kind {
    name: "hashbrown",
    version: || locked("hashbrown"),
    settings: "HashMap<Vec<u8>, Vec<u8>> with its default hasher (foldhash), no capacity \
               beforehand; a RwLock that a reader takes once for many lookups",
    cannot: in_memory,
    open: |_: &Setup| Ok(Box::new(Hashbrown(RwLock::default()))),
    crash_safe: false,
};

pub const STD: Kind = Kind {
    name: "std HashMap",
    version: || "std".to_owned(),
    settings: "HashMap<Vec<u8>, Vec<u8>> with its default hasher (SipHash-1-3), no capacity \
               beforehand; a RwLock that a reader takes once for many lookups",
    cannot: in_memory,
    open: |_: &Setup| Ok(Box::new(Std(RwLock::default()))),
    crash_safe: false,
};

macro_rules! map {
    ($name:ident, $lookups:ident, $map:ty) => {
        struct $name(RwLock<$map>);

        impl Store for $name {
            fn write(&self, batch: &Batch) -> Result<()> {
                let mut map = self.0.write().map_err(|_| "a thread panicked")?;
                for (key, value) in batch.iter() {
                    map.insert(key.to_vec(), value.to_vec());
                }
                Ok(())
            }

            fn delete(&self, keys: Keys<'_>) -> Result<()> {
                let mut map = self.0.write().map_err(|_| "a thread panicked")?;
                for key in keys.iter() {
                    map.remove(key);
                }
                Ok(())
            }

            fn reader(&self) -> Result<Box<dyn Reader + '_>> {
                Ok(Box::new($lookups { store: self, map: None }))
            }

            fn sync(&self) -> Result<bool> {
                Ok(true)
            }

            fn close(self: Box<Self>) -> Result<()> {
                Ok(())
            }
        }

        struct $lookups<'a> {
            store: &'a $name,
            map: Option<RwLockReadGuard<'a, $map>>,
        }

        impl Reader for $lookups<'_> {
            fn get(&mut self, key: &[u8], sink: &mut Sink<'_>) -> Result<()> {
                if self.map.is_none() {
                    self.map = Some(self.store.0.read().map_err(|_| "a thread panicked")?);
                }
                if let Some(map) = &self.map
                    && let Some(value) = map.get(key)
                {
                    sink.take(value);
                }
                Ok(())
            }

            fn release(&mut self) {
                self.map = None;
            }
        }
    };
}

map!(Hashbrown, HashbrownLookups, hashbrown::HashMap<Vec<u8>, Vec<u8>>);
map!(Std, StdLookups, std::collections::HashMap<Vec<u8>, Vec<u8>>);
