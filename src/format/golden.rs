//! Golden files: what a fixed history writes is what is stored under `tests/golden`, byte for byte,
//! and opens and reads back. `SPLITPOINT_REGENERATE=1 cargo test golden` writes them anew, for a
//! change of the format that is meant.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::hex_lines;
use crate::checksum::crc32;
use crate::error::Result;
use crate::hash::hash;
use crate::layout::Layout;
use crate::log::{Epoch, Log, LogFiles, LogStart, Lsn};
use crate::page::meta::{FileParameters, LogPosition, Meta};
use crate::pager::{self, Access, Opened, PageRun, Progress, Reading, Residence, Verify};
use crate::storage::memory::MemoryStorage;
use crate::storage::{OpenMode, Storage, StorageFile};
use crate::table::operation::Operation;
use crate::table::{Table, get, scan};

const FILE_ID: [u8; 16] = *b"golden file id 0";
const SEED: u64 = 42;
const PATH: &str = "/golden";
const SEGMENT_SIZE: u64 = 8192;

fn parameters() -> FileParameters {
    let page_size = 4096;
    FileParameters {
        file_id: FILE_ID,
        page_size,
        hash_seed: SEED,
        key_size: None,
        value_size: None,
        inline_max: 992,
    }
}

/// The golden file of that name; regenerated from `bytes` when asked for.
fn stored(name: &str, bytes: &[u8]) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("SPLITPOINT_REGENERATE").is_some() {
        std::fs::write(&path, bytes).expect("the golden file can be written");
    }
    std::fs::read(&path).expect("the golden file; SPLITPOINT_REGENERATE=1 writes it")
}

fn bytes_of(file: &dyn StorageFile) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn file_of(bytes: &[u8]) -> Arc<dyn StorageFile> {
    let storage = MemoryStorage::new(1 << 17);
    let file = storage.open(Path::new(PATH), OpenMode::CreateNew).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file
}

fn open(file: &Arc<dyn StorageFile>, access: Access) -> Result<Opened> {
    let path = Path::new(PATH);
    let pages = pager::read_meta(&**file, path)?;
    let reading = Reading {
        access,
        verify: Verify::OnFirstTouch,
        read_only: false,
        residence: Residence::Mapped,
    };
    pager::open(file.clone(), path, pages, reading)
}

fn insert(table: &mut Table, key: &[u8], value: &[u8]) {
    let hash = hash(key, SEED);
    let prepared = table.prepare_insert(hash, key, value).unwrap();
    assert!(table.apply_insert(hash, key, value, &prepared));
}

fn remove(table: &mut Table, key: &[u8]) {
    let hash = hash(key, SEED);
    table.prepare_remove(hash, key).unwrap();
    assert!(table.apply_remove(hash, key));
}

/// Five records of 900 bytes each that belong to bucket 17 of 20: one more than fit its page.
fn crowd() -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    let keys = (0_u32..).map(|i| format!("crowd {i}").into_bytes());
    let mut keys = keys.filter(|key| Layout::new(20).bucket_of(hash(key, SEED)) == 17);
    (b'1'..=b'5').map(move |digit| (keys.next().expect("no end of keys"), vec![digit; 900]))
}

/// What the golden file holds.
fn contents() -> BTreeMap<Vec<u8>, Vec<u8>> {
    let small: [(&[u8], &[u8]); 6] = [
        (b"apple", b"red"),
        (b"banana", b"yellow"),
        (b"cherry", b""),
        (b"", b"the empty key"),
        (&[b'k'; 300], b"a long key"),
        (b"long value", &[b'v'; 300]),
    ];
    let large = (b"large".to_vec(), vec![b'L'; 5000]);
    let small = small.into_iter().map(|(key, value)| (key.to_vec(), value.to_vec()));
    small.chain(crowd()).chain([large]).collect()
}

fn built() -> &'static [u8] {
    static BUILT: OnceLock<Vec<u8>> = OnceLock::new();
    BUILT.get_or_init(build)
}

/// An index of 20 buckets with these records, closed clean in the middle of a sweep to fewer.
fn build() -> Vec<u8> {
    let file = file_of(b"");
    let log = LogPosition { epoch_counter: 3, epoch_random: 0xe0e0, segment: 7, lsn: 1 };
    pager::create(&*file, Path::new(PATH), parameters(), Layout::new(20), log).unwrap();
    let Opened { pager, persisted } = open(&file, Access::Mapped).unwrap();
    let mut table = Table::new(pager);
    for (key, value) in contents() {
        insert(&mut table, &key, &value);
    }
    insert(&mut table, b"gone", b"soon");
    table.pager.metadata = b"made for FORMAT.md".to_vec();
    assert!(!table.is_sweeping());
    remove(&mut table, b"gone");
    assert!(table.is_sweeping(), "a removal from a table this empty begins to shrink it");
    let log = LogPosition { lsn: 15, segment: 8, ..log };
    let mut checkpoint = table.pager.freeze(persisted, log, true);
    while checkpoint.step().unwrap() == Progress::More {}
    while table.pager.install(&mut checkpoint) == Progress::More {}
    table.shared().shorten(checkpoint.meta().page_count).unwrap();
    bytes_of(&*file)
}

#[test]
#[cfg_attr(miri, ignore = "reads a file")]
fn golden_file_is_what_the_code_writes_and_reads() {
    let built = built();
    assert!(built.len() <= 64 << 10);
    let golden = stored("v0.splitpoint", built);
    assert!(golden == built, "the format changed: see SPLITPOINT_REGENERATE, and CHANGELOG.md");
    for access in [Access::Mapped, Access::Pread] {
        let Opened { pager, persisted: _ } = open(&file_of(&golden), access).unwrap();
        let mut table = Table::new(pager);
        assert!(table.is_sweeping());
        let counts = table.pager.counts;
        assert_eq!(counts.record_count, contents().len() as u64);
        assert_eq!((counts.overflow_page_count, counts.value_page_count), (1, 2));
        assert_eq!(table.pager.metadata, b"made for FORMAT.md");
        check_contents(&table, true);
        table.settle(usize::MAX).unwrap();
        assert!(!table.is_sweeping());
        check_contents(&table, false);
    }
}

fn check_contents(table: &Table, sweeping: bool) {
    let shared = table.shared();
    let pin = shared.epoch.pin();
    for (key, value) in contents() {
        let found = get::get(shared, &pin, &key).unwrap();
        assert_eq!(found.as_deref(), Some(value.as_slice()), "{key:?}");
    }
    assert!(get::get(shared, &pin, b"gone").unwrap().is_none());
    let mut all = BTreeMap::new();
    let mut next = Some(0);
    while let Some(first) = next {
        let (entries, after) = scan::bucket_from(shared, first, None).unwrap();
        all.extend(entries.into_iter().map(|(_, key, value)| (key, value)));
        next = after;
    }
    assert_eq!(all, contents());
    let state = shared.state.load(&pin);
    let sides: Vec<bool> = contents()
        .keys()
        .map(|key| state.side_of(hash(key, SEED)).0.id == state.current.id)
        .collect();
    assert!(!sweeping || (sides.contains(&true) && sides.contains(&false)), "in both layouts");
}

#[test]
fn golden_file_has_every_kind_of_page() {
    let built = built();
    let mut kinds: Vec<u8> = built.chunks(4096).skip(4).map(|page| page[4]).collect();
    kinds.sort_unstable();
    kinds.dedup();
    for kind in 2..=6 {
        assert!(kinds.contains(&kind), "no page of kind {kind}: {kinds:?}");
    }
    let meta = Meta::decode(&built[3 * 4096..4 * 4096]).unwrap();
    assert!(meta.clean && meta.next.is_some() && meta.splitpoint != 0);
}

fn log_files(storage: Arc<dyn Storage>) -> LogFiles {
    LogFiles { storage, path: PATH.into(), file_id: FILE_ID }
}

fn log_start() -> LogStart {
    LogStart { epoch: Epoch { counter: 3, random: 0xe0e0 }, segment: 8, lsn: Lsn(15) }
}

const SEGMENT_PATH: &str = "/golden-wal-0000000000000008";

/// A segment with two commits, each durable on its own.
fn build_log() -> Vec<u8> {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new(1 << 17));
    let mut log = Log::create(log_files(storage.clone()), log_start(), SEGMENT_SIZE).unwrap();
    let commits: [&[Operation<'_>]; 2] = [
        &[Operation::Insert { key: b"apple", value: b"green" }, Operation::Remove { key: b"" }],
        &[Operation::SetMetadata { metadata: b"x" }],
    ];
    // Both in one write: a segment of 8 KiB has one block for records.
    for operations in commits {
        let mut payload = Vec::new();
        operations.iter().for_each(|operation| operation.encode(&mut payload));
        log.reserve(payload.len() as u64).unwrap();
        log.append(&payload);
    }
    let ticket = log.write(true).unwrap().expect("there is something to sync");
    let _synced = ticket.sync().unwrap();
    bytes_of(&*storage.open(Path::new(SEGMENT_PATH), OpenMode::Read).unwrap())
}

#[test]
#[cfg_attr(miri, ignore = "reads a file")]
fn golden_log_is_what_the_code_writes_and_reads() {
    let built = build_log();
    assert_eq!(built.len() as u64, SEGMENT_SIZE);
    let golden = stored("v0.segment", &built);
    assert!(golden == built, "the format changed: see SPLITPOINT_REGENERATE, and CHANGELOG.md");
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new(1 << 17));
    let file = storage.open(Path::new(SEGMENT_PATH), OpenMode::CreateNew).unwrap();
    file.write_all_at(&golden, 0).unwrap();
    let mut commits = Vec::new();
    let end = crate::log::read(&log_files(storage), log_start(), &mut |lsn, payload| {
        commits.push((lsn, payload.to_vec()));
        Ok(())
    });
    assert_eq!(end.unwrap().next_lsn, Lsn(17));
    let (first, rest) = Operation::decode(&commits[0].1).unwrap();
    assert_eq!(first, Operation::Insert { key: b"apple", value: b"green" });
    assert_eq!(Operation::decode(rest).unwrap().0, Operation::Remove { key: b"" });
    assert_eq!(commits[1].0, Lsn(16));
}

#[test]
fn hex_lines_are_the_golden_files() {
    for (words, bytes) in [
        ("v0.splitpoint, in hex", built()),
        ("v0.fixed, in hex", &build_fixed()),
        ("v0.segment, in hex", &build_log()),
    ] {
        for (offset, line) in hex_lines(words) {
            assert_eq!(bytes[offset..offset + line.len()], line, "at {offset:06x} after {words:?}");
        }
    }
}

#[test]
fn the_record_in_the_example_sums_to_what_is_said() {
    let bytes = build_log();
    let salt = crc32(0, &bytes[0x10..0x38]);
    let header = crc32(salt, &bytes[0x1007..0x1020]);
    let record = crc32(salt, &bytes[0x1004..0x1038]);
    for sum in [salt, header, record] {
        assert!(super::DOCUMENT.contains(&format!("{sum:#010x}")), "FORMAT.md: {sum:#010x}");
    }
    assert_eq!(bytes[0x1000..0x1004], record.to_le_bytes());
    assert_eq!(bytes[0x1004..0x1007], header.to_le_bytes()[..3]);
}

/// An index of keys and values of four bytes each in one bucket, closed clean.
fn build_fixed() -> Vec<u8> {
    let file = file_of(b"");
    let log = LogPosition { epoch_counter: 3, epoch_random: 0xe0e0, segment: 7, lsn: 1 };
    let parameters = FileParameters { key_size: Some(4), value_size: Some(4), ..parameters() };
    pager::create(&*file, Path::new(PATH), parameters, Layout::new(1), log).unwrap();
    let Opened { pager, persisted } = open(&file, Access::Mapped).unwrap();
    let mut table = Table::new(pager);
    for (key, value) in FRUIT {
        insert(&mut table, key, value);
    }
    remove(&mut table, b"nuts");
    let mut checkpoint = table.pager.freeze(persisted, LogPosition { lsn: 6, ..log }, true);
    while checkpoint.step().unwrap() == Progress::More {}
    while table.pager.install(&mut checkpoint) == Progress::More {}
    table.shared().shorten(checkpoint.meta().page_count).unwrap();
    bytes_of(&*file)
}

const FRUIT: [(&[u8], &[u8]); 5] = [
    (b"pear", b"soft"),
    (b"nuts", b"hard"),
    (b"plum", b"blue"),
    (b"lime", b"sour"),
    (b"kiwi", b"hair"),
];

#[test]
#[cfg_attr(miri, ignore = "reads a file")]
fn golden_file_of_fixed_sizes_is_what_the_code_writes_and_reads() {
    let built = build_fixed();
    let golden = stored("v0.fixed", &built);
    assert!(golden == built, "the format changed: see SPLITPOINT_REGENERATE, and CHANGELOG.md");
    let table = Table::new(open(&file_of(&golden), Access::Mapped).unwrap().pager);
    let shared = table.shared();
    let pin = shared.epoch.pin();
    for (key, value) in FRUIT {
        let expected = (key != b"nuts").then_some(value);
        assert_eq!(get::get(shared, &pin, key).unwrap().as_deref(), expected, "{key:?}");
    }
    let (entries, _) = scan::bucket_from(shared, 0, None).unwrap();
    assert_eq!(entries.len(), 4);
}

#[test]
fn a_page_of_the_golden_file_bears_what_its_pointer_says() {
    // The steps of FORMAT.md's example, by its rules alone: from a meta page to the value of apple.
    let bytes = built();
    let u16_at = |at: usize| usize::from(crate::page::get_u16(bytes, at));
    let u64_at = |at: usize| crate::page::get_u64(bytes, at);
    let newest = (0..4).max_by_key(|slot| u64_at(slot * 4096 + 40)).unwrap() * 4096;
    let hash = hash(b"apple", u64_at(newest + 56));
    let side = if hash < u64_at(newest + 184) { 160 } else { 136 };
    let bucket = (u128::from(hash) * u128::from(u64_at(newest + side))) >> 64;
    let page_at = |word: u64| usize::try_from(word & ((1 << 30) - 1)).unwrap() * 4096;
    let directory = page_at(u64_at(newest + side + 8));
    let word = u64_at(directory + 64 + 8 * usize::try_from(bucket).unwrap());
    let page = page_at(word);
    let sum = crc32(0, &bytes[page + 4..page + 4096]);
    assert_eq!(word >> 30, u64::from(sum));
    let cell = (usize::try_from(hash >> 16 & 0xffff).unwrap() * usize::from(bytes[page + 5])) >> 16;
    let slots = (page + 64 + 64 * cell + 4..).step_by(4).take(15);
    let slot =
        slots.into_iter().find(|&slot| u64::try_from(u16_at(slot)).unwrap() == hash & 0xffff);
    let record = page + u16_at(slot.unwrap() + 2);
    assert_eq!(bytes[record..record + 10], *b"\x05\x03applered");
}

#[test]
fn pages_not_reached_are_free() {
    // I4 in the golden file: every page is used or not as the bitmap says, and counted so.
    let bytes = built();
    let meta = Meta::decode(&bytes[3 * 4096..4 * 4096]).unwrap();
    assert_eq!(bytes.len() as u64, 4096 * meta.page_count);
    let opened = open(&file_of(bytes), Access::Pread).unwrap();
    let taken = opened.pager.shared.space().taken().len();
    assert_eq!(taken + meta.free_page_count, meta.page_count);
    let reached = PageRun { first: 4, count: meta.page_count - 4 - meta.free_page_count };
    assert_eq!(taken, 4 + reached.count);
}

/// Everything that reads, and a sweep, whose answers may be errors.
fn use_all(bytes: &[u8], verify: Verify, access: Access) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let file = file_of(bytes);
    let pages = pager::read_meta(&*file, Path::new(PATH))?;
    let reading = Reading { access, verify, read_only: false, residence: Residence::Mapped };
    let opened = pager::open(file, Path::new(PATH), pages, reading)?;
    let mut table = Table::new(opened.pager);
    let mut found = BTreeMap::new();
    let mut failed = None;
    {
        let shared = table.shared();
        let pin = shared.epoch.pin();
        for key in contents().into_keys() {
            match get::get(shared, &pin, &key) {
                Ok(Some(value)) => drop(found.insert(key, value.to_vec())),
                Ok(None) => {}
                Err(error) => failed = Some(error),
            }
        }
        let mut next = Some(0);
        while let Some(first) = next {
            next = match scan::bucket_from(shared, first, None) {
                Ok((_, after)) => after,
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            };
        }
    }
    for key in contents().into_keys() {
        let hash = hash(&key, SEED);
        match table.prepare_remove(hash, &key) {
            Ok(()) => drop(table.apply_remove(hash, &key)),
            Err(error) => failed = Some(error),
        }
    }
    table.settle(usize::MAX)?;
    failed.map_or(Ok(found), Err)
}

#[test]
#[cfg_attr(miri, ignore = "too much work")]
fn a_changed_byte_is_found_or_does_nothing() {
    let mut found = 0;
    for at in (0..built().len()).step_by(7) {
        let mut bytes = built().to_vec();
        bytes[at] ^= 1 << (at % 8);
        match use_all(&bytes, Verify::OnFirstTouch, Access::Mapped) {
            Ok(all) => assert_eq!(all, contents(), "byte {at:#x}"),
            Err(_) => found += 1,
        }
    }
    assert!(found > 1000);
}

#[test]
#[cfg_attr(miri, ignore = "too much work")]
fn without_checksums_a_changed_byte_does_no_harm() {
    // As for someone who makes the checksums right: structure alone has to hold (I8).
    for at in (6 * 4096..11 * 4096).filter(|at| at % 4096 < 1400 || at % 7 == 0) {
        for change in [0x01, 0x80, 0xff] {
            let mut bytes = built().to_vec();
            bytes[at] ^= change;
            let access = if at % 2 == 0 { Access::Mapped } else { Access::Pread };
            drop(use_all(&bytes, Verify::Never, access));
        }
    }
}
