//! One plan, one failure: run it, look at the handle, open it again.

use splitpoint::simulation::{
    CallKind, Choice, Fault, FaultPlan, Image, Rng, SimulatedDisk, Volume,
};
use splitpoint::{Access, Error};

use crate::campaign::boot::{Boot, Depth, check_soundness};
use crate::campaign::model::{Model, Sum, sum_of};
use crate::campaign::plan::{Change, Op, Plan};
use crate::campaign::quietly;
use crate::campaign::run::{Run, Trouble};
use crate::campaign::short::{self, Start};
use crate::campaign::tally::Tally;

const FAULTS: [Fault; 6] = [
    Fault::InputOutput,
    Fault::StorageFull,
    Fault::ShortWrite,
    Fault::FailedSync,
    Fault::Leftovers,
    Fault::Interrupted,
];

/// How a disk fails.
#[derive(Debug, Clone, Copy)]
enum Failing {
    Call(FaultPlan),
    Capacity(u64),
}

/// What the handle came to.
#[derive(Debug, PartialEq, Eq)]
enum Handle {
    /// It did the whole plan.
    Done,
    /// It refuses to write.
    Refuses,
    /// There is none: an open or a close failed.
    Gone,
}

/// The plan of a seed: in turn a short sequence and a random one, cut short.
fn start(seed: u64, starts: &[Start]) -> Run {
    if seed.is_multiple_of(2) {
        let mut rng = Rng::new(seed);
        let number = rng.below(short::count(3));
        let mut run =
            short::sequence(number, starts, [Access::Pread, Access::Mapped][rng.below(2)]);
        run.plan.setting.later = rng.one_in(4);
        return run;
    }
    let mut plan = Plan::random(seed);
    plan.ops.truncate(12);
    Run::new(SimulatedDisk::new(seed), plan, Model::default())
}

/// Every failure of every call of a seed's plan, or a sample of `most` if they are many. What went
/// wrong first is told.
pub(crate) fn all_of(
    seed: u64,
    starts: &[Start],
    most: usize,
    tally: &Tally,
) -> Result<(), String> {
    let mut clean = start(seed, starts);
    quietly(|| clean.whole()).map_err(|e| format!("without any failure of the disk: {e}"))?;
    let kinds = clean.disk.call_kinds();
    clean.index = None;
    let mut failing = Vec::new();
    for (index, kind) in kinds.iter().enumerate() {
        for fault in FAULTS.into_iter().filter(|fault| fault.concerns(*kind)) {
            failing.push(Failing::Call(FaultPlan::once(fault, index)));
            failing.push(Failing::Call(FaultPlan::from(fault, index)));
        }
    }
    failing.extend((0..40).map(|blocks| Failing::Capacity(blocks * 6 * 4096)));
    let mut rng = Rng::new(seed);
    while failing.len() > most {
        failing.swap_remove(rng.below(failing.len()));
    }
    for failing in failing {
        let mut run = start(seed, starts);
        let mut trial = Trial { tally, rng: Rng::new(rng.next()), cuts: 1 };
        if let Failing::Call(plan) = failing {
            // What a failed sync leaves in the cache is where recovery can go wrong.
            let is_sync = kinds.get(plan.call_index()) == Some(&CallKind::SyncData);
            trial.cuts = if is_sync { 6 } else { 1 };
        }
        if let Err(text) = quietly(|| trial.run(&mut run, failing)) {
            let ops: Vec<String> = run.plan.ops.iter().map(|op| format!("  {op:?}")).collect();
            let (setting, journal) = (&run.plan.setting, run.disk.journal(None));
            return Err(format!(
                "{failing:?}: {text}\n  {setting:?}\n{}\n{journal}",
                ops.join("\n")
            ));
        }
        if tally.is_over() {
            break;
        }
    }
    Ok(())
}

struct Trial<'t> {
    tally: &'t Tally,
    rng: Rng,
    /// Cuts of the next open that are looked at.
    cuts: usize,
}

impl Trial<'_> {
    fn run(&mut self, run: &mut Run, failing: Failing) -> Result<(), String> {
        match failing {
            Failing::Call(plan) => run.disk.fail(plan),
            Failing::Capacity(bytes) => run.disk.set_capacity(Some(bytes)),
        }
        let handle = self.carry_out(run)?;
        heal(&run.disk);
        self.look(run, &handle)?;
        if handle != Handle::Gone && self.rng.one_in(2) {
            run.disk.evict();
            // What a failed sync lost of large records is gone; an error says so.
            let _ = run.check_visible().map_err(|_| ());
        }
        self.power_cuts(run)?;
        run.kill();
        match self.rng.below(3) {
            0 => {}
            1 => run.disk.evict(),
            _ => run.disk.evict_some(self.rng.next()),
        }
        self.tally.is_new(run.disk.snapshot().digest());
        let reopened_at = run.disk.call_count();
        run.open().map_err(|e| format!("reopened: {e}"))?;
        check_soundness(run.index.as_ref().ok_or("no index")?)?;
        self.stays(run, reopened_at)
    }

    /// The plan, up to its end or to where nothing can be done any more.
    fn carry_out(&mut self, run: &mut Run) -> Result<Handle, String> {
        match run.open() {
            Ok(()) => {}
            Err(trouble) => {
                said(trouble).map_err(|e| format!("the first open: {e}"))?;
                return Ok(Handle::Gone);
            }
        }
        for number in 0..run.plan.ops.len() {
            let op = run.plan.ops[number].clone();
            let before = run.entries.len();
            let Err(trouble) = run.apply(&op) else { continue };
            let tell = |e: String| format!("operation {number}, {:.200}: {e}", format!("{op:?}"));
            let error = said(trouble).map_err(tell)?;
            if run.index.is_none() {
                return Ok(Handle::Gone);
            }
            if matches!(error, Error::Refused { .. }) {
                return Ok(Handle::Refuses);
            }
            // Looking may fail as well; it must not show anything wrong.
            drop(run.index.as_ref().map(sum_of));
            heal(&run.disk);
            let mut taken_back = None;
            if run.entries.len() > before {
                taken_back = run.take_back();
            }
            let change = Change::Insert { key: 9_000 + number as u16, len: 8, tag: 1 };
            let commit = run.plan.setting.fit(Op::Batch(vec![change]));
            match run.apply(&commit) {
                Ok(()) => {}
                Err(Trouble::Said(Error::Refused { .. })) => {
                    run.take_back();
                    if let Some(taken_back) = taken_back {
                        run.put_back(taken_back);
                    }
                    return Ok(Handle::Refuses);
                }
                Err(e) => {
                    return Err(tell(format!(
                        "after {error}, all is well again, and a commit: {e}"
                    )));
                }
            }
        }
        Ok(Handle::Done)
    }

    /// What readers see after all.
    fn look(&mut self, run: &mut Run, handle: &Handle) -> Result<(), String> {
        if *handle == Handle::Gone {
            return Ok(());
        }
        let index = run.index.as_ref().ok_or("no index")?;
        let found = sum_of(index).map_err(|e| format!("reads after errors ({handle:?}): {e}"))?;
        let last = run.entries.len() - 1;
        let right = match run.plan.setting.later {
            // The commit that failed may be seen or not.
            true => run.entries[last.saturating_sub(usize::from(*handle != Handle::Done))..]
                .iter()
                .any(|entry| entry.sum == found),
            false => run.entries[run.durable_by_lsn()?].sum == found,
        };
        if right {
            return Ok(());
        }
        let entries = &run.entries[last.saturating_sub(3)..];
        Err(format!("after errors ({handle:?}) readers see {found:?}, entries end {entries:?}"))
    }

    /// The power is cut at calls around the failure.
    fn power_cuts(&mut self, run: &Run) -> Result<(), String> {
        let cuts = run.disk.cut_points();
        let late = cuts.len() - self.rng.below(cuts.len().min(6)) - 1;
        for cut in [cuts[late], run.disk.call_count()] {
            self.cut(run, cut, &run.sums(cut), 4)?;
        }
        Ok(())
    }

    fn cut(&mut self, run: &Run, cut: usize, allowed: &[Sum], most: usize) -> Result<(), String> {
        let count = |image: &Image, _: u64| self.tally.is_new(image.digest());
        let depth = Depth { look: 8, sound: 6, life: 4, nested: 16, levels: 2 };
        let boot = Boot { setting: &run.plan.setting, depth, count: &count };
        let seed = self.rng.next();
        let images: Vec<Image> =
            run.disk.crash_images(cut, seed, &Volume::LIGHT).take(24).collect();
        for _ in 0..most {
            let image = &images[self.rng.below(images.len())];
            if count(image, 0) {
                let mut rng = Rng::new(seed);
                boot.check(image, allowed, &mut rng).map_err(|e| {
                    format!("a power cut before call {cut}: {e} ({:?})", image.choice())
                })?;
            }
        }
        Ok(())
    }

    /// C7: what an open showed, no power cut takes back.
    fn stays(&mut self, run: &mut Run, reopened_at: usize) -> Result<(), String> {
        let shown = run.entries[run.entries.len() - 1].sum;
        let now = run.disk.call_count();
        let cuts: Vec<usize> =
            run.disk.cut_points().into_iter().filter(|cut| *cut > reopened_at).collect();
        let first = if self.cuts == 1 { self.rng.below(cuts.len()) } else { 0 };
        for cut in cuts.into_iter().skip(first).take(self.cuts) {
            self.cut(run, cut, &run.sums(cut), 4)?;
        }
        self.cut(run, now, &[shown], 4)?;
        let change = Change::Insert { key: 9_999, len: 60, tag: 1 };
        let commit = run.plan.setting.fit(Op::Batch(vec![change]));
        run.apply(&commit).map_err(|e| format!("a commit after all: {e}"))?;
        let after = run.entries[run.entries.len() - 1].sum;
        let now = run.disk.call_count();
        run.kill();
        let image = run.disk.crash_at(now, &Choice::nothing());
        let disk = SimulatedDisk::from_image(&image, 1);
        let index = run.plan.setting.options(&disk).open(crate::campaign::PATH);
        let index = index.map_err(|e| format!("the last open: {e}"))?;
        let found = sum_of(&index)?;
        if found != after {
            return Err(format!("at last it holds {found:?} instead of {after:?}"));
        }
        crate::campaign::boot::kill(&disk, index);
        Ok(())
    }
}

fn heal(disk: &SimulatedDisk) {
    disk.heal();
    disk.set_capacity(None);
}

/// The error of an operation that may fail. A failing disk never looks like a damaged file.
fn said(trouble: Trouble) -> Result<Error, String> {
    match trouble {
        Trouble::Said(Error::Corruption(found)) => Err(format!("it says corruption: {found}")),
        Trouble::Said(error) => Ok(error),
        Trouble::Wrong(text) => Err(text),
    }
}
