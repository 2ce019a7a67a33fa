//! Tortures the index: kills writers, injects errors into their system calls, cuts file systems off
//! under them, fills disks; and looks for what was lost. See README.md.

mod cut;
mod full;
mod inject;
mod judge;
mod kill;
mod message;
mod mount;
mod shutdown;
mod workload;
mod writer;

use std::process::ExitCode;

const USAGE: &str =
    "usage: splitpoint-torture kill|liar|inject|ext4|xfs|full [SEED] [COUNT] [FOLDER]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(("writer", rest)) = arguments.split_first().map(|(verb, rest)| (&**verb, rest)) {
        return writer::main(rest);
    }
    match torture(&arguments) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(words) => {
            eprintln!("FAILED: {words}");
            ExitCode::FAILURE
        }
    }
}

fn torture(arguments: &[String]) -> Result<String, String> {
    let word = |i: usize| arguments.get(i).map(String::as_str);
    let number = |i: usize, default: u64| word(i).map_or(Some(default), |word| word.parse().ok());
    let (Some(seed), count) = (number(1, 1), |default| number(2, default)) else {
        return Err(USAGE.to_owned());
    };
    // In memory where that exists: what these tests do costs no disk.
    let memory = std::path::Path::new("/dev/shm");
    let folder = word(3).map_or(memory, std::path::Path::new);
    let folder = tempfile::tempdir_in(folder).map_err(|error| format!("a folder: {error}"))?;
    match (word(0), count) {
        (Some("kill"), count) => kill::run(folder.path(), seed, count(10_000).ok_or(USAGE)?, false),
        (Some("liar"), count) => {
            match kill::run(folder.path(), seed, count(1_000).ok_or(USAGE)?, true) {
                Err(words) if words.contains("lost") => Ok(format!("liar: caught: {words}")),
                other => Err(format!("a writer that lies was not caught: {other:?}")),
            }
        }
        (Some(kind @ ("ext4" | "xfs")), count) => {
            cut::run(folder.path(), kind, seed, count(200).ok_or(USAGE)?)
        }
        (Some("inject"), count) => inject::run(folder.path(), seed, count(40).ok_or(USAGE)?),
        (Some("full"), count) => {
            let rounds = count(30).ok_or(USAGE)?;
            for kind in ["ext4", "tmpfs"] {
                println!("{}", full::run(folder.path(), kind, seed, rounds)?);
            }
            Ok("full: done".to_owned())
        }
        _ => Err(USAGE.to_owned()),
    }
}
