//! Edges: the greatest numbers, the last byte of room, records longer than what is read at once, and
//! records whose checksum is right and whose place is wrong.

use std::path::PathBuf;

use super::disk::{Disk, Fault, Rng, start};
use super::round_trip::{Commits, SEGMENT, commit, flush, redo};
use crate::error::{Error, Promise};
use crate::log::record::{self, Kind, Record, Salt};
use crate::log::rescue::rescue;
use crate::log::room::Discarded;
use crate::log::segment::Header;
use crate::log::trace::{bytes, trace};
use crate::log::{Epoch, Log, LogStart, Lsn, START_MAX, remove_segments, survey};

fn path(number: u64) -> PathBuf {
    Disk::default().files().segment_path(number)
}

fn promise(result: Result<(Commits, super::super::LogEnd), Error>) -> Promise {
    match result {
        Err(Error::Corruption(corruption)) => corruption.promise,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_log_may_begin_at_the_greatest_number_and_not_at_none() {
    let disk = Disk::default();
    let begin = LogStart { segment: START_MAX, lsn: Lsn(START_MAX), ..start() };
    let mut log = Log::create(disk.files(), begin, SEGMENT).unwrap();
    commit(&mut log, b"one");
    flush(&mut log);
    assert_eq!(redo(&disk.files(), begin).unwrap().0, [(Lsn(START_MAX), b"one".to_vec())]);
    for bad in [
        LogStart { segment: START_MAX + 1, ..begin },
        LogStart { lsn: Lsn(START_MAX + 1), ..begin },
        LogStart { lsn: Lsn(0), ..begin },
    ] {
        assert_eq!(promise(redo(&disk.files(), bad)), Promise::LogStart);
        let created = Log::create(Disk::default().files(), bad, SEGMENT);
        assert!(matches!(created, Err(Error::Corruption(_))), "{bad:?}");
    }
}

#[test]
fn a_segment_that_cannot_be_opened_is_not_taken_for_none() {
    let disk = Disk::default();
    let mut log = Log::create(disk.files(), start(), SEGMENT).unwrap();
    commit(&mut log, &[3; 80_000]);
    flush(&mut log);
    let before = disk.call_count();
    assert_eq!(redo(&disk.files(), start()).unwrap().0.len(), 1);
    let calls = disk.call_count() - before;
    assert!(calls > 2, "each segment was opened");
    for at in 0..calls {
        disk.fail_after(at, Fault::Eio);
        let result = redo(&disk.files(), start());
        assert!(matches!(result, Err(Error::Io { .. })), "call {at}: {result:?}");
    }
}

#[test]
fn segments_and_records_longer_than_what_is_read_at_once() {
    for size in [1 << 20, (1 << 20) + (300 << 10)] {
        let disk = Disk::default();
        let mut log = Log::create(disk.files(), start(), size).unwrap();
        let mut rng = Rng(31);
        let mut expected = Commits::new();
        for round in 0..60 {
            let len = [10, 4_000, 33_000, 260_000, 300_000][rng.below(5) as usize];
            let payload = rng.bytes(len + round);
            expected.push((commit(&mut log, &payload), payload));
            if rng.below(3) == 0 {
                flush(&mut log);
            }
        }
        flush(&mut log);
        let (found, end) = redo(&disk.files(), start()).unwrap();
        assert!(found == expected);
        assert!(end.last_segment > 4);
        // The search for what proves damage goes over all of it, too.
        disk.edit(&path(1), |bytes| bytes[4096 + 40] ^= 1);
        assert_eq!(promise(redo(&disk.files(), start())), Promise::LogRecord);
        let mut rescued = Commits::new();
        let gaps = rescue(&disk.files(), Some(start()), &mut |lsn, payload| {
            rescued.push((lsn, payload.to_vec()));
            Ok(())
        });
        assert_eq!(gaps.unwrap().len(), 1);
        assert!(rescued == expected[1..]);
    }
}

/// Puts a record with its checksum where another one stands; gives its size.
fn forge(disk: &Disk, number: u64, at: usize, record: Record, payload: &[u8]) -> usize {
    let mut bytes = Vec::new();
    record.encode(&mut bytes);
    bytes.extend_from_slice(payload);
    record::seal(&mut bytes, Salt::new(&disk.files().file_id, start().epoch, number));
    disk.edit(&path(number), |all| all[at..at + bytes.len()].copy_from_slice(&bytes));
    bytes.len().next_multiple_of(8)
}

#[test]
fn a_record_with_its_checksum_ends_where_one_of_its_kind_does() {
    let record = |kind, lsn, fragment| Record {
        len: 16,
        lsn: Lsn(lsn),
        durable_lsn: Lsn(0),
        fragment,
        kind,
    };
    // A part that does not end its segment, then what would be the rest of its commit; padding
    // that does not end its block, then a commit; padding that is a fragment.
    for (first, second) in [
        (record(Kind::Part, 2, 0), record(Kind::Last, 2, 1)),
        (record(Kind::Padding, 2, 0), record(Kind::Last, 2, 0)),
    ] {
        let disk = Disk::default();
        let mut log = Log::create(disk.files(), start(), SEGMENT).unwrap();
        for _ in 0..3 {
            commit(&mut log, &[1; 16]);
        }
        flush(&mut log);
        assert_eq!(redo(&disk.files(), start()).unwrap().0.len(), 3);
        let at = 4096 + 48;
        let size = forge(&disk, 1, at, first, &[2; 16]);
        forge(&disk, 1, at + size, second, &[3; 16]);
        // Both say that nothing before is durable, so nothing proves damage: the log ends there.
        assert_eq!(redo(&disk.files(), start()).unwrap().0.len(), 1, "{first:?}");
    }
}

#[test]
fn the_last_byte_of_room_is_used_and_no_more() {
    let capacity = 64 << 10;
    for skipped in [0, 8, 16, 24, 32] {
        // The first commit leaves so much of its block, too little for a header but for 32.
        let first = 4096 - 32 - skipped;
        for rest in 0..120 {
            let disk = Disk::default();
            let mut log = Log::create(disk.files(), start(), 1 << 20).unwrap();
            assert_eq!(log.capacity, capacity);
            let payloads = [vec![1; first], vec![2; capacity as usize - 8192 - rest]];
            for payload in &payloads {
                commit(&mut log, payload);
                assert!(log.offset <= log.capacity);
            }
            flush(&mut log);
            let found = redo(&disk.files(), start()).unwrap().0;
            assert!(
                found.into_iter().map(|(_, payload)| payload).eq(payloads),
                "{skipped}, {rest}"
            );
        }
    }
}

#[test]
fn a_recycled_segment_without_a_record_of_its_own_is_no_gap() {
    let disk = Disk::default();
    let mut log = Log::create(disk.files(), start(), SEGMENT).unwrap();
    for _ in 0..3 {
        commit(&mut log, b"before");
        flush(&mut log);
        log.rotate().unwrap();
    }
    let begin = log.rotate().unwrap();
    log.recycle_before(begin.segment).and_then(Discarded::remove).unwrap();
    commit(&mut log, b"one");
    flush(&mut log);
    // Takes an old segment under its next number, with its old header.
    log.reserve(SEGMENT).unwrap();
    let next = begin.segment + 1;
    let old = disk.edit(&path(next), |bytes| bytes[48]);
    assert!(u64::from(old) < begin.segment);
    let leftover = |disk: &Disk, number| {
        let found = survey(&disk.files(), begin.epoch).unwrap();
        let found = found.into_iter().find(|leftover| leftover.number == number).unwrap();
        (found.header.is_some(), found.has_record)
    };
    assert_eq!(leftover(&disk, begin.segment), (true, true));
    assert_eq!(leftover(&disk, next), (false, false), "its header is of another number");
    let foreign = disk.copy();
    foreign.edit(&path(begin.segment), |bytes| {
        let header = Header::decode(bytes.first_chunk().unwrap()).unwrap();
        let foreign = Header { file_id: *b"another file's  ", ..header };
        bytes[..4096].copy_from_slice(&foreign.encode());
    });
    assert!(!leftover(&foreign, begin.segment).0);
    let mut rescued = Vec::new();
    let gaps = rescue(&disk.files(), Some(begin), &mut |_, payload| {
        rescued.push(payload.to_vec());
        Ok(())
    });
    assert_eq!((gaps.unwrap(), rescued), (Vec::new(), vec![b"one".to_vec()]));
}

#[test]
fn a_segment_without_a_header_is_of_the_epoch_before_it() {
    let disk = Disk::default();
    let mut expected = Commits::new();
    let (mut segment, mut lsn) = (1, Lsn(1));
    for counter in [1, 2] {
        let begin = LogStart { epoch: Epoch { counter, random: 7 }, segment, lsn };
        let mut log = Log::create(disk.files(), begin, SEGMENT).unwrap();
        for len in [100, 70_000, 50] {
            let payload = vec![counter as u8; len];
            expected.push((commit(&mut log, &payload), payload));
            flush(&mut log);
        }
        (segment, lsn) = (segment + 3, log.next_lsn());
    }
    let rescued = || {
        let mut found = Commits::new();
        rescue(&disk.files(), None, &mut |lsn, payload| {
            found.push((lsn, payload.to_vec()));
            Ok(())
        })
        .unwrap();
        found
    };
    assert!(rescued() == expected);
    // The last segment of each epoch has the last commit whole.
    for number in [3, 6] {
        disk.edit(&path(number), |bytes| bytes[100] ^= 1);
        let found = rescued();
        let last = &expected[if number == 3 { 2 } else { 5 }];
        assert!(found.contains(last), "segment {number}");
        disk.edit(&path(number), |bytes| bytes[100] ^= 1);
    }
}

#[test]
fn a_segment_is_traced_in_the_epoch_of_its_header() {
    let disk = Disk::default();
    let mut log = Log::create(disk.files(), start(), SEGMENT).unwrap();
    commit(&mut log, b"one");
    flush(&mut log);
    let records = |epoch| {
        let trace = trace(&disk.files(), epoch, 1, &mut |_, _, _| true);
        trace.unwrap().unwrap().records
    };
    let other = Epoch { counter: 8, random: 8 };
    assert_eq!((records(start().epoch), records(other)), (2, 2), "the commit and its padding");
    disk.edit(&path(1), |bytes| bytes[100] ^= 1);
    assert_eq!((records(start().epoch), records(other)), (2, 0), "or else in the one given");
}

#[test]
fn the_bytes_of_a_segment_are_those_of_its_file() {
    let disk = Disk::default();
    let mut log = Log::create(disk.files(), start(), SEGMENT).unwrap();
    commit(&mut log, b"one");
    flush(&mut log);
    let (mut all, files) = (Vec::new(), disk.files());
    disk.edit(&path(1), |bytes| all = bytes.to_vec());
    assert!(all.len() > 100 && all[..100].iter().any(|byte| *byte != 0));
    assert_eq!(bytes(&files, 1, 100).unwrap(), all[..100]);
    assert_eq!(bytes(&files, 1, u64::MAX).unwrap(), all);
    assert!(bytes(&files, 2, 100).is_err());
}

#[test]
fn only_a_name_that_is_gone_may_fail_to_be_removed() {
    let disk = Disk::default();
    drop(Log::create(disk.files(), start(), SEGMENT).unwrap());
    disk.fail_after(0, Fault::Eio);
    assert!(matches!(remove_segments(&disk.files(), [1]), Err(Error::Io { .. })));
    assert_eq!(disk.names().len(), 1);
    remove_segments(&disk.files(), [1, 2]).unwrap();
    assert_eq!(disk.names().len(), 0);
}

#[test]
fn what_is_not_to_be_durable_yet_shares_blocks() {
    let disk = Disk::default();
    let mut log = Log::create(disk.files(), start(), SEGMENT).unwrap();
    for count in 1..=10 {
        commit(&mut log, &[1; 16]);
        assert!(log.write(false).unwrap().is_none());
        assert_eq!(log.buffered_len(), count * 48);
    }
    flush(&mut log);
    assert_eq!((log.buffered_len(), log.live_len()), (0, 4096 + 4096));
    assert!(log.write(true).unwrap().is_none(), "nothing is due");
    assert_eq!((log.buffered_len(), log.live_len()), (0, 4096 + 4096));
    let rotated = log.rotate().unwrap();
    assert_eq!(log.rotate().unwrap(), rotated, "an empty segment is where redo may begin");
    assert_eq!(redo(&disk.files(), start()).unwrap().0.len(), 10);
}

#[test]
fn commits_over_many_segments_may_wait_in_memory() {
    let disk = Disk::default();
    let mut log = Log::create(disk.files(), start(), SEGMENT).unwrap();
    let mut rng = Rng(51);
    let mut expected = Commits::new();
    for _ in 0..40 {
        let len = rng.below(2 * SEGMENT) as usize;
        let payload = rng.bytes(len);
        expected.push((commit(&mut log, &payload), payload));
    }
    let segments = disk.names().len();
    log.reserve(3 * SEGMENT).unwrap();
    let ahead = disk.names().len();
    assert!(ahead > segments);
    log.reserve(3 * SEGMENT).unwrap();
    assert_eq!(disk.names().len(), ahead, "what is prepared is not prepared again");
    // A full disk takes back what nothing is appended to, and no more.
    disk.set_room(Some(disk.used()));
    assert!(matches!(log.reserve(20 * SEGMENT), Err(Error::StorageFull { .. })));
    assert_eq!(disk.names().len(), segments);
    flush(&mut log);
    assert!(redo(&disk.files(), start()).unwrap().0 == expected);
    assert_eq!(disk.names().len(), segments);
}

#[test]
fn prepared_segments_leave_no_place_for_spares() {
    let disk = Disk::default();
    let mut log = Log::create(disk.files(), start(), SEGMENT).unwrap();
    let mut begin = start();
    for _ in 0..3 {
        commit(&mut log, b"one");
        flush(&mut log);
        begin = log.rotate().unwrap();
    }
    // One prepared and the one that is written: two of the three are kept.
    log.reserve(SEGMENT).unwrap();
    assert_eq!(disk.names().len(), 5);
    log.recycle_before(begin.segment).and_then(Discarded::remove).unwrap();
    assert_eq!(disk.names().len(), 4);
}

#[test]
fn zeros_that_could_not_be_written_are_no_full_disk() {
    let disk = Disk::default();
    let mut log = Log::create(disk.files(), start(), 1 << 20).unwrap();
    disk.fail_after(0, Fault::Eio);
    // Less than the doubled room would do: after a full disk that is tried, too.
    assert!(matches!(log.reserve(70_000), Err(Error::Io { .. })));
    assert!(matches!(log.reserve(1), Err(Error::Refused { .. })));
}

/// A writer waited for three syncs under its lock wherever commits went on in a next segment.
#[test]
fn a_write_that_nobody_waits_for_syncs_nothing() {
    let disk = Disk::default();
    let mut log = Log::create(disk.files(), start(), SEGMENT).unwrap();
    let payload = [7; 3000];
    for _ in 0..11 {
        commit(&mut log, &payload);
    }
    assert!(log.waits_for_segment());
    let synced = disk.sync_count();
    assert!(log.write(false).unwrap().is_none());
    assert!(log.waits_for_segment() && log.buffered_len() > 0);
    assert_eq!(disk.sync_count(), synced);
    // Whoever syncs has taken one of the steps when the writer's buffer is full.
    let ticket = log.write(true).unwrap().unwrap();
    for _ in 0..11 {
        commit(&mut log, &payload);
    }
    assert!(log.buffered_len() as u64 > SEGMENT);
    assert!(log.write(false).unwrap().is_none());
    assert!(disk.sync_count() > synced);
    let late = ticket.sync().unwrap();
    log.synced(late);
    flush(&mut log);
    let found = redo(&disk.files(), start()).unwrap().0;
    assert_eq!(found.len(), 22);
    assert!(found.iter().all(|(_, found)| *found == payload));
}
