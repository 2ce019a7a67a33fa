//! Ctrl-C: asked for once, work stops at the next good place; asked for twice, at once.

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

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

/// From now on Ctrl-C ends the process, and these files go first: unfinished ones, which only this
/// process has.
pub(crate) fn watch_over(unfinished: Vec<PathBuf>) -> Result<(), Failure> {
    ctrlc::set_handler(move || {
        for path in &unfinished {
            // One that is not there has got its name, or was never made.
            let _ = std::fs::remove_file(path);
        }
        let _ = writeln!(std::io::stderr(), "splitpoint: interrupted");
        std::process::exit(4);
    })
    .map_err(|error| Failure::Work(format!("cannot watch for Ctrl-C: {error}")))
}

/// Whether it was pressed.
pub(crate) fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}
