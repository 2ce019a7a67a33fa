//! Large values and power cuts: what a checkpoint reaches is not torn by what is written beside it,
//! and cleaning may be interrupted at any point.
#![expect(clippy::unwrap_used, reason = "a test: whatever goes wrong must end it")]

use std::collections::BTreeMap;

use splitpoint::simulation::{Choice, Fate, Fault, FaultPlan, Rng, SimulatedDisk};
use splitpoint::{Index, Options};

const PATH: &str = "/index";

fn options(disk: &SimulatedDisk, page_size: usize) -> Options {
    Options::new().storage(disk).manual().page_size(page_size).inline_max(64).hash_seed(1)
}

fn value(n: u32, round: u32, len: usize) -> Vec<u8> {
    let mut value = vec![0; len];
    Rng::new(u64::from(n) << 32 | u64::from(round)).fill(&mut value);
    value
}

/// Ends the handle without letting it do anything more to the disk.
fn kill(disk: &SimulatedDisk, index: Index) {
    disk.fail(FaultPlan::from(Fault::InputOutput, 0));
    drop(index);
    disk.heal();
}

/// All records, after a power cut before that call of which every undecided write ended so.
fn after_cut(
    disk: &SimulatedDisk,
    page_size: usize,
    call: usize,
    rest: Fate,
) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let choice = Choice { name_changes: usize::MAX, fates: Vec::new(), rest };
    let disk = SimulatedDisk::from_image(&disk.crash_at(call, &choice), 2);
    let index = options(&disk, page_size).open(PATH).unwrap();
    let all = index.iter().unwrap().map(Result::unwrap).collect();
    let report = index.check().unwrap();
    assert!(report.is_sound(), "{report}");
    kill(&disk, index);
    all
}

#[test]
fn a_value_of_a_checkpoint_shares_no_block_with_later_ones() {
    for page_size in [4096, 16384, 65536] {
        let disk = SimulatedDisk::new(1);
        let index = options(&disk, page_size).open(PATH).unwrap();
        let mut expected = BTreeMap::new();
        for n in 0..12 {
            index.insert(n.to_string(), value(n, 0, 300)).unwrap();
            expected.insert(n.to_string().into_bytes(), value(n, 0, 300));
            if n % 3 == 2 {
                index.checkpoint().unwrap();
            }
            for rest in [Fate::Absent, Fate::Whole, Fate::Garbage(7), Fate::Block(8)] {
                let found = after_cut(&disk, page_size, disk.call_count(), rest);
                assert_eq!(found, expected, "after record {n}, {rest:?}");
            }
        }
        kill(&disk, index);
    }
}

#[test]
fn cleaning_may_be_interrupted_at_every_point() {
    let disk = SimulatedDisk::new(1);
    let index = options(&disk, 4096).open(PATH).unwrap();
    let mut expected = BTreeMap::new();
    let mut put = |index: &Index, n: u32, round: u32| {
        let len = 200 + 97 * (n as usize % 30);
        index.insert(n.to_string(), value(n, round, len)).unwrap();
        expected.insert(n.to_string().into_bytes(), value(n, round, len));
    };
    for n in 0..150 {
        put(&index, n, 0);
    }
    index.begin_checkpoint().unwrap();
    while index.step_checkpoint().unwrap() {}
    for n in 0..110 {
        put(&index, n * 7 % 150, 1);
    }
    index.begin_checkpoint().unwrap();
    while index.step_checkpoint().unwrap() {}
    let moved = index.stats().unwrap().moved_page_count;
    let from = disk.call_count();
    index.checkpoint().unwrap();
    assert!(index.stats().unwrap().moved_page_count > moved + 20, "values were moved");
    let cuts: Vec<usize> = disk.cut_points().into_iter().filter(|cut| *cut > from).collect();
    for (i, &cut) in cuts.iter().enumerate().step_by(1 + cuts.len() / 150) {
        let rest = [Fate::Absent, Fate::Block(i as u64), Fate::Torn(i as u64)];
        let rest = rest.into_iter().cycle().nth(i).unwrap();
        assert_eq!(after_cut(&disk, 4096, cut, rest), expected, "cut before call {cut}, {rest:?}");
    }
    kill(&disk, index);
}

/// A read-only index took a lock for every large value it read, to look whether it had redone it, and
/// copied those that it had.
#[test]
fn values_redone_by_a_read_only_open_are_read_where_they_are() {
    let disk = SimulatedDisk::new(1);
    let index = options(&disk, 4096).open(PATH).unwrap();
    let long = "long key ".repeat(40);
    for n in 0..9 {
        index.insert(n.to_string(), value(n, 0, 300)).unwrap();
    }
    index.checkpoint().unwrap();
    for n in 3..6 {
        index.insert(n.to_string(), value(n, 1, 900)).unwrap();
    }
    index.insert(&long, value(9, 1, 5000)).unwrap();
    index.remove("8").unwrap();
    kill(&disk, index);
    let index = options(&disk, 4096).read_only(true).open(PATH).unwrap();
    let is_copied = |key: &str| {
        let (one, other) = (index.get(key).unwrap().unwrap(), index.get(key).unwrap().unwrap());
        one.as_ptr() != other.as_ptr()
    };
    for n in 0..9 {
        let (round, len) = if (3..6).contains(&n) { (1, 900) } else { (0, 300) };
        let found = index.get(n.to_string()).unwrap().map(|value| value.to_vec());
        assert!(found == (n != 8).then(|| value(n, round, len)), "{n}");
        assert!(n == 8 || !is_copied(&n.to_string()), "{n} is copied");
    }
    assert!(*index.get(&long).unwrap().unwrap() == *value(9, 1, 5000));
    assert!(!is_copied(&long), "a long key's is copied");
    assert!(index.check().unwrap().is_sound());
    kill(&disk, index);
}
