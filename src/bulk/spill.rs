//! The spill file: what does not fit the memory budget waits there, beside the target, in blocks
//! that follow one another. A thread writes it while the input goes on.
//!
//! Where a block stands and what its checksum is stays in memory: the file means nothing to anyone
//! but the run that wrote it, and is removed with it. Knows nothing of records.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use super::scratch::Scratch;
use crate::checksum::crc32;
use crate::error::{Error, Result};
use crate::storage::{Storage, StorageFile};

/// Bytes that a block's place in the file is a multiple of: what a crash leaves is then told apart
/// from somebody's file by its length.
pub(super) const BLOCK_ALIGN: usize = 4096;

/// Where a block is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    offset: u64,
    pub(super) len: usize,
    checksum: u32,
}

/// Blocks to be written one after another.
struct Job {
    partition: usize,
    offset: u64,
    blocks: Vec<Vec<u8>>,
}

/// Blocks that were written, empty again, and where they are.
pub(super) struct Written {
    pub(super) partition: usize,
    pub(super) extents: Vec<Extent>,
    pub(super) blocks: Vec<Vec<u8>>,
}

/// The file, and who writes it.
pub(super) struct Spill {
    // Before the file: it is dropped first.
    writer: Writer,
    scratch: Scratch,
    end: u64,
    /// Jobs that the thread has and has not given back.
    pub(super) in_flight: usize,
}

enum Writer {
    /// Writes happen in the call.
    Inline,
    Thread {
        jobs: Option<Sender<Job>>,
        done: Receiver<Result<Written>>,
        thread: Option<JoinHandle<()>>,
    },
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Writer::Thread { jobs, thread, .. } = self {
            // The thread ends when there is nobody to send it anything; then the file can go.
            drop(jobs.take());
            let _ = thread.take().map(JoinHandle::join);
        }
    }
}

impl Spill {
    /// Makes the file. Without threads if `inline`, or if none can be had.
    pub(super) fn create(storage: Arc<dyn Storage>, path: PathBuf, inline: bool) -> Result<Spill> {
        let scratch = Scratch::create(storage, path)?;
        let writer = if inline { Writer::Inline } else { start(&scratch) };
        Ok(Spill { scratch, end: 0, writer, in_flight: 0 })
    }

    /// Bytes in the file.
    pub(super) fn len(&self) -> u64 {
        self.end
    }

    /// Writes the blocks behind one another, or lets it be done.
    pub(super) fn write(
        &mut self,
        partition: usize,
        blocks: Vec<Vec<u8>>,
    ) -> Result<Option<Written>> {
        let offset = self.end;
        let aligned = |block: &Vec<u8>| block.len().next_multiple_of(BLOCK_ALIGN) as u64;
        self.end += blocks.iter().map(aligned).sum::<u64>();
        let job = Job { partition, offset, blocks };
        match &self.writer {
            Writer::Inline => write(&*self.scratch.file, &self.scratch.path, job).map(Some),
            Writer::Thread { jobs, .. } => {
                if jobs.as_ref().is_none_or(|jobs| jobs.send(job).is_err()) {
                    return Err(self.gone());
                }
                self.in_flight += 1;
                Ok(None)
            }
        }
    }

    /// What was written since; waits for it if `wait`.
    pub(super) fn written(&mut self, wait: bool) -> Result<Option<Written>> {
        if self.in_flight == 0 {
            return Ok(None);
        }
        let Writer::Thread { done, .. } = &self.writer else { return Ok(None) };
        let received = match wait {
            true => done.recv().map_err(|_| self.gone())?,
            false => match done.try_recv() {
                Ok(received) => received,
                Err(std::sync::mpsc::TryRecvError::Empty) => return Ok(None),
                Err(std::sync::mpsc::TryRecvError::Disconnected) => return Err(self.gone()),
            },
        };
        self.in_flight -= 1;
        received.map(Some)
    }

    fn gone(&self) -> Error {
        let gone = std::io::Error::other("the thread that writes it has ended");
        Error::io("write", &self.scratch.path, gone)
    }

    /// Nothing more is written.
    pub(super) fn end(self) -> Spilled {
        drop(self.writer);
        Spilled { scratch: self.scratch }
    }
}

/// The file, when it is whole. It is removed with the value.
pub(super) struct Spilled {
    scratch: Scratch,
}

impl Spilled {
    /// Reads a block back over `block`, and checks it.
    pub(super) fn read(&self, extent: &Extent, block: &mut Vec<u8>) -> Result<()> {
        block.resize(extent.len, 0);
        let read = self.scratch.file.read_exact_at(block, extent.offset);
        read.map_err(|e| Error::io("read", &self.scratch.path, e))?;
        if crc32(0, block) != extent.checksum {
            return Err(self.damaged());
        }
        Ok(())
    }

    /// Nobody reads these blocks again: the disk and the memory that they take are for the new file.
    pub(super) fn forget(&self, extents: &[Extent]) {
        let end = |extent: &Extent| extent.offset + extent.len.next_multiple_of(BLOCK_ALIGN) as u64;
        for stretch in extents.chunk_by(|a, b| end(a) == b.offset) {
            if let [first, ..] = stretch
                && let Some(last) = stretch.last()
            {
                self.scratch.file.forget(first.offset, end(last) - first.offset);
            }
        }
    }

    /// What comes back is not what was written.
    pub(super) fn damaged(&self) -> Error {
        let words = "what comes back is not what was written there";
        let damage = std::io::Error::new(std::io::ErrorKind::InvalidData, words);
        Error::io("read", &self.scratch.path, damage)
    }
}

fn start(scratch: &Scratch) -> Writer {
    let (jobs, work) = channel::<Job>();
    let (results, done) = channel();
    let (file, path) = (scratch.file.clone(), scratch.path.clone());
    let run = move || {
        for job in work {
            if results.send(write(&*file, &path, job)).is_err() {
                break;
            }
        }
    };
    match std::thread::Builder::new().name("splitpoint-spill".to_owned()).spawn(run) {
        Ok(thread) => Writer::Thread { jobs: Some(jobs), done, thread: Some(thread) },
        Err(_) => Writer::Inline,
    }
}

fn write(file: &dyn StorageFile, path: &Path, job: Job) -> Result<Written> {
    let Job { partition, mut offset, mut blocks } = job;
    let mut extents = Vec::with_capacity(blocks.len());
    for block in &mut blocks {
        let len = block.len();
        let checksum = crc32(0, block);
        block.resize(len.next_multiple_of(BLOCK_ALIGN), 0);
        file.write_all_at(block, offset).map_err(|e| Error::io("write", path, e))?;
        extents.push(Extent { offset, len, checksum });
        offset += block.len() as u64;
        block.clear();
    }
    Ok(Written { partition, extents, blocks })
}
