//! The third test: the file system is shut down under a writer, unmounted and mounted again, as
//! after a power cut. What was synced must be there; what was not may be gone, names and lengths
//! included. The writer must hear of it and refuse, or end by SIGBUS where it reads through a map.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::{Duration, Instant};

use splitpoint::simulation::Rng;

use crate::judge::Judge;
use crate::kill::{Running, examine};
use crate::mount::LoopMount;
use crate::shutdown::{Journal, shut_down};
use crate::writer::{self, End, Manner};

/// xfs takes no smaller one.
const IMAGE_SIZE: u64 = 320 << 20;

/// How long a writer may take to notice.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a campaign came to.
#[derive(Default)]
struct Tally {
    by_journal: [u64; 3],
    refused: u64,
    bus_errors: u64,
    others: u64,
}

/// Makes `cuts` cuts of a file system of this kind. Gives the last line.
pub(crate) fn run(folder: &Path, kind: &str, seed: u64, cuts: u64) -> Result<String, String> {
    let mut mount = match LoopMount::make(folder, kind, IMAGE_SIZE) {
        Ok(mount) => mount,
        Err(reason) => return Ok(format!("cut: {kind} skipped: {reason}")),
    };
    let mut rng = Rng::new(seed);
    let (path, mut judge) = (mount.point.join("index"), Judge::new(seed));
    let (started, mut tally) = (Instant::now(), Tally::default());
    for cut in 0..cuts {
        let told = |words| format!("{kind}, seed {seed}, cut {cut}: {words}");
        one(&mut mount, &path, seed, &mut judge, &mut rng, &mut tally).map_err(told)?;
        if cut % 100 == 99 {
            println!("cut: {kind}: {} cuts, {} commits", cut + 1, judge.acknowledged);
        }
    }
    let [all, flushed, not_flushed] = tally.by_journal;
    Ok(format!(
        "cut: {kind}: {cuts} cuts ({not_flushed} without the journal, {flushed} with it, {all} with \
         all), 0 failures; {} commits acknowledged, 0 lost; writers: {} refused, {} SIGBUS, {} \
         ended opening or closing; seed {seed}, {:.0} s",
        judge.acknowledged,
        tally.refused,
        tally.bus_errors,
        tally.others,
        started.elapsed().as_secs_f64(),
    ))
}

fn one(
    mount: &mut LoopMount,
    path: &Path,
    seed: u64,
    judge: &mut Judge,
    rng: &mut Rng,
    tally: &mut Tally,
) -> Result<(), String> {
    let manner = Manner::random(rng);
    let mut running = Running::start(writer::command(&[], path, seed, manner), judge)?;
    let delay = Duration::from_micros(rng.below(30_000) as u64);
    // Sometimes while it is opening; mostly while it commits.
    if rng.below(6) > 0 {
        running.wait_until_open()?;
    }
    std::thread::sleep(delay);
    let journal = match rng.below(6) {
        0 => Journal::AllFlushed,
        1 | 2 => Journal::Flushed,
        _ => Journal::NotFlushed,
    };
    shut_down(&mount.point, journal).map_err(|error| format!("shutdown: {error}"))?;
    if let Some(count) = tally.by_journal.get_mut(journal as usize) {
        *count += 1;
    }
    let (status, words) = running.end_within(PATIENCE)?;
    match (status.code().and_then(End::of), status.signal()) {
        (Some(End::Refused), _) => tally.refused += 1,
        (Some(End::NotOpened | End::NotClosed), _) => tally.others += 1,
        (None, Some(libc::SIGBUS)) if manner.mapped => tally.bus_errors += 1,
        _ => return Err(format!("{manner:?}, {journal:?}: {status}: {words}")),
    }
    mount.unmount()?;
    mount.mount()?;
    // Or the next writer opens it as it was left.
    if rng.below(3) == 0 { examine(path, judge, rng) } else { Ok(()) }
}
