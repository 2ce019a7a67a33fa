//! The log: segments, records, operations, what is durable, and where and why it ends.

use std::cell::RefCell;

use super::Inspector;
use super::report::{Report, escape_start};
use crate::error::{Error, Fault, Place, Promise, Result};
use crate::log::trace::{BadHeader, RecordKind, SegmentTrace, numbers, trace};
use crate::log::{Epoch, LogFiles, LogStart, Lsn, read};
use crate::page::meta::Meta;
use crate::table::operation::Operation;

impl Inspector {
    /// The segments of the log beside the file, or one of them: headers, records with their
    /// commits and operations (at most `records_max` of each segment), and where and why the log
    /// ends. Needed by the file or not: the report says which.
    ///
    /// # Errors
    /// That no meta page tells whose log it is, that a segment cannot be read, or that there is
    /// none of the number given ([`Error::InvalidOption`]).
    pub fn log(&self, segment: Option<u64>, records_max: usize) -> Result<Report> {
        self.report(|inspector| inspector.log_now(segment, records_max))
    }

    fn log_now(&self, segment: Option<u64>, records_max: usize) -> Result<Report> {
        let meta = self.usable_meta()?;
        let files = self.log_files(meta);
        let mut report = Report::new(format!("log of {}", self.path.display()));
        let state = match meta.clean {
            true => "closed clean: the file needs no log",
            false => "needed: changes since the last checkpoint are here only",
        };
        report.text("state", state);
        report.number("log_epoch_counter", meta.log.epoch_counter);
        report.bits("log_epoch_random", meta.log.epoch_random);
        report.number("log_segment", meta.log.segment);
        report.number("log_lsn", meta.log.lsn);
        let mut all = numbers(&files)?;
        if let Some(wanted) = segment {
            all.retain(|number| *number == wanted);
            if all.is_empty() {
                let reason = format!("there is no log segment {wanted} beside the file");
                return Err(Error::InvalidOption { option: "segment", reason });
            }
        }
        let mut durable = Lsn(meta.log.lsn.saturating_sub(1));
        for number in all {
            let part = self.segment(&files, meta, number, records_max, &mut durable)?;
            report.children.extend(part);
        }
        if !meta.clean && segment.is_none() {
            self.end_of_log(&mut report, &files, meta, durable)?;
        }
        Ok(report)
    }

    fn segment(
        &self,
        files: &LogFiles,
        meta: &Meta,
        number: u64,
        records_max: usize,
        durable: &mut Lsn,
    ) -> Result<Option<Report>> {
        let epoch = Epoch { counter: meta.log.epoch_counter, random: meta.log.epoch_random };
        let records = RefCell::new(Vec::new());
        let mut newest = Lsn(0);
        let traced = trace(files, epoch, number, &mut |offset, record, payload| {
            newest = newest.max(record.durable_lsn);
            let mut records = records.borrow_mut();
            if records.len() < records_max {
                let mut part = Report::new(format!("record at byte {offset}"));
                part.number("len", record.len.into());
                part.number("lsn", record.lsn.0);
                part.number("durable_lsn", record.durable_lsn.0);
                part.number("fragment", record.fragment.into());
                part.text("kind", kind_words(record.kind));
                if record.kind == RecordKind::Last && record.fragment == 0 {
                    let place = Place::Log { segment: number, offset };
                    add_operations(&mut part, place, payload);
                }
                records.push(part);
            }
            true
        })?;
        let Some(traced) = traced else { return Ok(None) };
        let mut part = Report::new(format!("segment {number}"));
        part.number("file_len", traced.file_len);
        let is_ours = add_header(&mut part, meta, number, &traced);
        if is_ours && number >= meta.log.segment {
            *durable = (*durable).max(newest);
        }
        part.number("records", traced.records);
        part.number("end", traced.end);
        let records = records.into_inner();
        if (records.len() as u64) < traced.records {
            part.number("records_not_shown", traced.records - records.len() as u64);
        }
        part.children = records;
        Ok(Some(part))
    }

    /// Reads the log as recovery does, for the place and the reason of its end.
    fn end_of_log(
        &self,
        report: &mut Report,
        files: &LogFiles,
        meta: &Meta,
        durable: Lsn,
    ) -> Result<()> {
        let epoch = Epoch { counter: meta.log.epoch_counter, random: meta.log.epoch_random };
        let start = LogStart { epoch, segment: meta.log.segment, lsn: Lsn(meta.log.lsn) };
        let mut part = Report::new("end of the log");
        let mut end = read(files, start, &mut |_, _| Ok(()));
        // A writer may be writing there: damage counts if it is there again.
        if let Err(Error::Corruption(first)) = end {
            end = read(files, start, &mut |_, _| Ok(()));
            if matches!(&end, Err(Error::Corruption(second)) if *second != first) {
                end = read(files, start, &mut |_, _| Ok(()));
            }
        }
        match end {
            Ok(end) => {
                part.number("commits", end.commits);
                part.number("next_lsn", end.next_lsn.0);
                part.number("last_segment", end.last_segment);
                let last = end.next_lsn.previous();
                let words = if durable >= last {
                    format!("all of them, to {}", last.0)
                } else {
                    let rest = durable.next().0;
                    format!(
                        "to {} by the log's own words; {rest} to {} are whole, and whether they \
                         were acknowledged cannot be told",
                        durable.0, last.0
                    )
                };
                part.text("durable", words);
                let reason = "the next record is missing, and nothing proves that it was durable";
                part.text("reason", reason);
            }
            Err(Error::Corruption(found)) => {
                part.text("durable", format!("to {} by the log's own words", durable.0));
                part.text("reason", "damage: what comes later proves that it was durable");
                let fault = Fault::new(found.promise, found.expected, found.found);
                part.find(found.place, fault);
            }
            Err(error) => return Err(error),
        }
        report.children.push(part);
        Ok(())
    }
}

fn kind_words(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::Part => "0: goes on in the next segment",
        RecordKind::Last => "1: last of its chain",
        RecordKind::Padding => "2: padding",
    }
}

/// The header's fields; whether it is of the log that the meta page names.
fn add_header(part: &mut Report, meta: &Meta, number: u64, traced: &SegmentTrace) -> bool {
    let place = Place::Log { segment: number, offset: 0 };
    match &traced.header {
        None => part.text("header", "shorter than one: prepared, or cut off"),
        Some(Err(BadHeader::Checksum { found, computed })) => {
            // A segment that was made ready for use has none yet, or an old one in part.
            part.text("header", "none that is whole");
            if number == meta.log.segment && !meta.clean {
                let fault = Fault::new(Promise::LogStart, (*computed).into(), (*found).into());
                part.find(place, fault);
            }
        }
        Some(Err(BadHeader::Version(version))) => part.number("version", (*version).into()),
        Some(Err(BadHeader::Field)) if number == meta.log.segment && !meta.clean => {
            part.find(place, Fault::new(Promise::LogStart, 1, 0));
        }
        Some(Err(BadHeader::Field)) => part.text("header", "fields that no writer writes"),
        Some(Ok(header)) => {
            part.number("epoch_counter", header.epoch.counter);
            part.bits("epoch_random", header.epoch.random);
            part.number("segment", header.segment);
            part.number("first_lsn", header.first_lsn.0);
            part.number("first_fragment", header.first_fragment.into());
            part.number("segment_size", header.segment_size);
            let epoch = (header.epoch.counter, header.epoch.random);
            let is_ours = header.file_id == meta.parameters.file_id
                && epoch == (meta.log.epoch_counter, meta.log.epoch_random)
                && header.segment == number;
            let words = match (is_ours, number >= meta.log.segment) {
                (true, true) if !meta.clean => "needed",
                (true, _) => "litter: the checkpoint has it all",
                (false, _) => "litter, or of another life of the log",
            };
            part.text("state", words);
            return is_ours;
        }
    }
    false
}

/// The operations of a commit that is whole in one record.
fn add_operations(part: &mut Report, place: Place, mut payload: &[u8]) {
    /// Of one commit; the rest is counted.
    const SHOWN_MAX: usize = 100;
    let mut count = 0_u64;
    while !payload.is_empty() {
        let operation = match Operation::decode(payload) {
            Ok((operation, rest)) => {
                payload = rest;
                operation
            }
            Err(fault) => {
                part.find(place, fault);
                break;
            }
        };
        count += 1;
        if part.children.len() < SHOWN_MAX {
            let (name, key, value) = match operation {
                Operation::Insert { key, value } => ("insert", Some(key), Some(value)),
                Operation::Remove { key } => ("remove", Some(key), None),
                Operation::SetMetadata { metadata } => ("set metadata", None, Some(metadata)),
            };
            let mut operation = Report::new(name);
            key.into_iter().for_each(|key| operation.text("key", escape_start(key)));
            value.into_iter().for_each(|value| operation.text("value", escape_start(value)));
            part.children.push(operation);
        }
    }
    part.number("operations", count);
}
