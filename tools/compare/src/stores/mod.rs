//! The stores, one a file. Each says in `SETTINGS` what is set and which of its own documents
//! recommends that.

use crate::store::{Ask, Kind, Need};

mod append;
#[cfg(feature = "bdb")]
mod bdb;
mod fjall;
#[cfg(feature = "gdbm")]
mod gdbm;
mod lmdb;
mod maps;
mod memcpy;
mod odht;
mod parity;
mod redb;
#[cfg(feature = "rocksdb")]
mod rocks;
mod splitpoint;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "tkrzw")]
mod tkrzw;

/// All that were built, in the order of the table's columns. The first is what the others are
/// compared with.
pub fn all() -> Vec<Kind> {
    vec![
        splitpoint::KIND,
        splitpoint::PREFETCHED,
        lmdb::KIND,
        redb::KIND,
        fjall::KIND,
        parity::KIND,
        #[cfg(feature = "rocksdb")]
        rocks::KIND,
        #[cfg(feature = "rocksdb")]
        rocks::BLOBS,
        #[cfg(feature = "sqlite")]
        sqlite::KIND,
        #[cfg(feature = "tkrzw")]
        tkrzw::KIND,
        #[cfg(feature = "gdbm")]
        gdbm::KIND,
        #[cfg(feature = "bdb")]
        bdb::KIND,
        maps::HASHBROWN,
        maps::STD,
        odht::KIND,
        append::KIND,
        memcpy::KIND,
    ]
}

/// The version of a crate that was built in.
fn locked(name: &str) -> String {
    let lock = include_str!("../../Cargo.lock");
    let mut lines = lock.lines();
    let head = format!("name = \"{name}\"");
    while let Some(line) = lines.next() {
        if line == head {
            return lines.next().unwrap_or("").replace("version = ", "").replace('"', "");
        }
    }
    "?".to_owned()
}

/// Can do all.
fn able(_: &Ask) -> Option<&'static str> {
    None
}

/// What lives in memory alone.
fn in_memory(ask: &Ask) -> Option<&'static str> {
    match ask.need {
        Need::Read | Need::Write => None,
        Need::Durable | Need::Reopen | Need::Killed => Some("in memory only"),
    }
}
