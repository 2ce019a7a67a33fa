//! A plan: how an index is opened and what is done to it, all drawn from a seed. Every operation
//! carries what it needs, so that a plan without some of its operations is a plan.

use std::time::Duration;

use splitpoint::simulation::{Rng, SimulatedDisk};
use splitpoint::{Access, Durability, Options, Verify};

/// No thread ever waits for it: plans run by hand.
pub(crate) const LATER: Durability = Durability::Background(Duration::from_secs(3600));

/// One change of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    Insert { key: u16, len: u32, tag: u64 },
    Remove { key: u16 },
    Metadata { len: u16, tag: u64 },
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Op {
    /// `insert`, `remove` or `set_metadata`.
    Single(Change),
    /// An update that adds a byte to what is there.
    Update {
        key: u16,
        tag: u64,
    },
    /// A batch that is waited for.
    Batch(Vec<Change>),
    /// A batch that is not.
    Later(Vec<Change>),
    Sync,
    Checkpoint,
    Begin,
    Steps(u8),
    /// `close`, and open again.
    Close,
    /// `close`, then a bulk load of these into the file that is there.
    Bulk(Vec<Change>),
    /// The process is killed: what it wrote is in the cache. The next opens it again.
    Kill,
    /// As `Kill`, and then a read-only handle looks before the next writer opens.
    KillAndLook,
}

/// How a plan's index is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) page_size: usize,
    pub(crate) later: bool,
    pub(crate) log_budget: u64,
    pub(crate) memory_budget: u64,
    pub(crate) verify: Verify,
    pub(crate) access: Access,
    /// Bytes of every value of a table of fixed sizes.
    pub(crate) value_size: Option<u32>,
    pub(crate) inline_max: usize,
    pub(crate) expected_len: u64,
}

impl Setting {
    pub(crate) fn small() -> Setting {
        Setting {
            page_size: 4096,
            later: false,
            log_budget: 1 << 16,
            memory_budget: 1 << 18,
            verify: Verify::OnFirstTouch,
            access: Access::Pread,
            value_size: None,
            inline_max: 496,
            expected_len: 0,
        }
    }

    pub(crate) fn options(&self, disk: &SimulatedDisk) -> Options {
        let durability = if self.later { LATER } else { Durability::Immediate };
        let options = match self.value_size {
            Some(size) => Options::new().key_size(Some(FIXED_KEY)).value_size(Some(size as usize)),
            None => Options::new(),
        };
        options
            .storage(disk)
            .manual()
            .page_size(self.page_size)
            .durability(durability)
            .small_budgets(self.log_budget, self.memory_budget)
            .verify(self.verify)
            .access(self.access)
            .inline_max(self.inline_max)
            .expected_len(self.expected_len)
    }

    /// The operation with keys and values of the sizes that this index holds.
    pub(crate) fn fit(&self, op: Op) -> Op {
        let Some(len) = self.value_size else { return op };
        let key = |key: u16| key | FIXED;
        let fit = |change: Change| match change {
            Change::Insert { key: number, tag, .. } => {
                Change::Insert { key: key(number), len, tag }
            }
            Change::Remove { key: number } => Change::Remove { key: key(number) },
            Change::Metadata { .. } => change,
        };
        let fit_all = |changes: Vec<Change>| changes.into_iter().map(fit).collect();
        match op {
            Op::Single(change) => Op::Single(fit(change)),
            Op::Update { key: number, tag } => Op::Update { key: key(number), tag },
            Op::Batch(changes) => Op::Batch(fit_all(changes)),
            Op::Later(changes) => Op::Later(fit_all(changes)),
            Op::Bulk(changes) => Op::Bulk(fit_all(changes)),
            other => other,
        }
    }
}

/// All of it.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) setting: Setting,
    pub(crate) ops: Vec<Op>,
}

/// Numbers from this on are those of keys of one size.
const FIXED: u16 = 0x8000;
const FIXED_KEY: usize = 8;

/// The key of a number: one in fifty is longer than fits a page, one in fifty empty or tiny.
pub(crate) fn key_bytes(key: u16) -> Vec<u8> {
    if key >= FIXED {
        return u64::from(key).to_le_bytes().to_vec();
    }
    match key % 50 {
        47 => format!("{key:0>width$}", width = 1100 + usize::from(key)).into_bytes(),
        48 => key.to_le_bytes()[..usize::from(key / 50 % 2)].iter().chain(b"s").copied().collect(),
        _ => format!("key {key:04}").into_bytes(),
    }
    .into_iter()
    .chain(if key % 50 == 48 { key.to_le_bytes().to_vec() } else { Vec::new() })
    .collect()
}

/// The bytes of a value.
pub(crate) fn value_bytes(len: u32, tag: u64) -> Vec<u8> {
    let mut bytes = vec![0; len as usize];
    Rng::new(tag).fill(&mut bytes);
    bytes
}

/// How a seed's values and keys are drawn.
struct Draw {
    rng: Rng,
    keys: usize,
    value_max: usize,
    fixed: bool,
    large_odds: usize,
    page_size: usize,
    removals: usize,
}

impl Draw {
    fn key(&mut self) -> u16 {
        u16::try_from(self.rng.below(self.keys)).unwrap_or_default()
    }

    fn len(&mut self) -> u32 {
        let len = if self.rng.one_in(self.large_odds) {
            // Around the limits of records in pages, of blocks, of pages.
            match self.rng.below(3) {
                0 => self.page_size / 5 + self.rng.below(3 * self.page_size),
                1 => 4096 * (1 + self.rng.below(3)) + self.rng.below(130) - 65,
                _ => 400 + self.rng.below(700),
            }
        } else if self.fixed {
            self.value_max
        } else {
            self.rng.below(self.value_max + 1)
        };
        u32::try_from(len).unwrap_or_default()
    }

    fn change(&mut self) -> Change {
        match self.rng.below(100) {
            0..2 => Change::Metadata { len: self.metadata_len(), tag: self.rng.next() },
            draw if draw < 2 + self.removals => Change::Remove { key: self.key() },
            _ => Change::Insert { key: self.key(), len: self.len(), tag: self.rng.next() },
        }
    }

    fn metadata_len(&mut self) -> u16 {
        u16::try_from(self.rng.below(300)).unwrap_or_default()
    }

    fn changes(&mut self, most: usize) -> Vec<Change> {
        (0..=self.rng.below(most)).map(|_| self.change()).collect()
    }

    fn op(&mut self) -> Op {
        match self.rng.below(100) {
            0..30 => Op::Single(self.change()),
            30..36 => Op::Update { key: self.key(), tag: self.rng.next() },
            36..46 => Op::Batch(self.changes(12)),
            46..54 => self.flood(),
            54..66 => Op::Later(self.changes(4)),
            66..71 => Op::Sync,
            71..75 => Op::Checkpoint,
            75..83 => Op::Begin,
            83..93 => Op::Steps(u8::try_from(1 + self.rng.below(4)).unwrap_or(1)),
            93..95 => Op::Close,
            95 => Op::Bulk(self.changes(40)),
            96 => Op::KillAndLook,
            _ => Op::Kill,
        }
    }

    /// Many changes of one kind, so that the table grows or shrinks.
    fn flood(&mut self) -> Op {
        let count = 30 + self.rng.below(120);
        let kept = std::mem::replace(&mut self.large_odds, 100);
        let removals = std::mem::replace(&mut self.removals, [2, 95][self.rng.below(2)]);
        let changes = (0..count).map(|_| self.change()).collect();
        (self.large_odds, self.removals) = (kept, removals);
        if self.rng.one_in(2) { Op::Batch(changes) } else { Op::Later(changes) }
    }
}

impl Plan {
    /// Large values are committed while a checkpoint is being written: the pages that it drops are
    /// still the last one's, and must not be given out before it is durable. Values of one page fit
    /// into any that is; few are replaced, since redo would not miss those.
    pub(crate) fn values_beside_checkpoints(seed: u64) -> Plan {
        let mut rng = Rng::new(seed);
        let page_size = [4096, 4096, 8192][rng.below(3)];
        let setting = Setting {
            page_size,
            later: rng.one_in(3),
            log_budget: 1 << 20,
            memory_budget: 1 << 24,
            access: [Access::Mapped, Access::Pread][rng.below(2)],
            ..Setting::small()
        };
        let mut insert = |key: usize, len: usize| Change::Insert {
            key: u16::try_from(key).unwrap_or_default(),
            len: u32::try_from(len).unwrap_or_default(),
            tag: rng.next(),
        };
        let mut ops = vec![Op::Single(insert(0, page_size)), Op::Checkpoint];
        for round in 0..3 {
            ops.extend([Op::Single(insert(round, 60)), Op::Begin]);
            // More than a checkpoint of so little has.
            for step in 0..8 {
                let key = 3 + 2 * step;
                let values = vec![insert(key, page_size), insert(key + 1, page_size)];
                ops.extend([Op::Steps(1), Op::Batch(values)]);
            }
        }
        Plan { seed, setting, ops }
    }

    /// The plan of a seed.
    pub(crate) fn random(seed: u64) -> Plan {
        let mut rng = Rng::new(seed);
        let page_size = [4096, 4096, 4096, 4096, 8192, 16384][rng.below(6)];
        let setting = Setting {
            page_size,
            later: rng.one_in(3),
            log_budget: [1 << 16, 1 << 16, 1 << 20][rng.below(3)],
            memory_budget: [16 * page_size as u64, 1 << 18, 1 << 24][rng.below(3)],
            verify: [Verify::OnFirstTouch, Verify::OnFirstTouch, Verify::Always][rng.below(3)],
            access: [Access::Mapped, Access::Pread][rng.below(2)],
            value_size: [None, None, None, Some(8), Some(8), Some(120)][rng.below(6)],
            // With the least, most values stand in the value area, many in one block.
            inline_max: [64, 64, 496, 992][rng.below(4)],
            // More than will come: its first growth is to many times as many buckets.
            expected_len: if seed.is_multiple_of(4) { 3000 } else { 0 },
        };
        let mut draw = Draw {
            keys: [6, 40, 200, 400][rng.below(4)],
            value_max: [8, 60, 200][rng.below(3)],
            fixed: rng.one_in(2),
            large_odds: [3, 10, 40, 1000][rng.below(4)],
            removals: [5, 25, 45][rng.below(3)],
            page_size,
            rng,
        };
        let count = 4 + draw.rng.below(40);
        let ops = (0..count).map(|_| setting.fit(draw.op())).collect();
        Plan { seed, setting, ops }
    }
}
