//! The fuzz target `load`: the modules of the command-line tool that read and write its formats.
#![no_main]
#![allow(dead_code, clippy::disallowed_methods, reason = "a part of the tool, as it is there")]

#[path = "../../tools/cli/src/columns.rs"]
mod columns;
#[path = "../../tools/cli/src/escape.rs"]
mod escape;
#[path = "../../tools/cli/src/failure.rs"]
mod failure;
#[path = "../../tools/cli/src/formats/mod.rs"]
mod formats;
#[path = "../../tests/fuzz_bodies/load.rs"]
mod load;

libfuzzer_sys::fuzz_target!(|data: &[u8]| load::run(data));
