//! What stands on the pages of a file, sound or damaged: the one place that asks the library for
//! its page views. Knows nothing of arguments and printing.

use std::path::Path;

use crate::failure::Failure;

/// What to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The four meta pages.
    Meta,
    /// A page, by its number.
    Page(u64),
    /// A bucket: its page, and its share of the overflow.
    Bucket(u64),
    /// The place of a key.
    Key(Vec<u8>),
}

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// The `Debug` text of the page's view, as much as could be read.
    pub(crate) text: String,
    /// The broken promises, in words; empty if all is well.
    pub(crate) damage: Vec<String>,
}

/// Looks, without a lock and without writing.
pub(crate) fn view(path: &Path, subject: &Subject) -> Result<View, Failure> {
    Err(Failure::Work(format!("{}: {subject:?}: no page views in this build", path.display())))
}
