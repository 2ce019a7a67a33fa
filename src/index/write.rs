//! The methods that change an index, and the budgets that they keep.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};

use super::writer::{Apply, Committed, Writer};
use super::{Batch, Durability, Index, Inner};
use crate::error::{Error, Result};
use crate::log::Lsn;
use crate::table::operation::Operation;
use crate::table::{check_key, check_value};

/// Bytes of values that may die between two checkpoints of a small table.
const RELEASE_BUDGET_MIN: u64 = 8 << 20;
/// Of a large one, its bytes of values divided by this.
const RELEASE_SHARE: u64 = 8;
/// But where values are small, so many times the bucket pages, which a checkpoint writes nearly all,
/// within a quarter of the values.
const RELEASE_PAGES: u64 = 8;

/// How near the budgets are.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    /// A budget is spent: writers wait for a checkpoint.
    spent: bool,
    /// Checkpoints that have ended, and how the last one failed.
    ended: u64,
    failure: Option<Error>,
}

/// A number for each thread that lives.
pub(super) fn thread_number() -> u64 {
    thread_local! { static MARK: u8 = const { 0 }; }
    MARK.with(|mark| std::ptr::from_ref(mark).addr() as u64)
}

/// Notes which thread runs an update closure.
struct Updating<'i>(&'i Inner);

impl Drop for Updating<'_> {
    fn drop(&mut self) {
        self.0.updating.store(0, Ordering::SeqCst);
    }
}

impl Inner {
    pub(super) fn is_updating(&self) -> bool {
        self.updating.load(Ordering::SeqCst) == thread_number()
    }

    pub(super) fn check_not_updating(&self) -> Result<()> {
        if self.is_updating() { Err(Error::Reentrant) } else { Ok(()) }
    }

    /// The writer, for a change. Waits while a budget is spent.
    pub(super) fn begin_write(self: &std::sync::Arc<Inner>) -> Result<MutexGuard<'_, Writer>> {
        if self.is_updating() {
            return Err(Error::Reentrant);
        }
        self.check_open()?;
        if self.shared.read_only {
            return Err(Error::ReadOnly { path: self.shared.path.clone() });
        }
        if self.is_pressed.load(Ordering::Relaxed) {
            self.relieve()?;
        }
        let writer = self.writer();
        if writer.closed {
            return Err(Error::Closed);
        }
        self.shared.check_not_refused()?;
        Ok(writer)
    }

    /// Waits for a checkpoint, or runs it.
    fn relieve(self: &std::sync::Arc<Inner>) -> Result<()> {
        self.shared.check_process()?;
        // Changes that failed may have spent a budget before any commit has started them.
        self.start_threads();
        if self.manual || self.lacks_threads.load(Ordering::Relaxed) {
            return self.run_checkpoint();
        }
        let mut pressure = self.pressure.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = pressure.ended;
        while pressure.spent {
            self.shared.check_not_refused()?;
            // A close that failed has stopped the thread that would end this.
            self.check_open()?;
            if pressure.ended > ended + 1 {
                // One checkpoint that began after this call has failed: the caller hears why.
                if let Some(error) = pressure.failure.take() {
                    return Err(error);
                }
            }
            if self.lacks_threads.load(Ordering::Relaxed) {
                drop(pressure);
                return self.run_checkpoint();
            }
            self.ask_for_checkpoint();
            let waited =
                self.checkpoint_done.wait_timeout(pressure, std::time::Duration::from_millis(100));
            pressure = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }

    /// Notes how near the budgets are; a checkpoint begins when half of one is spent.
    pub(super) fn note_pressure(&self, writer: &Writer) {
        let log_len = writer.log.as_ref().map_or(0, crate::log::Log::live_len);
        let dirty_len = writer.dirty_len();
        // What has died stays in the file until a checkpoint is done.
        let released_len = writer.table.pager.values.released_len();
        let release_budget = self.release_budget(writer);
        let above = |share: u64| {
            log_len > self.log_budget / share
                || dirty_len > self.memory_budget / share
                || released_len > release_budget / share
        };
        let spent = if self.manual { above(2) } else { above(1) };
        if spent != self.is_pressed.load(Ordering::Relaxed) {
            self.is_pressed.store(spent, Ordering::Relaxed);
            self.pressure.lock().unwrap_or_else(PoisonError::into_inner).spent = spent;
        }
        if !self.manual && above(2) && writer.persisted.is_some() {
            self.ask_for_checkpoint();
        }
    }

    /// Bytes of values that may die between two checkpoints: the file grows by twice as much at most
    /// while values are overwritten.
    fn release_budget(&self, writer: &Writer) -> u64 {
        let pager = &writer.table.pager;
        let buckets = pager.state().current.layout.bucket_count;
        let pages_len = buckets * self.shared.parameters.page_size as u64;
        let value_len = pager.counts.value_len;
        let share = (value_len / RELEASE_SHARE).max(RELEASE_PAGES * pages_len);
        share.min(value_len / 4).max(self.log_budget.min(RELEASE_BUDGET_MIN))
    }

    pub(super) fn note_checkpoint_result(&self, result: Result<()>) {
        let mut pressure = self.pressure.lock().unwrap_or_else(PoisonError::into_inner);
        pressure.ended += 1;
        pressure.failure = result.err();
        drop(pressure);
        self.checkpoint_done.notify_all();
    }

    fn apply_mode(&self) -> Apply {
        match self.durability {
            Durability::Immediate => Apply::WhenDurable,
            Durability::Background(_) => Apply::Now,
        }
    }

    /// Commits under the writer's lock.
    fn commit_locked(
        &self,
        writer: &mut Writer,
        operations: &[Operation<'_>],
    ) -> Result<Committed> {
        // What fails may have made pages the writer's own before.
        let committed = writer.commit(operations, self.apply_mode());
        let committed = committed.inspect_err(|_| self.note_pressure(writer))?;
        let len: usize = operations.iter().map(|operation| operation.len()).sum();
        self.counters.note_commit(len as u64);
        self.note_pressure(writer);
        Ok(committed)
    }

    /// What comes after a commit: waiting until it is durable, or asking for that to come soon.
    fn acknowledge(
        self: &std::sync::Arc<Inner>,
        mut writer: MutexGuard<'_, Writer>,
        lsn: Lsn,
        durability: Durability,
    ) -> Result<()> {
        self.note_record_count(&writer);
        match durability {
            Durability::Immediate => {
                drop(writer);
                self.start_threads();
                self.wait_durable(lsn)
            }
            Durability::Background(mut within) => {
                // What waits for a segment takes memory.
                if writer.log.as_ref().is_some_and(crate::log::Log::waits_for_segment) {
                    within = std::time::Duration::ZERO;
                }
                let ask = writer.sync_due_within.is_none_or(|due| within < due);
                if ask {
                    writer.sync_due_within = Some(within);
                }
                drop(writer);
                if ask {
                    self.start_threads();
                    self.ask_for_sync(within);
                }
                match self.lacks_threads.load(Ordering::Relaxed) {
                    true => self.wait_durable(lsn),
                    false => Ok(()),
                }
            }
        }
    }

    pub(super) fn note_record_count(&self, writer: &Writer) {
        self.record_count.store(writer.table.pager.counts.record_count, Ordering::Relaxed);
    }
}

impl Index {
    /// Inserts or updates; `true` if the key is new.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let index = splitpoint::Index::open(folder.path().join("file"))?;
    /// assert!(index.insert("key", "one")?);
    /// assert!(!index.insert("key", "two")?);
    /// # index.close()?; Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::KeyTooLarge`] above 65,535 bytes, [`Error::ValueTooLarge`] above 4 GiB − 1,
    /// [`Error::KeySize`] and [`Error::ValueSize`] if the file's sizes are fixed and others;
    /// [`Error::StorageFull`], which changes nothing; [`Error::Corruption`] if the page that the
    /// record belongs to is damaged; [`Error::ReadOnly`], [`Error::Closed`], [`Error::Reentrant`];
    /// [`Error::Io`], and [`Error::Refused`] for all writes after a failed write or sync.
    pub fn insert(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<bool> {
        let (key, value) = (key.as_ref(), value.as_ref());
        check_key(self.shared(), key)?;
        check_value(self.shared(), value)?;
        let mut writer = self.inner().begin_write()?;
        let committed = self.commit_one(&mut writer, Operation::Insert { key, value })?;
        self.inner().acknowledge(writer, committed.lsn, self.inner().durability)?;
        Ok(!committed.key_was_there)
    }

    /// Removes a key; `true` if it was there.
    ///
    /// # Errors
    /// As [`Index::insert`].
    pub fn remove(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        let key = key.as_ref();
        check_key(self.shared(), key)?;
        let mut writer = self.inner().begin_write()?;
        if !writer.has_newest(key)? {
            return self.nothing_to_do(writer, key).map(|()| false);
        }
        let committed = self.inner().commit_locked(&mut writer, &[Operation::Remove { key }])?;
        self.inner().acknowledge(writer, committed.lsn, self.inner().durability)?;
        Ok(true)
    }

    /// Commits one operation, and knows whether its key was there.
    fn commit_one(&self, writer: &mut Writer, operation: Operation<'_>) -> Result<Committed> {
        let known = match self.inner().apply_mode() {
            Apply::Now => None, // applying it tells
            Apply::WhenDurable => {
                let (key, _) = operation.key_and_value();
                Some(writer.has_newest(key)?)
            }
        };
        let mut committed = self.inner().commit_locked(writer, &[operation])?;
        committed.key_was_there = known.unwrap_or(committed.key_was_there);
        Ok(committed)
    }

    /// An answer that rests on a commit that is not yet durable waits until it is.
    fn nothing_to_do(&self, mut writer: MutexGuard<'_, Writer>, key: &[u8]) -> Result<()> {
        let rests_on = writer.rests_on(key);
        drop(writer);
        rests_on.map_or(Ok(()), |lsn| self.inner().wait_durable(lsn))
    }

    /// Reads, decides and writes in one step that no other writer can come between: `change` gets
    /// the newest value and gives the next; `None` removes. `true` if the key is there afterwards.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let index = splitpoint::Index::open(folder.path().join("file"))?;
    /// let count = |old: Option<&[u8]>| {
    ///     let old = old.map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
    ///     Some((old + 1).to_le_bytes().to_vec())
    /// };
    /// index.update("visits", count)?;
    /// index.update("visits", count)?;
    /// assert_eq!(index.get("visits")?.unwrap(), 2_u64.to_le_bytes());
    /// # index.close()?; Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Index::insert`]. A write to the same index inside `change` is [`Error::Reentrant`]. If
    /// `change` panics nothing is changed and the panic goes on.
    pub fn update(
        &self,
        key: impl AsRef<[u8]>,
        change: impl FnOnce(Option<&[u8]>) -> Option<Vec<u8>>,
    ) -> Result<bool> {
        let key = key.as_ref();
        check_key(self.shared(), key)?;
        let mut writer = self.inner().begin_write()?;
        let decided = {
            let inner = self.inner();
            inner.updating.store(thread_number(), Ordering::SeqCst);
            let _updating = Updating(inner);
            writer.with_newest(key, |old| {
                let old_is_some = old.is_some();
                (catch_unwind(AssertUnwindSafe(|| change(old))), old_is_some)
            })?
        };
        let (new, was_there) = match decided {
            (Ok(new), was_there) => (new, was_there),
            (Err(panic), _) => {
                drop(writer);
                resume_unwind(panic);
            }
        };
        let operation = match &new {
            Some(value) => Operation::Insert { key, value },
            None if was_there => Operation::Remove { key },
            None => return self.nothing_to_do(writer, key).map(|()| false),
        };
        let committed = self.inner().commit_locked(&mut writer, &[operation])?;
        self.inner().acknowledge(writer, committed.lsn, self.inner().durability)?;
        Ok(new.is_some())
    }

    /// Puts `new` in the place of `expected` if that is what is there (`None`: no record);
    /// `true` if it was.
    ///
    /// # Errors
    /// As [`Index::insert`].
    pub fn compare_exchange(
        &self,
        key: impl AsRef<[u8]>,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<bool> {
        let key = key.as_ref();
        check_key(self.shared(), key)?;
        new.map_or(Ok(()), |new| check_value(self.shared(), new))?;
        let mut writer = self.inner().begin_write()?;
        let is_expected = writer.with_newest(key, |value| value == expected)?;
        let operation = match new {
            Some(value) => Operation::Insert { key, value },
            None => Operation::Remove { key },
        };
        if !is_expected || expected == new {
            return self.nothing_to_do(writer, key).map(|()| is_expected);
        }
        let committed = self.inner().commit_locked(&mut writer, &[operation])?;
        self.inner().acknowledge(writer, committed.lsn, self.inner().durability)?;
        Ok(true)
    }

    /// Makes all changes of a batch, or none if it fails. With the index's own durability.
    ///
    /// # Errors
    /// As [`Index::insert`], for any of its changes; [`Error::MetadataTooLarge`].
    pub fn commit(&self, batch: Batch) -> Result<Lsn> {
        self.commit_with(batch, self.inner().durability)
    }

    /// As [`Index::commit`], acknowledged as asked. On an index of [`Durability::Immediate`] a
    /// commit in the background returns at once and is seen when it is durable; on one of
    /// [`Durability::Background`] an immediate commit is seen at once and returns when it is
    /// durable.
    ///
    /// # Errors
    /// As [`Index::commit`].
    pub fn commit_with(&self, batch: Batch, durability: Durability) -> Result<Lsn> {
        let operations: Vec<Operation<'_>> = batch.operations().collect();
        for operation in &operations {
            if let Operation::Insert { key, value } = operation {
                check_key(self.shared(), key)?;
                check_value(self.shared(), value)?;
            } else if let Operation::Remove { key } = operation {
                check_key(self.shared(), key)?;
            }
        }
        let mut writer = self.inner().begin_write()?;
        if operations.is_empty() {
            return Ok(writer.newest_lsn());
        }
        let committed = self.inner().commit_locked(&mut writer, &operations)?;
        self.inner().acknowledge(writer, committed.lsn, durability)?;
        Ok(committed.lsn)
    }

    /// Sets the user's metadata, at most 1 KiB, as a commit of its own.
    ///
    /// # Errors
    /// [`Error::MetadataTooLarge`], and as [`Index::insert`].
    pub fn set_metadata(&self, metadata: &[u8]) -> Result<()> {
        let mut batch = Batch::new();
        batch.set_metadata(metadata);
        self.commit(batch).map(drop)
    }

    /// Waits until a commit of this handle, and all before it, are durable.
    ///
    /// # Errors
    /// [`Error::Refused`] if its sync failed.
    pub fn wait_durable(&self, lsn: Lsn) -> Result<()> {
        if self.inner().is_updating() {
            return Err(Error::Reentrant);
        }
        self.check_open()?;
        let newest = self.inner().writer().newest_lsn();
        self.inner().wait_durable(lsn.min(newest))
    }

    /// Waits until all commits made before are durable.
    ///
    /// # Errors
    /// As [`Index::wait_durable`].
    pub fn sync(&self) -> Result<()> {
        let writer = self.inner().begin_write()?;
        let newest = writer.newest_lsn();
        drop(writer);
        self.inner().wait_durable(newest)
    }

    /// Writes all changed pages to the file, then moves its last pages down and gives free space back
    /// to the file system; readers and writers go on meanwhile. The first part runs by itself in the
    /// background as the budgets ask; space is given back by this call and by [`Index::close`].
    ///
    /// # Errors
    /// [`Error::StorageFull`] changes nothing and can be tried again; [`Error::ReadOnly`]; after a
    /// failed write or sync the index refuses writes; [`Error::Closed`], also where another thread closes
    /// it meanwhile. A damaged page of records, or value, is no
    /// error: it stays where it is, and the file may stay longer than it need be.
    pub fn checkpoint(&self) -> Result<()> {
        drop(self.inner().begin_write()?);
        self.inner().checkpoint_and_compact(false)
    }

    /// Begins a checkpoint that [`Index::step_checkpoint`] carries on; `false` if there is nothing
    /// to write or one is on its way.
    ///
    /// # Errors
    /// As [`Index::checkpoint`].
    #[cfg(feature = "simulation")]
    pub fn begin_checkpoint(&self) -> Result<bool> {
        drop(self.inner().begin_write()?);
        self.inner().begin_checkpoint()
    }

    /// Does a step of the checkpoint that was begun; `false` if there is none any more.
    ///
    /// # Errors
    /// As [`Index::checkpoint`].
    #[cfg(feature = "simulation")]
    pub fn step_checkpoint(&self) -> Result<bool> {
        self.check_open()?;
        self.inner().step_checkpoint()
    }
}
