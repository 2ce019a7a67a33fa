//! Frames and dirty entries, counted by walking the directories after each kind of work: what is
//! counted is what is there, and no frame is lost. Nothing else would notice that memory leaks, or that
//! checkpoints begin too late.

use super::tests_support::{Built, key, value};
use crate::page::pointer::Pointer;
use crate::page::word;
use crate::pager::Which;

/// Words that lead to frames, and the frames that they lead to.
fn frames(built: &Built) -> (usize, usize) {
    let (mut heads, mut all) = (0, 0);
    let state = built.table.pager.state();
    for side in [Some(&state.current), state.next.as_ref()].into_iter().flatten() {
        for which in [Which::Buckets, Which::Runs] {
            for index in 0..side.len(which) {
                let mut pointer = Pointer::decode(side.load(which, index));
                heads += usize::from(matches!(pointer, Pointer::Frame { .. }));
                while let Pointer::Frame { frame, .. } = pointer {
                    all += 1;
                    pointer = Pointer::decode(built.table.pager.view(frame).word(word::NEXT));
                }
            }
        }
    }
    (heads, all)
}

/// No checkpoint runs: all frames are dirty, and none is in use that nothing leads to.
fn expect_counts(built: &mut Built, what: &str) {
    built.table.pager.collect_garbage();
    let (heads, all) = frames(built);
    assert_eq!(built.table.pager.dirty_count(), heads, "{what}");
    assert_eq!(built.table.shared().arena.in_use(), all, "{what}");
    assert!(heads == 0 || !built.table.pager.is_unchanged(), "{what}");
}

fn change(built: &mut Built, first: u32) {
    for i in first..first + 40 {
        built.insert(&key(i % 3_000), &value(i, 20 + i as usize * 7 % 400));
        if i % 3 == 0 {
            built.remove(&key(i * 5 % 3_000));
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "too much work")]
fn frames_and_dirty_entries_are_counted_and_come_back() {
    for page_size in [4096, 8192] {
        let mut built = Built::new(page_size, 1, 64 << 20);
        expect_counts(&mut built, "new");
        let mut most = 0;
        for round in 0..80 {
            change(&mut built, round * 97);
            expect_counts(&mut built, "changed");
            most = most.max(frames(&built).1);
            match round % 8 {
                3 => {
                    built.checkpoint(false);
                    expect_counts(&mut built, "checkpoint");
                    assert_eq!(frames(&built).1, 0, "all is on file");
                    assert!(built.table.pager.is_unchanged());
                }
                // Pages change while they are written; what came later is dirty.
                5 => {
                    let mut first = round * 31;
                    assert!(built.checkpoint_beside(None, |built| {
                        first += 40;
                        change(built, first);
                    }));
                    expect_counts(&mut built, "checkpoint beside changes");
                }
                7 => {
                    let mut first = round * 53;
                    assert!(!built.checkpoint_beside(Some(1), |built| {
                        first += 40;
                        change(built, first);
                    }));
                    expect_counts(&mut built, "abandoned");
                }
                _ => {}
            }
        }
        assert!(most > 60, "{most} frames");
        for i in 0..3_000 {
            built.remove(&key(i));
        }
        expect_counts(&mut built, "emptied");
        built.table.settle().unwrap();
        expect_counts(&mut built, "settled");
    }
}
