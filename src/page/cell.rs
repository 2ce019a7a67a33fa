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

/// The sixteen lanes of a cell of a general page, two in a word.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell([u64; 8]);

/// A word with a tag's lowest bit in each lane.
const EACH_LANE: u64 = 0x0000_0001_0000_0001;
/// The bits of the tags of both lanes of a word.
const LANE_TAGS: u64 = EACH_LANE * 0xffff;

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
    ///
    /// Two lanes at a time: a sum that leaves a tag's 16 bits says that they differ from the wanted.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "the lanes' bits are below 32")]
    pub(crate) fn matches(&self, tag: u16) -> u32 {
        let wanted = u64::from(tag) * EACH_LANE;
        let mut mask = 0;
        for (i, word) in self.0.iter().enumerate() {
            let differ = ((word ^ wanted) & LANE_TAGS) + LANE_TAGS;
            mask |= (!differ & EACH_LANE << 16) >> (16 - 2 * i);
        }
        (mask | mask >> 31) as u32 & 0xfffe
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "a word is two lanes")]
    fn lane(&self, lane: usize) -> u32 {
        self.0.get(lane / 2).map_or(0, |word| (word >> (32 * (lane % 2))) as u32)
    }

    /// The offset in a lane's slot.
    #[inline]
    pub(crate) fn offset(&self, lane: usize) -> usize {
        unpack(self.lane(lane)).1
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

/// A word with the lowest bit of each of four tags.
const EACH_TAG: u64 = 0x0001_0001_0001_0001;
/// All bits of four tags but their highest ones.
const BELOW_HIGHEST: u64 = EACH_TAG * 0x7fff;
/// Times this, the lowest bits of four tags come together in bits 48 to 51.
const GATHER: u64 = 1 << 48 | 1 << 33 | 1 << 18 | 1 << 3;

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
    #[allow(clippy::cast_possible_truncation, reason = "four bits are left")]
    pub(crate) fn matches(&self, tag: u16) -> u32 {
        let wanted = u64::from(tag) * EACH_TAG;
        let mut mask = 0;
        for (i, word) in self.0.iter().enumerate() {
            let other = word ^ wanted;
            let differ = ((other & BELOW_HIGHEST) + BELOW_HIGHEST) | other;
            let equal = !differ >> 15 & EACH_TAG;
            mask |= ((equal.wrapping_mul(GATHER) >> 48 & 0xf) as u32) << (4 * i);
        }
        mask >> 2
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

#[cfg(test)]
mod tests {
    use super::{Cell, TagCell};

    /// Words whose lanes are equal, nearly equal, and far from the tag.
    fn words(seed: u64, tag: u16) -> [u64; 8] {
        let mut state = seed;
        std::array::from_fn(|_| {
            let mut word = 0;
            for shift in [0, 16, 32, 48] {
                state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                let near = [tag, tag ^ 1, tag ^ 0x8000, tag.wrapping_add(1), (state >> 40) as u16];
                word |= u64::from(near[(state >> 33) as usize % near.len()]) << shift;
            }
            word
        })
    }

    #[test]
    fn words_compare_as_lanes_do() {
        for seed in 0..2000 {
            for tag in [0, 1, 0x7fff, 0x8000, 0xffff, seed as u16] {
                let words = words(seed, tag);
                let lane = |i: usize, bits: usize| words[i * bits / 64] >> (i * bits % 64);
                let general = (1..16).filter(|&i| lane(i, 32) as u16 == tag);
                let general = general.fold(0, |mask, i| mask | 1 << i);
                assert_eq!(Cell::new(words).matches(tag), general, "{words:x?}, {tag:#x}");
                let fixed = (2..32).filter(|&i| lane(i, 16) as u16 == tag);
                let fixed = fixed.fold(0, |mask, i| mask | 1 << (i - 2));
                assert_eq!(TagCell::new(words).matches(tag), fixed, "{words:x?}, {tag:#x}");
            }
        }
    }
}
