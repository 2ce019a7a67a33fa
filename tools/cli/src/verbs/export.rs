//! `export`: all records as text or binary, for `load` to read.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use splitpoint::Index;

use crate::columns::Columns;
use crate::escape;
use crate::failure::{Answer, Context, Failure, Outcome};
use crate::formats::{self, Encoding, Format, SinkError};
use crate::interrupt;
use crate::target::Target;

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
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let temporary = tempfile::NamedTempFile::new_in(folder).map_err(|error| open(&error))?;
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
        for item in index.iter().working(path)? {
            let (key, value) = item.working(path)?;
            sink.write(&key, &value).map_err(|error| fail(Some(&key), error))?;
            if interrupt::asked() {
                return Err(Failure::Work("interrupted; the output is not whole".to_owned()));
            }
        }
        drop(sink);
        output.flush().map_err(|error| Failure::output(&name, &error))
    }
}
