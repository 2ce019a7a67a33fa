//! SQLite: one table WITHOUT ROWID, one connection a thread.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};

use super::{able, locked};
use crate::data::{Batch, Keys};
use crate::store::{Kind, Reader, Result, Setup, Sink, Store};

pub const KIND: Kind = Kind {
    name: "SQLite",
    version: || format!("rusqlite {}, SQLite {}", locked("rusqlite"), rusqlite::version()),
    settings: "journal_mode WAL; synchronous FULL where durable, else NORMAL; cache_size and \
               mmap_size of twice the payload (half of a limit; nothing mapped where cold or \
               limited); WITHOUT ROWID for small values, \
               rowid table with a unique index for values of 1 KiB or more; cached statements. \
               Source: sqlite.org/wal.html, pragma.html, withoutrowid.html",
    cannot: able,
    open,
    crash_safe: true,
};

struct Sqlite {
    path: PathBuf,
    cache: u64,
    mapped: u64,
    writer: Mutex<Connection>,
}

fn connect(path: &PathBuf, cache: u64, mapped: u64, synchronous: &str) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(60))?;
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous};
         PRAGMA cache_size = -{}; PRAGMA mmap_size = {mapped};",
        cache >> 10,
    ))?;
    Ok(connection)
}

fn open(setup: &Setup) -> Result<Box<dyn Store>> {
    let (path, cache) = (setup.folder.join("sqlite"), setup.cache());
    // Each fault of a mapped page reads its neighbours too, which is of use in memory alone.
    let mapped = if setup.cold { 0 } else { cache };
    let writer = connect(&path, cache, mapped, if setup.durable { "FULL" } else { "NORMAL" })?;
    let table = if setup.shape.value >= 1024 { "" } else { "WITHOUT ROWID" };
    writer.execute_batch(&format!(
        "CREATE TABLE IF NOT EXISTS pairs (key BLOB PRIMARY KEY, value BLOB NOT NULL) {table}"
    ))?;
    Ok(Box::new(Sqlite { path, cache, mapped, writer: Mutex::new(writer) }))
}

impl Sqlite {
    fn change(&self, run: impl FnOnce(&Connection) -> rusqlite::Result<()>) -> Result<()> {
        let mut writer = self.writer.lock().map_err(|_| "a writer panicked")?;
        let txn = writer.transaction()?;
        run(&txn)?;
        Ok(txn.commit()?)
    }
}

impl Store for Sqlite {
    fn write(&self, batch: &Batch) -> Result<()> {
        self.change(|txn| {
            let mut insert = txn.prepare_cached("INSERT OR REPLACE INTO pairs VALUES (?1, ?2)")?;
            batch.iter().try_for_each(|(key, value)| insert.execute((key, value)).map(drop))
        })
    }

    fn delete(&self, keys: Keys<'_>) -> Result<()> {
        self.change(|txn| {
            let mut delete = txn.prepare_cached("DELETE FROM pairs WHERE key = ?1")?;
            keys.iter().try_for_each(|key| delete.execute((key,)).map(drop))
        })
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(Lookups {
            connection: connect(&self.path, self.cache, self.mapped, "NORMAL")?,
            open: false,
        }))
    }

    fn sync(&self) -> Result<bool> {
        let writer = self.writer.lock().map_err(|_| "a writer panicked")?;
        writer.query_row("PRAGMA wal_checkpoint(FULL)", [], |_| Ok(()))?;
        Ok(true)
    }

    fn close(self: Box<Self>) -> Result<()> {
        let writer = self.writer.into_inner().map_err(|_| "a writer panicked")?;
        writer.close().map_err(|(_, error)| error.into())
    }
}

struct Lookups {
    connection: Connection,
    open: bool,
}

impl Reader for Lookups {
    fn get(&mut self, key: &[u8], sink: &mut Sink<'_>) -> Result<()> {
        if !self.open {
            self.connection.prepare_cached("BEGIN")?.execute([])?;
            self.open = true;
        }
        let mut select =
            self.connection.prepare_cached("SELECT value FROM pairs WHERE key = ?1")?;
        select
            .query_row((key,), |row| {
                sink.take(row.get_ref(0)?.as_blob().unwrap_or_default());
                Ok(())
            })
            .optional()?;
        Ok(())
    }

    fn release(&mut self) {
        if self.open {
            let commit = self.connection.prepare_cached("COMMIT");
            self.open = commit.and_then(|mut commit| commit.execute([])).is_err();
        }
    }
}
