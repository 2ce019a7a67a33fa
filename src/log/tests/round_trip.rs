//! What is written is read: sizes, segments, reuse, room.

use std::collections::BTreeMap;

use super::disk::{Disk, Fault, Rng, start};
use crate::error::{Error, Result};
use crate::log::room::Discarded;
use crate::log::survey::Leftover;
use crate::log::survey::LeftoverHeader;
use crate::log::sync::SyncTicket;
use crate::log::{
    BLOCK_SIZE, Epoch, Log, LogEnd, LogFiles, LogStart, Lsn, read, remove_segments, survey,
    sync_existing,
};

pub(super) const SEGMENT: u64 = 32 << 10;

/// Commits as redo hands them out.
pub(super) type Commits = Vec<(Lsn, Vec<u8>)>;

/// Everything that redo hands out.
pub(super) fn redo(files: &LogFiles, start: LogStart) -> Result<(Commits, LogEnd)> {
    let mut commits = Vec::new();
    let end = read(files, start, &mut |lsn, payload| {
        commits.push((lsn, payload.to_vec()));
        Ok(())
    })?;
    Ok((commits, end))
}

pub(super) fn commit(log: &mut Log, payload: &[u8]) -> Lsn {
    log.reserve(payload.len() as u64).unwrap();
    log.append(payload)
}

pub(super) fn flush(log: &mut Log) {
    assert!(try_flush(log, |_| false).unwrap().is_none());
}

/// Makes all durable, but for the first sync that `is_last` stops at.
fn try_flush(log: &mut Log, is_last: impl Fn(Lsn) -> bool) -> Result<Option<SyncTicket>> {
    while let Some(ticket) = log.write(true)? {
        if is_last(ticket.lsn()) {
            return Ok(Some(ticket));
        }
        let synced = ticket.sync()?;
        log.synced(synced);
    }
    Ok(None)
}

#[test]
fn commits_of_all_sizes() {
    for durable_each in [false, true] {
        let disk = Disk::default();
        let mut log = Log::create(disk.files(), start(), SEGMENT).unwrap();
        let mut rng = Rng(7);
        let mut expected = Vec::new();
        let sizes = (0..140).chain(4000..4110).chain(8150..8200).chain(28_600..28_680);
        for len in sizes.chain([100_000, 0, 3 * 28_640, 1]) {
            let payload = rng.bytes(len);
            let lsn = commit(&mut log, &payload);
            expected.push((lsn, payload));
            if durable_each {
                flush(&mut log);
            } else {
                assert!(log.write(false).unwrap().is_none());
            }
        }
        flush(&mut log);
        let (found, end) = redo(&disk.files(), start()).unwrap();
        assert_eq!(found.len(), expected.len());
        assert!(found == expected);
        assert_eq!(end.next_lsn, log.next_lsn());
        assert_eq!(end.commits, expected.len() as u64);
        assert_eq!(log.durable_lsn(), end.next_lsn.previous());
        assert!(end.last_segment > 10);
        assert_eq!(end.bytes.next_multiple_of(BLOCK_SIZE), log.live_len());
        drop(log);
        assert!(redo(&disk.power_cut(&mut rng).files(), start()).unwrap().0 == expected);
    }
}

#[test]
fn parts_are_one_payload() {
    let disk = Disk::default();
    let mut log = Log::create(disk.files(), start(), SEGMENT).unwrap();
    let payload = Rng(3).bytes(70_000);
    log.reserve(70_000).unwrap();
    let (a, b) = payload.split_at(33_333);
    log.append_parts(&[&[], a, &[], b, &[]]);
    flush(&mut log);
    assert!(redo(&disk.files(), start()).unwrap().0 == [(Lsn(1), payload)]);
}

#[test]
fn no_write_touches_a_block_that_is_durable() {
    let disk = Disk::default();
    let mut log = Log::create(disk.files(), start(), 256 << 10).unwrap();
    let mut rng = Rng(11);
    // By file, where the blocks end that a sync has covered: its header, to begin with.
    let mut durable = BTreeMap::new();
    let mut seen = disk.writes().len();
    let mut checked = 0;
    for _ in 0..400 {
        for _ in 0..rng.below(4) {
            let len = rng.below(300) as usize;
            let payload = rng.bytes(len);
            commit(&mut log, &payload);
        }
        let ticket = log.write(rng.below(2) == 0).unwrap();
        let mut reached = durable.clone();
        for (path, offset, len) in &disk.writes()[seen..] {
            assert!(offset % BLOCK_SIZE == 0 && len % BLOCK_SIZE == 0);
            let end = *durable.get(path).unwrap_or(&0);
            assert!(*offset >= end, "write at {offset} of {}, durable to {end}", path.display());
            checked += 1;
            // Zeros ahead are no data: what is durable ends with the last write of records.
            if *len < 32 << 10 {
                reached.insert(path.clone(), offset + len);
            }
        }
        seen = disk.writes().len();
        if let Some(ticket) = ticket {
            let synced = ticket.sync().unwrap();
            log.synced(synced);
            durable = reached;
        }
    }
    assert!(checked > 150 && durable.len() > 2, "{checked} {durable:?}");
}

#[test]
fn a_tiny_log_is_tiny_and_the_steady_state_does_not_grow_it() {
    let disk = Disk::default();
    let mut log = Log::create(disk.files(), start(), 64 << 20).unwrap();
    assert_eq!(disk.used(), 64 << 10);
    let mut growths = 0;
    for _ in 0..500 {
        let before = disk.used();
        commit(&mut log, &[7; 130]);
        flush(&mut log);
        growths += u64::from(disk.used() != before);
    }
    assert_eq!((growths, disk.used()), (5, 2 << 20));
}

#[test]
fn a_segment_is_recycled_and_what_it_held_is_not_redone() {
    let disk = Disk::default();
    let mut log = Log::create(disk.files(), start(), SEGMENT).unwrap();
    let mut begin = start();
    let mut rng = Rng(5);
    for round in 0..20 {
        let mut expected = Vec::new();
        for _ in 0..rng.below(150) {
            let payload = vec![round as u8; rng.below(700) as usize];
            expected.push((commit(&mut log, &payload), payload));
        }
        flush(&mut log);
        assert!(redo(&disk.files(), begin).unwrap().0 == expected);
        let next = log.rotate().unwrap();
        assert_eq!(next.lsn, log.next_lsn());
        // Before the segments are given up, redo runs through all of them.
        assert!(redo(&disk.files(), begin).unwrap().0 == expected);
        log.recycle_before(next.segment).and_then(Discarded::remove).unwrap();
        assert_eq!(redo(&disk.files(), next).unwrap().0, []);
        assert!(disk.names().len() <= 3, "{:?}", disk.names());
        begin = next;
    }
    assert!(disk.calls_from(0).iter().any(|call| call.starts_with("rename")));
    log.remove_all().unwrap();
    assert!(disk.names().is_empty());
}

#[test]
fn the_steps_of_a_rollover_come_in_order() {
    let disk = Disk::default();
    let mut log = Log::create(disk.files(), start(), SEGMENT).unwrap();
    commit(&mut log, &[1; 40_000]);
    let from = disk.call_count();
    flush(&mut log);
    let (one, two) = ("/folder/data-wal-0000000000000001", "/folder/data-wal-0000000000000002");
    let expected = [
        format!("write {one}"),
        format!("sync {one}"),
        format!("write {two}"),
        format!("sync {two}"),
        "sync_dir /folder".to_owned(),
        format!("write {two}"),
        format!("sync {two}"),
    ];
    assert_eq!(disk.calls_from(from), expected);
}

#[test]
fn a_full_disk_leaves_the_log_as_it_was() {
    let disk = Disk::default();
    let mut log = Log::create(disk.files(), start(), SEGMENT).unwrap();
    commit(&mut log, b"before");
    flush(&mut log);
    let used = disk.used();
    disk.set_room(Some(100 << 10));
    for len in [90_000, 400_000] {
        assert!(matches!(log.reserve(len), Err(Error::StorageFull { .. })));
        assert_eq!(disk.used(), used);
        commit(&mut log, b"meanwhile");
        flush(&mut log);
    }
    disk.set_room(None);
    commit(&mut log, &[3; 400_000]);
    flush(&mut log);
    let (found, _) = redo(&disk.files(), start()).unwrap();
    let sizes: Vec<usize> = found.iter().map(|(_, payload)| payload.len()).collect();
    assert_eq!(sizes, [6, 9, 9, 400_000]);
}

#[test]
fn the_last_room_is_used() {
    let disk = Disk::default();
    let mut log = Log::create(disk.files(), start(), 16 << 20).unwrap();
    disk.set_room(Some(200 << 10));
    // What a failed attempt has taken, others may need.
    assert!(matches!(log.reserve(500_000), Err(Error::StorageFull { .. })));
    assert_eq!(disk.used(), 64 << 10);
    disk.set_room(Some(80 << 10));
    // Doubling does not fit; what is needed does.
    commit(&mut log, &[1; 60_000]);
    commit(&mut log, &[2; 15_000]);
    flush(&mut log);
    assert_eq!(redo(&disk.files(), start()).unwrap().0.len(), 2);
}

#[test]
fn a_rotation_on_a_full_disk_can_be_tried_again() {
    let disk = Disk::default();
    let mut log = Log::create(disk.files(), start(), SEGMENT).unwrap();
    commit(&mut log, b"one");
    flush(&mut log);
    disk.set_room(Some(disk.used()));
    assert!(matches!(log.rotate(), Err(Error::StorageFull { .. })));
    commit(&mut log, b"two");
    flush(&mut log);
    disk.set_room(None);
    let next = log.rotate().unwrap();
    assert_eq!((next.segment, next.lsn), (2, Lsn(3)));
    commit(&mut log, b"three");
    flush(&mut log);
    assert_eq!(redo(&disk.files(), start()).unwrap().0.len(), 3);
    assert_eq!(redo(&disk.files(), next).unwrap().0.len(), 1);
}

#[test]
fn after_a_failure_everything_is_refused() {
    // The calls of a commit that rolls over, and of the sync that follows.
    for at in 0..7 {
        let disk = Disk::default();
        let mut log = Log::create(disk.files(), start(), SEGMENT).unwrap();
        commit(&mut log, &[1; 40_000]);
        disk.fail_after(at, Fault::Eio);
        let result = try_flush(&mut log, |_| false);
        assert!(matches!(result, Err(Error::Io { .. })), "call {at}: {result:?}");
        let calls = disk.call_count();
        assert!(matches!(log.reserve(1), Err(Error::Refused { .. })));
        assert!(matches!(log.write(true), Err(Error::Refused { .. })));
        assert!(matches!(log.rotate(), Err(Error::Refused { .. })));
        assert!(matches!(log.recycle_before(9), Err(Error::Refused { .. })));
        assert!(matches!(log.remove_all(), Err(Error::Refused { .. })));
        assert_eq!(disk.call_count(), calls, "nothing is touched after a failure");
    }
}

#[test]
fn what_is_there_is_made_durable_before_it_is_shown() {
    let disk = Disk::default();
    let mut log = Log::create(disk.files(), start(), SEGMENT).unwrap();
    let mut rng = Rng(21);
    let expected: Commits =
        [70_000, 10].map(|len| rng.bytes(len)).map(|p| (commit(&mut log, &p), p)).into();
    let due = try_flush(&mut log, |lsn| lsn == Lsn(2)).unwrap();
    assert!(due.is_some(), "written and not synced");
    let torn = |rng: &mut Rng| redo(&disk.power_cut(rng).files(), start()).unwrap().0.len() < 2;
    assert!((0..20).any(|_| torn(&mut rng)));
    let last = disk.names().len() as u64;
    for first in [1, 2, last] {
        let before = disk.call_count();
        sync_existing(&disk.files(), LogStart { segment: first, ..start() }).unwrap();
        let calls = disk.calls_from(before);
        let synced =
            (first..=last).map(|n| format!("sync {}", disk.files().segment_path(n).display()));
        let expected: Vec<String> = synced.chain(["sync_dir /folder".to_owned()]).collect();
        let found: Vec<&String> = calls.iter().filter(|call| call.starts_with("sync")).collect();
        assert_eq!(found, expected.iter().collect::<Vec<_>>());
        // Each of these calls may fail.
        for at in 0..calls.len() {
            disk.fail_after(at, Fault::Eio);
            let result = sync_existing(&disk.files(), LogStart { segment: first, ..start() });
            assert!(matches!(result, Err(Error::Io { .. })), "call {at}: {result:?}");
        }
    }
    for _ in 0..20 {
        assert!(redo(&disk.power_cut(&mut rng).files(), start()).unwrap().0 == expected);
    }
}

#[test]
fn survey_tells_litter_from_records() {
    let disk = Disk::default();
    let files = disk.files();
    let mut log = Log::create(files.clone(), start(), SEGMENT).unwrap();
    commit(&mut log, b"one");
    flush(&mut log);
    log.rotate().unwrap();
    // Prepared, without a header.
    log.reserve(50_000).unwrap();
    let found = survey(&files, start().epoch).unwrap();
    let seen: Vec<_> = found.iter().map(|l| (l.number, l.header.is_some(), l.has_record)).collect();
    assert_eq!(seen[..3], [(1, true, true), (2, true, false), (3, false, false)]);
}

#[test]
fn survey_sees_a_newer_epoch() {
    let disk = Disk::default();
    let files = disk.files();
    let newer = Epoch { counter: 2, random: 9 };
    let begin = LogStart { epoch: newer, segment: 5, lsn: Lsn(40) };
    let mut log = Log::create(files.clone(), begin, SEGMENT).unwrap();
    let leftover = |has_record| {
        let header = Some(LeftoverHeader { epoch: newer, first_lsn: Lsn(40) });
        vec![Leftover { number: 5, header, has_record }]
    };
    assert_eq!(survey(&files, start().epoch).unwrap(), leftover(false));
    commit(&mut log, b"one");
    flush(&mut log);
    assert_eq!(survey(&files, start().epoch).unwrap(), leftover(true));
    // Removing is done once it is durable, and may be done again.
    remove_segments(&files, [5, 6]).unwrap();
    remove_segments(&files, [5, 6]).unwrap();
    assert_eq!(survey(&disk.power_cut(&mut Rng(1)).files(), newer).unwrap(), []);
}

#[test]
fn room_that_was_reserved_and_not_used_is_the_next_segment() {
    let disk = Disk::default();
    let mut log = Log::create(disk.files(), start(), SEGMENT).unwrap();
    let first = commit(&mut log, b"before");
    flush(&mut log);
    log.reserve(2 * SEGMENT).unwrap();
    let names = disk.names();
    assert_eq!(names.len(), 3, "room in two further segments");
    let rotated = log.rotate().unwrap();
    assert_eq!((rotated.segment, disk.names()), (start().segment + 1, names));
    let second = commit(&mut log, b"behind");
    flush(&mut log);
    let expected = [(first, b"before".to_vec()), (second, b"behind".to_vec())];
    assert!(redo(&disk.files(), start()).unwrap().0 == expected);
    assert!(redo(&disk.files(), rotated).unwrap().0 == expected[1..]);
}

#[test]
fn only_what_is_before_is_recycled() {
    let disk = Disk::default();
    let mut log = Log::create(disk.files(), start(), SEGMENT).unwrap();
    let mut starts = vec![start()];
    for _ in 0..6 {
        commit(&mut log, b"one");
        flush(&mut log);
        starts.push(log.rotate().unwrap());
    }
    assert_eq!(starts[6].segment, 7, "a segment without a commit is not left");
    assert_eq!(log.live_len(), 6 * 8192 + 4096);
    log.recycle_before(starts[4].segment).and_then(Discarded::remove).unwrap();
    assert_eq!(log.live_len(), 2 * 8192 + 4096);
    assert_eq!(redo(&disk.files(), starts[4]).unwrap().0.len(), 2);
    // Four for reuse, and the three that are needed.
    assert_eq!(disk.names().len(), 7);
    log.recycle_before(u64::MAX).and_then(Discarded::remove).unwrap();
    assert_eq!(redo(&disk.files(), starts[6]).unwrap().0.len(), 0);
    assert_eq!(disk.names().len(), 3);
}

/// Of what lay between two checkpoints two segments were kept and the others removed, under the
/// writer's lock, to be made anew and filled with zeros.
#[test]
fn a_busy_log_goes_round_in_the_segments_that_it_has() {
    let disk = Disk::default();
    let mut log = Log::create(disk.files(), start(), SEGMENT).unwrap();
    let mut from = 0;
    for round in 0..4 {
        for _ in 0..5 {
            commit(&mut log, &[7; 20_000]);
            flush(&mut log);
        }
        let begin = log.rotate().unwrap();
        log.recycle_before(begin.segment).and_then(Discarded::remove).unwrap();
        if round == 1 {
            from = disk.call_count();
        }
    }
    let calls = disk.calls_from(from);
    assert!(calls.iter().any(|call| call.starts_with("rename")));
    assert!(
        !calls.iter().any(|call| call.contains("CreateNew") || call.starts_with("remove")),
        "{calls:?}"
    );
}

#[test]
fn a_failed_sync_of_a_ticket_refuses_the_other() {
    let disk = Disk::default();
    let mut log = Log::create(disk.files(), start(), SEGMENT).unwrap();
    commit(&mut log, b"one");
    let first = log.write(true).unwrap().unwrap();
    commit(&mut log, b"two");
    let second = log.write(true).unwrap().unwrap();
    assert_eq!((first.lsn(), second.lsn()), (Lsn(1), Lsn(2)));
    disk.fail_after(0, Fault::Eio);
    assert!(matches!(first.sync(), Err(Error::Io { .. })));
    // The system would report success now (F7).
    assert!(matches!(second.sync(), Err(Error::Refused { .. })));
    assert_eq!(log.durable_lsn(), Lsn(0));
}
