//! Reads records on threads of their own, a batch at a time, so that reading and committing overlap
//! and an input that is silent does not hold up Ctrl-C. Knows nothing of the index.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
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
    /// Which of the sources it is of.
    pub(super) input: usize,
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

/// Starts reading the sources, as many at once as there are threads. The chunks of one come in
/// order; each source ends with a chunk that says so.
pub(super) fn start(sources: Vec<Box<dyn Source>>, threads: usize, cut: Cut) -> Receiver<Chunk> {
    let (sender, receiver) = sync_channel(threads + 1);
    let sources = Arc::new(Mutex::new(sources.into_iter().enumerate()));
    for _ in 0..threads {
        let (sources, sender) = (Arc::clone(&sources), sender.clone());
        thread::spawn(move || {
            let next = || sources.lock().unwrap_or_else(PoisonError::into_inner).next();
            while let Some((input, mut source)) = next() {
                if !read(input, source.as_mut(), cut, &sender) {
                    return;
                }
            }
        });
    }
    receiver
}

/// Chunks in memory at most: each thread makes one, some wait, one is used.
pub(super) fn chunks_max(threads: usize) -> u64 {
    2 * threads as u64 + 2
}

/// Reads a source to its end; `false` if nobody wants any more.
fn read(input: usize, source: &mut dyn Source, cut: Cut, to: &SyncSender<Chunk>) -> bool {
    loop {
        let chunk = next_chunk(input, source, cut);
        let last = !matches!(chunk.then, Then::More);
        // The other side hangs up when it has been interrupted or has failed.
        if to.send(chunk).is_err() {
            return false;
        }
        if last {
            return true;
        }
    }
}

fn next_chunk(input: usize, source: &mut dyn Source, cut: Cut) -> Chunk {
    let mut chunk = Chunk { input, records: Vec::new(), bad: Vec::new(), then: Then::More };
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
