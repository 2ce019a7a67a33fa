//! Tests of bucket pages.

use super::*;
use crate::hash::hash;
use crate::page::edit::PageOf;
use crate::page::{Frame, Kind, record_count};
use std::collections::HashMap;
use std::convert::Infallible;

struct Exact<'k>(&'k [u8]);

impl KeyMatch for Exact<'_> {
    type Error = Infallible;
    fn matches_inline(&self, key: &[u8]) -> bool {
        key == self.0
    }
    fn matches_large(&self, _: &LargeRecord) -> Result<bool, Infallible> {
        Ok(false)
    }
}

fn get(frame: &Frame<'_>, key: &[u8]) -> Option<Vec<u8>> {
    let cells = cell_count(frame.view());
    match find(frame.view(), &Shape::General, cells, hash(key, 0), &Exact(key)) {
        Ok(Found::Record(_, Record::Inline { value, .. })) => Some(value.to_vec()),
        _ => None,
    }
}

fn place(frame: &Frame<'_>, key: &[u8]) -> Option<SlotPlace> {
    match find(frame.view(), &Shape::General, cell_count(frame.view()), hash(key, 0), &Exact(key)) {
        Ok(Found::Record(place, _)) => Some(place),
        _ => None,
    }
}

#[test]
fn a_page_is_a_small_map() {
    for page_size in [4096, 65536] {
        let mut memory = super::super::view::tests_support::Memory::new(page_size);
        let mut frame = memory.frame();
        let of = PageOf { kind: Kind::Bucket, owner: 3, bucket_count: 10, shape: Shape::General };
        of.fill_with(&mut frame, 3, &[]);
        let mut model: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
        let mut state = 1_u64;
        let mut full = 0;
        for _ in 0..3_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let key = format!("key {}", state >> 33 & 63).into_bytes();
            let value = vec![state as u8; (state >> 40 & 127) as usize];
            let record = Record::Inline { key: &key, value: &value };
            let h = hash(&key, 0);
            let done = match (state >> 60, place(&frame, &key)) {
                (0..4, Some(at)) => {
                    frame.remove(&Shape::General, at);
                    model.remove(&key);
                    true
                }
                (0..4, None) => true,
                (_, Some(at)) => frame.replace(&Shape::General, at, h, &record),
                (_, None) => frame.insert(&Shape::General, h, &record),
            };
            if !done {
                full += 1;
                let mut other = super::super::view::tests_support::Memory::new(page_size);
                let mut copy = other.frame();
                let live: Vec<_> = model
                    .iter()
                    .map(|(k, v)| (hash(k, 0), Record::Inline { key: k, value: v }))
                    .collect();
                let rest = of.fill(&mut copy, &live);
                let homeless: Vec<Vec<u8>> = rest
                    .iter()
                    .map(|(_, record)| match record {
                        Record::Inline { key, .. } => key.to_vec(),
                        Record::Large(..) => unreachable!(),
                    })
                    .collect();
                for key in &homeless {
                    model.remove(key);
                }
                frame.copy_from(copy.view());
            } else if state >> 60 >= 4 {
                model.insert(key, value);
            }
            check_structure(frame.view()).unwrap();
            assert_eq!(record_count(frame.view()), model.len());
        }
        assert!(full > 0, "the page never filled up");
        for (key, value) in &model {
            assert_eq!(get(&frame, key).as_ref(), Some(value));
        }
        assert_eq!(get(&frame, b"absent"), None);
        for found in records(frame.view()) {
            let (place, tag, Record::Inline { key, .. }) = found.unwrap() else { unreachable!() };
            assert!(is_reachable(frame.view(), place, tag, hash(key, 0)));
        }
    }
}

#[test]
fn the_filter_admits_what_was_noted() {
    let mut memory = super::super::view::tests_support::Memory::new(4096);
    let mut frame = memory.frame();
    PageOf { kind: Kind::Bucket, owner: 0, bucket_count: 1, shape: Shape::General }.fill_with(
        &mut frame,
        4,
        &[],
    );
    let noted = hash(b"noted", 0);
    assert!(!admits_overflow(frame.view(), noted));
    frame.note_overflow(noted);
    assert!(admits_overflow(frame.view(), noted));
    let others = (0..1000_u32).filter(|i| admits_overflow(frame.view(), hash(&i.to_le_bytes(), 0)));
    assert!(others.count() < 40, "one bit of 64 is set");
}

#[test]
fn a_full_page_without_one_of_its_records_still_fits_a_page() {
    use super::super::view::tests_support::Memory;
    let of = PageOf { kind: Kind::Bucket, owner: 0, bucket_count: 1, shape: Shape::General };
    let bytes = [7; 1000];
    let (mut memory, mut other) = (Memory::new(4096), Memory::new(4096));
    for (long, short) in (0..400).flat_map(|long| [(long, long / 2), (long, long / 3)]) {
        let record = |len| Record::Inline { key: &bytes[..8], value: &bytes[..len] };
        let mut frame = memory.frame();
        // The page is made for few long records, then filled in place with short ones.
        let mut hash = 0x1234_5678_9abc_def1_u64;
        let mut records = vec![(0, record(long)), (1 << 40, record(long))];
        of.fill(&mut frame, &records);
        while frame.insert(&Shape::General, hash, &record(short)) {
            records.push((hash, record(short)));
            hash = hash.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        }
        records.remove(0);
        let left = of.fill(&mut other.frame(), &records).len();
        assert_eq!(left, 0, "{} values of {short} after some of {long}", records.len());
    }
}

#[test]
fn a_copy_has_every_record_and_no_dead_byte() {
    use super::super::view::tests_support::Memory;
    let of = PageOf { kind: Kind::Bucket, owner: 7, bucket_count: 9, shape: Shape::General };
    let (mut memory, mut other) = (Memory::new(4096), Memory::new(4096));
    let (mut frame, mut copy) = (memory.frame(), other.frame());
    let value_of = |version: usize, i: u8| vec![i; 20 + 7 * version + usize::from(i)];
    let insert = |frame: &mut Frame<'_>, version, i: u8| {
        let (key, value) = ([i; 9], value_of(version, i));
        let record = Record::Inline { key: &key, value: &value };
        match place(frame, &key) {
            Some(at) => frame.replace(&Shape::General, at, hash(&key, 0), &record),
            None => frame.insert(&Shape::General, hash(&key, 0), &record),
        }
    };
    of.fill_with(&mut frame, 4, &[]);
    frame.note_overflow(hash(b"elsewhere", 0));
    assert!((0..24).all(|i| insert(&mut frame, 0, i)));
    let gone = place(&frame, &[5; 9]).unwrap();
    frame.remove(&Shape::General, gone);
    assert!((0..9).filter(|&i| i != 5).all(|i| insert(&mut frame, 1, i)));
    let version = |i: u8| usize::from(i < 9);
    let check = |copy: &Frame<'_>, without: &[u8]| {
        check_structure(copy.view()).unwrap();
        check_tidy(copy.view()).unwrap();
        assert_eq!(heap_start(copy.view()) + live_len(copy.view()), 4096);
        assert!(admits_overflow(copy.view(), hash(b"elsewhere", 0)));
        for i in 0..24 {
            let expected = (!without.contains(&i)).then(|| value_of(version(i), i));
            assert_eq!(get(copy, &[i; 9]), expected, "{i}");
        }
    };
    copy.copy_from(frame.view());
    check(&copy, &[5]);
    assert_eq!(place(&copy, &[3; 9]), place(&frame, &[3; 9]));
    // Without one, and with another in its stead.
    let without = place(&frame, &[11; 9]);
    let hash_of = |record: &Record<'_>| hash(record.key_in_page().unwrap(), 0);
    assert!(of.remake(&mut copy, frame.view(), without, None, hash_of));
    check(&copy, &[5, 11]);
    let value = value_of(0, 11);
    let with = Record::Inline { key: &[11; 9], value: &value };
    let with = Some((hash(&[11; 9], 0), &with));
    assert!(of.remake(&mut copy, frame.view(), without, with, hash_of));
    check(&copy, &[5]);
}
