//! The index: the public face, with std's verbs. It knows all layers below and holds them together:
//! locks, budgets, threads.

mod background;
mod backup;
mod batch;
mod checkpoint;
#[cfg(test)]
mod close_tests;
mod commit;
mod diff;
mod hot;
mod iter;
pub(crate) mod open;
mod options;
mod pending;
mod reader;
mod rows;
mod stats;
mod value;
mod write;
mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

pub(crate) use backup::{partial_beside, remove_leftover, remove_partial};
pub use batch::Batch;
pub use diff::Difference;
pub use hot::HotBackup;
#[cfg(feature = "fuzzing")]
pub(crate) use hot::backup_file_on;
pub use iter::{Cursor, Iter};
pub(crate) use open::{partial_name, sync_folder};
pub use options::{Durability, Options};
pub use reader::Reader;
pub use stats::Stats;
pub use value::Value;

use crate::error::{Error, Place, Result};
use crate::log::Lsn;
use crate::page::meta::Meta;
use crate::pager::Shared;
use crate::table::check::{CheckReport, Finding, check};
use crate::table::many::ValueUse;
use background::Requests;
use checkpoint::Job;
use commit::Group;
use stats::Counters;
use writer::Writer;

type SharedRequests = (Mutex<Requests>, Condvar);

/// A persistent hash index in one file: bytes to bytes.
///
/// A handle; clones share the open file, and all methods take `&self`, from any thread. Readers
/// take no lock and never wait for a writer. Writers take turns. When the last handle is dropped
/// the index is closed as by [`Index::close`], but errors go unheard: call `close`.
///
/// The child of a `fork` must not use a handle of its parent: what it reads may be out of date, and
/// nothing that it writes gets into the file; its syncs are [`Error::Refused`]. Dropping the handle
/// there does no harm.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// let index = splitpoint::Index::open(folder.path().join("features"))?;
/// index.insert("user:17", [0.5_f32.to_le_bytes(), 1.5_f32.to_le_bytes()].concat())?;
/// assert!(index.contains_key("user:17")?);
/// assert_eq!(index.get("user:18")?, None::<splitpoint::Value>);
/// index.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Index {
    handle: Arc<Handle>,
}

/// Closes the index when the last `Index` goes; the threads hold only what is inside.
struct Handle {
    inner: Arc<Inner>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Whoever wants to hear of errors calls `close`. Never a panic, never a clean mark after an
        // error.
        let _ = self.inner.close();
    }
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").field("path", &self.path()).finish_non_exhaustive()
    }
}

struct Inner {
    shared: Arc<Shared>,
    durability: Durability,
    log_budget: u64,
    memory_budget: u64,
    manual: bool,
    writer: Mutex<Writer>,
    /// The thread that runs an update closure under the writer's lock.
    updating: AtomicU64,
    group: Mutex<Group>,
    group_changed: Condvar,
    /// The writers that the one who leads waits for are there.
    group_gathered: Condvar,
    job: Mutex<Option<Job>>,
    checkpoint_done: Condvar,
    /// How near the budgets are, and how the last checkpoint went.
    pressure: Mutex<write::Pressure>,
    is_pressed: AtomicBool,
    last_meta: Mutex<Meta>,
    counters: Counters,
    requests: Arc<SharedRequests>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    threads_started: AtomicBool,
    /// The thread that closes the file. Once it is closed for writers, nobody else writes to it; when
    /// that thread is done the file may be another's.
    closer: AtomicU64,
    /// A thread could not be started: its work is done in the calls that need it.
    lacks_threads: AtomicBool,
    /// Of the newest state that readers see.
    record_count: AtomicU64,
}

impl Inner {
    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(|poisoned| {
            // A panic under the lock may have left a change half made: nothing more is written.
            let panicked = std::io::Error::other("a panic while writing");
            self.shared.refuse(&Error::io("write", &self.shared.path, panicked));
            PoisonError::into_inner(poisoned)
        })
    }

    /// The checkpoint that is on its way, if any.
    fn job(&self) -> MutexGuard<'_, Option<Job>> {
        self.job.lock().unwrap_or_else(|poisoned| {
            // A step that panicked is half done, and must not be done again.
            let panicked = std::io::Error::other("a panic in a checkpoint");
            self.shared.refuse(&Error::io("write", &self.shared.path, panicked));
            let mut job = PoisonError::into_inner(poisoned);
            *job = None;
            job
        })
    }

    fn check_open(&self) -> Result<()> {
        self.shared.check_open()
    }

    fn storage(&self) -> Arc<dyn crate::storage::Storage> {
        self.writer().files.storage.clone()
    }

    /// The last checkpoint's meta page and the pages that it reaches.
    fn last_checkpoint(&self) -> Result<(Meta, crate::pager::PageSet)> {
        // A checkpoint on its way has them; it is not kept waiting by anything but a backup.
        let _job = self.job();
        let writer = self.writer();
        let persisted = writer.persisted.as_ref().ok_or(Error::Closed)?;
        Ok((persisted.meta().clone(), persisted.used().clone()))
    }

    /// Closes for all handles; a second time is an error.
    fn close(&self) -> Result<()> {
        if self.is_updating() {
            return Err(Error::Reentrant);
        }
        // The threads that would be waited for, and the lock that would be given back, are those of
        // the process that opened it.
        self.shared.check_process()?;
        if !self.shared.close() {
            return Err(Error::Closed);
        }
        self.stop_threads();
        let closed = if self.shared.read_only { Ok(()) } else { self.close_file() };
        // A checkpoint that another call runs has ended, too, before the lock is given back; one that
        // was begun step by step does not go on.
        drop(self.job().take());
        // A value that is still held looks at the file: the lock stays until it is dropped.
        let file = self.shared.file.clone();
        self.shared.epoch.retire_last(move || file.unlock());
        closed
    }

    fn close_file(&self) -> Result<()> {
        // Before the last checkpoint: a writer, or a checkpoint, that comes after it would find its
        // log removed.
        {
            let mut writer = self.writer();
            self.closer.store(write::thread_number(), Ordering::SeqCst);
            writer.closed = true;
        }
        let closed = self.shared.check_not_refused();
        let closed = closed.and_then(|()| self.checkpoint_and_compact(true));
        let mut writer = self.writer();
        self.closer.store(0, Ordering::SeqCst);
        closed?;
        match writer.log.take() {
            Some(log) => log.remove_all(),
            None => Ok(()),
        }
    }
}

impl Index {
    /// Opens the index at this path, creates it if there is none, recovers it if it was not
    /// closed. The folder must exist. [`Options`] has everything that can be chosen.
    ///
    /// # Errors
    /// As [`Options::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Index> {
        Options::new().open(path)
    }

    /// Opens for reading only, beside other read-only handles of this and other processes. It
    /// writes nothing and works on a read-only mount; a log that a crash left behind is redone in
    /// memory.
    ///
    /// # Errors
    /// As [`Options::open`], and [`Error::Locked`] while someone has it open for writing.
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Index> {
        Options::new().read_only(true).open(path)
    }

    fn inner(&self) -> &Arc<Inner> {
        &self.handle.inner
    }

    fn shared(&self) -> &Shared {
        &self.handle.inner.shared
    }

    fn check_open(&self) -> Result<()> {
        self.inner().check_open()
    }

    /// The value of a key, where it stands. Never waits for a writer.
    ///
    /// # Errors
    /// [`Error::Corruption`] if the page that holds the key, if any does, is damaged;
    /// [`Error::KeyTooLarge`] or [`Error::KeySize`] for a key that cannot be in the index;
    /// [`Error::Closed`]; [`Error::Io`] with [`Access::Pread`](crate::Access::Pread).
    #[inline]
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value<'_>>> {
        let key = key.as_ref();
        crate::table::check_key(self.shared(), key)?;
        let found = value::find(self.shared(), key)?;
        let hit = u64::from(found.is_some());
        self.inner().counters.note_gets(hit, 1 - hit);
        Ok(found)
    }

    /// Whether a key is there. A large value is not read, so nothing is said of damage to it.
    ///
    /// # Errors
    /// As [`Index::get`].
    pub fn contains_key(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        let key = key.as_ref();
        crate::table::check_key(self.shared(), key)?;
        let found = value::is_there(self.shared(), key)?;
        self.inner().counters.note_gets(u64::from(found), u64::from(!found));
        Ok(found)
    }

    /// The values of many keys, in the keys' order; faster than as many calls of [`Index::get`],
    /// since the memory of all is fetched together. Each value was current at some moment of the
    /// call; together they are no snapshot.
    ///
    /// # Errors
    /// As [`Index::get`], for any of the keys.
    pub fn get_many(&self, keys: &[impl AsRef<[u8]>]) -> Result<Vec<Option<Value<'_>>>> {
        self.check_keys(keys)?;
        let found = value::keep_many(self.shared(), keys)?;
        let hits = found.iter().flatten().count() as u64;
        self.inner().counters.note_gets(hits, found.len() as u64 - hits);
        Ok(found)
    }

    /// Calls `found` with the place in `keys` and the value of each key, in the keys' order. Copies
    /// nothing, and holds nothing after it returns: the fastest way to look many keys up.
    ///
    /// # Errors
    /// As [`Index::get`]; keys before the one that failed were passed on.
    pub fn get_many_with(
        &self,
        keys: &[impl AsRef<[u8]>],
        mut found: impl FnMut(usize, Option<&[u8]>),
    ) -> Result<()> {
        self.check_keys(keys)?;
        let (mut hits, mut misses) = (0, 0);
        let result = value::find_many(self.shared(), keys, ValueUse::Read, |i, value| {
            match value {
                Some(_) => hits += 1,
                None => misses += 1,
            }
            found(i, value);
            Ok(())
        });
        self.inner().counters.note_gets(hits, misses);
        result
    }

    fn check_keys(&self, keys: &[impl AsRef<[u8]>]) -> Result<()> {
        self.check_open()?;
        keys.iter().try_for_each(|key| crate::table::check_key(self.shared(), key.as_ref()))
    }

    /// How many records there are, in the state that readers see.
    pub fn len(&self) -> u64 {
        self.inner().record_count.load(Ordering::Relaxed)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The path of the data file, absolute and without symbolic links.
    pub fn path(&self) -> &Path {
        &self.shared().path
    }

    /// All records in the order of their keys' hashes. See [`Iter`] for what it sees of changes
    /// made meanwhile.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn iter(&self) -> Result<Iter<'_>> {
        self.check_open()?;
        Iter::new(self, None)
    }

    /// Goes on with a scan from a place that [`Iter::cursor`] gave.
    ///
    /// # Errors
    /// [`Error::ForeignCursor`] if it is of an index with another seed; [`Error::Closed`].
    pub fn scan_from(&self, cursor: Cursor) -> Result<Iter<'_>> {
        self.check_open()?;
        Iter::new(self, Some(cursor))
    }

    /// The user's own metadata: schema, version, stream offset. Empty unless it was set.
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::Reentrant`] inside an update closure of the same index.
    pub fn metadata(&self) -> Result<Vec<u8>> {
        self.check_open()?;
        self.inner().check_not_updating()?;
        Ok(self.inner().writer().table.pager.metadata.clone())
    }

    /// Numbers about the index.
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::Io`] if the file's size cannot be asked for;
    /// [`Error::Reentrant`] inside an update closure of the same index.
    pub fn stats(&self) -> Result<Stats> {
        self.check_open()?;
        self.inner().check_not_updating()?;
        let inner = self.inner();
        let (counts, moved_page_count, dirty_len, log_len) = {
            let writer = inner.writer();
            let log_len = writer.log.as_ref().map_or(0, crate::log::Log::live_len);
            let pager = &writer.table.pager;
            (pager.counts, pager.moved_page_count, writer.dirty_len(), log_len)
        };
        let pin = self.shared().epoch.pin();
        let state = self.shared().state.load(&pin);
        let meta = inner.last_meta.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (hit_count, miss_count) = inner.counters.gets();
        let (held_len, held_for) = self.shared().epoch.held_back();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Ok(Stats {
            record_count: counts.record_count,
            record_len: counts.record_len,
            page_size: self.shared().parameters.page_size as u64,
            bucket_count: state.current.layout.bucket_count,
            next_bucket_count: state.next.as_ref().map_or(0, |next| next.layout.bucket_count),
            splitpoint: state.splitpoint.load(Ordering::Relaxed),
            page_count: meta.page_count,
            free_page_count: meta.free_page_count,
            overflow_page_count: counts.overflow_page_count,
            value_page_count: counts.value_page_count,
            value_len: counts.value_len,
            file_len: self.shared().file_len(),
            file_allocated_len: self
                .shared()
                .file
                .allocated_len()
                .map_err(|e| Error::io("read", self.path(), e))?,
            log_len,
            dirty_len,
            held_len,
            held_micros: u64::try_from(held_for.as_micros()).unwrap_or(u64::MAX),
            generation: meta.generation,
            hit_count,
            miss_count,
            commit_count: count(&inner.counters.commits),
            sync_count: count(&inner.counters.syncs),
            sync_micros: count(&inner.counters.sync_micros),
            sync_micros_max: count(&inner.counters.sync_micros_max),
            checkpoint_count: count(&inner.counters.checkpoints),
            checkpoint_micros: count(&inner.counters.checkpoint_micros),
            checkpoint_micros_max: count(&inner.counters.checkpoint_micros_max),
            moved_page_count,
            log_written_len: count(&inner.counters.log_written_len),
            file_written_len: count(&inner.counters.file_written_len),
        })
    }

    /// Checks the last checkpoint as it stands in the file: every page reachable once or free, every
    /// checksum, every record in its bucket, all counts. Reads the file once, beside readers and
    /// writers; what was written since that checkpoint is not part of it.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let index = splitpoint::Index::open(folder.path().join("file"))?;
    /// index.insert("key", "value")?;
    /// index.checkpoint()?;
    /// let report = index.check()?;
    /// assert!(report.is_sound(), "{report}");
    /// # index.close()?; Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read at all; damage is in the report.
    /// [`Error::Reentrant`] in the closure of an update.
    pub fn check(&self) -> Result<CheckReport> {
        self.check_open()?;
        self.inner().check_not_updating()?;
        let inner = self.inner();
        let run = || {
            // The pin comes first: pages of the checkpoint that is read next are then not reused.
            let _pin = self.shared().epoch.pin();
            self.check_open()?;
            let meta = inner.last_meta.lock().unwrap_or_else(PoisonError::into_inner).clone();
            check(&*self.shared().file, self.path(), &meta, &mut |_, _| ())
        };
        let report = run()?;
        let is_meta = |finding: &Finding| matches!(finding.place, Place::MetaPage(_));
        if !report.findings.iter().any(is_meta) {
            return Ok(report);
        }
        // A checkpoint may have been writing the meta page that was read: once more without.
        let _job = inner.job();
        run()
    }

    /// Closes the index for all its handles: makes everything durable, gives free space back and
    /// leaves one file without a log, ready to be copied. Later calls give [`Error::Closed`].
    ///
    /// # Errors
    /// [`Error::Closed`] if it was closed before. After any other error the file is as a crash
    /// would have left it: the next open recovers everything that was acknowledged.
    pub fn close(&self) -> Result<()> {
        self.inner().close()
    }
}

/// What a bulk load asks of the index that it replaces.
impl Index {
    /// Whether the file needs no log.
    pub(crate) fn is_closed_clean(&self) -> bool {
        self.inner().last_meta.lock().unwrap_or_else(PoisonError::into_inner).clean
    }

    pub(crate) fn log_position(&self) -> crate::page::meta::LogPosition {
        self.inner().last_meta.lock().unwrap_or_else(PoisonError::into_inner).log
    }

    pub(crate) fn counts(&self) -> crate::page::meta::Counts {
        self.inner().last_meta.lock().unwrap_or_else(PoisonError::into_inner).counts
    }

    pub(crate) fn parameters(&self) -> crate::page::meta::FileParameters {
        self.shared().parameters
    }

    pub(crate) fn shared_parts(&self) -> &Shared {
        self.shared()
    }
}

/// The newest LSN that is durable is part of the writers' face.
impl Index {
    /// The newest commit that is durable; all before it are.
    pub fn durable_lsn(&self) -> Lsn {
        self.inner().group().durable
    }
}
