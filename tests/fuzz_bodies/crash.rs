//! Operations, power cuts and what the disk then holds, all drawn from bytes; the judges are those
//! of the crash campaign.

use splitpoint::simulation::{Choice, Fate, Rng, SimulatedDisk};
use splitpoint::{Access, Verify};

use super::bytes::Bytes;
use super::campaign::boot::{Boot, Depth};
use super::campaign::model::Model;
use super::campaign::plan::{Change, Op, Plan, Setting};
use super::campaign::run::Run;

const OPERATIONS_MAX: usize = 24;
const CUTS_MAX: usize = 6;
/// Choices for undecided writes that a cut reads from the bytes; the others share one fate.
const FATES_MAX: usize = 10;

/// Everything for an image; a second crash inside its recovery for some.
const DEPTH: Depth = Depth { look: 2, sound: 2, life: 2, nested: 6, levels: 2 };

/// First the cuts, which stand in front so that a change of the operations leaves them alone; then
/// the setting and the operations.
pub(crate) fn run(data: &[u8]) {
    let mut bytes = Bytes(data);
    let count = 1 + bytes.below(CUTS_MAX);
    let cuts: Vec<(u16, Choice)> = (0..count).map(|_| (bytes.u16(), choice(&mut bytes))).collect();
    let setting = setting(&mut bytes);
    let mut ops = Vec::new();
    while !bytes.is_empty() && ops.len() < OPERATIONS_MAX {
        ops.push(setting.fit(op(&mut bytes, setting.page_size)));
    }
    let plan = Plan { seed: 1, setting, ops };
    let mut run = Run::new(SimulatedDisk::new(1), plan, Model::default());
    if let Err(text) = run.whole() {
        panic!("{text}\n{:#?}", run.plan);
    }
    let all = run.disk.cut_points();
    run.index = None;
    for (at, choice) in cuts {
        let cut = all[usize::from(at) % all.len()];
        let allowed = run.sums(cut);
        let image = run.disk.crash_at(cut, &choice);
        let boot = Boot { setting: &run.plan.setting, depth: DEPTH, count: &|_, _| true };
        let mut rng = Rng::new(image.digest());
        if let Err(text) = boot.check(&image, &allowed, &mut rng) {
            let journal = run.disk.journal(Some(cut));
            panic!("{text}\n{:#?}\ncut {cut}: {choice:?}\n{journal}", run.plan);
        }
    }
}

fn choice(bytes: &mut Bytes<'_>) -> Choice {
    let name_changes = bytes.of(&[usize::MAX, 0, 1, 2, 3]);
    let rest = fate(bytes);
    let fates = (0..bytes.below(FATES_MAX)).map(|_| fate(bytes)).collect();
    Choice { name_changes, fates, rest }
}

fn fate(bytes: &mut Bytes<'_>) -> Fate {
    let drawn = bytes.u8();
    let seed = u64::from(drawn >> 3);
    match drawn % 8 {
        0..2 => Fate::Absent,
        2..4 => Fate::Whole,
        4..6 => Fate::Torn(seed),
        6 => Fate::Garbage(seed),
        _ => Fate::Block(seed),
    }
}

fn setting(bytes: &mut Bytes<'_>) -> Setting {
    let page_size = bytes.of(&[4096, 4096, 4096, 8192]);
    let mode = bytes.below(3);
    let log_budget = bytes.of(&[1 << 16, 1 << 20]);
    Setting {
        page_size,
        later: mode == 1,
        value_size: (mode == 2).then_some(8),
        log_budget,
        inline_max: if log_budget == 1 << 16 { 64 } else { 496 },
        memory_budget: bytes.of(&[16 * page_size as u64, 1 << 18]),
        verify: bytes.of(&[Verify::OnFirstTouch, Verify::Always]),
        access: bytes.of(&[Access::Pread, Access::Mapped]),
        expected_len: if page_size == 8192 { 1000 } else { 0 },
    }
}

fn change(bytes: &mut Bytes<'_>, page_size: usize) -> Change {
    let kind = bytes.u8();
    let key = u16::from(bytes.u8());
    let tag = u64::from(bytes.u8());
    match kind % 16 {
        0..3 => Change::Remove { key },
        3 => Change::Metadata { len: key, tag },
        4 => Change::Insert {
            key,
            len: u32::try_from(page_size).unwrap_or(0) / 4 + 47 * u32::from(kind),
            tag,
        },
        _ => Change::Insert { key, len: u32::from(kind / 2), tag },
    }
}

fn changes(bytes: &mut Bytes<'_>, page_size: usize) -> Vec<Change> {
    (0..=bytes.below(8)).map(|_| change(bytes, page_size)).collect()
}

fn op(bytes: &mut Bytes<'_>, page_size: usize) -> Op {
    match bytes.u8() % 24 {
        0..5 => Op::Single(change(bytes, page_size)),
        5 => Op::Update { key: bytes.u8().into(), tag: bytes.u8().into() },
        6..9 => Op::Batch(changes(bytes, page_size)),
        9..12 => Op::Later(changes(bytes, page_size)),
        12 => Op::Sync,
        13 => Op::Checkpoint,
        14..16 => Op::Begin,
        16..19 => Op::Steps(1 + bytes.u8() % 4),
        19 => Op::Close,
        20 => Op::KillAndLook,
        21 => Op::Kill,
        22 => Op::Bulk(changes(bytes, page_size)),
        _ => {
            let (first, count, how) = (bytes.u8(), bytes.u8(), bytes.u8());
            let keys = (0..u16::from(count)).map(|n| u16::from(first) + n);
            let (len, tag) = (u32::from(how / 2), u64::from(how));
            let insert = |key| Change::Insert { key, len, tag };
            let flood =
                keys.map(|key| if how % 2 == 0 { insert(key) } else { Change::Remove { key } });
            match flood.collect::<Vec<_>>() {
                none if none.is_empty() => Op::Sync,
                flood => Op::Batch(flood),
            }
        }
    }
}
