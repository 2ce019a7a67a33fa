//! Sound files of every shape have no findings.

use super::assert_sound;
use crate::table::tests_support::{Built, key, value};

#[test]
fn an_empty_file() {
    let mut built = Built::new(4096, 1, 1 << 20);
    assert_sound(&built);
    built.checkpoint(true);
    let report = assert_sound(&built);
    assert_eq!((report.record_count, report.bucket_page_count), (0, 0));
}

#[test]
fn small_records_at_every_stage_of_growth() {
    let mut built = Built::new(4096, 1, 8 << 20);
    let mut end = 0;
    let mut swept = 0;
    for step in 0..60 {
        let next = end + 1 + step * 7;
        built.fill(end..next, 20);
        end = next;
        swept += u32::from(built.table.is_sweeping());
        built.checkpoint(step % 3 == 0);
        let report = assert_sound(&built);
        assert_eq!(report.record_count, u64::from(end));
        if step % 5 == 0 {
            built.reopen();
        }
    }
    assert!(swept > 5, "checkpoints in the middle of a sweep: {swept}");
    for i in 0..end {
        assert_eq!(built.get(&key(i)), Some(value(i, 20)), "{i}");
    }
}

#[test]
fn records_in_overflow() {
    let mut built = Built::new(4096, 20, 16 << 20);
    built.fill(0..3000, 400);
    built.checkpoint(false);
    let report = assert_sound(&built);
    assert!(report.overflow_page_count > 3, "{report}");
    built.reopen();
    for i in 0..3000 {
        assert_eq!(built.get(&key(i)), Some(value(i, 400)), "{i}");
    }
}

#[test]
fn large_records() {
    for page_size in [4096, 16384, 65536] {
        let mut built = Built::new(page_size, 4, 48 << 20);
        for i in 0..200 {
            let len = [10, 900, 5_000, 40_000, 100_000][i as usize % 5];
            built.insert(&key(i), &value(i, len));
        }
        built.insert(&vec![7; 65_535], b"a long key");
        built.insert(b"", b"an empty key");
        built.insert(b"no value", b"");
        built.checkpoint(true);
        let report = assert_sound(&built);
        assert_eq!(report.record_count, 203);
        assert!(report.value_page_count * page_size as u64 > 5_000_000);
        for i in (0..200).step_by(2) {
            assert!(built.remove(&key(i)));
        }
        for i in 0..30 {
            built.insert(&key(i), &value(i, 70_000));
        }
        built.checkpoint(true);
        assert_sound(&built);
        built.reopen();
        assert_eq!(built.get(&vec![7; 65_535]), Some(b"a long key".to_vec()));
    }
}

#[test]
fn random_changes_with_checkpoints_and_reopens() {
    for seed in 0..6_u64 {
        let mut model = std::collections::HashMap::new();
        let mut built = Built::new(4096, 1 + seed * 9, 48 << 20);
        let mut state = seed;
        let mut next = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        for round in 0..40 {
            let growing = round % 16 < 9;
            for _ in 0..250 {
                let i = next(3000) as u32;
                if next(10) < if growing { 8 } else { 2 } {
                    let len = [0, 8, 100, 300, 900, 1200, 9000][next(7) as usize];
                    let is_new = model.insert(i, (round, len)).is_none();
                    let bytes = value(i + round, len);
                    assert_eq!(built.insert(&key(i), &bytes), is_new, "seed {seed}");
                } else {
                    let was = model.remove(&i).is_some();
                    assert_eq!(built.remove(&key(i)), was, "seed {seed}");
                }
            }
            if next(4) == 0 {
                built.table.settle(usize::MAX).unwrap();
            }
            if next(3) < 2 {
                built.checkpoint(next(2) == 0);
                let report = assert_sound(&built);
                assert_eq!(report.record_count, model.len() as u64);
                if next(2) == 0 {
                    built.reopen();
                }
            }
        }
        for i in 0..3000 {
            let expected = model.get(&i).map(|&(round, len)| value(i + round, len));
            assert_eq!(built.get(&key(i)), expected, "seed {seed}, key {i}");
        }
    }
}

#[test]
fn checkpoints_beside_writers_and_abandoned_ones() {
    for seed in 0..8_u64 {
        let mut model = std::collections::HashMap::new();
        let mut built = Built::new(4096, 1 + seed * 30, 48 << 20);
        let mut state = seed;
        let mut next = move |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        let mut round = 0;
        let mut change = |built: &mut Built, model: &mut std::collections::HashMap<u32, _>| {
            round += 1;
            for _ in 0..100 {
                let i = next(2000) as u32;
                if next(10) < if round % 200 < 120 { 8 } else { 2 } {
                    let len = [0, 8, 100, 300, 900, 1200, 9000][next(7) as usize];
                    let is_new = model.insert(i, (round, len)).is_none();
                    assert_eq!(built.insert(&key(i), &value(i + round, len)), is_new);
                } else {
                    assert_eq!(built.remove(&key(i)), model.remove(&i).is_some(), "seed {seed}");
                }
            }
        };
        for checkpoint in 0..40 {
            change(&mut built, &mut model);
            let frozen = model.len() as u64;
            let abandon_at = (checkpoint % 3 == 2).then_some(checkpoint % 4);
            let mut first = true;
            let done = built.checkpoint_beside(abandon_at, |built| {
                // What is changed before the first step is already after the freeze.
                if !std::mem::take(&mut first) || seed % 2 == 0 {
                    change(built, &mut model);
                }
            });
            let report = assert_sound(&built);
            if done {
                assert_eq!(report.record_count, frozen, "seed {seed}, checkpoint {checkpoint}");
            }
        }
        for i in 0..2000 {
            let expected = model.get(&i).map(|&(round, len)| value(i + round, len));
            assert_eq!(built.get(&key(i)), expected, "seed {seed}, key {i}");
        }
        built.checkpoint(true);
        assert_eq!(assert_sound(&built).record_count, model.len() as u64);
        built.reopen();
        for i in 0..2000 {
            let expected = model.get(&i).map(|&(round, len)| value(i + round, len));
            assert_eq!(built.get(&key(i)), expected, "seed {seed}, key {i}");
        }
    }
}

/// The value map of more than 8 MiB has a second leaf. A value there that came and went between two
/// checkpoints once broke the next one: its words had changed and lay behind the map's end.
#[test]
#[cfg_attr(miri, ignore = "too much work")]
fn a_value_map_grows_and_shrinks() {
    let mut built = Built::new(4096, 4, 48 << 20);
    built.insert(b"small", &value(1, 3000));
    built.checkpoint(false);
    built.insert(b"huge", &value(2, 9 << 20));
    built.remove(b"huge");
    built.checkpoint(false);
    assert_sound(&built);
    for round in 0..3 {
        built.insert(b"huge", &value(round, 18 << 20));
        built.checkpoint(false);
        assert!(assert_sound(&built).value_page_count > 4600);
        built.reopen();
        assert_eq!(built.get(b"huge"), Some(value(round, 18 << 20)));
        built.remove(b"huge");
        built.checkpoint(false);
        assert_eq!(assert_sound(&built).value_page_count, 1);
        built.reopen();
        assert_eq!(built.get(b"small"), Some(value(1, 3000)));
    }
}
