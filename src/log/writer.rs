//! [`Log`]: append, write, sync, rotate. The part that can run out of disk is in `room`.
//!
//! ```text
//!   reserve ── append ──> buffer ── write ──> file ── sync ──> durable ── synced
//!   (can fail)  (cannot)           (L5)             (L5, outside any lock)
//! ```
//!
//! One owner, who holds a lock around every call but [`SyncTicket::sync`] and `Discarded::remove`. Does not know when a
//! commit may be acknowledged: the owner asks the ticket.

use std::collections::VecDeque;
use std::sync::Arc;

use super::record::{self, CUT_MIN, Kind, Record, Salt};
use super::segment::{self, Header};
use super::sync::{Due, SyncTicket, Synced, Syncs};
use super::{BLOCK_LEN, Epoch, LogFiles, LogStart, Lsn, block_rest};
use crate::error::{Error, Result};
use crate::mutant::{Mutant, mutant};
use crate::storage::StorageFile;

/// A buffer that grew beyond this is given back when it is empty.
const BUFFER_KEPT: usize = 4 << 20;
/// So many bytes may wait for a next segment, or as many as it has.
const WAITING_MAX: u64 = 4 << 20;

/// A segment that is being written, holds commits that redo needs, or is prepared to.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) file: Arc<dyn StorageFile>,
    /// Its file has bytes up to here, and may be written to without growing.
    pub(super) capacity: u64,
    /// Bytes appended to it, once it is no longer the one that is appended to.
    pub(super) len: u64,
}

/// Where in the buffer the bytes of the next segment begin.
#[derive(Debug, Clone, Copy)]
struct Break {
    at: usize,
    first_lsn: Lsn,
    first_fragment: u32,
}

/// How far the change to the segment of the first break has come (L3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    NotBegun,
    /// The segment before is written as far as it will ever be.
    TailWritten,
    TailDurable,
    HeaderWritten,
}

/// The log of a data file that is open for writing.
#[derive(Debug)]
pub(crate) struct Log {
    pub(super) syncs: Arc<Syncs>,
    epoch: Epoch,
    pub(super) segment_size: u64,
    /// The segments that redo may need, oldest first; the last is the one being written.
    pub(super) live: VecDeque<Segment>,
    /// The segments after it: prepared, not yet begun on disk. As many as there are breaks are
    /// appended to already, in memory.
    pub(super) prepared: VecDeque<Segment>,
    /// Segments that nobody needs, under their old names, oldest first, kept for reuse.
    pub(super) spares: VecDeque<Segment>,
    /// Where in the segment being written the buffer begins: a block boundary (L2).
    written: u64,
    /// What is appended and not written, behind `gone` bytes that are.
    buffer: Vec<u8>,
    gone: usize,
    breaks: VecDeque<Break>,
    turn: Turn,
    /// Where in the last segment the next byte is appended.
    pub(super) offset: u64,
    /// The capacity of that segment.
    pub(super) capacity: u64,
    salt: Salt,
    next_lsn: Lsn,
    durable_lsn: Lsn,
}

impl Log {
    /// Begins a log at `start`, whose epoch was never used before (C5). Its first segment, with
    /// its name, is durable when this returns. A file of that name must not exist.
    ///
    /// # Panics
    /// If `segment_size` is not a multiple of 4096 from 8 KiB to 2 GiB.
    pub(crate) fn create(files: LogFiles, start: LogStart, segment_size: u64) -> Result<Log> {
        assert!(segment::is_segment_size(segment_size), "segment size {segment_size}");
        start.check(&files)?;
        let salt = Salt::new(&files.file_id, start.epoch, start.segment);
        let syncs = Syncs::new(files);
        let mut log = Log {
            syncs: Arc::new(syncs),
            epoch: start.epoch,
            segment_size,
            live: VecDeque::new(),
            prepared: VecDeque::new(),
            spares: VecDeque::new(),
            written: segment::HEADER_SIZE,
            buffer: Vec::new(),
            gone: 0,
            breaks: VecDeque::new(),
            turn: Turn::NotBegun,
            offset: segment::HEADER_SIZE,
            capacity: 0,
            salt,
            next_lsn: start.lsn,
            durable_lsn: start.lsn.previous(),
        };
        log.prepare(start.segment)?;
        log.begin_next()?;
        Ok(log)
    }

    /// Appends a commit, in memory. [`Log::reserve`] must have been called for it.
    pub(crate) fn append(&mut self, payload: &[u8]) -> Lsn {
        self.append_parts(&[payload])
    }

    /// Appends a commit whose payload is `parts` one after the other, in memory. [`Log::reserve`]
    /// must have been called for it.
    ///
    /// # Panics
    /// If the room was not reserved.
    pub(crate) fn append_parts(&mut self, parts: &[&[u8]]) -> Lsn {
        let lsn = self.next_lsn;
        let mut left: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let mut source = Source { parts, front: &[] };
        let mut fragment = 0;
        loop {
            self.find_place(lsn, fragment);
            let room = self.segment_size - self.offset - record::HEADER_SIZE;
            let len = left.min(room);
            let kind = if len == left { Kind::Last } else { Kind::Part };
            self.push_record(lsn, len, fragment, kind, &mut source);
            if kind == Kind::Last {
                break;
            }
            left -= len;
            fragment += 1;
        }
        assert!(self.offset <= self.capacity, "append without reserve");
        self.next_lsn = lsn.next();
        lsn
    }

    /// Moves to where a record may begin; into the next segment if it may not in this one.
    fn find_place(&mut self, lsn: Lsn, fragment: u32) {
        if block_rest(self.offset) < record::HEADER_SIZE {
            self.pad_block();
        }
        if self.segment_size - self.offset >= CUT_MIN {
            return;
        }
        // L3: the old segment ends with a whole block.
        self.pad_block();
        assert!(self.offset == self.segment_size, "a segment ends at a block boundary");
        self.finish_tail();
        self.breaks.push_back(Break {
            at: self.buffer.len(),
            first_lsn: lsn,
            first_fragment: fragment,
        });
        let index = self.breaks.len() - 1;
        let tail = self.prepared.get(index).expect("append without reserve");
        self.salt = Salt::new(&self.syncs.files.file_id, self.epoch, tail.number);
        self.capacity = tail.capacity;
        self.offset = segment::HEADER_SIZE;
    }

    /// Fills the block: the rest is a padding record, or, where none fits, zeros.
    fn pad_block(&mut self) {
        let rest = block_rest(self.offset);
        if rest < record::HEADER_SIZE {
            let len = self.buffer.len() + usize::try_from(rest).expect("less than a block");
            self.buffer.resize(len, 0);
            self.offset += rest;
        } else {
            const ZEROS: [u8; BLOCK_LEN] = [0; BLOCK_LEN];
            let mut zeros = Source { parts: &[&ZEROS], front: &[] };
            let len = rest - record::HEADER_SIZE;
            self.push_record(self.next_lsn, len, 0, Kind::Padding, &mut zeros);
        }
    }

    /// Puts a record at the end of the buffer.
    fn push_record(
        &mut self,
        lsn: Lsn,
        len: u64,
        fragment: u32,
        kind: Kind,
        source: &mut Source<'_>,
    ) {
        let start = self.buffer.len();
        let durable_lsn = if mutant(Mutant::NoSyncedMark) { Lsn(0) } else { self.durable_lsn };
        let len = u32::try_from(len).expect("a record fits its segment");
        let record = Record { len, lsn, durable_lsn, fragment, kind };
        record.encode(&mut self.buffer);
        source.copy(len as usize, &mut self.buffer);
        record::seal(self.buffer.get_mut(start..).expect("it was appended"), self.salt);
        let end = (self.buffer.len() - start).next_multiple_of(record::ALIGNMENT_LEN);
        self.buffer.resize(start + end, 0);
        self.offset += end as u64;
    }

    /// Writes what is buffered, and returns the sync that is due, if one is. If `durable`, writes
    /// all of it, ending with a whole block; else whole blocks only: the rest stays in the buffer.
    ///
    /// Where commits go on into a next segment, the old one and the next one's header are to be
    /// synced first (L3): if `durable`, those syncs are due one by one, so the caller comes back
    /// until none is. Else the rest stays in the buffer; once that has grown long the steps, with
    /// their syncs, are taken here.
    pub(crate) fn write(&mut self, durable: bool) -> Result<Option<SyncTicket>> {
        self.syncs.check()?;
        while let Some(ticket) = self.take_turn().map_err(Error::of_unknown_fate)? {
            if durable {
                return Ok(Some(ticket));
            }
            if (self.buffered_len() as u64) < self.segment_size.min(WAITING_MAX) {
                return Ok(None);
            }
            let synced = ticket.sync()?;
            self.synced(synced);
        }
        let last = self.next_lsn.previous();
        let is_due = durable && self.durable_lsn < last;
        if is_due {
            self.pad_block_if_begun();
        }
        // L2: a durable write is padded, so that it is all whole blocks.
        let end = self.buffer.len() - self.buffered_len() % BLOCK_LEN;
        self.write_buffer(end).map_err(Error::of_unknown_fate)?;
        if self.buffer.is_empty() && self.buffer.capacity() > BUFFER_KEPT {
            self.buffer = Vec::new();
        }
        let current = self.live.back().expect("a log has a segment");
        Ok(is_due.then(|| SyncTicket::new(&self.syncs, Due::Commits, current, last)))
    }

    /// Goes from the segment that is being written towards that of the first break, as far as it
    /// goes without a sync, and returns the one that is due; `None` where there is no break.
    fn take_turn(&mut self) -> Result<Option<SyncTicket>> {
        let Some(&next) = self.breaks.front() else { return Ok(None) };
        if self.turn == Turn::NotBegun {
            self.write_buffer(next.at)?;
            self.turn = match mutant(Mutant::HeaderBeforeTail) {
                true => Turn::TailDurable,
                false => Turn::TailWritten,
            };
        }
        if self.turn == Turn::TailDurable {
            self.write_header(next)?;
            self.turn = Turn::HeaderWritten;
        }
        let (due, segment) = match self.turn {
            Turn::HeaderWritten => (Due::Header, self.prepared.front()),
            _ => (Due::Tail, self.live.back()),
        };
        let segment = segment.expect("a segment is prepared for each break");
        // All commits that end before the one that the next segment begins or goes on with.
        let lsn = next.first_lsn.previous();
        Ok(Some(SyncTicket::new(&self.syncs, due, segment, lsn)))
    }

    fn pad_block_if_begun(&mut self) {
        if block_rest(self.offset) > 0 {
            self.pad_block();
        }
    }

    /// Writes the buffer's bytes up to `end`, behind what is written.
    fn write_buffer(&mut self, end: usize) -> Result<()> {
        if end == self.gone {
            return Ok(());
        }
        let current = self.live.back().expect("a log has a segment");
        let bytes = self.buffer.get(self.gone..end).expect("within the buffer");
        current.file.write_all_at(bytes, self.written).map_err(|e| {
            let path = self.syncs.files.segment_path(current.number);
            self.syncs.fail(Error::io("write", &path, e))
        })?;
        self.written += bytes.len() as u64;
        self.gone = end;
        // Moving what is left pays for itself once it is less than what is gone.
        if self.gone >= self.buffered_len() {
            self.buffer.drain(..end);
            self.breaks.iter_mut().for_each(|next| next.at -= end);
            self.gone = 0;
        }
        Ok(())
    }

    /// Writes the header of the first prepared segment.
    fn write_header(&self, next: Break) -> Result<()> {
        let segment = self.prepared.front().expect("a segment is prepared for each break");
        let header = Header {
            file_id: self.syncs.files.file_id,
            epoch: self.epoch,
            segment: segment.number,
            first_lsn: next.first_lsn,
            first_fragment: next.first_fragment,
            segment_size: self.segment_size,
        };
        let written = segment.file.write_all_at(&header.encode(), 0);
        written.map_err(|e| {
            let path = self.syncs.files.segment_path(segment.number);
            self.syncs.fail(Error::io("write", &path, e))
        })
    }

    /// Notes what a sync has made durable: records appended from now on say so (L4). Two may have
    /// made the same step to the next segment, so what is noted already changes nothing.
    pub(crate) fn synced(&mut self, synced: Synced) {
        assert!(synced.lsn < self.next_lsn, "what was never appended is not durable");
        self.durable_lsn = self.durable_lsn.max(synced.lsn);
        let is_of = |s: Option<&Segment>| s.is_some_and(|s| s.number == synced.segment);
        match (synced.due, self.turn) {
            (Due::Tail, Turn::TailWritten) if is_of(self.live.back()) => {
                self.turn = Turn::TailDurable;
            }
            (Due::Header, Turn::HeaderWritten) if is_of(self.prepared.front()) => {
                self.live.extend(self.prepared.pop_front());
                self.breaks.pop_front();
                self.written = segment::HEADER_SIZE;
                self.turn = Turn::NotBegun;
            }
            _ => {}
        }
    }

    /// Begins the next segment, which is prepared, with the next commit. All before it is durable.
    fn begin_next(&mut self) -> Result<()> {
        let first_lsn = self.next_lsn;
        self.breaks.push_back(Break { at: 0, first_lsn, first_fragment: 0 });
        self.turn = Turn::TailDurable;
        self.capacity = self.tail().capacity;
        self.offset = segment::HEADER_SIZE;
        while let Some(ticket) = self.take_turn()? {
            let synced = ticket.sync_raw()?;
            self.synced(synced);
        }
        Ok(())
    }

    /// Goes on in a next segment, and returns where redo begins if everything before is applied:
    /// the `C` of a checkpoint. A full disk leaves the log as it was.
    ///
    /// # Panics
    /// If something appended is not written, synced and noted by [`Log::synced`].
    pub(crate) fn rotate(&mut self) -> Result<LogStart> {
        self.syncs.check()?;
        assert!(self.buffer.is_empty() && self.breaks.is_empty(), "rotate before write");
        assert!(self.durable_lsn == self.next_lsn.previous(), "rotate before sync");
        // A segment without a commit begins at the next one already.
        if self.offset > segment::HEADER_SIZE {
            if self.prepared.is_empty() {
                self.prepare_next()?;
            }
            self.finish_tail();
            self.begin_next().map_err(Error::of_unknown_fate)?;
        }
        let number = self.live.back().expect("a log has a segment").number;
        self.salt = Salt::new(&self.syncs.files.file_id, self.epoch, number);
        Ok(LogStart { epoch: self.epoch, segment: number, lsn: self.next_lsn })
    }

    /// Notes how many bytes the segment that is appended to has got.
    fn finish_tail(&mut self) {
        let offset = self.offset;
        self.tail().len = offset;
    }

    /// The segment that is appended to.
    pub(super) fn tail(&mut self) -> &mut Segment {
        match self.breaks.len().checked_sub(1) {
            None => self.live.back_mut(),
            Some(index) => self.prepared.get_mut(index),
        }
        .expect("a log has a segment")
    }

    /// How many prepared segments are appended to.
    pub(super) fn begun_count(&self) -> usize {
        self.breaks.len()
    }

    /// An error once a write or sync has failed.
    pub(crate) fn check(&self) -> Result<()> {
        self.syncs.check()
    }

    /// The LSN that the next commit will get.
    pub(crate) fn next_lsn(&self) -> Lsn {
        self.next_lsn
    }

    /// The last commit known durable.
    #[cfg(test)]
    pub(crate) fn durable_lsn(&self) -> Lsn {
        self.durable_lsn
    }

    /// Whether appended bytes wait for a next segment, which waits for syncs.
    pub(crate) fn waits_for_segment(&self) -> bool {
        !self.breaks.is_empty()
    }

    /// Bytes that are appended and not written.
    pub(crate) fn buffered_len(&self) -> usize {
        self.buffer.len() - self.gone
    }

    /// Bytes of log that redo would read: for the log's budget.
    pub(crate) fn live_len(&self) -> u64 {
        self.len_since(0)
    }

    /// Bytes of log from the segment of that number on.
    pub(crate) fn len_since(&self, segment: u64) -> u64 {
        let begun = self.prepared.iter().take(self.breaks.len());
        let finished = self.live.iter().chain(begun).filter(|s| s.number >= segment);
        // The length of the last, 0 until it is finished, is the offset.
        finished.map(|s| s.len).sum::<u64>() + self.offset
    }
}

/// What is left of a payload in parts.
struct Source<'a> {
    parts: &'a [&'a [u8]],
    front: &'a [u8],
}

impl Source<'_> {
    /// Moves `len` bytes to the end of `buffer`.
    #[inline]
    fn copy(&mut self, mut len: usize, buffer: &mut Vec<u8>) {
        while len > 0 {
            if let Some((head, rest)) = self.front.split_at_checked(len) {
                buffer.extend_from_slice(head);
                self.front = rest;
                return;
            }
            buffer.extend_from_slice(self.front);
            len -= self.front.len();
            let (front, parts) = self.parts.split_first().expect("the parts have the length");
            (self.front, self.parts) = (front, parts);
        }
    }
}
