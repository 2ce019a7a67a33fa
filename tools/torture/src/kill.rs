//! The first test: a writer is killed at any moment, again and again, and what it left is opened by
//! the next writer or examined record by record. SIGKILL loses nothing that a system call has
//! written: this tests the order of calls, beside real threads and real checkpoints.

use std::io::{BufReader, Read};
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use splitpoint::simulation::Rng;

use crate::judge::Judge;
use crate::message::Message;
use crate::mount::tool;
use crate::writer::{self, End, Manner};

/// When a writer is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// So long after it was started: perhaps in its recovery.
    SinceStart(Duration),
    /// So long after it began to commit.
    SinceOpen(Duration),
}

impl Moment {
    fn random(rng: &mut Rng, manner: &mut Manner) -> Moment {
        let micros = |rng: &mut Rng, max| Duration::from_micros(rng.below(max) as u64);
        match rng.below(8) {
            0 | 1 => Moment::SinceStart(micros(rng, 6_000)),
            2 | 3 => {
                // Around its close.
                manner.life_ms = 1 + rng.below(3) as u64;
                let life = Duration::from_millis(manner.life_ms);
                Moment::SinceOpen(life + micros(rng, 3_000))
            }
            4 => Moment::SinceOpen(micros(rng, 40_000)),
            _ => Moment::SinceOpen(micros(rng, 6_000)),
        }
    }
}

/// A writer that runs, and the judge who listens to it.
pub(crate) struct Running<'j> {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
    judge: &'j mut Judge,
}

impl<'j> Running<'j> {
    pub(crate) fn start(
        mut command: std::process::Command,
        judge: &'j mut Judge,
    ) -> Result<Running<'j>, String> {
        let mut child = command.spawn().map_err(|error| format!("no writer: {error}"))?;
        judge.begin();
        let output = BufReader::new(child.stdout.take().ok_or("no output")?);
        Ok(Running { child, output, judge })
    }

    /// Listens until it begins to commit; `false` if it ends before.
    pub(crate) fn wait_until_open(&mut self) -> Result<bool, String> {
        while let Some(message) = self.receive()? {
            if message == Message::Opened {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn receive(&mut self) -> Result<Option<Message>, String> {
        let message =
            Message::receive(&mut self.output).map_err(|error| format!("listening: {error}"))?;
        message.map_or(Ok(()), |message| self.judge.hear(message))?;
        Ok(message)
    }

    /// Kills it.
    pub(crate) fn kill(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
    }

    /// As `end`, of a writer that should end by itself: kills it if it does not.
    pub(crate) fn end_within(self, patience: Duration) -> Result<(ExitStatus, String), String> {
        let (id, done) = (self.child.id().to_string(), Arc::new(AtomicBool::new(false)));
        let watch = {
            let done = done.clone();
            std::thread::spawn(move || {
                let started = Instant::now();
                while !done.load(Ordering::Relaxed) {
                    std::thread::park_timeout(Duration::from_millis(50));
                    if started.elapsed() > patience {
                        let _ = tool("kill", &["-KILL".as_ref(), id.as_ref()]);
                        return;
                    }
                }
            })
        };
        let ended = self.end();
        done.store(true, Ordering::Relaxed);
        watch.thread().unpark();
        let _ = watch.join();
        ended
    }

    /// Listens to the end, and says how it ended.
    pub(crate) fn end(mut self) -> Result<(ExitStatus, String), String> {
        let heard = loop {
            match self.receive() {
                Ok(Some(_)) => {}
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        if heard.is_err() {
            self.kill();
        }
        let mut words = String::new();
        if let Some(mut errors) = self.child.stderr.take() {
            let _ = errors.read_to_string(&mut words);
        }
        let status = self.child.wait().map_err(|error| error.to_string())?;
        heard.map(|()| (status, words.trim().to_owned()))
    }
}

/// Opens the file as its next user would and examines it.
pub(crate) fn examine(path: &Path, judge: &mut Judge, rng: &mut Rng) -> Result<(), String> {
    if !path.exists() {
        // Killed before it was made.
        return match judge.acknowledged {
            0 => Ok(()),
            _ => Err("the file is gone".to_owned()),
        };
    }
    let words = |error: splitpoint::Error| format!("open: {error}");
    let options = Manner::random(rng).options().create(false);
    if rng.below(3) == 0 {
        let index = options.clone().read_only(true).open(path).map_err(words)?;
        // Without a checkpoint there is nothing new that `check` could look at.
        judge.examine(&index)?;
    }
    let index = options.open(path).map_err(words)?;
    judge.examine(&index)?;
    match rng.below(2) {
        0 => index.close().map_err(|error| format!("close: {error}")),
        _ => {
            drop(index);
            Ok(())
        }
    }
}

/// What a campaign came to.
#[derive(Default)]
struct Tally {
    kills: u64,
    ended: u64,
    examined: u64,
}

/// Runs until `kills` writers have been killed. Gives the last line.
pub(crate) fn run(folder: &Path, seed: u64, kills: u64, lies: bool) -> Result<String, String> {
    let mut rng = Rng::new(seed);
    let (path, mut judge) = (folder.join("index"), Judge::new(seed));
    let (started, mut tally) = (Instant::now(), Tally::default());
    while tally.kills < kills {
        let cycle = tally.kills + tally.ended;
        let manner = Manner { lies, ..Manner::random(&mut rng) };
        one(&path, (seed, manner), &mut judge, &mut rng, &mut tally)
            .map_err(|words| format!("seed {seed}, life {cycle}: {words}"))?;
        if rng.below(4) == 0 {
            tally.examined += 1;
            examine(&path, &mut judge, &mut rng)
                .map_err(|words| format!("seed {seed}, after life {cycle}: {words}"))?;
        }
        if cycle % 1_000 == 999 {
            println!("kill: {} kills, {} commits acknowledged", tally.kills, judge.acknowledged);
        }
    }
    examine(&path, &mut judge, &mut rng).map_err(|words| format!("seed {seed}, end: {words}"))?;
    Ok(format!(
        "kill: {} SIGKILLs, {} commits acknowledged, 0 lost; {} lives ended by a close before; \
         {} files examined whole; seed {seed}, {:.0} s",
        tally.kills,
        judge.acknowledged,
        tally.ended,
        tally.examined + 1,
        started.elapsed().as_secs_f64(),
    ))
}

fn one(
    path: &Path,
    (seed, mut manner): (u64, Manner),
    judge: &mut Judge,
    rng: &mut Rng,
    tally: &mut Tally,
) -> Result<(), String> {
    let moment = Moment::random(rng, &mut manner);
    let mut running = Running::start(writer::command(&[], path, seed, manner), judge)?;
    match moment {
        Moment::SinceStart(delay) => std::thread::sleep(delay),
        Moment::SinceOpen(delay) => {
            if running.wait_until_open()? {
                std::thread::sleep(delay);
            }
        }
    }
    running.kill();
    let (status, words) = running.end()?;
    match status.code() {
        None => tally.kills += 1,
        Some(code) if End::of(code) == Some(End::Closed) => tally.ended += 1,
        Some(code) => return Err(format!("{manner:?} ended with {code}: {words}")),
    }
    Ok(())
}
