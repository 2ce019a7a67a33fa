//! The fuzz targets' corpora and the inputs that once failed, run without a fuzzer; and a little
//! fuzzing of damaged images, from fixed seeds. A panic ends it, after the name of the input.
//!
//! `SPLITPOINT_SEEDS` names a folder to write the first inputs of the target `image` to;
//! `SPLITPOINT_FUZZ` says how many damaged images there are.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    reason = "a test: whatever goes wrong must end it"
)]

mod fuzz_bodies;
#[path = "hostile/memory.rs"]
mod memory;

use std::path::{Path, PathBuf};

use fuzz_bodies::{crash, image, log, mutate, ops, page};
use splitpoint::simulation::Rng;

type Body = fn(&[u8]);

const TARGETS: [(&str, Body); 5] =
    [("crash", crash::run), ("image", image::run), ("ops", ops::run), ("page", page), ("log", log)];
/// Bytes of memory that an image may take, disks and the caches of two handles included.
const MEMORY_MAX: usize = 256 * memory::LIMIT;

fn main() {
    if let Some(folder) = std::env::var_os("SPLITPOINT_SEEDS") {
        write_seeds(Path::new(&folder));
        return;
    }
    let mut total = 0;
    for (target, body) in TARGETS {
        let mut counts = [0; 2];
        for (count, folder) in counts.iter_mut().zip(["corpus", "regressions"]) {
            for path in inputs(folder, target) {
                replay(&path.display().to_string(), body, &std::fs::read(&path).unwrap());
                *count += 1;
            }
        }
        println!("corpus: {target}: {} inputs, {} regressions", counts[0], counts[1]);
        total += counts[0] + counts[1];
    }
    let rounds = std::env::var("SPLITPOINT_FUZZ").map_or(300, |n| n.parse().unwrap());
    damaged_images(rounds);
    println!("corpus: {rounds} damaged images");
    println!("\ntest result: ok. {} passed; 0 failed", total + 1);
}

/// The inputs of a target, by name.
fn inputs(folder: &str, target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(folder).join(target);
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn replay(name: &str, body: Body, input: &[u8]) {
    memory::begin();
    let result = std::panic::catch_unwind(|| body(input));
    let peak = memory::peak();
    if result.is_err() || peak > MEMORY_MAX {
        println!("{name}: FAILED, {peak} bytes of memory");
        println!("\ntest result: FAILED. 0 passed; 1 failed");
        std::process::exit(1);
    }
}

/// The mutator of the target `image`, each time from a sound file.
fn damaged_images(rounds: u64) {
    let seeds = image::seeds();
    for seed in 0..rounds {
        let mut rng = Rng::new(seed);
        let mut input = seeds[rng.below(seeds.len())].pack();
        for _ in 0..=rng.below(3) {
            let byte = rng.below(256) as u8;
            let mut inner = |part: &mut [u8]| part[usize::from(byte) % part.len()] ^= byte;
            input = mutate::mutate(&input, 1 << 18, rng.next(), &mut inner);
        }
        replay(&format!("damaged image {seed}"), image::run, &input);
    }
}

fn write_seeds(folder: &Path) {
    for (number, files) in image::seeds().iter().enumerate() {
        let packed = files.pack();
        assert_eq!(&fuzz_bodies::pack::Files::unpack(&packed), files);
        std::fs::write(folder.join(format!("seed-{number}")), packed).unwrap();
    }
}
