//! The bytes of a page under their names: spans that lie one after another and cover all of it,
//! sound or damaged, for those who show bytes.
//!
//! Knows nothing of files. Another layout of pages adds its own way to name them here.

use std::ops::Range;

use super::cell::{DEAD, EMPTY};
use super::record::Record;
use super::shape::{Fixed, Shape};
use super::view::{cell_count, heap_start};
use super::{
    CELL_SLOTS, HEADER_SIZE, Kind, LINE_SIZE, TagCell, View, bucket, get_u16, get_u32, get_u64,
};

/// What a [`Span`] belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Part {
    /// The header of a page, a segment or a record of the log; a field of a meta page.
    Header,
    /// A cell: its header and its slots in use.
    Cell,
    /// Slots, words or fields that are empty.
    Empty,
    /// Bytes that nothing has used.
    Free,
    /// Bytes of records that are no more, or that nothing leads to.
    Dead,
    /// The lengths in front of a record, or the stand-in of a large one.
    Record,
    /// A key.
    Key,
    /// A value.
    Value,
    /// Words of a directory or of the bitmap.
    Words,
}

/// Bytes of a page that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Span {
    /// Where in the page.
    pub range: Range<usize>,
    /// What it belongs to.
    pub part: Part,
    /// Its name in the format, and which one.
    pub name: String,
    /// What stands there, in words; empty where the bytes say it.
    pub meaning: String,
}

/// The fields of a page's header.
pub(crate) const HEADER_FIELDS: [(&str, usize, usize); 12] = [
    ("checksum", 0, 4),
    ("kind", 4, 1),
    ("cell_count", 5, 1),
    ("record_count", 6, 2),
    ("page_number", 8, 8),
    ("file_tag", 16, 8),
    ("generation", 24, 8),
    ("owner", 32, 8),
    ("bucket_count", 40, 8),
    ("next", 48, 8),
    ("heap_start", 56, 4),
    ("live_len", 60, 4),
];

/// Spans in the making: each begins where the one before ends.
#[derive(Debug, Default)]
pub(crate) struct Cover {
    spans: Vec<Span>,
    at: usize,
    len: usize,
}

impl Cover {
    /// Of so many bytes.
    pub(crate) fn new(len: usize) -> Cover {
        Cover { spans: Vec::new(), at: 0, len }
    }

    /// Adds the bytes up to `end`, as far as they are not covered yet.
    pub(crate) fn to(&mut self, end: usize, part: Part, name: &str, meaning: impl Into<String>) {
        let end = end.min(self.len);
        let meaning = meaning.into();
        if let Some(last) = self.spans.last_mut()
            && end > self.at
            && part == Part::Empty
            && (last.part, last.name.as_str(), &last.meaning) == (part, name, &meaning)
        {
            last.range.end = end;
            self.at = end;
        }
        if end > self.at {
            let range = self.at..end;
            self.spans.push(Span { range, part, name: name.into(), meaning });
            self.at = end;
        }
    }

    /// All of it.
    pub(crate) fn finish(mut self, part: Part, name: &str) -> Vec<Span> {
        self.to(self.len, part, name, "");
        self.spans
    }
}

/// A number of up to 8 bytes, in words: decimal, and hexadecimal where that is longer than a digit.
pub(crate) fn number(bytes: &[u8], offset: usize, size: usize) -> String {
    let field = match size {
        1 => bytes.get(offset).copied().unwrap_or_default().into(),
        2 => get_u16(bytes, offset).into(),
        4 => get_u32(bytes, offset).into(),
        _ => get_u64(bytes, offset),
    };
    if field < 10 { format!("{field}") } else { format!("{field} = {field:#x}") }
}

fn cover_header(cover: &mut Cover, bytes: &[u8]) {
    for (name, offset, size) in HEADER_FIELDS {
        cover.to(offset + size, Part::Header, name, number(bytes, offset, size));
    }
}

/// The bytes of a page with a header.
pub(crate) fn spans(bytes: &[u8], page: View<'_>, kind: Kind) -> Vec<Span> {
    let mut cover = Cover::new(bytes.len());
    cover_header(&mut cover, bytes);
    match kind {
        Kind::Directory | Kind::Bitmap | Kind::ValueMap => {
            cover_words(&mut cover, bytes);
            cover.finish(Part::Empty, "words")
        }
        Kind::Bucket | Kind::Overflow => {
            if let Some(Shape::Fixed(fixed)) = Shape::of(page) {
                cover_tags(&mut cover, page);
                cover_places(&mut cover, page, &fixed);
                return cover.finish(Part::Free, "free");
            }
            cover_cells(&mut cover, page);
            cover.to(heap_start(page), Part::Free, "free", "");
            cover_records(&mut cover, page);
            cover.finish(Part::Dead, "dead")
        }
    }
}

fn cover_words(cover: &mut Cover, bytes: &[u8]) {
    for (index, offset) in (HEADER_SIZE..bytes.len()).step_by(8).enumerate() {
        let word = get_u64(bytes, offset);
        if word != 0 {
            cover.to(offset, Part::Empty, "words", "zero");
            cover.to(offset + 8, Part::Words, &format!("word {index}"), format!("{word:#x}"));
        }
    }
}

fn cover_cells(cover: &mut Cover, page: View<'_>) {
    for index in 0..cell_count(page) {
        let Some(cell) = page.cell(index) else { break };
        let start = HEADER_SIZE + index * LINE_SIZE;
        let header = cell.header();
        if header == 0 && cell.slots().next().is_none() && cell.stray_tag().is_none() {
            cover.to(start + LINE_SIZE, Part::Empty, "cells", "empty");
            continue;
        }
        cover_cell_header(cover, index, header);
        for (lane, tag, offset) in cell.slots() {
            let at = start + lane * 4;
            cover.to(at, Part::Empty, &format!("cell {index} slots"), "empty");
            let name = format!("cell {index} slot {lane} tag");
            cover.to(at + 2, Part::Cell, &name, format!("{tag:#06x}"));
            let name = format!("cell {index} slot {lane} offset");
            cover.to(at + 4, Part::Cell, &name, format!("{offset:#06x}"));
        }
        let end = start + (CELL_SLOTS + 1) * 4;
        cover.to(end, Part::Empty, &format!("cell {index} slots"), "empty");
    }
}

fn cover_cell_header(cover: &mut Cover, index: usize, header: u32) {
    let start = HEADER_SIZE + index * LINE_SIZE;
    let name = format!("cell {index} filter");
    cover.to(start + 2, Part::Cell, &name, format!("{:#06x}", header & 0xffff));
    let spill = header >> 16 & 0xff;
    cover.to(start + 3, Part::Cell, &format!("cell {index} spill"), spill.to_string());
    cover.to(start + 4, Part::Empty, &format!("cell {index} reserved"), "");
}

fn cover_tags(cover: &mut Cover, page: View<'_>) {
    for index in 0..cell_count(page) {
        let Some(cell) = page.tag_cell(index) else { break };
        cover_cell_header(cover, index, cell.header());
        let start = HEADER_SIZE + index * LINE_SIZE + 4;
        for (slot, tag) in cell.tags().filter(|&(_, tag)| tag != EMPTY) {
            cover.to(start + slot * 2, Part::Empty, &format!("cell {index} tags"), "empty");
            let meaning = if tag == DEAD { "dead".into() } else { format!("{tag:#06x}") };
            let name = format!("cell {index} slot {} tag", slot + 1);
            cover.to(start + slot * 2 + 2, Part::Cell, &name, meaning);
        }
        cover.to(start + LINE_SIZE - 4, Part::Empty, &format!("cell {index} tags"), "empty");
    }
}

/// The array of records of a page of fixed sizes.
fn cover_places(cover: &mut Cover, page: View<'_>, fixed: &Fixed) {
    for index in 0..fixed.cells {
        let tags = page.tag_cell(index).into_iter().flat_map(TagCell::tags);
        for (slot, tag) in tags.take(fixed.slots_of(index)) {
            let place = fixed.place(index, slot);
            let of = format!("cell {index} slot {}", slot + 1);
            match tag {
                EMPTY => cover.to(place.end, Part::Empty, "records", "empty"),
                DEAD => cover.to(place.end, Part::Dead, &format!("dead record of {of}"), ""),
                _ => {
                    let name = format!("key of {of}");
                    cover.to(place.start + fixed.key_size, Part::Key, &name, "");
                    cover.to(place.end, Part::Value, "value", "");
                }
            }
        }
    }
}

fn cover_records(cover: &mut Cover, page: View<'_>) {
    let mut slots: Vec<_> = bucket::slots(page).collect();
    slots.sort_unstable_by_key(|slot| slot.offset);
    for slot in slots {
        let Some(record) = slot.record else { continue };
        let of = format!("cell {} slot {}", slot.place.cell, slot.place.lane);
        cover.to(slot.offset, Part::Dead, "dead", "");
        let end = slot.offset + record.encoded_len();
        match record {
            Record::Inline { key, value } => {
                let lens = format!("key_len {}, value_len {}", key.len(), value.len());
                let key_start = end - value.len() - key.len();
                cover.to(key_start, Part::Record, &format!("record of {of}"), lens);
                cover.to(end - value.len(), Part::Key, "key", "");
                cover.to(end, Part::Value, "value", "");
            }
            Record::Large(large, key) => {
                let text = format!(
                    "key_len {}, value_len {}, place {}",
                    large.key_len, large.value_len, large.place
                );
                let name = format!("large record of {of}");
                cover.to(end - key.len(), Part::Record, &name, text);
                cover.to(end, Part::Key, "key", "");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{HEADER_FIELDS, HEADER_SIZE, Kind, LINE_SIZE, Part, Span, number, spans};
    use crate::page::edit::PageOf;
    use crate::page::record::{LargeRecord, Record};
    use crate::page::shape::Shape;
    use crate::page::{OwnedPage, bucket, put_u64};

    /// A tag of an empty slot is damage that `check` names; who looks at the cell must see it.
    #[test]
    fn a_cell_with_a_stray_tag_is_no_empty_one() {
        let mut page = OwnedPage::new(4096);
        page.frame(0, 4096).reset(Kind::Bucket, 6, 0, 1);
        page.bytes_mut()[HEADER_SIZE + 2 * LINE_SIZE + 3 * 4] = 0x34;
        let cells: Vec<_> = spans(page.bytes(), page.view(), Kind::Bucket)
            .into_iter()
            .map(|span| (span.name, span.range))
            .filter(|(name, _)| name.starts_with("cell ") || name == "cells")
            .collect();
        let start = HEADER_SIZE + 2 * LINE_SIZE;
        let expected = [
            ("cells", HEADER_SIZE..start),
            ("cell 2 filter", start..start + 2),
            ("cell 2 spill", start + 2..start + 3),
            ("cell 2 reserved", start + 3..start + 4),
            ("cell 2 slots", start + 4..start + LINE_SIZE),
            ("cells", start + LINE_SIZE..HEADER_SIZE + 6 * LINE_SIZE),
        ];
        let found: Vec<_> =
            cells.iter().map(|(name, range)| (name.as_str(), range.clone())).collect();
        assert_eq!(found, expected);
    }

    /// What is said of a page's bytes behind its header, a line each.
    fn told(page: &OwnedPage, kind: Kind) -> String {
        let spans = spans(page.bytes(), page.view(), kind);
        let behind = spans.iter().filter(|span| span.part != Part::Header);
        let line = |span: &Span| {
            let colon = if span.meaning.is_empty() { "" } else { ": " };
            format!("{:?} {}{colon}{}\n", span.range, span.name, span.meaning)
        };
        behind.map(line).collect()
    }

    #[test]
    fn a_page_of_records_is_told_byte_by_byte() {
        let mut page = OwnedPage::new(4096);
        let mut frame = page.frame(0, 4096);
        frame.reset(Kind::Bucket, 3, 0, 1);
        let long =
            LargeRecord { hash: 0x8000_5555, key_len: 300, value_len: 70, place: 640, checksum: 5 };
        let large = LargeRecord { hash: 0, key_len: 3, value_len: 5000, place: 64, checksum: 5 };
        let records = [
            (0x1111, Record::Inline { key: b"gone", value: b"" }),
            (0xffff_3333, Record::Inline { key: b"key", value: b"value" }),
            (0x7777, Record::Large(large, b"abc")),
            (0x8000_5555, Record::Large(long, b"")),
        ];
        for (hash, record) in &records {
            assert!(frame.insert(&Shape::General, *hash, record));
        }
        frame.note_overflow(0x3_ffff_0000);
        frame.raise_spill(0, 2);
        let first = bucket::slots(frame.view()).find(|slot| slot.tag == 0x1111).unwrap();
        frame.remove(&Shape::General, first.place);
        let expected = "\
64..66 cell 0 filter: 0x0000
66..67 cell 0 spill: 2
67..68 cell 0 reserved
68..72 cell 0 slots: empty
72..74 cell 0 slot 2 tag: 0x7777
74..76 cell 0 slot 2 offset: 0x0fdd
76..128 cell 0 slots: empty
128..130 cell 1 filter: 0x0000
130..131 cell 1 spill: 0
131..132 cell 1 reserved
132..134 cell 1 slot 1 tag: 0x5555
134..136 cell 1 slot 1 offset: 0x0fc5
136..192 cell 1 slots: empty
192..194 cell 2 filter: 0x0008
194..195 cell 2 spill: 0
195..196 cell 2 reserved
196..198 cell 2 slot 1 tag: 0x3333
198..200 cell 2 slot 1 offset: 0x0ff0
200..256 cell 2 slots: empty
256..4037 free
4037..4061 large record of cell 1 slot 1: key_len 300, value_len 70, place 640
4061..4077 large record of cell 0 slot 2: key_len 3, value_len 5000, place 64
4077..4080 key
4080..4082 record of cell 2 slot 1: key_len 3, value_len 5
4082..4085 key
4085..4090 value
4090..4096 dead
";
        assert_eq!(told(&page, Kind::Bucket), expected);
    }

    #[test]
    fn a_page_of_fixed_sizes_is_told_byte_by_byte() {
        let shape = Shape::new(4096, 992, Some(16), Some(900));
        let mut page = OwnedPage::new(4096);
        let mut frame = page.frame(0, 4096);
        PageOf { kind: Kind::Bucket, owner: 0, bucket_count: 1, shape }.fill(&mut frame, &[]);
        for hash in [0x1111, 0xffff_3333, 0x7777] {
            let record = Record::Inline { key: &[7; 16], value: &[8; 900] };
            assert!(frame.insert(&shape, hash, &record));
        }
        let second = bucket::slots(frame.view()).nth(1).unwrap();
        frame.remove(&shape, second.place);
        let expected = "\
64..66 cell 0 filter: 0x0000
66..67 cell 0 spill: 0
67..68 cell 0 reserved
68..70 cell 0 slot 1 tag: 0x1111
70..72 cell 0 slot 2 tag: dead
72..74 cell 0 slot 3 tag: 0x7777
74..128 cell 0 tags: empty
128..144 key of cell 0 slot 1
144..1044 value
1044..1960 dead record of cell 0 slot 2
1960..1976 key of cell 0 slot 3
1976..2876 value
2876..3792 records: empty
3792..4096 free
";
        assert_eq!(told(&page, Kind::Bucket), expected);
        let mut copy = OwnedPage::new(4096);
        assert!(copy.frame(0, 4096).copy_from(page.view()));
        let expected = "\
68..70 cell 0 slot 1 tag: 0x1111
70..72 cell 0 tags: empty
72..74 cell 0 slot 3 tag: 0x7777
74..128 cell 0 tags: empty
";
        assert!(told(&copy, Kind::Bucket).contains(expected), "{}", told(&copy, Kind::Bucket));
    }

    #[test]
    fn a_page_of_words_is_told_word_by_word() {
        let mut page = OwnedPage::new(4096);
        for (offset, word) in [(72, 9), (80, 10), (4080, 0x1234)] {
            put_u64(page.bytes_mut(), offset, word);
        }
        let expected = "64..72 words: zero\n72..80 word 1: 0x9\n80..88 word 2: 0xa\n88..4080 words: zero\n\
                        4080..4088 word 502: 0x1234\n4088..4096 words\n";
        assert_eq!(told(&page, Kind::Directory), expected);
    }

    #[test]
    fn numbers_are_as_long_as_their_fields() {
        let bytes = [0x21, 0x43, 0x65, 0x87, 0xa9, 0xcb, 0xed, 0x0f, 9, 10];
        assert_eq!(number(&bytes, 0, 1), "33 = 0x21");
        assert_eq!(number(&bytes, 0, 2), "17185 = 0x4321");
        assert_eq!(number(&bytes, 0, 4), "2271560481 = 0x87654321");
        assert_eq!(
            number(&bytes, 0, 8),
            format!("{} = 0xfedcba987654321", 0x0fed_cba9_8765_4321_u64)
        );
        assert_eq!((number(&bytes, 8, 1), number(&bytes, 9, 1)), ("9".into(), "10 = 0xa".into()));
    }

    #[test]
    fn the_header_has_the_fields_of_its_table() {
        let table = include_str!("mod.rs").lines().filter_map(|line| {
            let mut words = line.strip_prefix("//!")?.split_whitespace();
            let place =
                (words.next()?.parse::<usize>().ok()?, words.next()?.parse::<usize>().ok()?);
            Some((words.next()?, place.0, place.1))
        });
        assert_eq!(table.collect::<Vec<_>>(), HEADER_FIELDS);
    }
}
