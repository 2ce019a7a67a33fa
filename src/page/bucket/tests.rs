//! Tests of bucket pages.

use super::*;
use crate::hash::hash;
use crate::page::edit::PageOf;
use crate::page::{Frame, Kind, OwnedPage, put_u32, record_count};
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
                assert!(frame.copy_from(copy.view()));
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
    assert!(copy.copy_from(frame.view()));
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

/// A sound page of six cells with `count` records of 9 bytes, as bytes.
fn page_of(count: u64) -> OwnedPage {
    let mut page = OwnedPage::new(4096);
    let mut frame = page.frame(0, 4096);
    frame.reset(Kind::Bucket, 6, 3, 10);
    for i in 0..count {
        let key = i.to_le_bytes();
        let record = Record::Inline { key: &key[..3], value: &key[..4] };
        assert!(frame.insert(&Shape::General, hash(&key, 0), &record));
    }
    page
}

fn fault_of(page: &OwnedPage) -> Option<Promise> {
    let checked = check_structure(page.view()).and_then(|()| check_tidy(page.view()));
    checked.err().map(|fault| fault.promise)
}

#[test]
fn each_field_of_a_page_is_checked_to_its_edge() {
    let sound = page_of(40);
    assert_eq!(fault_of(&sound), None);
    let heap = heap_start(sound.view());
    assert_eq!((heap, live_len(sound.view())), (4096 - 40 * 9, 40 * 9));
    let cells_end = (HEADER_SIZE + 6 * LINE_SIZE) as u32;
    let heap = heap as u32;
    // Offset, size, value, and what it breaks.
    for (at, size, value, promise) in [
        (5, 1, 0, Some(Promise::CellCount)),
        (5, 1, 64, Some(Promise::CellCount)),
        (5, 1, 63, Some(Promise::RecordBounds)),
        (6, 2, 39, Some(Promise::Count)),
        (6, 2, 41, Some(Promise::Count)),
        (56, 4, cells_end, None),
        (56, 4, cells_end - 1, Some(Promise::RecordBounds)),
        (56, 4, heap - 1, None),
        (56, 4, heap + 1, Some(Promise::RecordBounds)),
        (56, 4, 4096, Some(Promise::RecordBounds)),
        (56, 4, 4097, Some(Promise::RecordBounds)),
        (56, 4, 1 << 31, Some(Promise::RecordSize)),
        (60, 4, 40 * 9 - 1, Some(Promise::Count)),
        (60, 4, 40 * 9 + 1, Some(Promise::RecordBounds)),
        (48, 4, 5, None),
        (52, 4, 1 << 30, Some(Promise::PageRange)),
        (52, 4, 1 << 31, Some(Promise::PageRange)),
        (52, 4, (1 << 30) - 1, None),
        (64 + 2, 1, 5, None),
        (64 + 2, 1, 6, Some(Promise::Reserved)),
        (64 + 3, 1, 1, Some(Promise::Reserved)),
    ] {
        let mut page = page_of(40);
        let bytes = page.bytes_mut().get_mut(at..at + size).unwrap();
        bytes.copy_from_slice(&u32::to_le_bytes(value)[..size]);
        assert_eq!(fault_of(&page), promise, "{value} at {at}");
    }
    // Without records there is nothing at the page's end.
    let mut empty = page_of(0);
    assert_eq!(fault_of(&empty), None);
    empty.bytes_mut()[60] = 1;
    assert_eq!(fault_of(&empty), Some(Promise::RecordBounds));
    // More bytes live than there are, where there is room for them.
    let mut page = page_of(40);
    put_u32(page.bytes_mut(), 56, cells_end);
    put_u32(page.bytes_mut(), 60, 40 * 9 + 1);
    assert_eq!(fault_of(&page), Some(Promise::Count));
}

#[test]
fn each_slot_of_a_page_is_checked() {
    let slot_of = |page: &OwnedPage, nth: usize| {
        let slot = slots(page.view()).nth(nth).unwrap();
        (HEADER_SIZE + slot.place.cell * LINE_SIZE + 4 * slot.place.lane, slot.offset as u16)
    };
    let with = |at: usize, offset: u16| {
        let mut page = page_of(40);
        page.bytes_mut()[at + 2..at + 4].copy_from_slice(&offset.to_le_bytes());
        fault_of(&page)
    };
    let page = page_of(40);
    for nth in [0, 17, 39] {
        let (at, offset) = slot_of(&page, nth);
        assert_eq!(with(at, offset), None);
        assert_eq!(with(at, 0), Some(Promise::Count), "a record less");
        assert_eq!(with(at, 127), Some(Promise::RecordBounds));
        assert_eq!(with(at, heap_start(page.view()) as u16 - 1), Some(Promise::RecordBounds));
        assert_eq!(with(at, 4096), Some(Promise::RecordBounds));
        assert_eq!(with(at, u16::MAX), Some(Promise::RecordBounds));
        // Of the same length, so that the sums are right.
        let (_, other) = slot_of(&page, (nth + 1) % 40);
        assert_eq!(with(at, other), Some(Promise::RecordBounds), "two slots of one record");
    }
    // An empty slot with a tag.
    let mut page = page_of(3);
    let used: Vec<usize> = (0..3).map(|nth| slot_of(&page, nth).0).collect();
    let stray = (1..16).map(|lane| HEADER_SIZE + 4 * LINE_SIZE + 4 * lane);
    let stray = stray.into_iter().find(|at| !used.contains(at)).unwrap();
    page.bytes_mut()[stray + 1] = 1;
    assert_eq!(fault_of(&page), Some(Promise::Reserved));
    // Records that have a byte in common: one is a byte shorter, so that the sums are right.
    let mut page = OwnedPage::new(4096);
    let mut frame = page.frame(0, 4096);
    frame.reset(Kind::Bucket, 6, 3, 10);
    let record = |value| Record::Inline { key: b"key", value };
    assert!(frame.insert(&Shape::General, 1, &record(b"value 1")));
    assert!(frame.insert(&Shape::General, 1 << 31, &record(b"value 2")));
    let upper = slots(page.view()).max_by_key(|slot| slot.offset).unwrap().offset;
    assert_eq!(fault_of(&page), None);
    page.bytes_mut()[upper - 12 + 1] += 1;
    put_u32(page.bytes_mut(), 60, 25);
    put_u32(page.bytes_mut(), 56, upper as u32 - 13);
    assert_eq!(check_structure(page.view()), Ok(()));
    assert_eq!(fault_of(&page), Some(Promise::RecordBounds));
}

#[test]
fn a_page_has_the_shape_of_its_table() {
    let general = page_of(3);
    let fixed = Shape::new(4096, 496, Some(8), Some(12));
    let of = PageOf { kind: Kind::Bucket, owner: 0, bucket_count: 1, shape: fixed };
    let mut page = OwnedPage::new(4096);
    of.fill(&mut page.frame(0, 4096), &[]);
    assert_eq!(check_shape(general.view(), &Shape::General), Ok(()));
    assert_eq!(check_shape(page.view(), &fixed), Ok(()));
    assert_eq!((check_structure(page.view()), check_tidy(page.view())), (Ok(()), Ok(())));
    let stated = 1 << 31 | 12 << 15 | 8;
    let heap = heap_start(general.view()) as u64;
    let fault = |expected, found| Err(Fault::new(Promise::RecordSize, expected, found));
    assert_eq!(check_shape(general.view(), &fixed), fault(stated, heap));
    assert_eq!(check_shape(page.view(), &Shape::General), fault(0, stated));
    assert_eq!(
        check_shape(page.view(), &Shape::new(4096, 496, Some(8), Some(13))),
        fault(1 << 31 | 13 << 15 | 8, stated)
    );
}

#[test]
fn a_page_tells_what_may_be_in_overflow_and_what_it_has_room_for() {
    let mut page = page_of(3);
    assert!(!has_overflow(page.view()));
    let noted = 5 << 32 | 0xffff << 16;
    page.frame(0, 4096).note_overflow(noted);
    assert!(has_overflow(page.view()));
    let absent = |hash| find(page.view(), &Shape::General, 6, hash, &Exact(b"absent")).unwrap();
    assert!(matches!(absent(noted), Found::PerhapsInOverflow));
    assert!(matches!(absent(noted ^ 1 << 32), Found::Nowhere));
    for (hash, admitted) in [
        (noted, true),
        (noted | 0xabcd, true),
        (noted | 1 << 36, true),
        (noted ^ 1 << 32, false),
        (noted ^ 8 << 32, false),
        (5 << 32, false),
    ] {
        assert_eq!(admits_overflow(page.view(), hash), admitted, "{hash:#x}");
    }
    let room = heap_start(page.view()) - HEADER_SIZE - 6 * LINE_SIZE;
    assert!(has_room(page.view(), &Shape::General, room));
    assert!(!has_room(page.view(), &Shape::General, room + 1));
    let fixed = Shape::new(4096, 496, Some(8), Some(400));
    let Shape::Fixed(of) = fixed else { panic!("of fixed sizes") };
    let key = |i: usize| (i as u64).to_le_bytes();
    let keys: Vec<[u8; 8]> = (0..of.capacity).map(key).collect();
    let records: Vec<_> =
        keys.iter().map(|key| (hash(key, 0), Record::Inline { key, value: &[1; 400] })).collect();
    let page_of = PageOf { kind: Kind::Bucket, owner: 0, bucket_count: 1, shape: fixed };
    for count in [0, of.capacity - 1, of.capacity] {
        page_of.fill(&mut page.frame(0, 4096), &records[..count]);
        assert_eq!(has_room(page.view(), &fixed, 408), count < of.capacity);
    }
}

#[test]
fn a_record_is_reachable_from_its_home_alone() {
    // 40 records of one home spill over into two further cells.
    let mut page = OwnedPage::new(4096);
    let mut frame = page.frame(0, 4096);
    frame.reset(Kind::Bucket, 6, 3, 10);
    let home_hash = |home: u64| (home * 65_536 / 6 + 200) << 16;
    for i in 0..40_u8 {
        let record = Record::Inline { key: &[i], value: b"v" };
        assert!(frame.insert(&Shape::General, home_hash(4) | u64::from(i), &record));
    }
    let view = page.view();
    let cells: Vec<usize> = (0..6).map(|i| view.cell(i).unwrap().slots().count()).collect();
    assert_eq!(cells, [10, 0, 0, 0, 15, 15]);
    for found in records(view) {
        let (place, tag, Record::Inline { key, .. }) = found.unwrap() else { unreachable!() };
        let of = |home| home_hash(home) | u64::from(key[0]);
        assert_eq!(tag, u16::from(key[0]));
        assert!(is_reachable(view, place, tag, of(4)));
        assert!(!is_reachable(view, place, tag ^ 1, of(4)), "another tag");
        for other in [0, 1, 2, 3, 5] {
            let is_there = place.cell as u64 == other;
            assert_eq!(is_reachable(view, place, tag, of(other)), is_there, "{place:?}, {other}");
        }
        let found = find(view, &Shape::General, 6, of(4), &Exact(key));
        assert!(matches!(found, Ok(Found::Record(at, _)) if at == place));
        assert_eq!(record_at(view, &Shape::General, place).map(|r| r.encoded_len()), Some(4));
    }
}

/// A page is checked when it is first touched; the system may drop it and read it anew, rotten. The
/// writer's copy of it once panicked there, under the writer's lock; then it was copied as it was.
#[test]
fn a_page_that_rotted_after_it_was_checked_is_not_copied() {
    let mut page = page_of(40);
    let at = {
        let mut frame = page.frame(0, 4096);
        let gone = slots(frame.view()).next().unwrap().place;
        frame.remove(&Shape::General, gone);
        let slot = slots(frame.view()).find(|slot| slot.offset > 4000).unwrap();
        slot.offset
    };
    assert_eq!(check_structure(page.view()), Ok(()));
    page.bytes_mut()[at + 1] = 0xfe;
    assert!(check_structure(page.view()).is_err());
    let mut copy = OwnedPage::new(4096);
    assert!(!copy.frame(0, 4096).copy_from(page.view()));
}
