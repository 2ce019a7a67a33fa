//! Reads records on a thread of its own, a batch at a time, so that reading and committing overlap
//! and an input that is silent does not hold up Ctrl-C. Knows nothing of the index.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::formats::{Record, Source, Step};

/// A chunk is cut at so many bytes even if it has few records, so that memory stays bounded.
pub(super) const CHUNK_LEN_MAX: usize = 16 * 1024 * 1024;
/// Bytes that a record takes beside its own: two vectors, and what their memory is rounded up to.
const RECORD_OVERHEAD: usize = 96;

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

/// How chunks are cut.
#[derive(Clone, Copy)]
pub(super) struct Cut {
    /// Records, and bytes that they take, at most.
    pub(super) count: usize,
    pub(super) len: usize,
    /// Whether what is no record is passed over.
    pub(super) skip_bad: bool,
}

/// Starts reading.
pub(super) fn start(source: Box<dyn Source>, cut: Cut) -> Receiver<Chunk> {
    let (sender, receiver) = sync_channel(2);
    thread::spawn(move || read(source, cut, &sender));
    receiver
}

fn read(mut source: Box<dyn Source>, cut: Cut, to: &SyncSender<Chunk>) {
    loop {
        let chunk = next_chunk(source.as_mut(), cut);
        let last = !matches!(chunk.then, Then::More);
        // The other side hangs up when it has been interrupted or has failed.
        if to.send(chunk).is_err() || last {
            return;
        }
    }
}

fn next_chunk(source: &mut dyn Source, cut: Cut) -> Chunk {
    let mut chunk = Chunk { records: Vec::new(), bad: Vec::new(), then: Then::More };
    let mut bytes = 0;
    while chunk.records.len() + chunk.bad.len() < cut.count && bytes < cut.len {
        let mut record = Record::default();
        match source.next(&mut record) {
            Ok(Step::Record) => {
                bytes += record.key.len() + record.value.len() + RECORD_OVERHEAD;
                chunk.records.push(Placed { place: source.place(), record });
            }
            Ok(Step::Bad(why)) => {
                chunk.bad.push((source.place(), why));
                if !cut.skip_bad {
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
