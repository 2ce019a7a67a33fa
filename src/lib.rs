//! A persistent hash index in one file.

mod checksum;
mod error;
mod hash;
mod log;
#[cfg(feature = "mutants")]
#[doc(hidden)]
pub mod mutant;
#[cfg(not(feature = "mutants"))]
#[expect(unreachable_pub, reason = "with the feature it is the face of the module")]
mod mutant;
mod page;
mod storage;

pub use error::{Corruption, Error, Place, Promise, Result};
