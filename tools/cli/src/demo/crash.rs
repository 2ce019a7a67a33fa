//! Act 4: kill a writer in the middle of a load, open the file again, and look for every commit
//! that had been acknowledged.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use splitpoint::Index;

use super::{Stage, features, lost, writer};
use crate::failure::{Context, Failure};
use crate::human;

/// The child lives at least so long, and until it has made so many commits.
const LIFE_TIME: Duration = Duration::from_millis(1_500);
const COMMIT_COUNT_MIN: u64 = 20;

/// Keys looked up at once when all is verified.
const VERIFY_LEN: u64 = 1_000;

/// Kills, recovers, verifies.
pub(super) fn play(stage: &mut Stage) -> Result<(), Failure> {
    stage.say(&format!(
        "\n4. crash: a child process loads more users, {} in a commit, each commit durable before it \
         is acknowledged",
        writer::COMMIT_LEN
    ))?;
    let acknowledged = run_and_kill(stage)?;
    stage.say(&format!(
        "   killed with SIGKILL in the middle of its load, {} commits acknowledged",
        human::count(acknowledged)
    ))?;
    let started = Instant::now();
    let index = stage.open()?;
    stage.say(&format!("   opened again in {}", human::duration(started.elapsed())))?;
    verify(stage, &index, acknowledged)?;
    let report = index.check().working(&stage.path)?;
    if let Some(finding) = report.findings.first() {
        return Err(lost(&stage.path, &finding.to_string()));
    }
    stage.say("   check: every page and record sound")?;
    index.close().working(&stage.path)
}

/// Lets the child write for a while; returns how many commits it was told are durable.
fn run_and_kill(stage: &Stage) -> Result<u64, Failure> {
    let fail = |error: std::io::Error| Failure::Work(format!("cannot run the child: {error}"));
    let program = std::env::current_exe().map_err(fail)?;
    let mut child = Command::new(program)
        .arg("demo-writer")
        .arg(&stage.path)
        .args(["--first", &stage.users.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(fail)?;
    let read = read_and_kill(stage, &mut child);
    // It may be dead already; on any error it must be.
    let _ = child.kill();
    let _ = child.wait();
    read
}

fn read_and_kill(stage: &Stage, child: &mut Child) -> Result<u64, Failure> {
    let fail = |why: &str| Failure::Work(format!("the child {why}"));
    let output = child.stdout.take().ok_or_else(|| fail("has no output"))?;
    let mut output = BufReader::new(output);
    let started = Instant::now();
    let mut acknowledged = 0;
    let mut line = String::new();
    while acknowledged < COMMIT_COUNT_MIN || started.elapsed() < LIFE_TIME {
        stage.check_interrupt()?;
        line.clear();
        let len = output.read_line(&mut line).map_err(|error| fail(&error.to_string()))?;
        if len == 0 {
            // Ctrl-C reaches the child as well.
            stage.check_interrupt()?;
            return Err(fail("ended by itself; its own message says why"));
        }
        acknowledged += 1;
    }
    child.kill().map_err(|error| fail(&format!("cannot be killed: {error}")))?;
    // What it had printed before it died counts as well.
    let mut rest = String::new();
    output.read_to_string(&mut rest).map_err(|error| fail(&error.to_string()))?;
    Ok(acknowledged + rest.matches('\n').count() as u64)
}

/// Looks for every record of every acknowledged commit, for all users of before, and for halves of
/// commits that were not acknowledged.
fn verify(stage: &mut Stage, index: &Index, acknowledged: u64) -> Result<(), Failure> {
    let promised = writer::users(stage.users, acknowledged).start;
    let mut first = 0;
    while first < promised {
        stage.check_interrupt()?;
        let last = promised.min(first + VERIFY_LEN);
        if let Some(user) = first_wrong(stage, index, first..last)? {
            return Err(lost(&stage.path, &format!("user {user} was acknowledged as durable")));
        }
        first = last;
    }
    stage.say(&format!(
        "   every one of the {} acknowledged commits is there, all {} records of them",
        human::count(acknowledged),
        human::count(promised - stage.users)
    ))?;
    stage.say(&format!(
        "   so are the {} users and the counters of before",
        human::count(stage.users)
    ))?;
    let mut whole = 0;
    loop {
        let users = writer::users(stage.users, acknowledged + whole);
        let present = present(stage, index, users)?;
        match present {
            0 => break,
            writer::COMMIT_LEN => whole += 1,
            _ => return Err(lost(&stage.path, "half of a commit is there")),
        }
    }
    stage.say(&format!(
        "   {} that the child had no time to report, each of them whole",
        match whole {
            1 => "1 more commit is there".to_owned(),
            _ => format!("{whole} more commits are there"),
        }
    ))
}

/// The first of these users whose features are not there.
fn first_wrong(
    stage: &Stage,
    index: &Index,
    users: std::ops::Range<u64>,
) -> Result<Option<u64>, Failure> {
    let keys: Vec<_> = users.clone().map(features::key).collect();
    let mut right = vec![false; keys.len()];
    index
        .get_many_with(&keys, |place, value| {
            let user = users.start + place as u64;
            if let Some(right) = right.get_mut(place) {
                *right = value == Some(features::value(user).as_slice());
            }
        })
        .working(&stage.path)?;
    Ok(users.zip(right).find(|(_, right)| !right).map(|(user, _)| user))
}

/// How many of these users are there.
fn present(stage: &Stage, index: &Index, users: std::ops::Range<u64>) -> Result<u64, Failure> {
    let mut count = 0;
    for user in users {
        count += u64::from(index.contains_key(features::key(user)).working(&stage.path)?);
    }
    Ok(count)
}
