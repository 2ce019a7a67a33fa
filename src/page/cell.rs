//! Cells: the cache lines that a search within a page looks at, as loaded.
//!
//! A cell of a general page is sixteen lanes of 32 bits: its own header, then fifteen slots of tag
//! and offset. A cell of a page of fixed sizes is the same header and thirty tags of 16 bits. Knows
//! nothing of what a header or a tag means.

use super::processor;

/// Slots of a cell of a general page.
pub(crate) const CELL_SLOTS: usize = 15;
/// Slots of a cell of tags, at most.
pub(crate) const TAG_SLOTS: usize = 30;

/// The tag of a slot that has never had a record.
pub(crate) const EMPTY: u16 = 0;
/// The tag of a slot whose record is gone: its place is not written again.
pub(crate) const DEAD: u16 = 1;

/// The sixteen lanes of a cell of a general page, two in a word.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell([u64; 8]);

impl Cell {
    #[inline]
    pub(super) fn new(words: [u64; 8]) -> Cell {
        Cell(words)
    }

    /// Lane 0.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "a word is two lanes")]
    pub(crate) fn header(&self) -> u32 {
        let [first, ..] = self.0;
        first as u32
    }

    /// A bit for each lane whose slot bears the tag; empty slots may be among them when it is 0.
    #[inline]
    pub(crate) fn matches(&self, tag: u16) -> u32 {
        processor::lanes(&self.0, tag) & 0xfffe
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "a word is two lanes")]
    fn lane(&self, lane: usize) -> u32 {
        self.0.get(lane / 2).map_or(0, |word| (word >> (32 * (lane % 2))) as u32)
    }

    /// The slots with their lanes, empty ones left out.
    pub(crate) fn slots(self) -> impl Iterator<Item = (usize, u16, usize)> {
        (1..=CELL_SLOTS).filter_map(move |lane| {
            let (tag, offset) = unpack(self.lane(lane));
            (offset != 0).then_some((lane, tag, offset))
        })
    }

    /// The tag of a slot that is empty and yet not zero.
    pub(crate) fn stray_tag(&self) -> Option<u16> {
        (1..=CELL_SLOTS)
            .map(|lane| unpack(self.lane(lane)))
            .find_map(|(tag, offset)| (offset == 0 && tag != 0).then_some(tag))
    }

    /// A lane whose slot is empty.
    pub(crate) fn empty_lane(&self) -> Option<usize> {
        (1..=CELL_SLOTS).find(|&lane| self.lane(lane) >> 16 == 0)
    }
}

#[inline]
#[allow(clippy::cast_possible_truncation, reason = "the low 16 bits are meant")]
fn unpack(slot: u32) -> (u16, usize) {
    (slot as u16, (slot >> 16) as usize)
}

/// The lanes of a cell of tags, four in a word: two of header, thirty slots.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TagCell([u64; 8]);

impl TagCell {
    #[inline]
    pub(super) fn new(words: [u64; 8]) -> TagCell {
        TagCell(words)
    }

    /// The first two lanes.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "a word is four lanes")]
    pub(crate) fn header(&self) -> u32 {
        let [first, ..] = self.0;
        first as u32
    }

    /// A bit for each slot that bears the tag.
    #[inline]
    pub(crate) fn matches(&self, tag: u16) -> u32 {
        processor::tags(&self.0, tag) >> 2
    }

    /// All tags with their slots.
    #[allow(clippy::cast_possible_truncation, reason = "a word is four lanes")]
    pub(crate) fn tags(self) -> impl Iterator<Item = (usize, u16)> {
        let four = |word: u64| [0, 16, 32, 48].map(|shift| (word >> shift) as u16);
        self.0.into_iter().flat_map(four).skip(2).enumerate()
    }

    /// The tags of slots that hold a record, with their slots.
    pub(crate) fn live(self) -> impl Iterator<Item = (usize, u16)> {
        self.tags().filter(|&(_, tag)| tag > DEAD)
    }
}
