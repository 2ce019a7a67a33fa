//! Cleaning: the values that are left in pages that are mostly dead move elsewhere, and those pages
//! are free.
//!
//! A pass chooses *victims*, groups of 64 pages with the fewest live bytes. Then a hand goes round
//! the buckets in the order of hashes, and every value that stands in a victim is written anew. So
//! no table says which value stands where: the buckets say it, and they are a hundredth of what is
//! cleaned. While values are written, each moves the hand on by a few others at most, as far as the
//! dead bytes of the victims are worth; nothing ever stops a writer for a whole pass.

use std::collections::BTreeSet;

use super::Table;
use super::relocate::Relocation;
use crate::error::{Error, Result};
use crate::layout::{Layout, RUN_BUCKETS};
use crate::page::record::LargeRecord;
use crate::pager::{GROUP_PAGES, Which};

/// Dead bytes, in percent of the live ones, above which writers clean.
const DEAD_MAX: u64 = 25;
/// What a pass beside writers aims at, in percent of the live bytes. Less would look into every
/// bucket for little, more would need as much room for the copies.
const PASS_GAIN: u64 = 5;
/// Dead bytes, in percent of the live ones, that a checkpoint that was asked for leaves.
const DEAD_LEFT: u64 = 10;
/// A group with more live bytes than this, in percent of its value pages, is no victim: moving them
/// would gain too little.
const VICTIM_MAX: u64 = 88;
/// Grains that looking into a bucket counts for, at least.
const LOOK_COST: u64 = 64;

/// How far cleaning has come.
#[derive(Debug, Default)]
pub(super) struct Cleaning {
    pass: Option<Pass>,
    /// Grains that are to be moved before the next writer may go on.
    owed: u64,
    /// No victims were found when this many grains were dead: not looked for before it is more.
    quiet_until: u64,
}

#[derive(Debug)]
struct Pass {
    victims: BTreeSet<u64>,
    /// The hash that the hand has come to.
    hand: u64,
    /// Grains to move for each one written.
    pace: u64,
}

impl Table {
    fn dead_grains(&self) -> u64 {
        let values = &self.pager.values;
        let all = values.page_count() * values.grains_per_page();
        all.saturating_sub(values.grain_count())
    }

    fn is_dead_above(&self, percent: u64) -> bool {
        let values = &self.pager.values;
        // A few pages more: every checkpoint leaves one half empty.
        let least = 4 * values.grains_per_page();
        self.dead_grains() > least + values.grain_count() * percent / 100
    }

    /// Cleans a little, after so many grains were written. An error stays unspoken: nothing was
    /// lost, and who needs what cannot be read, or the room, will hear of it.
    pub(crate) fn clean(&mut self, written: u64) {
        if written == 0 || !self.wants_cleaning(DEAD_MAX, PASS_GAIN) {
            return;
        }
        let pace = self.cleaning.pass.as_ref().map_or(0, |pass| pass.pace);
        self.cleaning.owed += written * pace;
        while self.cleaning.owed > 0 && self.cleaning.pass.is_some() {
            let Ok(grains) = self.clean_bucket() else {
                self.end_pass();
                return;
            };
            self.cleaning.owed = self.cleaning.owed.saturating_sub(grains.max(LOOK_COST));
        }
    }

    /// Whether there is more to clean for a checkpoint that was asked for.
    pub(crate) fn wants_cleaning_up(&mut self) -> bool {
        self.wants_cleaning(DEAD_LEFT, 100)
    }

    /// Cleans until about `limit` more pages are changed, or nothing is left to do.
    pub(crate) fn clean_up(&mut self, limit: usize) -> Result<()> {
        let enough = self.pager.dirty_count().saturating_add(limit);
        while self.pager.dirty_count() < enough && self.cleaning.pass.is_some() {
            if let Err(error) = self.clean_bucket() {
                self.end_pass();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Whether a pass is on its way; one begins if more than `percent` are dead.
    fn wants_cleaning(&mut self, percent: u64, gain: u64) -> bool {
        if self.cleaning.pass.is_some() {
            return true;
        }
        if !self.is_dead_above(percent) || self.dead_grains() < self.cleaning.quiet_until {
            return false;
        }
        let values = &self.pager.values;
        let per_page = values.grains_per_page();
        let mut groups: Vec<(u64, u64, u64)> = values
            .groups()
            .filter(|(_, pages, live)| live * 100 <= pages * per_page * VICTIM_MAX)
            .collect();
        groups.sort_by(|a, b| (a.2 * b.1).cmp(&(b.2 * a.1)));
        let wanted = values.grain_count() * gain / 100;
        let (mut victims, mut dead, mut live) = (BTreeSet::new(), 0, 0);
        for (group, pages, of_group) in groups {
            if dead > wanted {
                break;
            }
            victims.insert(group);
            dead += pages * per_page - of_group;
            live += of_group;
        }
        if victims.is_empty() {
            self.end_pass();
            return false;
        }
        // The hand is round when half as much is written as the pass gains.
        let pace = (2 * live).div_ceil(dead.max(1)) + 1;
        self.pager.values.leave_tail();
        self.cleaning.pass = Some(Pass { victims, hand: 0, pace });
        true
    }

    fn end_pass(&mut self) {
        let grains = self.pager.values.grain_count();
        self.cleaning = Cleaning {
            pass: None,
            owed: 0,
            quiet_until: self.dead_grains() + grains / 64 + self.pager.values.grains_per_page(),
        };
    }

    /// Moves the hand past one bucket; how many grains were moved.
    fn clean_bucket(&mut self) -> Result<u64> {
        let Some(Pass { victims, hand, pace }) = self.cleaning.pass.take() else { return Ok(0) };
        let state = self.pager.state().clone();
        let (side, splitpoint) = state.side_of(hand);
        let bucket = side.layout.bucket_of(hand);
        let mut end = side.layout.first_hash(bucket + 1);
        if state.next.is_some() && hand < splitpoint {
            // The rest of a bucket that reaches beyond the splitpoint is in the current layout.
            end = Some(end.map_or(splitpoint, |end| end.min(splitpoint)));
        }
        let group_grains = self.pager.values.grains_per_page() * GROUP_PAGES as u64;
        let is_wanted = |large: &LargeRecord| {
            let last = large.place + large.grain_count().saturating_sub(1);
            (large.place / group_grains..=last / group_grains).any(|g| victims.contains(&g))
        };
        let elsewhere = Relocation { is_wanted: &is_wanted, only_down: false };
        let mut moved = self.relocate(side, Which::Buckets, bucket, &elsewhere);
        if bucket.is_multiple_of(RUN_BUCKETS) {
            let run = Layout::run_of(bucket);
            let of_chain = self.relocate(side, Which::Runs, run, &elsewhere);
            moved = moved.and_then(|moved| Ok(moved + of_chain?));
        }
        match end {
            Some(hand) => self.cleaning.pass = Some(Pass { victims, hand, pace }),
            None => self.end_pass(),
        }
        match moved {
            // What is damaged stays where it is; the others move on.
            Err(Error::Corruption(_)) => Ok(0),
            moved => moved,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::table::tests_support::{Built, key, value};
    use std::collections::HashMap;

    fn overwrite(built: &mut Built, model: &mut HashMap<u32, u32>, count: u32, rounds: u32) {
        let mut state = 9_u64;
        for round in 1..=rounds {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let i = (state >> 33) as u32 % count;
            let written = built.table.pager.values.written();
            built.insert(&key(i), &value(i + round, 1000 + i as usize % 3000));
            model.insert(i, round);
            built.table.clean(built.table.pager.values.written() - written);
            if round % 60 == 0 {
                built.checkpoint(false);
            }
        }
    }

    fn verify(built: &Built, model: &HashMap<u32, u32>, count: u32) {
        for i in 0..count {
            let round = model.get(&i).copied().unwrap_or_default();
            let expected = value(i + round, 1000 + i as usize % 3000);
            assert_eq!(built.get(&key(i)), Some(expected), "{i}");
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "too much work")]
    fn overwritten_values_leave_few_dead_bytes() {
        for page_size in [4096, 16384] {
            let (count, mut model) = (600, HashMap::new());
            let mut built = Built::new(page_size, 4, 48 << 20);
            for i in 0..count {
                built.insert(&key(i), &value(i, 1000 + i as usize % 3000));
            }
            built.checkpoint(false);
            overwrite(&mut built, &mut model, count, 3_000);
            assert!(!built.table.is_dead_above(40), "{} grains", built.table.dead_grains());
            let mut steps = 0;
            while built.table.wants_cleaning_up() {
                built.table.clean_up(2).unwrap();
                built.checkpoint(false);
                steps += 1;
                assert!(steps < 1000, "it ends");
            }
            assert!(!built.table.is_dead_above(14), "{} grains", built.table.dead_grains());
            let report = built.check();
            assert!(report.is_sound(), "{report}");
            verify(&built, &model, count);
            built.checkpoint(true);
            built.reopen();
            verify(&built, &model, count);
        }
    }

    /// The map of live bytes gets leaves and loses them, also where it ends within a leaf and where
    /// what was behind its end is gone before a checkpoint saw it.
    #[test]
    #[cfg_attr(miri, ignore = "too much work")]
    fn a_value_map_of_several_leaves_grows_and_shrinks() {
        let mut built = Built::new(4096, 4, 96 << 20);
        let len = 40_000;
        for round in 0..2 {
            for i in 0..450 {
                built.insert(&key(i), &value(i + round, len));
                if i % 2 == 0 {
                    built.insert(b"for a moment", &value(i, len));
                    built.remove(b"for a moment");
                    built.checkpoint(false);
                }
                if i % 64 == 0 {
                    let report = built.check();
                    assert!(report.is_sound(), "{i}: {report}");
                }
            }
            let leaf_pages = 4 * crate::page::array::words_per_page(4096);
            assert!(built.checkpoint(false).values.end > 2 * leaf_pages, "three leaves");
            for i in 250..450 {
                built.remove(&key(i));
            }
            let end = built.checkpoint(false).values.end;
            assert!((leaf_pages + 1..=2 * leaf_pages).contains(&end), "two leaves: {end}");
            let report = built.check();
            assert!(report.is_sound(), "{report}");
            for i in 1..250 {
                built.remove(&key(i));
            }
            assert!(built.checkpoint(false).values.end < leaf_pages, "one leaf");
            let report = built.check();
            assert!(report.is_sound(), "{report}");
            assert_eq!(built.get(&key(0)), Some(value(round, len)));
            built.reopen();
            assert_eq!(built.get(&key(0)), Some(value(round, len)));
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "too much work")]
    fn values_in_overflow_and_behind_long_keys_are_cleaned_as_well() {
        let mut built = Built::new(4096, 2, 48 << 20);
        let long = |i: u32| [vec![b'k'; 300], key(i)].concat();
        for round in 0..6 {
            for i in 0..300 {
                if round == 0 || (i + round) % 3 == 0 {
                    built.insert(&long(i), &value(i + round, 1500));
                    built.insert(&key(i), &value(i + round, 1500));
                }
            }
            built.checkpoint(false);
        }
        while built.table.wants_cleaning_up() {
            built.table.clean_up(1000).unwrap();
            built.checkpoint(false);
        }
        assert!(!built.table.is_dead_above(14), "{} grains", built.table.dead_grains());
        assert!(built.check().is_sound());
        for i in 0..300 {
            let round = (0..6).rev().find(|round| *round == 0 || (i + round) % 3 == 0).unwrap();
            assert_eq!(built.get(&long(i)), Some(value(i + round, 1500)), "{i}");
            assert_eq!(built.get(&key(i)), Some(value(i + round, 1500)), "{i}");
        }
    }
}
