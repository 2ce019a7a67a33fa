//! Records: a key and its value as they stand in a bucket or overflow page.
//!
//! ```text
//! first byte  what follows                                                   it is
//! 0x00–0xfd   value_len u8 (0xff: then u16), key, value                      key_len in the first byte
//! 0xff        key_len u16, value_len u16, key, value                         a longer key
//! 0xfe        key_len u16, value_len u32, place 5 bytes, checksum u32, key   a large record
//! ```
//!
//! The value of a *large record* stands in the value area, at `place` × 64 bytes. A key of more than
//! 253 bytes stands behind it there, without a gap; in the page there is then the key's hash, a u64,
//! in the key's place. The checksum is the CRC-32 of all that stands in the value area. Knows
//! nothing of pages.

use super::{get_u16, get_u32, get_u64};

const LARGE: u8 = 0xfe;
const LONG_KEY: u8 = 0xff;
const LONG_VALUE: u8 = 0xff;

/// Bytes of a large record in its page before the key, or the hash that stands for it.
pub(crate) const LARGE_SIZE: usize = 16;
/// The longest key that a large record keeps in its page.
pub(crate) const SHORT_KEY_MAX: usize = 0xfd;
/// The longest value whose length is one byte.
const SHORT_VALUE_MAX: usize = 0xfe;
/// What values begin at a multiple of, in bytes: a slice of numbers or of vectors is then a cast.
pub(crate) const GRAIN_SIZE: u64 = 64;
/// Places are below this: they have 40 bits.
pub(crate) const PLACE_MAX: u64 = 1 << 40;

/// Where the value of a record is that is too large for its page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LargeRecord {
    /// Of a long key; 0 if the key stands in the page.
    pub(crate) hash: u64,
    pub(crate) key_len: u16,
    pub(crate) value_len: u32,
    /// In grains from the file's start.
    pub(crate) place: u64,
    pub(crate) checksum: u32,
}

impl LargeRecord {
    /// Whether the key stands behind the value, and its hash in the page.
    #[inline]
    pub(crate) fn has_long_key(&self) -> bool {
        usize::from(self.key_len) > SHORT_KEY_MAX
    }

    /// Bytes that it takes in the value area.
    #[inline]
    pub(crate) fn len(&self) -> u64 {
        let key_len = if self.has_long_key() { self.key_len } else { 0 };
        u64::from(self.value_len) + u64::from(key_len)
    }

    /// Grains that it takes in the value area.
    pub(crate) fn grain_count(&self) -> u64 {
        self.len().div_ceil(GRAIN_SIZE)
    }

    /// Where it begins in the file, in bytes.
    #[inline]
    pub(crate) fn offset(&self) -> u64 {
        self.place.saturating_mul(GRAIN_SIZE)
    }

    /// The page that it begins in.
    pub(crate) fn first_page(&self, page_size: usize) -> u64 {
        self.offset() / page_size as u64
    }

    /// One more than the last page that it touches.
    pub(crate) fn end_page(&self, page_size: usize) -> u64 {
        (self.offset() + self.len()).div_ceil(page_size as u64)
    }
}

/// A record as read from a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    Inline {
        key: &'a [u8],
        value: &'a [u8],
    },
    /// With its key, or none if that is long.
    Large(LargeRecord, &'a [u8]),
}

impl<'a> Record<'a> {
    /// Reads the record that `tail`, the rest of a page, begins with; `None` if it does not fit, or
    /// has not the shortest header: what is read takes [`Record::encoded_len`] bytes.
    #[inline]
    pub(crate) fn decode(tail: &'a [u8]) -> Option<Record<'a>> {
        let first = *tail.first()?;
        let (header_len, key_len, value_len) = match first {
            LARGE => return LargeRecord::decode(tail),
            LONG_KEY => (5, long(get_u16(tail, 1), SHORT_KEY_MAX)?, usize::from(get_u16(tail, 3))),
            _ => match *tail.get(1)? {
                LONG_VALUE => (4, usize::from(first), long(get_u16(tail, 2), SHORT_VALUE_MAX)?),
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
            Record::Large(large, _) => large_len(large.key_len.into()),
        }
    }

    /// Its key, unless that is a long one behind a large record's value.
    pub(crate) fn key_in_page(&self) -> Option<&'a [u8]> {
        match *self {
            Record::Large(large, _) if large.has_long_key() => None,
            Record::Inline { key, .. } | Record::Large(_, key) => Some(key),
        }
    }

    /// Calls `write` with the bytes of the record in two or three parts.
    pub(crate) fn with_parts<R>(&self, write: impl FnOnce(&[&[u8]]) -> R) -> R {
        match *self {
            Record::Inline { key, value } => {
                let (header, len) = inline_header(key.len(), value.len());
                write(&[header.get(..len).unwrap_or_default(), key, value])
            }
            Record::Large(large, _) if large.has_long_key() => {
                write(&[&large.encode(), &large.hash.to_le_bytes()])
            }
            Record::Large(large, key) => write(&[&large.encode(), key]),
        }
    }
}

/// The value of the record that `tail` begins with, if it has this key and the lengths of both are one
/// byte each: that of most records, in few instructions.
#[inline(always)]
pub(crate) fn short_value<'a>(tail: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let (&[key_len, value_len], body) = tail.split_first_chunk()?;
    if usize::from(key_len) != key.len() || key_len >= LARGE || value_len == LONG_VALUE {
        return None;
    }
    let (found, rest) = body.split_at_checked(key.len())?;
    let value = rest.get(..value_len.into())?;
    is_same(found, key).then_some(value)
}

/// Whether two keys of one length are the same: without a call where they have 8 to 16 bytes.
#[inline(always)]
pub(super) fn is_same(a: &[u8], b: &[u8]) -> bool {
    if a.len() > 16 {
        return a == b;
    }
    match (a.first_chunk::<8>(), a.last_chunk::<8>(), b.first_chunk(), b.last_chunk()) {
        (Some(a), Some(a_end), Some(b), Some(b_end)) => a == b && a_end == b_end,
        _ => a == b,
    }
}

/// A length in two bytes: one that a byte could not say.
fn long(len: u16, short_max: usize) -> Option<usize> {
    Some(usize::from(len)).filter(|len| *len > short_max)
}

impl LargeRecord {
    fn decode(tail: &[u8]) -> Option<Record<'_>> {
        let (head, rest) = tail.split_at_checked(LARGE_SIZE)?;
        let large = LargeRecord {
            hash: 0,
            key_len: get_u16(head, 1),
            value_len: get_u32(head, 3),
            place: get_u64(head, 7) & (PLACE_MAX - 1),
            checksum: get_u32(head, 12),
        };
        if large.has_long_key() {
            let hash = get_u64(rest.get(..8)?, 0);
            return Some(Record::Large(LargeRecord { hash, ..large }, &[]));
        }
        Some(Record::Large(large, rest.get(..large.key_len.into())?))
    }

    fn encode(&self) -> [u8; LARGE_SIZE] {
        assert!(self.place < PLACE_MAX);
        let mut bytes = [0; LARGE_SIZE];
        super::put(&mut bytes, 0, &[LARGE]);
        super::put(&mut bytes, 1, &self.key_len.to_le_bytes());
        super::put(&mut bytes, 3, &self.value_len.to_le_bytes());
        super::put(&mut bytes, 7, &self.place.to_le_bytes());
        super::put(&mut bytes, 12, &self.checksum.to_le_bytes());
        bytes
    }
}

/// Bytes that a large record takes in its page.
#[inline]
pub(crate) fn large_len(key_len: usize) -> usize {
    LARGE_SIZE + if key_len > SHORT_KEY_MAX { 8 } else { key_len }
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
                while encoded.pop().is_some() {
                    assert_eq!(Record::decode(&encoded), None, "short: {key_len}, {value_len}");
                }
            }
        }
    }

    /// A length that a shorter header could say made a record longer than it said that it was: a copy
    /// of it ended in bytes of the record beside it.
    #[test]
    fn a_header_that_is_not_the_shortest_is_refused() {
        let body = [7; 600];
        for (key_len, is_sound) in [(0, false), (0xfd, false), (0xfe, true), (300, true)] {
            let [k0, k1] = u16::to_le_bytes(key_len);
            let bytes = [&[0xff, k0, k1, 9, 0], &body[..]].concat();
            assert_eq!(Record::decode(&bytes).is_some(), is_sound, "a key of {key_len}");
        }
        for (value_len, is_sound) in [(0, false), (0xfe, false), (0xff, true), (300, true)] {
            let [v0, v1] = u16::to_le_bytes(value_len);
            let bytes = [&[5, 0xff, v0, v1], &body[..]].concat();
            assert_eq!(Record::decode(&bytes).is_some(), is_sound, "a value of {value_len}");
        }
    }

    #[test]
    fn a_large_record_survives_the_round_trip() {
        let key = [9; 300];
        let place = (1 << 40) - 1;
        for key_len in [0, 1, 0xfd, 0xfe, 300, 65_535] {
            let is_long = key_len > 0xfd;
            let hash = if is_long { u64::MAX - 3 } else { 0 };
            let key_len = u16::try_from(key_len).unwrap();
            let large = LargeRecord { hash, key_len, value_len: 70, place, checksum: 5 };
            let key = if is_long { &[] } else { &key[..usize::from(key_len)] };
            let record = Record::Large(large, key);
            let mut encoded = encode(&record);
            assert_eq!(encoded.len(), record.encoded_len());
            assert_eq!(Record::decode(&encoded), Some(record));
            encoded.pop();
            assert_eq!(Record::decode(&encoded), None, "a byte short: {key_len}");
            let beside = if is_long { u64::from(key_len) } else { 0 };
            assert_eq!(large.len(), 70 + beside);
            assert_eq!(large.grain_count(), (70 + beside).div_ceil(64));
            assert_eq!(record.key_in_page(), (!is_long).then_some(key));
        }
    }

    #[test]
    fn a_large_record_knows_its_pages() {
        let at =
            |place, value_len| LargeRecord { hash: 0, key_len: 3, value_len, place, checksum: 0 };
        for (large, pages) in [
            (at(64, 1), 1..2),
            (at(127, 64), 1..2),
            (at(127, 65), 1..3),
            (at(128, 8192), 2..4),
            (at(129, 8192), 2..5),
        ] {
            assert_eq!(large.first_page(4096)..large.end_page(4096), pages);
        }
    }
}
