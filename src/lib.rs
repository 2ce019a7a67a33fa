//! A persistent hash index in one file.

mod checksum;
mod error;
mod hash;
mod layout;
mod log;
mod page;
mod pager;
mod storage;
mod table;

pub use error::{Corruption, Error, Place, Promise, Result};
pub use pager::{Access, Verify};
