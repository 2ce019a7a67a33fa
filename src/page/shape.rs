//! The shape of a table's pages: records of any size, behind slots with offsets, or records of one
//! size, each at a computed place.
//!
//! A page of fixed sizes is the header, `cells` cells of tags, and one array of records without
//! header or gap. Cell `c` has `base` slots, the first `extra` cells one more; slot `s` of cell `c`
//! is record `c × base + min(c, extra) + s` of the array. All follows from the sizes of page, key and
//! value. Its header states the sizes where a general page has the start of its heap:
//!
//! ```text
//! bits 0–14 key_size   15–29 value_size   30 zero   31 one
//! ```
//!
//! Arithmetic, and what a page's header says. Knows nothing of tags.

use std::ops::Range;

use super::cell::{CELL_SLOTS, TAG_SLOTS};
use super::meta::inline_max_of;
use super::record::{Record, inline_len};
use super::{HEADER_SIZE, LINE_SIZE, View, word};

const FIXED: u64 = 1 << 31;
const SIZE_BITS: u32 = 15;
const SIZE_MASK: u64 = (1 << SIZE_BITS) - 1;
/// A page states its cells in a byte.
const CELLS_MAX: usize = 255;

/// How the records of a table's pages stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Of any size.
    General,
    /// Of one size.
    Fixed(Fixed),
}

/// The measures of a page of fixed sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fixed {
    pub(crate) key_size: usize,
    /// Bytes of key and value.
    pub(crate) record_size: usize,
    pub(crate) cells: usize,
    /// Records that a page has places for.
    pub(crate) capacity: usize,
    /// Slots of each cell, but for one more of the first `extra`.
    base: usize,
    extra: usize,
}

impl Shape {
    /// Whether all records have one size.
    pub(crate) fn is_fixed(&self) -> bool {
        matches!(self, Shape::Fixed(_))
    }

    /// The shape of the pages of a file: sizes that `inline_max` allows in a page have one of their
    /// own.
    pub(crate) fn new(
        page_size: usize,
        inline_max: usize,
        key: Option<usize>,
        value: Option<usize>,
    ) -> Shape {
        let is_short = |&(key, value): &(usize, usize)| key.saturating_add(value) <= inline_max;
        let sizes = key.zip(value).filter(is_short);
        let fixed = sizes.and_then(|(key, value)| Fixed::new(page_size, key, value));
        fixed.map_or(Shape::General, Shape::Fixed)
    }

    /// The shape that a page states; `None` if there is no such shape.
    pub(crate) fn of(page: View<'_>) -> Option<Shape> {
        let stated = page.word(word::HEAP) & 0xffff_ffff;
        if stated & FIXED == 0 {
            return Some(Shape::General);
        }
        let size = |shift: u32| usize::try_from(stated >> shift & SIZE_MASK).ok();
        let fixed = Fixed::new(page.len(), size(0)?, size(SIZE_BITS)?)?;
        (fixed.stated() == stated).then_some(Shape::Fixed(fixed))
    }

    /// Bytes that a record takes in a page, but for its slot.
    #[inline]
    pub(crate) fn record_len(&self, record: &Record<'_>) -> usize {
        match self {
            Shape::General => record.encoded_len(),
            Shape::Fixed(fixed) => fixed.record_size,
        }
    }

    /// Bytes of pages that records take, slots included: what [`Shape::payload`] measures.
    pub(crate) fn used_len(&self, record_count: u64, record_len: u64) -> u64 {
        /// Slots that one expects to use of a cell's fifteen.
        const SLOTS_USED: u64 = CELL_SLOTS as u64 - 3;
        match self {
            Shape::General => {
                let slots = record_count.saturating_mul((LINE_SIZE as u64).div_ceil(SLOTS_USED));
                record_len.saturating_add(slots)
            }
            Shape::Fixed(_) => record_len,
        }
    }

    /// Bytes of a page that records may take.
    pub(crate) fn payload(&self, page_size: usize) -> u64 {
        match self {
            Shape::General => (page_size - HEADER_SIZE) as u64,
            Shape::Fixed(fixed) => (fixed.capacity * fixed.record_size) as u64,
        }
    }

    /// As [`Shape::record_len`], of a record that is not large.
    #[inline]
    pub(crate) fn inline_len(&self, key_len: usize, value_len: usize) -> usize {
        match self {
            Shape::General => inline_len(key_len, value_len),
            Shape::Fixed(_) => key_len + value_len,
        }
    }
}

impl Fixed {
    fn new(page_size: usize, key_size: usize, value_size: usize) -> Option<Fixed> {
        let record_size = key_size.checked_add(value_size)?;
        if record_size == 0 || record_size > inline_max_of(page_size) {
            return None;
        }
        let payload = page_size - HEADER_SIZE;
        let capacity_of = |cells: usize| {
            let places = payload.saturating_sub(cells * LINE_SIZE) / record_size;
            places.min(cells * TAG_SLOTS)
        };
        // With one cell more than can have all their slots there may be more records, not with two.
        let few = payload / (LINE_SIZE + TAG_SLOTS * record_size);
        let few = few.clamp(1, CELLS_MAX);
        let more = (few + 1).min(CELLS_MAX);
        let cells = if capacity_of(more) > capacity_of(few) { more } else { few };
        let capacity = capacity_of(cells);
        let (base, extra) = (capacity / cells, capacity % cells);
        Some(Fixed { key_size, record_size, cells, capacity, base, extra })
    }

    /// What a page's header states.
    pub(crate) fn stated(&self) -> u64 {
        FIXED | (self.value_size() as u64) << SIZE_BITS | self.key_size as u64
    }

    pub(crate) fn value_size(&self) -> usize {
        self.record_size - self.key_size
    }

    /// Slots of a cell.
    #[inline]
    pub(crate) fn slots_of(&self, cell: usize) -> usize {
        self.base + usize::from(cell < self.extra)
    }

    /// The bytes of the page that are a slot's.
    #[inline]
    pub(crate) fn place(&self, cell: usize, slot: usize) -> Range<usize> {
        let index = cell * self.base + cell.min(self.extra) + slot;
        let start = HEADER_SIZE + self.cells * LINE_SIZE + index * self.record_size;
        start..start + self.record_size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(page_size: usize, key: usize, value: usize) -> Option<Fixed> {
        match Shape::new(page_size, inline_max_of(page_size), Some(key), Some(value)) {
            Shape::Fixed(fixed) => Some(fixed),
            Shape::General => None,
        }
    }

    #[test]
    fn places_are_apart_and_within_the_page() {
        for page_size in [4096, 8192, 16384, 65536] {
            let limit = inline_max_of(page_size);
            for size in (1..60).chain([100, 116, 400, limit - 1, limit]) {
                let fixed = fixed(page_size, size / 2, size - size / 2).unwrap();
                let mut next = HEADER_SIZE + fixed.cells * LINE_SIZE;
                let mut count = 0;
                for cell in 0..fixed.cells {
                    assert!(fixed.slots_of(cell) <= TAG_SLOTS);
                    for slot in 0..fixed.slots_of(cell) {
                        assert_eq!(fixed.place(cell, slot), next..next + size);
                        next += size;
                        count += 1;
                    }
                }
                assert!(next <= page_size, "{size} bytes in {page_size}");
                assert_eq!(count, fixed.capacity);
                assert!(fixed.cells <= CELLS_MAX && fixed.capacity >= 4);
                let best = (1..=CELLS_MAX).map(|cells| {
                    let room = (page_size - HEADER_SIZE).saturating_sub(cells * LINE_SIZE);
                    (room / size).min(cells * TAG_SLOTS)
                });
                assert_eq!(best.max(), Some(fixed.capacity), "{size} bytes in {page_size}");
            }
        }
    }

    #[test]
    fn what_a_page_has_for_records() {
        let of = |key, value| Shape::new(4096, 496, key, value);
        let (general, fixed) = (of(None, None), of(Some(8), Some(12)));
        assert_eq!(general.payload(4096), 4096 - 64);
        assert_eq!(fixed.payload(4096), 180 * 20);
        assert_eq!((general.inline_len(8, 12), fixed.inline_len(8, 12)), (8 + 12 + 2, 8 + 12));
    }

    #[test]
    fn only_records_that_stand_in_a_page_have_a_place() {
        assert_eq!(fixed(4096, 8, 8).map(|fixed| (fixed.cells, fixed.capacity)), Some((8, 220)));
        assert_eq!(fixed(4096, 0, 0), None);
        assert_eq!(fixed(4096, 500, 493), None);
        assert_eq!(fixed(65536, usize::MAX, 1), None);
        assert!(Shape::new(4096, 496, Some(16), Some(480)).is_fixed());
        assert_eq!(Shape::new(4096, 496, Some(16), Some(481)), Shape::General);
        assert_eq!(Shape::new(4096, 992, Some(8), None), Shape::General);
        assert_eq!(Shape::new(4096, 992, None, Some(8)), Shape::General);
    }
}
