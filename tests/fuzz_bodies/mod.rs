//! What the fuzz targets run: each a function of bytes that panics if a promise is broken. The
//! targets in `fuzz` call them, and so does `tests/corpus.rs`, without any fuzzer.
//!
//! | file | what |
//! |---|---|
//! | `crash` | operations, power cuts and what they leave, on the simulated disk |
//! | `image` | a data file and its log, damaged behind right checksums, and operations |
//! | `ops` | operations against a map in memory |
//! | `page`, `log` | the library's own parsers |
//! | `load` | the tool's text formats; included by the tool's tests, not from here |
//! | `bytes`, `pack`, `seal`, `mutate` | numbers from bytes; files <-> bytes; checksums; damage |
#![allow(dead_code, reason = "each target uses its own part")]

#[path = "../campaign/mod.rs"]
mod campaign;

pub(crate) mod bytes;
pub(crate) mod crash;
pub(crate) mod image;
pub(crate) mod mutate;
pub(crate) mod ops;
pub(crate) mod pack;
pub(crate) mod seal;

/// One page.
pub(crate) fn page(data: &[u8]) {
    splitpoint::fuzzing::page(data);
}

/// The segments of a log.
pub(crate) fn log(data: &[u8]) {
    splitpoint::fuzzing::log(data);
}
