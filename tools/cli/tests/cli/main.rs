//! The tool from outside: the built program, its arguments, its output, its exit codes.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod bad_input;
mod beside;
mod columnar;
mod copies;
mod demo;
mod exit_codes;
mod inspection;
mod load;
mod lookups;
mod manual;
mod outputs;
mod pictures;
mod real_file;
mod round_trips;
mod salvage;
mod support;
