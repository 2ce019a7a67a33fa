//! `export`: all records as text or binary, for `load` to read.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use splitpoint::{Corruption, Error, Index};

use crate::columns::Columns;
use crate::escape;
use crate::failure::{Answer, Context, Failure, Outcome, say};
use crate::formats::{self, Encoding, Format, SinkError};
use crate::interrupt;
use crate::target::{Target, temporary_for};

/// The arguments of `export`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// Where to; `-` or nothing is standard output. A file must not exist yet, and appears only
    /// when it is whole.
    #[arg(value_name = "OUTPUT")]
    output: Option<PathBuf>,
    /// The format; told from the name of OUTPUT if not given.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// How bytes are written in csv and jsonl [default: utf8].
    #[arg(long, value_enum)]
    encoding: Option<Encoding>,
    /// Pass over records that are damaged, and say which pages they stood on.
    #[arg(long)]
    skip_damaged: bool,
}

impl Args {
    /// Writes them, in hash order.
    pub(crate) fn run(self) -> Outcome {
        let file = self.output.as_deref().filter(|path| *path != Path::new("-"));
        let format = formats::choose(self.format, file)?;
        let encoding = formats::choose_encoding(format, self.encoding)?;
        let index = self.target.read()?;
        interrupt::watch()?;
        match file {
            None => {
                let mut output = BufWriter::with_capacity(1 << 16, io::stdout().lock());
                self.write(&index, &mut output, "standard output", format, encoding)?;
            }
            Some(path) => self.write_file(&index, path, format, encoding)?,
        }
        Ok(Answer::Yes)
    }

    /// Writes to a temporary neighbour of `path`, and gives it its name when it is whole.
    fn write_file(
        &self,
        index: &Index,
        path: &Path,
        format: Format,
        encoding: Encoding,
    ) -> Result<(), Failure> {
        let open =
            |error: &io::Error| Failure::Open(format!("cannot create {}: {error}", path.display()));
        if fs::symlink_metadata(path).is_ok() {
            return Err(Failure::Open(format!(
                "{} exists already; choose another name, or remove it first",
                path.display()
            )));
        }
        let temporary = temporary_for(path).map_err(|error| open(&error))?;
        let mut output = BufWriter::with_capacity(1 << 16, temporary);
        self.write(index, &mut output, path.display(), format, encoding)?;
        let temporary =
            output.into_inner().map_err(|error| Failure::output(path.display(), error.error()))?;
        temporary.as_file().sync_all().map_err(|error| Failure::output(path.display(), &error))?;
        temporary.persist_noclobber(path).map_err(|error| open(&error.error))?;
        Ok(())
    }

    fn write(
        &self,
        index: &Index,
        output: &mut dyn Write,
        name: impl std::fmt::Display,
        format: Format,
        encoding: Encoding,
    ) -> Result<(), Failure> {
        let path = self.target.path();
        let fail = |key: Option<&[u8]>, error| match (error, key) {
            (SinkError::Io(error), _) => Failure::output(&name, &error),
            (SinkError::Record(why), Some(key)) => {
                Failure::Work(format!("{}, key {}: {why}", path.display(), escape::shown(key)))
            }
            (SinkError::Record(why), None) => Failure::Work(why),
        };
        let metadata = index.metadata().working(path)?;
        let columns = Columns::from_metadata(&metadata).unwrap_or_else(Columns::unnamed);
        let mut sink = formats::sink(&mut *output, format, encoding, columns)
            .map_err(|error| fail(None, error))?;
        let records = index.iter().working(path)?;
        let records = if self.skip_damaged { records.skip_damaged() } else { records };
        let mut skipped = Skipped::default();
        for item in records {
            let (key, value) = match item {
                Err(Error::Corruption(damage)) if self.skip_damaged => {
                    skipped.add(&damage);
                    continue;
                }
                item => item.working(path)?,
            };
            sink.write(&key, &value).map_err(|error| fail(Some(&key), error))?;
            if interrupt::asked() {
                return Err(Failure::Work("interrupted; the output is not whole".to_owned()));
            }
        }
        drop(sink);
        skipped.say(index.len());
        output.flush().map_err(|error| Failure::output(&name, &error))
    }
}

/// What `--skip-damaged` passed over.
#[derive(Default)]
struct Skipped {
    /// Once each: an overflow page comes up for each of its buckets.
    damage: BTreeSet<String>,
}

impl Skipped {
    /// Damage that is told one by one.
    const SAID_MAX: usize = 20;

    fn add(&mut self, damage: &Corruption) {
        let words = damage.to_string();
        let is_new = self.damage.insert(words.clone());
        if is_new && self.damage.len() <= Skipped::SAID_MAX {
            say(words);
        }
    }

    fn say(&self, record_count: u64) {
        if !self.damage.is_empty() {
            say(format!(
                "{} damaged places passed over, and the records there with them; the index says \
                 that it has {record_count}; `splitpoint salvage` may find more",
                self.damage.len()
            ));
        }
    }
}
