//! Processes: one for each suite, store and round. The task goes as an argument in JSON, results
//! come back as lines.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::result::Line;
use crate::store::Result;
use crate::work::Task;

/// This program again, for a task.
pub fn command(task: &Task) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("child").arg(serde_json::to_string(task)?);
    Ok(command)
}

/// Runs a task in a process and gives each of its lines; the reason if it failed.
pub fn run(task: &Task, mut each: impl FnMut(Line)) -> Result<Option<String>> {
    let mut child = command(task)?.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let errors = child.stderr.take();
    // Read in a thread, so that a child that complains at length is not stopped by a full pipe.
    let errors = std::thread::spawn(move || {
        errors.map(std::io::read_to_string).and_then(std::io::Result::ok).unwrap_or_default()
    });
    if let Some(out) = child.stdout.take() {
        for line in BufReader::new(out).lines() {
            if let Ok(line) = serde_json::from_str(&line?) {
                each(line);
            }
        }
    }
    let status = child.wait()?;
    let errors = errors.join().unwrap_or_default();
    let last = errors.trim().lines().last().unwrap_or("").to_owned();
    Ok((!status.success()).then(|| format!("{status}: {last}")))
}
