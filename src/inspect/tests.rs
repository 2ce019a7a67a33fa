//! Tests of the inspector on files in memory, sound and damaged.

#![allow(clippy::cast_possible_truncation, reason = "the numbers of these tests are small")]

use std::path::Path;
use std::sync::Arc;

use super::{Inspector, Value};
use crate::Error;
use crate::storage::memory::MemoryStorage;
use crate::storage::{OpenMode, Storage};
use crate::table::tests_support::{Built, key, value};

fn inspect(bytes: &[u8]) -> Result<Inspector, Error> {
    let storage = MemoryStorage::new(bytes.len().next_multiple_of(8));
    let file = storage.open(Path::new("/f"), OpenMode::CreateNew).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    Inspector::open_on(Arc::new(storage), Path::new("/f"))
}

/// Overflow, large records, and a sweep half done.
fn built() -> Built {
    let mut built = Built::new(4096, 60, 4 << 20);
    let mut i = 0;
    while !built.table.is_sweeping() {
        let len = if i % 97 == 0 { 6000 } else { 200 + i as usize % 3 * 150 };
        built.insert(&key(i), &value(i, len));
        i += 1;
    }
    built.checkpoint(true);
    built
}

fn text(value: Option<&Value>) -> String {
    value.map(Value::to_string).unwrap_or_default()
}

#[test]
fn the_way_of_a_lookup_ends_where_a_lookup_ends() {
    let built = built();
    let inspector = inspect(&built.bytes()).unwrap();
    let mut in_overflow = 0;
    for i in 0..700 {
        let report = inspector.key(&key(i)).unwrap();
        assert!(report.is_sound(), "{report}");
        let expected = if built.get(&key(i)).is_some() { "found" } else { "absent" };
        assert_eq!(text(report.field("result")), expected, "{report}");
        in_overflow += u32::from(text(report.field("pages_read")) == "2");
    }
    assert!(in_overflow > 10, "{in_overflow}");
    let value = inspector.key(&key(1)).unwrap();
    assert!(text(value.field("value")).starts_with("\"\\x01\\x00\\x00\\x00"), "{value}");
}

#[test]
fn every_page_bucket_and_meta_page_of_a_sound_file_is_sound() {
    let built = built();
    let inspector = inspect(&built.bytes()).unwrap();
    let meta = inspector.meta().unwrap();
    assert!(meta.is_sound(), "{meta}");
    let mut kinds = std::collections::BTreeSet::new();
    for page in 0..inspector.page_limit() {
        let report = inspector.page(page).unwrap();
        assert!(report.is_sound(), "{report}");
        kinds.insert(text(report.field("kind")));
    }
    assert_eq!(kinds.len(), 7, "{kinds:?}");
    for bucket in 0..60 {
        let report = inspector.bucket(bucket).unwrap();
        assert!(report.is_sound(), "{report}");
    }
    assert!(matches!(inspector.bucket(1 << 40), Err(Error::InvalidOption { .. })));
    let mut calls = 0;
    let report = inspector.check(|done, total| calls += u32::from(done <= total)).unwrap();
    assert!(report.is_sound() && calls > 1, "{report}");
}

#[test]
fn every_field_of_a_meta_page_is_named_as_in_its_table() {
    let source = include_str!("../page/meta.rs");
    let table = source.lines().take_while(|line| !line.contains("3072 1024"));
    let rows = table.filter_map(|line| {
        let mut words = line.strip_prefix("//!")?.split_whitespace();
        let numbers = (words.next()?.parse::<u32>().ok()?, words.next()?.parse::<u32>().ok()?);
        Some((numbers, words.next()?))
    });
    let report = inspect(&built().bytes()).unwrap().meta().unwrap();
    let mut count = 0;
    for (_, name) in rows {
        assert!(report.children[0].field(name).is_some(), "{name}");
        count += 1;
    }
    assert_eq!(count, 35);
    assert_eq!(text(report.children[0].field("page_size")), "4096");
}

#[test]
fn a_flipped_bit_is_stated_and_the_rest_decoded() {
    let built = built();
    let bytes = built.bytes();
    let inspector = inspect(&bytes).unwrap();
    for page in 4..inspector.page_limit() {
        if text(inspector.page(page).unwrap().field("kind")) != "bucket" {
            continue;
        }
        let mut damaged = bytes.clone();
        damaged[page as usize * 4096 + 4000] ^= 1;
        let report = inspect(&damaged).unwrap().page(page).unwrap();
        assert!(!report.is_sound());
        let owner = |report: &super::Report| text(report.field("owner"));
        assert_eq!(owner(&report), owner(&inspector.page(page).unwrap()));
        assert!(report.to_string().contains("! damage, page"), "{report}");
    }
}

#[test]
fn what_is_no_index_is_refused_and_what_is_left_of_one_is_not() {
    for bytes in [&b""[..], b"# a text\n", &[0; 70_000], &[0xff; 70_000]] {
        assert!(matches!(inspect(bytes), Err(Error::NotAnIndex { .. })));
    }
    let bytes = built().bytes();
    let page_count = inspect(&bytes).unwrap().usable_meta().unwrap().page_count as usize;
    for end in [1000, 4095, 4096, 16_384, 20_000, page_count * 4096 - 1] {
        let inspector = inspect(&bytes[..end]).unwrap();
        assert!(!inspector.meta().unwrap().is_sound(), "cut at {end}");
        let _ = inspector.check(|_, _| {}).map(|report| assert!(!report.is_sound()));
        let _ = (inspector.page(5), inspector.key(b"k"), inspector.bucket(0));
    }
    let mut headless = bytes.clone();
    headless[..16_384].fill(0);
    let inspector = inspect(&headless).unwrap();
    assert!(matches!(inspector.key(b"k"), Err(Error::Corruption(_))));
    assert!((4..40).any(|page| inspector.page(page).unwrap().field("owner").is_some()));
}

#[test]
fn no_bytes_make_it_panic_or_run_on() {
    let bytes = built().bytes();
    let mut state = 3_u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % below
    };
    for _ in 0..300 {
        let mut damaged = bytes.clone();
        for _ in 0..1 + next(200) {
            let at = next(damaged.len() / 8) * 8;
            let at = if next(3) == 0 { at % 16_384 } else { at };
            let word = [0, u64::MAX, 1 << 33, next(1 << 30) as u64][next(4)];
            damaged[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        let Ok(inspector) = inspect(&damaged) else { continue };
        let _ = inspector.meta().unwrap().to_string();
        for page in 0..inspector.page_limit() {
            let _ = inspector.page(page).unwrap().to_string();
        }
        for bucket in 0..70 {
            let _ = inspector.bucket(bucket).map(|report| report.to_string());
        }
        for i in 0..20 {
            let _ = inspector.key(&key(i)).map(|report| report.to_string());
        }
        let _ = inspector.check(|_, _| {});
    }
}
