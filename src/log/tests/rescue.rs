//! What is rescued of a damaged log: whole commits only, and all but those that the damage touches.

use std::collections::{BTreeMap, BTreeSet};

use super::disk::{Disk, Rng, start};
use super::round_trip::{Commits, SEGMENT, commit, flush, redo};
use crate::error::Error;
use crate::log::rescue::{Gap, file_id_beside, rescue};
use crate::log::segment::Header;
use crate::log::trace::trace;
use crate::log::{Epoch, Log, LogStart, Lsn};

/// Commits of all sizes over several segments, one of them over three, two in each durable group: of
/// which a first one leaves 32 bytes of its block, room for a header, and one leaves 16, which is none.
fn sample(disk: &Disk) -> Commits {
    let mut log = Log::create(disk.files(), start(), SEGMENT / 2).unwrap();
    let mut rng = Rng(5);
    let mut commits = Vec::new();
    let groups = [
        [10, 3_000],
        [4_032, 700],
        [4_048, 90],
        [20_000, 5_000],
        [40_000, 40],
        [0, 9_000],
        [12_000, 1],
        [60, 60],
    ];
    for len in groups.into_iter().flatten() {
        let payload = rng.bytes(len);
        commits.push((commit(&mut log, &payload), payload));
        if commits.len() % 2 == 0 {
            flush(&mut log);
        }
    }
    commits
}

/// Where each segment's records stand: first byte, one more than the last, commit.
fn places(disk: &Disk, number: u64) -> Vec<(u64, u64, Lsn)> {
    let mut places = Vec::new();
    let trace = trace(&disk.files(), start().epoch, number, &mut |offset, record, _| {
        places.push((offset, offset + record.size(), record.lsn));
        true
    });
    assert!(trace.unwrap().is_some());
    places
}

fn rescued(disk: &Disk, start: Option<LogStart>) -> (Commits, Vec<Gap>) {
    let mut commits = Vec::new();
    let gaps = rescue(&disk.files(), start, &mut |lsn, payload| {
        commits.push((lsn, payload.to_vec()));
        Ok(())
    });
    (commits, gaps.unwrap())
}

/// All commits but those that may be lost are there; what is lost before the end is told. (Where
/// nothing is left of the beginning, only who knows where redo starts can tell.)
fn check(disk: &Disk, all: &Commits, may_lack: &BTreeSet<Lsn>, what: &str) {
    let is_headless = what.starts_with("1 ");
    for start in [None, Some(start())].into_iter().skip(usize::from(is_headless)) {
        let (found, gaps) = rescued(disk, start);
        let mut left: BTreeMap<Lsn, &[u8]> = all.iter().map(|(l, p)| (*l, &**p)).collect();
        for (lsn, payload) in &found {
            assert_eq!(left.remove(lsn), Some(&**payload), "{what}: {lsn:?}");
        }
        assert!(left.keys().all(|lsn| may_lack.contains(lsn)), "{what}: {:?}", left.keys());
        let is_told = left.is_empty() || left.contains_key(&all.last().unwrap().0);
        assert!(is_told || !gaps.is_empty(), "{what}: {:?} lost without a word", left.keys());
    }
}

fn segments(disk: &Disk) -> Vec<u64> {
    let count = disk.names().len() as u64;
    assert!(count > 5, "the sample has several segments");
    (1..=count).filter(|number| !places(disk, *number).is_empty()).collect()
}

#[test]
fn an_undamaged_log_is_rescued_whole() {
    let disk = Disk::default();
    let all = sample(&disk);
    for start in [None, Some(start())] {
        assert_eq!(rescued(&disk, start), (all.clone(), Vec::new()));
    }
    let tag = u64::from_le_bytes(*disk.files().file_id.first_chunk().unwrap());
    assert_eq!(file_id_beside(&disk.files(), tag), Some(disk.files().file_id));
    assert_eq!(file_id_beside(&disk.files(), tag ^ 1), None);
}

#[test]
fn a_bad_byte_costs_the_commit_that_it_is_in() {
    let disk = Disk::default();
    let all = sample(&disk);
    for number in segments(&disk) {
        let places = places(&disk, number);
        let path = disk.files().segment_path(number);
        let len = places.last().unwrap().1;
        for at in (4096..len).filter(|at| at % 97 == 0 || at % 4096 < 40) {
            let hit = places.iter().filter(|(from, to, _)| (*from..*to).contains(&at));
            let may_lack = hit.map(|(.., lsn)| *lsn).collect();
            disk.edit(&path, |bytes| bytes[at as usize] ^= 0x41);
            check(&disk, &all, &may_lack, &format!("byte {at} of {number} is bad"));
            disk.edit(&path, |bytes| bytes[at as usize] ^= 0x41);
        }
    }
}

#[test]
fn a_lost_segment_or_header_costs_the_commits_in_it() {
    let disk = Disk::default();
    let all = sample(&disk);
    for number in segments(&disk) {
        let path = disk.files().segment_path(number);
        let may_lack = places(&disk, number).iter().map(|(.., lsn)| *lsn).collect();
        let whole = disk.edit(&path, |bytes| bytes.clone());
        disk.edit(&path, |bytes| bytes[100] ^= 1);
        check(&disk, &all, &may_lack, &format!("the header of {number} is bad"));
        disk.edit(&path, |bytes| bytes.truncate(4095));
        check(&disk, &all, &may_lack, &format!("{number} is shorter than a header"));
        disk.take_away(&path);
        check(&disk, &all, &may_lack, &format!("{number} is missing"));
        let foreign = Header {
            file_id: *b"another file's  ",
            ..Header::decode(whole.first_chunk().unwrap()).unwrap()
        };
        disk.put(&path, [&foreign.encode(), &whole[4096..]].concat());
        check(&disk, &all, &may_lack, &format!("{number} is of another file"));
        let redone = redo(&disk.files(), start());
        assert!(matches!(redone, Err(Error::Corruption(_))), "{number}: {redone:?}");
        disk.put(&path, whole);
    }
    check(&disk, &all, &BTreeSet::new(), "restored");
}

#[test]
fn of_other_epochs_later_ones_count() {
    let disk = Disk::default();
    let all = sample(&disk);
    let begin = start();
    let next = *segments(&disk).last().unwrap() + 1;
    let lsn = all.last().unwrap().0.next();
    let epoch = |counter, random| Epoch { counter, random };
    let counter = begin.epoch.counter;
    for (of, counts) in [
        (epoch(counter + 1, 9), true),
        (epoch(counter, begin.epoch.random ^ 1), false),
        (epoch(counter - 1, begin.epoch.random), false),
    ] {
        let other = disk.copy();
        other
            .names()
            .into_iter()
            .filter(|name| *name == other.files().segment_path(next))
            .for_each(|name| other.take_away(&name));
        let start = LogStart { epoch: of, segment: next, lsn };
        let mut log = Log::create(other.files(), start, SEGMENT / 2).unwrap();
        let payload = b"of another life".to_vec();
        let extra = (commit(&mut log, &payload), payload);
        flush(&mut log);
        let (found, gaps) = rescued(&other, Some(begin));
        let mut expected = all.clone();
        expected.extend(counts.then_some(extra));
        assert_eq!((found, gaps), (expected, Vec::new()), "{of:?}");
        let later = LogStart { segment: 3, ..begin };
        let (found, _) = rescued(&other, Some(later));
        assert!(found.len() < all.len() && found.iter().all(|(lsn, _)| *lsn > all[0].0));
    }
}

#[test]
fn a_look_at_a_segment_ends_when_it_is_told() {
    let disk = Disk::default();
    sample(&disk);
    let mut seen = 0;
    let trace = trace(&disk.files(), start().epoch, 1, &mut |_, _, _| {
        seen += 1;
        seen < 2
    });
    assert_eq!((trace.unwrap().unwrap().records, seen), (2, 2));
}
