//! Files damaged in each way, with many seeds: what a check says, and what a salvage saves.

mod found;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Arc;

use super::corrupt::{CorruptKind, CorruptReport, corrupt_on};
use super::roster::Roster;
use super::source::Source;
use super::{Salvage, SalvageReport, way};
use crate::error::Error;
use crate::index::{Index, Options};
use crate::page::record::Record;
use crate::page::{Kind, OwnedPage, bucket};
use crate::storage::memory::MemoryStorage;
use crate::storage::{OpenMode, Storage};

const CAPACITY: usize = 1 << 20;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// Bytes of the file that are proven together.
struct Part {
    range: Range<usize>,
    /// How a finding about them names its place.
    named: String,
    /// Of bytes of a value, the page that its slot is in.
    slot_page: Option<u64>,
}

/// Blocks of a segment that one commit wrote and made durable.
#[derive(Debug)]
struct Write {
    segment: u64,
    blocks: Range<u64>,
    /// Where the commit's record ends; padding up to the block's end follows.
    record_end: u64,
}

/// An index on files in memory, and where its records stand.
struct Sample {
    storage: Arc<dyn Storage>,
    model: Model,
    /// Keys that the log has changed.
    logged: BTreeSet<Vec<u8>>,
    /// The pages of each record that the checkpoint has.
    pages: BTreeMap<Vec<u8>, Vec<u64>>,
    /// Of each page in use, its parts that mean something.
    used: BTreeMap<u64, Vec<Part>>,
    /// The writes of the log behind the checkpoint, in order, each of one commit.
    writes: Vec<Write>,
    /// Pages of directories and of the bitmap.
    trees: BTreeSet<u64>,
    bytes: Vec<u8>,
}

fn key(i: u32) -> Vec<u8> {
    format!("key-{i:05}").into_bytes()
}

/// Random in looks, so that no two pages are equal and none is zeros.
fn value(i: u32, version: u32, len: usize) -> Vec<u8> {
    let word = |n: u32| (n.wrapping_mul(0x9e37_79b9) ^ i << 16 ^ version).to_le_bytes();
    (0..).flat_map(word).take(len).collect()
}

/// One that leaves older pages where they are.
fn checkpoint(index: &Index) {
    assert!(index.begin_checkpoint().unwrap());
    while index.step_checkpoint().unwrap() {}
}

/// Overflow, large records, removals, a sweep, older pages; closed clean or with a log.
fn sample(closed: bool) -> Sample {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new(CAPACITY));
    let open = || Options::new().log_budget(1 << 20).hash_seed(5).on(storage.clone());
    let index = open().open("/file").unwrap();
    let (mut model, mut logged) = (Model::new(), BTreeSet::new());
    let put = |model: &mut Model, index: &Index, i: u32, version: u32| {
        let len = if i % 37 == 5 { 4000 + i as usize * 9 } else { 90 + i as usize % 5 * 60 };
        index.insert(key(i), value(i, version, len)).unwrap();
        model.insert(key(i), value(i, version, len));
    };
    for round in 0..3 {
        (0..110).for_each(|i| put(&mut model, &index, round * 110 + i, 0));
        for i in (0..round * 110).step_by(7) {
            index.remove(key(i)).unwrap();
            model.remove(&key(i));
        }
        for i in (3..round * 110).step_by(11) {
            put(&mut model, &index, i, 1 + round);
        }
        checkpoint(&index);
    }
    index.set_metadata(b"mine").unwrap();
    put(&mut model, &index, 8, 7);
    checkpoint(&index);
    let mut writes = Vec::new();
    if closed {
        index.close().unwrap();
    } else {
        for i in 0..40 {
            let i = i * 9;
            let before = segments(&*storage);
            logged.insert(key(i));
            if i % 4 == 0 {
                index.remove(key(i)).unwrap();
                model.remove(&key(i));
            } else {
                put(&mut model, &index, i, 9);
            }
            let payload_len = 7 + key(i).len() + model.get(&key(i)).map_or(0, Vec::len);
            let wrote = written(&before, &segments(&*storage), 32 + payload_len as u64);
            // A key that is gone already is no commit.
            assert!(wrote.len() <= 1, "a commit is a write of its own");
            writes.extend(wrote);
        }
        assert!(writes.len() > 35);
    }
    let mut sample = Sample {
        bytes: read_all(&*storage, "/file"),
        storage: Arc::new(MemoryStorage::new(CAPACITY)),
        model,
        logged,
        pages: BTreeMap::new(),
        used: BTreeMap::new(),
        trees: BTreeSet::new(),
        writes,
    };
    // Under another file system: nobody holds a lock there.
    for name in storage.list(Path::new("/")).unwrap() {
        let path = Path::new("/").join(name);
        let bytes = read_all(&*storage, path.to_str().unwrap());
        let file = sample.storage.open(&path, OpenMode::CreateNew).unwrap();
        file.write_all_at(&bytes, 0).unwrap();
    }
    sample.look();
    sample
}

fn read_all(storage: &dyn Storage, path: &str) -> Vec<u8> {
    let file = storage.open(Path::new(path), OpenMode::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// The segments of the log, by number.
fn segments(storage: &dyn Storage) -> BTreeMap<u64, Vec<u8>> {
    let names = storage.list(Path::new("/")).unwrap().into_iter();
    let names = names.map(|name| name.into_string().unwrap());
    let number = |name: &str| u64::from_str_radix(name.strip_prefix("file-wal-")?, 16).ok();
    names
        .filter_map(|name| Some((number(&name)?, read_all(storage, &format!("/{name}")))))
        .collect()
}

/// The blocks that differ, by segment.
fn written(
    before: &BTreeMap<u64, Vec<u8>>,
    after: &BTreeMap<u64, Vec<u8>>,
    record_len: u64,
) -> Vec<Write> {
    let block = |bytes: &[u8], i: usize| {
        let bytes = bytes.get(i * 4096..(i + 1) * 4096).map(<[u8]>::to_vec);
        bytes.unwrap_or_else(|| vec![0; 4096])
    };
    let mut writes = Vec::new();
    for (&segment, bytes) in after {
        let old = before.get(&segment).map(Vec::as_slice).unwrap_or_default();
        let differs = |i: &usize| block(old, *i) != block(bytes, *i);
        // What a segment had in an older life is written over with zeros ahead of the commits.
        let is_ahead = |i: &usize| block(bytes, *i).iter().all(|&byte| byte == 0);
        let differing = (0..bytes.len() / 4096).filter(|i| differs(i) && !is_ahead(i));
        let differing: Vec<u64> = differing.map(|i| i as u64 * 4096).collect();
        if let Some(first) = differing.first() {
            // A segment that begins has a header, and what an older life left behind the commit.
            let first = (*first).max(4096);
            let record_end = first + record_len;
            let blocks = first..record_end.next_multiple_of(4096);
            writes.push(Write { segment, blocks, record_end });
        }
    }
    writes
}

impl Sample {
    /// Notes where records stand and which pages are in use.
    fn look(&mut self) {
        let source = Source::open(self.storage.clone(), Path::new("/file")).unwrap();
        let roster = Roster::read(&source, &mut |_, _| ControlFlow::Continue(())).unwrap();
        let way = way::find(&source, &roster, source.meta.as_ref().unwrap());
        assert!(way.losses.is_empty(), "{:?}", way.losses);
        // A checkpoint may have come meanwhile: what it took is no longer the log's.
        let start = source.meta.as_ref().unwrap().log.segment;
        self.writes.retain(|write| write.segment >= start);
        let is_overflow = |sound: &&super::roster::Sound| sound.kind == Kind::Overflow;
        assert!(way.pages.iter().filter(is_overflow).count() > 0);
        // A clean close moves pages into the holes that older ones are.
        let is_closed = source.meta.as_ref().unwrap().clean;
        assert!(is_closed || roster.pages.len() > way.pages.len() + way.trees.len());
        for page in way.pages.iter().map(|s| s.number).chain(way.trees.iter().map(|t| t.0)) {
            let start = page as usize * 4096;
            let named = format!("page {page}");
            self.used
                .insert(page, vec![Part { range: start..start + 4096, named, slot_page: None }]);
        }
        let leads_to_records = |tree: &&(u64, Kind)| tree.1 != Kind::ValueMap;
        self.trees = way.trees.iter().filter(leads_to_records).map(|tree| tree.0).collect();
        let mut page = OwnedPage::new(4096);
        for sound in &way.pages {
            source.read_page(sound.at, &mut page);
            for slot in bucket::slots(page.view()) {
                let mut pages = vec![sound.number];
                let key = match slot.record.unwrap() {
                    Record::Inline { key, .. } => key.to_vec(),
                    Record::Large(large, key) => {
                        let (first, end_page) = (large.first_page(4096), large.end_page(4096));
                        let named = match end_page - 1 {
                            last if last > first => format!("pages {first} to {last}"),
                            _ => format!("page {first}"),
                        };
                        for page in first..end_page {
                            let start = (page as usize * 4096).max(large.offset() as usize);
                            let end = (page as usize + 1) * 4096;
                            let end = end.min((large.offset() + large.len()) as usize);
                            pages.push(page);
                            let (named, slot_page) = (named.clone(), Some(sound.number));
                            let part = Part { range: start..end, named, slot_page };
                            self.used.entry(page).or_default().push(part);
                        }
                        key.to_vec()
                    }
                };
                self.pages.insert(key, pages);
            }
        }
        assert_eq!(self.used.len() as u64 + 4, way.used.len());
    }

    /// A damaged copy, and what it is to be called.
    fn damage(&self, kind: CorruptKind, seed: u64) -> CorruptReport {
        corrupt_on(self.storage.clone(), "/file".as_ref(), "/copy".as_ref(), kind, seed).unwrap()
    }

    fn clear(&self) {
        for name in self.storage.list(Path::new("/")).unwrap() {
            let text = name.to_str().unwrap();
            if text.starts_with("copy") || text.starts_with("new") {
                self.storage.remove(&Path::new("/").join(name)).unwrap();
            }
        }
    }

    /// The pages of the copy that are not what they were.
    fn changed(&self) -> BTreeSet<u64> {
        let copy = read_all(&*self.storage, "/copy");
        (0..self.bytes.len() as u64 / 4096)
            .filter(|page| match self.used.get(page) {
                Some(parts) => parts.iter().any(|part| self.differs(&copy, &part.range)),
                None => self.differs(&copy, &(*page as usize * 4096..(*page as usize + 1) * 4096)),
            })
            .collect()
    }

    fn differs(&self, copy: &[u8], range: &Range<usize>) -> bool {
        let end = range.end.min(copy.len());
        copy.get(range.start..end) != Some(&self.bytes[range.clone()])
    }

    fn salvage(&self, older: bool) -> (SalvageReport, Model) {
        let salvage = Salvage::new().older(older).on(self.storage.clone());
        let report = salvage.run("/copy", "/new").unwrap();
        let index = Options::new().read_only(true).on(self.storage.clone()).open("/new").unwrap();
        let found: Model = index.iter().unwrap().map(|item| item.unwrap()).collect();
        assert_eq!(found.len() as u64, report.record_count);
        assert!(report.by_generation || index.metadata().unwrap() == b"mine");
        (report, found)
    }

    /// Whatever no damage has touched is there as it was; nothing else is, but what is told.
    fn expect_saved(&self, done: &CorruptReport) {
        let changed = self.changed();
        let is_hit = |key: &Vec<u8>| {
            self.pages.get(key).is_some_and(|p| p.iter().any(|page| changed.contains(page)))
        };
        let commits_lost = match done.kind {
            CorruptKind::TornLog => 2,
            _ => 0,
        };
        for older in [true, false] {
            let (report, found) = self.salvage(older);
            // Without what says which page is the newest, nothing is certain.
            let is_unsure = !older && self.trees.iter().any(|page| changed.contains(page));
            let mut missing = 0;
            for (key, value) in &self.model {
                let is_there = found.get(key) == Some(value);
                let is_spared = self.logged.contains(key) && commits_lost > 0 || {
                    !self.logged.contains(key) && is_hit(key)
                };
                assert!(
                    is_there || is_spared || is_unsure,
                    "{done:?}, {report}: {}",
                    key.escape_ascii()
                );
                missing += usize::from(!is_there && self.logged.contains(key));
            }
            assert!(missing <= commits_lost || is_unsure, "{done:?}, {report}: {missing}");
            for (key, value) in &found {
                let is_told = report.by_generation
                    || report.older_record_count > 0
                    || commits_lost > 0 && self.logged.contains(key);
                let is_right = self.model.get(key) == Some(value);
                assert!(is_right || is_told, "{done:?}, {report}: {}", key.escape_ascii());
            }
            if !self.changed().is_empty() && changed.iter().any(|p| self.used.contains_key(p)) {
                assert!(!report.losses.is_empty(), "{done:?}, {report}");
            }
            assert!(older || report.by_generation || report.older_page_count == 0);
            self.storage.remove(Path::new("/new")).unwrap();
        }
    }
}

fn seeds() -> u64 {
    std::env::var("SPLITPOINT_DAMAGES").ok().and_then(|text| text.parse().ok()).unwrap_or(1000)
}

fn campaign(kind: CorruptKind) {
    let samples = [sample(true), sample(false)];
    for seed in 0..seeds() {
        // A clean file has no log to tear.
        let which = if kind == CorruptKind::TornLog { 1 } else { seed as usize % 2 };
        let sample = &samples[which];
        let done = sample.damage(kind, seed);
        // Of a file cut before its first page there may be nothing left.
        let is_headless = kind == CorruptKind::Truncate && done.offset < 5 * 4096;
        match kind {
            CorruptKind::TornLog => sample.expect_torn(&done),
            _ => sample.expect_found(&done),
        }
        if is_headless {
            let salvage = Salvage::new().on(sample.storage.clone());
            let _ = salvage.run("/copy", "/new").map(|report| report.to_string());
        } else {
            sample.expect_saved(&done);
        }
        sample.clear();
    }
}

#[test]
fn a_flipped_bit_costs_its_page() {
    campaign(CorruptKind::Bitflip);
}

#[test]
fn a_page_of_zeros_costs_itself() {
    campaign(CorruptKind::Zero);
}

#[test]
fn a_stale_page_costs_itself() {
    campaign(CorruptKind::Stale);
}

#[test]
fn swapped_pages_cost_themselves() {
    campaign(CorruptKind::Swap);
}

#[test]
fn a_cut_costs_what_is_cut_off() {
    campaign(CorruptKind::Truncate);
}

#[test]
fn a_torn_log_costs_what_was_torn() {
    campaign(CorruptKind::TornLog);
}

#[test]
fn a_sound_file_loses_nothing() {
    for closed in [true, false] {
        let sample = sample(closed);
        let salvage = Salvage::new().on(sample.storage.clone());
        let report = salvage.run("/file", "/new").unwrap();
        assert!(report.is_whole() && report.losses.is_empty(), "{report}");
        assert_eq!((report.older_record_count, report.lost_record_count), (0, Some(0)), "{report}");
        let index = Options::new().read_only(true).on(sample.storage.clone()).open("/new").unwrap();
        let found: Model = index.iter().unwrap().map(|item| item.unwrap()).collect();
        assert!(found == sample.model);
        let again = salvage.run("/file", "/new");
        assert!(matches!(again, Err(Error::Io { .. })), "{again:?}");
    }
}

#[test]
fn without_any_meta_page_the_pages_tell() {
    for closed in [true, false] {
        let sample = sample(closed);
        let file = sample.storage.open(Path::new("/copy"), OpenMode::CreateNew).unwrap();
        file.write_all_at(&sample.bytes, 0).unwrap();
        file.write_all_at(&[0; 16_384], 0).unwrap();
        let (report, found) = sample.salvage(true);
        assert!(report.by_generation && report.generation.is_none(), "{report}");
        for (key, value) in &sample.model {
            let is_logged = sample.logged.contains(key);
            assert!(is_logged || found.get(key) == Some(value), "{}", key.escape_ascii());
        }
    }
}

#[test]
fn a_salvage_that_is_ended_leaves_nothing() {
    let sample = sample(true);
    let before = sample.storage.list(Path::new("/")).unwrap().len();
    let mut calls = 0;
    let salvage = Salvage::new().on(sample.storage.clone());
    for last in 1..5 {
        let ended = salvage.run_with("/file", "/new", |_, _| {
            calls += 1;
            if calls >= last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(matches!(ended, Err(Error::Io { .. })), "{ended:?}");
        assert_eq!(sample.storage.list(Path::new("/")).unwrap().len(), before);
        calls = 0;
    }
}

#[test]
fn no_bytes_make_it_panic_or_run_on() {
    let sample = sample(false);
    let mut state = 3_u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % below
    };
    for _ in 0..200 {
        let file = sample.storage.open(Path::new("/copy"), OpenMode::CreateNew).unwrap();
        let mut bytes = sample.bytes.clone();
        for _ in 0..1 + next(60) {
            let at = next(bytes.len() / 8) * 8;
            let at = if next(3) == 0 { at % 16_384 } else { at };
            let word = [0, u64::MAX, 1 << 33, next(1 << 30) as u64][next(4)];
            bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
            if next(2) == 0 {
                // A right checksum proves nothing.
                let page = at / 4096 * 4096;
                let covered = if page < 16_384 { (16, 20) } else { (0, 4) };
                let sum = crate::checksum::crc32(0, &bytes[page + covered.1..page + 4096]);
                bytes[page + covered.0..page + covered.1].copy_from_slice(&sum.to_le_bytes());
            }
        }
        file.write_all_at(&bytes, 0).unwrap();
        drop(file);
        let _ = Salvage::new().on(sample.storage.clone()).run("/copy", "/new");
        sample.clear();
    }
}

/// A file that was left under the name of an unfinished copy was removed when it was to be copied to
/// the name without that ending.
#[test]
fn a_file_that_is_named_like_an_unfinished_copy_is_no_leftover() {
    let sample = sample(true);
    let (from, to) = (Path::new("/file.splitpoint-new"), Path::new("/file"));
    sample.storage.rename(to, from).unwrap();
    let refused = corrupt_on(sample.storage.clone(), from, to, CorruptKind::Zero, 1).unwrap_err();
    assert!(refused.to_string().contains("unfinished copy"), "{refused}");
    assert!(sample.storage.identity(from).is_ok());
}
