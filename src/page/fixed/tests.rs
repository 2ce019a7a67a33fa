//! Tests of pages of fixed sizes, one page at a time.

use std::collections::HashMap;
use std::convert::Infallible;

use super::tag as tag_of;
use super::*;
use crate::hash::hash;
use crate::page::HEADER_SIZE;
use crate::page::Kind;
use crate::page::bucket::{self, is_reachable, record_at, records};
use crate::page::edit::PageOf;
use crate::page::record::LargeRecord;
use crate::page::shape::Shape;
use crate::page::tests_support::{Memory, stores_of};

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

fn shape(page_size: usize, key: usize, value: usize) -> (Shape, Fixed) {
    match Shape::new(page_size, crate::page::meta::inline_max_of(page_size), Some(key), Some(value))
    {
        Shape::Fixed(fixed) => (Shape::Fixed(fixed), fixed),
        Shape::General => panic!("these records have places"),
    }
}

fn page_of(shape: Shape) -> PageOf {
    PageOf { kind: Kind::Bucket, owner: 3, bucket_count: 10, shape }
}

fn look<'a>(page: View<'a>, fixed: &Fixed, key: &[u8]) -> Option<(SlotPlace, &'a [u8])> {
    match find(page, fixed, hash(key, 0), &Exact(key)) {
        Found::Record(place, Record::Inline { value, .. }) => Some((place, value)),
        _ => None,
    }
}

fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    *state >> 24
}

#[test]
fn a_page_is_a_small_map() {
    let (mut rebuilt, mut overwritten, mut full) = (0, 0, 0);
    for (page_size, value_size) in [(4096, 8), (4096, 0), (4096, 400), (65536, 8)] {
        let (shape, fixed) = shape(page_size, 8, value_size);
        let of = page_of(shape);
        let (mut memory, mut other) = (Memory::new(page_size), Memory::new(page_size));
        let mut frame = memory.frame();
        assert!(of.fill(&mut frame, &[]).is_empty());
        let mut model: HashMap<[u8; 8], Vec<u8>> = HashMap::new();
        let mut state = 1;
        for step in 0..if cfg!(miri) { 300 } else { 20_000 } {
            let key = (random(&mut state) % (fixed.capacity as u64 * 5 / 4)).to_le_bytes();
            let value = vec![step as u8; value_size];
            let record = Record::Inline { key: &key, value: &value };
            let h = hash(&key, 0);
            let at = look(frame.view(), &fixed, &key).map(|(place, _)| place);
            let is_removal = random(&mut state) % 16 < 3 + step / 8_192 * 5;
            let mut remake = |frame: &mut Frame<'_>, without| {
                let hash_of = |record: &Record<'_>| match record {
                    Record::Inline { key, .. } => hash(key, 0),
                    Record::Large(..) => unreachable!(),
                };
                let mut new = other.frame();
                let with = Some((h, &record));
                assert!(of.remake(&mut new, frame.view(), without, with, hash_of));
                frame.copy_bytes_from(new.view(), new.view().len());
            };
            match at {
                Some(at) if is_removal => {
                    frame.remove(&shape, at);
                    model.remove(&key);
                }
                None if is_removal => {}
                Some(at) => {
                    if !frame.replace(&shape, at, h, &record) {
                        remake(&mut frame, Some(at));
                        overwritten += 1;
                    }
                    model.insert(key, value.clone());
                }
                None if frame.insert(&shape, h, &record) => {
                    model.insert(key, value.clone());
                }
                None if bucket::has_room(frame.view(), &shape, fixed.record_size) => {
                    remake(&mut frame, None);
                    rebuilt += 1;
                    model.insert(key, value.clone());
                }
                None => full += 1,
            }
            assert_eq!(record_count(frame.view()), model.len());
            if step % 64 == 0 {
                bucket::check_structure(frame.view()).unwrap();
            }
        }
        for (key, value) in &model {
            let (place, found) = look(frame.view(), &fixed, key).unwrap();
            assert_eq!(found, value);
            let Some(Record::Inline { value: found, .. }) = record_at(frame.view(), &shape, place)
            else {
                panic!("the record that was just found")
            };
            assert_eq!(found, value);
        }
        let mut seen = 0;
        for found in records(frame.view()) {
            let Ok((place, tag, Record::Inline { key, .. })) = found else { unreachable!() };
            assert!(is_reachable(frame.view(), place, tag, hash(key, 0)));
            seen += 1;
        }
        assert_eq!(seen, model.len());
    }
    assert!(cfg!(miri) || (rebuilt > 0 && overwritten > 0 && full > 0));
}

#[test]
fn a_page_takes_as_many_records_as_it_has_places() {
    for (key, value) in [(8, 8), (4, 4), (16, 100), (1, 0), (900, 92)] {
        let (shape, fixed) = shape(4096, key, value);
        let keys: Vec<Vec<u8>> =
            (0..2000_u64).map(|i| [i.to_le_bytes().repeat(key / 8 + 1)].concat()).collect();
        let bytes = vec![7; value];
        let all: Vec<(u64, Record<'_>)> = keys
            .iter()
            .map(|k| (hash(k, 1), Record::Inline { key: &k[..key], value: &bytes }))
            .collect();
        let mut memory = Memory::new(4096);
        let mut frame = memory.frame();
        let rest = page_of(shape).fill(&mut frame, &all);
        assert_eq!(rest.len(), 2000 - fixed.capacity);
        bucket::check_structure(frame.view()).unwrap();
        bucket::check_shape(frame.view(), &shape).unwrap();
        assert!(!frame.insert(&shape, 5, &all[0].1), "it is full");
    }
}

#[test]
fn a_search_is_sent_on_by_the_bits_of_its_own_filter_only() {
    let (shape, fixed) = shape(4096, 8, 8);
    let keys: Vec<[u8; 8]> = (0..2_000_u64).map(u64::to_le_bytes).collect();
    let all: Vec<_> =
        keys.iter().map(|key| (hash(key, 0), Record::Inline { key, value: key })).collect();
    let mut memory = Memory::new(4096);
    let mut frame = memory.frame();
    page_of(shape).fill(&mut frame, &all);
    let group = |hash| (home_cell(hash, fixed.cells), filter_bit(hash));
    let noted: Vec<u64> = (0..7_u64).map(|n| hash(&n.to_le_bytes(), 3)).collect();
    noted.iter().for_each(|&hash| frame.note_overflow(hash));
    let (mut here, mut perhaps, mut nowhere) = (0, 0, 0);
    for n in 0..4_000_u64 {
        let key = n.to_le_bytes();
        let h = hash(&key, 0);
        let is_noted = noted.iter().any(|&noted| group(noted) == group(h));
        match find(frame.view(), &fixed, h, &Exact(&key)) {
            Found::Record(..) => here += 1,
            Found::PerhapsInOverflow => perhaps += usize::from(is_noted),
            Found::Nowhere => nowhere += usize::from(!is_noted),
        }
    }
    assert_eq!(here, fixed.capacity);
    assert!(perhaps > 0 && here + perhaps + nowhere == 4_000, "{perhaps}, {nowhere}");
}

#[test]
fn a_copy_has_room_where_the_dead_were() {
    let (shape, fixed) = shape(4096, 8, 8);
    let keys: Vec<[u8; 8]> = (0..2_000_u64).map(u64::to_le_bytes).collect();
    let all: Vec<_> =
        keys.iter().map(|key| (hash(key, 0), Record::Inline { key, value: key })).collect();
    let (mut memory, mut other) = (Memory::new(4096), Memory::new(4096));
    let mut frame = memory.frame();
    page_of(shape).fill(&mut frame, &all);
    for (key, _) in keys.iter().zip(0..fixed.capacity) {
        let (place, _) = look(frame.view(), &fixed, key).unwrap();
        frame.remove(&shape, place);
    }
    assert!(!frame.insert(&shape, all[0].0, &all[0].1), "dead, and perhaps looked at");
    let mut copy = other.frame();
    assert!(copy.copy_from(frame.view()));
    for (hash, record) in all.iter().skip(1_000).take(fixed.capacity) {
        assert!(copy.insert(&shape, *hash, record));
    }
    bucket::check_structure(copy.view()).unwrap();
    assert!(!copy.insert(&shape, all[0].0, &all[0].1), "it is full");
}

#[test]
fn a_page_that_lies_about_its_slots_is_refused() {
    let (shape, fixed) = shape(4096, 8, 8);
    let promise_of = |lie: &dyn Fn(&mut Frame<'_>)| {
        let mut memory = Memory::new(4096);
        let mut frame = memory.frame();
        let record = Record::Inline { key: &[1; 8], value: &[2; 8] };
        page_of(shape).fill(&mut frame, &[(7, record)]);
        lie(&mut frame);
        bucket::check_structure(frame.view()).map_err(|fault| fault.promise)
    };
    assert_eq!(promise_of(&|_| ()), Ok(()));
    let last = fixed.cells - 1;
    let behind = fixed.slots_of(last);
    assert_eq!(
        promise_of(&|frame| frame.store_tag(last, behind, tag_of(7))),
        Err(Promise::RecordBounds)
    );
    assert_eq!(
        promise_of(&|frame| frame.store_tag(last, behind - 1, tag_of(7))),
        Err(Promise::Count)
    );
    assert_eq!(promise_of(&|frame| frame.count_records(1)), Err(Promise::Count));
    assert_eq!(promise_of(&|frame| frame.count_fixed(&fixed, 1)), Err(Promise::Count));
}

/// A search loads the words of a cell one after another, in ascending order, while the writer
/// stores its words one after another. Every interleaving of a replacement is tried.
#[test]
fn a_key_that_is_replaced_is_never_missed() {
    const WORDS: usize = LINE_SIZE / 8;
    let (shape, fixed) = shape(4096, 8, 8);
    let keys: Vec<[u8; 8]> = (0..180_u64).map(u64::to_le_bytes).collect();
    let all: Vec<_> =
        keys.iter().map(|key| (hash(key, 0), Record::Inline { key, value: key })).collect();
    let (mut by_one_store, mut by_two) = (0, 0);
    for (number, key) in keys.iter().enumerate() {
        let mut memory = Memory::new(4096);
        let mut frame = memory.frame();
        page_of(shape).fill(&mut frame, &all);
        // Empty slots before and behind the record: of every third other one.
        for other in keys.iter().skip(number % 3).step_by(3).filter(|other| *other != key) {
            let (place, _) = look(frame.view(), &fixed, other).unwrap();
            frame.remove(&shape, place);
        }
        frame.forget_dead();
        let (place, _) = look(frame.view(), &fixed, key).unwrap();
        let first = (HEADER_SIZE + place.cell * LINE_SIZE) / 8;
        let load = |frame: &Frame<'_>| -> [u64; WORDS] {
            std::array::from_fn(|i| frame.view().word(first + i))
        };
        let mut states = vec![load(&frame)];
        let h = hash(key, 0);
        let (replaced, stores) = stores_of(|| {
            frame.replace(&shape, place, h, &Record::Inline { key, value: b"replaced" })
        });
        assert!(replaced || stores.is_empty());
        for (index, word) in stores {
            let mut state = *states.last().unwrap();
            state[index - first] = word;
            states.push(state);
        }
        assert_eq!(states.last(), Some(&load(&frame)));
        match states.len() {
            1 => assert!(!replaced),
            2 => by_one_store += 1,
            _ => by_two += 1,
        }
        let finds = |cell: [u64; WORDS]| {
            (0..fixed.slots_of(place.cell)).any(|slot| {
                let tag = cell[(slot + 2) / 4] >> (16 * ((slot + 2) % 4)) & 0xffff;
                let found = record(frame.view(), &fixed, place.cell, slot);
                let is_it =
                    matches!(found, Some(Record::Inline { key: found, .. }) if found == key);
                tag == u64::from(tag_of(h)) && is_it
            })
        };
        // Words below `one` were loaded in the first state, those below `two` in the second.
        for (one, two) in (0..=WORDS).flat_map(|one| (one..=WORDS).map(move |two| (one, two))) {
            let seen = std::array::from_fn(|i| {
                let state = usize::from(i >= one) + usize::from(i >= two);
                states[state.min(states.len() - 1)][i]
            });
            assert!(finds(seen), "{number}: missed where {one} and {two} words were loaded");
        }
    }
    assert!(by_one_store > 0 && by_two > 0, "{by_one_store}, {by_two}");
}
