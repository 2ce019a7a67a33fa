//! The part of [`Log`] that can run out of disk: zeros ahead, prepared segments, reuse.
//!
//! A segment's file is written with zeros before records go there, so that a sync in the steady
//! state has no length and no extents to make durable, and so that a full disk shows here, before
//! the point of no return, and not in [`Log::write`]. `fallocate` would not do: the first write to
//! what it gave changes extents again.
//!
//! Knows how much room a commit takes, and nothing of what is in it.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::record::{self, CUT_MIN};
use super::segment;
use super::sync::Syncs;
use super::writer::{Log, Segment};
use super::{BLOCK_SIZE, block_end, block_rest};
use crate::error::{Error, Result};
use crate::storage::OpenMode;

/// A new segment's first bytes: a tiny index has a tiny log.
const FIRST_CAPACITY: u64 = 64 << 10;
/// A segment does not grow by more at once than a writer may wait for.
const GROWTH_MAX: u64 = 4 << 20;
/// How many segments that nobody needs are kept at least, and at most, prepared ones among them.
const SPARES: RangeInclusive<usize> = 2..=8;

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

impl Log {
    /// Makes room for one commit of `payload_len` bytes, appended next. A full disk
    /// ([`Error::StorageFull`]) leaves the log as it was, and it may be tried again.
    #[inline]
    pub(crate) fn reserve(&mut self, payload_len: u64) -> Result<()> {
        self.check()?;
        // At most a skipped rest of a block, a header, the payload and what aligns it.
        let most = payload_len.saturating_add(2 * record::HEADER_SIZE + record::ALIGNMENT);
        if self.offset.saturating_add(most) <= self.capacity {
            return Ok(());
        }
        let result = self.make_room(payload_len);
        // L5: after another failure than a full disk nothing is touched any more.
        if result.is_err() && self.check().is_ok() {
            self.remove_unbegun();
        }
        self.capacity = self.tail().capacity;
        result
    }

    /// Walks the places that [`Log::append`] will take.
    fn make_room(&mut self, payload_len: u64) -> Result<()> {
        let mut ahead = self.begun_count();
        let mut offset = self.offset;
        let mut left = payload_len;
        loop {
            if block_rest(offset) < record::HEADER_SIZE {
                offset = block_end(offset);
            }
            if self.segment_size - offset >= CUT_MIN {
                let len = left.min(self.segment_size - offset - record::HEADER_SIZE);
                self.grow(ahead, block_end(offset + record::HEADER_SIZE + len))?;
                if len == left {
                    return Ok(());
                }
                left -= len;
            } else {
                // The padding that ends the segment.
                self.grow(ahead, self.segment_size)?;
            }
            ahead += 1;
            offset = segment::HEADER_SIZE;
            if self.prepared.len() < ahead {
                self.prepare_next()?;
            }
        }
    }

    /// Prepares the segment after the last prepared one.
    pub(super) fn prepare_next(&mut self) -> Result<()> {
        let last = self.prepared.back().or(self.live.back()).expect("a log has a segment");
        if let Err(error) = last.file.check_process() {
            let path = self.syncs.files.segment_path(last.number);
            return Err(self.syncs.fail(Error::io("write", &path, error)));
        }
        let number = last.number.checked_add(1).expect("fewer than 2^64 segments");
        self.prepare(number)
    }

    /// Prepares the segment of that number: a file of that name without a header of that number.
    /// Until it gets one it is litter for recovery. Where it cannot be created (no more files can be open, say)
    /// the log is as it was, and the next commit tries again.
    pub(super) fn prepare(&mut self, number: u64) -> Result<()> {
        let path = self.syncs.files.segment_path(number);
        let storage = self.syncs.files.storage.clone();
        if let Some(mut spare) = self.spares.pop_front() {
            let old = self.syncs.files.segment_path(spare.number);
            if let Err(e) = storage.rename(&old, &path) {
                self.spares.push_front(spare);
                return Err(self.refuse_unless_full(Error::io("rename", &old, e)));
            }
            spare.number = number;
            self.prepared.push_back(spare);
            return Ok(());
        }
        let file =
            storage.open(&path, OpenMode::CreateNew).map_err(|e| Error::io("create", &path, e))?;
        self.prepared.push_back(Segment { number, file, capacity: 0, len: 0 });
        let result = self.grow(self.prepared.len(), segment::HEADER_SIZE + BLOCK_SIZE);
        if result.is_err() {
            self.prepared.pop_back();
            // A name that stays is litter to recovery, and to a later try an error that says so.
            let _ = storage.remove(&path);
        }
        result
    }

    /// Writes zeros until the segment being written (`ahead` 0) or the prepared one of that place
    /// (from 1) has `needed` bytes.
    fn grow(&mut self, ahead: usize, needed: u64) -> Result<()> {
        let segment = match ahead.checked_sub(1) {
            None => self.live.back(),
            Some(index) => self.prepared.get(index),
        }
        .expect("the segment is prepared");
        let capacity = segment.capacity;
        if needed <= capacity {
            return Ok(());
        }
        let doubled = capacity.saturating_mul(2).clamp(FIRST_CAPACITY, capacity + GROWTH_MAX);
        let mut target = doubled.max(needed).min(self.segment_size);
        let mut result = write_zeros(segment, target);
        if matches!(&result, Err(e) if is_full(e)) && needed < target {
            target = needed;
            result = write_zeros(segment, target);
        }
        if let Err(e) = result {
            // Give back what the attempt took; where that fails, too, the file stays longer than
            // need be, which is no harm (F10).
            let _ = segment.file.set_len(capacity);
            let path = self.syncs.files.segment_path(segment.number);
            return Err(self.refuse_unless_full(Error::io("write", &path, e)));
        }
        let segment = match ahead.checked_sub(1) {
            None => self.live.back_mut(),
            Some(index) => self.prepared.get_mut(index),
        };
        segment.expect("the segment is prepared").capacity = target;
        Ok(())
    }

    /// L5, but for a full disk: nothing was lost, and it may be tried again.
    fn refuse_unless_full(&self, error: Error) -> Error {
        match error {
            Error::StorageFull { .. } => error,
            _ => self.syncs.fail(error),
        }
    }

    /// Gives back the prepared segments that nothing is appended to.
    fn remove_unbegun(&mut self) {
        for segment in self.prepared.split_off(self.begun_count()) {
            let path = self.syncs.files.segment_path(segment.number);
            drop(segment);
            // Where it stays, it is litter.
            let _ = self.syncs.files.storage.remove(&path);
        }
    }

    /// Notes that redo will not need the segments before that number again: a meta page that
    /// begins redo there is durable. As many as these are kept for reuse, since the next checkpoint
    /// may be as far away; the others are to be removed.
    pub(crate) fn recycle_before(&mut self, segment: u64) -> Result<Discarded> {
        self.check()?;
        let count =
            self.live.iter().take(self.live.len() - 1).filter(|s| s.number < segment).count();
        self.spares.extend(self.live.drain(..count).map(|old| Segment { len: 0, ..old }));
        let kept = count.clamp(*SPARES.start(), *SPARES.end());
        Ok(self.discard(kept.saturating_sub(self.prepared.len())))
    }

    /// Gives up the segments that are kept for reuse: the disk is full.
    pub(crate) fn discard_spares(&mut self) -> Discarded {
        self.discard(0)
    }

    /// Gives up spares but for the newest `kept`: what stays comes right before the live ones, without
    /// a gap, which salvage relies on.
    fn discard(&mut self, kept: usize) -> Discarded {
        let count = self.spares.len().saturating_sub(kept);
        Discarded { segments: self.spares.drain(..count).collect(), syncs: self.syncs.clone() }
    }

    /// Removes all segments: a meta page that says that there is no log is durable.
    pub(crate) fn remove_all(self) -> Result<()> {
        self.check()?;
        let Log { syncs, live, prepared, spares, .. } = self;
        let files = &syncs.files;
        for segment in live.into_iter().chain(prepared).chain(spares) {
            let path = files.segment_path(segment.number);
            drop(segment);
            files.storage.remove(&path).map_err(|e| Error::io("remove", &path, e))?;
        }
        files.sync_dir()
    }
}

/// Segments that are the log's no more, and still on the disk.
#[derive(Debug)]
#[must_use = "they stay on the disk"]
pub(crate) struct Discarded {
    segments: Vec<Segment>,
    syncs: Arc<Syncs>,
}

impl Discarded {
    /// Removes them. Takes time by their length, so it is done without the log's lock.
    ///
    /// The folder is not synced: a name that comes back after a crash is litter, by its number.
    pub(crate) fn remove(self) -> Result<()> {
        self.syncs.check()?;
        let files = &self.syncs.files;
        // Oldest first, and no further than one that stays: salvage replays what it finds, and would
        // take a gap for one of the newest commits.
        for segment in self.segments {
            let path = files.segment_path(segment.number);
            drop(segment);
            files.storage.remove(&path).map_err(|e| Error::io("remove", &path, e))?;
        }
        Ok(())
    }
}

/// Writes zeros from the segment's capacity up to `target`.
fn write_zeros(segment: &Segment, target: u64) -> std::io::Result<()> {
    let mut offset = segment.capacity;
    while offset < target {
        let len = usize::try_from(target - offset).unwrap_or(usize::MAX).min(ZEROS.len());
        let zeros = ZEROS.get(..len).unwrap_or(&ZEROS);
        segment.file.write_all_at(zeros, offset)?;
        offset += len as u64;
    }
    Ok(())
}

/// Whether the system says that there is no room.
fn is_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}
