//! The list of calls: what each was, what it changed and how it ended, for a failing seed's reader
//! and for a replay.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::durable::Change;

/// What a call was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CallKind {
    /// A file was opened.
    Open,
    /// A file was created and opened.
    Create,
    /// A name was changed.
    Rename,
    /// A name was removed.
    Remove,
    /// A folder was synced.
    SyncDir,
    /// Names, an identity, a length or a canonical path were asked for.
    Stat,
    /// Random bytes were asked for.
    Random,
    /// A file was read.
    Read,
    /// A file was written to.
    Write,
    /// A file was made longer or shorter.
    SetLen,
    /// A file was synced.
    SyncData,
    /// A lock was asked for.
    Lock,
    /// A file was mapped.
    Map,
    /// Not a call: clean pages left the cache.
    Evict,
}

/// One call.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) kind: CallKind,
    pub(super) path: Arc<Path>,
    pub(super) range: Range<u64>,
    pub(super) error: Option<io::ErrorKind>,
    pub(super) change: Option<Change>,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = format!("{:?}", self.kind);
        write!(f, "{kind:<8} {}", self.path.display())?;
        if let Some(Change::Rename { to, .. }) = &self.change {
            write!(f, " -> {}", to.display())?;
        }
        if self.range != (0..0) {
            write!(f, " {}..{}", self.range.start, self.range.end)?;
        }
        if let Some(error) = self.error {
            write!(f, "  failed: {error}")?;
        }
        Ok(())
    }
}

/// The calls line by line, with the cut marked before the call that it forestalls.
pub(super) fn print(records: &[Record], cut: Option<usize>) -> String {
    use fmt::Write;
    let mut text = String::new();
    for index in 0..=records.len() {
        if cut == Some(index) {
            text.push_str("------ power cut ------\n");
        }
        if let Some(record) = records.get(index) {
            writeln!(text, "{index:>6} {record}").expect("a string takes everything");
        }
    }
    text
}
