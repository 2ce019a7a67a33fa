//! How a verb ends: an [`Answer`], or a [`Failure`] with its exit code. Knows nothing of verbs.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;

/// What a verb returns.
pub(crate) type Outcome = Result<Answer, Failure>;

/// A verb that did its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Exit code 0.
    Yes,
    /// Exit code 1: the key is absent, the check found damage.
    No,
}

/// A verb that did not.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Exit code 2: the arguments make no sense together.
    Usage(String),
    /// Exit code 3: the index or the input cannot be opened.
    Open(String),
    /// Exit code 4: something broke on the way.
    Work(String),
    /// Exit code 0: the reader of our output has gone.
    ReaderGone,
}

impl Failure {
    /// The exit code, as `--help` lists them.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Failure::Usage(_) => 2,
            Failure::Open(_) => 3,
            Failure::Work(_) => 4,
            Failure::ReaderGone => 0,
        }
    }

    /// Prints the message on standard error. There is nobody to tell if that fails too.
    pub(crate) fn report(&self) {
        match self {
            Failure::Usage(message) | Failure::Open(message) | Failure::Work(message) => {
                say(message);
            }
            Failure::ReaderGone => {}
        }
    }

    /// The index at `path` could not be opened.
    pub(crate) fn opening(path: &Path, error: &splitpoint::Error) -> Failure {
        use splitpoint::Error;
        match error {
            Error::InvalidOption { .. } => Failure::Usage(error.to_string()),
            Error::Locked { path } => Failure::Open(format!(
                "{} is locked by another process; close it there and try again (with --wait \
                 SECONDS, where the verb has it); check, stat, dump, explain and backup need no lock",
                path.display()
            )),
            Error::Io { source, path: at, .. }
                if source.kind() == io::ErrorKind::NotFound && at == path =>
            {
                Failure::Open(format!(
                    "{error}; `splitpoint load` or `splitpoint create` makes a new index"
                ))
            }
            // The file that is in the way may be another than the one that is read.
            Error::Io { source, path: at, .. } if source.kind() == io::ErrorKind::AlreadyExists => {
                Failure::Open(format!(
                    "{} exists already; choose another name, or remove it first",
                    at.display()
                ))
            }
            _ => Failure::Open(with_path(path, error)),
        }
    }

    /// A call on the open index at `path` failed.
    pub(crate) fn working(path: &Path, error: &splitpoint::Error) -> Failure {
        use splitpoint::Error;
        match error {
            Error::InvalidOption { .. } | Error::ForeignCursor => {
                Failure::Usage(with_path(path, error))
            }
            _ => Failure::Work(with_path(path, error)),
        }
    }

    /// A write to our output failed.
    pub(crate) fn output(name: impl Display, error: &io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::ReaderGone,
            _ => Failure::Work(format!("cannot write to {name}: {error}")),
        }
    }
}

/// Prints a line on standard error, as every message of this tool begins.
pub(crate) fn say(message: impl Display) {
    let _ = writeln!(io::stderr(), "splitpoint: {message}");
}

/// The error's words, with the file's name in front unless they have it.
fn with_path(path: &Path, error: &splitpoint::Error) -> String {
    let words = error.to_string();
    let name = path.display().to_string();
    if words.contains(&name) { words } else { format!("{name}: {words}") }
}

/// Turns the library's errors into failures that name the file.
pub(crate) trait Context<T> {
    /// For calls that open the index.
    fn opening(self, path: &Path) -> Result<T, Failure>;
    /// For calls on the open index.
    fn working(self, path: &Path) -> Result<T, Failure>;
}

impl<T> Context<T> for splitpoint::Result<T> {
    fn opening(self, path: &Path) -> Result<T, Failure> {
        self.map_err(|error| Failure::opening(path, &error))
    }

    fn working(self, path: &Path) -> Result<T, Failure> {
        self.map_err(|error| Failure::working(path, &error))
    }
}
