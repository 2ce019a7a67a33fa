//! Changing bucket and overflow pages: records added, replaced and removed in place, each by one
//! atomic store, and pages made anew. Where a record's slot may stand is told in `bucket`.
//!
//! One page. Knows nothing of layouts, of chains, of the log.

use super::bucket::{SlotPlace, filter_bit, home_cell, spill_of, tag, wrap};
use super::record::Record;
use super::view::cell_count;
use super::{CELL_SLOTS, Frame, HEADER_SIZE, Kind, LINE_SIZE, View, word};

/// Whether a page of this size can be made of as many records and bytes.
pub(crate) fn fits(page_size: usize, records: usize, record_bytes: usize) -> bool {
    let cells = records.div_ceil(CELL_SLOTS).max(1);
    HEADER_SIZE + cells * LINE_SIZE + record_bytes <= page_size
}

/// The cells that suit a page of records of this average length.
pub(crate) fn suitable_cell_count(page_size: usize, records: usize, record_bytes: usize) -> usize {
    /// Slots that one expects to use of a cell's fifteen when the page is full: with more, many
    /// searches visit a second cell; with fewer, slots stand empty.
    const SLOTS_USED: usize = 11;
    let payload = page_size - HEADER_SIZE;
    let average = record_bytes.div_ceil(records.max(1)).max(1);
    let full = payload * SLOTS_USED / (average * SLOTS_USED + LINE_SIZE);
    let cells = (full + SLOTS_USED / 2) / SLOTS_USED;
    // At most half of the page, however many records there are: what does not fit overflows.
    cells.max(records.div_ceil(CELL_SLOTS)).clamp(1, (payload / LINE_SIZE / 2).min(255))
}

impl Frame<'_> {
    /// Adds a record in place. `false` if no slot or no room is left, or offsets run out.
    pub(crate) fn insert(&mut self, hash: u64, record: &Record<'_>) -> bool {
        let cells = cell_count(self.view());
        let home = home_cell(hash, cells);
        let Some((distance, lane)) = (0..cells).find_map(|distance| {
            let cell = self.view().cell(wrap(home + distance, cells))?;
            Some((distance, cell.empty_lane()?))
        }) else {
            return false;
        };
        let Some(offset) = record.with_parts(|parts| self.append(parts)) else { return false };
        if distance > 0 {
            self.raise_spill(home, distance);
        }
        self.count(1, record.encoded_len(), 0);
        self.store_lane(wrap(home + distance, cells), lane, slot(hash, offset));
        true
    }

    /// Puts another record of the same key in a record's place by one atomic store. `false` if
    /// there is no room.
    pub(crate) fn replace(&mut self, place: SlotPlace, hash: u64, record: &Record<'_>) -> bool {
        let old_len = self.record_len(place);
        let Some(offset) = record.with_parts(|parts| self.append(parts)) else { return false };
        self.count(0, record.encoded_len(), old_len);
        self.store_lane(place.cell, place.lane, slot(hash, offset));
        true
    }

    /// Removes a record by one atomic store.
    pub(crate) fn remove(&mut self, place: SlotPlace) {
        self.count(-1, 0, self.record_len(place));
        self.store_lane(place.cell, place.lane, 0);
    }

    /// Notes that a record of this hash is in overflow.
    pub(crate) fn note_overflow(&mut self, hash: u64) {
        let home = home_cell(hash, cell_count(self.view()));
        let header = self.view().cell(home).map_or(0, |cell| cell.header());
        self.store_lane(home, 0, header | filter_bit(hash));
    }

    /// Takes over all filter bits of another page, as bits of every cell: cells may have moved.
    pub(crate) fn inherit_filter(&mut self, page: View<'_>) {
        let all = (0..cell_count(page))
            .filter_map(|index| page.cell(index))
            .fold(0, |bits, cell| bits | cell.header() & 0xffff);
        for index in 0..cell_count(self.view()) {
            let header = self.view().cell(index).map_or(0, |cell| cell.header());
            self.store_lane(index, 0, header | all);
        }
    }

    /// The next page of a chain of overflow pages, as a pointer's word.
    pub(crate) fn set_next(&mut self, next: u64) {
        self.store_word(word::NEXT, next);
    }

    fn raise_spill(&mut self, home: usize, distance: usize) {
        let header = self.view().cell(home).map_or(0, |cell| cell.header());
        let spill = u32::try_from(distance.max(spill_of(header))).expect("at most 254");
        self.store_lane(home, 0, header & !(0xff << 16) | spill << 16);
    }

    fn record_len(&self, place: SlotPlace) -> usize {
        let tail = self.view().tail(place.cell, place.lane).expect("a live slot of this page");
        Record::decode(tail).expect("a record that was read before").encoded_len()
    }

    fn count(&mut self, records: i64, added_len: usize, removed_len: usize) {
        let first = self.view().word(word::FIRST);
        self.store_word(word::FIRST, first.wrapping_add_signed(records << 48));
        let heap = self.view().word(word::HEAP);
        let delta = i64::try_from(added_len).expect("a page is small")
            - i64::try_from(removed_len).expect("a page is small");
        self.store_word(word::HEAP, heap.wrapping_add_signed(delta << 32));
    }
}

fn slot(hash: u64, offset: u16) -> u32 {
    u32::from(tag(hash)) | u32::from(offset) << 16
}

/// An empty page with room for more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageOf {
    pub(crate) kind: Kind,
    pub(crate) owner: u64,
    pub(crate) bucket_count: u64,
}

impl PageOf {
    /// Makes `frame` a page of `records`, as many as fit; gives those that did not.
    pub(crate) fn fill<'r>(
        self,
        frame: &mut Frame<'_>,
        records: &[(u64, Record<'r>)],
    ) -> Vec<(u64, Record<'r>)> {
        let bytes = records.iter().map(|(_, record)| record.encoded_len()).sum();
        let mut cells = suitable_cell_count(frame.view().len(), records.len(), bytes);
        // The cells of an average page may leave too little room for these records: then as many
        // as do, if those have slots enough. So what fits any page of this size is never refused.
        let room = (frame.view().len() - HEADER_SIZE).saturating_sub(bytes) / LINE_SIZE;
        if records.len().div_ceil(CELL_SLOTS).max(1) <= room {
            cells = cells.min(room);
        }
        self.fill_with(frame, cells, records)
    }

    /// As [`PageOf::fill`], with the cell count given.
    pub(crate) fn fill_with<'r>(
        self,
        frame: &mut Frame<'_>,
        cells: usize,
        records: &[(u64, Record<'r>)],
    ) -> Vec<(u64, Record<'r>)> {
        frame.reset(self.kind, cells, self.owner, self.bucket_count);
        records.iter().filter(|(hash, record)| !frame.insert(*hash, record)).copied().collect()
    }
}
