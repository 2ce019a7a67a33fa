//! `scan`: records in hash order, from a cursor on.

use std::ffi::OsString;

use serde_json::{Map, Value, json};
use splitpoint::Cursor;

use crate::escape;
use crate::failure::{Answer, Context, Failure, Outcome, say};
use crate::keys;
use crate::output::{Output, put_bytes};
use crate::target::Target;

/// The arguments of `scan`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// Go on where an earlier scan stopped; valid for this file for ever, resizes included.
    #[arg(long, value_name = "CURSOR")]
    from: Option<String>,
    /// Stop after so many records.
    #[arg(long, value_name = "COUNT")]
    limit: Option<u64>,
    /// Only keys that begin so. Every record is read all the same: the order is that of hashes.
    #[arg(long, value_name = "TEXT")]
    prefix: Option<OsString>,
    /// The prefix is given in hexadecimal.
    #[arg(long, requires = "prefix")]
    hex_key: bool,
    /// Print one JSON object a record, and the cursor, if there is more, in one of its own.
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Prints the records, then the cursor if there is more.
    pub(crate) fn run(self) -> Outcome {
        let from = self.from.as_deref().map(parse_cursor).transpose()?;
        let prefix = match &self.prefix {
            Some(prefix) => keys::from_argument(prefix, self.hex_key)?,
            None => Vec::new(),
        };
        let path = self.target.path();
        let index = self.target.read()?;
        let mut scan = match from {
            Some(cursor) => index.scan_from(cursor),
            None => index.iter(),
        }
        .working(path)?;
        let mut output = Output::new();
        let mut left = self.limit.unwrap_or(u64::MAX);
        loop {
            // Taken before the record, so that a record that is not printed comes next time.
            let cursor = (left == 0).then(|| scan.cursor());
            let Some(item) = scan.next() else { break };
            let (key, value) = item.working(path)?;
            if let Some(cursor) = cursor {
                self.print_cursor(&mut output, &cursor)?;
                break;
            }
            if key.starts_with(&prefix) {
                self.print(&mut output, &key, &value)?;
                left -= 1;
            }
        }
        output.finish(Answer::Yes)
    }

    fn print(&self, output: &mut Output, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        if self.json {
            let mut object = Map::new();
            put_bytes(&mut object, "key", key, true);
            put_bytes(&mut object, "value", value, true);
            return output.json(&Value::Object(object));
        }
        let mut line = Vec::new();
        escape::encode_printable(key, &mut line);
        line.push(b'\t');
        escape::encode_printable(value, &mut line);
        output.line(line)
    }

    fn print_cursor(&self, output: &mut Output, cursor: &Cursor) -> Result<(), Failure> {
        if self.json {
            return output.json(&json!({ "cursor": cursor.to_string() }));
        }
        output.flush()?;
        say(format!("there is more; go on with --from {cursor}"));
        Ok(())
    }
}

fn parse_cursor(text: &str) -> Result<Cursor, Failure> {
    text.parse().map_err(|_| {
        Failure::Usage(format!(
            "--from {text}: not a place of a scan, as one that was cut short prints it"
        ))
    })
}
