//! One plan after another: run, cut everywhere, check what is left; tell what failed.

use splitpoint::Access;
use splitpoint::simulation::{Image, Rng, SimulatedDisk, Volume};

use crate::campaign::boot::{Boot, Depth};
use crate::campaign::model::Model;
use crate::campaign::plan::Plan;
use crate::campaign::quietly;
use crate::campaign::run::Run;
use crate::campaign::short::{self, Start};
use crate::campaign::shrink::shrink;
use crate::campaign::tally::Tally;

/// Cuts of a random plan that are looked at.
const CUTS: usize = 60;

/// Which plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    Short(usize),
    Random(u64),
    /// Large values beside checkpoints.
    Values(u64),
}

/// What failed.
struct Failure {
    cut: Option<usize>,
    text: String,
    image: Option<Image>,
}

pub(crate) struct Search<'t> {
    tally: &'t Tally,
    starts: Vec<Start>,
}

impl Search<'_> {
    pub(crate) fn new(tally: &Tally) -> Search<'_> {
        Search { tally, starts: Start::all() }
    }

    fn start(&self, job: Job, plan: Option<&Plan>) -> Run {
        let mut run = match job {
            Job::Short(number) => {
                let access = [Access::Pread, Access::Mapped][usize::from(number % 8 == 0)];
                short::sequence(number, &self.starts, access)
            }
            Job::Random(seed) => {
                Run::new(SimulatedDisk::new(seed), Plan::random(seed), Model::default())
            }
            Job::Values(seed) => {
                let plan = Plan::values_beside_checkpoints(seed);
                Run::new(SimulatedDisk::new(seed), plan, Model::default())
            }
        };
        if let Some(plan) = plan {
            run.plan = plan.clone();
        }
        run
    }

    /// Runs it; prints what failed, made small.
    pub(crate) fn run(&self, job: Job) {
        let mut run = self.start(job, None);
        let Err(failure) = self.explore(job, &mut run, true) else { return };
        self.tally.fail();
        let mut fails = |plan: &Plan| {
            let mut run = self.start(job, Some(plan));
            self.explore(job, &mut run, false).is_err()
        };
        let small = shrink(&run.plan, &mut fails);
        let mut again = self.start(job, Some(&small));
        let shown = self.explore(job, &mut again, false).err().unwrap_or(failure);
        let journal = again.disk.journal(shown.cut);
        let choice = shown.image.as_ref().and_then(Image::choice).cloned();
        println!("FAILED {job:?}: {}", shown.text);
        println!(
            "  repeat with {}",
            match job {
                Job::Short(number) => format!("SPLITPOINT_SHORT={number}"),
                Job::Random(seed) => format!("SPLITPOINT_SEED={seed}"),
                Job::Values(seed) => format!("SPLITPOINT_VALUES={seed}"),
            }
        );
        println!("  {:?}", small.setting);
        small.ops.iter().for_each(|op| println!("  {op:?}"));
        println!("  the disk chose {choice:?}\n{journal}");
    }

    /// What fails first of it, if anything does.
    #[allow(dead_code, reason = "for the mutants")]
    pub(crate) fn first_failure(&self, job: Job) -> Result<(), String> {
        let mut run = self.start(job, None);
        self.explore(job, &mut run, true).map_err(|failure| failure.text)
    }

    /// The plan, its cuts, their images.
    fn explore(&self, job: Job, run: &mut Run, counted: bool) -> Result<(), Failure> {
        let told = |text| Failure { cut: None, text, image: None };
        quietly(|| run.whole()).map_err(told)?;
        let mut rng = Rng::new(run.plan.seed ^ 0x5eed);
        let all = run.disk.cut_points();
        let (cuts, volume) = match job {
            Job::Short(_) => {
                let from = run.op_starts.last().copied().unwrap_or(0);
                (all.into_iter().filter(|cut| *cut >= from).collect(), Volume::LIGHT)
            }
            Job::Random(_) | Job::Values(_) => (sample(all, CUTS, &mut rng), Volume::LIGHT),
        };
        run.index = None;
        for cut in cuts {
            let allowed = run.sums(cut);
            let expected = allowed.iter().fold(0, |all, sum| sum.sum.rotate_left(9) ^ all);
            let count = |image: &Image, expected: u64| {
                self.tally.is_new(image.digest() ^ expected) || !counted
            };
            let boot = Boot { setting: &run.plan.setting, depth: Depth::SAMPLED, count: &count };
            for image in run.disk.crash_images(cut, rng.next(), &volume) {
                if counted && !count(&image, expected) {
                    continue;
                }
                let mut rng = Rng::new(image.digest());
                if let Err(text) = quietly(|| boot.check(&image, &allowed, &mut rng)) {
                    return Err(Failure { cut: Some(cut), text, image: Some(image) });
                }
                if counted && self.tally.is_over() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// At most so many of the cuts, in order.
fn sample(mut cuts: Vec<usize>, most: usize, rng: &mut Rng) -> Vec<usize> {
    while cuts.len() > most {
        cuts.swap_remove(rng.below(cuts.len()));
    }
    cuts.sort_unstable();
    cuts
}
