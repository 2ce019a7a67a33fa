//! `corrupt`: a copy of a file with something wrong in it.

use std::path::PathBuf;

use serde_json::json;
use splitpoint::salvage::{CorruptKind, corrupt};

use crate::failure::{Answer, Context, Failure, Outcome};
use crate::output::Output;
use crate::{human, interrupt};

/// The arguments of `corrupt`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The index file. It is copied, and never written to; it must not be open for writing.
    file: PathBuf,
    /// What goes wrong: bitflip, zero, stale, swap, truncate or torn-log.
    #[arg(long, value_name = "KIND")]
    kind: CorruptKind,
    /// Which of the many ways to do that: the same for the same file and number.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,
    /// The damaged copy, which must not exist [default: FILE.KIND-SEED].
    #[arg(long, value_name = "COPY")]
    output: Option<PathBuf>,
    /// Yes, make a damaged file.
    #[arg(long)]
    yes: bool,
    /// Print what was done as JSON.
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Makes it.
    pub(crate) fn run(self) -> Outcome {
        let copy = self.output.clone().unwrap_or_else(|| {
            let mut name = self.file.clone().into_os_string();
            name.push(format!(".{}-{}", self.kind, self.seed));
            name.into()
        });
        if !self.yes {
            return Err(Failure::Usage(format!(
                "this writes a damaged copy, {}, and leaves {} as it is; say --yes to do it",
                copy.display(),
                self.file.display()
            )));
        }
        // Not left half-written: it is finished first.
        interrupt::watch()?;
        let done = corrupt(&self.file, &copy, self.kind, self.seed).opening(&self.file)?;
        let places: Vec<String> = done.places.iter().map(ToString::to_string).collect();
        let mut output = Output::new();
        if self.json {
            output.json_pretty(&json!({
                "copy": done.copy.to_string_lossy(),
                "file": done.file.to_string_lossy(),
                "kind": done.kind.name(),
                "seed": self.seed,
                "places": places,
                "offset": done.offset,
                "len": done.len,
                "bit": done.bit,
            }))?;
        } else {
            let bit = done.bit.map_or_else(String::new, |bit| format!(", bit {bit}"));
            output.line(format!(
                "{} is damaged: {} at {}; from byte {}, {}{bit}",
                done.file.display(),
                done.kind,
                places.join(" and "),
                done.offset,
                human::bytes(done.len),
            ))?;
        }
        output.finish(Answer::Yes)
    }
}
