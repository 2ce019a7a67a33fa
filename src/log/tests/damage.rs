//! Changed, missing, foreign and forged bytes: an error or a prefix, never a wrong commit, never a
//! panic; and never a silent end before what was acknowledged.

use std::path::{Path, PathBuf};

use super::disk::{Disk, Rng, start};
use super::round_trip::{Commits, SEGMENT, commit, flush, redo};
use crate::error::{Error, Promise};
use crate::log::record::{self, Record, Salt};
use crate::log::{Epoch, Log, LogStart, Lsn};

fn path(number: u64) -> PathBuf {
    Disk::default().files().segment_path(number)
}

/// A log over three segments and, if `rotated`, an empty fourth: durable groups of one to three
/// commits. Returns its commits, and how many of them something later proves durable.
fn sample(disk: &Disk, rotated: bool) -> (Commits, usize) {
    let mut log = Log::create(disk.files(), start(), SEGMENT / 2).unwrap();
    let mut rng = Rng(21);
    let mut commits = Vec::new();
    let mut proven = 0;
    for group in 0..5 {
        proven = commits.len();
        for index in 0..=group % 3 {
            let len = if group == 2 && index == 1 { 20_000 } else { rng.below(200) as usize };
            let payload = rng.bytes(len);
            commits.push((commit(&mut log, &payload), payload));
        }
        flush(&mut log);
    }
    if rotated {
        assert_eq!(log.rotate().unwrap().segment, 4);
        proven = commits.len();
    }
    (commits, proven)
}

/// What is left of a sample must be a prefix that holds what is proven, or an error.
fn check(disk: &Disk, sample: &(Commits, usize), what: &str) -> bool {
    let (commits, proven) = sample;
    match redo(&disk.files(), start()) {
        Ok((found, _)) => {
            assert!(commits.starts_with(&found), "{what}: a wrong commit");
            assert!(found.len() >= *proven, "{what}: {} of {proven} proven commits", found.len());
            found.len() == commits.len()
        }
        Err(Error::Corruption(_)) => false,
        Err(e) => panic!("{what}: {e}"),
    }
}

/// The bytes of a segment that were written to.
fn used(disk: &Disk, number: u64) -> usize {
    let path = path(number);
    disk.edit(&path, |bytes| bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) + 64)
}

#[test]
fn every_flipped_bit() {
    flip_every_bit(false);
    flip_every_bit(true);
}

fn flip_every_bit(rotated: bool) {
    let disk = Disk::default();
    let sample = sample(&disk, rotated);
    let mut harmless = 0;
    for number in 1..=3 {
        let len = used(&disk, number).min(SEGMENT as usize / 2);
        // Every bit of headers and of records' fronts; of long payloads every 37th byte.
        for at in (0..len).filter(|at| *at < 200 || (4096..9000).contains(at) || at % 37 == 0) {
            for bit in 0..8 {
                disk.edit(&path(number), |bytes| bytes[at] ^= 1 << bit);
                harmless += usize::from(check(&disk, &sample, &format!("{number}: {at}.{bit}")));
                disk.edit(&path(number), |bytes| bytes[at] ^= 1 << bit);
            }
        }
    }
    assert!(check(&disk, &sample, "unchanged"));
    // Skipped rests of blocks, bytes that align records, and the end of the last segment only.
    assert!(harmless < 4_000, "{harmless}");
}

#[test]
fn every_truncation() {
    truncate_everywhere(false);
    truncate_everywhere(true);
}

fn truncate_everywhere(rotated: bool) {
    let disk = Disk::default();
    let mut sample = sample(&disk, rotated);
    if !rotated {
        // What would prove the end of the last segment durable goes with it.
        sample.1 = 0;
    }
    for number in 1..=3 {
        let whole = disk.edit(&path(number), |bytes| bytes.clone());
        for len in (0..whole.len()).filter(|len| *len < 64 || *len > 4_000) {
            disk.edit(&path(number), |bytes| bytes.truncate(len));
            check(&disk, &sample, &format!("{number}: {len}"));
            disk.edit(&path(number), |bytes| bytes.clone_from(&whole));
        }
    }
}

#[test]
fn lost_and_misplaced_blocks() {
    place_blocks(false);
    place_blocks(true);
}

fn place_blocks(rotated: bool) {
    let disk = Disk::default();
    let sample = sample(&disk, rotated);
    let blocks: Vec<(u64, usize)> =
        (1..=3).flat_map(|n| (0..4).map(move |block| (n, block * 4096))).collect();
    let read = |(number, at): (u64, usize)| {
        disk.edit(&path(number), |bytes| bytes.get(at..at + 4096).map(<[u8]>::to_vec))
    };
    for to in &blocks {
        let Some(whole) = read(*to) else { continue };
        let froms = blocks.iter().filter_map(|from| read(*from));
        for (index, other) in froms.chain([vec![0; 4096], vec![255; 4096]]).enumerate() {
            disk.edit(&path(to.0), |bytes| bytes[to.1..to.1 + 4096].copy_from_slice(&other));
            check(&disk, &sample, &format!("block {index} to {to:?}"));
            disk.edit(&path(to.0), |bytes| bytes[to.1..to.1 + 4096].copy_from_slice(&whole));
        }
    }
}

#[test]
fn damage_below_a_durable_mark_is_an_error() {
    let disk = Disk::default();
    let mut log = Log::create(disk.files(), start(), SEGMENT).unwrap();
    for payload in [b"one", b"two"] {
        commit(&mut log, payload);
        flush(&mut log);
    }
    // The second group carries the mark of the first.
    disk.edit(&path(1), |bytes| bytes[4096 + 33] ^= 1);
    let error = redo(&disk.files(), start()).unwrap_err();
    assert!(matches!(&error, Error::Corruption(c) if c.promise == Promise::LogRecord), "{error}");
    disk.edit(&path(1), |bytes| bytes[4096 + 33] ^= 1);
    // So does the padding between them.
    disk.edit(&path(1), |bytes| bytes[4096 + 1000] ^= 1);
    let error = redo(&disk.files(), start()).unwrap_err();
    assert!(matches!(&error, Error::Corruption(c) if c.promise == Promise::LogRecord), "{error}");
    disk.edit(&path(1), |bytes| bytes[4096 + 1000] ^= 1);
    // Nothing carries the mark of the last group: that is a torn tail.
    disk.edit(&path(1), |bytes| bytes[8192 + 33] ^= 1);
    assert_eq!(redo(&disk.files(), start()).unwrap().0.len(), 1);
}

#[test]
fn the_log_must_be_there_whole_and_ours() {
    let expect = |disk: &Disk, begin: LogStart, promise: Promise| {
        let error = redo(&disk.files(), begin).unwrap_err();
        assert!(matches!(&error, Error::Corruption(c) if c.promise == promise), "{error}");
    };
    let disk = Disk::default();
    sample(&disk, true);
    let with = |change: fn(&mut LogStart)| {
        let mut begin = start();
        change(&mut begin);
        begin
    };
    expect(&disk, with(|s| s.segment = 0), Promise::LogPresent);
    expect(&disk, with(|s| s.segment = 9), Promise::LogPresent);
    expect(&disk, with(|s| s.segment = u64::MAX), Promise::LogStart);
    expect(&disk, with(|s| s.lsn = Lsn(0)), Promise::LogStart);
    expect(&disk, with(|s| s.lsn = Lsn(2)), Promise::LogStart);
    expect(&disk, with(|s| s.lsn = Lsn(u64::MAX)), Promise::LogStart);
    expect(&disk, with(|s| s.epoch.counter = 2), Promise::LogOwner);
    expect(&disk, with(|s| s.epoch.random = 2), Promise::LogOwner);
    let error = Log::create(disk.files(), with(|s| s.lsn = Lsn(u64::MAX)), SEGMENT).unwrap_err();
    assert!(matches!(&error, Error::Corruption(c) if c.promise == Promise::LogStart), "{error}");
    // A segment in the middle of a chain begins nothing.
    expect(&disk, with(|s| (s.segment, s.lsn) = (2, Lsn(5))), Promise::LogStart);
    let mut files = disk.files();
    files.file_id = *b"another file's  ";
    let error = redo(&files, start()).unwrap_err();
    assert!(matches!(&error, Error::Corruption(c) if c.promise == Promise::LogOwner), "{error}");
    // A gap.
    disk.take_away(&path(2));
    expect(&disk, start(), Promise::LogRecord);
    // Nothing, and a file without bytes.
    disk.edit(&path(1), Vec::clear);
    expect(&disk, start(), Promise::LogPresent);
    disk.take_away(&path(1));
    expect(&disk, start(), Promise::LogPresent);
}

#[test]
fn a_lost_header_before_records_is_an_error() {
    let disk = Disk::default();
    let mut log = Log::create(disk.files(), start(), SEGMENT).unwrap();
    commit(&mut log, b"one");
    flush(&mut log);
    log.rotate().unwrap();
    commit(&mut log, b"two");
    flush(&mut log);
    disk.edit(&path(2), |bytes| bytes[..4096].fill(0));
    let error = redo(&disk.files(), start()).unwrap_err();
    assert!(matches!(&error, Error::Corruption(c) if c.promise == Promise::LogStart), "{error}");
}

/// Two commits in one group; the crash keeps the second and tears the first; recovery drops both;
/// a new first of the same length is written in the same place.
fn phantom(epoch: Epoch) -> Commits {
    let write = |epoch, commits: &[&[u8]]| {
        let disk = Disk::default();
        let begin = LogStart { epoch, ..start() };
        let mut log = Log::create(disk.files(), begin, SEGMENT).unwrap();
        for payload in commits {
            commit(&mut log, payload);
        }
        flush(&mut log);
        disk
    };
    let old = write(start().epoch, &[&[1; 4064], b"phantom"]);
    let block = old.edit(&path(1), |bytes| bytes[8192..12288].to_vec());
    let new = write(epoch, &[&[2; 4064]]);
    new.edit(&path(1), |bytes| bytes[8192..12288].copy_from_slice(&block));
    redo(&new.files(), LogStart { epoch, ..start() }).unwrap().0
}

#[test]
fn no_phantom_in_a_new_epoch() {
    // In the same epoch it would be there: the test can fail.
    assert_eq!(phantom(start().epoch).len(), 2);
    assert_eq!(phantom(Epoch { counter: 2, random: 0x5eed }).len(), 1);
    assert_eq!(phantom(Epoch { counter: 1, random: 0x5eee }).len(), 1);
}

#[test]
fn zeros_and_other_segments_records_do_not_verify() {
    let salt = |segment| Salt::new(&[7; 16], start().epoch, segment);
    assert_eq!(Record::decode(&[0; 32], salt(1)), None);
    let lsn = Lsn(4);
    let kind = record::Kind::Last;
    let written = Record { len: 5, lsn, durable_lsn: Lsn(3), fragment: 0, kind };
    let mut bytes = Vec::new();
    written.encode(&mut bytes);
    bytes.extend_from_slice(b"hello");
    record::seal(&mut bytes, salt(1));
    assert_eq!(Record::decode(&bytes, salt(1)), Some(written));
    assert!(record::verifies(&bytes, salt(1)));
    for other in [0, 2, 3, 1 << 32, u64::MAX] {
        assert_eq!(Record::decode(&bytes, salt(other)), None);
        assert!(!record::verifies(&bytes, salt(other)));
    }
    assert!(!record::verifies(&bytes[..3], salt(1)));
    assert_eq!(Record::decode(&bytes[..31], salt(1)), None);
}

/// Sums the record at `at` anew, if its length lets that be done.
fn reseal(bytes: &mut [u8], at: usize, salt: Salt) {
    let Some(head) = bytes.get(at + 8..at + 12) else { return };
    let len = u32::from_le_bytes(head.try_into().unwrap()) as usize;
    if let Some(record) = bytes.get_mut(at..at + 32 + len) {
        record::seal(record, salt);
    }
}

#[test]
fn forged_records_do_no_harm() {
    let disk = Disk::default();
    let (commits, _) = sample(&disk, true);
    let salt = Salt::new(&disk.files().file_id, start().epoch, 1);
    let whole = disk.edit(&path(1), |bytes| bytes.clone());
    let mut rng = Rng(99);
    for _ in 0..20_000 {
        disk.edit(&path(1), |bytes| {
            let at = 4096 + 4096 * rng.below(2) as usize;
            let field = at + 4 + rng.below(28) as usize;
            bytes[field] = [0, 1, 2, 127, 128, 255, rng.next() as u8][rng.below(7) as usize];
            reseal(bytes, at, salt);
        });
        match redo(&disk.files(), start()) {
            Ok((found, _)) => assert!(found.len() <= commits.len() + 1),
            Err(Error::Corruption(_)) => {}
            Err(e) => panic!("{e}"),
        }
        if rng.below(4) > 0 {
            disk.edit(&path(1), |bytes| bytes.clone_from(&whole));
        }
    }
}

#[test]
fn a_name_that_is_no_segment_is_left_alone() {
    let disk = Disk::default();
    sample(&disk, true);
    disk.put(Path::new("/folder/data-wal-1"), vec![1; 9000]);
    disk.put(Path::new("/folder/data2-wal-0000000000000001"), vec![1; 9000]);
    assert_eq!(super::super::survey::numbers(&disk.files()).unwrap(), [1, 2, 3, 4]);
}
