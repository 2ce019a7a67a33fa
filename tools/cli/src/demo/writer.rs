//! The child that act 4 kills: commits users without end, and prints the number of each commit once
//! it is durable. Knows nothing of its fate.

use std::io::{self, Write};
use std::path::PathBuf;

use splitpoint::{Batch, Durability, Options};

use super::features;
use crate::failure::{Answer, Context, Failure, Outcome};

/// Users in a commit.
pub(super) const COMMIT_LEN: u64 = 200;

/// The child stops by itself after so many commits, should nobody kill it.
const COMMIT_COUNT_MAX: u64 = 1_000_000;

/// The arguments of the hidden verb.
#[derive(clap::Args)]
pub(crate) struct Args {
    file: PathBuf,
    /// The first user to write.
    #[arg(long)]
    first: u64,
}

/// The users of a commit.
pub(super) fn users(first: u64, commit: u64) -> std::ops::Range<u64> {
    let start = first + commit * COMMIT_LEN;
    start..start + COMMIT_LEN
}

impl Args {
    /// Writes until killed, or until nobody reads the numbers.
    pub(crate) fn run(self) -> Outcome {
        let options = Options::new().create(false).durability(Durability::Immediate);
        let index = options.open(&self.file).opening(&self.file)?;
        let mut output = io::stdout().lock();
        for commit in 0..COMMIT_COUNT_MAX {
            let mut batch = Batch::new();
            for user in users(self.first, commit) {
                batch.insert(features::key(user), features::value(user));
            }
            let lsn = index.commit(batch).working(&self.file)?;
            index.wait_durable(lsn).working(&self.file)?;
            // A line reaches the pipe with its line end, so the parent has it even if we die now.
            writeln!(output, "{commit}")
                .and_then(|()| output.flush())
                .map_err(|error| Failure::output("standard output", &error))?;
        }
        index.close().working(&self.file)?;
        Ok(Answer::Yes)
    }
}
