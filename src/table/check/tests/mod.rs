//! Tests of the check: sound files have no findings, damaged ones are found at the right page.

#![allow(clippy::cast_possible_truncation, reason = "the numbers of these tests are small")]

mod more;
mod pages;
mod records;
mod sample;
mod sound;

use std::path::Path;

use super::trees::{is_in, merged};
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

#[test]
fn unknown_stretches_that_touch_are_one() {
    let apart = merged(vec![60..70, 0..10, 20..30, 10..20, 65..80, 90..u64::MAX]);
    assert_eq!(apart, [0..30, 60..80, 90..u64::MAX]);
    for (at, expected) in [(0, true), (29, true), (30, false), (59, false), (79, true), (80, false)]
    {
        assert_eq!(is_in(&apart, at), expected, "{at}");
    }
    assert!(!is_in(&[], 0));
}
