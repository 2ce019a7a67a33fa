//! `salvage`: what is left of a damaged file, in a new one.

use std::ops::ControlFlow;
use std::path::PathBuf;

use serde_json::{Value, json};
use splitpoint::salvage::{Loss, Salvage, SalvageReport};

use crate::failure::{Answer, Context, Failure, Outcome};
use crate::interrupt;
use crate::output::Output;

/// The arguments of `salvage`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The damaged file. It is only read; it must not be open for writing.
    damaged: PathBuf,
    /// The new file, which must not exist, and appears only when it is whole and checked.
    new: PathBuf,
    /// Leave out records of older pages, which may be out of date or removed since.
    #[arg(long)]
    no_older: bool,
    /// Print what was found and lost as one JSON object.
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Writes it. The answer is yes once it is there, whatever is lost.
    pub(crate) fn run(self) -> Outcome {
        interrupt::watch()?;
        let bar = crate::human::bar();
        let report = Salvage::new().older(!self.no_older).run_with(
            &self.damaged,
            &self.new,
            |done, total| {
                bar.set_length(total);
                bar.set_position(done);
                if interrupt::asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
        );
        bar.finish_and_clear();
        if interrupt::asked() && report.is_err() {
            return Err(Failure::Work("interrupted; nothing was written".to_owned()));
        }
        let report = match report {
            // The log names its own file.
            Err(error @ splitpoint::Error::Corruption(_)) => Err(error).working(&self.damaged)?,
            other => other.opening(&self.damaged)?,
        };
        let mut output = Output::new();
        if self.json {
            output.json_pretty(&to_json(&self, &report))?;
        } else {
            output.line(format!("{report} into {}", self.new.display()))?;
        }
        output.finish(Answer::Yes)
    }
}

fn to_json(args: &Args, report: &SalvageReport) -> Value {
    json!({
        "file": args.damaged.to_string_lossy(),
        "new": args.new.to_string_lossy(),
        "whole": report.is_whole(),
        "generation": report.generation,
        "by_generation": report.by_generation,
        "page_count": report.page_count,
        "sound_page_count": report.sound_page_count,
        "older_page_count": report.older_page_count,
        "older_record_count": report.older_record_count,
        "log_commit_count": report.log_commit_count,
        "record_count": report.record_count,
        "lost_record_count": report.lost_record_count,
        "losses": report.losses.iter().map(loss).collect::<Vec<_>>(),
        "losses_left_out": report.losses_left_out,
    })
}

fn loss(loss: &Loss) -> Value {
    json!({
        "place": loss.place.to_string(),
        "what": loss.what,
        "owner": loss.owner,
        "promise": loss.promise.to_string(),
        "expected": format!("{:#x}", loss.expected),
        "found": format!("{:#x}", loss.found),
        "recovered": loss.is_recovered,
    })
}
