//! Reads records on a thread of its own, a batch at a time, so that reading and committing overlap
//! and an input that is silent does not hold up Ctrl-C. Knows nothing of the index.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::formats::{Record, Source, Step};

/// A batch is cut at so many bytes even if it has few records, so that memory stays bounded.
const BATCH_BYTES: usize = 16 * 1024 * 1024;

/// A record and where it came from.
pub(super) struct Placed {
    pub(super) place: u64,
    pub(super) record: Record,
}

/// What the reader sends.
pub(super) struct Chunk {
    /// Records in the order of the input.
    pub(super) records: Vec<Placed>,
    /// Places that hold no record, and why.
    pub(super) bad: Vec<(u64, String)>,
    /// What comes after this chunk.
    pub(super) then: Then,
}

/// What comes after a chunk.
pub(super) enum Then {
    /// More.
    More,
    /// The end of the input.
    End,
    /// Something that stops the reading.
    Stop(String),
}

/// Starts reading.
pub(super) fn start(source: Box<dyn Source>, batch_len: usize, skip_bad: bool) -> Receiver<Chunk> {
    let (sender, receiver) = sync_channel(2);
    thread::spawn(move || read(source, batch_len, skip_bad, &sender));
    receiver
}

fn read(mut source: Box<dyn Source>, batch_len: usize, skip_bad: bool, to: &SyncSender<Chunk>) {
    loop {
        let chunk = next_chunk(source.as_mut(), batch_len, skip_bad);
        let last = !matches!(chunk.then, Then::More);
        // The other side hangs up when it has been interrupted or has failed.
        if to.send(chunk).is_err() || last {
            return;
        }
    }
}

fn next_chunk(source: &mut dyn Source, batch_len: usize, skip_bad: bool) -> Chunk {
    let mut chunk = Chunk { records: Vec::new(), bad: Vec::new(), then: Then::More };
    let mut bytes = 0;
    while chunk.records.len() + chunk.bad.len() < batch_len && bytes < BATCH_BYTES {
        let mut record = Record::default();
        match source.next(&mut record) {
            Ok(Step::Record) => {
                bytes += record.key.len() + record.value.len();
                chunk.records.push(Placed { place: source.place(), record });
            }
            Ok(Step::Bad(why)) => {
                chunk.bad.push((source.place(), why));
                if !skip_bad {
                    chunk.then = Then::End;
                    break;
                }
            }
            Ok(Step::End) => {
                chunk.then = Then::End;
                break;
            }
            Err(why) => {
                chunk.then = Then::Stop(why);
                break;
            }
        }
    }
    chunk
}
