//! What a check found, in words and numbers. Knows nothing of how it is found.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::{Corruption, Fault, Place, Promise};
use crate::pager::PageSet;

/// Findings that a report keeps; of the others it keeps the number.
pub(crate) const FINDINGS_MAX: usize = 1000;

/// How much a [`Finding`] matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// What a crash may leave, and what the next open for writing mends. No record is affected.
    Notice,
    /// A broken promise: records may be lost or wrong.
    Damage,
}

/// A broken promise that [`Index::check`](crate::Index::check) or the inspector found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Finding {
    /// Where in the file.
    pub place: Place,
    /// What should hold and does not.
    pub promise: Promise,
    /// What should stand there.
    pub expected: u64,
    /// What stands there.
    pub found: u64,
    /// How much it matters.
    pub severity: Severity,
}

impl Finding {
    pub(crate) fn new(place: Place, fault: Fault) -> Finding {
        let Fault { promise, expected, found } = fault;
        Finding { place, promise, expected, found, severity: Severity::Damage }
    }

    /// The same as an error about a file.
    pub(crate) fn into_corruption(self, file: &Path) -> Corruption {
        let Finding { place, promise, expected, found, .. } = self;
        Corruption { file: file.to_owned(), place, promise, expected, found }
    }

    /// What to do about it, in one sentence.
    pub fn next_step(&self) -> &'static str {
        match (self.severity, self.promise) {
            (Severity::Notice, _) => "open the file for writing, which mends it",
            (_, Promise::FileLength) => "the file was cut off: restore a backup or the missing end",
            (_, Promise::PageRead) => "the device fails: copy what can be read to another one",
            (_, Promise::Count) => "all records can be read: export them and load them anew",
            (_, Promise::PageUse) => {
                "do not write to this file: restore a backup, or export it and load it anew"
            }
            _ => "restore a backup, or save what is left with `splitpoint salvage`",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { place, promise, expected, found, severity } = self;
        let severity = match severity {
            Severity::Notice => "notice",
            Severity::Damage => "damage",
        };
        write!(
            f,
            "{severity}, {place}: broken promise: {promise} (expected {expected:#x}, found {found:#x}); {}",
            self.next_step()
        )
    }
}

/// What a check read and found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckReport {
    /// The data file.
    pub file: PathBuf,
    /// The checkpoint that was checked.
    pub generation: u64,
    /// The broken promises, at most 1,000 of them.
    pub findings: Vec<Finding>,
    /// How many more there are.
    pub findings_left_out: u64,
    /// Pages that the file has, by its meta page.
    pub page_count: u64,
    /// Pages that the check reached: of directories, bitmap, buckets, overflow and values, and the
    /// meta pages.
    pub reached_page_count: u64,
    /// Bucket pages that were read.
    pub bucket_page_count: u64,
    /// Overflow pages that were read.
    pub overflow_page_count: u64,
    /// Value pages that were read.
    pub value_page_count: u64,
    /// Bytes of large records in them; the rest is dead.
    pub value_len: u64,
    /// Records that were read.
    pub record_count: u64,
    /// Bytes that were read from the file.
    pub bytes_read: u64,
    /// Whether everything was looked at. If not, the contents of a damaged page were left out, and
    /// so were the counts.
    pub is_complete: bool,
    /// Pages in use of which nothing can be said, because only a damaged page leads to them: value
    /// pages above all, since a value is proven by its record.
    pub unproven_page_count: u64,
    /// They, in the order of the file; at most 1,000 stretches.
    pub unproven: Vec<Range<u64>>,
    /// Whole commits in the log behind this checkpoint, if an inspector checked it.
    pub log_commit_count: u64,
    /// Operations in them.
    pub log_operation_count: u64,
    /// Whether a writer in another process moved on each time that this was tried, so that nothing
    /// can be said. There are no findings then, and it is not sound either.
    pub is_overtaken: bool,
}

impl CheckReport {
    pub(crate) fn new(file: &Path, generation: u64, page_count: u64) -> CheckReport {
        CheckReport {
            file: file.to_owned(),
            generation,
            findings: Vec::new(),
            findings_left_out: 0,
            page_count,
            reached_page_count: 0,
            bucket_page_count: 0,
            overflow_page_count: 0,
            value_page_count: 0,
            value_len: 0,
            record_count: 0,
            bytes_read: 0,
            is_complete: true,
            unproven_page_count: 0,
            unproven: Vec::new(),
            log_commit_count: 0,
            log_operation_count: 0,
            is_overtaken: false,
        }
    }

    /// Whether no promise is broken, but for what a crash may leave.
    pub fn is_sound(&self) -> bool {
        !self.is_overtaken
            && self.findings_left_out == 0
            && self.findings.iter().all(|finding| finding.severity < Severity::Damage)
    }

    /// How many promises are broken, those that were left out included.
    pub fn finding_count(&self) -> u64 {
        self.findings.len() as u64 + self.findings_left_out
    }

    /// A writer moved on at each look: nothing is claimed.
    pub(crate) fn overtake(&mut self) {
        self.findings.clear();
        self.findings_left_out = 0;
        self.unproven_page_count = 0;
        self.unproven.clear();
        self.is_complete = false;
        self.is_overtaken = true;
    }

    /// Notes the pages of which nothing can be said.
    pub(crate) fn leave_unproven(&mut self, pages: &PageSet) {
        self.unproven_page_count = pages.len();
        for page in (0..pages.end()).filter(|page| pages.contains(*page)) {
            let is_full = self.unproven.len() == FINDINGS_MAX;
            match self.unproven.last_mut().filter(|last| last.end == page) {
                Some(last) => last.end = page + 1,
                None if is_full => return,
                None => self.unproven.push(page..page + 1),
            }
        }
    }

    pub(crate) fn add(&mut self, finding: Finding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.findings_left_out += 1;
        }
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        if self.findings_left_out > 0 {
            writeln!(f, "and {} more", self.findings_left_out)?;
        }
        write!(
            f,
            "{}: generation {}, {} pages of {} in use, {} records, {} bytes read: {}",
            self.file.display(),
            self.generation,
            self.reached_page_count,
            self.page_count,
            self.record_count,
            self.bytes_read,
            match (self.is_sound(), self.is_complete) {
                _ if self.is_overtaken => "overtaken by a writer, nothing can be said".to_owned(),
                (true, _) => "sound".to_owned(),
                (false, true) => format!("{} findings", self.finding_count()),
                (false, false) => format!(
                    "{} findings, and {} pages of which nothing can be said",
                    self.finding_count(),
                    self.unproven_page_count
                ),
            }
        )
    }
}
