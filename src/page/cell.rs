//! Cells: the cache lines that a search within a page looks at, as loaded.
//!
//! A cell of a general page is sixteen lanes of 32 bits: its own header, then fifteen slots of tag
//! and offset. A cell of a page of fixed sizes is the same header and thirty tags of 16 bits. Knows
//! nothing of what a header or a tag means.

/// Slots of a cell of a general page.
pub(crate) const CELL_SLOTS: usize = 15;
/// Slots of a cell of tags, at most.
pub(crate) const TAG_SLOTS: usize = 30;

/// The tag of a slot that has never had a record.
pub(crate) const EMPTY: u16 = 0;
/// The tag of a slot whose record is gone: its place is not written again.
pub(crate) const DEAD: u16 = 1;

/// The sixteen lanes of a cell of a general page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell([u32; 16]);

impl Cell {
    #[inline]
    pub(super) fn new(lanes: [u32; 16]) -> Cell {
        Cell(lanes)
    }

    /// Lane 0.
    #[inline]
    pub(crate) fn header(&self) -> u32 {
        let [header, ..] = self.0;
        header
    }

    /// A bit for each lane whose slot bears the tag; empty slots may be among them when it is 0.
    #[inline]
    pub(crate) fn matches(&self, tag: u16) -> u32 {
        let mut mask = 0;
        for (lane, &slot) in self.0.iter().enumerate() {
            mask |= u32::from(slot & 0xffff == u32::from(tag)) << lane;
        }
        mask & !1
    }

    /// The offset in a lane's slot.
    #[inline]
    pub(crate) fn offset(&self, lane: usize) -> usize {
        self.0.get(lane).map_or(0, |&slot| unpack(slot).1)
    }

    /// The slots with their lanes, empty ones left out.
    pub(crate) fn slots(self) -> impl Iterator<Item = (usize, u16, usize)> {
        self.0.into_iter().enumerate().skip(1).filter_map(|(lane, slot)| {
            let (tag, offset) = unpack(slot);
            (offset != 0).then_some((lane, tag, offset))
        })
    }

    /// The tag of a slot that is empty and yet not zero.
    pub(crate) fn stray_tag(&self) -> Option<u16> {
        self.0
            .iter()
            .skip(1)
            .map(|&slot| unpack(slot))
            .find_map(|(tag, offset)| (offset == 0 && tag != 0).then_some(tag))
    }

    /// A lane whose slot is empty.
    pub(crate) fn empty_lane(&self) -> Option<usize> {
        self.0.iter().skip(1).position(|&slot| slot >> 16 == 0).map(|i| i + 1)
    }
}

#[inline]
#[allow(clippy::cast_possible_truncation, reason = "the low 16 bits are meant")]
fn unpack(slot: u32) -> (u16, usize) {
    (slot as u16, (slot >> 16) as usize)
}

/// The lanes of a cell of tags: two of header, thirty slots.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TagCell([u16; 32]);

impl TagCell {
    #[inline]
    pub(super) fn new(lanes: [u16; 32]) -> TagCell {
        TagCell(lanes)
    }

    /// The first two lanes.
    #[inline]
    pub(crate) fn header(&self) -> u32 {
        let [low, high, ..] = self.0;
        u32::from(low) | u32::from(high) << 16
    }

    /// A bit for each slot that bears the tag.
    #[inline]
    pub(crate) fn matches(&self, tag: u16) -> u32 {
        let mut mask = 0;
        for (lane, &found) in self.0.iter().enumerate() {
            mask |= u32::from(found == tag) << lane;
        }
        mask >> 2
    }

    /// All tags with their slots.
    pub(crate) fn tags(self) -> impl Iterator<Item = (usize, u16)> {
        self.0.into_iter().skip(2).enumerate()
    }

    /// The tags of slots that hold a record, with their slots.
    pub(crate) fn live(self) -> impl Iterator<Item = (usize, u16)> {
        self.tags().filter(|&(_, tag)| tag > DEAD)
    }
}
