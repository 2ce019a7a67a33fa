//! What lies in the folder under the names of segments: what recovery relies on, what it must not
//! overlook, and what is litter.
//!
//! A crash leaves litter: segments before the one that redo begins with, prepared ones without a
//! header, a recycled one under its new name with its old header, an empty one of an epoch that no
//! meta page came to name. It never leaves a record in an epoch newer than the meta page's:
//! that is the log of a meta page that is gone, and damage. The caller judges; this only tells.

use std::io::ErrorKind;

use super::reader::Reader;
use super::record::Salt;
use super::segment::{self, HEADER_SIZE};
use super::{Epoch, LogFiles, LogStart, Lsn};
use crate::error::{Error, Result};
use crate::storage::OpenMode;

/// A file under the name of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leftover {
    /// The number in its name.
    pub(crate) number: u64,
    /// What its header says, if that is whole, of this file, and of the number in the name.
    pub(crate) header: Option<LeftoverHeader>,
    /// Whether a record in it verifies: under its header's epoch, or, without a header, under the
    /// epoch that was asked for.
    pub(crate) has_record: bool,
}

/// What the header of a leftover says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LeftoverHeader {
    /// Its epoch.
    pub(crate) epoch: Epoch,
    /// The first commit in it.
    pub(crate) first_lsn: Lsn,
}

/// Every file under the name of a segment of this data file, by number. `epoch` is the meta
/// page's: the one that records are looked for in where there is no header.
pub(crate) fn survey(files: &LogFiles, epoch: Epoch) -> Result<Vec<Leftover>> {
    let mut found = Vec::new();
    for number in numbers(files)? {
        let Some(mut reader) = Reader::open(files, number)? else { continue };
        let header = match reader.header()? {
            Some(Ok(h)) if h.file_id == files.file_id && h.segment == number => Some(h),
            _ => None,
        };
        let salt_epoch = header.map_or(epoch, |h| h.epoch);
        reader.set_salt(Salt::new(&files.file_id, salt_epoch, number));
        let first = header.map_or(Lsn(1), |h| h.first_lsn);
        let record = reader.find(files, HEADER_SIZE, &|r| r.lsn >= first)?;
        let header = header.map(|h| LeftoverHeader { epoch: h.epoch, first_lsn: h.first_lsn });
        found.push(Leftover { number, header, has_record: record.is_some() });
    }
    Ok(found)
}

/// Removes these segments. Names that are gone already are no error: a crash may have been here
/// before. Durable when this returns.
pub(crate) fn remove_segments(
    files: &LogFiles,
    numbers: impl IntoIterator<Item = u64>,
) -> Result<()> {
    let mut removed = false;
    for number in numbers {
        let path = files.segment_path(number);
        match files.storage.remove(&path) {
            Ok(()) => removed = true,
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io("remove", &path, e)),
        }
    }
    if removed { files.sync_dir() } else { Ok(()) }
}

/// Makes what is there of the log from `start` on durable, before a reader that will not write
/// shows it (C7).
pub(crate) fn sync_existing(files: &LogFiles, start: LogStart) -> Result<()> {
    for number in numbers(files)?.into_iter().filter(|number| *number >= start.segment) {
        let path = files.segment_path(number);
        let file = match files.storage.open(&path, OpenMode::Read) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            Err(e) => return Err(Error::io("open", &path, e)),
        };
        file.sync_data().map_err(|e| Error::io("sync", &path, e))?;
    }
    files.sync_dir()
}

/// The numbers of the segments in the folder, in order.
pub(crate) fn numbers(files: &LogFiles) -> Result<Vec<u64>> {
    let dir = files.dir();
    let names = files.storage.list(dir).map_err(|e| Error::io("list", dir, e))?;
    let data_name = files.path.file_name().unwrap_or_default();
    let mut numbers: Vec<u64> =
        names.iter().filter_map(|name| segment::number_of(data_name, name)).collect();
    // No log has come so far; whoever made that file, it is not ours, and numbers are counted on.
    numbers.retain(|number| *number <= super::START_MAX);
    numbers.sort_unstable();
    Ok(numbers)
}
