//! The bytes of one segment, as a reader sees them: through a window, so that memory is bounded,
//! and each record copied, checked and used in that order.
//!
//! Does not know which record should come next: `read` does.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use super::record::{self, ALIGNMENT, Kind, Record, Salt};
use super::segment::{BadHeader, HEADER_SIZE, Header, SEGMENT_SIZE_MAX};
use super::{BLOCK_LEN, BLOCK_SIZE, LogFiles, block_end, block_rest};
use crate::error::{Error, Promise, Result};
use crate::storage::{OpenMode, StorageFile};

/// Bytes read at once, unless a record is longer.
const WINDOW_LEN: u64 = 256 << 10;
/// How many times the length of a segment a search for records may sum, before it is given up: a
/// bound for hostile files. Torn records are summed once, and of what else is none, one in 2^24.
const SEARCH_BUDGET: u64 = 16;

static ZEROS: [u8; BLOCK_LEN] = [0; BLOCK_LEN];

/// A segment that is being read.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) number: u64,
    path: PathBuf,
    file: Arc<dyn StorageFile>,
    /// Where its bytes end: the file's length, or less.
    end: u64,
    /// Where records end, by the header; `end` where there is none.
    segment_size: u64,
    salt: Option<Salt>,
    /// Bytes of records that were summed, be they what they say or not.
    pub(super) summed: u64,
    window: Vec<u8>,
    window_offset: u64,
}

impl Reader {
    /// Opens the segment; `None` if there is none of that number.
    pub(super) fn open(files: &LogFiles, number: u64) -> Result<Option<Reader>> {
        let path = files.segment_path(number);
        let file = match files.storage.open(&path, OpenMode::Read) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io("open", &path, e)),
        };
        let end = file.len().map_err(|e| Error::io("read", &path, e))?.min(SEGMENT_SIZE_MAX);
        let (window, window_offset) = (Vec::new(), 0);
        let (salt, summed) = (None, 0);
        let segment_size = end;
        let reader =
            Reader { number, path, file, end, segment_size, salt, summed, window, window_offset };
        Ok(Some(reader))
    }

    /// How many bytes it has.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Whose records [`Reader::record_at`] takes.
    pub(super) fn set_salt(&mut self, salt: Salt) {
        self.salt = Some(salt);
    }

    /// The header; `None` where the file is shorter than one. Records end where it says.
    pub(super) fn header(&mut self) -> Result<Option<std::result::Result<Header, BadHeader>>> {
        let Some(bytes) = self.bytes(0, HEADER_SIZE)? else { return Ok(None) };
        let Some(block) = bytes.first_chunk() else { return Ok(None) };
        let header = Header::decode(block);
        if let Ok(header) = &header {
            self.segment_size = header.segment_size;
            self.end = self.end.min(header.segment_size);
        }
        Ok(Some(header))
    }

    /// The `len` bytes at `offset`; `None` where the segment is shorter.
    fn bytes(&mut self, offset: u64, len: u64) -> Result<Option<&[u8]>> {
        match offset.checked_add(len) {
            Some(end) if end <= self.end => {}
            _ => return Ok(None),
        }
        let window_end = self.window_offset + self.window.len() as u64;
        if offset < self.window_offset || offset + len > window_end {
            self.fill(offset, len)?;
        }
        let start = usize::try_from(offset - self.window_offset).ok();
        let len = usize::try_from(len).ok();
        let range = start.zip(len).map(|(start, len)| start..start + len);
        Ok(range.and_then(|range| self.window.get(range)))
    }

    /// Moves the window to `offset`; it has `len` bytes at least, which the segment has.
    fn fill(&mut self, offset: u64, len: u64) -> Result<()> {
        let len = len.max(WINDOW_LEN.min(self.end - offset));
        let len = usize::try_from(len)
            .map_err(|_| Error::io("read", &self.path, ErrorKind::OutOfMemory.into()))?;
        self.window.clear();
        self.window.resize(len, 0);
        self.window_offset = offset;
        self.file.read_exact_at(&mut self.window, offset).map_err(|e| {
            self.window.clear();
            Error::io("read", &self.path, e)
        })
    }

    /// The record at `offset`, if one stands there that verifies, and its payload.
    pub(super) fn record_at(&mut self, offset: u64) -> Result<Option<(Record, &[u8])>> {
        let Some((salt, record)) = self.candidate_at(offset)? else { return Ok(None) };
        let segment_size = self.segment_size;
        self.summed = self.summed.saturating_add(record.size());
        let Some(bytes) = self.bytes(offset, record.size())? else { return Ok(None) };
        if !record::verifies(bytes, salt) {
            return Ok(None);
        }
        // What was summed is what is used: the window may have been filled anew.
        let Some(record) = Record::decode(bytes, salt) else { return Ok(None) };
        let Some((_header, payload)) = bytes.split_first_chunk::<{ record::HEADER_LEN }>() else {
            return Ok(None);
        };
        if payload.len() as u64 != u64::from(record.len) {
            return Ok(None);
        }
        // A right checksum proves nothing (I8).
        Ok(ends_well(&record, offset, segment_size).then_some((record, payload)))
    }

    /// The header at `offset`, if one stands there by its own checksum, and the salt of that. Without
    /// a salt there is none.
    fn candidate_at(&mut self, offset: u64) -> Result<Option<(Salt, Record)>> {
        let Some(salt) = self.salt else { return Ok(None) };
        if offset < HEADER_SIZE
            || !offset.is_multiple_of(ALIGNMENT)
            || block_rest_or_whole(offset) < record::HEADER_SIZE
        {
            return Ok(None);
        }
        let (end, segment_size) = (self.end, self.segment_size);
        let Some(bytes) = self.bytes(offset, record::HEADER_SIZE)? else { return Ok(None) };
        let record = Record::decode(bytes, salt).filter(|r| r.size() <= end - offset);
        Ok(record.filter(|r| ends_well(r, offset, segment_size)).map(|record| (salt, record)))
    }

    /// The first record from `offset` on that verifies and that `accept` takes, at any place where
    /// one may stand. Work is bounded: where too much bears the checksum of a header and not that
    /// of a record, that is an error.
    pub(super) fn find(
        &mut self,
        files: &LogFiles,
        mut offset: u64,
        accept: &dyn Fn(&Record) -> bool,
    ) -> Result<Option<(u64, Record)>> {
        let budget = self.end.saturating_mul(SEARCH_BUDGET);
        let before = self.summed;
        offset = offset.max(HEADER_SIZE).next_multiple_of(ALIGNMENT);
        while offset < self.end {
            // A record begins in the block of its header, which is never all zeros. A segment is
            // mostly zeros ahead.
            if block_rest(offset) == 0
                && self.bytes(offset, BLOCK_SIZE)?.is_some_and(|block| *block == ZEROS)
            {
                offset += BLOCK_SIZE;
                continue;
            }
            if let Some((_salt, candidate)) = self.candidate_at(offset)?
                && accept(&candidate)
            {
                if let Some((record, _payload)) = self.record_at(offset)?
                    && accept(&record)
                {
                    return Ok(Some((offset, record)));
                }
                let work = self.summed - before;
                if work > budget {
                    let place = (self.number, offset);
                    return Err(files.corruption(place, Promise::LogRecord, budget, work).into());
                }
            }
            offset += ALIGNMENT;
        }
        Ok(None)
    }
}

/// Whether a record at `offset` ends where one of its kind does.
fn ends_well(record: &Record, offset: u64, segment_size: u64) -> bool {
    let end = offset + record.size();
    match record.kind {
        Kind::Part => end == segment_size && record.len > 0,
        Kind::Last => true,
        Kind::Padding => end == block_end(offset) && record.fragment == 0,
    }
}

/// Bytes from `offset` to the end of its block: a whole block at a boundary.
fn block_rest_or_whole(offset: u64) -> u64 {
    match block_rest(offset) {
        0 => BLOCK_SIZE,
        rest => rest,
    }
}
