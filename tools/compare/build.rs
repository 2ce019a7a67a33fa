//! Builds the few functions in C that Berkeley DB needs, and finds out which RocksDB is linked.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/stores/bdb.c");
    #[cfg(feature = "bdb")]
    {
        cc::Build::new().file("src/stores/bdb.c").warnings(false).compile("compare_bdb");
        println!("cargo:rustc-link-lib=db");
    }
    #[cfg(feature = "rocksdb")]
    println!("cargo:rustc-env=COMPARE_ROCKSDB={}", rocksdb_version());
}

/// From the header beside the library: its interface of C does not tell its version.
#[cfg(feature = "rocksdb")]
fn rocksdb_version() -> String {
    println!("cargo:rerun-if-env-changed=ROCKSDB_INCLUDE_DIR");
    let folder = std::env::var("ROCKSDB_INCLUDE_DIR").unwrap_or_default();
    let path = std::path::Path::new(&folder).join("rocksdb/version.h");
    println!("cargo:rerun-if-changed={}", path.display());
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!("{}: {error}; librocksdb-dev, and .cargo/config.toml of this folder", path.display())
    });
    let part = |name: &str| {
        let head = format!("#define ROCKSDB_{name} ");
        text.lines().find_map(|line| line.strip_prefix(&head)).unwrap_or("?").trim().to_owned()
    };
    ["MAJOR", "MINOR", "PATCH"].map(part).join(".")
}
