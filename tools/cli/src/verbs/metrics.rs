//! `metrics`: the facts of a file for a monitoring system.

use std::path::PathBuf;

use splitpoint::inspect::Inspector;

use crate::draw::stat;
use crate::failure::{Answer, Context, Outcome};
use crate::output::Output;

/// The arguments of `metrics`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The index file; it may be damaged, or open in another process.
    file: PathBuf,
    /// How to write them.
    #[arg(long, value_enum, default_value = "prometheus")]
    format: Format,
    /// Print them as one JSON object instead.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    /// The text format of Prometheus, as its node exporter reads it from a file.
    Prometheus,
}

impl Args {
    /// Prints them.
    pub(crate) fn run(self) -> Outcome {
        let inspector = Inspector::open(&self.file).opening(&self.file)?;
        let facts = inspector.stat(|_, _| ()).working(&self.file)?;
        let mut output = Output::new();
        match self.format {
            _ if self.json => output.json_pretty(&stat::to_json(&facts))?,
            Format::Prometheus => output.bytes(stat::prometheus(&facts).as_bytes())?,
        }
        output.finish(Answer::Yes)
    }
}
