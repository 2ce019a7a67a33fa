//! `dump`: what stands on a page.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::failure::{Answer, Failure, Outcome};
use crate::inspect::{self, Subject};
use crate::keys;
use crate::output::Output;

/// The arguments of `dump`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The index file; it may be damaged, or open in another process.
    file: PathBuf,
    #[command(subcommand)]
    what: What,
    /// Print it as one JSON object.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(clap::Subcommand)]
enum What {
    /// The four meta pages.
    Meta,
    /// A page.
    Page {
        /// Its number.
        number: u64,
    },
    /// A bucket: its page, and its share of the overflow.
    Bucket {
        /// Its number.
        number: u64,
    },
    /// The place of a key.
    Key {
        /// The key, as text.
        key: OsString,
        /// The key is given in hexadecimal.
        #[arg(long)]
        hex_key: bool,
    },
}

impl What {
    fn subject(&self) -> Result<Subject, Failure> {
        Ok(match self {
            What::Meta => Subject::Meta,
            What::Page { number } => Subject::Page(*number),
            What::Bucket { number } => Subject::Bucket(*number),
            What::Key { key, hex_key } => Subject::Key(keys::from_argument(key, *hex_key)?),
        })
    }
}

impl Args {
    /// Prints it; the answer is no if it is damaged.
    pub(crate) fn run(self) -> Outcome {
        let report = inspect::view(&self.file, &self.what.subject()?)?;
        let mut output = Output::new();
        if self.json {
            output.json_pretty(&inspect::to_json(&report))?;
        } else {
            output.line(report.to_string().trim_end())?;
        }
        output.finish(if report.is_sound() { Answer::Yes } else { Answer::No })
    }
}
