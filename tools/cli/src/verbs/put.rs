//! `put`: set the value of a key.

use std::ffi::OsString;
use std::io::{self, Read};

use serde_json::json;

use crate::failure::{Answer, Context, Failure, Outcome};
use crate::keys;
use crate::output::Output;
use crate::target::Target;

/// The longest value that an index takes, in bytes.
const VALUE_LEN_MAX: u64 = u32::MAX as u64;

/// The arguments of `put`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// The key, as text.
    key: OsString,
    /// The value, as text; `-` reads it from standard input, any bytes.
    #[arg(allow_hyphen_values = true)]
    value: OsString,
    /// The key is given in hexadecimal.
    #[arg(long)]
    hex_key: bool,
    /// The value is given in hexadecimal.
    #[arg(long)]
    hex: bool,
    /// Print whether the key is new as JSON: {"new": true}.
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Sets it, durably.
    pub(crate) fn run(self) -> Outcome {
        let key = keys::from_argument(&self.key, self.hex_key)?;
        let value = self.value()?;
        let path = self.target.path();
        let index = self.target.write()?;
        let new = index.insert(&key, &value).working(path)?;
        index.close().working(path)?;
        let mut output = Output::new();
        if self.json {
            output.json(&json!({ "new": new }))?;
        }
        output.finish(Answer::Yes)
    }

    fn value(&self) -> Result<Vec<u8>, Failure> {
        if self.value != "-" {
            return keys::from_argument(&self.value, self.hex);
        }
        let mut value = Vec::new();
        // One byte more than fits is enough to let the index refuse it.
        let input = io::stdin().lock().take(VALUE_LEN_MAX + 1).read_to_end(&mut value);
        input.map_err(|error| Failure::Work(format!("cannot read standard input: {error}")))?;
        if self.hex {
            return keys::hex_text(value.trim_ascii());
        }
        Ok(value)
    }
}
