//! The fuzz target `page`: see `src/fuzzing/page.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| splitpoint::fuzzing::page(data));
