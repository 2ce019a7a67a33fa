//! Syncs of the log: what is due, one at a time, and the memory of a failure (L5).
//!
//! Does not know what is written: who gives out a [`SyncTicket`] has written what it names.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::writer::Segment;
use super::{LogFiles, Lsn};
use crate::error::{Error, Result};
use crate::mutant::{Mutant, mutant};
use crate::storage::StorageFile;

/// Syncs, one at a time, and whether a write or sync ever failed.
///
/// The operating system reports a failed sync to one caller only (F7). Were the sync of
/// who leads and one in [`super::Log::write`] to run at once, the one could swallow the other's failure.
#[derive(Debug)]
pub(super) struct Syncs {
    pub(super) files: LogFiles,
    serial: Mutex<()>,
    failure: OnceLock<String>,
}

impl Syncs {
    pub(super) fn new(files: LogFiles) -> Syncs {
        Syncs { files, serial: Mutex::new(()), failure: OnceLock::new() }
    }

    /// L5: an error once something has failed.
    pub(super) fn check(&self) -> Result<()> {
        match self.failure.get() {
            None => Ok(()),
            Some(cause) => {
                Err(Error::Refused { path: self.files.path.clone(), cause: cause.clone() })
            }
        }
    }

    /// Notes the failure; from now on everything is refused.
    pub(super) fn fail(&self, error: Error) -> Error {
        // The first failure is the cause; later ones follow from it.
        let _ = self.failure.set(error.to_string());
        error
    }

    fn sync(&self, file: &dyn StorageFile, synced: Synced) -> Result<()> {
        let _one = self.serial.lock().unwrap_or_else(PoisonError::into_inner);
        self.check()?;
        let result = match file.sync_data() {
            Err(_) if mutant(Mutant::SyncRetried) => file.sync_data(),
            result => result,
        };
        let path = || self.files.segment_path(synced.segment);
        result.map_err(|e| self.fail(Error::io("sync", &path(), e)))?;
        match synced.due {
            Due::Header => self.files.sync_dir().map_err(|e| self.fail(e)),
            Due::Commits | Due::Tail => Ok(()),
        }
    }
}

/// What a sync makes durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Commits in the segment that is being written.
    Commits,
    /// The end of that segment, before the next one begins (L3).
    Tail,
    /// The header of the next one, and its name.
    Header,
}

/// A sync that is due: everything up to its LSN has been written and not yet synced.
#[derive(Debug)]
#[must_use = "what was written is not durable before the sync"]
pub(crate) struct SyncTicket {
    file: Arc<dyn StorageFile>,
    syncs: Arc<Syncs>,
    synced: Synced,
}

/// What a sync has made durable, for [`super::Log::synced`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "the log does not know of it yet"]
pub(crate) struct Synced {
    pub(super) due: Due,
    pub(super) segment: u64,
    /// The last commit that is now durable.
    pub(crate) lsn: Lsn,
}

impl SyncTicket {
    pub(super) fn new(syncs: &Arc<Syncs>, due: Due, segment: &Segment, lsn: Lsn) -> SyncTicket {
        let synced = Synced { due, segment: segment.number, lsn };
        SyncTicket { file: segment.file.clone(), syncs: syncs.clone(), synced }
    }

    /// Syncs. Needs no lock. After a failure the log refuses everything.
    pub(crate) fn sync(self) -> Result<Synced> {
        self.sync_raw().map_err(Error::of_unknown_fate)
    }

    /// The same where nothing relies on it yet: the error is the system's.
    pub(super) fn sync_raw(self) -> Result<Synced> {
        self.syncs.sync(&*self.file, self.synced).map(|()| self.synced)
    }

    /// The last commit that the sync makes durable.
    #[cfg(test)]
    pub(crate) fn lsn(&self) -> Lsn {
        self.synced.lsn
    }

    /// What it would make durable: a mutant takes it for that.
    pub(crate) fn not_synced(self) -> Synced {
        self.synced
    }
}
