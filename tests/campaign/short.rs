//! All sequences of at most three operations, from a few states: empty, one full bucket, a chain of
//! two pages, in the middle of a resize, large records.
//!
//! Only the cuts of the last operation count: those before are another, shorter sequence's.

use splitpoint::simulation::{Image, SimulatedDisk};

use super::model::Model;
use super::plan::{Change, Op, Plan, Setting};
use super::run::Run;

/// The states that sequences start from.
pub(crate) const STARTS: [&str; 6] =
    ["no file", "empty", "a full bucket", "a chain of two", "mid-resize", "large records"];

/// How many operations there are.
const OPS: usize = 10;

/// Sequences of up to `most` operations, from all states.
pub(crate) fn count(most: u32) -> usize {
    STARTS.len() * (0..=most).map(|len| OPS.pow(len)).sum::<usize>()
}

/// A disk with the state, and what it holds.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    image: Image,
    model: Model,
}

fn insert(key: usize, len: u32) -> Change {
    Change::Insert { key: u16::try_from(key).unwrap_or_default(), len, tag: key as u64 }
}

impl Start {
    /// All of them, made once.
    pub(crate) fn all() -> Vec<Start> {
        (0..STARTS.len()).map(Start::new).collect()
    }

    fn new(number: usize) -> Start {
        let disk = SimulatedDisk::new(42);
        if number == 0 {
            return Start { image: disk.snapshot(), model: Model::default() };
        }
        let plan = Plan { seed: 0, setting: Setting::small(), ops: Vec::new() };
        let mut run = Run::new(disk, plan, Model::default());
        run.open().expect("a new index opens");
        let is_there = |run: &Run| {
            let stats = run.index.as_ref().and_then(|index| index.stats().ok()).expect("open");
            match number {
                2 => stats.record_len > 3_200,
                3 => stats.overflow_page_count >= 2,
                4 => stats.next_bucket_count > 0 && stats.splitpoint > 0,
                5 => run.model.sum().len == 4,
                _ => true,
            }
        };
        for key in 0.. {
            if is_there(&run) || key > 3_000 {
                break;
            }
            let change = match number {
                5 => insert(key, 3_000 + 4_000 * u32::try_from(key).unwrap_or_default()),
                _ => insert(key % 50 + 50 * (key / 50), 100),
            };
            run.apply(&Op::Single(change)).expect("an insert into a new index");
        }
        assert!(is_there(&run), "no way to the state: {}", STARTS[number]);
        let op = if number == 1 { Op::Close } else { Op::Sync };
        run.apply(&op).expect("nothing fails");
        if number != 3 && number != 4 {
            run.index.as_ref().expect("open").checkpoint().expect("nothing fails");
        }
        let image = run.disk.snapshot();
        Start { image, model: run.model.clone() }
    }
}

fn op(number: usize, place: usize) -> Op {
    let batch =
        |from: usize, count: usize, len| (from..from + count).map(|k| insert(k, len)).collect();
    match number {
        0 => Op::Single(insert(120 + place, 60)),
        1 => Op::Single(Change::Insert { key: 1, len: 60, tag: 1000 + place as u64 }),
        2 => Op::Single(Change::Remove { key: u16::try_from(2 + place).unwrap_or_default() }),
        // Over the page: more records of one bucket than fit, or one that fits no page.
        3 => Op::Single(insert(130 + place, 5_000)),
        4 => Op::Batch(vec![
            insert(140 + place, 60),
            Change::Remove { key: 3 },
            insert(1, 6_000),
            Change::Metadata { len: 9, tag: 9 },
        ]),
        5 => Op::Later(batch(150 + 2 * place, 2, 60)),
        6 => Op::Checkpoint,
        // A step of a sweep, and one of a checkpoint.
        7 if place == 1 => Op::Begin,
        7 => Op::Batch(batch(60 + 12 * place, 12, 90)),
        8 => Op::Bulk(vec![
            insert(170 + place, 60),
            Change::Remove { key: 4 },
            insert(2, 5_000),
            Change::Metadata { len: 8, tag: 8 },
        ]),
        _ => [Op::Close, Op::Kill, Op::KillAndLook][place % 3].clone(),
    }
}

/// The sequence of that number, ready to run, from one of `starts`.
pub(crate) fn sequence(number: usize, starts: &[Start], access: splitpoint::Access) -> Run {
    let start = &starts[number % STARTS.len()];
    let mut rest = number / STARTS.len();
    let mut len = 0;
    while rest >= OPS.pow(len) {
        rest -= OPS.pow(len);
        len += 1;
    }
    let mut ops = Vec::new();
    for place in 0..len as usize {
        ops.push(op(rest % OPS, place));
        rest /= OPS;
    }
    let setting = Setting { access, later: false, ..Setting::small() };
    let plan = Plan { seed: number as u64, setting, ops };
    Run::new(SimulatedDisk::from_image(&start.image, 7), plan, start.model.clone())
}
