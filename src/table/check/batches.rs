//! Reading pages for a check in large pieces, in the order of the file, by several threads: each
//! takes every n-th piece, reads it, and judges its pages; what they say is handed on in order.
//!
//! Memory is bounded: two pieces a thread, and what was said of two more. Knows nothing of what
//! pages hold.

use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::pages::{CHUNK_SIZE, Wanted, read};
use crate::error::Fault;
use crate::page::OwnedPage;
use crate::storage::StorageFile;

/// Bytes between two wanted pages that are read along rather than skipped.
const GAP_MAX: u64 = 32 << 10;
/// Fewer bytes are not worth a thread.
const BYTES_PER_THREAD: usize = 8 << 20;
/// More threads do not read a disk faster.
const THREADS_MAX: usize = 8;

/// Threads for reading so many bytes; one is the caller's own.
pub(super) fn thread_count(bytes: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (bytes / BYTES_PER_THREAD).clamp(1, cores.min(THREADS_MAX))
}

/// Cuts pages, in the order of the file, into pieces that are read at once.
pub(super) fn batches(wanted: &[Wanted], page_size: usize) -> Vec<&[Wanted]> {
    let span_max = (CHUNK_SIZE / page_size) as u64;
    let gap_max = GAP_MAX / page_size as u64;
    let mut batches = Vec::new();
    let mut rest = wanted;
    while let Some(&first) = rest.first() {
        let mut end = first.page + 1;
        let together = rest
            .iter()
            .take_while(|next| {
                let fits = next.page < first.page + span_max && next.page <= end + gap_max;
                end = if fits { next.page + 1 } else { end };
                fits
            })
            .count();
        let (now, later) = rest.split_at(together);
        batches.push(now);
        rest = later;
    }
    batches
}

/// What was said of the pages of a piece.
pub(super) struct Batch<T> {
    pub(super) pages: Vec<(Wanted, Result<T, Fault>)>,
    pub(super) bytes_read: u64,
}

/// Reads and judges pieces.
pub(super) struct BatchReader<'r, T> {
    pub(super) file: &'r dyn StorageFile,
    pub(super) page_size: usize,
    pub(super) judge: &'r (dyn Fn(Wanted, &OwnedPage) -> T + Sync),
}

impl<T: Send> BatchReader<'_, T> {
    /// Hands all pieces to `each`, in order.
    pub(super) fn read_all(
        &self,
        batches: &[&[Wanted]],
        threads: usize,
        each: &mut dyn FnMut(Batch<T>),
    ) {
        if threads <= 1 {
            let mut buffers = Buffers::new(self.page_size);
            batches.iter().for_each(|batch| each(self.read(&mut buffers, batch)));
            return;
        }
        std::thread::scope(|scope| {
            let receivers: Vec<Receiver<Batch<T>>> = (0..threads)
                .map(|first| {
                    let (sender, receiver) = sync_channel(2);
                    scope.spawn(move || self.read_some(batches, first..threads, &sender));
                    receiver
                })
                .collect();
            let mut turns = receivers.iter().cycle();
            for batch in batches {
                let received = turns.next().and_then(|receiver| receiver.recv().ok());
                // A thread that could not be heard has panicked, which the scope passes on; its
                // pieces are not silently left out.
                let lost = || self.read(&mut Buffers::new(self.page_size), batch);
                each(received.unwrap_or_else(lost));
            }
        });
    }

    /// Every `end`-th piece from `start` on.
    fn read_some(&self, batches: &[&[Wanted]], turn: Range<usize>, to: &SyncSender<Batch<T>>) {
        let mut buffers = Buffers::new(self.page_size);
        for batch in batches.iter().skip(turn.start).step_by(turn.end) {
            if to.send(self.read(&mut buffers, batch)).is_err() {
                return;
            }
        }
    }

    fn read(&self, buffers: &mut Buffers, batch: &[Wanted]) -> Batch<T> {
        let Buffers { chunk, page } = buffers;
        let size = self.page_size;
        let offset_of = |page: u64| page * size as u64;
        let first = batch.first().map_or(0, |wanted| wanted.page);
        let end = batch.last().map_or(0, |wanted| wanted.page + 1);
        chunk.resize(usize::try_from(end - first).unwrap_or(1) * size, 0);
        let mut bytes_read = chunk.len() as u64;
        let is_read = read(self.file, offset_of(first), chunk).is_ok();
        let mut pages = Vec::with_capacity(batch.len());
        for &wanted in batch {
            let at = usize::try_from(wanted.page - first).unwrap_or_default() * size;
            let result = match chunk.get(at..at + size) {
                Some(bytes) if is_read => {
                    page.bytes_mut().copy_from_slice(bytes);
                    Ok(())
                }
                // Each by itself, to name the one that fails.
                _ => {
                    bytes_read += size as u64;
                    read(self.file, offset_of(wanted.page), page.bytes_mut())
                }
            };
            pages.push((wanted, result.map(|()| (self.judge)(wanted, page))));
        }
        Batch { pages, bytes_read }
    }
}

/// What a thread reads into.
struct Buffers {
    chunk: Vec<u8>,
    page: OwnedPage,
}

impl Buffers {
    fn new(page_size: usize) -> Buffers {
        Buffers { chunk: Vec::new(), page: OwnedPage::new(page_size) }
    }
}
