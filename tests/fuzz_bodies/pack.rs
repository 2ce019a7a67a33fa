//! A data file, the segments of its log and operations <-> one short string of bytes: files are
//! mostly zeros, and those are counted.

use super::bytes::Bytes;

/// The most bytes of one file.
const FILE_LEN_MAX: usize = 1 << 18;
const SEGMENTS_MAX: usize = 3;

/// What one input of the target `image` holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Files {
    pub(crate) data: Vec<u8>,
    /// By number.
    pub(crate) log: Vec<(u64, Vec<u8>)>,
    pub(crate) ops: Vec<u8>,
}

impl Files {
    pub(crate) fn pack(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.push(self.log.len() as u8);
        put(&self.data, &mut out);
        for (number, segment) in &self.log {
            out.extend_from_slice(&number.to_le_bytes());
            put(segment, &mut out);
        }
        out.extend_from_slice(&self.ops);
        out
    }

    pub(crate) fn unpack(packed: &[u8]) -> Files {
        let mut bytes = Bytes(packed);
        let count = usize::from(bytes.u8()).min(SEGMENTS_MAX);
        let data = get(&mut bytes);
        let log = (0..count)
            .map(|_| (u64::from(bytes.u32()) | u64::from(bytes.u32()) << 32, get(&mut bytes)))
            .collect();
        Files { data, log, ops: bytes.0.to_vec() }
    }
}

/// Length, then in turn: how many zeros, how many other bytes, those.
fn put(file: &[u8], out: &mut Vec<u8>) {
    let file = &file[..file.len().min(FILE_LEN_MAX)];
    out.extend_from_slice(&(file.len() as u32).to_le_bytes());
    let mut at = 0;
    while at < file.len() {
        let zeros = file[at..].iter().take(0xffff).take_while(|byte| **byte == 0).count();
        at += zeros;
        let rest = &file[at..];
        // Shorter runs of zeros are not worth their counts.
        let others = (0..rest.len().min(0xffff))
            .find(|&i| rest[i..].iter().take(8).all(|byte| *byte == 0))
            .unwrap_or(rest.len().min(0xffff));
        out.extend_from_slice(&(zeros as u16).to_le_bytes());
        out.extend_from_slice(&(others as u16).to_le_bytes());
        out.extend_from_slice(&rest[..others]);
        at += others;
    }
}

fn get(bytes: &mut Bytes<'_>) -> Vec<u8> {
    let len = (bytes.u32() as usize).min(FILE_LEN_MAX);
    let mut file = Vec::new();
    while file.len() < len && !bytes.is_empty() {
        let (zeros, others) = (bytes.u16(), bytes.u16());
        file.resize(file.len() + usize::from(zeros), 0);
        file.extend_from_slice(bytes.take(others.into()));
    }
    file.resize(len, 0);
    file
}
