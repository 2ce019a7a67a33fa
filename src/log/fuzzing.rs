//! Segments made of any bytes, for a fuzz target: given a header and checksums, so that what is
//! behind them is reached.

use super::record::{self, ALIGNMENT_LEN, HEADER_LEN, Record, Salt, take};
use super::segment::{Header, SEGMENT_SIZE_MIN};
use super::{BLOCK_LEN, BLOCK_SIZE, Epoch, LogStart, Lsn};

pub(crate) const FILE_ID: [u8; 16] = *b"the id of a file";
pub(crate) const FIRST_SEGMENT: u64 = 1;
const EPOCH: Epoch = Epoch { counter: 1, random: 2 };

/// Where redo begins.
pub(crate) fn log_start() -> LogStart {
    LogStart { epoch: EPOCH, segment: FIRST_SEGMENT, lsn: Lsn(1) }
}

/// A segment whose header is made of the first eight bytes, and whose records are the others, with
/// right checksums wherever one could stand.
pub(crate) fn seal_segment(number: u64, mut bytes: &[u8]) -> Vec<u8> {
    let fields: [u8; 8] = take(&mut bytes).unwrap_or_default();
    let [lsn, fragment, blocks, twist, ..] = fields;
    let header = Header {
        file_id: FILE_ID,
        epoch: Epoch { counter: EPOCH.counter + u64::from(twist == 1), random: EPOCH.random },
        segment: number + u64::from(twist == 2),
        first_lsn: Lsn(1 + u64::from(lsn)),
        first_fragment: fragment.into(),
        segment_size: SEGMENT_SIZE_MIN + BLOCK_SIZE * u64::from(blocks % 16),
    };
    let mut segment = header.encode().to_vec();
    segment.extend_from_slice(bytes);
    let salt = Salt::new(&FILE_ID, EPOCH, number);
    let mut at = BLOCK_LEN;
    while at + HEADER_LEN <= segment.len() {
        if BLOCK_LEN - at % BLOCK_LEN < HEADER_LEN {
            at = at.next_multiple_of(BLOCK_LEN);
            continue;
        }
        let record = segment.get(at..).and_then(Record::fields);
        let len = record.and_then(|record| usize::try_from(record.size()).ok());
        let range = len.and_then(|len| segment.get_mut(at..at.checked_add(len)?));
        at += match range {
            Some(range) => {
                record::seal(range, salt);
                range.len().next_multiple_of(ALIGNMENT_LEN)
            }
            None => ALIGNMENT_LEN,
        };
    }
    segment
}
