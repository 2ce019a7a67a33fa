//! The inputs of `load`: which file, in which format, which columns of it; opened, with a bar that
//! shows how far it has been read. Knows nothing of the index.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use indicatif::{ProgressBar, ProgressStyle};

use crate::columns::Choice;
use crate::failure::Failure;
use crate::formats::{self, Encoding, Format, Numbers, Reading, Source};
use crate::human;

/// How inputs are read.
#[derive(clap::Args)]
pub(super) struct InputArgs {
    /// The format; told from the name of INPUT if not given.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The column that is the key (not for jsonl, pairs) [default: the first].
    #[arg(long, value_name = "COLUMN")]
    key: Option<String>,
    /// The columns that make the value, in this order, with commas between them (not for jsonl,
    /// pairs) [default: all others].
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    value: Option<Vec<String>>,
    /// What numbers become (parquet, arrow) [default: text].
    #[arg(long, value_enum)]
    numbers: Option<Numbers>,
    /// What stands for a null in a value column (parquet, arrow); without it, a row with one is bad.
    #[arg(long, value_name = "TEXT")]
    null: Option<String>,
    /// How bytes are written in csv and jsonl [default: utf8].
    #[arg(long, value_enum)]
    encoding: Option<Encoding>,
    /// The longest line or record; a longer one is bad.
    #[arg(long, value_name = "BYTES", default_value_t = 256 * 1024 * 1024)]
    record_max: u64,
}

/// An input that is open.
pub(super) struct Input {
    pub(super) name: String,
    pub(super) source: Box<dyn Source>,
    /// Its length in bytes, and how much of it has been read.
    len: Option<u64>,
    read: Arc<AtomicU64>,
}

impl InputArgs {
    /// Opens a file, or standard input; what tells its columns is read. A batch of Parquet or Arrow
    /// may take `batch_max` bytes.
    pub(super) fn open(&self, input: Option<&Path>, batch_max: u64) -> Result<Input, Failure> {
        let path = input.filter(|path| *path != Path::new("-"));
        let format = formats::choose(self.format, path)?;
        let encoding = formats::choose_encoding(format, self.encoding)?;
        self.check(format)?;
        let name = path.map_or("standard input".to_owned(), |path| path.display().to_string());
        let open = |error: io::Error| Failure::Open(format!("cannot open {name}: {error}"));
        let file = path.map(File::open).transpose().map_err(open)?;
        let metadata = file.as_ref().map(File::metadata).transpose().map_err(open)?;
        if metadata.as_ref().is_some_and(std::fs::Metadata::is_dir) {
            return Err(open(io::ErrorKind::IsADirectory.into()));
        }
        let len = metadata.filter(std::fs::Metadata::is_file).map(|metadata| metadata.len());
        let read = Arc::default();
        let source = if format.is_columnar() {
            self.columnar(format, file, len, &read, batch_max)
        } else {
            let input: Box<dyn Read + Send> = match file {
                Some(file) => Box::new(file),
                None => Box::new(io::stdin()),
            };
            let input: Box<dyn BufRead + Send> =
                Box::new(BufReader::with_capacity(1 << 17, counting(input, &read)));
            let columns = self.choice();
            let record_max = self.record_max();
            formats::source(input, &Reading { format, encoding, columns, record_max })
        };
        let source = source.map_err(|why| Failure::Work(format!("{name}: {why}")))?;
        Ok(Input { name, source, len, read })
    }

    /// Whether what was asked for goes with the format.
    fn check(&self, format: Format) -> Result<(), Failure> {
        let usage = |words: &str| Err(Failure::Usage(words.to_owned()));
        if (self.key.is_some() || self.value.is_some())
            && !(format.has_header() || format.is_columnar())
        {
            return usage("--key and --value name columns; jsonl and pairs have none");
        }
        if (self.numbers.is_some() || self.null.is_some()) && !format.is_columnar() {
            return usage(
                "--numbers and --null are for parquet and arrow; all else is text already",
            );
        }
        if self.null.is_some() && self.numbers == Some(Numbers::Raw) {
            return usage("--null is a text; with --numbers raw no text stands among the bytes");
        }
        if format.is_columnar() && !cfg!(feature = "parquet") {
            return usage(
                "this splitpoint was built without parquet and arrow; build it with \
                 `cargo build --release -p splitpoint-cli --features parquet`",
            );
        }
        Ok(())
    }

    /// Whether batches of columns are among what these paths name.
    pub(super) fn has_columnar(&self, paths: &[PathBuf]) -> bool {
        let format = |path: Option<&Path>| formats::choose(self.format, path);
        let is_columnar = |path| format(path).is_ok_and(Format::is_columnar);
        is_columnar(None) || paths.iter().any(|path| is_columnar(Some(path)))
    }

    fn choice(&self) -> Choice {
        Choice { key: self.key.clone(), values: self.value.clone() }
    }

    fn record_max(&self) -> usize {
        usize::try_from(self.record_max).unwrap_or(usize::MAX)
    }

    #[cfg(feature = "parquet")]
    fn columnar(
        &self,
        format: Format,
        file: Option<File>,
        len: Option<u64>,
        read: &Arc<AtomicU64>,
        batch_max: u64,
    ) -> Result<Box<dyn Source>, String> {
        use std::io::{Seek, SeekFrom};

        use crate::columnar::{self, Reading};

        let reading = Reading {
            columns: self.choice(),
            numbers: self.numbers.unwrap_or_default(),
            null: self.null.clone(),
            record_max: self.record_max(),
            batch_max,
        };
        let (mut file, len) = match (file, len) {
            (Some(file), Some(len)) => (file, len),
            _ if format == Format::Parquet => {
                return Err("parquet is read from a file, not from a pipe: its footer comes first"
                    .to_owned());
            }
            // A named pipe has no length, and is read as standard input is.
            (Some(pipe), None) => {
                return columnar::arrow(counting(Box::new(pipe), read), None, &reading);
            }
            (None, _) => {
                return columnar::arrow(counting(Box::new(io::stdin()), read), None, &reading);
            }
        };
        if format == Format::Parquet {
            return columnar::parquet(file, &reading, Arc::clone(read));
        }
        let mut tail = [0; 10];
        let mut look = || {
            file.seek(SeekFrom::Start(len.saturating_sub(10)))?;
            let read = if len < 10 { Ok(()) } else { file.read_exact(&mut tail) };
            file.seek(SeekFrom::Start(0)).and(read)
        };
        look().map_err(|error: io::Error| error.to_string())?;
        let input = BufReader::with_capacity(1 << 17, file);
        columnar::arrow(counting(Box::new(input), read), Some((tail, len)), &reading)
    }

    #[cfg(not(feature = "parquet"))]
    #[expect(clippy::unused_self, reason = "it takes what its namesake takes")]
    fn columnar(
        &self,
        _: Format,
        _: Option<File>,
        _: Option<u64>,
        _: &Arc<AtomicU64>,
        _: u64,
    ) -> Result<Box<dyn Source>, String> {
        Err("this splitpoint was built without parquet and arrow".to_owned())
    }
}

/// How far inputs have been read, shown on a terminal only.
pub(super) struct Progress {
    pub(super) bar: ProgressBar,
    read: Vec<Arc<AtomicU64>>,
}

impl Progress {
    /// Of inputs that are read together.
    pub(super) fn of(inputs: &[Input]) -> Progress {
        let len = inputs.iter().try_fold(0_u64, |sum, input| sum.checked_add(input.len?));
        let (bar, template) = match len {
            Some(len) => (
                ProgressBar::new(len),
                "{bar:30} {percent:>3} %  reading  {msg}  {bytes_per_sec}  {eta} left",
            ),
            None => {
                (ProgressBar::no_length(), "{spinner} {bytes}  reading  {msg}  {bytes_per_sec}")
            }
        };
        set_style(&bar, template);
        Progress { bar, read: inputs.iter().map(|input| Arc::clone(&input.read)).collect() }
    }

    pub(super) fn show(&self, loaded: u64) {
        self.bar.set_position(self.read.iter().map(|read| read.load(Ordering::Relaxed)).sum());
        self.bar.set_message(format!("{} records", human::count(loaded)));
    }
}

/// Gives a bar another look.
pub(super) fn set_style(bar: &ProgressBar, template: &str) {
    let style = ProgressStyle::with_template(template);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
}

/// The input, counted.
fn counting(input: Box<dyn Read + Send>, read: &Arc<AtomicU64>) -> Box<dyn Read + Send> {
    Box::new(Counted { input, read: Arc::clone(read) })
}

/// Counts what passes through.
struct Counted<R> {
    input: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.input.read(buffer)?;
        self.read.fetch_add(len as u64, Ordering::Relaxed);
        Ok(len)
    }
}
