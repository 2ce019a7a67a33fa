//! `demo`: the whole life of an index in under a minute. Each act is a file of this folder; this one
//! knows their order and nothing of how they work.

mod counters;
mod crash;
mod features;
mod fill;
mod serve;
pub(crate) mod writer;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use splitpoint::inspect::Inspector;
use splitpoint::{Durability, Index, Options};

use crate::draw::{Paint, stat};
use crate::failure::{Answer, Context, Failure, Outcome};
use crate::human;
use crate::interrupt;
use crate::output::Output;

/// The arguments of `demo`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many users to load.
    #[arg(long, value_name = "COUNT", default_value_t = 1_000_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1_000..=1_000_000_000))]
    users: u64,
    /// Keep the folder, and say where it is.
    #[arg(long)]
    keep: bool,
    /// Make the temporary folder in this one, instead of the system's.
    #[arg(long, value_name = "FOLDER")]
    r#in: Option<PathBuf>,
}

/// What every act needs.
struct Stage {
    path: PathBuf,
    users: u64,
    output: Output,
}

impl Stage {
    /// Prints a line, now: people watch.
    fn say(&mut self, line: &str) -> Result<(), Failure> {
        self.output.line(line)?;
        self.output.flush()
    }

    /// Opens the index as the acts that do not kill anyone use it.
    fn open(&self) -> Result<Index, Failure> {
        Options::new()
            .durability(Durability::Background(Duration::from_millis(200)))
            .expected_len(self.users)
            .open(&self.path)
            .opening(&self.path)
    }

    /// Fails when Ctrl-C was pressed; the folder goes with the unwinding.
    fn check_interrupt(&self) -> Result<(), Failure> {
        if interrupt::asked() { Err(Failure::Work("interrupted".to_owned())) } else { Ok(()) }
    }
}

/// Something that was promised is not there. This is the one message that must not be missed.
fn lost(path: &Path, what: &str) -> Failure {
    let line = "!".repeat(72);
    let _ = writeln!(io::stderr(), "{line}\n  LOST: {what}\n{line}");
    Failure::Work(format!("{}: {what}; this should never happen, please report it", path.display()))
}

impl Args {
    /// Plays it.
    pub(crate) fn run(self) -> Outcome {
        let started = Instant::now();
        interrupt::watch()?;
        let mut builder = tempfile::Builder::new();
        builder.prefix("splitpoint-demo-");
        let folder = match &self.r#in {
            Some(folder) => builder.tempdir_in(folder),
            None => builder.tempdir(),
        };
        let folder = folder
            .map_err(|error| Failure::Open(format!("cannot make a temporary folder: {error}")))?;
        let path = folder.path().join("users.sp");
        let mut stage = Stage { path, users: self.users, output: Output::new() };
        if self.keep {
            let kept = folder.keep();
            stage.say(&format!("in {}, which stays", kept.display()))?;
            play(&mut stage)?;
        } else {
            stage.say(&format!("in {}, removed afterwards", folder.path().display()))?;
            play(&mut stage)?;
        }
        let time = human::duration(started.elapsed());
        stage.say(&format!("\nAll of it in {time}. Nothing lost."))?;
        stage.output.finish(Answer::Yes)
    }
}

/// The acts.
fn play(stage: &mut Stage) -> Result<(), Failure> {
    let index = stage.open()?;
    fill::play(stage, &index)?;
    serve::play(stage, &index)?;
    counters::play(stage, &index)?;
    index.close().working(&stage.path)?;
    crash::play(stage)?;
    let inspector = Inspector::open(&stage.path).opening(&stage.path)?;
    let facts = inspector.stat(|_, _| ()).working(&stage.path)?;
    stage.say("\nstat: the file, as `splitpoint stat` shows it")?;
    stage.output.bytes(stat::draw(&facts, Paint::of_stdout()).as_bytes())?;
    stage.output.flush()
}
