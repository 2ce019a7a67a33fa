//! Ends the process if a row takes too long: a hang is a failure with a name. Time is counted in
//! ticks of the watch itself, so that a process that was stopped for a while is not blamed.

use std::sync::Mutex;
use std::time::Duration;

/// The row and how long it was watched.
static ROW: Mutex<Option<(String, Duration)>> = Mutex::new(None);
const TICK: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts the watch.
pub(crate) fn start() {
    std::thread::spawn(|| {
        loop {
            std::thread::sleep(TICK);
            if let Some((name, watched)) = &mut *ROW.lock().unwrap() {
                *watched += TICK;
                if *watched > PATIENCE {
                    println!("{name} ... FAILED: still running after {PATIENCE:?}");
                    std::process::exit(1);
                }
            }
        }
    });
}

/// A row begins.
pub(crate) fn begin(name: &str) {
    *ROW.lock().unwrap() = Some((name.to_owned(), Duration::ZERO));
}

/// It has ended.
pub(crate) fn end() {
    *ROW.lock().unwrap() = None;
}
