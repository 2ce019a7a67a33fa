//! The tables of FORMAT.md against the code. (Those of the log are compared in its own tests: the
//! code behind them is private to it.)

use super::{MARK, Row, check_bytes, check_cover, check_field, table};
use crate::checksum::crc32;
use crate::hash::hash_fingerprint;
use crate::layout::Layout;
use crate::page::meta::{
    self, Counts, FileParameters, LogPosition, META_SIZE, METADATA_LEN_MAX, Meta, SideMeta,
};
use crate::page::pointer::Pointer;
use crate::page::record::{LargeRecord, Record};
use crate::page::shape::{Fixed, Shape};
use crate::page::{
    CELL_SLOTS, HEADER_SIZE, Identity, Kind, LINE_SIZE, OwnedPage, View, array, bucket, cell_count,
    check_fields, heap_start, live_len, page_checksum, record_count, seal, word,
};
use crate::table::operation::{self, Operation};

/// The low bytes of [`MARK`], as many as the row has.
fn mark(row: &Row) -> u64 {
    MARK & (u64::MAX >> (64 - 8 * row.size.min(8)))
}

fn empty_meta() -> Meta {
    let side = SideMeta { layout: Layout { bucket_count: 0 }, bucket_root: 0, run_root: 0 };
    Meta {
        parameters: FileParameters {
            file_id: [0; 16],
            page_size: 0,
            hash_seed: 0,
            key_size: None,
            value_size: None,
        },
        generation: 0,
        clean: false,
        page_count: 0,
        free_page_count: 0,
        counts: Counts::default(),
        current: side,
        next: Some(side),
        splitpoint: 0,
        bitmap_root: 0,
        log: LogPosition::default(),
        metadata: Vec::new(),
    }
}

/// Puts the mark into the field of that name; `false` if no field of [`Meta`] stands there alone.
fn mark_meta(meta: &mut Meta, name: &str, mark: u64) -> bool {
    let size = usize::try_from(mark).unwrap();
    let Meta { parameters, counts, current, next, log, .. } = meta;
    let next = next.as_mut().unwrap();
    match name {
        "generation" => meta.generation = mark,
        "page_size" => parameters.page_size = size,
        "hash_seed" => parameters.hash_seed = mark,
        "key_size" => parameters.key_size = Some(size - 1),
        "value_size" => parameters.value_size = Some(size - 1),
        "page_count" => meta.page_count = mark,
        "free_page_count" => meta.free_page_count = mark,
        "record_count" => counts.record_count = mark,
        "record_len" => counts.record_len = mark,
        "overflow_page_count" => counts.overflow_page_count = mark,
        "value_page_count" => counts.value_page_count = mark,
        "bucket_count" => current.layout.bucket_count = mark,
        "bucket_root" => current.bucket_root = mark,
        "run_root" => current.run_root = mark,
        "next_bucket_count" => next.layout.bucket_count = mark,
        "next_bucket_root" => next.bucket_root = mark,
        "next_run_root" => next.run_root = mark,
        "splitpoint" => meta.splitpoint = mark,
        "bitmap_root" => meta.bitmap_root = mark,
        "log_epoch_counter" => log.epoch_counter = mark,
        "log_epoch_random" => log.epoch_random = mark,
        "log_segment" => log.segment = mark,
        "log_lsn" => log.lsn = mark,
        _ => return false,
    }
    true
}

#[test]
fn meta_page() {
    let rows = table("Meta page");
    check_cover("Meta page", META_SIZE);
    let base = empty_meta().encode();
    for row in &rows {
        let at = row.range();
        let mut meta = empty_meta();
        if mark_meta(&mut meta, row.name, mark(row)) {
            let follow: &[&str] = match row.name {
                "hash_seed" => &["checksum", "hash_fingerprint"],
                _ => &["checksum"],
            };
            check_field(&rows, row.name, follow, &base, &meta.encode());
            continue;
        }
        match row.name {
            "magic" => assert_eq!(base[at], meta::MAGIC),
            "checksum" => assert_eq!(base[at.clone()], crc32(0, &base[at.end..]).to_le_bytes()),
            "version" => {
                assert_eq!(base[at], meta::VERSION.to_le_bytes());
                assert!(super::DOCUMENT.lines().next().unwrap().ends_with("version 0"));
            }
            "file_id" => {
                meta.parameters.file_id = *b"0123456789abcdef";
                let marked = (&*meta.encode(), &b"0123456789abcdef"[..]);
                check_bytes(&rows, row.name, &["checksum"], &base, marked);
            }
            "flags" => {
                meta.clean = true;
                assert_eq!(base[at], [0, 0, 0, 0]);
                let marked = (&*meta.encode(), &[1, 0, 0, 0][..]);
                check_bytes(&rows, row.name, &["checksum"], &base, marked);
            }
            "hash_fingerprint" => assert_eq!(base[at], hash_fingerprint(0).to_le_bytes()),
            "reserved" => assert!(base[at].iter().all(|byte| *byte == 0)),
            "metadata_len" | "metadata" => {
                meta.metadata = vec![7; METADATA_LEN_MAX];
                let follow = &["checksum", "metadata"];
                let marked = meta.encode();
                let len = 1024_u32.to_le_bytes();
                check_bytes(&rows, "metadata_len", follow, &base, (&marked, &len));
                let bytes = rows.iter().find(|row| row.name == "metadata").unwrap().range();
                assert!(marked[bytes].iter().all(|byte| *byte == 7));
            }
            name => panic!("the code knows no {name}"),
        }
    }
}

#[test]
fn meta_page_reserved_bytes_and_flags_are_refused() {
    let mut sound = empty_meta();
    sound.parameters.page_size = 4096;
    sound.current.layout.bucket_count = 1;
    sound.log.lsn = 1;
    sound.next = None;
    assert!(Meta::decode(&sound.encode()).is_ok());
    let rows = table("Meta page");
    for name in ["reserved", "metadata"] {
        let range = rows.iter().find(|row| row.name == name).unwrap().range();
        for at in [range.start, range.end - 1] {
            let mut page = sound.encode();
            page[at] = 1;
            assert!(Meta::decode(&page).is_err(), "byte {at}, {name}");
        }
    }
}

/// What the code reads at the place of a header's row.
fn read_header(page: View<'_>, name: &str) -> Option<u64> {
    let field = |index: usize| page.word(index);
    Some(match name {
        "kind" => field(word::FIRST) >> 32 & 0xff,
        "cell_count" => cell_count(page) as u64,
        "record_count" => record_count(page) as u64,
        "page_number" => field(word::PAGE_NUMBER),
        "file_tag" => field(word::FILE_TAG),
        "generation" => field(word::GENERATION),
        "owner" => field(word::OWNER),
        "bucket_count" => field(word::BUCKET_COUNT),
        "next" => field(word::NEXT),
        "heap_start" => heap_start(page) as u64,
        "live_len" => live_len(page) as u64,
        "checksum" => field(word::FIRST) & 0xffff_ffff,
        _ => return None,
    })
}

#[test]
fn page_header_is_read_where_the_table_says() {
    let rows = table("Page header");
    check_cover("Page header", HEADER_SIZE);
    for row in &rows {
        let mut page = OwnedPage::new(4096);
        page.bytes_mut()[row.range()].copy_from_slice(&MARK.to_le_bytes()[..row.size]);
        for other in &rows {
            let expected = if row == other { mark(row) } else { 0 };
            let found = read_header(page.view(), other.name);
            assert_eq!(found, Some(expected), "{} where {} is", other.name, row.name);
        }
    }
}

#[test]
fn page_header_is_written_where_the_table_says() {
    let rows = table("Page header");
    let encode = |level: u8, owner: u64, bucket_count: u64, number: u64, tag: u64, generation| {
        let mut page = vec![0xaa; 4096];
        array::encode(&mut page, Kind::Bitmap, level, owner, bucket_count, &[]);
        seal(&mut page, number, tag, generation);
        page
    };
    let base = encode(0, 0, 0, 0, 0, 0);
    let marked = [
        ("cell_count", encode(0x11, 0, 0, 0, 0, 0)),
        ("owner", encode(0, MARK, 0, 0, 0, 0)),
        ("bucket_count", encode(0, 0, MARK, 0, 0, 0)),
        ("page_number", encode(0, 0, 0, MARK, 0, 0)),
        ("file_tag", encode(0, 0, 0, 0, MARK, 0)),
        ("generation", encode(0, 0, 0, 0, 0, MARK)),
    ];
    for (name, page) in &marked {
        check_field(&rows, name, &["checksum"], &base, page);
        assert_eq!(page[..4], page_checksum(page).to_le_bytes());
        assert_eq!(page[..4], crc32(0, &page[4..]).to_le_bytes());
    }
    let is =
        Identity { page_number: 0, file_tag: 0, kind: Kind::Bitmap, owner: 0, bucket_count: 0 };
    assert!(check_fields(&base, is).is_ok());
    let checked = marked.iter().filter(|(_, page)| check_fields(page, is).is_err());
    let checked: Vec<&str> = checked.map(|(name, _)| *name).collect();
    assert_eq!(checked, ["owner", "bucket_count", "page_number", "file_tag"]);
    assert_eq!(
        [Kind::Directory, Kind::Bitmap, Kind::Bucket, Kind::Overflow].map(|k| k as u8),
        [2, 3, 4, 5]
    );
}

#[test]
fn words_of_a_tree_follow_the_header() {
    for (size, words) in [(4096, 504), (65536, 8184)] {
        assert_eq!(array::words_per_page(size), words);
    }
    let mut page = vec![0; 4096];
    array::encode(&mut page, Kind::Directory, 0, 0, 1, &[MARK]);
    assert_eq!(page[HEADER_SIZE..HEADER_SIZE + 8], MARK.to_le_bytes());
    assert_eq!(array::words(&page).next(), Some(MARK));
}

/// A page with one cell, whose bytes are these.
fn page_of_cell(cell: &[u8]) -> OwnedPage {
    let mut page = OwnedPage::new(4096);
    page.bytes_mut()[5] = 1;
    page.bytes_mut()[HEADER_SIZE..HEADER_SIZE + cell.len()].copy_from_slice(cell);
    page
}

#[test]
fn cells_and_slots() {
    let (cell, slot) = (table("Cell"), table("Slot"));
    check_cover("Cell", LINE_SIZE);
    assert_eq!(["tag", "offset"], [0, 1].map(|i| slot[i].name));
    let [filter, spill, reserved, slots] = [0, 1, 2, 3].map(|i| cell[i].range());
    assert_eq!(["filter", "spill", "reserved", "slots"], [0, 1, 2, 3].map(|i| cell[i].name));
    let slot_size = slot.last().unwrap().range().end;
    check_cover("Slot", slot_size);
    assert_eq!(slots.len(), CELL_SLOTS * slot_size);
    for hash_bits in 0..16_u64 {
        let mut bytes = [0; LINE_SIZE];
        bytes[filter.clone()].copy_from_slice(&(1_u16 << hash_bits).to_le_bytes());
        let page = page_of_cell(&bytes);
        assert!(bucket::has_overflow(page.view()));
        for hash in 0..16 {
            assert_eq!(bucket::admits_overflow(page.view(), hash << 32), hash == hash_bits);
        }
    }
    for (range, is_overflow) in [(spill, false), (reserved, false), (filter, true)] {
        let mut bytes = [0; LINE_SIZE];
        bytes[range].fill(0xff);
        let page = page_of_cell(&bytes);
        assert_eq!(bucket::has_overflow(page.view()), is_overflow);
        assert!(bucket::check_structure(page.view()).is_err());
    }
    for index in 0..CELL_SLOTS {
        let mut bytes = [0; LINE_SIZE];
        let at = slots.start + index * slot_size;
        let [tag, offset] = [0, 1].map(|i| at + slot[i].offset);
        bytes[tag..tag + slot[0].size].copy_from_slice(&0x1234_u16.to_le_bytes());
        bytes[offset..offset + slot[1].size].copy_from_slice(&0xabc_u16.to_le_bytes());
        let page = page_of_cell(&bytes);
        let found: Vec<_> = page.view().cell(0).unwrap().slots().collect();
        assert_eq!(found, [(index + 1, 0x1234, 0xabc)]);
    }
}

fn fixed_shape(page_size: usize, key: usize, value: usize) -> Fixed {
    match Shape::new(page_size, Some(key), Some(value)) {
        Shape::Fixed(fixed) => fixed,
        Shape::General => panic!("records of {key} and {value} bytes have places"),
    }
}

#[test]
fn cells_of_tags() {
    let cell = table("Cell of tags");
    check_cover("Cell of tags", LINE_SIZE);
    let names = ["filter", "spill", "reserved", "tags"];
    assert_eq!(names, [0, 1, 2, 3].map(|i| cell[i].name));
    assert_eq!([0, 1, 2].map(|i| cell[i].range()), [0, 1, 2].map(|i| table("Cell")[i].range()));
    let tags = cell[3].range();
    for slot in 0..tags.len() / 2 {
        let mut bytes = [0; LINE_SIZE];
        let at = tags.start + 2 * slot;
        bytes[at..at + 2].copy_from_slice(&0x1234_u16.to_le_bytes());
        let page = page_of_cell(&bytes);
        let found: Vec<_> = page.view().tag_cell(0).unwrap().live().collect();
        assert_eq!(found, [(slot, 0x1234)]);
    }
    let shape = Shape::Fixed(fixed_shape(4096, 8, 8));
    for (low, tag) in [(0, 2), (1, 2), (2, 2), (3, 3), (0xffff, 0xffff)] {
        assert_eq!(bucket::tag_of(&shape, 0xabcd_0000 | low), tag);
    }
}

#[test]
fn measures_of_fixed_sizes() {
    let rows = table("Pages of fixed sizes");
    check_cover("Pages of fixed sizes", 32);
    assert_eq!(["key_size", "value_size", "zero", "one"], [0, 1, 2, 3].map(|i| rows[i].name));
    for (page_size, key, value) in
        [(4096, 8, 8), (4096, 1, 0), (4096, 500, 492), (16384, 16, 100), (65536, 3, 2)]
    {
        let fixed = fixed_shape(page_size, key, value);
        let stated = (key as u64) << rows[0].offset | (value as u64) << rows[1].offset;
        assert_eq!(fixed.stated(), stated | 1 << rows[3].offset);
        // The rules of the page, by themselves.
        let (size, payload) = (key + value, page_size - 64);
        let m = |cells: usize| (30 * cells).min((payload - 64 * cells) / size);
        let a = (payload / (64 + 30 * size)).clamp(1, 255);
        let cells = if a < 255 && m(a + 1) > m(a) { a + 1 } else { a };
        let n = m(cells);
        assert_eq!((fixed.cells, fixed.capacity), (cells, n));
        for cell in 0..cells {
            let slots = n / cells + usize::from(cell < n % cells);
            assert_eq!(fixed.slots_of(cell), slots);
            let start = 64 + 64 * cells + size * (cell * (n / cells) + cell.min(n % cells));
            assert_eq!(fixed.place(cell, 0), start..start + size);
            assert_eq!(fixed.place(cell, slots - 1).end, start + slots * size);
        }
    }
    let example = fixed_shape(4096, 8, 8);
    assert_eq!((example.cells, example.capacity, example.place(0, 0).start), (8, 220, 576));
    assert_eq!([3, 4].map(|cell| example.slots_of(cell)), [28, 27]);
}

#[test]
fn hash_bits() {
    let rows = table("Hash");
    let names: Vec<&str> = rows.iter().map(|row| row.name).collect();
    assert_eq!(names, ["tag", "cell", "filter"]);
    let [tag, cell, filter] = [0, 1, 2].map(|i| rows[i].range());
    let page = |bit: u64| {
        let mut bytes = [0; LINE_SIZE];
        bytes[..2].copy_from_slice(&(1_u16 << bit).to_le_bytes());
        page_of_cell(&bytes)
    };
    for bit in 0..64 {
        let hash = 1_u64 << bit;
        assert_eq!(bucket::tag_of(&Shape::General, hash) != 0, tag.contains(&bit), "bit {bit}");
        assert_eq!(bucket::home_cell(hash, 1 << 16) != 0, cell.contains(&bit), "bit {bit}");
        let moves = !bucket::admits_overflow(page(0).view(), hash);
        assert_eq!(moves, filter.contains(&bit), "bit {bit}");
    }
}

#[test]
fn pointer_bits() {
    let rows = table("Pointer");
    let names: Vec<&str> = rows.iter().map(|row| row.name).collect();
    assert_eq!(names, ["page_number", "checksum", "zero"]);
    check_cover("Pointer", 64);
    let ones = |row: &Row| (u64::MAX >> (64 - row.size)) << row.offset;
    let page = Pointer::Unchecked { page: (1 << 30) - 1, checksum: 0 };
    let checksum = Pointer::Unchecked { page: 0, checksum: u32::MAX };
    assert_eq!([page.encode(), checksum.encode()], [ones(&rows[0]), ones(&rows[1])]);
    let size = |page_size: u64| page_size << rows[0].size;
    assert_eq!([size(4 << 10), size(64 << 10)], [4 << 40, 64 << 40]);
}

#[test]
fn large_record() {
    let rows = table("Records");
    check_cover("Records", crate::page::record::LARGE_SIZE);
    let zero = LargeRecord { hash: 0, key_len: 0, value_len: 0, page: 0, checksum: 0 };
    let encode = |large: LargeRecord| Record::Large(large).with_parts(|parts| parts.concat());
    let base = encode(zero);
    for row in &rows {
        let mark = mark(row);
        let mut large = zero;
        match row.name {
            "mark" => {
                assert_eq!(base[row.range()], [0xfe]);
                continue;
            }
            "key_len" => large.key_len = u16::try_from(mark).unwrap(),
            "value_len" => large.value_len = u32::try_from(mark).unwrap(),
            "hash" => large.hash = mark,
            "page" => large.page = u32::try_from(mark).unwrap(),
            "checksum" => large.checksum = u32::try_from(mark).unwrap(),
            name => panic!("the code knows no {name}"),
        }
        check_field(&rows, row.name, &[], &base, &encode(large));
    }
    for (page_size, max) in [(4096, 992), (8192, 8128 / 4 - 16)] {
        assert_eq!(crate::page::shape::inline_len_max(page_size), max);
    }
}

#[test]
fn inline_records() {
    let [key, value] = [[b'k'; 300], [b'v'; 300]];
    for (key_len, value_len, header) in [
        (0xfd, 0xfe, vec![0xfd, 0xfe]),
        (0xfd, 0xff, vec![0xfd, 0xff, 0xff, 0]),
        (0, 0x101, vec![0, 0xff, 1, 1]),
        (0xfe, 2, vec![0xff, 0xfe, 0, 2, 0]),
        (0x101, 0x102, vec![0xff, 1, 1, 2, 1]),
    ] {
        let record = Record::Inline { key: &key[..key_len], value: &value[..value_len] };
        let bytes = record.with_parts(|parts| parts.concat());
        assert_eq!(bytes, [&header, &key[..key_len], &value[..value_len]].concat());
    }
}

#[test]
fn operations() {
    let rows = table("Operation");
    check_cover("Operation", operation::HEADER_SIZE);
    let [kind, key_len, value_len] = [0, 1, 2].map(|i| rows[i].range());
    assert_eq!(["kind", "key_len", "value_len"], [0, 1, 2].map(|i| rows[i].name));
    let long = vec![b'v'; 0x0001_0203];
    for (operation, number, key, value) in [
        (Operation::Insert { key: b"ab", value: &long }, 1, &b"ab"[..], &long[..]),
        (Operation::Remove { key: &long[..0x102] }, 2, &long[..0x102], b""),
        (Operation::SetMetadata { metadata: b"xyz" }, 3, b"", b"xyz"),
    ] {
        let mut bytes = Vec::new();
        operation.encode(&mut bytes);
        assert_eq!(bytes[kind.clone()], [number]);
        assert_eq!(bytes[key_len.clone()], u16::try_from(key.len()).unwrap().to_le_bytes());
        assert_eq!(bytes[value_len.clone()], u32::try_from(value.len()).unwrap().to_le_bytes());
        assert_eq!(bytes[operation::HEADER_SIZE..], [key, value].concat());
    }
}

#[test]
fn worked_arithmetic() {
    let (current, next) = (Layout::new(20), Layout::new(2));
    let splitpoint = current.first_hash(16).unwrap();
    let apple = crate::hash::hash(b"apple", 42);
    assert_eq!((splitpoint, apple), (0xcccc_cccc_cccc_cccd, 0xbf32_6ec8_8586_333b));
    assert_eq!((next.bucket_of(apple), Layout::run_of(next.bucket_of(apple))), (1, 0));
    assert_eq!((bucket::tag_of(&Shape::General, apple), bucket::home_cell(apple, 19)), (0x333b, 9));
    assert_eq!(apple >> 32 & 15, 8);
    for number in ["0xcccccccccccccccd", "0xbf326ec88586333b", "0x333b", "0x8586"] {
        assert!(super::DOCUMENT.contains(number), "{number}");
    }
}
