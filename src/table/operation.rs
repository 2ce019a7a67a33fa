//! Operations as they stand in the payload of a commit in the log.
//!
//! ```text
//! OFFSET SIZE NAME
//!      0    1 kind        1 insert, 2 remove, 3 set metadata
//!      1    2 key_len     0 for metadata
//!      3    4 value_len   0 for a removal
//!      7      key, then value
//! ```
//!
//! Knows nothing of the table.

use crate::error::{Fault, Promise};
use crate::page::{get_u16, get_u32};

const INSERT: u8 = 1;
const REMOVE: u8 = 2;
const SET_METADATA: u8 = 3;

/// Bytes of an operation besides key and value.
pub(crate) const HEADER_SIZE: usize = 7;

/// One change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation<'a> {
    Insert { key: &'a [u8], value: &'a [u8] },
    Remove { key: &'a [u8] },
    SetMetadata { metadata: &'a [u8] },
}

impl<'a> Operation<'a> {
    fn parts(self) -> (u8, &'a [u8], &'a [u8]) {
        match self {
            Operation::Insert { key, value } => (INSERT, key, value),
            Operation::Remove { key } => (REMOVE, key, &[]),
            Operation::SetMetadata { metadata } => (SET_METADATA, &[], metadata),
        }
    }

    /// Its key and its value, empty where it has none.
    pub(crate) fn key_and_value(self) -> (&'a [u8], &'a [u8]) {
        let (_, key, value) = self.parts();
        (key, value)
    }

    /// Bytes that it takes in a payload.
    pub(crate) fn len(self) -> usize {
        let (_, key, value) = self.parts();
        HEADER_SIZE + key.len() + value.len()
    }

    /// The header that goes before key and value. Lengths were checked before.
    pub(crate) fn header(self) -> [u8; HEADER_SIZE] {
        let (kind, key, value) = self.parts();
        let [k0, k1] = u16::try_from(key.len()).expect("a key's length was checked").to_le_bytes();
        let value_len = u32::try_from(value.len()).expect("a value's length was checked");
        let [v0, v1, v2, v3] = value_len.to_le_bytes();
        [kind, k0, k1, v0, v1, v2, v3]
    }

    /// Adds its bytes to a payload.
    pub(crate) fn encode(self, payload: &mut Vec<u8>) {
        let (_, key, value) = self.parts();
        payload.reserve(HEADER_SIZE + key.len() + value.len());
        payload.extend_from_slice(&self.header());
        payload.extend_from_slice(key);
        payload.extend_from_slice(value);
    }

    /// Reads the operation that `payload` begins with, and what follows it.
    pub(crate) fn decode(payload: &'a [u8]) -> Result<(Operation<'a>, &'a [u8]), Fault> {
        let fault = |expected: usize| {
            Fault::new(Promise::LogOperation, expected as u64, payload.len() as u64)
        };
        let header = payload.get(..HEADER_SIZE).ok_or_else(|| fault(HEADER_SIZE))?;
        let key_len = usize::from(get_u16(header, 1));
        let value_len = get_u32(header, 3) as usize;
        let end = HEADER_SIZE + key_len + value_len;
        let body = payload.get(HEADER_SIZE..end).ok_or_else(|| fault(end))?;
        let rest = payload.get(end..).unwrap_or_default();
        let (key, value) = body.split_at_checked(key_len).ok_or_else(|| fault(end))?;
        let operation = match header.first() {
            Some(&INSERT) => Operation::Insert { key, value },
            Some(&REMOVE) if value_len == 0 => Operation::Remove { key },
            Some(&SET_METADATA)
                if key_len == 0 && value_len <= crate::page::meta::METADATA_LEN_MAX =>
            {
                Operation::SetMetadata { metadata: value }
            }
            kind => {
                let found = kind.copied().unwrap_or_default().into();
                return Err(Fault::new(Promise::LogOperation, 1, found));
            }
        };
        Ok((operation, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::Operation;

    #[test]
    fn a_payload_survives_the_round_trip_and_no_cut_does_harm() {
        let operations = [
            Operation::Insert { key: b"k", value: b"value" },
            Operation::Remove { key: b"" },
            Operation::SetMetadata { metadata: b"mine" },
        ];
        let mut payload = Vec::new();
        operations.iter().for_each(|operation| operation.encode(&mut payload));
        let mut rest = payload.as_slice();
        for operation in operations {
            let (found, after) = Operation::decode(rest).unwrap();
            assert_eq!(found, operation);
            rest = after;
        }
        assert!(rest.is_empty());
        for cut in 0..13 {
            assert!(Operation::decode(&payload[..cut]).is_err(), "cut at {cut}");
        }
        assert!(Operation::decode(&[9, 0, 0, 0, 0, 0, 0]).is_err());
    }
}
