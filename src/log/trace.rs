//! One segment as it stands, record by record, for those who show it: without the sequence and the
//! proofs that `read` insists on. Writes nothing.

use super::reader::Reader;
use super::record::{self, Record, Salt};
use super::segment::{HEADER_SIZE, Header};
use super::{Epoch, LogFiles, block_end, block_rest};
use crate::error::{Error, Result};
use crate::storage::OpenMode;

pub(crate) use super::record::{HEADER_LEN as RECORD_HEADER_LEN, Kind as RecordKind};
pub(crate) use super::segment::BadHeader;
pub(crate) use super::survey::numbers;

/// The fields of a segment's header: name, offset, size.
pub(crate) const SEGMENT_FIELDS: [(&str, usize, usize); 12] = [
    ("checksum", 0, 4),
    ("version", 4, 4),
    ("magic", 8, 8),
    ("file_id", 16, 16),
    ("epoch_counter", 32, 8),
    ("epoch_random", 40, 8),
    ("segment", 48, 8),
    ("first_lsn", 56, 8),
    ("first_fragment", 64, 4),
    ("reserved", 68, 4),
    ("segment_size", 72, 8),
    ("rest", 80, 4016),
];

/// The fields of a record's header.
pub(crate) const RECORD_FIELDS: [(&str, usize, usize); 7] = [
    ("crc", 0, 4),
    ("header_crc", 4, 3),
    ("kind", 7, 1),
    ("len", 8, 4),
    ("fragment", 12, 4),
    ("lsn", 16, 8),
    ("durable_lsn", 24, 8),
];

/// A segment's header and where its records end.
#[derive(Debug)]
pub(crate) struct SegmentTrace {
    /// Bytes of the file.
    pub(crate) file_len: u64,
    /// `None`: shorter than a header.
    pub(crate) header: Option<std::result::Result<Header, BadHeader>>,
    /// The first place where a record could stand and none verifies.
    pub(crate) end: u64,
    /// How many verified.
    pub(crate) records: u64,
}

/// Walks the records of a segment (of the epoch in its header, or of the one given where it has
/// none) and hands each to `each`, with its offset, until one does not
/// verify or `each` says `false`. `None` if there is no such segment.
pub(crate) fn trace(
    files: &LogFiles,
    epoch: Epoch,
    number: u64,
    each: &mut dyn FnMut(u64, &Record, &[u8]) -> bool,
) -> Result<Option<SegmentTrace>> {
    let Some(mut reader) = Reader::open(files, number)? else { return Ok(None) };
    let file_len = reader.end();
    let header = reader.header()?;
    let epoch = match &header {
        Some(Ok(header)) => header.epoch,
        _ => epoch,
    };
    reader.set_salt(Salt::new(&files.file_id, epoch, number));
    let (mut offset, mut records) = (HEADER_SIZE, 0);
    loop {
        if block_rest(offset) < record::HEADER_SIZE {
            offset = block_end(offset);
        }
        let Some((record, payload)) = reader.record_at(offset)? else { break };
        records += 1;
        if !each(offset, &record, payload) {
            break;
        }
        offset = (offset + record.size()).next_multiple_of(record::ALIGNMENT);
    }
    Ok(Some(SegmentTrace { file_len, header, end: offset, records }))
}

/// The first `len` bytes of a segment, as many as it has.
pub(crate) fn bytes(files: &LogFiles, number: u64, len: u64) -> Result<Vec<u8>> {
    let path = files.segment_path(number);
    let file = files.storage.open(&path, OpenMode::Read);
    let file = file.map_err(|e| Error::io("open", &path, e))?;
    let all = file.len().map_err(|e| Error::io("read", &path, e))?;
    let mut bytes = vec![0; usize::try_from(all.min(len)).unwrap_or_default()];
    file.read_exact_at(&mut bytes, 0).map_err(|e| Error::io("read", &path, e))?;
    Ok(bytes)
}
