//! A persistent hash index in one file.

mod checksum;
mod error;
mod hash;
mod log;
mod page;
mod storage;

pub use error::{Corruption, Error, Place, Promise, Result};
pub use log::Lsn;
