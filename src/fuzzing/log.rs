//! The bytes of up to three segments: redo from the first, and each commit's operations.

use std::path::Path;
use std::sync::Arc;

use super::{make_file, take};
use crate::log::fuzzing::{FILE_ID, FIRST_SEGMENT, log_start, seal_segment};
use crate::log::{LogFiles, Lsn, read, survey};
use crate::storage::Storage;
use crate::storage::memory::MemoryStorage;
use crate::table::operation::Operation;

/// The most bytes of one segment.
const SEGMENT_LEN_MAX: usize = 1 << 16;

/// The first byte says how many segments the others are divided into, and whether they are given
/// headers and checksums: three times in four.
///
/// # Panics
/// If redo does not hand on what it counts, in order, or not the same when it is done again.
pub fn log(mut data: &[u8]) {
    let [how] = take(&mut data);
    let count = 1 + usize::from(how >> 2) % 3;
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new(SEGMENT_LEN_MAX));
    let path = Path::new("/file").to_owned();
    let files = LogFiles { storage, path, file_id: FILE_ID };
    let chunk_len = data.len().div_ceil(count).max(1);
    for (number, bytes) in (FIRST_SEGMENT..).zip(data.chunks(chunk_len)) {
        let mut segment = bytes.to_vec();
        if how & 3 != 0 {
            segment = seal_segment(number, bytes);
        }
        segment.truncate(SEGMENT_LEN_MAX);
        make_file(&*files.storage, &files.segment_path(number), &segment);
    }
    let first = redo(&files);
    assert_eq!(first, redo(&files), "redo done again");
    let _ = survey(&files, log_start().epoch);
}

/// What redo says: the commits that it handed on, or the words of its error.
fn redo(files: &LogFiles) -> Result<(u64, Lsn, u64), String> {
    let start = log_start();
    let (mut next, mut operations) = (start.lsn, 0);
    let result = read(files, start, &mut |lsn, mut payload| {
        assert_eq!(lsn, next, "commits come in order");
        next = Lsn(next.0 + 1);
        while let Ok((operation, rest)) = Operation::decode(payload) {
            assert_eq!(operation.len() + rest.len(), payload.len());
            let mut again = Vec::new();
            operation.encode(&mut again);
            assert!(payload.starts_with(&again), "an operation survives the round trip");
            payload = rest;
            operations += 1;
            if payload.is_empty() {
                break;
            }
        }
        Ok(())
    });
    let end = result.map_err(|error| error.to_string())?;
    assert_eq!(end.next_lsn, next, "the end is behind the last commit");
    assert_eq!(end.commits, next.0 - start.lsn.0, "it counts what it hands on");
    Ok((end.commits, end.next_lsn, operations))
}
