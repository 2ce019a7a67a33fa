//! The way of a search within one page, step by step, for those who show it. [`find`] is the
//! search itself; a test holds the two together.
//!
//! Knows nothing of chains or files.
//!
//! [`find`]: super::bucket::find

use std::collections::BTreeSet;

use super::bucket::{KeyMatch, Slot, filter_bit, home_cell, slots_of_cell, spill_of, tag_in, wrap};
use super::record::Record;
use super::shape::Shape;
use super::view::cell_count;
use super::{HEADER_SIZE, LINE_SIZE, View};

/// What a search in one page looked at.
#[derive(Debug)]
pub(crate) struct Trace<'a> {
    /// The home cell, of so many.
    pub(crate) home: usize,
    pub(crate) cell_count: usize,
    /// Further cells that the home cell asks for.
    pub(crate) spill: usize,
    /// The cells that were loaded, in order.
    pub(crate) cells: Vec<usize>,
    /// The slots with the tag, in the order in which their keys were compared, and whether equal.
    pub(crate) candidates: Vec<(Slot<'a>, bool)>,
    /// Whether the filter of the home cell admits that the key is in overflow.
    pub(crate) admits_overflow: bool,
    /// Lines of 64 bytes that were touched, by number within the page.
    pub(crate) lines: BTreeSet<usize>,
}

impl<'a> Trace<'a> {
    /// The slot that has the key.
    pub(crate) fn found(&self) -> Option<Slot<'a>> {
        self.candidates.iter().find(|(_, is_equal)| *is_equal).map(|(slot, _)| *slot)
    }
}

/// Searches a page as [`super::bucket::find`] does.
pub(crate) fn trace<'a, K: KeyMatch>(
    page: View<'a>,
    hash: u64,
    key: &K,
) -> Result<Trace<'a>, K::Error> {
    let shape = Shape::of(page);
    let wanted = tag_in(page, hash);
    let record_len = |record: &Record<'_>| shape.map_or(0, |shape| shape.record_len(record));
    let cells = cell_count(page);
    let home = home_cell(hash, cells);
    let header = page.cell(home).map_or(0, |cell| cell.header());
    let spill = spill_of(header);
    let mut trace = Trace {
        home,
        cell_count: cells,
        spill,
        cells: Vec::new(),
        candidates: Vec::new(),
        admits_overflow: header & filter_bit(hash) != 0,
        lines: BTreeSet::new(),
    };
    for distance in 0..(spill + 1).min(cells) {
        let index = wrap(home + distance, cells);
        trace.cells.push(index);
        trace.lines.insert(HEADER_SIZE / LINE_SIZE + index);
        for slot in slots_of_cell(page, shape, index).filter(|slot| slot.tag == wanted) {
            let (is_equal, len) = match &slot.record {
                None => (false, 0),
                Some(Record::Inline { key: stored, value }) => {
                    let is_equal = key.matches_inline(stored);
                    let len = slot.record.map_or(0, |record| record_len(&record));
                    // The value is read only if the key is the one.
                    (is_equal, if is_equal { len } else { len - value.len() })
                }
                Some(Record::Large(large, stored)) => {
                    let is_equal = if large.has_long_key() {
                        large.hash == hash && key.matches_large(large)?
                    } else {
                        key.matches_inline(stored)
                    };
                    (is_equal, slot.record.map_or(0, |record| record_len(&record)))
                }
            };
            let lines = slot.offset / LINE_SIZE..(slot.offset + len).div_ceil(LINE_SIZE);
            trace.lines.extend(lines);
            trace.candidates.push((slot, is_equal));
            if is_equal {
                return Ok(trace);
            }
        }
    }
    Ok(trace)
}

#[cfg(test)]
mod tests {
    use super::trace;
    use crate::hash::hash;
    use crate::page::bucket::{Found, KeyMatch, admits_overflow, find};
    use crate::page::record::{LargeRecord, Record};
    use crate::page::shape::Shape;
    use crate::page::tests_support::Memory;
    use crate::page::{Kind, cell_count};
    use std::convert::Infallible;

    struct Exact<'k>(&'k [u8]);

    impl KeyMatch for Exact<'_> {
        type Error = Infallible;
        fn matches_inline(&self, key: &[u8]) -> bool {
            key == self.0
        }
        fn matches_large(&self, _: &LargeRecord) -> Result<bool, Infallible> {
            Ok(true)
        }
    }

    #[test]
    fn it_ends_where_the_search_ends() {
        let mut memory = Memory::new(4096);
        let mut frame = memory.frame();
        frame.reset(Kind::Bucket, 6, 0, 1);
        // Few tags, so that several keys share one.
        let of = |i: u32| (i.to_le_bytes(), hash(&i.to_le_bytes(), 3) & !0xfffe);
        for i in 0..80 {
            let (key, hash) = of(i);
            frame.insert(&Shape::General, hash, &Record::Inline { key: &key, value: b"value" });
        }
        let page = frame.view();
        let (mut compared, mut spilled) = (0, 0);
        for i in 0..200 {
            let (key, hash) = of(i);
            let Ok(found) = find(page, &Shape::General, cell_count(page), hash, &Exact(&key));
            let Ok(traced) = trace(page, hash, &Exact(&key));
            let place = match found {
                Found::Record(place, _) => Some(place),
                _ => None,
            };
            assert_eq!(traced.found().map(|slot| slot.place), place);
            assert_eq!(traced.admits_overflow, admits_overflow(page, hash));
            assert!(traced.lines.len() >= traced.cells.len() && traced.cells[0] == traced.home);
            compared += traced.candidates.len();
            spilled += traced.cells.len() - 1;
        }
        assert!(compared > 300 && spilled > 10, "{compared} {spilled}");
    }

    /// The page's first lines are the header and the cells; records stand at its end, the first one last.
    #[test]
    fn the_lines_are_those_of_cells_and_records() {
        let mut memory = Memory::new(4096);
        let mut frame = memory.frame();
        frame.reset(Kind::Bucket, 6, 0, 1);
        let hash = 0x1234_5678_9abc_def1;
        let large = LargeRecord { hash: 0, key_len: 3, value_len: 5000, place: 640, checksum: 0 };
        let long = LargeRecord { hash: hash ^ 1 << 40, key_len: 300, ..large };
        // From the end: 16 + 3 bytes; 16 + 8; 4 + 10 + 300; 2 + 3 + 200; 2 + 100 + 30.
        for record in [
            Record::Large(large, b"abc"),
            Record::Large(long, b""),
            Record::Inline { key: b"ten bytes.", value: &[1; 300] },
            Record::Inline { key: b"key", value: &[1; 200] },
            Record::Inline { key: &[b'k'; 100], value: &[1; 30] },
        ] {
            assert!(frame.insert(&Shape::General, hash, &record));
        }
        let page = frame.view();
        let lines = |key: &[u8]| {
            let Ok(traced) = trace(page, hash, &Exact(key));
            assert_eq!(traced.cells, [traced.home]);
            let home = traced.home + 1;
            traced.lines.into_iter().filter(|&line| line != home).collect::<Vec<_>>()
        };
        let keys: [&[u8]; 4] = [b"abc", b"ten bytes.", b"key", b"absent"];
        let expected: [&[usize]; 4] =
            [&[63], &[58, 59, 60, 61, 62, 63], &[55, 56, 57, 58, 63], &[53, 54, 55, 58, 63]];
        assert_eq!(keys.map(lines), expected);
    }

    #[test]
    fn a_long_key_is_looked_at_only_if_its_whole_hash_is_the_one() {
        let mut memory = Memory::new(4096);
        let mut frame = memory.frame();
        frame.reset(Kind::Bucket, 6, 0, 1);
        let hash = 0x1234_5678_9abc_def1;
        let large = LargeRecord { hash, key_len: 300, value_len: 0, place: 640, checksum: 0 };
        assert!(frame.insert(&Shape::General, hash, &Record::Large(large, b"")));
        let page = frame.view();
        let mut compared = 0;
        for other in (0..64).map(|bit| hash ^ 1 << bit).chain([hash]) {
            // It says that every key that it is asked about is the one.
            let Ok(found) = find(page, &Shape::General, 6, other, &Exact(b"key"));
            let Ok(traced) = trace(page, other, &Exact(b"key"));
            assert_eq!(matches!(found, Found::Record(..)), other == hash, "{other:x}");
            assert_eq!(traced.found().is_some(), other == hash, "{other:x}");
            compared += traced.candidates.len();
        }
        assert!(compared > 30, "{compared} with this tag");
    }
}
