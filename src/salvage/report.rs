//! What a salvage found, and what is lost.

use std::fmt;
use std::path::PathBuf;

use crate::error::{Fault, Place, Promise};

/// Losses that are kept; the others are counted.
const LOSSES_MAX: usize = 10_000;

/// A part of the damaged file that is not what was written there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Loss {
    /// Where it is.
    pub place: Place,
    /// What stood there: `bucket page`, `overflow page`, `directory page`, `bitmap page`,
    /// `large record`, `record`, `meta page`, `log`, or `page in use`.
    pub what: &'static str,
    /// Of which bucket or run, or from which word of an array on; `None` where that has no meaning.
    pub owner: Option<u64>,
    /// What is wrong with it.
    pub promise: Promise,
    /// What should stand there.
    pub expected: u64,
    /// What does.
    pub found: u64,
    /// Whether what it held was found elsewhere: a page that stands in the place of another.
    pub is_recovered: bool,
}

impl Loss {
    pub(super) fn new(place: Place, what: &'static str, fault: Fault) -> Loss {
        let Fault { promise, expected, found } = fault;
        Loss { place, what, owner: None, promise, expected, found, is_recovered: false }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_recovered { "found elsewhere" } else { "lost" };
        write!(f, "{verdict}, {}: {}", self.place, self.what)?;
        if let Some(owner) = self.owner {
            let of = match self.what {
                "bucket page" => "bucket",
                "overflow page" => "run",
                _ => "entries from",
            };
            write!(f, " ({of} {owner})")?;
        }
        write!(f, "; {}: expected {:#x}, found {:#x}", self.promise, self.expected, self.found)
    }
}

/// What a salvage found, wrote and lost. `Display` is for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SalvageReport {
    /// The damaged file.
    pub file: PathBuf,
    /// The generation of the meta page that it went by; `None` if none was whole.
    pub generation: Option<u64>,
    /// Whether the newest meta page is lost, or none was whole: pages were then taken by their
    /// generations alone, and a removed record may have come back.
    pub by_generation: bool,
    /// Whole pages that the damaged file has, whatever their contents.
    pub page_count: u64,
    /// Bucket and overflow pages of the newest state that were read.
    pub sound_page_count: u64,
    /// Pages of older states that were read to fill what is lost.
    pub older_page_count: u64,
    /// Records in the new file that come from them: they may be out of date, or removed since.
    pub older_record_count: u64,
    /// Commits of the log that were added.
    pub log_commit_count: u64,
    /// Records in the new file.
    pub record_count: u64,
    /// Records that the meta page counts and that were not found on pages of the newest state: an
    /// estimate of what is lost. `None` without a meta page to tell.
    pub lost_record_count: Option<u64>,
    /// What is lost, in the order of the file; the first 10,000.
    pub losses: Vec<Loss>,
    /// How many are not in the list.
    pub losses_left_out: u64,
}

impl SalvageReport {
    /// Whether everything was found.
    pub fn is_whole(&self) -> bool {
        !self.by_generation && self.losses.iter().all(|loss| loss.is_recovered)
    }

    pub(super) fn set_losses(&mut self, mut losses: Vec<Loss>) {
        losses.sort_by_key(|loss| (key(loss.place), loss.owner));
        self.losses_left_out = losses.len().saturating_sub(LOSSES_MAX) as u64;
        losses.truncate(LOSSES_MAX);
        self.losses = losses;
    }
}

/// The order of the file; its log last.
fn key(place: Place) -> (u8, u64, u64) {
    match place {
        Place::MetaPage(slot) => (0, slot.into(), 0),
        Place::Page(page) | Place::Pages { first: page, .. } => (1, page, 0),
        Place::Log { segment, offset } => (3, segment, offset),
        _ => (2, 0, 0),
    }
}

impl fmt::Display for SalvageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for loss in &self.losses {
            writeln!(f, "{loss}")?;
        }
        if self.losses_left_out > 0 {
            writeln!(f, "and {} losses more", self.losses_left_out)?;
        }
        if self.by_generation {
            writeln!(
                f,
                "the newest meta page is lost: pages were taken by their generations, and records \
                 that were removed may have come back"
            )?;
        }
        if self.older_record_count > 0 {
            writeln!(
                f,
                "{} from {} older pages: they may be out of date, or removed since",
                match self.older_record_count {
                    1 => "1 record comes".to_owned(),
                    many => format!("{many} records come"),
                },
                self.older_page_count
            )?;
        }
        let is_of_log = |loss: &Loss| matches!(loss.place, Place::Log { .. });
        match self.lost_record_count {
            Some(0) if !self.losses.is_empty() && self.losses.iter().all(is_of_log) => {
                writeln!(f, "no page is lost, but commits of the log are")?;
            }
            Some(0) | None if self.is_whole() => writeln!(f, "nothing is lost")?,
            Some(lost) => writeln!(f, "about {lost} records are lost or from older pages")?,
            None => writeln!(f, "how many records are lost cannot be told")?,
        }
        write!(f, "{} records salvaged", self.record_count)
    }
}
