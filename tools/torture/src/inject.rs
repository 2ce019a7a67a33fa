//! The second test: strace fails the n-th sync or write of a writer, once or from then on. The
//! writer must hear of a failed sync and refuse all that follows; a full disk may be tried again.
//! In both cases nothing acknowledged is gone when the file is opened again.

use std::path::Path;
use std::time::{Duration, Instant};

use splitpoint::simulation::Rng;

use crate::judge::Judge;
use crate::kill::{Running, examine};
use crate::mount::tool;
use crate::writer::{self, End, Manner};

/// A system call, how it fails, and whether the writer must give up.
const FAULTS: [(&str, &str, bool); 6] = [
    ("fdatasync", "EIO", true),
    ("fsync", "EIO", true),
    ("pwrite64", "EIO", true),
    ("pwrite64", "ENOSPC", false),
    ("ftruncate", "ENOSPC", false),
    ("openat", "ENOSPC", false),
];

/// A writer lives so long if nothing stops it.
const LIFE_MS: u64 = 150;
/// One that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a campaign came to.
#[derive(Default)]
struct Tally {
    runs: u64,
    injected: u64,
    ends: [u64; 16],
}

/// Fails the first `most` calls of each kind, each in a run of its own. Gives the last line.
pub(crate) fn run(folder: &Path, seed: u64, most: u64) -> Result<String, String> {
    if let Err(reason) = tool("strace", &["-qq".as_ref(), "true".as_ref()]) {
        return Ok(format!("inject: skipped: {reason}"));
    }
    let mut rng = Rng::new(seed);
    let (path, mut judge) = (folder.join("index"), Judge::new(seed));
    let (started, mut tally) = (Instant::now(), Tally::default());
    for fault in FAULTS {
        for n in 1..=most {
            for lasting in ["", "+"] {
                let when = format!("{n}{lasting}");
                one(&path, (seed, fault, &when), &mut judge, &mut rng, &mut tally).map_err(
                    |words| format!("seed {seed}, {} {} when {when}: {words}", fault.0, fault.1),
                )?;
            }
        }
        println!("inject: {} {}: {} runs so far", fault.0, fault.1, tally.runs);
    }
    let ended = |end: End| tally.ends.get(end as usize).copied().unwrap_or(0);
    Ok(format!(
        "inject: {} runs, {} with a failed call, 0 failures; {} commits acknowledged, 0 lost; \
         writers: {} refused, {} full, {} not opened, {} not closed, {} closed; seed {seed}, {:.0} s",
        tally.runs,
        tally.injected,
        judge.acknowledged,
        ended(End::Refused),
        ended(End::Full),
        ended(End::NotOpened),
        ended(End::NotClosed),
        ended(End::Closed),
        started.elapsed().as_secs_f64(),
    ))
}

fn one(
    path: &Path,
    (seed, (call, error, must_end), when): (u64, (&str, &str, bool), &str),
    judge: &mut Judge,
    rng: &mut Rng,
    tally: &mut Tally,
) -> Result<(), String> {
    let manner = Manner { life_ms: LIFE_MS, ..Manner::random(rng) };
    let trace = path.with_file_name("trace");
    // Of the index's files only: the loader opens files too.
    let words = [
        "strace",
        "-f",
        "-qq",
        "-o",
        &trace.display().to_string(),
        "-e",
        &format!("trace={call}"),
        "-e",
        &format!("inject={call}:error={error}:when={when}"),
    ];
    let mut prefix: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    if call == "openat" {
        let folder = path.parent().ok_or("no folder")?;
        for n in 0..64 {
            let segment = folder.join(format!("index-wal-{:016x}", first_segment(folder) + n));
            prefix.extend(["-P".to_owned(), segment.display().to_string()]);
        }
    }
    let running = Running::start(writer::command(&prefix, path, seed, manner), judge)?;
    let (status, words) = running.end_within(PATIENCE)?;
    tally.runs += 1;
    let traced = std::fs::read_to_string(&trace).unwrap_or_default();
    let was_injected = traced.contains("(INJECTED)");
    tally.injected += u64::from(was_injected);
    let end = status.code().and_then(End::of).ok_or(format!("{manner:?}: {status}: {words}"))?;
    if let Some(count) = tally.ends.get_mut(end as usize) {
        *count += 1;
    }
    let is_right = match end {
        End::Wrong => false,
        End::Closed => !(was_injected && must_end),
        End::Full => !must_end,
        End::Refused | End::NotOpened | End::NotClosed => was_injected,
    };
    if !is_right {
        return Err(format!("{manner:?} ended as {end:?}, injected {was_injected}: {words}"));
    }
    examine(path, judge, rng)
}

/// The number of the first segment of the log that is there.
fn first_segment(folder: &Path) -> u64 {
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let numbers = names.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        u64::from_str_radix(name.strip_prefix("index-wal-")?, 16).ok()
    });
    numbers.min().unwrap_or(0)
}
