//! Bucket and overflow pages: records found, added, replaced and removed within one page.
//!
//! A record's slot is in the cell that its hash chooses, its *home*, or in one of the next cells
//! if that one was full; the home's header says how many further cells a search must visit
//! (`spill`), and which records of that home stand in overflow (`filter`, 16 bits):
//!
//! ```text
//! cell header, bits  0–15 filter   a bit per value of hash bits 32–35
//!                   16–23 spill    further cells to visit
//!                   24–31 zero
//! ```
//!
//! Pages of fixed sizes have cells of another kind; what differs is in `fixed`, and who calls the
//! functions here need not know which it has.
//!
//! One page. Knows nothing of layouts, of chains, of the log.

use std::ops::ControlFlow;

use super::record::{LargeRecord, Record};
use super::shape::{Fixed, Shape};
use super::view::{cell_count, heap_start, live_len, record_count};
use super::{Cell, HEADER_SIZE, LINE_SIZE, TagCell, View, fixed, word};
use crate::error::{Fault, Promise};

/// Where a record's slot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SlotPlace {
    pub(crate) cell: usize,
    pub(crate) lane: usize,
}

/// What a search in one page found.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// The record with the key.
    Record(SlotPlace, Record<'a>),
    /// Not here, but perhaps in overflow.
    PerhapsInOverflow,
    /// Not here, and not in overflow.
    Nowhere,
}

/// How a search knows the key that it looks for.
pub(crate) trait KeyMatch {
    /// The error that reading a large record's key can end with.
    type Error;
    /// Whether a key that stands in the page is the one.
    fn matches_inline(&self, key: &[u8]) -> bool;
    /// Whether the key behind a large record's value is the one.
    fn matches_large(&self, large: &LargeRecord) -> Result<bool, Self::Error>;
}

/// The tag of a hash in a general page.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "the low 16 bits are meant")]
pub(super) fn tag(hash: u64) -> u16 {
    hash as u16
}

/// The tag of a hash in a page of this shape.
pub(crate) fn tag_of(shape: &Shape, hash: u64) -> u16 {
    match shape {
        Shape::General => tag(hash),
        Shape::Fixed(_) => fixed::tag(hash),
    }
}

/// The tag of a hash in this page.
pub(crate) fn tag_in(page: View<'_>, hash: u64) -> u16 {
    Shape::of(page).map_or(0, |shape| tag_of(&shape, hash))
}

/// The home cell of a hash, of `cells`.
#[inline]
pub(crate) fn home_cell(hash: u64, cells: usize) -> usize {
    (((hash >> 16) & 0xffff) as usize * cells) >> 16
}

/// The bit that stands for a hash in the filter of its home cell.
#[inline]
pub(super) fn filter_bit(hash: u64) -> u32 {
    1 << ((hash >> 32) & 15)
}

/// Looks for a key; `shape` is the page's, `cells` its cell count.
#[inline]
pub(crate) fn find<'a, K: KeyMatch>(
    page: View<'a>,
    shape: &Shape,
    cells: usize,
    hash: u64,
    key: &K,
) -> Result<Found<'a>, K::Error> {
    match shape {
        Shape::General => find_general(page, cells, hash, key),
        Shape::Fixed(of) => Ok(fixed::find(page, of, hash, key)),
    }
}

#[inline]
fn find_general<'a, K: KeyMatch>(
    page: View<'a>,
    cells: usize,
    hash: u64,
    key: &K,
) -> Result<Found<'a>, K::Error> {
    let home = home_cell(hash, cells);
    let Some(cell) = page.cell(home) else { return Ok(Found::Nowhere) };
    if let Some(found) = find_in_cell(page, (home, &cell), hash, key)? {
        return Ok(found);
    }
    let header = cell.header();
    if spill_of(header) > 0
        && let Some(found) = find_further(page, cells, (home, spill_of(header)), hash, key)?
    {
        return Ok(found);
    }
    let in_overflow = header & filter_bit(hash) != 0;
    Ok(if in_overflow { Found::PerhapsInOverflow } else { Found::Nowhere })
}

/// The cells behind the home, as far as its spill says. Few lookups come here.
#[inline(never)]
fn find_further<'a, K: KeyMatch>(
    page: View<'a>,
    cells: usize,
    (home, spill): (usize, usize),
    hash: u64,
    key: &K,
) -> Result<Option<Found<'a>>, K::Error> {
    for distance in 1..=spill.min(cells.saturating_sub(1)) {
        let index = wrap(home + distance, cells);
        let Some(cell) = page.cell(index) else { break };
        let found = find_in_cell(page, (index, &cell), hash, key)?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

#[inline]
fn find_in_cell<'a, K: KeyMatch>(
    page: View<'a>,
    (index, cell): (usize, &Cell),
    hash: u64,
    key: &K,
) -> Result<Option<Found<'a>>, K::Error> {
    let mut candidates = cell.matches(tag(hash));
    while candidates != 0 {
        let lane = candidates.trailing_zeros() as usize;
        candidates &= candidates - 1;
        let Some(record) = page.tail(index, lane).and_then(Record::decode) else { continue };
        let equal = match &record {
            Record::Inline { key: found, .. } => key.matches_inline(found),
            Record::Large(large, _) if large.has_long_key() => {
                large.hash == hash && key.matches_large(large)?
            }
            Record::Large(_, found) => key.matches_inline(found),
        };
        if equal {
            return Ok(Some(Found::Record(SlotPlace { cell: index, lane }, record)));
        }
    }
    Ok(None)
}

#[inline]
pub(super) fn wrap(cell: usize, cells: usize) -> usize {
    if cell >= cells { cell - cells } else { cell }
}

#[inline]
pub(super) fn spill_of(cell_header: u32) -> usize {
    (cell_header >> 16 & 0xff) as usize
}

/// Every record of a page, with its place and tag. A slot that does not hold a record ends as
/// `Err`. Cells come in the order of the page, each loaded at once.
pub(crate) fn records(
    page: View<'_>,
) -> impl Iterator<Item = Result<(SlotPlace, u16, Record<'_>), Fault>> {
    slots(page).map(move |slot| {
        let record = slot.record.ok_or_else(|| {
            Fault::new(Promise::RecordBounds, page.len() as u64, slot.offset as u64)
        })?;
        Ok((slot.place, slot.tag, record))
    })
}

/// A slot that is in use, as it stands, whatever it points to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot<'a> {
    pub(crate) place: SlotPlace,
    pub(crate) tag: u16,
    pub(crate) offset: usize,
    /// `None` if no record begins there.
    pub(crate) record: Option<Record<'a>>,
}

/// Every slot that is in use, for those who look at a page that may be damaged.
pub(crate) fn slots(page: View<'_>) -> impl Iterator<Item = Slot<'_>> {
    let shape = Shape::of(page);
    (0..cell_count(page)).flat_map(move |index| slots_of_cell(page, shape, index))
}

/// The slots of one cell that are in use; `shape` is what the page states.
pub(super) fn slots_of_cell(
    page: View<'_>,
    shape: Option<Shape>,
    index: usize,
) -> impl Iterator<Item = Slot<'_>> {
    let general = if shape == Some(Shape::General) { page.cell(index) } else { None };
    let general = general.into_iter().flat_map(Cell::slots).map(move |(lane, tag, offset)| {
        let record = page.tail(index, lane).and_then(Record::decode);
        Slot { place: SlotPlace { cell: index, lane }, tag, offset, record }
    });
    let of = if let Some(Shape::Fixed(of)) = shape { Some(of) } else { None };
    let tags = of.and_then(|of| Some((of, page.tag_cell(index)?)));
    let tags = tags.into_iter().flat_map(move |(of, cell)| {
        TagCell::live(cell).map(move |(slot, tag)| slot_of_fixed(page, &of, (index, slot), tag))
    });
    general.chain(tags)
}

fn slot_of_fixed<'a>(
    page: View<'a>,
    of: &Fixed,
    (cell, slot): (usize, usize),
    tag: u16,
) -> Slot<'a> {
    Slot {
        place: SlotPlace { cell, lane: slot + 1 },
        tag,
        offset: of.place(cell, slot).start,
        record: fixed::record(page, of, cell, slot),
    }
}

/// Checks what no reader needs to know: that records do not overlap and that empty slots are zero.
pub(crate) fn check_tidy(page: View<'_>) -> Result<(), Fault> {
    if Shape::of(page) != Some(Shape::General) {
        return Ok(()); // The places of records follow from the sizes.
    }
    let mut ranges: Vec<(usize, usize)> = slots(page)
        .filter_map(|slot| Some((slot.offset, slot.offset + slot.record?.encoded_len())))
        .collect();
    ranges.sort_unstable();
    let mut end = heap_start(page);
    for (start, next_end) in ranges {
        if start < end {
            return Err(Fault::new(Promise::RecordBounds, end as u64, start as u64));
        }
        end = next_end;
    }
    let stray = (0..cell_count(page)).filter_map(|i| page.cell(i)).find_map(|c| c.stray_tag());
    Fault::expect(Promise::Reserved, 0, stray.unwrap_or(0).into())
}

/// Checks that a page has the shape of its table's.
pub(crate) fn check_shape(page: View<'_>, shape: &Shape) -> Result<(), Fault> {
    let stated = |shape: Option<Shape>| match shape {
        Some(Shape::Fixed(of)) => of.stated(),
        _ => 0,
    };
    let found = Shape::of(page);
    if found == Some(*shape) {
        return Ok(());
    }
    Err(Fault::new(Promise::RecordSize, stated(Some(*shape)), page.word(word::HEAP) & 0xffff_ffff))
}

/// Checks what a checksum cannot prove: that cells, counts and records fit and add up, by the shape
/// that the page states.
pub(crate) fn check_structure(page: View<'_>) -> Result<(), Fault> {
    let cells = cell_count(page);
    let cells_end = HEADER_SIZE + cells * LINE_SIZE;
    if cells == 0 || cells_end > page.len() {
        return Err(Fault::new(Promise::CellCount, page.len() as u64, cells_end as u64));
    }
    match Shape::of(page) {
        Some(Shape::General) => check_heap(page)?,
        Some(Shape::Fixed(of)) => fixed::check_structure(page, &of)?,
        None => {
            let stated = page.word(word::HEAP) & 0xffff_ffff;
            return Err(Fault::new(Promise::RecordSize, 0, stated));
        }
    }
    // A pointer on file is never one of the forms that mean a frame in memory or a checked page.
    if page.word(word::NEXT) >> 62 != 0 {
        return Err(Fault::new(Promise::PageRange, 0, page.word(word::NEXT)));
    }
    for header in headers(page) {
        if spill_of(header) >= cells || header >> 24 != 0 {
            return Err(Fault::new(Promise::Reserved, 0, header.into()));
        }
    }
    Ok(())
}

/// The headers of all cells.
fn headers(page: View<'_>) -> impl Iterator<Item = u32> {
    (0..cell_count(page)).filter_map(move |index| page.cell(index)).map(|cell| cell.header())
}

fn check_heap(page: View<'_>) -> Result<(), Fault> {
    let cells = cell_count(page);
    let cells_end = HEADER_SIZE + cells * LINE_SIZE;
    let heap = heap_start(page);
    if heap < cells_end || heap > page.len() {
        return Err(Fault::new(Promise::RecordBounds, cells_end as u64, heap as u64));
    }
    // Records that share bytes would not fit when they are placed anew.
    if live_len(page) > page.len() - heap {
        let room = page.len() - heap;
        return Err(Fault::new(Promise::RecordBounds, room as u64, live_len(page) as u64));
    }
    let (mut count, mut len) = (0, 0);
    for index in 0..cells {
        let Some(cell) = page.cell(index) else { break };
        for (lane, _, offset) in cell.slots() {
            let record = page.tail(index, lane).and_then(Record::decode);
            match record {
                Some(record) if offset >= heap => {
                    count += 1;
                    len += record.encoded_len();
                }
                _ => return Err(Fault::new(Promise::RecordBounds, heap as u64, offset as u64)),
            }
        }
    }
    Fault::expect(Promise::Count, record_count(page) as u64, count)?;
    Fault::expect(Promise::Count, live_len(page) as u64, len as u64)
}

/// Whether a record of this hash stands where a search looks, given the page's cells.
pub(crate) fn is_reachable(page: View<'_>, place: SlotPlace, tag_found: u16, hash: u64) -> bool {
    let cells = cell_count(page);
    let home = home_cell(hash, cells);
    let distance = wrap(place.cell + cells - home, cells);
    let spill = page.cell(home).map_or(0, |cell| spill_of(cell.header()));
    tag_found == tag_in(page, hash) && distance <= spill
}

/// Whether the page admits that a record of this hash may be in overflow.
pub(crate) fn admits_overflow(page: View<'_>, hash: u64) -> bool {
    let home = home_cell(hash, cell_count(page));
    page.cell(home).is_some_and(|cell| cell.header() & filter_bit(hash) != 0)
}

/// Whether the page admits that any record may be in overflow.
pub(crate) fn has_overflow(page: View<'_>) -> bool {
    headers(page).any(|header| header & 0xffff != 0)
}

/// A record of this length that the page admits to be in overflow by a filter bit of another one:
/// if it goes there, no bit is set for it.
pub(crate) fn admitted<'a>(
    page: View<'a>,
    shape: &Shape,
    len: usize,
    hash_of: impl Fn(&Record<'_>) -> u64,
) -> Option<(SlotPlace, u64, Record<'a>)> {
    // Records that stand behind their home cell are not worth a look at every cell.
    let has_filter =
        |index: &usize| page.cell(*index).is_some_and(|cell| cell.header() & 0xffff != 0);
    let cells = (0..cell_count(page)).filter(has_filter);
    if *shape == Shape::General {
        // They lie anywhere in the page: all are asked for before the first is looked at.
        for cell in cells.clone().filter_map(|index| page.cell(index)) {
            cell.slots().for_each(|(_, _, offset)| page.prefetch(offset));
        }
    }
    let found = visit(page, shape, cells, |place, record| {
        let Some(record) = record.filter(|record| shape.record_len(record) == len) else {
            return ControlFlow::Continue(());
        };
        let hash = hash_of(&record);
        match admits_overflow(page, hash) {
            true => ControlFlow::Break((place, hash, record)),
            false => ControlFlow::Continue(()),
        }
    });
    found.break_value()
}

/// Shows `look` the records of some cells until it breaks off; `None` for a slot that does not hold
/// one. `shape` is the page's. As [`slots`], and faster.
#[inline]
pub(crate) fn visit<'a, B>(
    page: View<'a>,
    shape: &Shape,
    cells: impl Iterator<Item = usize>,
    mut look: impl FnMut(SlotPlace, Option<Record<'a>>) -> ControlFlow<B>,
) -> ControlFlow<B> {
    for index in cells {
        match shape {
            Shape::General => {
                let Some(cell) = page.cell(index) else { break };
                for (lane, _, _) in cell.slots() {
                    let record = page.tail(index, lane).and_then(Record::decode);
                    look(SlotPlace { cell: index, lane }, record)?;
                }
            }
            Shape::Fixed(of) => {
                let Some(cell) = page.tag_cell(index) else { break };
                for (slot, _) in cell.live() {
                    let place = SlotPlace { cell: index, lane: slot + 1 };
                    look(place, fixed::record(page, of, index, slot))?;
                }
            }
        }
    }
    ControlFlow::Continue(())
}

/// The record in a slot; `shape` is the page's.
#[inline]
pub(crate) fn record_at<'a>(page: View<'a>, shape: &Shape, place: SlotPlace) -> Option<Record<'a>> {
    match shape {
        Shape::General => page.tail(place.cell, place.lane).and_then(Record::decode),
        Shape::Fixed(of) => fixed::record(page, of, place.cell, place.lane.checked_sub(1)?),
    }
}

/// Whether a record of this length fits a page's free space as it is, or, where records have one
/// size, once the dead ones are dropped.
pub(crate) fn has_room(page: View<'_>, shape: &Shape, len: usize) -> bool {
    match shape {
        Shape::General => heap_start(page) >= HEADER_SIZE + cell_count(page) * LINE_SIZE + len,
        Shape::Fixed(of) => record_count(page) < of.capacity,
    }
}

#[cfg(test)]
mod tests;
