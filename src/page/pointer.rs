//! Pointers to pages, as they stand in the file and, with two bits more, in memory.
//!
//! ```text
//! bits 62–63  bits 30–61        bits 0–29
//! 0           checksum of page  page number   a page on file, not yet checked by this process
//! 1           cell count        page number   a page on file, checked
//! 2           cell count        frame number  a page in memory
//! ```
//!
//! Zero means that there is no page. Only the first form stands in a file. A word of the second
//! or third form tells a reader where the cells are without touching the page's header.

const NUMBER_BITS: u32 = 30;
const NUMBER_MASK: u64 = (1 << NUMBER_BITS) - 1;
const KIND_SHIFT: u32 = 62;

/// Page and frame numbers are below this.
pub(crate) const PAGE_COUNT_MAX: u64 = 1 << NUMBER_BITS;

/// A word of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pointer {
    /// No page.
    Empty,
    /// A page on file, with its checksum.
    Unchecked { page: u64, checksum: u32 },
    /// A page on file that was checked since it was written or the file was opened.
    Checked { page: u64, cell_count: usize },
    /// A page in memory.
    Frame { frame: u32, cell_count: usize },
}

impl Pointer {
    /// The word's meaning. The unused fourth form, which only a damaged file holds, reads as an
    /// unchecked page that cannot exist.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "each field is masked to its width")]
    pub(crate) fn decode(word: u64) -> Pointer {
        let number = word & NUMBER_MASK;
        let upper = word >> NUMBER_BITS;
        match word >> KIND_SHIFT {
            0 if word == 0 => Pointer::Empty,
            0 => Pointer::Unchecked { page: number, checksum: upper as u32 },
            1 => Pointer::Checked { page: number, cell_count: (upper & 0xff) as usize },
            2 => Pointer::Frame { frame: number as u32, cell_count: (upper & 0xff) as usize },
            _ => Pointer::Unchecked { page: u64::MAX, checksum: 0 },
        }
    }

    /// What a word in memory says of a page that is known to be sound: whether it is a frame, its
    /// number, its cell count.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "each field is masked to its width")]
    pub(crate) fn known(word: u64) -> Option<(bool, u32, usize)> {
        let is_frame = word >> KIND_SHIFT == 2;
        let known = is_frame || word >> KIND_SHIFT == 1;
        let number = (word & NUMBER_MASK) as u32;
        known.then_some((is_frame, number, (word >> NUMBER_BITS & 0xff) as usize))
    }

    /// The page of the file that a word leads to, if it leads to one.
    pub(crate) fn page_of(word: u64) -> Option<u64> {
        match Pointer::decode(word) {
            Pointer::Unchecked { page, .. } | Pointer::Checked { page, .. } => Some(page),
            Pointer::Empty | Pointer::Frame { .. } => None,
        }
    }

    /// The word.
    #[inline]
    pub(crate) fn encode(self) -> u64 {
        let pack = |kind: u64, upper: u64, number: u64| {
            assert!(number <= NUMBER_MASK);
            kind << KIND_SHIFT | upper << NUMBER_BITS | number
        };
        match self {
            Pointer::Empty => 0,
            Pointer::Unchecked { page, checksum } => pack(0, checksum.into(), page),
            Pointer::Checked { page, cell_count } => pack(1, cell_count as u64, page),
            Pointer::Frame { frame, cell_count } => pack(2, cell_count as u64, frame.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Pointer;

    #[test]
    fn every_form_survives_the_round_trip() {
        for pointer in [
            Pointer::Empty,
            Pointer::Unchecked { page: (1 << 30) - 1, checksum: u32::MAX },
            Pointer::Unchecked { page: 4, checksum: 0 },
            Pointer::Checked { page: 77, cell_count: 255 },
            Pointer::Frame { frame: 0, cell_count: 1 },
        ] {
            assert_eq!(Pointer::decode(pointer.encode()), pointer);
            let known = match pointer {
                Pointer::Empty | Pointer::Unchecked { .. } => None,
                Pointer::Checked { cell_count, .. } => Some((false, 77, cell_count)),
                Pointer::Frame { frame, cell_count } => Some((true, frame, cell_count)),
            };
            assert_eq!(Pointer::known(pointer.encode()), known);
        }
    }
}
