//! The corpus of the fuzz target `load`, and inputs that once failed, run without a fuzzer.
#![allow(
    dead_code,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a part of the tool, as it is there; and a test"
)]

#[path = "../src/columns.rs"]
mod columns;
#[path = "../src/escape.rs"]
mod escape;
#[path = "../src/failure.rs"]
mod failure;
#[path = "../src/formats/mod.rs"]
mod formats;
#[path = "../../../tests/fuzz_bodies/load.rs"]
mod load;

use std::path::Path;

#[test]
fn the_corpus_of_load() {
    let mut count = 0;
    for folder in ["corpus", "regressions"] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
        let Ok(entries) = std::fs::read_dir(root.join(folder).join("load")) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            load::run(&std::fs::read(path).unwrap());
            count += 1;
        }
    }
    println!("corpus: load: {count} inputs");
}
