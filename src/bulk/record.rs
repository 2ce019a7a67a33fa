//! Records on their way into a new file, as they wait in memory and in the spill file.
//!
//! ```text
//! key_len    LEB128
//! value_len  LEB128, plus 1; 0: the key is removed
//! key, value
//! ```
//!
//! A block begins with records of input 0. What follows a key length of 65,536, which no record has,
//! is the number of another input, in LEB128, and then records of that one.
//!
//! Nothing of this outlives the run that wrote it. Knows nothing of files or of pages.

/// A record of the input: the value, or that the key is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Incoming<'a> {
    pub(super) key: &'a [u8],
    pub(super) value: Option<&'a [u8]>,
}

/// What says that an input's number follows: 65,536 as LEB128.
const SWITCH: [u8; 3] = [0x80, 0x80, 0x04];
/// Bytes that [`put_switch`] adds at most.
pub(super) const SWITCH_LEN_MAX: usize = SWITCH.len() + 5;

/// The records that follow are of this input.
pub(super) fn put_switch(block: &mut Vec<u8>, input: u32) {
    block.extend_from_slice(&SWITCH);
    put_number(block, input.into());
}

/// The records of a block, each with the number of its input and with its place. `None` in place of
/// a record, and no end after that, if the bytes are no records.
#[derive(Debug)]
pub(super) struct Records<'a> {
    block: &'a [u8],
    rest: &'a [u8],
    pub(super) input: u32,
}

impl<'a> Records<'a> {
    pub(super) fn of(block: &'a [u8]) -> Records<'a> {
        Records { block, rest: block, input: 0 }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Option<(usize, Incoming<'a>)>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        while let Some(after) = self.rest.strip_prefix(&SWITCH) {
            let Some((input, after)) = number(after) else { return Some(None) };
            let Ok(input) = u32::try_from(input) else { return Some(None) };
            (self.input, self.rest) = (input, after);
        }
        if self.rest.is_empty() {
            return None;
        }
        let place = self.block.len() - self.rest.len();
        let Some((record, after)) = Incoming::decode(self.rest) else { return Some(None) };
        self.rest = after;
        Some(Some((place, record)))
    }
}

impl<'a> Incoming<'a> {
    fn value_field(&self) -> u64 {
        self.value.map_or(0, |value| value.len() as u64 + 1)
    }

    /// Bytes that [`Incoming::encode`] adds.
    #[inline]
    pub(super) fn encoded_len(&self) -> usize {
        let body = self.key.len() + self.value.map_or(0, <[u8]>::len);
        number_len(self.key.len() as u64) + number_len(self.value_field()) + body
    }

    /// Adds it to a block.
    #[inline]
    pub(super) fn encode(&self, block: &mut Vec<u8>) {
        put_number(block, self.key.len() as u64);
        put_number(block, self.value_field());
        block.extend_from_slice(self.key);
        block.extend_from_slice(self.value.unwrap_or_default());
    }

    /// The record that `bytes` begin with, and the bytes after it.
    #[inline]
    pub(super) fn decode(bytes: &'a [u8]) -> Option<(Incoming<'a>, &'a [u8])> {
        let (key_len, bytes) = number(bytes)?;
        let (value_field, bytes) = number(bytes)?;
        let (key, bytes) = bytes.split_at_checked(key_len)?;
        match value_field.checked_sub(1) {
            None => Some((Incoming { key, value: None }, bytes)),
            Some(len) => {
                let (value, bytes) = bytes.split_at_checked(len)?;
                Some((Incoming { key, value: Some(value) }, bytes))
            }
        }
    }
}

fn number_len(number: u64) -> usize {
    (64 - (number | 1).leading_zeros() as usize).div_ceil(7)
}

#[inline]
fn put_number(block: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        block.push(0x80 | (number & 0x7f) as u8);
        number >>= 7;
    }
    block.push((number & 0x7f) as u8);
}

#[inline]
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    if first < 0x80 {
        return Some((first.into(), rest));
    }
    let mut number = usize::from(first & 0x7f);
    for (i, &byte) in rest.iter().take(8).enumerate() {
        number |= usize::from(byte & 0x7f) << (7 * (i + 1));
        if byte < 0x80 {
            return Some((number, rest.get(i + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Incoming, Records, put_switch};

    #[test]
    fn records_have_the_number_of_their_input() {
        let mut block = Vec::new();
        let record = Incoming { key: &[1; 128], value: Some(b"value") };
        record.encode(&mut block);
        put_switch(&mut block, 7);
        put_switch(&mut block, u32::MAX);
        record.encode(&mut block);
        let mut records = Records::of(&block);
        assert_eq!(records.next(), Some(Some((0, record))));
        assert_eq!(records.input, 0);
        let second = record.encoded_len() + 4 + 8;
        assert_eq!(records.next(), Some(Some((second, record))));
        assert_eq!(records.input, u32::MAX);
        assert_eq!(records.next(), None);
        block.pop();
        assert_eq!(Records::of(&block).nth(1), Some(None));
        assert_eq!(Records::of(&[0x80, 0x80, 0x04]).next(), Some(None));
        let too_large = [0x80, 0x80, 0x04, 0xff, 0xff, 0xff, 0xff, 0x7f];
        assert_eq!(Records::of(&too_large).next(), Some(None));
    }

    #[test]
    fn every_length_survives_the_round_trip() {
        let bytes = vec![7_u8; 70_000];
        for key_len in [0, 1, 127, 128, 16_383, 16_384, 65_535] {
            for value_len in [None, Some(0), Some(126), Some(127), Some(128), Some(70_000)] {
                let value = value_len.map(|len: usize| &bytes[..len]);
                let record = Incoming { key: &bytes[..key_len], value };
                let mut block = Vec::new();
                record.encode(&mut block);
                assert_eq!(block.len(), record.encoded_len());
                assert_eq!(Incoming::decode(&block), Some((record, &[][..])));
                block.pop();
                assert_eq!(Incoming::decode(&block), None);
            }
        }
        assert_eq!(Incoming::decode(&[0xff; 20]), None);
    }
}
