//! `dump`: what stands in a file, by its parts.

use std::ffi::OsString;
use std::path::PathBuf;

use serde_json::json;

use crate::draw::{Paint, hex, report};
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
    /// Print the bytes of its pages as well, each under its name.
    #[arg(long, global = true)]
    hex: bool,
}

#[derive(clap::Subcommand)]
enum What {
    /// The four meta pages.
    Meta,
    /// The directories of buckets and overflow chains, page by page.
    Directory,
    /// The bitmap of used pages, and which are free.
    Bitmap,
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
    /// The overflow chain of a run of 16 buckets.
    Overflow {
        /// The run's number.
        number: u64,
    },
    /// A page of a large record: whose it is.
    Value {
        /// The page's number.
        number: u64,
    },
    /// The log: records, operations, what is durable, where and why it ends.
    Log {
        /// One segment of it.
        segment: Option<u64>,
        /// How many records of a segment to show.
        #[arg(long, value_name = "N", default_value = "1000")]
        limit: usize,
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
            What::Directory => Subject::Directory,
            What::Bitmap => Subject::Bitmap,
            What::Page { number } => Subject::Page(*number),
            What::Bucket { number } => Subject::Bucket(*number),
            What::Overflow { number } => Subject::Overflow(*number),
            What::Value { number } => Subject::Value(*number),
            What::Log { segment, limit } => Subject::Log(*segment, *limit),
            What::Key { key, hex_key } => Subject::Key(keys::from_argument(key, *hex_key)?),
        })
    }
}

impl Args {
    /// Prints it; the answer is no if it is damaged.
    pub(crate) fn run(self) -> Outcome {
        let subject = self.what.subject()?;
        let (seen, pages) = match self.hex {
            true => inspect::view_with_bytes(&self.file, &subject)?,
            false => (inspect::view(&self.file, &subject)?, Vec::new()),
        };
        let mut output = Output::new();
        if self.json {
            let mut object = report::to_json(&seen);
            if let (true, Some(object)) = (self.hex, object.as_object_mut()) {
                let pages = pages.iter().map(hex::to_json).collect::<Vec<_>>();
                object.insert("bytes".to_owned(), json!(pages));
            }
            output.json_pretty(&object)?;
        } else {
            let paint = Paint::of_stdout();
            output.line(report::lines(&seen, paint).trim_end())?;
            for page in &pages {
                output.line("")?;
                output.line(hex::draw(page, paint).trim_end())?;
            }
        }
        output.finish(if seen.is_sound() { Answer::Yes } else { Answer::No })
    }
}
