//! Faults that the campaigns found, each as a small test that opens with its story.
#![expect(clippy::unwrap_used, reason = "a test: whatever goes wrong must end it")]

use splitpoint::simulation::{CallKind, Choice, Fate, Fault, FaultPlan, SimulatedDisk};
use splitpoint::{Access, Batch, Durability, Error, Index, Options, Severity};

const PATH: &str = "/index";

fn options(disk: &SimulatedDisk) -> Options {
    Options::new().storage(disk).manual()
}

/// The number of the `nth` call of that kind, when `run` is run on a new disk, after `prepare`.
fn call_of(
    kind: CallKind,
    nth: usize,
    prepare: impl Fn(&SimulatedDisk) -> Index,
    run: impl Fn(&Index),
) -> usize {
    let disk = SimulatedDisk::new(1);
    let index = prepare(&disk);
    let from = disk.call_count();
    run(&index);
    let kinds = disk.call_kinds();
    let mut of_kind = (from..kinds.len()).filter(|call| kinds.get(*call) == Some(&kind));
    of_kind.nth(nth).unwrap()
}

/// Ends the handle without letting it do anything more to the disk.
fn kill(disk: &SimulatedDisk, index: Index) {
    disk.fail(FaultPlan::from(Fault::InputOutput, 0));
    drop(index);
    disk.heal();
}

fn new(disk: &SimulatedDisk) -> Index {
    options(disk).open(PATH).unwrap()
}

/// The first write of a handle makes the log. When writing its first segment failed, the half-made
/// segment stayed under its name, and every later write failed with "already exists": the handle
/// neither worked nor refused.
#[test]
fn a_log_that_cannot_be_begun_is_refused_or_tried_again() {
    let insert = |index: &Index| assert!(index.insert("key", "value").unwrap());
    for (fault, works) in [(Fault::InputOutput, false), (Fault::StorageFull, true)] {
        for nth in 0..2 {
            let call = call_of(CallKind::Write, nth, new, insert);
            let disk = SimulatedDisk::new(1);
            let index = new(&disk);
            disk.fail(FaultPlan::from(fault, call));
            index.insert("key", "value").unwrap_err();
            disk.heal();
            match index.insert("key", "value") {
                Ok(new) => assert!(new && works),
                Err(Error::Refused { .. }) => assert!(!works),
                Err(other) => panic!("{other}"),
            }
        }
    }
}

/// With immediate durability `len` was one commit behind: it was noted when a commit was appended,
/// and not again when it became visible.
#[test]
fn len_counts_what_readers_see() {
    let index = new(&SimulatedDisk::new(1));
    for number in 1..4 {
        index.insert(format!("key {number}"), "value").unwrap();
        assert_eq!(index.len(), number);
    }
    index.remove("key 1").unwrap();
    assert_eq!(index.len(), 2);
}

/// The power was cut while the first write after a clean close announced the log. The file was
/// sound, but check called the torn old meta page damage, since a clean file was held to have four
/// whole ones.
#[test]
fn a_meta_page_torn_in_the_first_write_is_no_damage() {
    let insert = |index: &Index| assert!(index.insert("key", "value").unwrap());
    let announced = call_of(CallKind::Write, 2, new, insert);
    let disk = SimulatedDisk::new(1);
    let index = new(&disk);
    insert(&index);
    let torn = Choice { name_changes: 0, fates: vec![Fate::Garbage(4)], rest: Fate::Absent };
    let image = disk.crash_at(announced + 1, &torn);
    let disk = SimulatedDisk::from_image(&image, 2);
    let report = new(&disk).check().unwrap();
    assert!(report.is_sound(), "{report}");
    assert!(report.findings.iter().all(|finding| finding.severity == Severity::Notice));
}

/// Growing the file noted the new length before it was mapped. When the map failed, the next growth
/// found the file long enough, and records in the new pages were reported as damage.
#[test]
fn a_file_that_grew_and_was_not_mapped_is_mapped_later() {
    let large = vec![7; 20_000];
    let insert = |index: &Index| assert!(index.insert("large", vec![7; 20_000]).unwrap());
    let call = call_of(CallKind::Map, 0, new, insert);
    let disk = SimulatedDisk::new(1);
    let index = new(&disk);
    disk.fail(FaultPlan::once(Fault::InputOutput, call));
    index.insert("large", &large).unwrap_err();
    index.insert("large", &large).unwrap();
    assert_eq!(index.get("large").unwrap().unwrap(), large);
}

/// A close wrote the meta page that says that there is no log, and its sync failed. The next open in
/// the same boot saw it in the cache, trusted it, and removed the log. Then the power was cut: the
/// meta page before came back, its log was gone, and so was every commit since the checkpoint.
#[test]
fn a_clean_meta_page_in_the_cache_only_is_no_reason_to_remove_the_log() {
    let prepare = |disk: &SimulatedDisk| {
        let index = new(disk);
        index.insert("key", "value").unwrap();
        index.checkpoint().unwrap();
        index
    };
    let mut failed = 0;
    for nth in 0..4 {
        let call = call_of(CallKind::SyncData, nth.min(2), prepare, |index| index.close().unwrap());
        let disk = SimulatedDisk::new(1);
        let index = prepare(&disk);
        disk.fail(FaultPlan::once(Fault::FailedSync, call));
        failed += usize::from(index.close().is_err());
        kill(&disk, index);
        kill(&disk, new(&disk));
        let image = disk.crash_at(disk.call_count(), &Choice::nothing());
        let index = new(&SimulatedDisk::from_image(&image, 2));
        assert_eq!(index.get("key").unwrap().unwrap(), b"value");
    }
    assert!(failed > 0);
}

/// A large record's key stands in its value pages. Applying an overwrite looked for the key once
/// more; a read that failed then made it a new record beside the old one.
#[test]
fn a_key_that_cannot_be_read_at_apply_is_not_inserted_twice() {
    let prepare = |disk: &SimulatedDisk| {
        let index = options(disk).access(Access::Pread).open(PATH).unwrap();
        index.insert("key", vec![1; 6_000]).unwrap();
        index
    };
    let overwrite = |index: &Index| index.insert("key", vec![2; 7_000]);
    for kind in [CallKind::Read, CallKind::Stat] {
        for nth in 0..8 {
            let disk = SimulatedDisk::new(1);
            let index = prepare(&disk);
            let from = disk.call_count();
            overwrite(&index).unwrap();
            let kinds = disk.call_kinds();
            let mut calls = (from..kinds.len()).filter(|call| kinds.get(*call) == Some(&kind));
            let Some(call) = calls.nth(nth) else { break };
            let disk = SimulatedDisk::new(1);
            let index = prepare(&disk);
            disk.fail(FaultPlan::once(Fault::InputOutput, call));
            let overwritten = overwrite(&index).is_ok();
            assert_eq!(index.len(), 1);
            assert_eq!(index.iter().unwrap().count(), 1);
            let value = index.get("key").unwrap().unwrap();
            assert_eq!(value.len(), if overwritten { 7_000 } else { 6_000 });
        }
    }
}

/// A writer that had passed the check for a closed index and waited for the writer's lock could
/// commit after the last checkpoint of `close` was frozen: it was acknowledged, and then its log
/// was removed. Now `close` shuts the door behind the lock before it freezes.
#[test]
fn a_commit_beside_close_is_whole_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..60_u32 {
        let path = folder.path().join(format!("index {round}"));
        // Small budgets, so that writers wait for a checkpoint after they have looked whether the
        // index is closed.
        let background = Durability::Background(std::time::Duration::from_millis(1));
        let options = Options::new().durability(background).small_budgets(16 << 10, 16 << 10);
        let index = options.open(&path).unwrap();
        let acknowledged: Vec<Vec<u32>> = std::thread::scope(|scope| {
            let write = |thread: u32| {
                let index = &index;
                move || {
                    let numbers = (0..).map(|i| thread << 24 | i);
                    numbers.take_while(|n| index.insert(n.to_le_bytes(), "").is_ok()).collect()
                }
            };
            let writers: Vec<_> = (0..3).map(|thread| scope.spawn(write(thread))).collect();
            std::thread::sleep(std::time::Duration::from_micros(200 * u64::from(round % 16)));
            index.close().unwrap();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        drop(index);
        let index = splitpoint::Index::open(&path).unwrap();
        for n in acknowledged.into_iter().flatten() {
            assert!(index.contains_key(n.to_le_bytes()).unwrap(), "round {round}: lost {n:#x}");
        }
        index.close().unwrap();
    }
}

/// A write of a value page that failed, or a new segment of the log that could not be begun, left
/// the handle half refusing: the log took no commit any more, but calls that append nothing went
/// through. Every call that writes is refused after the first failure (C6).
#[test]
fn after_any_failed_write_every_call_that_writes_is_refused() {
    let prepare = |disk: &SimulatedDisk| {
        let index = new(disk);
        index.insert("key", "value").unwrap();
        index
    };
    type Work = fn(&Index) -> Result<(), Error>;
    let works: [Work; 2] =
        [|index| index.insert("large", vec![1; 300_000]).map(drop), Index::checkpoint];
    let mut failed = 0;
    for work in works {
        let disk = SimulatedDisk::new(1);
        let index = prepare(&disk);
        let from = disk.call_count();
        work(&index).unwrap();
        let kinds = disk.call_kinds();
        for (call, kind) in kinds.iter().enumerate().skip(from) {
            if !matches!(kind, CallKind::Write | CallKind::SetLen | CallKind::SyncData) {
                continue;
            }
            let disk = SimulatedDisk::new(1);
            let index = prepare(&disk);
            disk.fail(FaultPlan::once(Fault::InputOutput, call));
            // What only tidies up may fail unheard.
            if work(&index).is_err() {
                failed += 1;
                let after = index.remove("absent");
                assert!(matches!(after, Err(Error::Refused { .. })), "{kind:?} {call}: {after:?}");
            }
        }
    }
    assert!(failed > 10, "{failed} calls failed");
}

/// A value was held while `checkpoint` was called. What it kept was no place to move to, so all pages at the
/// file's end moved behind it, again and again: one call made the file longer by up to sixteen tables.
#[test]
fn a_held_value_does_not_make_pages_move_up() {
    let folder = tempfile::tempdir().unwrap();
    let index = Index::open(folder.path().join("index")).unwrap();
    let put = |byte: u8| {
        let mut batch = Batch::new();
        for n in 0..2000 {
            batch.insert(format!("key {n}"), [byte; 100]);
        }
        index.commit(batch).unwrap();
        index.checkpoint().unwrap();
        index.stats().unwrap().page_count
    };
    let one = put(1);
    let value = index.get("key 7").unwrap().unwrap();
    for tables in 2..5 {
        let pages = put(tables);
        assert!(pages <= u64::from(tables) * (one + 8), "{pages} pages, once it was {one}");
    }
    // Nothing is left to do that makes the file shorter: so nothing is done.
    let before = index.stats().unwrap();
    (0..10).for_each(|_| index.checkpoint().unwrap());
    let after = index.stats().unwrap();
    assert_eq!((before.page_count, before.generation), (after.page_count, after.generation));
    assert_eq!(*value, [1; 100]);
    drop(value);
    // The page count falls with the checkpoint after the one that freed the pages.
    put(5);
    let pages = put(6);
    assert!(pages <= 2 * (one + 8), "{pages} pages, once it was {one}");
}

/// Commits that change nothing filled the log, and a checkpoint had nothing to write and left the log as
/// it was: it grew without end, and once it had outgrown its budget every writer waited for ever.
#[test]
fn the_log_of_commits_that_change_nothing_is_given_back() {
    const BUDGET: u64 = 1 << 20;
    let disk = SimulatedDisk::new(1);
    let index = options(&disk).small_budgets(BUDGET, BUDGET).open(PATH).unwrap();
    for n in 0..600 {
        index.set_metadata(b"same").unwrap();
        assert!(index.stats().unwrap().log_len <= BUDGET, "after {n} commits");
    }
    kill(&disk, index);
    let index = new(&disk);
    assert_eq!(index.metadata().unwrap(), b"same");
    kill(&disk, index);

    let folder = tempfile::tempdir().unwrap();
    let index = Options::new().small_budgets(BUDGET, BUDGET);
    let index = index.open(folder.path().join("index")).unwrap();
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for _ in 0..600 {
            index.set_metadata(b"same").unwrap();
        }
        done.send(index.metadata().unwrap()).unwrap();
        index.close().unwrap();
    });
    let found = is_done.recv_timeout(std::time::Duration::from_mins(2));
    assert_eq!(found.unwrap(), b"same", "or the writer waits for ever");
}

/// A commit whose write failed for want of room may be on the disk, yet its error said that nothing was
/// changed and that it can be tried again, and every later write was refused.
#[test]
fn where_there_was_no_room_nothing_was_changed_or_another_error_says_so() {
    type Work = fn(&Index) -> Result<(), Error>;
    let works: [Work; 3] = [
        |index| index.insert("key", "another").map(drop),
        |index| index.insert("key", vec![1; 300_000]).map(drop),
        Index::checkpoint,
    ];
    let mut seen = (0, 0);
    for (work, is_fresh) in works.into_iter().flat_map(|work| [(work, true), (work, false)]) {
        let prepare = |disk: &SimulatedDisk| {
            let index = new(disk);
            index.insert("key", "value").unwrap();
            if is_fresh {
                index.close().unwrap();
                drop(index);
                return new(disk);
            }
            index
        };
        let disk = SimulatedDisk::new(1);
        let index = prepare(&disk);
        let from = disk.call_count();
        work(&index).unwrap();
        for call in from..disk.call_count() {
            let disk = SimulatedDisk::new(1);
            let index = prepare(&disk);
            disk.fail(FaultPlan::once(Fault::StorageFull, call));
            let result = work(&index);
            let later = index.insert("later", "value");
            match result {
                Ok(()) => {}
                Err(Error::StorageFull { .. }) => {
                    seen.0 += 1;
                    later.unwrap_or_else(|error| panic!("call {call}: {error}"));
                    assert_eq!(*index.get("key").unwrap().unwrap(), *b"value");
                }
                Err(Error::Io { .. } | Error::Refused { .. }) => {
                    seen.1 += 1;
                    assert!(matches!(later, Err(Error::Refused { .. })), "{later:?}");
                }
                Err(error) => panic!("{error}"),
            }
            kill(&disk, index);
        }
    }
    assert!(seen.0 > 0 && seen.1 > 0, "{seen:?}");
}

/// The lock of a closed index was held until its last handle was dropped if more than 16 threads held a
/// value, or were within a lookup, when it was closed.
#[test]
fn a_closed_index_gives_its_lock_back_however_many_hold_values() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    let index = Index::open(&path).unwrap();
    index.insert("key", "value").unwrap();
    index.close().unwrap();
    for read_only in [true, false] {
        let index = Options::new().read_only(read_only).open(&path).unwrap();
        let barrier = std::sync::Barrier::new(101);
        std::thread::scope(|scope| {
            for _ in 0..100 {
                scope.spawn(|| {
                    let value = index.get("key").unwrap();
                    barrier.wait();
                    barrier.wait();
                    assert_eq!(value.unwrap(), "value");
                });
            }
            barrier.wait();
            index.close().unwrap();
            barrier.wait();
        });
        let again = Index::open(&path).unwrap();
        again.close().unwrap();
    }
}

/// A file with pages of 16 KiB could not be opened with the `inline_max` that it has, unless its page
/// size was given as well.
#[test]
fn a_file_opens_with_the_inline_max_that_it_has() {
    let disk = SimulatedDisk::new(1);
    let index = options(&disk).page_size(16384).inline_max(3000).open(PATH).unwrap();
    index.close().unwrap();
    let index = options(&disk).inline_max(3000).open(PATH).unwrap();
    index.close().unwrap();
    drop(index);
    let index = options(&disk).inline_max(3000).compact(PATH).unwrap();
    index.close().unwrap();
    let disk = SimulatedDisk::new(1);
    let refused = options(&disk).inline_max(3000).open(PATH);
    assert!(matches!(refused, Err(Error::InvalidOption { option: "inline_max", .. })));
    assert_eq!(disk.snapshot().paths().count(), 0, "a file is left");
}

/// `expected_len` made a table for records of 64 bytes, whatever came: records of 116 bytes had it grow
/// five times in the second half of a load, a quarter of the load's time. It grows once now, when it
/// has some hundred records and knows how long they are.
#[test]
fn a_table_that_expects_records_grows_once() {
    const COUNT: u64 = 20_000;
    let put = |index: &Index, numbers: std::ops::Range<u64>| {
        for from in numbers.step_by(500) {
            let mut batch = Batch::new();
            for n in from..from + 500 {
                batch.insert([n.to_le_bytes(), n.to_le_bytes()].concat(), [7; 100]);
            }
            index.commit(batch).unwrap();
        }
        let stats = index.stats().unwrap();
        assert!(index.check().unwrap().is_sound());
        (stats.moved_page_count, stats.bucket_count.max(stats.next_bucket_count))
    };
    let open = |disk: &SimulatedDisk, expected: u64| {
        options(disk).expected_len(expected).hash_seed(5).open(PATH).unwrap()
    };
    let fill = |expected| put(&open(&SimulatedDisk::new(3), expected), 0..COUNT);
    let (moved, buckets) = fill(COUNT);
    // The first sixteen buckets, and what they had in overflow.
    assert!(moved <= 24, "{moved} pages moved");
    let (moved, grown) = fill(0);
    assert!(moved > 1000, "{moved} pages moved");
    // As full as can be, where a table that grows is between two steps.
    assert!((grown * 70 / 100..=grown).contains(&buckets), "{buckets} of {grown}");
    // Fewer than were thought of: what is there is as it would be, in a directory with much room.
    let (moved, buckets) = fill(50 * COUNT);
    assert!(moved <= 24 && buckets > 30 * grown, "{moved} pages moved, {buckets} buckets");
    // Removals do not shrink it meanwhile.
    let index = open(&SimulatedDisk::new(4), COUNT);
    let (_, buckets) = put(&index, 0..1000);
    for n in 0..500_u64 {
        assert!(index.remove([n.to_le_bytes(), n.to_le_bytes()].concat()).unwrap());
    }
    assert_eq!(put(&index, 1000..1500), (17, buckets));
    // A table that is there grows by steps: in one long sweep what it has not reached would fill up.
    let disk = SimulatedDisk::new(5);
    let index = open(&disk, 0);
    let (_, buckets) = put(&index, 0..COUNT);
    index.close().unwrap();
    let (_, grown) = put(&open(&disk, 50 * COUNT), COUNT..COUNT * 5 / 4);
    assert!(grown < buckets * 3 / 2, "{grown} of {buckets}");
}
