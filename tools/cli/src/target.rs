//! The index file that a verb works on, and how it is opened. Knows nothing of what is done to it.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use splitpoint::{Durability, Index, Options};

use crate::failure::{Context, Failure};

/// The index file, as every verb takes it.
#[derive(clap::Args)]
pub(crate) struct Target {
    /// The index file.
    file: PathBuf,
    /// Wait so long for another process to release the file (fractions allowed).
    #[arg(long, value_name = "SECONDS", default_value = "0", hide_default_value = true)]
    #[arg(value_parser = seconds)]
    wait: Duration,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(number).map_err(|error| error.to_string())
}

impl Target {
    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.file
    }

    /// How long to wait for another process.
    pub(crate) fn wait(&self) -> Duration {
        self.wait
    }

    /// Opens it for reading only: nothing on disk changes, not even after a crash.
    pub(crate) fn read(&self) -> Result<Index, Failure> {
        self.try_read().opening(&self.file)
    }

    /// As [`Target::read`], with the library's own error.
    pub(crate) fn try_read(&self) -> splitpoint::Result<Index> {
        let options = Options::new().create(false).read_only(true).wait_for_lock(self.wait);
        options.open(&self.file)
    }

    /// Opens it for writing; each commit is durable when its call returns.
    pub(crate) fn write(&self) -> Result<Index, Failure> {
        self.open(Options::new().create(false).durability(Durability::Immediate))
    }

    /// Opens it with these options, and the wait that the user asked for.
    pub(crate) fn open(&self, options: Options) -> Result<Index, Failure> {
        options.wait_for_lock(self.wait).open(&self.file).opening(&self.file)
    }
}

/// A file beside `path` that is removed unless it gets that name: its own says whose it is, for
/// whoever finds it after a kill, and it may be read by whom the user lets read files.
pub(crate) fn temporary_for(path: &Path) -> io::Result<tempfile::NamedTempFile> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut prefix = OsString::from(".");
    prefix.push(path.file_name().unwrap_or_default());
    prefix.push(".partial-");
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix);
    #[cfg(unix)]
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    #[cfg(unix)]
    builder.permissions(mode);
    builder.tempfile_in(folder)
}
