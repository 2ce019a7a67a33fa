//! The failure model, rule by rule: what a power cut, a failed sync and a full disk may do, and
//! what they never do.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::storage::{LockKind, OpenMode, Storage, StorageFile};

const BLOCK: usize = 4096;

fn create(disk: &SimulatedDisk, name: &str) -> Arc<dyn StorageFile> {
    disk.open(Path::new(name), OpenMode::CreateNew).unwrap()
}

fn open(disk: &SimulatedDisk, name: &str) -> Arc<dyn StorageFile> {
    disk.open(Path::new(name), OpenMode::ReadWrite).unwrap()
}

/// A disk with one durable file of `block_count` blocks of ones, open.
fn disk_of_ones(block_count: usize) -> (SimulatedDisk, Arc<dyn StorageFile>) {
    let disk = SimulatedDisk::new(1);
    disk.set_live_bytes("/file", &vec![1; block_count * BLOCK]);
    let file = open(&disk, "/file");
    (disk, file)
}

/// What the file may hold if the power is cut now.
fn outcomes(disk: &SimulatedDisk, name: &str, volume: &Volume) -> HashSet<Option<Vec<u8>>> {
    disk.crash_images(disk.call_count(), 7, volume).map(|image| image.bytes(name)).collect()
}

#[test]
fn an_unsynced_write_may_vanish_and_a_synced_one_never_does() {
    let (disk, file) = disk_of_ones(1);
    file.write_all_at(&[2; BLOCK], 0).unwrap();
    let before = outcomes(&disk, "/file", &Volume::WHOLE);
    assert_eq!(before, HashSet::from([Some(vec![1; BLOCK]), Some(vec![2; BLOCK])]));
    file.sync_data().unwrap();
    let after = outcomes(&disk, "/file", &Volume::default());
    assert_eq!(after, HashSet::from([Some(vec![2; BLOCK])]));
}

#[test]
fn three_pending_writes_leave_eight_images_in_any_order() {
    let (disk, file) = disk_of_ones(3);
    for block in 0..3 {
        file.write_all_at(&[2; BLOCK], block * BLOCK as u64).unwrap();
    }
    assert_eq!(disk.undecided_count(disk.call_count()), (3, 0));
    let images: Vec<Image> = disk.crash_images(disk.call_count(), 1, &Volume::WHOLE).collect();
    assert_eq!(images.len(), 8);
    let third_alone = [vec![1; 2 * BLOCK], vec![2; BLOCK]].concat();
    assert!(images.iter().any(|image| image.bytes("/file").as_ref() == Some(&third_alone)));
}

#[test]
fn equal_images_come_once() {
    let (disk, file) = disk_of_ones(1);
    file.write_all_at(&[1; BLOCK], 0).unwrap();
    file.write_all_at(&[1; 100], 0).unwrap();
    assert_eq!(disk.crash_images(disk.call_count(), 1, &Volume::WHOLE).count(), 1);
}

#[test]
fn torn_images_mix_sectors_and_damage_no_other_block() {
    let (disk, file) = disk_of_ones(3);
    file.write_all_at(&[2; BLOCK], BLOCK as u64).unwrap();
    let volume = Volume { torn_count: 8, garbage_count: 8, block_count: 8, ..Volume::WHOLE };
    let outcomes = outcomes(&disk, "/file", &volume);
    assert!(outcomes.len() > 10);
    for bytes in outcomes.iter().flatten() {
        assert_eq!(bytes[..BLOCK], [1; BLOCK]);
        assert_eq!(bytes[2 * BLOCK..], [1; BLOCK]);
    }
    let mixed = |bytes: &Vec<u8>| bytes.contains(&2) && bytes[BLOCK..2 * BLOCK].contains(&1);
    assert!(outcomes.iter().flatten().any(mixed));
    let arbitrary = |bytes: &Vec<u8>| bytes.iter().any(|byte| *byte > 2);
    assert!(outcomes.iter().flatten().any(arbitrary));
}

#[test]
fn a_growth_and_its_bytes_are_independent() {
    let (disk, file) = disk_of_ones(1);
    file.write_all_at(&[2; BLOCK], BLOCK as u64).unwrap();
    let ones = vec![1; BLOCK];
    let zeros = [vec![1; BLOCK], vec![0; BLOCK]].concat();
    let twos = [vec![1; BLOCK], vec![2; BLOCK]].concat();
    let expected = HashSet::from([Some(ones), Some(zeros), Some(twos.clone())]);
    assert_eq!(outcomes(&disk, "/file", &Volume::WHOLE), expected);
    file.sync_data().unwrap();
    assert_eq!(outcomes(&disk, "/file", &Volume::WHOLE), HashSet::from([Some(twos)]));
}

#[test]
fn a_truncation_may_be_undone_until_it_is_synced() {
    let (disk, file) = disk_of_ones(2);
    file.set_len(BLOCK as u64).unwrap();
    let expected = HashSet::from([Some(vec![1; BLOCK]), Some(vec![1; 2 * BLOCK])]);
    assert_eq!(outcomes(&disk, "/file", &Volume::default()), expected);
    file.sync_data().unwrap();
    let expected = HashSet::from([Some(vec![1; BLOCK])]);
    assert_eq!(outcomes(&disk, "/file", &Volume::default()), expected);
}

#[test]
fn a_created_name_is_durable_only_after_its_folder_is_synced() {
    let disk = SimulatedDisk::new(1);
    let file = create(&disk, "/dir/file");
    file.write_all_at(b"data", 0).unwrap();
    file.sync_data().unwrap();
    assert!(outcomes(&disk, "/dir/file", &Volume::WHOLE).contains(&None));
    disk.sync_dir(Path::new("/")).unwrap();
    assert!(outcomes(&disk, "/dir/file", &Volume::WHOLE).contains(&None));
    disk.sync_dir(Path::new("/dir")).unwrap();
    let expected = HashSet::from([Some(b"data".to_vec())]);
    assert_eq!(outcomes(&disk, "/dir/file", &Volume::WHOLE), expected);
}

#[test]
fn a_rename_may_be_lost_and_may_come_before_the_data() {
    let disk = SimulatedDisk::new(1);
    disk.set_live_bytes("/file", b"old");
    let file = create(&disk, "/new");
    file.write_all_at(b"new", 0).unwrap();
    disk.rename(Path::new("/new"), Path::new("/file")).unwrap();
    let outcomes = outcomes(&disk, "/file", &Volume::WHOLE);
    assert!(outcomes.contains(&Some(b"old".to_vec())));
    assert!(outcomes.contains(&Some(b"new".to_vec())));
    assert!(outcomes.contains(&Some(vec![])));
    assert!(outcomes.contains(&Some(vec![0; 3])));
    assert!(!outcomes.contains(&None));
}

#[test]
fn a_removed_name_may_come_back() {
    let (disk, file) = disk_of_ones(1);
    disk.remove(Path::new("/file")).unwrap();
    assert_eq!(disk.live_bytes("/file"), None);
    assert_eq!(outcomes(&disk, "/file", &Volume::WHOLE).len(), 2);
    disk.sync_dir(Path::new("/")).unwrap();
    assert_eq!(outcomes(&disk, "/file", &Volume::WHOLE), HashSet::from([None]));
    let mut byte = [0];
    assert_eq!(file.read_at(&mut byte, 0).unwrap(), 1);
}

#[test]
fn a_failed_sync_reports_once_and_its_writes_stay_lost() {
    let (disk, file) = disk_of_ones(2);
    file.write_all_at(&[2; BLOCK], 0).unwrap();
    disk.fail(FaultPlan::once(Fault::FailedSync, disk.call_count()));
    assert!(file.sync_data().is_err());
    file.write_all_at(&[3; BLOCK], BLOCK as u64).unwrap();
    file.sync_data().unwrap();

    let seen = [vec![2; BLOCK], vec![3; BLOCK]].concat();
    let there = [vec![1; BLOCK], vec![3; BLOCK]].concat();
    assert_eq!(disk.live_bytes("/file"), Some(seen.clone()));
    assert_eq!(disk.durable_bytes("/file"), Some(there.clone()));
    let expected = HashSet::from([Some(seen), Some(there.clone())]);
    assert_eq!(outcomes(&disk, "/file", &Volume::WHOLE), expected);

    let map = file.map(2 * BLOCK as u64).unwrap();
    disk.evict();
    assert_eq!(disk.live_bytes("/file"), Some(there.clone()));
    assert_eq!(map.view(0, 8).unwrap().word(0), 0x0101_0101_0101_0101);
    assert_eq!(outcomes(&disk, "/file", &Volume::WHOLE), HashSet::from([Some(there)]));
}

#[test]
fn what_is_written_anew_after_a_failed_sync_is_durable_with_its_length() {
    let disk = SimulatedDisk::new(1);
    disk.set_live_bytes("/file", b"");
    let file = open(&disk, "/file");
    file.write_all_at(&[2; BLOCK], 0).unwrap();
    disk.fail(FaultPlan::once(Fault::InputOutput, disk.call_count()));
    assert!(file.sync_data().is_err());
    file.write_all_at(&[2; BLOCK], 0).unwrap();
    file.sync_data().unwrap();
    let expected = HashSet::from([Some(vec![2; BLOCK])]);
    assert_eq!(outcomes(&disk, "/file", &Volume::default()), expected);
}

#[test]
fn eviction_keeps_what_is_dirty_and_what_is_durable() {
    let (disk, file) = disk_of_ones(3);
    file.write_all_at(&[2; 100], 0).unwrap();
    file.write_all_at(&[2; BLOCK], BLOCK as u64).unwrap();
    disk.fail(FaultPlan::once(Fault::FailedSync, disk.call_count()));
    assert!(file.sync_data().is_err());
    file.write_all_at(&[3; 100], 200).unwrap();
    disk.evict();
    let live = disk.live_bytes("/file").unwrap();
    // The first block is dirty by the later write, so all of it is still in the cache.
    assert_eq!(live[..100], [2; 100]);
    assert_eq!(live[200..300], [3; 100]);
    assert_eq!(live[BLOCK..2 * BLOCK], [1; BLOCK]);
    // Of that block the disk may still have the lost write; of the clean one it has not.
    file.sync_data().unwrap();
    let outcomes = outcomes(&disk, "/file", &Volume::WHOLE);
    let starts: HashSet<u8> = outcomes.iter().flatten().map(|bytes| bytes[0]).collect();
    assert_eq!(starts, HashSet::from([1, 2]));
    assert!(outcomes.iter().flatten().all(|bytes| bytes[200] == 3 && bytes[BLOCK] == 1));
}

#[test]
fn eviction_may_show_some_of_what_was_lost() {
    let both = |seed| {
        let (disk, file) = disk_of_ones(2);
        file.write_all_at(&[2; BLOCK], 0).unwrap();
        file.write_all_at(&[2; BLOCK], BLOCK as u64).unwrap();
        disk.fail(FaultPlan::once(Fault::FailedSync, disk.call_count()));
        assert!(file.sync_data().is_err());
        disk.evict_some(seed);
        assert_eq!(disk.live_bytes("/file"), disk.durable_bytes("/file"));
        disk.live_bytes("/file").unwrap()
    };
    assert_eq!((0..50).map(both).collect::<HashSet<_>>().len(), 4);
}

#[test]
fn calls_fail_as_planned_and_change_nothing() {
    let (disk, file) = disk_of_ones(1);
    let next = disk.call_count();
    disk.fail(FaultPlan::from(Fault::StorageFull, next));
    assert_eq!(file.write_at(&[2; 8], 0).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.set_len(1 << 20).unwrap_err().kind(), io::ErrorKind::StorageFull);
    file.set_len(100).unwrap();
    let mut byte = [0];
    assert_eq!(file.read_at(&mut byte, 0).unwrap(), 1);
    assert_eq!(byte, [1]);
    disk.heal();
    assert_eq!(disk.fault_count(), 3);
    file.write_all_at(&[2; 8], 0).unwrap();

    disk.fail(FaultPlan::once(Fault::InputOutput, disk.call_count()));
    assert!(disk.open(Path::new("/file"), OpenMode::Read).is_err());
    disk.open(Path::new("/file"), OpenMode::Read).unwrap();
}

#[test]
fn a_short_write_goes_on_and_an_interruption_is_repeated() {
    for fault in [Fault::ShortWrite, Fault::Interrupted] {
        let (disk, file) = disk_of_ones(1);
        disk.fail(FaultPlan::from(fault, disk.call_count()));
        file.write_all_at(&[2; BLOCK], 0).unwrap();
        let mut bytes = [0; BLOCK];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(bytes, [2; BLOCK]);
        assert!(disk.fault_count() > 1, "{fault:?}");
    }
}

#[test]
fn a_failed_growth_may_leave_the_file_longer() {
    let (disk, file) = disk_of_ones(1);
    disk.fail(FaultPlan::once(Fault::Leftovers, disk.call_count()));
    assert_eq!(file.set_len(3 * 4096).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.len().unwrap(), 2 * 4096);
}

#[test]
fn a_full_disk_takes_what_overwrites() {
    let (disk, file) = disk_of_ones(1);
    disk.set_capacity(Some(4096));
    file.write_all_at(&[2; BLOCK], 0).unwrap();
    file.set_len(1 << 20).unwrap();
    let error = file.write_at(&[2; 8], 8192).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    disk.set_capacity(Some(8192));
    file.write_all_at(&[2; 8], 8192).unwrap();
}

#[test]
fn a_map_sees_later_writes_and_a_new_one_the_growth() {
    let (disk, file) = disk_of_ones(1);
    let map = file.map(4096).unwrap();
    file.write_all_at(&7_u64.to_le_bytes(), 8).unwrap();
    assert_eq!(map.view(0, 64).unwrap().word(1), 7);
    file.write_all_at(&9_u64.to_le_bytes(), 4096).unwrap();
    let grown = open(&disk, "/file").map(4104).unwrap();
    assert_eq!(grown.view(4096, 8).unwrap().word(0), 9);
    assert!(file.map(5000).is_err());
}

#[test]
fn locks_end_with_their_handles_and_the_same_boot_reopens() {
    let (disk, first) = disk_of_ones(1);
    let second = open(&disk, "/file");
    assert!(first.try_lock(LockKind::Exclusive).unwrap());
    assert!(!second.try_lock(LockKind::Shared).unwrap());
    first.write_all_at(b"unsynced", 0).unwrap();
    drop(first);
    assert!(second.try_lock(LockKind::Exclusive).unwrap());
    let mut bytes = [0; 8];
    second.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"unsynced");
}

#[test]
fn the_same_seed_gives_the_same_images_for_every_call_in_any_order() {
    let run = |order: &mut dyn FnMut(Vec<usize>) -> Vec<usize>| {
        let (disk, file) = disk_of_ones(4);
        for block in 0..4_u8 {
            let mut bytes = [0; BLOCK];
            disk.random(&mut bytes).unwrap();
            file.write_all_at(&bytes, u64::from(block) * 4096).unwrap();
            if block == 1 {
                file.sync_data().unwrap();
            }
        }
        let cuts = order(disk.cut_points());
        let mut digests: Vec<(usize, Vec<u64>)> = cuts
            .into_iter()
            .map(|cut| {
                let images = disk.crash_images(cut, 3, &Volume::default());
                (cut, images.map(|image| image.digest()).collect())
            })
            .collect();
        digests.sort();
        (digests, disk.journal(Some(3)))
    };
    let forward = run(&mut |cuts| cuts);
    assert_eq!(forward, run(&mut |cuts| cuts.into_iter().rev().collect()));
    assert!(forward.0.iter().any(|(_, digests)| digests.len() > 10));
}

#[test]
fn a_choice_found_once_gives_the_same_image_again() {
    let (disk, file) = disk_of_ones(4);
    create(&disk, "/other").write_all_at(&[4; 100], 50).unwrap();
    file.write_all_at(&[2; 3 * BLOCK], 100).unwrap();
    file.set_len(5000).unwrap();
    let cut = disk.call_count();
    for image in disk.crash_images(cut, 1, &Volume::default()) {
        assert_eq!(disk.crash_at(cut, image.choice().unwrap()), image);
    }
    assert_eq!(disk.crash_at(cut, &Choice::everything()), disk.snapshot());
}

#[test]
fn a_past_power_cut_knows_nothing_of_later_calls() {
    let (disk, file) = disk_of_ones(1);
    let cut = disk.call_count();
    file.write_all_at(&[2; BLOCK], 0).unwrap();
    file.sync_data().unwrap();
    for choice in [Choice::nothing(), Choice::everything()] {
        let image = disk.crash_at(cut, &choice);
        assert_eq!(image.bytes("/file"), Some(vec![1; BLOCK]));
    }
    let booted = SimulatedDisk::from_image(&disk.crash_at(cut, &Choice::nothing()), 9);
    assert_eq!(booted.durable_bytes("/file"), Some(vec![1; BLOCK]));
    assert_eq!(booted.call_count(), 0);
}

#[test]
fn the_journal_marks_the_cut() {
    let (disk, file) = disk_of_ones(1);
    disk.fail(FaultPlan::once(Fault::FailedSync, disk.call_count() + 1));
    file.write_all_at(&[2; 8], 16).unwrap();
    file.sync_data().unwrap_err();
    let journal = disk.journal(Some(3));
    let lines: Vec<&str> = journal.lines().collect();
    assert_eq!(lines[2].trim_start(), "2 Write    /file 16..24");
    assert!(lines[3].contains("power cut"));
    assert!(lines[4].contains("SyncData /file  failed"));
}

#[test]
fn a_handle_for_reading_does_not_write() {
    let (disk, _file) = disk_of_ones(1);
    let reader = disk.open(Path::new("/file"), OpenMode::Read).unwrap();
    assert!(reader.write_at(&[2], 0).is_err());
    assert!(reader.set_len(0).is_err());
    assert_eq!(disk.live_bytes("/file"), Some(vec![1; BLOCK]));
}
