//! `backup`: a copy of one moment, of a file that may be in use.

use std::ops::ControlFlow;
use std::path::PathBuf;

use serde_json::json;
use splitpoint::Index;

use crate::failure::{Answer, Context, Failure, Outcome};
use crate::output::Output;
use crate::{human, interrupt};

/// The arguments of `backup`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The index file; another process may have it open and be writing.
    file: PathBuf,
    /// The copy, which must not exist, and appears only when it is whole and checked.
    copy: PathBuf,
    /// Print what was copied as JSON.
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Makes it.
    pub(crate) fn run(self) -> Outcome {
        interrupt::watch()?;
        let bar = human::bar();
        let made = Index::backup_file(&self.file, &self.copy, |done, total| {
            bar.set_length(total);
            bar.set_position(done);
            if interrupt::asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        bar.finish_and_clear();
        if interrupt::asked() && made.is_err() {
            return Err(Failure::Work("interrupted; nothing was written".to_owned()));
        }
        let made = match made {
            Err(error @ splitpoint::Error::Corruption(_)) => Err(error).working(&self.file)?,
            Err(error @ splitpoint::Error::Io { action: "copy", .. }) => {
                Err(error).working(&self.file)?
            }
            other => other.opening(&self.file)?,
        };
        let mut output = Output::new();
        if self.json {
            output.json_pretty(&json!({
                "copy": self.copy.to_string_lossy(),
                "record_count": made.record_count,
                "log_commit_count": made.log_commit_count,
                "repeat_count": made.repeat_count,
            }))?;
        } else {
            let log = match made.log_commit_count {
                0 => String::new(),
                count => format!(", with {} from the log", human::counted(count, "commit")),
            };
            let repeats = match made.repeat_count {
                0 => String::new(),
                count => format!("; its writer was faster {}", human::counted(count, "time")),
            };
            output.line(format!(
                "{} has {}{log}; checked{repeats}",
                self.copy.display(),
                human::counted(made.record_count, "record")
            ))?;
        }
        output.finish(Answer::Yes)
    }
}
