//! The command-line tool `splitpoint`: make an index file, fill it, ask it, look inside.
//!
//! Parses the arguments, runs one verb, turns its outcome into an exit code. Everything about the
//! file itself is the library's.
#![allow(
    clippy::disallowed_methods,
    reason = "the rule keeps the library's files in its storage layer; these are the user's inputs and outputs"
)]

mod args;
#[cfg(feature = "parquet")]
mod columnar;
mod columns;
mod demo;
mod draw;
mod escape;
mod failure;
mod formats;
mod help;
mod human;
mod inspect;
mod interrupt;
mod keys;
mod output;
mod report;
mod target;
mod verbs;

use std::process::ExitCode;

use clap::Parser;

use crate::failure::{Answer, Failure};

fn main() -> ExitCode {
    let cli = match args::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return not_run(&error),
    };
    match cli.run() {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        // Whoever read our output has had enough (`| head`): that is no failure.
        Err(Failure::ReaderGone) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report();
            ExitCode::from(failure.code())
        }
    }
}

/// Help that was asked for, or arguments that are wrong: in the same manner as every other message.
fn not_run(error: &clap::Error) -> ExitCode {
    match error.to_string().strip_prefix("error: ") {
        Some(message) => failure::say(message.trim_end()),
        // Help; whoever does not read it to its end has had enough.
        None => drop(error.print()),
    }
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}
