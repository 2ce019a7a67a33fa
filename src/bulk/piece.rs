//! A piece of hash space in memory: its records loaded, ordered by bucket, and one left for each key.
//!
//! Records stay where they were loaded; what is ordered are [`Entry`]s. The order of input is kept
//! within a bucket, so the last record of a key is the newest. Knows nothing of pages.

use std::ops::Range;
use std::sync::Arc;

use super::record::{Incoming, Records, SWITCH_LEN_MAX, put_switch};
use crate::hash::hash;
use crate::layout::Layout;

/// Makes one value of the one there is and a later one.
pub(super) type Merge = Arc<dyn Fn(&mut Vec<u8>, &[u8]) + Send + Sync>;

/// Where a loaded record is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Entry {
    pub(super) hash: u64,
    segment: u32,
    offset: u32,
}

/// Loaded records.
#[derive(Debug, Default)]
pub(super) struct Piece {
    segments: Vec<Vec<u8>>,
    /// The input of the last record of the newest segment, where that was put in record by record.
    last_input: Option<u32>,
    len: u64,
    compacted_len: u64,
    entries: Vec<Entry>,
    ordered: Vec<Entry>,
    /// Where among the entries those of another input begin, and its number.
    switches: Vec<(usize, u32)>,
    /// Where the entries of each bucket end.
    ends: Vec<usize>,
    /// Memory of segments, to be used again.
    spare: Vec<Vec<u8>>,
}

impl Piece {
    /// Forgets the records, and keeps the memory of those segments that `is_wanted` says yes to.
    pub(super) fn clear(&mut self, is_wanted: impl Fn(&Vec<u8>) -> bool) {
        self.spare.extend(self.segments.drain(..).filter(is_wanted));
        self.len = 0;
        self.compacted_len = 0;
    }

    /// Bytes of what is loaded.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Puts fewer records in the place of those that are loaded.
    pub(super) fn replace(&mut self, other: Piece) {
        self.segments = other.segments;
        self.last_input = other.last_input;
        self.len = other.len;
        self.compacted_len = other.len;
    }

    /// Bytes that were left when records were last made fewer.
    pub(super) fn compacted_len(&self) -> u64 {
        self.compacted_len
    }

    /// Memory for a segment.
    pub(super) fn spare_segment(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    /// Adds records.
    pub(super) fn push(&mut self, segment: Vec<u8>) {
        self.len += segment.len() as u64;
        // Nothing is put into it behind its records: whose they are at its end is not known.
        self.last_input = None;
        self.segments.push(segment);
    }

    /// Adds a record to the newest segment, or to a new one of this capacity.
    pub(super) fn push_record(&mut self, input: u32, record: &Incoming<'_>, capacity: usize) {
        let len = record.encoded_len() + SWITCH_LEN_MAX;
        let has_room = |last: &Vec<u8>| last.len() + len <= last.capacity();
        if !self.segments.last().is_some_and(has_room) {
            let mut segment = self.spare_segment();
            segment.clear();
            segment.reserve_exact(capacity.max(len));
            self.segments.push(segment);
            self.last_input = Some(0);
        }
        if let Some(last) = self.segments.last_mut() {
            let before = last.len();
            if self.last_input != Some(input) {
                self.last_input = Some(input);
                put_switch(last, input);
            }
            record.encode(last);
            self.len += (last.len() - before) as u64;
        }
    }

    /// The record of an entry.
    #[inline]
    pub(super) fn record(&self, entry: Entry) -> Incoming<'_> {
        let segment = self.segments.get(entry.segment as usize);
        let bytes = segment.and_then(|segment| segment.get(entry.offset as usize..));
        let record = bytes.and_then(Incoming::decode);
        record.map_or(Incoming { key: &[], value: None }, |(record, _)| record)
    }

    /// Orders the records by the buckets from `first` to `end`. `None` if the bytes are no records.
    #[expect(clippy::indexing_slicing, reason = "every bucket is within the range")]
    pub(super) fn order(
        &mut self,
        seed: u64,
        layout: Layout,
        (first, end): (u64, u64),
    ) -> Option<()> {
        let last = usize::try_from(end - first - 1).ok()?;
        let place = |hash| {
            let bucket = layout.bucket_of(hash).saturating_sub(first);
            usize::try_from(bucket).unwrap_or(last).min(last)
        };
        self.entries.clear();
        self.switches.clear();
        self.ends.clear();
        self.ends.resize(last + 2, 0);
        for (number, segment) in (0..).zip(&self.segments) {
            let mut records = Records::of(segment);
            while let Some(record) = records.next() {
                let (offset, record) = record?;
                let offset = u32::try_from(offset).ok()?;
                if self.switches.last().map_or(0, |(_, input)| *input) != records.input {
                    self.switches.push((self.entries.len(), records.input));
                }
                let hash = hash(record.key, seed);
                self.ends[place(hash) + 1] += 1;
                self.entries.push(Entry { hash, segment: number, offset });
            }
        }
        for i in 1..self.ends.len() {
            self.ends[i] += self.ends[i - 1];
        }
        // Each count becomes where its bucket begins, and moves on to where it ends.
        self.ordered.resize(self.entries.len(), Entry::default());
        for range in self.by_input() {
            for entry in &self.entries[range] {
                let next = &mut self.ends[place(entry.hash)];
                self.ordered[*next] = *entry;
                *next += 1;
            }
        }
        self.ends.pop();
        Some(())
    }

    /// Stretches of the entries, those of an earlier input first.
    fn by_input(&self) -> Vec<Range<usize>> {
        let first = std::iter::once((0, 0));
        let starts = first.chain(self.switches.iter().copied());
        let ends = self.switches.iter().map(|(start, _)| *start);
        let ends = ends.chain(std::iter::once(self.entries.len()));
        let mut stretches: Vec<_> =
            starts.zip(ends).map(|((start, input), end)| (input, start..end)).collect();
        stretches.sort_by_key(|(input, _)| *input);
        stretches.into_iter().map(|(_, range)| range).collect()
    }

    /// Whether there are records of more than one input.
    pub(super) fn has_inputs(&self) -> bool {
        !self.switches.is_empty()
    }

    /// The number of an entry's input.
    fn input_of(&self, entry: Entry) -> u32 {
        let place = |entry: &Entry| (entry.segment, entry.offset);
        let is_before = |(start, _): &(usize, u32)| {
            self.entries.get(*start).is_some_and(|first| place(first) <= place(&entry))
        };
        let after = self.switches.partition_point(is_before);
        after.checked_sub(1).and_then(|at| self.switches.get(at)).map_or(0, |(_, input)| *input)
    }

    /// The entries of the bucket that is the `index`-th of those ordered by, in the input's order.
    pub(super) fn bucket(&self, index: usize) -> &[Entry] {
        let end = |index: usize| self.ends.get(index).copied().unwrap_or_default();
        let start = index.checked_sub(1).map_or(0, end);
        self.ordered.get(start..end(index)).unwrap_or_default()
    }

    /// Lets the records come to the processor's cache together: they lie anywhere in the piece, and
    /// fetched one after another each would be waited for.
    fn fetch(&self, entries: &[Entry]) {
        // A record of average length ends in the cache line of its last byte, often another one.
        let mean = self.len / (self.entries.len() as u64).max(1);
        let last = usize::try_from(mean.clamp(1, 64) - 1).unwrap_or_default();
        let bytes = |entry: &Entry| {
            let segment = self.segments.get(entry.segment as usize);
            let record = segment.and_then(|s| s.get(entry.offset as usize..)).unwrap_or_default();
            let byte = |at| record.get(at).copied().unwrap_or_default();
            byte(0) ^ byte(last)
        };
        std::hint::black_box(entries.iter().fold(0, |sum: u8, entry| sum ^ bytes(entry)));
    }

    /// How many records are ordered.
    pub(super) fn count(&self) -> u64 {
        self.ordered.len() as u64
    }
}

/// What became of a key.
#[derive(Debug, Clone, Copy)]
enum State {
    /// The value is that of the entry's record.
    Own,
    /// The value was merged.
    Merged(usize),
    /// It was removed.
    Removed,
}

/// A key that is left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    entry: Entry,
    state: State,
}

/// Leaves one record for each key.
#[derive(Default)]
pub(super) struct Resolver {
    merge: Option<Merge>,
    items: Vec<Item>,
    /// The item of a hash, plus 1, by open addressing.
    table: Vec<u32>,
    /// Merged values; those before `value_count` are in use.
    values: Vec<Vec<u8>>,
    value_count: usize,
    /// Removals are left in: older records may come yet.
    pub(super) keep_removals: bool,
}

impl Resolver {
    pub(super) fn new(merge: Option<Merge>) -> Resolver {
        Resolver { merge, ..Resolver::default() }
    }

    /// Forgets all items.
    pub(super) fn clear(&mut self) {
        self.items.clear();
        self.value_count = 0;
    }

    /// Adds the items of a bucket; how many there are now.
    #[expect(clippy::indexing_slicing, reason = "masked, and items are counted from 1")]
    pub(super) fn add_bucket(&mut self, piece: &Piece, entries: &[Entry]) -> usize {
        /// Records that are fetched together.
        const FETCHED: usize = 128;
        let size = (2 * entries.len()).next_power_of_two().max(64);
        self.table.clear();
        self.table.resize(size, 0);
        let first = self.items.len();
        let mut has_removed = false;
        for (i, entry) in entries.iter().enumerate() {
            if i % FETCHED == 0 {
                piece.fetch(entries.get(i..entries.len().min(i + FETCHED)).unwrap_or_default());
            }
            // The bits that chose the bucket are equal for all; these are not.
            let mut slot = usize::try_from(entry.hash & 0xffff_ffff).unwrap_or_default();
            let found = loop {
                slot &= size - 1;
                match self.table[slot] {
                    0 => break None,
                    number => {
                        let item = first + number as usize - 1;
                        let other = self.items[item].entry;
                        if other.hash == entry.hash
                            && piece.record(other).key == piece.record(*entry).key
                        {
                            break Some(item);
                        }
                    }
                }
                slot += 1;
            };
            match found {
                Some(item) => {
                    self.items[item] = self.combine(piece, self.items[item], *entry);
                    has_removed |= matches!(self.items[item].state, State::Removed);
                }
                None => {
                    let is_removal = piece.record(*entry).value.is_none();
                    has_removed |= is_removal;
                    let state = if is_removal { State::Removed } else { State::Own };
                    self.items.push(Item { entry: *entry, state });
                    self.table[slot] = u32::try_from(self.items.len() - first).unwrap_or(0);
                }
            }
        }
        if has_removed && !self.keep_removals {
            let kept = self.items.split_off(first).into_iter();
            self.items.extend(kept.filter(|item| !matches!(item.state, State::Removed)));
        }
        self.items.len()
    }

    /// A later record of a key.
    fn combine(&mut self, piece: &Piece, item: Item, entry: Entry) -> Item {
        let Some(new) = piece.record(entry).value else {
            return Item { entry, state: State::Removed };
        };
        let Some(merge) = &self.merge else { return Item { entry, state: State::Own } };
        let number = match item.state {
            State::Removed => return Item { entry, state: State::Own },
            State::Merged(number) => number,
            State::Own => {
                if self.value_count == self.values.len() {
                    self.values.push(Vec::new());
                }
                let number = self.value_count;
                self.value_count += 1;
                if let Some(value) = self.values.get_mut(number) {
                    value.clear();
                    value.extend_from_slice(piece.record(item.entry).value.unwrap_or_default());
                }
                number
            }
        };
        if let Some(value) = self.values.get_mut(number) {
            merge(value, new);
        }
        Item { entry: item.entry, state: State::Merged(number) }
    }

    /// The items from one number to another as records, with their inputs.
    pub(super) fn records<'r>(
        &'r self,
        piece: &'r Piece,
        range: Range<usize>,
    ) -> impl Iterator<Item = (u32, Incoming<'r>)> {
        self.items.get(range).unwrap_or_default().iter().map(move |item| {
            let Incoming { key, value } = piece.record(item.entry);
            let value = match item.state {
                State::Merged(number) => self.values.get(number).map(Vec::as_slice),
                State::Own => value,
                State::Removed => None,
            };
            (piece.input_of(item.entry), Incoming { key, value })
        })
    }

    /// The items from one number to another: hash, key, value.
    pub(super) fn items<'r>(
        &'r self,
        piece: &'r Piece,
        range: Range<usize>,
    ) -> impl Iterator<Item = (u64, &'r [u8], &'r [u8])> {
        self.items.get(range).unwrap_or_default().iter().map(move |item| {
            let record = piece.record(item.entry);
            let value = match item.state {
                State::Merged(number) => self.values.get(number).map(Vec::as_slice),
                State::Own | State::Removed => record.value,
            };
            (item.entry.hash, record.key, value.unwrap_or_default())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: u64 = 5;

    fn piece(records: &[(&str, Option<&str>)]) -> Piece {
        let mut piece = Piece::default();
        for (key, value) in records {
            let value = value.map(str::as_bytes);
            piece.push_record(0, &Incoming { key: key.as_bytes(), value }, 40);
        }
        piece
    }

    fn resolved(records: &[(&str, Option<&str>)], merge: Option<Merge>) -> Vec<(String, String)> {
        let mut piece = piece(records);
        let layout = Layout::new(3);
        piece.order(SEED, layout, (0, 3)).unwrap();
        let mut resolver = Resolver::new(merge);
        let mut found = Vec::new();
        for bucket in 0..3 {
            let first = found.len();
            let end = resolver.add_bucket(&piece, piece.bucket(bucket));
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            for (hash, key, value) in resolver.items(&piece, first..end) {
                assert_eq!(layout.bucket_of(hash), bucket as u64);
                found.push((text(key), text(value)));
            }
        }
        found.sort();
        found
    }

    #[test]
    fn the_later_record_wins_and_a_removal_removes_what_came_before() {
        let records = [("a", Some("1")), ("b", Some("1")), ("a", Some("2")), ("c", Some("1"))];
        let more = [("b", None), ("d", None), ("c", None), ("c", Some("3")), ("e", Some(""))];
        let found = resolved(&[&records[..], &more[..]].concat(), None);
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(found, [pair("a", "2"), pair("c", "3"), pair("e", "")]);
    }

    #[test]
    fn values_are_merged_in_the_order_of_the_input() {
        let letters: Vec<String> = (0..200).map(|n| format!("{}", n % 7)).collect();
        let records: Vec<_> = letters.iter().map(|v| ("key", Some(v.as_str()))).collect();
        let append: Merge = Arc::new(|old, new| old.extend_from_slice(new));
        let found = resolved(&records, Some(append.clone()));
        assert_eq!(found, [("key".to_owned(), letters.concat())]);
        let again =
            [("k", Some("1")), ("k", Some("2")), ("k", None), ("k", Some("3")), ("k", Some("4"))];
        assert_eq!(resolved(&again, Some(append)), [("k".to_owned(), "34".to_owned())]);
    }
}
