//! A segment's header <-> bytes, and the names of segments. Knows nothing of records.
//!
//! The segments of the data file `NAME` are `NAME-wal-` and 16 hexadecimal digits, in its folder.
//! A segment is one block of header, then records. Its header, in a block of its own (F3):
//!
//! ```text
//! OFFSET SIZE NAME
//!      0    4 checksum        CRC-32 of bytes 4 to 4095
//!      4    4 version         of the format: 2
//!      8    8 magic           "SPLITWAL"
//!     16   16 file_id         of the data file
//!     32    8 epoch_counter   which life of the log
//!     40    8 epoch_random    and its unpredictable bits
//!     48    8 segment         its number
//!     56    8 first_lsn       the commit of its first record
//!     64    4 first_fragment  that record's place in the chain of its commit
//!     68    4 reserved        zero
//!     72    8 segment_size    where the segment ends, header included; a file may be shorter
//!     80 4016 reserved        zero
//! ```
//!
//! All numbers are little-endian.

use std::ffi::OsStr;
use std::mem::{offset_of, size_of};

use super::record::take;
use super::{BLOCK_LEN, BLOCK_SIZE, Epoch, Lsn};
use crate::checksum::crc32;

/// Bytes of a segment's header: the first record stands behind it.
pub(crate) const HEADER_SIZE: u64 = BLOCK_SIZE;
const HEADER_LEN: usize = BLOCK_LEN;
const VERSION: u32 = 2;
const MAGIC: [u8; 8] = *b"SPLITWAL";
/// The largest segment: offsets and lengths in it fit 32 bits.
pub(crate) const SEGMENT_SIZE_MAX: u64 = 1 << 31;
/// The smallest: a header and a block of records.
pub(crate) const SEGMENT_SIZE_MIN: u64 = HEADER_SIZE + BLOCK_SIZE;

/// The header as it stands in the file.
#[repr(C)]
pub(crate) struct Layout {
    checksum: [u8; 4],
    version: [u8; 4],
    magic: [u8; 8],
    file_id: [u8; 16],
    epoch_counter: [u8; 8],
    epoch_random: [u8; 8],
    segment: [u8; 8],
    first_lsn: [u8; 8],
    first_fragment: [u8; 4],
    reserved: [u8; 4],
    segment_size: [u8; 8],
    rest: [u8; 4016],
}

const _: () = assert!(size_of::<Layout>() == HEADER_LEN);
const _: () = assert!(offset_of!(Layout, checksum) == 0);
const _: () = assert!(offset_of!(Layout, version) == 4);
const _: () = assert!(offset_of!(Layout, magic) == 8);
const _: () = assert!(offset_of!(Layout, file_id) == 16);
const _: () = assert!(offset_of!(Layout, epoch_counter) == 32);
const _: () = assert!(offset_of!(Layout, epoch_random) == 40);
const _: () = assert!(offset_of!(Layout, segment) == 48);
const _: () = assert!(offset_of!(Layout, first_lsn) == 56);
const _: () = assert!(offset_of!(Layout, first_fragment) == 64);
const _: () = assert!(offset_of!(Layout, reserved) == 68);
const _: () = assert!(offset_of!(Layout, segment_size) == 72);
const _: () = assert!(offset_of!(Layout, rest) == 80);

/// A segment's header, without what is the same in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Whose log.
    pub(crate) file_id: [u8; 16],
    /// Which life of it.
    pub(crate) epoch: Epoch,
    /// Its number.
    pub(crate) segment: u64,
    /// The commit of its first record.
    pub(crate) first_lsn: Lsn,
    /// The place of that record in its chain.
    pub(crate) first_fragment: u32,
    /// Where the segment ends.
    pub(crate) segment_size: u64,
}

/// Why a block is no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadHeader {
    /// The checksum is another than that of the bytes.
    Checksum {
        /// In the block.
        found: u32,
        /// Of the bytes.
        computed: u32,
    },
    /// The checksum is right, and it is a version that this program does not read.
    Version(u32),
    /// The checksum is right, and a field has a value that no writer writes.
    Field,
}

impl Header {
    /// The block of this header.
    pub(crate) fn encode(&self) -> [u8; HEADER_LEN] {
        let mut block = [0; HEADER_LEN];
        block[4..8].copy_from_slice(&VERSION.to_le_bytes());
        block[8..16].copy_from_slice(&MAGIC);
        block[16..32].copy_from_slice(&self.file_id);
        block[32..40].copy_from_slice(&self.epoch.counter.to_le_bytes());
        block[40..48].copy_from_slice(&self.epoch.random.to_le_bytes());
        block[48..56].copy_from_slice(&self.segment.to_le_bytes());
        block[56..64].copy_from_slice(&self.first_lsn.0.to_le_bytes());
        block[64..68].copy_from_slice(&self.first_fragment.to_le_bytes());
        block[72..80].copy_from_slice(&self.segment_size.to_le_bytes());
        let checksum = crc32(0, &block[4..]);
        block[0..4].copy_from_slice(&checksum.to_le_bytes());
        block
    }

    /// The header that `block` holds.
    pub(crate) fn decode(block: &[u8; HEADER_LEN]) -> Result<Header, BadHeader> {
        let found = u32::from_le_bytes([block[0], block[1], block[2], block[3]]);
        let computed = crc32(0, &block[4..]);
        if found != computed {
            return Err(BadHeader::Checksum { found, computed });
        }
        Header::fields(block).ok_or(BadHeader::Field)?
    }

    /// The fields of a block whose checksum is right; `None` never happens for a whole block.
    fn fields(block: &[u8; HEADER_LEN]) -> Option<Result<Header, BadHeader>> {
        let mut rest = block.as_slice();
        let _checksum: [u8; 4] = take(&mut rest)?;
        let version = u32::from_le_bytes(take(&mut rest)?);
        let magic: [u8; 8] = take(&mut rest)?;
        if magic != MAGIC {
            return Some(Err(BadHeader::Field));
        }
        if version != VERSION {
            return Some(Err(BadHeader::Version(version)));
        }
        let file_id = take(&mut rest)?;
        let counter = u64::from_le_bytes(take(&mut rest)?);
        let random = u64::from_le_bytes(take(&mut rest)?);
        let segment = u64::from_le_bytes(take(&mut rest)?);
        let first_lsn = Lsn(u64::from_le_bytes(take(&mut rest)?));
        let first_fragment = u32::from_le_bytes(take(&mut rest)?);
        let reserved: [u8; 4] = take(&mut rest)?;
        let segment_size = u64::from_le_bytes(take(&mut rest)?);
        let header = Header {
            file_id,
            epoch: Epoch { counter, random },
            segment,
            first_lsn,
            first_fragment,
            segment_size,
        };
        let zeros = reserved.iter().chain(rest).all(|byte| *byte == 0);
        let sound = zeros && first_lsn.0 != 0 && is_segment_size(segment_size);
        Some(if sound { Ok(header) } else { Err(BadHeader::Field) })
    }
}

/// Whether a segment may have that size.
pub(crate) fn is_segment_size(size: u64) -> bool {
    (SEGMENT_SIZE_MIN..=SEGMENT_SIZE_MAX).contains(&size) && size.is_multiple_of(BLOCK_SIZE)
}

/// The newest version of the format that this code reads.
pub(crate) fn version_supported() -> u32 {
    VERSION
}

/// What follows the data file's name in the name of a segment.
pub(crate) fn name_suffix(number: u64) -> String {
    format!("-wal-{number:016x}")
}

/// The number of the segment of `data_name` that `name` names, if it names one.
pub(crate) fn number_of(data_name: &OsStr, name: &OsStr) -> Option<u64> {
    let suffix = name.as_encoded_bytes().strip_prefix(data_name.as_encoded_bytes())?;
    let digits = std::str::from_utf8(suffix.strip_prefix(b"-wal-")?).ok()?;
    let number = u64::from_str_radix(digits, 16).ok()?;
    // One spelling only: no sign, no capitals, no other count of digits.
    if name_suffix(number).as_bytes() == suffix { Some(number) } else { None }
}

#[cfg(test)]
mod tests {
    use super::{BadHeader, Header, name_suffix, number_of};
    use crate::log::{Epoch, Lsn};
    use std::ffi::OsStr;

    fn header() -> Header {
        Header {
            file_id: *b"0123456789abcdef",
            epoch: Epoch { counter: 3, random: 0x1122_3344_5566_7788 },
            segment: 9,
            first_lsn: Lsn(77),
            first_fragment: 2,
            segment_size: 1 << 20,
        }
    }

    #[test]
    fn header_round_trip() {
        assert_eq!(Header::decode(&header().encode()), Ok(header()));
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_seen() {
        let block = header().encode();
        for bit in 0..block.len() * 8 {
            let mut bad = block;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(Header::decode(&bad), Err(BadHeader::Checksum { .. })), "bit {bit}");
        }
    }

    #[test]
    fn a_right_checksum_proves_nothing() {
        for change in [
            |h: &mut Header| h.segment_size = 0,
            |h: &mut Header| h.segment_size = u64::MAX,
            |h: &mut Header| h.segment_size = 4096,
            |h: &mut Header| h.segment_size = 8193,
            |h: &mut Header| h.first_lsn = Lsn(0),
        ] {
            let mut bad = header();
            change(&mut bad);
            assert_eq!(Header::decode(&bad.encode()), Err(BadHeader::Field), "{bad:?}");
        }
    }

    #[test]
    fn neither_do_words_that_no_writer_writes() {
        let [older, newer] = [super::VERSION - 1, super::VERSION + 1];
        for (at, bytes, bad) in [
            (4, older.to_le_bytes().as_slice(), BadHeader::Version(older)),
            (4, newer.to_le_bytes().as_slice(), BadHeader::Version(newer)),
            (8, b"SPLITWAX".as_slice(), BadHeader::Field),
            (68, [1].as_slice(), BadHeader::Field),
            (80, [1].as_slice(), BadHeader::Field),
            (4095, [1].as_slice(), BadHeader::Field),
        ] {
            let mut block = header().encode();
            block[at..at + bytes.len()].copy_from_slice(bytes);
            let sum = crate::checksum::crc32(0, &block[4..]);
            block[..4].copy_from_slice(&sum.to_le_bytes());
            assert_eq!(Header::decode(&block), Err(bad), "{at}");
        }
    }

    #[test]
    fn names() {
        assert_eq!(name_suffix(0xab), "-wal-00000000000000ab");
        let number = |name: &str| number_of(OsStr::new("data"), OsStr::new(name));
        assert_eq!(number("data-wal-00000000000000ab"), Some(0xab));
        assert_eq!(number("data-wal-ffffffffffffffff"), Some(u64::MAX));
        for other in [
            "data",
            "data-wal-",
            "data-wal-ab",
            "data-wal-00000000000000AB",
            "data-wal-+0000000000000ab",
            "data-wal-00000000000000abc",
            "data2-wal-00000000000000ab",
            "data-wal-00000000000000a\u{e9}",
        ] {
            assert_eq!(number(other), None, "{other}");
        }
    }
}
