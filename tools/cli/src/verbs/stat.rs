//! `stat`: what a file is made of.

use std::path::PathBuf;

use splitpoint::inspect::Inspector;

use crate::draw::progress::Progress;
use crate::draw::{Paint, stat};
use crate::failure::{Answer, Context, Outcome};
use crate::output::Output;

/// The arguments of `stat`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The index file; it may be damaged, or open in another process.
    file: PathBuf,
    /// Print them as one JSON object.
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Prints them; the answer is no if the file is damaged.
    pub(crate) fn run(self) -> Outcome {
        let inspector = Inspector::open(&self.file).opening(&self.file)?;
        let facts = {
            let progress = Progress::new();
            inspector.stat(|done, all| progress.show(done, all)).working(&self.file)?
        };
        let mut output = Output::new();
        if self.json {
            output.json_pretty(&stat::to_json(&facts))?;
        } else {
            output.bytes(stat::draw(&facts, Paint::of_stdout()).as_bytes())?;
        }
        let is_damaged = !facts.check.is_sound() && !facts.check.is_overtaken;
        output.finish(if is_damaged { Answer::No } else { Answer::Yes })
    }
}
