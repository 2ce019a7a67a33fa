//! Redo: reads the log from where a meta page says to its end, and tells a torn tail from damage.
//!
//! The log ends at the first place where the next record should stand and none verifies. That is
//! a torn tail unless something proves that the place was durable once:
//!
//! - a whole header of the next segment that begins with another record (L3);
//! - a whole header of a later segment, or a record that verifies in one;
//! - a later record in the segment that carries an LSN known durable at or above that of the
//!   missing commit (L4), or of the commit before it where its padding is missing (L2).
//!
//! Each is damage to what was acknowledged: an error, never a silent end. Not to be told from a
//! torn tail is damage to the very last durable write before a crash.
//!
//! Knows nothing of what a commit says, and writes nothing.

use super::reader::Reader;
use super::record::{self, Kind, Salt};
use super::segment::{BadHeader, HEADER_SIZE, Header, version_supported};
use super::survey::numbers;
use super::{LogFiles, LogStart, Lsn, block_end, block_rest};
use crate::error::{Error, Promise, Result};

/// Where the log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogEnd {
    /// The commit after the last whole one.
    pub(crate) next_lsn: Lsn,
    /// The last segment that belongs to it.
    pub(crate) last_segment: u64,
    /// How many commits were redone.
    pub(crate) commits: u64,
    /// How many bytes of log that took, headers and padding included.
    pub(crate) bytes: u64,
}

/// Hands every whole commit from `start` on to `redo`, in order, and says where the log ends.
pub(crate) fn read(
    files: &LogFiles,
    start: LogStart,
    redo: &mut dyn FnMut(Lsn, &[u8]) -> Result<()>,
) -> Result<LogEnd> {
    let mut reader = open_first(files, start)?;
    let mut walk = Walk { files, start, lsn: start.lsn, fragment: 0, commit: Vec::new(), count: 0 };
    let mut bytes = 0;
    loop {
        let end = walk.segment(&mut reader, redo)?;
        bytes += end;
        match walk.next_segment(&reader, end)? {
            Some(next) => reader = next,
            None => {
                walk.prove_torn(&mut reader, end)?;
                let (next_lsn, last_segment) = (walk.lsn, reader.number);
                return Ok(LogEnd { next_lsn, last_segment, commits: walk.count, bytes });
            }
        }
    }
}

/// Opens the segment that redo begins with, and checks that it is the one.
fn open_first(files: &LogFiles, start: LogStart) -> Result<Reader> {
    start.check(files)?;
    let number = start.segment;
    let corrupt = |promise, expected, found| -> Error {
        files.corruption((number, 0), promise, expected, found).into()
    };
    let Some(mut reader) = Reader::open(files, number)? else {
        return Err(corrupt(Promise::LogPresent, 1, 0));
    };
    let header = match reader.header()? {
        None => return Err(corrupt(Promise::LogPresent, HEADER_SIZE, reader.end())),
        Some(Ok(header)) => header,
        Some(Err(BadHeader::Checksum { found, computed })) => {
            return Err(corrupt(Promise::LogStart, computed.into(), found.into()));
        }
        Some(Err(BadHeader::Version(found))) => {
            let path = files.segment_path(number);
            return Err(Error::UnsupportedVersion { path, found, supported: version_supported() });
        }
        Some(Err(BadHeader::Field)) => return Err(corrupt(Promise::LogStart, 1, 0)),
    };
    if header.file_id != files.file_id {
        let word = |id: [u8; 16]| u64::from_le_bytes(*id.first_chunk().unwrap_or(&[0; 8]));
        return Err(corrupt(Promise::LogOwner, word(files.file_id), word(header.file_id)));
    }
    if header.epoch.counter != start.epoch.counter {
        return Err(corrupt(Promise::LogOwner, start.epoch.counter, header.epoch.counter));
    }
    if header.epoch.random != start.epoch.random {
        return Err(corrupt(Promise::LogOwner, start.epoch.random, header.epoch.random));
    }
    if header.segment != number {
        return Err(corrupt(Promise::LogStart, number, header.segment));
    }
    if header.first_lsn != start.lsn {
        return Err(corrupt(Promise::LogStart, start.lsn.0, header.first_lsn.0));
    }
    if header.first_fragment != 0 {
        return Err(corrupt(Promise::LogStart, 0, header.first_fragment.into()));
    }
    reader.set_salt(Salt::new(&files.file_id, start.epoch, number));
    Ok(reader)
}

/// How far redo has come.
struct Walk<'a> {
    files: &'a LogFiles,
    start: LogStart,
    /// The commit that comes next or that `commit` is a part of.
    lsn: Lsn,
    /// The fragment of it that comes next.
    fragment: u32,
    /// What was read of it.
    commit: Vec<u8>,
    count: u64,
}

impl Walk<'_> {
    /// Redoes the commits of a segment, and returns the place where the next record should be and
    /// is not.
    fn segment(
        &mut self,
        reader: &mut Reader,
        redo: &mut dyn FnMut(Lsn, &[u8]) -> Result<()>,
    ) -> Result<u64> {
        let mut offset = HEADER_SIZE;
        loop {
            if block_rest(offset) < record::HEADER_SIZE {
                offset = block_end(offset);
            }
            let Some((record, payload)) = reader.record_at(offset)? else { return Ok(offset) };
            if record.lsn != self.lsn || record.fragment != self.fragment {
                return Ok(offset);
            }
            match record.kind {
                Kind::Padding => {}
                Kind::Part => {
                    let Some(next) = self.fragment.checked_add(1) else { return Ok(offset) };
                    self.commit.extend_from_slice(payload);
                    self.fragment = next;
                }
                Kind::Last => {
                    if self.fragment == 0 {
                        redo(self.lsn, payload)?;
                    } else {
                        self.commit.extend_from_slice(payload);
                        redo(self.lsn, &self.commit)?;
                        self.commit = Vec::new();
                    }
                    self.fragment = 0;
                    self.lsn = self.lsn.next();
                    self.count += 1;
                }
            }
            offset = (offset + record.size()).next_multiple_of(record::ALIGNMENT);
        }
    }

    /// Opens the segment after `reader`'s, where the log goes on in it: its header says that it
    /// begins with the record that did not stand at `end`.
    fn next_segment(&self, reader: &Reader, end: u64) -> Result<Option<Reader>> {
        let Some(number) = reader.number.checked_add(1) else { return Ok(None) };
        let Some(mut next) = Reader::open(self.files, number)? else { return Ok(None) };
        let Some(Ok(header)) = next.header()? else { return Ok(None) };
        if !self.is_ours(&header, number) {
            return Ok(None);
        }
        if (header.first_lsn, header.first_fragment) != (self.lsn, self.fragment) {
            // L3: the segment before was durable up to there.
            return Err(self.damage(reader.number, end, header.first_lsn));
        }
        next.set_salt(self.salt(number));
        Ok(Some(next))
    }

    /// Whether it is the header of the segment `number` of this log.
    fn is_ours(&self, header: &Header, number: u64) -> bool {
        header.file_id == self.files.file_id
            && header.epoch == self.start.epoch
            && header.segment == number
    }

    fn salt(&self, number: u64) -> Salt {
        Salt::new(&self.files.file_id, self.start.epoch, number)
    }

    /// The record at that place was acknowledged and is not whole: what comes after, here the
    /// commit `found`, proves it.
    fn damage(&self, segment: u64, offset: u64, found: Lsn) -> Error {
        let place = (segment, offset);
        self.files.corruption(place, Promise::LogRecord, self.lsn.0, found.0).into()
    }

    /// The log ends at `end` in `reader`'s segment: an error if something proves that it does not.
    fn prove_torn(&self, reader: &mut Reader, end: u64) -> Result<()> {
        let (lsn, number) = (self.lsn, reader.number);
        // L2: the commit before ended its durable write with padding up to the block's end, here.
        let padding = self.fragment == 0 && block_rest(end) > 0;
        let needed = if padding { lsn.previous() } else { lsn };
        let most = lsn.0.saturating_add(reader.end() / record::HEADER_SIZE);
        let proof = |r: &record::Record| r.lsn >= lsn && r.lsn.0 <= most && r.durable_lsn >= needed;
        if let Some((_, later)) = reader.find(self.files, end, &proof)? {
            return Err(self.damage(number, end, later.lsn));
        }
        for later in numbers(self.files)?.into_iter().filter(|later| *later > number) {
            let Some(mut next) = Reader::open(self.files, later)? else { continue };
            if let Some(Ok(header)) = next.header()?
                && self.is_ours(&header, later)
            {
                return Err(self.damage(number, end, header.first_lsn));
            }
            // L3: no record comes before its segment's header. Every record since the start says
            // that what was before the start is durable.
            next.set_salt(self.salt(later));
            let known = self.start.lsn.previous();
            let ours = |r: &record::Record| r.lsn >= lsn && r.durable_lsn >= known;
            if let Some((offset, _)) = next.find(self.files, HEADER_SIZE, &ours)? {
                let place = (later, 0);
                let promise = Promise::LogStart;
                return Err(self.files.corruption(place, promise, HEADER_SIZE, offset).into());
            }
        }
        Ok(())
    }
}
