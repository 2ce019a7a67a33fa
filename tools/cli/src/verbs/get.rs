//! `get`: the value of a key, or of many.

use std::ffi::OsString;
use std::io;

use serde_json::{Map, Value, json};
use splitpoint::Index;

use crate::escape;
use crate::failure::{Answer, Context, Failure, Outcome, say};
use crate::keys;
use crate::output::{Output, put_bytes};
use crate::target::Target;

/// The arguments of `get`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// The keys, as text; `-` alone reads them from standard input, as --stdin does.
    #[arg(value_name = "KEY", required_unless_present = "stdin", conflicts_with = "stdin")]
    keys: Vec<OsString>,
    /// Read keys from standard input, one a line, escaped as `scan` prints them.
    #[arg(long)]
    stdin: bool,
    /// The keys are given in hexadecimal.
    #[arg(long)]
    hex_key: bool,
    /// Print values in hexadecimal.
    #[arg(long)]
    hex: bool,
    /// Print one JSON object a key: key, found, value (…_hex where not UTF-8).
    #[arg(long)]
    json: bool,
}

/// Where the answers go.
struct Printer<'a> {
    args: &'a Args,
    index: &'a Index,
    output: Output,
    /// Whether a value stands alone, and is printed as it is.
    single: bool,
    answer: Answer,
}

impl Args {
    /// Prints the values; the answer is no if a key is absent.
    pub(crate) fn run(self) -> Outcome {
        let from_stdin = self.stdin || self.keys.as_slice() == ["-"];
        let index = self.target.read()?;
        let single = !from_stdin && self.keys.len() == 1;
        let output = Output::new();
        let mut printer =
            Printer { args: &self, index: &index, output, single, answer: Answer::Yes };
        if from_stdin {
            keys::from_lines(io::stdin().lock(), self.hex_key, |key| printer.print(&key))?;
        } else {
            for key in &self.keys {
                printer.print(&keys::from_argument(key, self.hex_key)?)?;
            }
        }
        let Printer { output, answer, .. } = printer;
        output.finish(answer)
    }
}

impl Printer<'_> {
    /// Looks one key up and prints its value.
    fn print(&mut self, key: &[u8]) -> Result<(), Failure> {
        let value = self.index.get(key).working(self.args.target.path())?;
        let value = value.as_deref();
        if value.is_none() {
            self.answer = Answer::No;
        }
        if self.args.json {
            return self.json(key, value);
        }
        match value {
            None => {
                // In order with what came before, where both go to one terminal.
                self.output.flush()?;
                say(format!("{}: no key {}", self.args.target.path().display(), self.name(key)));
                Ok(())
            }
            Some(value) if self.single => self.alone(value),
            Some(value) => self.row(key, value),
        }
    }

    fn name(&self, key: &[u8]) -> String {
        if self.args.hex_key { hex::encode(key) } else { escape::shown(key) }
    }

    fn json(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), Failure> {
        let mut object = Map::new();
        put_bytes(&mut object, "key", key, !self.args.hex_key);
        object.insert("found".to_owned(), json!(value.is_some()));
        if let Some(value) = value {
            put_bytes(&mut object, "value", value, !self.args.hex);
        }
        self.output.json(&Value::Object(object))
    }

    fn alone(&mut self, value: &[u8]) -> Result<(), Failure> {
        if self.args.hex {
            return self.output.line(hex::encode(value));
        }
        self.output.bytes(value)?;
        if self.output.is_terminal() { self.output.bytes(b"\n") } else { Ok(()) }
    }

    fn row(&mut self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        let mut line = Vec::new();
        if self.args.hex_key {
            line.extend_from_slice(hex::encode(key).as_bytes());
        } else {
            escape::encode_printable(key, &mut line);
        }
        line.push(b'\t');
        if self.args.hex {
            line.extend_from_slice(hex::encode(value).as_bytes());
        } else {
            escape::encode_printable(value, &mut line);
        }
        self.output.line(line)
    }
}
