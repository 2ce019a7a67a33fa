//! What is left of a damaged log: every commit that still verifies, in order, and where some are
//! missing.
//!
//! Redo stops at damage, because what comes after it may rest on what is lost. Whoever rescues a
//! file takes those commits all the same: each says the whole of what it changes. Knows nothing of
//! what a commit says, and writes nothing.

use super::reader::Reader;
use super::record::{self, Kind, Record, Salt};
use super::segment::{HEADER_SIZE, Header};
use super::survey::numbers;
use super::{Epoch, LogFiles, LogStart, Lsn, block_end, block_rest};
use crate::error::{Fault, Place, Promise, Result};

/// A place of the log where commits are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) fault: Fault,
}

impl Gap {
    pub(crate) fn place(&self) -> Place {
        Place::Log { segment: self.segment, offset: self.offset }
    }
}

/// The segments in the folder, by number.
pub(crate) fn segment_numbers(files: &LogFiles) -> Result<Vec<u64>> {
    numbers(files)
}

/// The id of the data file that the segments beside it name, if it begins with `tag`.
pub(crate) fn file_id_beside(files: &LogFiles, tag: u64) -> Option<[u8; 16]> {
    numbers(files).ok()?.into_iter().find_map(|number| {
        let header = Reader::open(files, number).ok()??.header().ok()??.ok()?;
        let is_of_tag = header.file_id.first_chunk() == Some(&tag.to_le_bytes());
        is_of_tag.then_some(header.file_id)
    })
}

/// Hands on every commit of the log from `start` on that verifies; without a start, of every
/// segment in the folder that is of this file. Segments of later epochs belong to it: the meta page
/// that names them is lost.
pub(crate) fn rescue(
    files: &LogFiles,
    start: Option<LogStart>,
    each: &mut dyn FnMut(Lsn, &[u8]) -> Result<()>,
) -> Result<Vec<Gap>> {
    let next = start.map(|start| (start.epoch, start.lsn, 0));
    let mut walk = Walk { next, commit: None, gaps: Vec::new() };
    for (epoch, number, header) in segments(files, start)? {
        let Some(mut reader) = Reader::open(files, number)? else { continue };
        // Sets where records end, too.
        let _ = reader.header()?;
        reader.set_salt(Salt::new(&files.file_id, epoch, number));
        match header {
            Some(header) => walk.begin(number, epoch, (header.first_lsn, header.first_fragment)),
            None => walk.gap(number, 0, Fault::new(Promise::LogStart, 1, 0)),
        }
        walk.segment(files, &mut reader, each)?;
    }
    Ok(walk.gaps)
}

type Found = (Epoch, u64, Option<Header>);

/// The segments to look at, in the order of their epochs and numbers.
fn segments(files: &LogFiles, start: Option<LogStart>) -> Result<Vec<Found>> {
    let mut found: Vec<Found> = Vec::new();
    let mut without_header = Vec::new();
    for number in numbers(files)? {
        let Some(mut reader) = Reader::open(files, number)? else { continue };
        match reader.header()? {
            Some(Ok(header)) if header.file_id == files.file_id && header.segment == number => {
                found.push((header.epoch, number, Some(header)));
            }
            // Of another file: not ours to take.
            Some(Ok(_)) | None => {}
            Some(Err(_)) => without_header.push(number),
        }
    }
    // Their records tell by their salt whether they are of the epoch of what is before or behind.
    let with_header: Vec<(u64, Epoch)> =
        found.iter().map(|&(of, number, _)| (number, of)).collect();
    for number in without_header {
        let before = with_header.iter().rfind(|(other, _)| *other < number);
        let epoch = before.map(|(_, epoch)| *epoch).or(start.map(|start| start.epoch));
        let epoch = epoch.or(with_header.first().map(|(_, epoch)| *epoch));
        found.extend(epoch.map(|epoch| (epoch, number, None)));
    }
    if let Some(start) = start {
        let is_later = |epoch: &Epoch| epoch.counter > start.epoch.counter;
        found.retain(|(epoch, number, _)| {
            is_later(epoch) || (*epoch == start.epoch && *number >= start.segment)
        });
    }
    found.sort_by_key(|(epoch, number, _)| (epoch.counter, *number));
    Ok(found)
}

struct Walk {
    /// The commit and fragment that should come next, and the epoch they are of.
    next: Option<(Epoch, Lsn, u32)>,
    /// What was read of a commit in several parts.
    commit: Option<Vec<u8>>,
    gaps: Vec<Gap>,
}

impl Walk {
    fn gap(&mut self, segment: u64, offset: u64, fault: Fault) {
        self.gaps.push(Gap { segment, offset, fault });
        self.commit = None;
    }

    /// A segment begins with this record, or should.
    fn begin(&mut self, number: u64, epoch: Epoch, (lsn, fragment): (Lsn, u32)) {
        match self.next {
            Some((of, next, part)) if of == epoch && (next, part) != (lsn, fragment) => {
                self.gap(number, 0, Fault::new(Promise::LogRecord, next.0, lsn.0));
            }
            _ => {}
        }
        self.next = Some((epoch, lsn, fragment));
    }

    fn segment(
        &mut self,
        files: &LogFiles,
        reader: &mut Reader,
        each: &mut dyn FnMut(Lsn, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut offset = HEADER_SIZE;
        loop {
            if block_rest(offset) < record::HEADER_SIZE {
                offset = block_end(offset);
            }
            let expected = self.next.map_or(Lsn(1), |(_, lsn, _)| lsn);
            let known = reader.record_at(offset)?.is_some_and(|(record, _)| record.lsn >= expected);
            if !known {
                let most = expected.0.saturating_add(reader.end());
                let is_later = |record: &Record| (expected.0..=most).contains(&record.lsn.0);
                // Only a forged segment makes a search give up.
                let Ok(Some((at, later))) = reader.find(files, offset, &is_later) else {
                    return Ok(());
                };
                let fault = Fault::new(Promise::LogRecord, expected.0, later.lsn.0);
                self.gap(reader.number, offset, fault);
                offset = at;
            }
            let Some((record, payload)) = reader.record_at(offset)? else { return Ok(()) };
            self.take(record, payload, each)?;
            offset = (offset + record.size()).next_multiple_of(record::ALIGNMENT);
        }
    }

    fn take(
        &mut self,
        record: Record,
        payload: &[u8],
        each: &mut dyn FnMut(Lsn, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let Some((epoch, lsn, fragment)) = self.next else {
            // Without a header the first record says where the segment begins.
            self.next = Some((Epoch { counter: 0, random: 0 }, record.lsn, record.fragment));
            return self.take(record, payload, each);
        };
        if (record.lsn, record.fragment) != (lsn, fragment) {
            // Noted where it was found; or a chain without its middle.
            self.commit = None;
        }
        match record.kind {
            Kind::Padding => self.next = Some((epoch, record.lsn, record.fragment)),
            Kind::Part => {
                if record.fragment == 0 {
                    self.commit = Some(Vec::new());
                }
                if let Some(commit) = &mut self.commit {
                    commit.extend_from_slice(payload);
                }
                self.next = Some((epoch, record.lsn, record.fragment.saturating_add(1)));
            }
            Kind::Last => {
                match self.commit.take() {
                    _ if record.fragment == 0 => each(record.lsn, payload)?,
                    Some(mut commit) => {
                        commit.extend_from_slice(payload);
                        each(record.lsn, &commit)?;
                    }
                    // Its beginning is lost: a commit is whole or absent.
                    None => {}
                }
                self.next = Some((epoch, record.lsn.next(), 0));
            }
        }
        Ok(())
    }
}
