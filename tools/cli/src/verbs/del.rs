//! `del`: remove keys.

use std::ffi::OsString;

use serde_json::{Map, Value, json};

use crate::escape;
use crate::failure::{Answer, Context, Outcome, say};
use crate::keys;
use crate::output::{Output, put_bytes};
use crate::target::Target;

/// The arguments of `del`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// The keys, as text.
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<OsString>,
    /// The keys are given in hexadecimal.
    #[arg(long)]
    hex_key: bool,
    /// Print one JSON object a key: key, removed.
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Removes them, durably; the answer is no if one was absent.
    pub(crate) fn run(self) -> Outcome {
        let keys: Result<Vec<_>, _> =
            self.keys.iter().map(|key| keys::from_argument(key, self.hex_key)).collect();
        let keys = keys?;
        let path = self.target.path();
        let index = self.target.write()?;
        let mut output = Output::new();
        let mut answer = Answer::Yes;
        for key in &keys {
            let removed = index.remove(key).working(path)?;
            if !removed {
                answer = Answer::No;
            }
            if self.json {
                let mut object = Map::new();
                put_bytes(&mut object, "key", key, !self.hex_key);
                object.insert("removed".to_owned(), json!(removed));
                output.json(&Value::Object(object))?;
            } else if !removed {
                say(format!("{}: no key {}", path.display(), escape::shown(key)));
            }
        }
        index.close().working(path)?;
        output.finish(answer)
    }
}
