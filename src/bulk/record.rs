//! Records on their way into a new file, as they wait in memory and in the spill file.
//!
//! ```text
//! key_len    LEB128
//! value_len  LEB128, plus 1; 0: the key is removed
//! key, value
//! ```
//!
//! Nothing of this outlives the run that wrote it. Knows nothing of files or of pages.

/// A record of the input: the value, or that the key is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Incoming<'a> {
    pub(super) key: &'a [u8],
    pub(super) value: Option<&'a [u8]>,
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
    use super::Incoming;

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
