//! Ctrl-C: asked for once, work stops at the next good place; asked for twice, at once.

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::failure::Failure;

static ASKED: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl-C (and a polite kill) is noted instead of ending the process.
pub(crate) fn watch() -> Result<(), Failure> {
    ctrlc::set_handler(|| {
        if ASKED.swap(true, Ordering::SeqCst) {
            // The second time: an index survives that as it survives any crash.
            std::process::exit(4);
        }
    })
    .map_err(|error| Failure::Work(format!("cannot watch for Ctrl-C: {error}")))
}

/// Files that go when Ctrl-C ends the process.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// From now on Ctrl-C ends the process, and these files go first: unfinished ones, which only this
/// process has, until [`let_go`].
pub(crate) fn watch_over(unfinished: Vec<PathBuf>) -> Result<(), Failure> {
    *UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner) = unfinished;
    ctrlc::set_handler(|| {
        // Held to the end: who would let go of them waits, and they are still this process's.
        let _held = remove_unfinished();
        let _ = writeln!(std::io::stderr(), "splitpoint: interrupted");
        std::process::exit(4);
    })
    .map_err(|error| Failure::Work(format!("cannot watch for Ctrl-C: {error}")))
}

fn remove_unfinished() -> MutexGuard<'static, Vec<PathBuf>> {
    let unfinished = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner);
    for path in unfinished.iter() {
        // One that is not there has got its name, or was never made.
        let _ = std::fs::remove_file(path);
    }
    unfinished
}

/// From now on Ctrl-C removes nothing: files of these names may be another process's soon.
pub(crate) fn let_go() {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// Whether it was pressed.
pub(crate) fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_been_let_go_is_not_removed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let hold = || *UNFINISHED.lock().unwrap() = vec![file.path().to_owned()];
        hold();
        let_go();
        drop(remove_unfinished());
        assert!(file.path().exists());
        hold();
        drop(remove_unfinished());
        assert!(!file.path().exists());
        let_go();
    }
}
