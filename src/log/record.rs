//! One record of the log <-> bytes. Knows nothing of files.
//!
//! A record is a header and its payload, at an offset that is a multiple of 8:
//!
//! ```text
//! OFFSET SIZE NAME
//!      0    4 crc           CRC-32 of the salt, the other fields and the payload
//!      4    3 header_crc    low 24 bits of the CRC-32 of the salt and the fields below
//!      7    1 kind          0: the chain goes on; 1: last of its chain; 2: padding
//!      8    4 len           bytes of payload
//!     12    4 fragment      its place in the chain of its commit, from 0
//!     16    8 lsn           the commit that it belongs to; for padding, the one to come
//!     24    8 durable_lsn   the last commit known durable when it was appended
//! ```
//!
//! All numbers are little-endian. The seed of both checksums, the salt, is the CRC-32 of the segment
//! header's bytes 16 to 55: file id, epoch, segment number (L1). A commit is never numbered 0, so
//! zeros are no record whatever the salt.
//!
//! By `header_crc` a header proves itself. Values may look like headers by the thousand, each with
//! a payload to the segment's end; who searches for records sums one look-alike in 2^24, whatever
//! was written, since the salt has random bits. Both checksums stand before the bytes that they
//! cover. Behind them, `header_crc` would cancel its own 24 bits in `crc`, which goes on over it,
//! and that would know only 8 bits of the fields: the CRC of bytes that end in their own CRC is a
//! constant.
//!
//! Where a record may stand, by rule (LevelDB's rule, with the block of a disk):
//!
//! - a header never crosses a block boundary: fewer than 32 bytes left in a block are zeros that
//!   readers skip without a look;
//! - a durable write fills its last block with padding, a record of zeros;
//! - a record of kind 0 ends exactly at the end of its segment: that is the only place where a
//!   chain is cut. It is not cut where fewer than 40 bytes are left; they are padded.

use std::mem::{offset_of, size_of};

use super::{Epoch, Lsn};
use crate::checksum::crc32;
use crate::mutant::{Mutant, mutant};

/// Bytes of a record's header.
pub(crate) const HEADER_SIZE: u64 = 32;
/// The same, for slices in memory.
pub(crate) const HEADER_LEN: usize = 32;
/// Records begin at multiples of this.
pub(crate) const ALIGNMENT: u64 = 8;
/// The same, for slices in memory.
pub(crate) const ALIGNMENT_LEN: usize = 8;
/// The least that must be left of a segment for a commit's record to begin there.
pub(crate) const CUT_MIN: u64 = HEADER_SIZE + ALIGNMENT;

/// The header as it stands in the file.
#[repr(C)]
pub(crate) struct Layout {
    crc: [u8; 4],
    header_crc: [u8; 3],
    kind: u8,
    len: [u8; 4],
    fragment: [u8; 4],
    lsn: [u8; 8],
    durable_lsn: [u8; 8],
}

const _: () = assert!(size_of::<Layout>() == HEADER_LEN);
const _: () = assert!(HEADER_SIZE == 32 && HEADER_SIZE.is_multiple_of(ALIGNMENT));
const _: () = assert!(offset_of!(Layout, crc) == 0);
const _: () = assert!(offset_of!(Layout, header_crc) == 4);
const _: () = assert!(offset_of!(Layout, kind) == 7);
const _: () = assert!(offset_of!(Layout, len) == 8);
const _: () = assert!(offset_of!(Layout, fragment) == 12);
const _: () = assert!(offset_of!(Layout, lsn) == 16);
const _: () = assert!(offset_of!(Layout, durable_lsn) == 24);

/// The seed of the checksums of one segment's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Salt(u32);

impl Salt {
    /// The salt of the segment `segment` of the log `epoch` of the file `file_id`.
    pub(crate) fn new(file_id: &[u8; 16], epoch: Epoch, segment: u64) -> Salt {
        let sum = crc32(0, file_id);
        let sum = crc32(sum, &epoch.counter.to_le_bytes());
        let sum = crc32(sum, &epoch.random.to_le_bytes());
        Salt(crc32(sum, &segment.to_le_bytes()))
    }
}

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A part of a commit that goes on in the next segment.
    Part,
    /// The last or only part of a commit.
    Last,
    /// Zeros up to the end of a block.
    Padding,
}

impl Kind {
    fn to_byte(self) -> u8 {
        match self {
            Kind::Part => 0,
            Kind::Last => 1,
            Kind::Padding => 2,
        }
    }

    fn from_byte(byte: u8) -> Option<Kind> {
        match byte {
            0 => Some(Kind::Part),
            1 => Some(Kind::Last),
            2 => Some(Kind::Padding),
            _ => None,
        }
    }
}

/// A record's header, without its checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    /// Bytes of payload.
    pub(crate) len: u32,
    /// The commit, counted from 1.
    pub(crate) lsn: Lsn,
    /// The last commit known durable.
    pub(crate) durable_lsn: Lsn,
    /// The place in the chain.
    pub(crate) fragment: u32,
    /// What it is.
    pub(crate) kind: Kind,
}

/// The first `N` of `bytes`, which move on.
pub(super) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

impl Record {
    /// The header at the front of `bytes`, if one stands there by its own checksum. That of the
    /// whole record is not looked at; `verifies` does that.
    pub(crate) fn decode(bytes: &[u8], salt: Salt) -> Option<Record> {
        // The fields first: few of what is no header has possible ones, and comparing costs less.
        let record = Record::fields(bytes)?;
        let header = bytes.first_chunk()?;
        (header[4..7] == header_crc(header, salt)).then_some(record)
    }

    /// The fields at the front of `bytes`, if a header could have them; no checksum is looked at.
    pub(super) fn fields(bytes: &[u8]) -> Option<Record> {
        let mut rest = bytes;
        let _crc: [u8; 4] = take(&mut rest)?;
        let _header_crc: [u8; 3] = take(&mut rest)?;
        let [kind] = take(&mut rest)?;
        let kind = Kind::from_byte(kind)?;
        let len = u32::from_le_bytes(take(&mut rest)?);
        let fragment = u32::from_le_bytes(take(&mut rest)?);
        let lsn = Lsn(u64::from_le_bytes(take(&mut rest)?));
        let durable_lsn = Lsn(u64::from_le_bytes(take(&mut rest)?));
        // A commit is not known durable before it is appended; this bars zeros, too.
        if durable_lsn < lsn {
            Some(Record { len, lsn, durable_lsn, fragment, kind })
        } else {
            None
        }
    }

    /// Bytes from the header's start to the payload's end.
    pub(crate) fn size(&self) -> u64 {
        HEADER_SIZE + u64::from(self.len)
    }

    /// Puts the header at the end of `buffer`, without its checksums: the payload comes next, then
    /// [`seal`].
    pub(crate) fn encode(&self, buffer: &mut Vec<u8>) {
        let mut header = [0; HEADER_LEN];
        header[7] = self.kind.to_byte();
        header[8..12].copy_from_slice(&self.len.to_le_bytes());
        header[12..16].copy_from_slice(&self.fragment.to_le_bytes());
        header[16..24].copy_from_slice(&self.lsn.0.to_le_bytes());
        header[24..32].copy_from_slice(&self.durable_lsn.0.to_le_bytes());
        buffer.extend_from_slice(&header);
    }
}

/// The checksum of a header's fields, those behind it.
fn header_crc(header: &[u8; HEADER_LEN], salt: Salt) -> [u8; 3] {
    let [low @ .., _] = crc32(salt.0, &header[7..]).to_le_bytes();
    low
}

/// Writes the checksums of the record that is all of `bytes`: header and payload, nothing after.
pub(crate) fn seal(bytes: &mut [u8], salt: Salt) {
    let header = bytes.first_chunk_mut().expect("a record has a header");
    let sum = header_crc(header, salt);
    header[4..7].copy_from_slice(&sum);
    let (crc, rest) = bytes.split_first_chunk_mut::<4>().expect("a record has a header");
    *crc = checksum(salt, rest).to_le_bytes();
}

/// Whether `bytes`, header and payload and nothing after, bear the checksum of the record.
pub(crate) fn verifies(bytes: &[u8], salt: Salt) -> bool {
    bytes
        .split_first_chunk::<4>()
        .is_some_and(|(crc, rest)| u32::from_le_bytes(*crc) == checksum(salt, rest))
}

fn checksum(salt: Salt, bytes: &[u8]) -> u32 {
    let sum = crc32(salt.0, bytes);
    if mutant(Mutant::NestedCrc) { crc32(sum, &sum.to_le_bytes()) } else { sum }
}
