//! Tests of the check: sound files have no findings, damaged ones are found at the right page.

#![allow(clippy::cast_possible_truncation, reason = "the numbers of these tests are small")]

mod more;
mod pages;
mod records;
mod sample;
mod sound;

use std::path::Path;

use super::{CheckReport, check};
use crate::pager::read_meta;
use crate::table::tests_support::{Built, file_of};

/// Checks the newest checkpoint of a file with these bytes.
pub(super) fn check_bytes(bytes: &[u8]) -> CheckReport {
    let file = file_of(bytes);
    let path = Path::new("/table");
    let meta = read_meta(&*file, path).unwrap().newest;
    check(&*file, path, &meta, &mut |_, _| {}).unwrap()
}

/// Asserts that the last checkpoint of a table is sound; gives the report.
pub(super) fn assert_sound(built: &Built) -> CheckReport {
    let report = check_bytes(&built.bytes());
    assert!(report.findings.is_empty(), "{report}");
    assert!(report.is_sound() && report.is_complete);
    report
}
