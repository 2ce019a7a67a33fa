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
    assert_eq!(kinds.len(), 6, "{kinds:?}");
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
    assert_eq!(count, 31);
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
        let stat = inspector.stat(|_, _| {});
        assert!(stat.is_err() || stat.unwrap().pages.iter().map(|s| s.bytes).sum::<u64>() > 0);
    }
}

/// Once the value was not looked at, and the answer was "found".
#[test]
fn a_large_value_that_rots_is_damage_on_the_way() {
    let built = built();
    let bytes = built.bytes();
    let page = inspect(&bytes).unwrap().key(&key(97)).unwrap();
    let Some(Value::Number(page)) = page.field("page").cloned() else { panic!("{page}") };
    let mut damaged = bytes.clone();
    damaged[page as usize * 4096 + 5000] ^= 1;
    let inspector = inspect(&damaged).unwrap();
    let report = inspector.key(&key(97)).unwrap();
    assert_eq!(text(report.field("result")), "damaged", "{report}");
    assert_eq!(text(inspector.key(&key(96)).unwrap().field("result")), "found");
    let value = inspector.value(page + 1).unwrap();
    assert!(!value.is_sound() && text(value.field("first_page")) == page.to_string(), "{value}");
    assert!(inspect(&bytes).unwrap().value(page + 1).unwrap().is_sound());
}

#[test]
fn trees_and_chains_are_shown_and_the_bytes_of_each_page_have_names() {
    let built = built();
    let inspector = inspect(&built.bytes()).unwrap();
    let meta = inspector.usable_meta().unwrap().clone();
    let bitmap = inspector.bitmap().unwrap();
    let used = (meta.page_count - meta.free_page_count).to_string();
    assert!(bitmap.is_sound() && text(bitmap.field("used")) == used, "{bitmap}");
    let directory = inspector.directory().unwrap();
    assert!(directory.is_sound() && directory.children.len() == 4, "{directory}");
    let overflow = inspector.overflow(3).unwrap();
    assert!(overflow.is_sound() && text(overflow.field("kind")) == "overflow", "{overflow}");
    let mut names = std::collections::BTreeSet::new();
    for page in 0..inspector.page_limit() {
        let view = inspector.hex(page);
        let mut at = 0;
        for span in &view.spans {
            assert_eq!(span.range.start, at);
            at = span.range.end;
            let name = span.name.split_whitespace();
            names.extend(name.filter(|word| word.parse::<u32>().is_err()).map(str::to_owned));
        }
        assert_eq!(at, 4096);
    }
    for name in ["magic", "generation", "heap_start", "tag", "spill", "key", "value", "word"] {
        assert!(names.contains(name), "{name}: {names:?}");
    }
}

#[test]
fn the_census_agrees_with_the_meta_page() {
    let built = built();
    let inspector = inspect(&built.bytes()).unwrap();
    let meta = inspector.usable_meta().unwrap().clone();
    let stat = inspector.stat(|_, _| {}).unwrap();
    assert!(stat.check.is_sound(), "{}", stat.check);
    assert_eq!(stat.record_count, meta.counts.record_count);
    assert_eq!(stat.bytes("overflow_pages"), meta.counts.overflow_page_count * 4096);
    assert_eq!(stat.bytes("value_pages"), meta.counts.value_page_count * 4096);
    assert_eq!(stat.bytes("free_pages"), meta.free_page_count * 4096);
    assert_eq!(stat.bytes("unproven_pages"), 0);
    assert!(stat.longest_chain > 0 && stat.pages_per_hit > 1.0 && stat.pages_per_miss > 0.9);
    let mut damaged = built.bytes();
    let bucket = (4..).find(|&page| text(inspector.page(page).unwrap().field("kind")) == "bucket");
    damaged[bucket.unwrap() as usize * 4096 + 4090] ^= 1;
    let hurt = inspect(&damaged).unwrap().stat(|_, _| {}).unwrap();
    assert_eq!(hurt.bytes("unproven_pages"), 4096);
    assert!(hurt.record_count < stat.record_count && !hurt.check.is_sound());
}

/// Changes every record and writes a checkpoint, again and again: what the first one left is
/// overwritten.
fn move_on(built: &mut Built) {
    for round in 0..3 {
        for i in 0..300 {
            built.insert(&key(i), &value(i, 100 + round));
        }
        built.checkpoint(true);
    }
}

#[test]
fn a_writer_that_moves_on_is_no_damage() {
    let mut built = built();
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new(8));
    let path = Path::new("/table");
    let inspector = Inspector::of_file(storage, built.file(), path).unwrap();
    move_on(&mut built);
    // Of the checkpoint that it found when it was opened nothing is left.
    let meta = inspector.usable_meta().unwrap();
    let stale = crate::table::check::check(&*inspector.file, path, meta, &mut |_, _| {}).unwrap();
    assert!(!stale.is_sound(), "{stale}");
    let report = inspector.check(|_, _| {}).unwrap();
    assert!(report.is_sound() && report.generation > meta.generation, "{report}");
    assert!(inspector.stat(|_, _| {}).unwrap().check.is_sound());
    assert!(inspector.key(&key(1)).unwrap().is_sound());
    // A writer that is always faster.
    let stale = |inspector: &Inspector| {
        move_on(&mut built);
        Ok(inspector.page_limit())
    };
    let (_, is_overtaken) = inspector.steadily(|_| false, stale).unwrap();
    assert!(is_overtaken);
    // And damage that stays when the writer rests.
    let (_, is_overtaken) = inspector.steadily(|_| false, |_| Ok(())).unwrap();
    assert!(!is_overtaken);
}
