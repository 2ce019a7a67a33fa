//! The command-line tool `splitpoint`: make an index file, fill it, ask it, look inside.
//!
//! Parses the arguments, runs one verb, turns its outcome into an exit code. Everything about the
//! file itself is the library's.
#![allow(
    clippy::disallowed_methods,
    reason = "the rule keeps the library's files in its storage layer; these are the user's inputs and outputs"
)]

mod args;
mod columns;
mod demo;
mod escape;
mod failure;
mod formats;
mod help;
mod human;
mod inspect;
mod interrupt;
mod keys;
mod output;
mod target;
mod verbs;

use std::process::ExitCode;

use clap::Parser;

use crate::failure::{Answer, Failure};

fn main() -> ExitCode {
    match args::Cli::parse().run() {
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
