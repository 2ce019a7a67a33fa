//! Builds the few functions in C that Berkeley DB needs.

fn main() {
    println!("cargo:rerun-if-changed=src/stores/bdb.c");
    #[cfg(feature = "bdb")]
    {
        cc::Build::new().file("src/stores/bdb.c").warnings(false).compile("compare_bdb");
        println!("cargo:rustc-link-lib=db");
    }
}
