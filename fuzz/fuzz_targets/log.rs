//! The fuzz target `log`: see `src/fuzzing/log.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| splitpoint::fuzzing::log(data));
