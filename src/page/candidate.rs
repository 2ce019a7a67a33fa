//! Where a search most likely ends: a guess from one cell, for those who ask for memory ahead, and
//! for lookups, which are done if it has the key.
//!
//! One page. Knows nothing of what is done with the guess.

use super::bucket::{SlotPlace, filter_bit, home_cell, record_at, spill_of, tag};
use super::record::Record;
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

/// What one look at a home cell says of a key.
pub(crate) enum Glance<'a> {
    /// Its value.
    Hit(&'a [u8]),
    /// It is not here, and not in overflow.
    Nowhere,
    /// Nothing.
    Unknown,
}

/// Looks for a key in the first slot of its home cell that bears its tag.
#[inline]
pub(crate) fn glance<'a>(
    page: View<'a>,
    shape: &Shape,
    cells: usize,
    hash: u64,
    key: &[u8],
) -> Glance<'a> {
    let home = home_cell(hash, cells);
    let cell = match shape {
        Shape::General => page.cell(home).map(|c| (c.header(), c.matches(tag(hash)))),
        Shape::Fixed(_) => {
            page.tag_cell(home).map(|c| (c.header(), c.matches(fixed::tag(hash)) << 1))
        }
    };
    let Some((header, candidates)) = cell else { return Glance::Unknown };
    let Some(lane) = first_bit(candidates) else {
        let leads_on = spill_of(header) > 0 || header & filter_bit(hash) != 0;
        return if leads_on { Glance::Unknown } else { Glance::Nowhere };
    };
    match record_at(page, shape, SlotPlace { cell: home, lane }) {
        Some(Record::Inline { key: found, value }) if found == key => Glance::Hit(value),
        _ => Glance::Unknown,
    }
}

#[inline]
fn first_bit(bits: u32) -> Option<usize> {
    (bits != 0).then(|| bits.trailing_zeros() as usize)
}
