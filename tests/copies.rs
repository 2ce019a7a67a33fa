//! What writes a new file beside one that it only reads, a backup of a file that may be in use and a
//! salvage, on a simulated disk: a power cut or a failure at every call. The source stays as it is,
//! what has the final name is whole, and the next run removes what was left.
#![expect(clippy::unwrap_used, reason = "a test: whatever goes wrong must end it")]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;

use splitpoint::simulation::{CallKind, Fault, FaultPlan, SimulatedDisk, Volume};
use splitpoint::{Error, Index, Options};

type Content = BTreeMap<Vec<u8>, Vec<u8>>;

const FROM: &str = "/index";
const TO: &str = "/copy";

fn key(n: u32) -> Vec<u8> {
    format!("key {n}").into_bytes()
}

fn value(n: u32, version: u32) -> Vec<u8> {
    let len = if n.is_multiple_of(25) { 3_000 } else { 70 };
    (n << 8 | version).to_le_bytes().iter().copied().cycle().take(len).collect()
}

fn content(index: &Index) -> Content {
    index.iter().unwrap().map(Result::unwrap).collect()
}

/// A file as a killed process leaves it, with a checkpoint and a log; and what is in it.
fn killed() -> (SimulatedDisk, Content) {
    let disk = SimulatedDisk::new(1);
    let index = Options::new().storage(&disk).manual().hash_seed(1).open(FROM).unwrap();
    for n in 0..200 {
        index.insert(key(n), value(n, 0)).unwrap();
    }
    index.set_metadata(b"mine").unwrap();
    index.checkpoint().unwrap();
    for n in 0..20 {
        index.insert(key(n), value(n, 1)).unwrap();
    }
    index.remove(key(30)).unwrap();
    let content = content(&index);
    let killed = disk.snapshot();
    drop(index);
    (SimulatedDisk::from_image(&killed, 1), content)
}

/// One that has lost a page of records, and what can be had of it.
fn damaged() -> (SimulatedDisk, Content) {
    let (disk, whole) = killed();
    let mut image = disk.snapshot();
    let mut bytes = image.bytes(FROM).unwrap();
    let is_bucket = |page: &usize| bytes.get(page * 4096 + 4) == Some(&4);
    let page = (4..bytes.len() / 4096).rfind(is_bucket).unwrap();
    bytes.iter_mut().skip(page * 4096).take(4096).for_each(|byte| *byte = 0);
    image.set_bytes(FROM, &bytes);
    let disk = SimulatedDisk::from_image(&image, 1);
    salvage(&disk).unwrap();
    let saved = content(&Options::new().storage(&disk).read_only(true).open(TO).unwrap());
    let (most, half) = (whole.len(), whole.len() / 2);
    assert!(saved.len() < most && saved.len() > half, "{} of {most}", saved.len());
    assert!(saved.iter().all(|(key, value)| whole.get(key) == Some(value)));
    (SimulatedDisk::from_image(&image, 1), saved)
}

fn backup(disk: &SimulatedDisk) -> Result<(), Error> {
    splitpoint::fuzzing::backup_file(disk, FROM, TO).map(|made| {
        assert_eq!(made.log_commit_count, 21);
    })
}

fn salvage(disk: &SimulatedDisk) -> Result<(), Error> {
    // It is damaged: never a word of "whole".
    splitpoint::fuzzing::salvage(disk, FROM, TO).map(|report| assert!(!report.is_whole()))
}

/// A way to make a copy, and what it is tried on.
struct Trial {
    source: fn() -> (SimulatedDisk, Content),
    copy: fn(&SimulatedDisk) -> Result<(), Error>,
    /// Whether it goes on where something cannot be read.
    is_rescue: bool,
}

const BACKUP: Trial = Trial { source: killed, copy: backup, is_rescue: false };
const SALVAGE: Trial = Trial { source: damaged, copy: salvage, is_rescue: true };

impl Trial {
    /// The source is untouched; a copy that has its name is whole; the next run makes one where there
    /// is none, and nothing else is left. Gives whether there was one.
    fn expect_good(&self, disk: &SimulatedDisk, before: &SimulatedDisk, content: &Content) -> bool {
        let is_there = disk.live_bytes(TO).is_some();
        if is_there {
            expect_whole(disk, content);
        } else {
            (self.copy)(disk).unwrap();
            expect_whole(disk, content);
            // Of a copy that is there what its log left is removed by the next of that name.
            let sources = before.snapshot();
            let mut paths: Vec<PathBuf> = sources.paths().map(Into::into).collect();
            paths.push(TO.into());
            paths.sort();
            let after = disk.snapshot();
            let mut found: Vec<PathBuf> = after.paths().map(Into::into).collect();
            found.sort();
            assert_eq!(found, paths, "litter");
        }
        let (before, after) = (before.snapshot(), disk.snapshot());
        for path in before.paths() {
            assert!(before.bytes(path) == after.bytes(path), "{} is touched", path.display());
        }
        is_there
    }

    fn power_cuts(&self) {
        let (disk, content) = (self.source)();
        let before = disk.call_count();
        let source = SimulatedDisk::from_image(&disk.snapshot(), 1);
        (self.copy)(&disk).unwrap();
        let cuts: Vec<usize> = disk.cut_points().into_iter().filter(|cut| *cut >= before).collect();
        assert!(cuts.len() > 20, "{}", disk.journal(None));
        let (mut made, mut unmade) = (0, 0);
        for cut in cuts {
            for image in disk.crash_images(cut, cut as u64, &Volume::LIGHT).take(12) {
                let booted = SimulatedDisk::from_image(&image, 1);
                match self.expect_good(&booted, &source, &content) {
                    true => made += 1,
                    false => unmade += 1,
                }
            }
        }
        println!("power cuts: {unmade} left no copy, {made} a whole one");
        assert!(unmade > 50 && made > 0, "{unmade}, {made}");
    }

    fn failures(&self) {
        let (disk, content) = (self.source)();
        let before = disk.call_count();
        let source = SimulatedDisk::from_image(&disk.snapshot(), 1);
        (self.copy)(&disk).unwrap();
        let kinds = disk.call_kinds();
        let faults = [Fault::InputOutput, Fault::StorageFull, Fault::ShortWrite, Fault::FailedSync];
        let (mut failed, mut made) = (0, 0);
        for (call, kind) in kinds.iter().enumerate().skip(before) {
            for fault in faults.into_iter().filter(|fault| fault.concerns(*kind)) {
                for plan in
                    [FaultPlan::once(fault, call - before), FaultPlan::from(fault, call - before)]
                {
                    let disk = SimulatedDisk::from_image(&source.snapshot(), 1);
                    disk.fail(plan);
                    let copied = (self.copy)(&disk);
                    failed += usize::from(copied.is_err());
                    disk.heal();
                    disk.evict();
                    // A page that cannot be read costs a salvage what stands there, and it says so.
                    if self.is_rescue && *kind == CallKind::Read && copied.is_ok() {
                        expect_part(&disk);
                        continue;
                    }
                    let is_there = self.expect_good(&disk, &source, &content);
                    made += usize::from(is_there && copied.is_err());
                    assert!(is_there || copied.is_err(), "{fault:?} at call {call}");
                }
            }
        }
        println!("failures: {failed} copies failed, {made} of them after the rename");
        assert!(failed > 50 && made < failed / 4, "{failed}, {made}");
    }
}

/// A sound file with nothing in it that was not there.
fn expect_part(disk: &SimulatedDisk) {
    let inspector = splitpoint::fuzzing::inspector(disk, TO).unwrap();
    let report = inspector.check(|_, _| ()).unwrap();
    assert!(report.is_sound(), "{report}");
    let index = Options::new().storage(disk).read_only(true).open(TO).unwrap();
    let known: Vec<Vec<u8>> = (0..200).map(key).collect();
    assert!(content(&index).keys().all(|key| known.contains(key)));
}

fn expect_whole(disk: &SimulatedDisk, expected: &Content) {
    let index = Options::new().storage(disk).read_only(true).open(TO).unwrap();
    assert!(content(&index) == *expected);
    assert_eq!(index.metadata().unwrap(), b"mine");
    drop(index);
    let inspector = splitpoint::fuzzing::inspector(disk, TO).unwrap();
    let report = inspector.check(|_, _| ()).unwrap();
    assert!(report.is_sound() && report.log_commit_count == 0, "{report}");
}

#[test]
fn a_power_cut_during_a_backup_leaves_a_whole_copy_or_none() {
    BACKUP.power_cuts();
}

#[test]
fn a_failure_during_a_backup_leaves_a_whole_copy_or_none() {
    BACKUP.failures();
}

#[test]
fn a_power_cut_during_a_salvage_leaves_a_whole_file_or_none() {
    SALVAGE.power_cuts();
}

#[test]
fn a_failure_during_a_salvage_leaves_a_whole_file_or_none() {
    SALVAGE.failures();
}

/// What stands under the name of an unfinished copy and is none is somebody's.
#[test]
fn an_index_under_the_name_of_an_unfinished_copy_stays() {
    for copy in [backup, salvage] {
        // With other random numbers: the ids of the two files would be one.
        let disk = SimulatedDisk::from_image(&killed().0.snapshot(), 7);
        let other = Options::new().storage(&disk).manual().open("/copy.splitpoint-new").unwrap();
        other.insert("theirs", "value").unwrap();
        other.close().unwrap();
        let other = disk.live_bytes("/copy.splitpoint-new").unwrap();
        let error = copy(&disk).unwrap_err();
        assert!(error.to_string().contains("copy.splitpoint-new"), "{error}");
        assert!(disk.live_bytes("/copy.splitpoint-new").unwrap() == other);
        assert!(disk.live_bytes(TO).is_none());
    }
}

/// The name that an unfinished copy would have is the source's own: it is not a leftover.
#[test]
fn a_source_under_the_name_of_an_unfinished_copy_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("copy.splitpoint-new"), folder.path().join("copy"));
    let index = Index::open(&from).unwrap();
    index.insert("key", "value").unwrap();
    let expect_refused = |error: Error| {
        assert!(error.to_string().contains("unfinished copy"), "{error}");
        assert!(matches!(error, Error::Io { .. }) && !to.exists());
    };
    expect_refused(index.backup(&to).unwrap_err());
    index.close().unwrap();
    let bytes = std::fs::read(&from).unwrap();
    let go_on = |_, _| ControlFlow::Continue(());
    expect_refused(Index::backup_file(&from, &to, go_on).unwrap_err());
    expect_refused(splitpoint::salvage::Salvage::new().run(&from, &to).unwrap_err());
    assert!(std::fs::read(&from).unwrap() == bytes);
}

/// Of two backups to one name the second is refused, and the first does not feel it.
#[test]
fn a_backup_during_another_to_the_same_name_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("index"), folder.path().join("copy"));
    let index = Index::open(&from).unwrap();
    for n in 0..200 {
        index.insert(key(n), value(n, 0)).unwrap();
    }
    index.checkpoint().unwrap();
    index.insert("in", "the log").unwrap();
    let mut refused = 0;
    let made = Index::backup_file(&from, &to, |_, _| {
        let second = Index::backup_file(&from, &to, |_, _| ControlFlow::Continue(()));
        assert!(matches!(second, Err(Error::Locked { .. })), "{second:?}");
        assert!(matches!(index.backup(&to), Err(Error::Locked { .. })));
        refused += 1;
        ControlFlow::Continue(())
    });
    made.unwrap();
    assert!(refused > 0);
    assert!(content(&Options::new().read_only(true).open(&to).unwrap()) == content(&index));
    let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.filter(|name| name.to_string_lossy().contains("copy")).count(), 1, "litter");
}
