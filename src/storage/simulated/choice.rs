//! Which of the undecided operations a power cut leaves: a [`Choice`], and all those worth a try.
//!
//! Knows only how many operations are undecided, not what they are.

use super::rng::Rng;

/// What a power cut leaves of one undecided operation. The seeds decide sector by sector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fate {
    /// Nothing.
    Absent,
    /// All of it.
    Whole,
    /// Some of its sectors are new, the others old.
    Torn(u64),
    /// Its sectors are old, new or arbitrary.
    Garbage(u64),
    /// As `Garbage`, for every sector of the 4 KiB blocks that it touches.
    Block(u64),
}

/// One thing that a power cut may leave.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Choice {
    /// How many of the undecided changes of names are durable, the earliest first.
    pub name_changes: usize,
    /// What is left of the undecided writes and changes of length, in the order of the files'
    /// creation and, in a file, of the calls.
    pub fates: Vec<Fate>,
    /// What is left of those that `fates` does not list.
    pub rest: Fate,
}

impl Choice {
    /// The disk did nothing that it had not promised.
    #[must_use]
    pub fn nothing() -> Choice {
        Choice { name_changes: 0, fates: Vec::new(), rest: Fate::Absent }
    }

    /// The disk did everything that it was asked.
    #[must_use]
    pub fn everything() -> Choice {
        Choice { name_changes: usize::MAX, fates: Vec::new(), rest: Fate::Whole }
    }
}

/// How many crash images to make at one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Volume {
    /// Up to this many undecided operations, every subset is tried; at most 16.
    pub exhaustive_max: usize,
    /// With more: each alone, all but one and every prefix, up to this many of each kind.
    pub linear_max: usize,
    /// With more: this many random subsets.
    pub random_count: usize,
    /// For each subset, this many ways to tear its sectors.
    pub torn_count: usize,
    /// For each subset, this many ways to fill its sectors with garbage.
    pub garbage_count: usize,
    /// For each subset, this many ways to damage the blocks that it touches.
    pub block_count: usize,
}

impl Volume {
    /// Whole operations only: each lost or not.
    pub const WHOLE: Volume = Volume {
        exhaustive_max: 6,
        linear_max: 64,
        random_count: 16,
        torn_count: 0,
        garbage_count: 0,
        block_count: 0,
    };
    /// A few dozen images a call.
    pub const LIGHT: Volume = Volume {
        exhaustive_max: 3,
        linear_max: 4,
        random_count: 4,
        torn_count: 1,
        garbage_count: 1,
        block_count: 1,
    };
}

impl Default for Volume {
    /// Up to some hundreds of images a call.
    fn default() -> Volume {
        Volume { torn_count: 2, garbage_count: 2, block_count: 1, ..Volume::WHOLE }
    }
}

/// A set of operations.
#[derive(Debug, Clone, Copy)]
enum Subset {
    Mask(u32),
    Alone(usize),
    AllBut(usize),
    Prefix(usize),
    Random(u64),
}

impl Subset {
    /// For each operation whether it is in.
    fn members(self, count: usize) -> Vec<bool> {
        match self {
            Subset::Mask(mask) => (0..count).map(|i| mask >> i & 1 == 1).collect(),
            Subset::Alone(one) => (0..count).map(|i| i == one).collect(),
            Subset::AllBut(one) => (0..count).map(|i| i != one).collect(),
            Subset::Prefix(len) => (0..count).map(|i| i < len).collect(),
            Subset::Random(seed) => {
                let mut rng = Rng::new(seed);
                // Few, half or most of them.
                let odds = [1, 4, 7].into_iter().nth(rng.below(3)).unwrap_or(4);
                (0..count).map(|_| rng.below(8) < odds).collect()
            }
        }
    }
}

/// All choices of a volume, most telling first.
#[derive(Debug, Clone)]
pub(super) struct Choices {
    op_count: usize,
    name_change_count: usize,
    subsets: Vec<Subset>,
    ways: Vec<fn(u64) -> Fate>,
    /// Every prefix of the names with every subset, instead of a random one.
    every_prefix: bool,
    rng: Rng,
    position: usize,
}

impl Choices {
    pub(super) fn new(
        op_count: usize,
        name_change_count: usize,
        seed: u64,
        volume: &Volume,
    ) -> Choices {
        let mut rng = Rng::new(seed);
        let exhaustive = op_count <= volume.exhaustive_max.min(16);
        let mut subsets = Vec::new();
        if exhaustive {
            subsets.extend((0..1 << op_count).rev().map(Subset::Mask));
        } else {
            subsets.extend([Subset::Prefix(op_count), Subset::Prefix(0)]);
            for kind in [Subset::Alone, Subset::AllBut, Subset::Prefix] {
                subsets.extend(sample(op_count, volume.linear_max, &mut rng).map(kind));
            }
            subsets.extend((0..volume.random_count).map(|_| Subset::Random(rng.next())));
        }
        let mut ways: Vec<fn(u64) -> Fate> = vec![|_| Fate::Whole];
        ways.extend(vec![Fate::Torn as fn(u64) -> Fate; volume.torn_count]);
        ways.extend(vec![Fate::Garbage as fn(u64) -> Fate; volume.garbage_count]);
        ways.extend(vec![Fate::Block as fn(u64) -> Fate; volume.block_count]);
        let every_prefix = exhaustive && name_change_count <= 4;
        Choices { op_count, name_change_count, subsets, ways, every_prefix, rng, position: 0 }
    }

    /// How the members of a subset end: `way` for about half of them, and for one at least.
    fn fates(&mut self, subset: Subset, way: fn(u64) -> Fate) -> Vec<Fate> {
        let members = subset.members(self.op_count);
        let member_count = members.iter().filter(|member| **member).count();
        let mut until_sure = self.rng.below(member_count);
        let mut fate = |member: bool| {
            if !member {
                return Fate::Absent;
            }
            let sure = until_sure == 0;
            until_sure = until_sure.wrapping_sub(1);
            if sure || self.rng.one_in(2) { way(self.rng.next()) } else { Fate::Whole }
        };
        members.into_iter().map(&mut fate).collect()
    }
}

/// Up to `max` numbers below `count`: all, or each once at random.
fn sample(count: usize, max: usize, rng: &mut Rng) -> impl Iterator<Item = usize> + use<> {
    let mut numbers: Vec<usize> = (0..count).collect();
    if count > max {
        for i in 0..max {
            numbers.swap(i, i + rng.below(count - i));
        }
        numbers.truncate(max);
    }
    numbers.into_iter()
}

impl Iterator for Choices {
    type Item = Choice;

    fn next(&mut self) -> Option<Choice> {
        let prefix_count = if self.every_prefix { self.name_change_count + 1 } else { 1 };
        let (rest, prefix) = (self.position / prefix_count, self.position % prefix_count);
        let way = *self.ways.get(rest / self.subsets.len())?;
        let subset = *self.subsets.get(rest % self.subsets.len())?;
        self.position += 1;
        let name_changes = match rest {
            _ if self.every_prefix => self.name_change_count - prefix,
            0 => self.name_change_count,
            1 => 0,
            _ => self.rng.below(self.name_change_count + 1),
        };
        let fates = self.fates(subset, way);
        Some(Choice { name_changes, fates, rest: Fate::Absent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn few_operations_give_every_subset_and_every_prefix_of_the_names() {
        let choices: HashSet<_> = Choices::new(3, 2, 1, &Volume::WHOLE).collect();
        assert_eq!(choices.len(), 8 * 3);
    }

    #[test]
    fn no_operation_gives_one_choice() {
        assert_eq!(Choices::new(0, 0, 1, &Volume::WHOLE).count(), 1);
    }

    #[test]
    fn many_operations_give_each_alone_all_but_one_and_prefixes() {
        let choices: Vec<_> = Choices::new(20, 0, 1, &Volume::WHOLE).collect();
        let with = |count| {
            let whole = |choice: &&Choice| {
                choice.fates.iter().filter(|fate| **fate == Fate::Whole).count() == count
            };
            choices.iter().filter(whole).collect::<HashSet<_>>().len()
        };
        assert_eq!((with(0), with(20)), (1, 1));
        assert!(with(1) >= 20 && with(19) >= 20 && with(10) >= 1);
        assert_eq!(choices.len(), 2 + 3 * 20 + 16);
    }

    #[test]
    fn a_sample_is_of_different_numbers() {
        let numbers: HashSet<_> = sample(100, 10, &mut Rng::new(3)).collect();
        assert_eq!(numbers.len(), 10);
        assert!(numbers.iter().all(|number| *number < 100));
    }

    #[test]
    fn every_torn_choice_tears_something() {
        let volume = Volume { torn_count: 3, ..Volume::WHOLE };
        let torn = Choices::new(2, 0, 1, &volume).skip(4);
        for choice in torn.filter(|choice| choice.fates != [Fate::Absent; 2]) {
            assert!(choice.fates.iter().any(|fate| matches!(fate, Fate::Torn(_))), "{choice:?}");
        }
    }
}
