//! What stands in a file, sound or damaged: the library's reports, asked for by what the user
//! named. Knows nothing of arguments and printing.

use std::path::Path;

use splitpoint::inspect::{HexView, Inspector, Report};

use crate::failure::{Context, Failure};

/// What to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The four meta pages.
    Meta,
    /// The directories.
    Directory,
    /// The bitmap of used pages.
    Bitmap,
    /// A page, by its number.
    Page(u64),
    /// A bucket: its page, and its share of the overflow.
    Bucket(u64),
    /// The overflow chain of a run.
    Overflow(u64),
    /// A page of a large record.
    Value(u64),
    /// The log, or one segment of it, and how many records of each segment.
    Log(Option<u64>, usize),
    /// The place of a key.
    Key(Vec<u8>),
}

/// Looks, without a lock and without writing.
pub(crate) fn view(path: &Path, subject: &Subject) -> Result<Report, Failure> {
    let inspector = Inspector::open(path).opening(path)?;
    report(&inspector, subject).working(path)
}

fn report(inspector: &Inspector, subject: &Subject) -> splitpoint::Result<Report> {
    match subject {
        Subject::Meta => inspector.meta(),
        Subject::Directory => inspector.directory(),
        Subject::Bitmap => inspector.bitmap(),
        Subject::Page(number) => inspector.page(*number),
        Subject::Bucket(number) => inspector.bucket(*number),
        Subject::Overflow(run) => inspector.overflow(*run),
        Subject::Value(page) => inspector.value(*page),
        Subject::Log(segment, records_max) => inspector.log(*segment, *records_max),
        Subject::Key(key) => inspector.key(key),
    }
}

/// As [`view`], and the bytes of every page that the report is about.
pub(crate) fn view_with_bytes(
    path: &Path,
    subject: &Subject,
) -> Result<(Report, Vec<HexView>), Failure> {
    let inspector = Inspector::open(path).opening(path)?;
    let report = report(&inspector, subject).working(path)?;
    let mut pages = Vec::new();
    if let Subject::Log(..) = subject {
        for child in &report.children {
            let number = child.name.strip_prefix("segment ").and_then(|n| n.parse().ok());
            if let Some(number) = number {
                pages.push(inspector.hex_segment(number).working(path)?);
            }
        }
        return Ok((report, pages));
    }
    let mut numbers = Vec::new();
    collect(&report, &mut numbers);
    pages.extend(numbers.into_iter().map(|number| inspector.hex(number)));
    Ok((report, pages))
}

fn collect(report: &Report, numbers: &mut Vec<u64>) {
    if let Some(page) = report.page
        && !numbers.contains(&page)
    {
        numbers.push(page);
    }
    report.children.iter().for_each(|child| collect(child, numbers));
}
