//! Pages of fixed sizes: what `bucket` and `edit` do, for pages whose records have no header and no
//! offset.
//!
//! ```text
//! cell   0  2 filter     as in a general page
//!        2  1 spill
//!        3  1 zero
//!        4 60 tags       30 of 16 bits: 0 never used, 1 dead, else bits 0–15 of the hash, at least 2
//! ```
//!
//! A slot's record is in the place that `shape` computes for it. A record that is removed or
//! replaced leaves a *dead* slot: its place may still be looked at, so it is not written again
//! until the page is copied into another frame; there dead slots are empty ones.
//!
//! *A replaced record is not missed.* The new record goes to a slot of the same cell in the same
//! word as the old one, or in a later word. In the same word both tags change by one store. In a
//! later one the new tag is stored before the old one is cleared; a search (and a scan) loads the
//! words of a cell in ascending order, so one that finds the old tag gone loads the new one after
//! it was stored. Another cell would not do: a search may have loaded the home cell's header, with
//! a `spill` that does not reach it, long ago. If there is no such slot the page is copied, and the
//! record is overwritten in the copy: a reader looks at either page, and both have the key.
//!
//! One page. Knows nothing of layouts, of chains, of the log.

use super::bucket::{Found, KeyMatch, SlotPlace, filter_bit, home_cell, spill_of, wrap};
use super::cell::{DEAD, EMPTY};
use super::edit::with_spill;
use super::record::Record;
use super::shape::Fixed;
use super::view::{cell_count, live_len, record_count};
use super::{Frame, LINE_SIZE, View, word};
use crate::error::{Fault, Promise};

/// The first slot of the word that a slot's tag is in: a word has four tags, the first of a cell
/// two, behind the cell's header.
fn word_start(slot: usize) -> usize {
    ((slot + 2) / 4 * 4).saturating_sub(2)
}

/// The tag of a hash: 0 and 1 mean something else.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "the low 16 bits are meant")]
pub(super) fn tag(hash: u64) -> u16 {
    (hash as u16).max(DEAD + 1)
}

/// Looks for a key. Not inlined: that would make searches of general pages slower.
#[inline(never)]
pub(super) fn find<'a, K: KeyMatch>(
    page: View<'a>,
    fixed: &Fixed,
    hash: u64,
    key: &K,
) -> Found<'a> {
    let tag = tag(hash);
    let home = home_cell(hash, fixed.cells);
    let mut spill = 0;
    let mut in_overflow = false;
    let mut distance = 0;
    loop {
        let index = wrap(home + distance, fixed.cells);
        let Some(cell) = page.tag_cell(index) else { break };
        if distance == 0 {
            spill = spill_of(cell.header());
            in_overflow = cell.header() & filter_bit(hash) != 0;
        }
        let mut candidates = cell.matches(tag);
        while candidates != 0 {
            let slot = candidates.trailing_zeros() as usize;
            candidates &= candidates - 1;
            let Some(record) = record(page, fixed, index, slot) else { continue };
            if let Record::Inline { key: found, .. } = record
                && key.matches_inline(found)
            {
                return Found::Record(SlotPlace { cell: index, lane: slot + 1 }, record);
            }
        }
        if distance >= spill || distance + 1 >= fixed.cells {
            break;
        }
        distance += 1;
    }
    if in_overflow { Found::PerhapsInOverflow } else { Found::Nowhere }
}

/// The record of a slot, dead ones included; `None` if it never had one.
#[inline]
pub(super) fn record<'a>(
    page: View<'a>,
    fixed: &Fixed,
    cell: usize,
    slot: usize,
) -> Option<Record<'a>> {
    let bytes = page.piece(cell, slot, fixed.place(cell, slot))?;
    let (key, value) = bytes.split_at_checked(fixed.key_size)?;
    Some(Record::Inline { key, value })
}

/// Checks what a checksum cannot prove, but for what all shapes have in common.
pub(super) fn check_structure(page: View<'_>, fixed: &Fixed) -> Result<(), Fault> {
    let cells = cell_count(page);
    Fault::expect(Promise::CellCount, fixed.cells as u64, cells as u64)?;
    let mut count = 0;
    for index in 0..cells {
        let Some(cell) = page.tag_cell(index) else { break };
        for (slot, _) in cell.tags().filter(|&(_, tag)| tag != EMPTY) {
            if slot >= fixed.slots_of(index) {
                let end = fixed.place(index, slot).end as u64;
                return Err(Fault::new(Promise::RecordBounds, page.len() as u64, end));
            }
        }
        count += cell.live().count();
    }
    Fault::expect(Promise::Count, record_count(page) as u64, count as u64)?;
    Fault::expect(Promise::Count, live_len(page) as u64, (count * fixed.record_size) as u64)
}

impl Frame<'_> {
    /// Adds a record in place. `false` if every slot has had one.
    pub(super) fn insert_fixed(&mut self, fixed: &Fixed, hash: u64, record: &Record<'_>) -> bool {
        let home = home_cell(hash, fixed.cells);
        let free = (0..fixed.cells).find_map(|distance| {
            let cell = wrap(home + distance, fixed.cells);
            Some((distance, self.empty_slot(fixed, cell, 0)?))
        });
        let Some((distance, slot)) = free else { return false };
        let cell = wrap(home + distance, fixed.cells);
        self.write_fixed(fixed, cell, slot, record);
        if distance > 0 {
            self.raise_spill(home, distance);
        }
        self.count_fixed(fixed, 1);
        self.store_tag(cell, slot, tag(hash));
        true
    }

    /// Puts another record of the same key beside a record, which is dead then. `false` if there is
    /// no slot for it that no search can miss.
    pub(super) fn replace_fixed(
        &mut self,
        fixed: &Fixed,
        place: SlotPlace,
        hash: u64,
        record: &Record<'_>,
    ) -> bool {
        let old = place.lane - 1;
        let Some(new) = self.empty_slot(fixed, place.cell, word_start(old)) else { return false };
        self.write_fixed(fixed, place.cell, new, record);
        if word_start(old) == word_start(new) {
            self.store_tags(place.cell, &[(old, DEAD), (new, tag(hash))]);
        } else {
            self.store_tag(place.cell, new, tag(hash));
            self.store_tag(place.cell, old, DEAD);
        }
        true
    }

    /// Removes a record by one atomic store.
    pub(super) fn remove_fixed(&mut self, fixed: &Fixed, place: SlotPlace) {
        self.count_fixed(fixed, -1);
        self.store_tag(place.cell, place.lane - 1, DEAD);
    }

    /// Writes a record over another one. Nobody else may see the page yet.
    pub(super) fn overwrite_fixed(
        &mut self,
        fixed: &Fixed,
        place: SlotPlace,
        hash: u64,
        record: &Record<'_>,
    ) {
        self.store_tag(place.cell, place.lane - 1, EMPTY);
        self.write_fixed(fixed, place.cell, place.lane - 1, record);
        self.store_tag(place.cell, place.lane - 1, tag(hash));
    }

    /// Makes dead slots empty ones. Nobody else may see the page yet.
    pub(super) fn forget_dead(&mut self) {
        for index in 0..cell_count(self.view()) {
            let cell = self.view().tag_cell(index);
            let tags = cell.into_iter().flat_map(super::cell::TagCell::tags);
            for (slot, _) in tags.filter(|&(_, tag)| tag == DEAD) {
                self.store_tag(index, slot, EMPTY);
            }
        }
    }

    fn empty_slot(&self, fixed: &Fixed, cell: usize, from: usize) -> Option<usize> {
        let empty = self.view().tag_cell(cell)?.matches(EMPTY) >> from << from;
        let slot = empty.trailing_zeros() as usize;
        (slot < fixed.slots_of(cell)).then_some(slot)
    }

    pub(super) fn write_fixed(
        &mut self,
        fixed: &Fixed,
        cell: usize,
        slot: usize,
        record: &Record<'_>,
    ) {
        let &Record::Inline { key, value } = record else {
            panic!("no record of a page of fixed sizes is large");
        };
        self.write_piece((cell, slot), fixed.place(cell, slot), (key, value));
    }

    fn count_fixed(&mut self, fixed: &Fixed, records: i64) {
        let len = records * i64::try_from(fixed.record_size).expect("less than a page");
        let heap = self.view().word(word::HEAP);
        self.store_word(word::HEAP, heap.wrapping_add_signed(len << 32));
        self.count_records(records);
    }
}

/// Makes `frame`, which was just reset, a page of `records`; gives those that did not fit.
#[expect(clippy::indexing_slicing, reason = "every cell is below the count of cells")]
pub(super) fn fill<'r>(
    frame: &mut Frame<'_>,
    fixed: &Fixed,
    records: &[(u64, Record<'r>)],
) -> Vec<(u64, Record<'r>)> {
    const LANES: usize = LINE_SIZE / 4;
    let cells = fixed.cells;
    let mut lanes = vec![0_u32; cells * LANES];
    let mut used = vec![0; cells];
    let mut count = 0;
    let mut rest = Vec::new();
    for (hash, record) in records {
        let home = home_cell(*hash, cells);
        let is_free = |distance: &usize| {
            let cell = wrap(home + distance, cells);
            used[cell] < fixed.slots_of(cell)
        };
        let Some(distance) = (0..cells).find(is_free).filter(|_| count < fixed.capacity) else {
            rest.push((*hash, *record));
            continue;
        };
        let cell = wrap(home + distance, cells);
        let slot = used[cell];
        used[cell] += 1;
        frame.write_fixed(fixed, cell, slot, record);
        lanes[cell * LANES + 1 + slot / 2] |= u32::from(tag(*hash)) << (16 * (slot % 2));
        let header = &mut lanes[home * LANES];
        *header = with_spill(*header, distance);
        count += 1;
    }
    let live = (count * fixed.record_size) as u64;
    frame.store_cells(&lanes, fixed.stated(), count as u64, live);
    rest
}

#[cfg(test)]
mod tests;
