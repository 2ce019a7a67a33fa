//! Records: a key and its value as they stand in a bucket or overflow page.
//!
//! ```text
//! first byte  what follows                                                     it is
//! 0x00–0xfd   value_len u8 (0xff: then u16), key, value                        key_len in the first byte
//! 0xff        key_len u16, value_len u16, key, value                           a longer key
//! 0xfe        key_len u16, value_len u32, hash u64, page u32, checksum u32     a large record
//! ```
//!
//! A *large record* stands in value pages, key first, then value, without a gap; its slot keeps the
//! full hash, the lengths, the first page, and the CRC-32 of key and value. Knows nothing of pages.

use super::{get_u16, get_u32, get_u64};

const LARGE: u8 = 0xfe;
const LONG_KEY: u8 = 0xff;
const LONG_VALUE: u8 = 0xff;

/// Bytes of a large record's stand-in.
pub(crate) const LARGE_SIZE: usize = 23;

/// What stands in a page for a record that is too large for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LargeRecord {
    pub(crate) hash: u64,
    pub(crate) key_len: u16,
    pub(crate) value_len: u32,
    pub(crate) page: u32,
    pub(crate) checksum: u32,
}

impl LargeRecord {
    /// Bytes of key and value together.
    pub(crate) fn len(&self) -> u64 {
        u64::from(self.key_len) + u64::from(self.value_len)
    }

    /// Pages that it takes.
    pub(crate) fn page_count(&self, page_size: usize) -> u64 {
        self.len().div_ceil(page_size as u64)
    }
}

/// A record as read from a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    Inline { key: &'a [u8], value: &'a [u8] },
    Large(LargeRecord),
}

impl<'a> Record<'a> {
    /// Reads the record that `tail`, the rest of a page, begins with; `None` if it does not fit.
    #[inline]
    pub(crate) fn decode(tail: &'a [u8]) -> Option<Record<'a>> {
        let first = *tail.first()?;
        let (header_len, key_len, value_len) = match first {
            LARGE => return LargeRecord::decode(tail).map(Record::Large),
            LONG_KEY if tail.len() >= 5 => {
                (5, usize::from(get_u16(tail, 1)), usize::from(get_u16(tail, 3)))
            }
            LONG_KEY => return None,
            _ => match *tail.get(1)? {
                LONG_VALUE if tail.len() >= 4 => {
                    (4, usize::from(first), usize::from(get_u16(tail, 2)))
                }
                LONG_VALUE => return None,
                value_len => (2, usize::from(first), usize::from(value_len)),
            },
        };
        let body = tail.get(header_len..header_len + key_len + value_len)?;
        let (key, value) = body.split_at_checked(key_len)?;
        Some(Record::Inline { key, value })
    }

    /// Bytes that it takes in a page.
    pub(crate) fn encoded_len(&self) -> usize {
        match self {
            Record::Inline { key, value } => inline_len(key.len(), value.len()),
            Record::Large(_) => LARGE_SIZE,
        }
    }

    /// Calls `write` with the bytes of the record in two or three parts.
    pub(crate) fn with_parts<R>(&self, write: impl FnOnce(&[&[u8]]) -> R) -> R {
        match *self {
            Record::Inline { key, value } => {
                let (header, len) = inline_header(key.len(), value.len());
                write(&[header.get(..len).unwrap_or_default(), key, value])
            }
            Record::Large(large) => write(&[&large.encode()]),
        }
    }
}

impl LargeRecord {
    fn decode(tail: &[u8]) -> Option<LargeRecord> {
        let bytes = tail.get(..LARGE_SIZE)?;
        Some(LargeRecord {
            key_len: get_u16(bytes, 1),
            value_len: get_u32(bytes, 3),
            hash: get_u64(bytes, 7),
            page: get_u32(bytes, 15),
            checksum: get_u32(bytes, 19),
        })
    }

    fn encode(&self) -> [u8; LARGE_SIZE] {
        let mut bytes = [0; LARGE_SIZE];
        super::put(&mut bytes, 0, &[LARGE]);
        super::put(&mut bytes, 1, &self.key_len.to_le_bytes());
        super::put(&mut bytes, 3, &self.value_len.to_le_bytes());
        super::put(&mut bytes, 7, &self.hash.to_le_bytes());
        super::put(&mut bytes, 15, &self.page.to_le_bytes());
        super::put(&mut bytes, 19, &self.checksum.to_le_bytes());
        bytes
    }
}

/// Bytes that an inline record takes in a page.
#[inline]
pub(crate) fn inline_len(key_len: usize, value_len: usize) -> usize {
    let header_len = match (key_len, value_len) {
        (0..=0xfd, 0..=0xfe) => 2,
        (0..=0xfd, _) => 4,
        _ => 5,
    };
    header_len + key_len + value_len
}

#[allow(clippy::cast_possible_truncation, reason = "inline records are shorter than a page")]
fn inline_header(key_len: usize, value_len: usize) -> ([u8; 5], usize) {
    assert!(key_len + value_len < super::PAGE_SIZE_MAX);
    let [k0, k1] = (key_len as u16).to_le_bytes();
    let [v0, v1] = (value_len as u16).to_le_bytes();
    match (key_len, value_len) {
        (0..=0xfd, 0..=0xfe) => ([k0, v0, 0, 0, 0], 2),
        (0..=0xfd, _) => ([k0, LONG_VALUE, v0, v1, 0], 4),
        _ => ([LONG_KEY, k0, k1, v0, v1], 5),
    }
}

#[cfg(test)]
mod tests {
    use super::{LargeRecord, Record};

    fn encode(record: &Record<'_>) -> Vec<u8> {
        record.with_parts(|parts| parts.concat())
    }

    #[test]
    fn every_length_survives_the_round_trip() {
        let bytes = [7_u8; 1200];
        for key_len in [0, 1, 0xfc, 0xfd, 0xfe, 0xff, 0x100, 600] {
            for value_len in [0, 1, 0xfd, 0xfe, 0xff, 0x100, 600] {
                let record = Record::Inline { key: &bytes[..key_len], value: &bytes[..value_len] };
                let mut encoded = encode(&record);
                assert_eq!(encoded.len(), record.encoded_len());
                assert_eq!(Record::decode(&encoded), Some(record));
                encoded.pop();
                assert_eq!(Record::decode(&encoded), None, "a byte short: {key_len}, {value_len}");
            }
        }
    }

    #[test]
    fn a_large_record_survives_the_round_trip() {
        let large =
            LargeRecord { hash: u64::MAX - 3, key_len: 65_535, value_len: 1, page: 9, checksum: 5 };
        let encoded = encode(&Record::Large(large));
        assert_eq!(Record::decode(&encoded), Some(Record::Large(large)));
        assert_eq!(Record::decode(&encoded[..22]), None);
        assert_eq!(large.page_count(4096), 16);
    }
}
