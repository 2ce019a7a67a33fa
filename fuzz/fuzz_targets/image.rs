//! The fuzz target `image`, with a mutator that knows the format: see its body.
#![no_main]

#[path = "../../tests/fuzz_bodies/mod.rs"]
mod fuzz_bodies;

use fuzz_bodies::{image, mutate};

libfuzzer_sys::fuzz_target!(|data: &[u8]| image::run(data));

libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut inner = |part: &mut [u8]| {
        let len = part.len();
        libfuzzer_sys::fuzzer_mutate(part, len, len);
    };
    let out = mutate::mutate(&data[..size], max_size, seed.into(), &mut inner);
    let len = out.len().min(max_size).min(data.len());
    data[..len].copy_from_slice(&out[..len]);
    len
});
