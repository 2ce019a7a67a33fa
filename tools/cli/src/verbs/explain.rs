//! `explain`: the way of a lookup.

use std::ffi::OsString;
use std::path::PathBuf;

use splitpoint::inspect::Value;

use crate::draw::{Paint, explain, report};
use crate::failure::{Answer, Outcome};
use crate::inspect::{self, Subject};
use crate::keys;
use crate::output::Output;

/// The arguments of `explain`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The index file; it may be damaged, or open in another process.
    file: PathBuf,
    /// The key, as text.
    key: OsString,
    /// The key is given in hexadecimal.
    #[arg(long)]
    hex_key: bool,
    /// Print it as one JSON object.
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Prints the steps; the answer is no if a lookup would not find the key.
    pub(crate) fn run(self) -> Outcome {
        let key = keys::from_argument(&self.key, self.hex_key)?;
        let seen = inspect::view(&self.file, &Subject::Key(key))?;
        let mut output = Output::new();
        if self.json {
            output.json_pretty(&report::to_json(&seen))?;
        } else {
            output.bytes(explain::draw(&seen, Paint::of_stdout()).as_bytes())?;
        }
        let is_found = seen.field("result") == Some(&Value::Text("found".to_owned()));
        output.finish(if is_found { Answer::Yes } else { Answer::No })
    }
}
