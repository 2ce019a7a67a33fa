//! The log: commits, in order, made durable before anything that they change is.
//!
//! The log of a data file is a row of *segments* beside it, numbered without gaps. A commit is a
//! chain of *records* (one record, unless it crosses into the next segment); it is whole or
//! absent. Redo starts at the segment that a meta page names and stops at the torn tail.
//!
//! - `record`: one record <-> bytes
//! - `segment`: a segment's header <-> bytes; the names of segments
//! - `writer`: [`Log`]: append, write, rotate
//! - `sync`: what is due to be synced, one sync at a time
//! - `room`: the part of [`Log`] that can run out of disk: zeros ahead, prepared segments, reuse and removal
//! - `reader`: the bytes of one segment, as a reader sees them
//! - `read`: redo, and the line between a torn tail and damage
//! - `rescue`: what is left of a damaged log
//! - `survey`: what lies in the folder: which segments recovery relies on and which are litter
//! - `trace`: one segment as it stands, for those who show it
//!
//! Knows bytes and LSNs. Does not know pages, operations, or what a commit means; and it does not
//! choose when to sync, rotate or recycle.
//!
//! The rules that everything here rests on:
//!
//! - L1 A record verifies only in the file, epoch and segment that it was written for: these salt
//!   its checksum and that of its header. So what a recycled segment still holds is never taken for
//!   a record, and what a value says is seldom summed as one.
//! - L2 What a sync has made durable ends at a block boundary, and no block that it covered is
//!   written again (F3).
//! - L3 The header of segment n + 1 is written only after segment n is durable as far as it will
//!   ever be filled, and it says which record comes first. So a whole header of segment n + 1 is
//!   the end mark of segment n; and no record of segment n + 1 is written before that header and
//!   the segment's name are durable.
//! - L4 A record carries the LSN that was known durable when it was appended. So a bad record at
//!   or below what a later record carries is damage to acknowledged data, not a torn tail.
//! - L5 After a failed write or sync nothing more is written or synced (C6, F7).

#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod read;
mod reader;
mod record;
mod rescue;
mod room;
mod segment;
mod survey;
mod sync;
#[cfg(test)]
mod tests;
pub(crate) mod trace;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Corruption, Error, Place, Promise};
use crate::mutant::{Mutant, mutant};
use crate::storage::Storage;

pub(crate) use read::{LogEnd, read};
pub(crate) use rescue::{file_id_beside, rescue, segment_numbers};
pub(crate) use room::Discarded;
pub(crate) use survey::{remove_segments, survey, sync_existing};
pub(crate) use sync::Synced;
pub(crate) use writer::Log;

/// The unit of everything that the log writes and syncs: no two durable writes share a block.
pub(crate) const BLOCK_SIZE: u64 = 4096;
/// The same, for slices in memory.
const BLOCK_LEN: usize = 4096;

/// The place of a commit in the log: commits are counted 1, 2, 3 …
///
/// It has meaning for the life of one open handle; the next handle counts on from wherever
/// recovery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(pub u64);

impl Lsn {
    /// The commit after this one.
    pub(crate) fn next(self) -> Lsn {
        // Commits are counted from 1, one at a time: 2^64 of them take longer than any machine
        // lives; a start near the end, from a meta page, is refused by `LogStart::check`.
        Lsn(self.0.checked_add(1).expect("fewer than 2^64 commits"))
    }

    /// The commit before this one, or 0 where there is none.
    pub(crate) fn previous(self) -> Lsn {
        Lsn(self.0.saturating_sub(1))
    }
}

/// Which life of the log: a new one begins at every open that finds the log not pristine, and
/// none ever has the same number twice (C5): files get copied, so the counter alone is not enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Epoch {
    /// One more than the epoch before.
    pub(crate) counter: u64,
    /// Unpredictable bits.
    pub(crate) random: u64,
}

/// Where redo begins: what a meta page stores of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogStart {
    /// The epoch of the segments.
    pub(crate) epoch: Epoch,
    /// The first segment to read.
    pub(crate) segment: u64,
    /// The first commit in it.
    pub(crate) lsn: Lsn,
}

/// A start whose LSN or segment is beyond it is nonsense, and counting on from it might overflow.
const START_MAX: u64 = u64::MAX / 2;

impl LogStart {
    /// Meta pages come from files: what no writer writes is an error (I8).
    fn check(&self, files: &LogFiles) -> Result<(), Error> {
        for found in [self.segment, self.lsn.0] {
            if found > START_MAX {
                let place = (self.segment, 0);
                return Err(files.corruption(place, Promise::LogStart, START_MAX, found).into());
            }
        }
        match self.lsn.0 {
            0 => Err(files.corruption((self.segment, 0), Promise::LogStart, 1, 0).into()),
            _ => Ok(()),
        }
    }
}

/// Whose log it is and where it lies.
#[derive(Debug, Clone)]
pub(crate) struct LogFiles {
    /// What holds the files.
    pub(crate) storage: Arc<dyn Storage>,
    /// The data file, by its canonical path.
    pub(crate) path: PathBuf,
    /// The id in the data file's meta pages.
    pub(crate) file_id: [u8; 16],
}

impl LogFiles {
    /// The folder of the data file and of its log.
    fn dir(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// The path of the segment of that number.
    pub(crate) fn segment_path(&self, number: u64) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(segment::name_suffix(number));
        self.dir().join(name)
    }

    /// Makes the names in the folder durable.
    fn sync_dir(&self) -> Result<(), Error> {
        let dir = self.dir();
        if mutant(Mutant::NoFolderSync) {
            return Ok(());
        }
        self.storage.sync_dir(dir).map_err(|e| Error::io("sync", dir, e))
    }

    /// A broken promise of a segment.
    fn corruption(
        &self,
        place: (u64, u64),
        promise: Promise,
        expected: u64,
        found: u64,
    ) -> Corruption {
        let (segment, offset) = place;
        Corruption {
            file: self.segment_path(segment),
            place: Place::Log { segment, offset },
            promise,
            expected,
            found,
        }
    }
}

/// `offset` moved up to the next multiple of the block size.
fn block_end(offset: u64) -> u64 {
    offset.next_multiple_of(BLOCK_SIZE)
}

/// How many bytes of the block are left at `offset`: 0 at a boundary.
fn block_rest(offset: u64) -> u64 {
    block_end(offset) - offset
}
