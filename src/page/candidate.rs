//! Where a search most likely ends: a guess from one cell, for those who ask for memory ahead.
//!
//! One page. Knows nothing of what is done with the guess.

use super::bucket::{SlotPlace, home_cell, tag};
use super::shape::Shape;
use super::{View, fixed};

/// The first slot of a hash's home cell that bears its tag, and the offset of the record there: where
/// a search most likely ends.
#[inline]
pub(crate) fn candidate(
    page: View<'_>,
    shape: &Shape,
    cells: usize,
    hash: u64,
) -> Option<(SlotPlace, usize)> {
    let home = home_cell(hash, cells);
    match shape {
        Shape::General => {
            let cell = page.cell(home)?;
            let lane = first_bit(cell.matches(tag(hash)))?;
            Some((SlotPlace { cell: home, lane }, cell.offset(lane)))
        }
        Shape::Fixed(of) => {
            let slot = first_bit(page.tag_cell(home)?.matches(fixed::tag(hash)))?;
            Some((SlotPlace { cell: home, lane: slot + 1 }, of.place(home, slot).start))
        }
    }
}

#[inline]
fn first_bit(bits: u32) -> Option<usize> {
    (bits != 0).then(|| bits.trailing_zeros() as usize)
}
