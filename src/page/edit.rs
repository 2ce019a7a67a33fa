//! Changing bucket and overflow pages: records added, replaced and removed in place, each by one
//! atomic store, and pages made anew. Where a record's slot may stand is told in `bucket`.
//!
//! One page. Knows nothing of layouts, of chains, of the log.

use super::bucket::{self, SlotPlace, filter_bit, home_cell, spill_of, tag, wrap};
use super::record::Record;
use super::shape::Shape;
use super::view::{cell_count, heap_start, live_len};
use super::{CELL_SLOTS, Frame, HEADER_SIZE, Kind, LINE_SIZE, View, fixed, word};

/// Whether a page of this size and shape can be made of as many records and bytes.
pub(crate) fn fits(page_size: usize, shape: &Shape, records: usize, record_bytes: usize) -> bool {
    if let Shape::Fixed(of) = shape {
        return records <= of.capacity;
    }
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

/// Orders records of which a page cannot hold all so that those that will be left over, the last,
/// share few bits of the overflow filter: then few searches for absent keys are sent on.
#[expect(clippy::indexing_slicing, reason = "a group is below 16 for each cell")]
pub(crate) fn crowded_last(page_size: usize, shape: &Shape, records: &mut [(u64, Record<'_>)]) {
    let (count, bytes) = (records.len(), records.iter().map(|(_, r)| shape.record_len(r)).sum());
    if fits(page_size, shape, count, bytes) {
        return;
    }
    let (cells, excess) = match shape {
        Shape::Fixed(of) => (of.cells, count - of.capacity),
        Shape::General => {
            let cells = suitable_cell_count(page_size, count, bytes);
            let over = (HEADER_SIZE + cells * LINE_SIZE + bytes).saturating_sub(page_size);
            (cells, over.div_ceil((bytes / count).max(1)))
        }
    };
    let group = |hash| 16 * home_cell(hash, cells) + filter_bit(hash).trailing_zeros() as usize;
    let mut counts = vec![0_usize; 16 * cells];
    records.iter().for_each(|(hash, _)| counts[group(*hash)] += 1);
    let mut is_last = vec![false; counts.len()];
    let mut chosen = 0;
    while chosen < excess {
        let largest = counts.iter().enumerate().max_by_key(|(_, count)| **count);
        let Some((largest, _)) = largest.filter(|(_, count)| **count > 0) else { break };
        chosen += std::mem::take(&mut counts[largest]);
        is_last[largest] = true;
    }
    let (mut next, mut end) = (0, count);
    while next < end {
        if is_last[group(records[next].0)] {
            end -= 1;
            records.swap(next, end);
        } else {
            next += 1;
        }
    }
}

impl Frame<'_> {
    /// Adds a record in place; `shape` is the page's, here and below. `false` if no slot or no room
    /// is left, or offsets run out.
    pub(crate) fn insert(&mut self, shape: &Shape, hash: u64, record: &Record<'_>) -> bool {
        if let Shape::Fixed(of) = shape {
            return self.insert_fixed(of, hash, record);
        }
        let cells = cell_count(self.view());
        let home = home_cell(hash, cells);
        let Some((distance, lane)) = self.empty_lane(home) else { return false };
        let Some(offset) = record.with_parts(|parts| self.append(parts, 0)) else { return false };
        if distance > 0 {
            self.raise_spill(home, distance);
        }
        self.count_records(1);
        self.store_lane(wrap(home + distance, cells), lane, slot(hash, offset));
        true
    }

    /// How far the nearest cell with an empty slot is from `home`, and the slot.
    fn empty_lane(&self, home: usize) -> Option<(usize, usize)> {
        let cells = cell_count(self.view());
        (0..cells).find_map(|distance| {
            let cell = self.view().cell(wrap(home + distance, cells))?;
            Some((distance, cell.empty_lane()?))
        })
    }

    /// Puts a record of another key, as long, in a record's place. Nobody else may see the page
    /// yet.
    pub(crate) fn exchange(
        &mut self,
        shape: &Shape,
        place: SlotPlace,
        hash: u64,
        record: &Record<'_>,
    ) {
        let cells = cell_count(self.view());
        let home = home_cell(hash, cells);
        if let Shape::Fixed(of) = shape {
            self.overwrite_fixed(of, place, hash, record);
            self.raise_spill(home, wrap(place.cell + cells - home, cells));
            return;
        }
        assert_eq!(self.record_len(place), record.encoded_len());
        let tail = self.view().tail(place.cell, place.lane).expect("a live slot of this page");
        let offset = self.view().len() - tail.len();
        record.with_parts(|parts| self.overwrite(offset, parts));
        self.store_lane(place.cell, place.lane, 0);
        let (distance, lane) = self.empty_lane(home).expect("one was just emptied");
        self.raise_spill(home, distance);
        let offset = u16::try_from(offset).expect("it was in a slot");
        self.store_lane(wrap(home + distance, cells), lane, slot(hash, offset));
    }

    /// Puts another record of the same key in a record's place, so that no search misses the key.
    /// `false` if there is no room.
    pub(crate) fn replace(
        &mut self,
        shape: &Shape,
        place: SlotPlace,
        hash: u64,
        record: &Record<'_>,
    ) -> bool {
        if let Shape::Fixed(of) = shape {
            return self.replace_fixed(of, place, hash, record);
        }
        let old_len = self.record_len(place);
        let appended = record.with_parts(|parts| self.append(parts, old_len));
        let Some(offset) = appended else { return false };
        self.store_lane(place.cell, place.lane, slot(hash, offset));
        true
    }

    /// Removes a record by one atomic store.
    pub(crate) fn remove(&mut self, shape: &Shape, place: SlotPlace) {
        if let Shape::Fixed(of) = shape {
            return self.remove_fixed(of, place);
        }
        let live_len = (self.record_len(place) as u64) << 32;
        let heap = self.view().word(word::HEAP);
        self.store_word(word::HEAP, heap.wrapping_sub(live_len));
        self.count_records(-1);
        self.store_lane(place.cell, place.lane, 0);
    }

    /// Notes that a record of this hash is in overflow.
    pub(crate) fn note_overflow(&mut self, hash: u64) {
        let home = home_cell(hash, cell_count(self.view()));
        let header = self.view().cell(home).map_or(0, |cell| cell.header());
        self.store_lane(home, 0, header | filter_bit(hash));
    }

    /// Makes it a copy of a page, with its dead slots empty and, of any sizes, without dead bytes.
    /// Nobody else may see it yet. `false`, and no page yet, if the page is not sound.
    #[must_use]
    pub(crate) fn copy_from(&mut self, page: View<'_>) -> bool {
        match Shape::of(page) {
            Some(Shape::General) if heap_start(page) + live_len(page) < page.len() => {
                return self.copy_live_from(page, None).is_some();
            }
            Some(Shape::General) => self.copy_bytes_from(page, page.len()),
            Some(Shape::Fixed(_)) => {
                self.copy_bytes_from(page, page.len());
                self.forget_dead();
            }
            None => return false,
        }
        true
    }

    /// Makes it a copy of a page of any sizes without one of the records and without dead bytes; the
    /// others keep their slots. Nobody else may see it yet. `None`, and no page yet, if the page is
    /// not sound.
    fn copy_live_from(&mut self, page: View<'_>, without: Option<SlotPlace>) -> Option<()> {
        self.copy_bytes_from(page, (HEADER_SIZE + cell_count(page) * LINE_SIZE).min(page.len()));
        self.store_word(word::HEAP, page.len() as u64);
        let mut start = page.len();
        let (mut live, mut gone) = (0, 0);
        for index in 0..cell_count(self.view()) {
            for (lane, tag, _) in self.view().cell(index)?.slots() {
                if without == Some(SlotPlace { cell: index, lane }) {
                    self.store_lane(index, lane, 0);
                    gone += 1;
                    continue;
                }
                let tail = page.tail(index, lane)?;
                let len = Record::decode(tail)?.encoded_len();
                let offset = self.append_below(&mut start, &[tail.get(..len)?])?;
                self.store_lane(index, lane, u32::from(tag) | u32::from(offset) << 16);
                live += len;
            }
        }
        self.count_records(-gone);
        self.store_word(word::HEAP, (live as u64) << 32 | start as u64);
        Some(())
    }

    /// Takes over the filter bits of another page. If it has another count of cells, as bits of
    /// every cell: a record may have another home.
    pub(crate) fn inherit_filter(&mut self, page: View<'_>) {
        let cells = cell_count(self.view());
        let filter = |index| page.cell(index).map_or(0, |cell| cell.header() & 0xffff);
        let all = (0..cell_count(page)).map(filter).fold(0, |all, bits| all | bits);
        for index in 0..cells {
            let header = self.view().cell(index).map_or(0, |cell| cell.header());
            let bits = if cell_count(page) == cells { filter(index) } else { all };
            self.store_lane(index, 0, header | bits);
        }
    }

    /// The next page of a chain of overflow pages, as a pointer's word.
    pub(crate) fn set_next(&mut self, next: u64) {
        self.store_word(word::NEXT, next);
    }

    pub(super) fn raise_spill(&mut self, home: usize, distance: usize) {
        let header = self.view().cell(home).map_or(0, |cell| cell.header());
        self.store_lane(home, 0, with_spill(header, distance));
    }

    fn record_len(&self, place: SlotPlace) -> usize {
        let tail = self.view().tail(place.cell, place.lane).expect("a live slot of this page");
        Record::decode(tail).expect("a record that was read before").encoded_len()
    }

    pub(super) fn count_records(&mut self, records: i64) {
        let first = self.view().word(word::FIRST);
        self.store_word(word::FIRST, first.wrapping_add_signed(records << 48));
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
    pub(crate) shape: Shape,
}

impl PageOf {
    /// Makes `frame` a page of `records`, as many as fit; gives those that did not.
    pub(crate) fn fill<'r>(
        self,
        frame: &mut Frame<'_>,
        records: &[(u64, Record<'r>)],
    ) -> Vec<(u64, Record<'r>)> {
        if let Shape::Fixed(of) = self.shape {
            frame.reset(self.kind, of.cells, self.owner, self.bucket_count);
            return fixed::fill(frame, &of, records);
        }
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

    /// Makes `frame` a page of the records of `source`, without one and with another, and without
    /// dead bytes; filter and chain stay as they are. `false` if they do not fit.
    pub(crate) fn remake(
        self,
        frame: &mut Frame<'_>,
        source: View<'_>,
        without: Option<SlotPlace>,
        with: Option<(u64, &Record<'_>)>,
        hash_of: impl Fn(&Record<'_>) -> u64,
    ) -> bool {
        if let (Shape::Fixed(of), Some(place), Some((hash, record))) = (self.shape, without, with) {
            assert!(frame.copy_from(source), "the writer's own page is sound");
            frame.overwrite_fixed(&of, place, hash, record);
            return true;
        }
        if self.shape == Shape::General && self.remake_in_cells(frame, source, without, with) {
            return true;
        }
        let mut kept: Vec<(u64, Record<'_>)> = bucket::records(source)
            .map(|found| found.expect("the writer's own page is sound"))
            .filter(|(place, _, _)| Some(*place) != without)
            .map(|(_, _, record)| (hash_of(&record), record))
            .collect();
        kept.extend(with.map(|(hash, record)| (hash, *record)));
        let fits = self.fill(frame, &kept).is_empty();
        frame.inherit_filter(source);
        frame.set_next(source.word(word::NEXT));
        fits
    }

    /// As [`PageOf::remake`], with the cells as they are: far less work, where there is room.
    fn remake_in_cells(
        self,
        frame: &mut Frame<'_>,
        source: View<'_>,
        without: Option<SlotPlace>,
        with: Option<(u64, &Record<'_>)>,
    ) -> bool {
        frame.copy_live_from(source, without).is_some()
            && with.is_none_or(|(hash, record)| frame.insert(&self.shape, hash, record))
    }

    /// As [`PageOf::fill`] of a general page, with the cell count given.
    #[expect(clippy::indexing_slicing, reason = "every cell is below the count of cells")]
    pub(crate) fn fill_with<'r>(
        self,
        frame: &mut Frame<'_>,
        cells: usize,
        records: &[(u64, Record<'r>)],
    ) -> Vec<(u64, Record<'r>)> {
        const LANES: usize = CELL_SLOTS + 1;
        frame.reset(self.kind, cells, self.owner, self.bucket_count);
        let mut lanes = vec![0; cells * LANES];
        let mut used = vec![0; cells];
        let mut start = frame.view().len();
        let (mut count, mut live_len) = (0, 0);
        let mut rest = Vec::new();
        for (hash, record) in records {
            let home = home_cell(*hash, cells);
            let free = (0..cells).find(|distance| used[wrap(home + distance, cells)] < CELL_SLOTS);
            let appended = free.and_then(|distance| {
                let offset = record.with_parts(|parts| frame.append_below(&mut start, parts));
                offset.map(|offset| (distance, offset))
            });
            let Some((distance, offset)) = appended else {
                rest.push((*hash, *record));
                continue;
            };
            let cell = wrap(home + distance, cells);
            used[cell] += 1;
            lanes[cell * LANES + used[cell]] = slot(*hash, offset);
            let header = &mut lanes[home * LANES];
            *header = with_spill(*header, distance);
            count += 1;
            live_len += record.encoded_len() as u64;
        }
        frame.store_cells(&lanes, start as u64, count, live_len);
        rest
    }
}

/// A cell's header that lets searches visit at least `distance` further cells.
pub(super) fn with_spill(header: u32, distance: usize) -> u32 {
    let spill = u32::try_from(distance.max(spill_of(header))).expect("at most 254");
    header & !(0xff << 16) | spill << 16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::hash;
    use crate::page::OwnedPage;

    /// Pages of as many records on average as they can hold: of the searches for absent keys, how
    /// many in a thousand are sent on to overflow.
    fn sent_on(shape: Shape, mean: usize, order: bool) -> usize {
        let keys: Vec<[u8; 16]> = (0_u128..1 << 17).map(u128::to_le_bytes).collect();
        let pages = keys.len() / mean;
        let (mut set, mut all) = (0, 0);
        for page in 0..pages {
            let bucket = |key: &[u8; 16]| hash(key, 1) >> 40 & 0xffff;
            let (first, end) = (65_536 * page / pages, 65_536 * (page + 1) / pages);
            let own = keys.iter().filter(|key| (first..end).contains(&(bucket(key) as usize)));
            let record = |key: &'_ [u8; 16]| hash(key, 1);
            let mut records: Vec<(u64, Record<'_>)> =
                own.map(|key| (record(key), Record::Inline { key, value: &[7; 39] })).collect();
            if order {
                crowded_last(4096, &shape, &mut records);
            }
            let of = PageOf { kind: Kind::Bucket, owner: 1, bucket_count: 2, shape };
            let mut memory = OwnedPage::new(4096);
            let mut frame = memory.frame(0, 4096);
            let rest = of.fill(&mut frame, &records);
            rest.iter().for_each(|(hash, _)| frame.note_overflow(*hash));
            let cells = cell_count(frame.view());
            let filter = |i| frame.view().cell(i).map_or(0, |cell| cell.header() & 0xffff);
            set += (0..cells).map(|i| filter(i).count_ones() as usize).sum::<usize>();
            all += 16 * cells;
        }
        1000 * set / all
    }

    #[test]
    #[cfg_attr(miri, ignore = "too much work")]
    fn what_is_left_over_shares_few_bits_of_the_filter() {
        for (shape, mean) in [(Shape::General, 64), (Shape::new(4096, 496, Some(16), Some(39)), 68)]
        {
            let (with, without) = (sent_on(shape, mean, true), sent_on(shape, mean, false));
            println!("{shape:?}: {with} in a thousand, without the order {without}");
            assert!(with * 2 < without && with <= 20, "{shape:?}: {with}, {without}");
        }
    }

    #[test]
    fn what_fits_is_told_to_the_byte() {
        for (records, cells) in [(0, 1), (1, 1), (15, 1), (16, 2), (300, 20)] {
            let bytes = 4096 - HEADER_SIZE - cells * LINE_SIZE;
            assert!(fits(4096, &Shape::General, records, bytes));
            assert!(!fits(4096, &Shape::General, records, bytes + 1), "{records} records");
        }
        let Shape::Fixed(of) = Shape::new(4096, 496, Some(16), Some(39)) else { panic!("small") };
        assert!(fits(4096, &Shape::Fixed(of), of.capacity, usize::MAX));
        assert!(!fits(4096, &Shape::Fixed(of), of.capacity + 1, 0));
        // Eleven records of 100 bytes to a cell; at most half of the page, or 255.
        assert_eq!(suitable_cell_count(4096, 10, 1_000), 3);
        assert_eq!(suitable_cell_count(4096, 2_500, 10_000), 31);
        assert_eq!(suitable_cell_count(16_384, 9_000, 36_000), 127);
        assert_eq!(suitable_cell_count(65_536, 40_000, 160_000), 255);
    }

    #[test]
    fn an_exchanged_record_stands_where_a_search_looks_and_the_other_one_is_gone() {
        let key_of = |record: &Record<'_>| record.key_in_page().map(<[u8]>::to_vec);
        let hash_of = |record: &Record<'_>| hash(record.key_in_page().unwrap_or_default(), 1);
        let keys: Vec<[u8; 16]> = (0_u128..80).map(u128::to_le_bytes).collect();
        let records: Vec<(u64, Record<'_>)> = keys
            .iter()
            .map(|key| (hash(key, 1), Record::Inline { key, value: &[7; 39] }))
            .collect();
        for shape in [Shape::General, Shape::new(4096, 496, Some(16), Some(39))] {
            let of = PageOf { kind: Kind::Bucket, owner: 1, bucket_count: 2, shape };
            let (mut memory, mut other) = (OwnedPage::new(4096), OwnedPage::new(4096));
            let mut frame = memory.frame(0, 4096);
            let rest = of.fill(&mut frame, &records);
            assert!(bucket::admitted(frame.view(), &shape, 57, hash_of).is_none());
            rest.iter().skip(1).for_each(|(hash, _)| frame.note_overflow(*hash));
            let len = shape.record_len(&rest[0].1);
            let admitted = bucket::admitted(frame.view(), &shape, len, hash_of);
            assert!(bucket::admits_overflow(frame.view(), admitted.expect("one of many").1));
            let places: Vec<_> =
                bucket::records(frame.view()).map(|found| found.unwrap()).collect();
            for (place, _, gone) in &places {
                let mut copy = other.frame(0, 4096);
                assert!(copy.copy_from(frame.view()));
                copy.exchange(&shape, *place, rest[0].0, &rest[0].1);
                bucket::check_structure(copy.view()).unwrap();
                bucket::check_tidy(copy.view()).unwrap();
                let mut expected: Vec<_> = places.iter().map(|(_, _, r)| key_of(r)).collect();
                expected.retain(|key| *key != key_of(gone));
                expected.push(key_of(&rest[0].1));
                let mut found = Vec::new();
                for record in bucket::records(copy.view()) {
                    let (place, tag, record) = record.unwrap();
                    assert!(bucket::is_reachable(copy.view(), place, tag, hash_of(&record)));
                    found.push(key_of(&record));
                }
                expected.sort();
                found.sort();
                assert_eq!(found, expected, "{shape:?}");
            }
        }
    }
}
