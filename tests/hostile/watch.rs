//! Ends the process if a row takes too long: a hang is a failure with a name.

use std::sync::Mutex;
use std::time::{Duration, Instant};

static ROW: Mutex<Option<(String, Instant)>> = Mutex::new(None);
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts the watch.
pub(crate) fn start() {
    std::thread::spawn(|| {
        loop {
            std::thread::sleep(Duration::from_millis(500));
            if let Some((name, since)) = &*ROW.lock().unwrap()
                && since.elapsed() > PATIENCE
            {
                println!("{name} ... FAILED: still running after {PATIENCE:?}");
                std::process::exit(1);
            }
        }
    });
}

/// A row begins.
pub(crate) fn begin(name: &str) {
    *ROW.lock().unwrap() = Some((name.to_owned(), Instant::now()));
}

/// It has ended.
pub(crate) fn end() {
    *ROW.lock().unwrap() = None;
}
