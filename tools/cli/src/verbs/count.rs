//! `count`: the number of records.

use serde_json::json;

use crate::failure::{Answer, Outcome};
use crate::output::Output;
use crate::target::Target;

/// The arguments of `count`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// Print it as JSON: {"count": N}.
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Prints it; it is stored, not counted.
    pub(crate) fn run(self) -> Outcome {
        let count = self.target.read()?.len();
        let mut output = Output::new();
        if self.json {
            output.json(&json!({ "count": count }))?;
        } else {
            output.line(count.to_string())?;
        }
        output.finish(Answer::Yes)
    }
}
