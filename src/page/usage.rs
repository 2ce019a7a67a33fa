//! What the bytes of a bucket or overflow page are used for: a sum that is always the whole page.
//!
//! Knows nothing of files. Another layout of pages adds its own way to fill a [`Usage`] here.

use super::cell::{DEAD, TAG_SLOTS};
use super::edit::suitable_cell_count;
use super::record::Record;
use super::shape::{Fixed, Shape};
use super::view::{cell_count, heap_start};
use super::{CELL_SLOTS, HEADER_SIZE, LINE_SIZE, TagCell, View, bucket};

/// Bytes of one slot.
const SLOT_SIZE: usize = 4;
/// Bytes of a slot of a page of fixed sizes.
const TAG_SIZE: usize = 2;

/// Bytes of one page, by use. Their sum is the page size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Usage {
    /// The header of the page.
    pub(crate) header: usize,
    /// Headers of cells, and slots in use: tag and offset.
    pub(crate) slots: usize,
    /// Slots that are empty.
    pub(crate) empty_slots: usize,
    /// What stands in a record besides key and value.
    pub(crate) record_headers: usize,
    /// Keys in the page.
    pub(crate) keys: usize,
    /// Values in the page.
    pub(crate) values: usize,
    /// Bytes of records that were replaced or removed.
    pub(crate) dead: usize,
    /// Bytes that no record has used.
    pub(crate) free: usize,
}

impl Usage {
    /// The whole page.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn sum(&self) -> usize {
        let Usage { header, slots, empty_slots, record_headers, keys, values, dead, free } = *self;
        header + slots + empty_slots + record_headers + keys + values + dead + free
    }
}

/// The use of a page that passes [`bucket::check_structure`] and [`bucket::check_tidy`]; of
/// another one the numbers have no meaning.
pub(crate) fn usage(page: View<'_>) -> Usage {
    let cells = cell_count(page);
    if let Some(Shape::Fixed(fixed)) = Shape::of(page) {
        return usage_of_fixed(page, &fixed);
    }
    let (mut records, mut keys, mut values, mut live) = (0, 0, 0, 0);
    for record in bucket::slots(page).filter_map(|slot| slot.record) {
        records += 1;
        live += record.encoded_len();
        keys += record.key_in_page().map_or(0, <[u8]>::len);
        if let Record::Inline { value, .. } = record {
            values += value.len();
        }
    }
    let heap = heap_start(page).min(page.len());
    let cells_end = HEADER_SIZE + cells * LINE_SIZE;
    Usage {
        header: HEADER_SIZE,
        slots: cells * (LINE_SIZE - CELL_SLOTS * SLOT_SIZE) + records * SLOT_SIZE,
        empty_slots: (cells * CELL_SLOTS).saturating_sub(records) * SLOT_SIZE,
        record_headers: live - keys - values,
        keys,
        values,
        dead: (page.len() - heap).saturating_sub(live),
        free: heap.saturating_sub(cells_end),
    }
}

fn usage_of_fixed(page: View<'_>, fixed: &Fixed) -> Usage {
    let tags = || (0..cell_count(page)).filter_map(|i| page.tag_cell(i)).flat_map(TagCell::tags);
    let records = tags().filter(|&(_, tag)| tag > DEAD).count();
    let dead = tags().filter(|&(_, tag)| tag == DEAD).count();
    let cells_len = fixed.cells * LINE_SIZE;
    let cell_headers = fixed.cells * (LINE_SIZE - TAG_SLOTS * TAG_SIZE);
    let in_use = cell_headers + (records + dead) * TAG_SIZE;
    Usage {
        header: HEADER_SIZE,
        slots: in_use,
        empty_slots: cells_len.saturating_sub(in_use),
        record_headers: 0,
        keys: records * fixed.key_size,
        values: records * fixed.value_size(),
        dead: dead * fixed.record_size,
        free: (page.len() - HEADER_SIZE - cells_len)
            .saturating_sub((records + dead) * fixed.record_size),
    }
}

/// Of the filter bits of a page, how many are set, and how many there are.
pub(crate) fn filter_bits(page: View<'_>) -> (u32, u32) {
    let cells = (0..cell_count(page)).filter_map(|index| page.cell(index));
    cells.fold((0, 0), |(set, all), cell| (set + (cell.header() & 0xffff).count_ones(), all + 16))
}

/// About how many records of this average length a page takes.
pub(crate) fn capacity(page_size: usize, shape: &Shape, records: u64, record_bytes: u64) -> u64 {
    if let Shape::Fixed(fixed) = shape {
        return fixed.capacity as u64;
    }
    let average = usize::try_from(record_bytes / records.max(1)).unwrap_or(page_size).max(1);
    let cells = suitable_cell_count(page_size, 1, average.min(page_size));
    let room = page_size - HEADER_SIZE - cells * LINE_SIZE;
    (room / average).clamp(1, cells * CELL_SLOTS) as u64
}

#[cfg(test)]
mod tests {
    use super::{Usage, capacity, cell_count, filter_bits, usage};
    use crate::hash::hash;
    use crate::page::edit::{PageOf, suitable_cell_count};
    use crate::page::record::{LargeRecord, Record};
    use crate::page::shape::Shape;
    use crate::page::spans::{Part, spans};
    use crate::page::tests_support::Memory;
    use crate::page::{Frame, Kind, bucket};

    /// The use of a page, which the spans of its bytes must agree with.
    fn checked_usage(frame: &Frame<'_>) -> Usage {
        let (view, usage) = (frame.view(), usage(frame.view()));
        let mut bytes = vec![0; view.len()];
        Frame::copy_frozen(view, &mut bytes);
        let spans = spans(&bytes, view, Kind::Bucket);
        let mut at = 0;
        for span in &spans {
            assert_eq!(span.range.start, at, "{span:?}");
            at = span.range.end;
        }
        assert_eq!((at, usage.sum()), (view.len(), view.len()));
        let len = |of: &dyn Fn(Part, &str) -> bool| -> usize {
            let those = spans.iter().filter(|span| of(span.part, &span.name));
            those.map(|span| span.range.len()).sum()
        };
        let of = |wanted| len(&|part, _| part == wanted);
        let unused_places = len(&|part, name| part == Part::Empty && name == "records");
        assert_eq!(of(Part::Header), usage.header);
        assert_eq!(
            of(Part::Cell) + of(Part::Empty),
            usage.slots + usage.empty_slots + unused_places
        );
        assert_eq!(of(Part::Record), usage.record_headers);
        assert_eq!(of(Part::Key), usage.keys);
        assert_eq!(of(Part::Value), usage.values);
        assert_eq!(of(Part::Dead), usage.dead);
        assert_eq!(of(Part::Free) + unused_places, usage.free);
        usage
    }

    #[test]
    fn the_parts_of_a_page_are_the_page() {
        let mut memory = Memory::new(4096);
        let mut frame = memory.frame();
        frame.reset(Kind::Bucket, 5, 1, 2);
        let large = LargeRecord { hash: 0, key_len: 3, value_len: 5000, place: 7, checksum: 1 };
        assert!(frame.insert(&Shape::General, 9, &Record::Large(large, b"key")));
        for i in 0..40_u8 {
            let (key, value) = ([i; 3], [i; 40]);
            let record = Record::Inline { key: &key, value: &value[..i.into()] };
            assert!(frame.insert(&Shape::General, hash(&key, 1), &record));
        }
        assert_eq!(checked_usage(&frame).dead, 0);
        let place = bucket::slots(frame.view()).nth(5).unwrap().place;
        frame.remove(&Shape::General, place);
        let usage = checked_usage(&frame);
        assert_eq!((usage.header, usage.slots, usage.keys), (64, 5 * 4 + 40 * 4, 40 * 3));
        assert!(usage.dead > 0 && usage.free > 0 && usage.record_headers > 16);
    }

    #[test]
    fn bits_of_the_filters_are_counted() {
        let mut memory = Memory::new(4096);
        let mut frame = memory.frame();
        frame.reset(Kind::Bucket, 5, 1, 2);
        assert_eq!(filter_bits(frame.view()), (0, 5 * 16));
        for (home, bits) in [(0, 16), (0x8000_0000, 5), (0xffff_0000, 1), (0x8000_0000, 4)] {
            (0..bits).for_each(|bit| frame.note_overflow(home | bit << 32));
        }
        assert_eq!(filter_bits(frame.view()), (16 + 5 + 1, 5 * 16));
    }

    #[test]
    fn a_page_takes_about_as_many_records_as_are_said() {
        let general = Shape::General;
        assert_eq!(capacity(4096, &general, 1, 400), 9, "of 400 bytes beside one cell");
        for len in [10, 30, 118, 400] {
            let (mut memory, record) =
                (Memory::new(4096), Record::Inline { key: b"", value: &[7; 400][..len - 2] });
            let mut frame = memory.frame();
            frame.reset(Kind::Bucket, suitable_cell_count(4096, 1, len), 1, 2);
            let fits = (0..4096_u64)
                .take_while(|i| frame.insert(&general, hash(&i.to_le_bytes(), 1), &record))
                .count();
            let said = capacity(4096, &general, 1000, 1000 * len as u64 + 999) as usize;
            assert!(
                (said * 9 / 10..=said).contains(&fits),
                "{fits} of {len} bytes, {said} were said"
            );
        }
        assert_eq!(capacity(4096, &general, 0, 0), capacity(4096, &general, 1, 1));
        assert_eq!(capacity(4096, &general, 1, 1 << 40), 1);
        let inline_max = crate::page::meta::inline_max_of(4096);
        assert_eq!(capacity(4096, &Shape::new(4096, inline_max, Some(8), Some(12)), 9, 1), 180);
    }

    #[test]
    fn so_are_those_of_a_page_of_fixed_sizes() {
        let inline_max = crate::page::meta::inline_max_of(4096);
        let shape = Shape::new(4096, inline_max, Some(8), Some(12));
        let of = PageOf { kind: Kind::Bucket, owner: 0, bucket_count: 1, shape };
        let mut memory = Memory::new(4096);
        let mut frame = memory.frame();
        of.fill(&mut frame, &[]);
        let (empty, cells) = (checked_usage(&frame), cell_count(frame.view()));
        assert_eq!((empty.keys, empty.values, empty.dead), (0, 0, 0));
        for i in 0..50_u64 {
            let key = i.to_le_bytes();
            let record = Record::Inline { key: &key, value: &[7; 12] };
            assert!(frame.insert(&shape, hash(&key, 1), &record));
        }
        for nth in [3, 20, 33] {
            let (place, ..) = bucket::records(frame.view()).nth(nth).unwrap().unwrap();
            frame.remove(&shape, place);
        }
        let usage = checked_usage(&frame);
        assert_eq!((empty.slots, empty.slots + empty.empty_slots), (cells * 4, cells * 64));
        assert_eq!((usage.keys, usage.values, usage.dead), (47 * 8, 47 * 12, 3 * 20));
        assert_eq!(usage.slots - empty.slots, 50 * 2);
        assert_eq!(empty.free - usage.free, 50 * 20);
    }
}
