//! Frames and dirty entries, counted by walking the directories after each kind of work: what is
//! counted is what is there, and no frame is lost. Nothing else would notice that memory leaks, or that
//! checkpoints begin too late.

use super::tests_support::{Built, SEED, key, value};
use crate::page::meta::Meta;
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
        built.table.settle(usize::MAX).unwrap();
        expect_counts(&mut built, "settled");
    }
}

/// Records of one bucket, too many for its page, replaced by longer and shorter ones: as they move
/// between its page and overflow no frame is left behind.
#[test]
#[cfg_attr(miri, ignore = "too much work")]
fn records_that_move_through_overflow_leave_no_frame_behind() {
    let mut built = Built::new(4096, 1, 64 << 20);
    let all = (0..).map(key).filter(|key| crate::hash::hash(key, SEED) >> 56 == 0);
    let keys: Vec<Vec<u8>> = all.take(600).collect();
    for len in [40, 90, 60, 150] {
        for key in &keys {
            built.insert(key, &vec![7; len]);
        }
        expect_counts(&mut built, "replaced");
    }
    let before = built.table.pager.counts.overflow_page_count;
    assert!(before > 3);
    keys.iter().skip(100).for_each(|key| assert!(built.remove(key)));
    expect_counts(&mut built, "removed");
    let after = built.table.pager.counts.overflow_page_count;
    assert!(after < before / 2, "{after} of {before} pages are left");
}

/// A record that was replaced in its bucket's full page once made the overflow beside it the writer's
/// own, for nothing: a third more pages to copy, to write and to free.
#[test]
#[cfg_attr(miri, ignore = "too much work")]
fn a_change_within_a_full_page_leaves_overflow_alone() {
    let mut built = Built::new(4096, 1, 64 << 20);
    let all = (0..).map(key).filter(|key| crate::hash::hash(key, SEED) >> 56 == 0);
    let keys: Vec<Vec<u8>> = all.take(60).collect();
    let insert = |built: &mut Built, key: &[u8]| built.insert(key, &[7; 100]);
    keys.iter().for_each(|key| assert!(insert(&mut built, key)));
    assert!(built.table.pager.counts.overflow_page_count > 0);
    let (mut in_page, mut in_overflow) = (0, 0);
    for key in &keys {
        built.checkpoint(false);
        assert!(!insert(&mut built, key));
        let replaced = frames(&built).1;
        built.checkpoint(false);
        assert!(built.remove(key));
        assert_eq!(frames(&built).1, replaced, "the same pages");
        assert!(insert(&mut built, key));
        in_page += u32::from(replaced == 1);
        in_overflow += u32::from(replaced > 1);
    }
    assert!(in_page >= 20 && in_overflow >= 20, "{in_page} and {in_overflow}");
}

/// A table that was made for more records than came shrank in one go when it was closed: all of it was
/// in memory at once.
#[test]
#[cfg_attr(miri, ignore = "too much work")]
fn a_table_settles_by_as_many_pages_as_it_is_allowed() {
    const LIMIT: usize = 64;
    let mut built = Built::new(4096, 4096, 64 << 20);
    built.fill(0..20_000, 100);
    built.checkpoint(false);
    let mut passes = 0;
    while built.table.settle(LIMIT).unwrap() {
        // The last run of a pass and the chains that it came with.
        let dirty = built.table.pager.dirty_count();
        assert!((LIMIT..2 * LIMIT).contains(&dirty), "{dirty} changed pages");
        built.checkpoint(false);
        passes += 1;
    }
    assert!(passes > 5, "{passes}");
    assert!(built.table.pager.state().current.layout.bucket_count < 1500);
    assert_eq!((0..20_000).filter(|&i| built.get(&key(i)) == Some(value(i, 100))).count(), 20_000);
}

/// A bucket was emptied, and the checkpoint that would have said so was given up: the next one must
/// say it, else the file keeps a pointer to a page that is free.
#[test]
fn an_emptied_bucket_is_written_after_a_checkpoint_that_was_given_up() {
    let mut built = Built::new(4096, 8, 8 << 20);
    built.fill(0..300, 60);
    built.checkpoint(false);
    let layout = built.table.pager.state().current.layout;
    let bucket_of = |i| layout.bucket_of(crate::hash::hash(&key(i), SEED));
    let gone: Vec<u32> = (0..300).filter(|&i| bucket_of(i) == bucket_of(3)).collect();
    gone.iter().for_each(|&i| assert!(built.remove(&key(i))));
    assert_eq!(frames(&built), (0, 0), "the bucket has no page");
    assert!(!built.checkpoint_beside(Some(1), |_| ()));
    built.checkpoint(false);
    let report = built.check();
    assert!(report.is_sound(), "{report}");
    built.reopen();
    assert_eq!(built.get(&key(3)), None);
}

/// A checkpoint can be given up until its meta page may be on file.
#[test]
fn a_checkpoint_can_be_given_up_while_the_last_one_is_in_force() {
    let mut built = Built::new(4096, 4, 8 << 20);
    built.fill(0..300, 60);
    let before = built.newest_meta();
    let taken = built.table.shared().space().taken().len();
    let mut steps = Vec::new();
    let written = built.checkpoint_by_steps(|built, checkpoint| {
        steps.push(checkpoint.can_be_abandoned());
        if checkpoint.can_be_abandoned() {
            assert_eq!(built.newest_meta(), before);
        }
        checkpoint.written_len()
    });
    assert_eq!(built.newest_meta().generation, before.generation + 1);
    assert!(steps.is_sorted_by(|a, b| a >= b) && steps[0] && !steps[steps.len() - 1], "{steps:?}");
    let pages = built.table.shared().space().taken().len() - taken;
    assert!(pages > 5 && written == pages * 4096, "{written} bytes, {pages} pages");
}

/// Nothing changes but that nodes are to be written lower down: each that lies high enough moves.
#[test]
fn nodes_move_when_they_are_told_to() {
    let mut built = Built::new(4096, 1100, 64 << 20);
    built.fill(0..3_000, 60);
    built.insert(b"large", &[7; 3_000]);
    let old = built.checkpoint(false);
    assert!(!built.persisted().is_moving());
    built.persisted().move_nodes_from(u64::MAX >> 1);
    assert!(!built.persisted().is_moving(), "none lies there");
    built.persisted().move_nodes_from(0);
    assert!(built.persisted().is_moving());
    let new = built.checkpoint(false);
    assert!(!built.persisted().is_moving());
    assert!(built.check().is_sound());
    for (old, new) in [
        (old.bitmap_root, new.bitmap_root),
        (old.values.root, new.values.root),
        (old.current.bucket_root, new.current.bucket_root),
    ] {
        assert!(old != new && old != 0 && new != 0);
    }
    // The first page there is may be a node's, too.
    built.remove(b"large");
    for i in 0..3_000 {
        built.remove(&key(i));
    }
    built.checkpoint(false);
    let is_first = |meta: &Meta| {
        matches!(Pointer::decode(meta.bitmap_root), Pointer::Unchecked { page: 4, .. })
    };
    let moved = (0..4).any(|_| {
        built.persisted().move_nodes_from(0);
        is_first(&built.checkpoint(true))
    });
    assert!(moved, "the bitmap goes where there is room");
    built.reopen();
    built.insert(b"another", b"value");
    built.checkpoint(false);
    assert!(built.check().is_sound());
    built.reopen();
}

/// A damaged count of buckets cannot ask for more memory than the file's pages allow: so an index of many
/// buckets and few pages must have a file that is long enough to be opened.
#[test]
fn an_index_of_many_buckets_and_few_pages_can_be_opened() {
    for bucket_count in [1, 1024, 1025, 1024 + 64 * 300 - 1, 1024 + 64 * 300 + 63] {
        let mut built = Built::new(4096, bucket_count, 64 << 20);
        built.insert(&key(1), b"value");
        let meta = built.checkpoint(true);
        assert!(meta.page_count >= bucket_count.saturating_sub(1024) / 64);
        built.reopen();
        assert_eq!(built.get(&key(1)).as_deref(), Some(&b"value"[..]));
    }
}

/// A value was written before a checkpoint that was given up: the next one must say that its pages are
/// in use.
#[test]
fn a_value_is_counted_after_a_checkpoint_that_was_given_up() {
    let mut built = Built::new(4096, 4, 8 << 20);
    built.insert(b"before", &[6; 30_000]);
    built.checkpoint(false);
    built.insert(b"large", &[7; 30_000]);
    built.remove(b"before");
    assert!(!built.checkpoint_beside(Some(1), |_| ()));
    built.checkpoint(false);
    let report = built.check();
    assert!(report.is_sound(), "{report}");
    built.reopen();
    assert_eq!(built.get(b"large").as_deref(), Some(&[7; 30_000][..]));
}

/// What a large record keeps in its page ends at keys of 253 bytes; a value that no commit took is as
/// if it had never been.
#[test]
fn keys_about_as_long_as_a_page_keeps_have_their_values() {
    let mut built = Built::new(4096, 4, 8 << 20);
    for len in 250..258 {
        let key = vec![b'k'; len];
        assert!(built.insert(&key, &value(3, 3_000)));
        assert_eq!(built.get(&key), Some(value(3, 3_000)), "a key of {len} bytes");
        let counts = built.table.pager.counts;
        let prepared = built.table.prepare_insert(1, &key, &[1; 5_000]).unwrap();
        assert!(built.table.pager.counts.value_len > counts.value_len);
        built.table.forget_insert(&prepared);
        assert_eq!(built.table.pager.counts, counts);
    }
    built.checkpoint(true);
    assert!(built.check().is_sound());
    built.reopen();
    assert_eq!(built.get(&[b'k'; 253]), Some(value(3, 3_000)));
    assert_eq!(built.get(&[b'k'; 254]), Some(value(3, 3_000)));
}
