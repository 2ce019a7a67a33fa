//! A copy of a file that another process may be writing: without its help and without a lock.
//!
//! The pages of a checkpoint stay as they are until the one after the next; so they are copied, the
//! log is read, and if the meta page is then still the same, nothing of it can have been replaced.
//! The copy is checked, page by page, and what the log had is added: it is the file as it was when
//! its log was read. If the writer was faster, all of it again.

use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::backup::{
    create_partial, hold_partial, partial_beside, remove_leftover, remove_partial,
};
use super::batch::Batch;
use super::writer::start_of;
use super::{Index, Options, open};
use crate::error::{Error, Fault, Place, Promise, Result};
use crate::log::{self, LogFiles, Lsn};
use crate::page::meta::{META_SIZE, META_SLOTS, Meta};
use crate::pager;
use crate::storage::disk::DiskStorage;
use crate::storage::{OpenMode, Storage, StorageFile};
use crate::table::check::{Finding, Severity, check};
use crate::table::operation::Operation;

/// Bytes that are copied at once.
const CHUNK_SIZE: u64 = 4 << 20;
/// How often a writer may be faster.
const ATTEMPTS: u64 = 16;

/// A copy that was made beside a writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HotBackup {
    /// Records in the copy.
    pub record_count: u64,
    /// Commits of the log that are in it, besides the pages of the last checkpoint.
    pub log_commit_count: u64,
    /// How often it was begun anew, because the writer was faster.
    pub repeat_count: u64,
}

/// What one attempt came to; if it is whole, the commits that the log had.
enum Attempt {
    Whole(Vec<Vec<u8>>),
    /// Something has changed meanwhile.
    Overtaken,
    /// Nothing has, and yet it is not sound.
    Damaged(Error),
}

impl Index {
    /// Copies the index file `from`, which another process may have open and be writing, to `to`,
    /// which must not exist: one consistent moment, checked, closed clean. Commits that the other
    /// process has in its memory only are not in it. `progress` has the bytes copied and those of
    /// the file, and may end the work. A process that has the file open itself uses
    /// [`Index::backup`].
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let (from, to) = (folder.path().join("file"), folder.path().join("copy"));
    /// use std::ops::ControlFlow;
    /// let index = splitpoint::Index::open(&from)?;
    /// index.insert("key", "value")?;
    /// let copy = splitpoint::Index::backup_file(&from, &to, |_, _| ControlFlow::Continue(()))?;
    /// assert_eq!(copy.record_count, 1);
    /// # index.close()?; Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be read or written, of the kind `ResourceBusy` if the writer
    /// was faster each of several times, `Interrupted` if `progress` ended it, `AlreadyExists` if
    /// `to` exists or `from` bears the name of an unfinished copy to it; [`Error::Corruption`] if
    /// the file is damaged; [`Error::Locked`] while another copy to `to` is made. Nothing of its own
    /// is left behind then.
    pub fn backup_file(
        from: impl AsRef<Path>,
        to: impl AsRef<Path>,
        mut progress: impl FnMut(u64, u64) -> ControlFlow<()>,
    ) -> Result<HotBackup> {
        backup_file_on(Arc::new(DiskStorage), from.as_ref(), to.as_ref(), &mut progress)
    }
}

pub(crate) fn backup_file_on(
    storage: Arc<dyn Storage>,
    from: &Path,
    to: &Path,
    progress: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<HotBackup> {
    let from = storage.canonicalize(from).map_err(|e| Error::io("open", from, e))?;
    let file = storage.open(&from, OpenMode::Read).map_err(|e| Error::io("open", &from, e))?;
    if storage.identity(to).is_ok() {
        return Err(Error::io("create", to, ErrorKind::AlreadyExists.into()));
    }
    let partial = partial_beside(&*storage, &*file, to)?;
    let hot = Hot { storage, from: &from, file, partial: &partial };
    // A copy keeps the id.
    remove_leftover(&hot.storage, &partial, hot.file_id())?;
    let copy = create_partial(&*hot.storage, &partial)?;
    // The lock is given back when the copy is closed: it may be another's since.
    let made = hot.run(&copy, progress).and_then(|made| {
        hold_partial(&*hot.storage, &*copy, &partial)?;
        Ok(made)
    });
    if made.as_ref().is_err_and(|error| !matches!(error, Error::Locked { .. })) {
        remove_partial(&hot.storage, &partial);
    }
    let made = made?;
    hot.storage.rename(&partial, to).map_err(|e| Error::io("create", to, e))?;
    open::sync_folder(&*hot.storage, to)?;
    Ok(made)
}

struct Hot<'h> {
    storage: Arc<dyn Storage>,
    from: &'h Path,
    file: Arc<dyn StorageFile>,
    partial: &'h Path,
}

impl Hot<'_> {
    /// The id of the file, if a meta page can be read.
    fn file_id(&self) -> [u8; 16] {
        let pages = pager::read_meta(&*self.file, self.from);
        pages.map_or([0; 16], |pages| pages.newest.parameters.file_id)
    }

    fn run(
        &self,
        copy: &Arc<dyn StorageFile>,
        progress: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
    ) -> Result<HotBackup> {
        for repeat_count in 0..ATTEMPTS {
            match self.attempt(&**copy, progress)? {
                Attempt::Overtaken => {}
                Attempt::Damaged(error) => return Err(error),
                Attempt::Whole(commits) => {
                    let record_count = self.add(copy, &commits)?;
                    let log_commit_count = commits.len() as u64;
                    return Ok(HotBackup { record_count, log_commit_count, repeat_count });
                }
            }
        }
        let words = format!(
            "its writer was faster {ATTEMPTS} times; make it pause, or let it call Index::backup"
        );
        let busy = std::io::Error::new(ErrorKind::ResourceBusy, words);
        Err(Error::io("copy", self.from, busy))
    }

    fn attempt(
        &self,
        copy: &dyn StorageFile,
        progress: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
    ) -> Result<Attempt> {
        // A meta page may be read while it is written: the next attempt reads it whole.
        let meta = match pager::read_meta(&*self.file, self.from) {
            Ok(pages) => pages.newest,
            Err(Error::Corruption(_)) if self.is_locked() => return Ok(Attempt::Overtaken),
            Err(error) => return Err(error),
        };
        let len = meta.page_count * meta.parameters.page_size as u64;
        let found = self.file.len().map_err(|e| Error::io("read", self.from, e))?;
        if found < len {
            let fault = Fault::new(Promise::FileLength, len, found);
            return Ok(self.verdict(&meta, fault.at(self.from, Place::File)));
        }
        if let Some(error) = self.newer_log(&meta)? {
            return Ok(self.verdict(&meta, error));
        }
        if !self.copy_pages(copy, len, progress)? {
            return Ok(Attempt::Overtaken);
        }
        let mut commits = Vec::new();
        if !meta.clean {
            let files = self.log_files(&meta);
            let read = log::read(&files, start_of(meta.log), &mut |_: Lsn, payload: &[u8]| {
                commits.push(payload.to_vec());
                Ok(())
            });
            match read {
                // A log that grows meanwhile may look damaged.
                Err(Error::Corruption(_)) if self.is_locked() => return Ok(Attempt::Overtaken),
                Err(error) => return Ok(self.verdict(&meta, error)),
                Ok(_) => {}
            }
        }
        if !self.is_still(&meta) {
            return Ok(Attempt::Overtaken);
        }
        let mut newest = Meta { clean: true, ..meta.clone() };
        for slot in 0..META_SLOTS as u64 {
            newest.generation += 1;
            let offset = slot * META_SIZE as u64;
            let written = copy.write_all_at(&newest.encode(), offset);
            written.map_err(|e| Error::io("write", self.partial, e))?;
        }
        copy.sync_data().map_err(|e| Error::io("sync", self.partial, e))?;
        let report = check(copy, self.partial, &newest, &mut |_, _| ())?;
        let is_damage = |finding: &Finding| finding.severity == Severity::Damage;
        match report.findings.into_iter().find(is_damage) {
            None => Ok(Attempt::Whole(commits)),
            Some(finding) => Ok(self.verdict(&meta, finding.into_corruption(self.from).into())),
        }
    }

    /// Whether what went wrong is the writer's doing: not while its meta page is the same.
    fn verdict(&self, meta: &Meta, error: Error) -> Attempt {
        if self.is_still(meta) { Attempt::Damaged(error) } else { Attempt::Overtaken }
    }

    /// A log of a newer life than the meta page knows: that of a meta page that is lost.
    fn newer_log(&self, meta: &Meta) -> Result<Option<Error>> {
        let epoch = start_of(meta.log).epoch;
        let leftovers = log::survey(&self.log_files(meta), epoch)?;
        let newer = leftovers.into_iter().filter(|leftover| leftover.has_record);
        let mut newer = newer.filter_map(|leftover| Some((leftover.number, leftover.header?)));
        let found = newer.find(|(_, header)| header.epoch.counter > epoch.counter);
        Ok(found.map(|(segment, header)| {
            let fault = Fault::new(Promise::LogOwner, epoch.counter, header.epoch.counter);
            fault.at(self.from, Place::Log { segment, offset: 0 })
        }))
    }

    fn is_still(&self, meta: &Meta) -> bool {
        pager::read_meta(&*self.file, self.from)
            .is_ok_and(|pages| pages.newest.generation == meta.generation)
    }

    /// Whether somebody may be writing.
    fn is_locked(&self) -> bool {
        let is_free = self.file.try_lock(crate::storage::LockKind::Shared).unwrap_or(false);
        self.file.unlock();
        !is_free
    }

    fn log_files(&self, meta: &Meta) -> LogFiles {
        LogFiles {
            storage: self.storage.clone(),
            path: self.from.to_owned(),
            file_id: meta.parameters.file_id,
        }
    }

    /// `false` if the file has become too short.
    fn copy_pages(
        &self,
        copy: &dyn StorageFile,
        len: u64,
        progress: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
    ) -> Result<bool> {
        let least = (META_SIZE * META_SLOTS) as u64;
        // What an attempt before it has left goes first.
        let emptied = copy.set_len(0).and_then(|()| copy.set_len(len.max(least)));
        emptied.map_err(|e| Error::io("write", self.partial, e))?;
        let (mut offset, mut bytes) = (0, Vec::new());
        while offset < len {
            let size = CHUNK_SIZE.min(len - offset);
            bytes.resize(usize::try_from(size).unwrap_or_default(), 0);
            match self.file.read_exact_at(&mut bytes, offset) {
                Ok(()) => {}
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(false),
                Err(e) => return Err(Error::io("read", self.from, e)),
            }
            let written = copy.write_all_at(&bytes, offset);
            written.map_err(|e| Error::io("write", self.partial, e))?;
            offset += size;
            if progress(offset, len).is_break() {
                return Err(Error::io("copy", self.from, ErrorKind::Interrupted.into()));
            }
        }
        Ok(true)
    }

    /// Adds the commits of the log to the copy; gives the number of records.
    fn add(&self, copy: &Arc<dyn StorageFile>, commits: &[Vec<u8>]) -> Result<u64> {
        let options = Options::new()
            .durability(super::Durability::Background(std::time::Duration::from_secs(1)))
            .on(self.storage.clone());
        let path = self.storage.canonicalize(self.partial);
        let path = path.map_err(|e| Error::io("open", self.partial, e))?;
        let index = open::open_held(options, copy.clone(), path)?;
        for commit in commits {
            let (mut batch, mut rest) = (Batch::new(), commit.as_slice());
            while !rest.is_empty() {
                let decoded = Operation::decode(rest);
                let place = Place::File;
                let (operation, after) = decoded.map_err(|fault| fault.at(self.from, place))?;
                batch.push(operation);
                rest = after;
            }
            index.commit(batch)?;
        }
        let record_count = index.len();
        index.close()?;
        Ok(record_count)
    }
}
