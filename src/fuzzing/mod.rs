//! The crate's own parsers, for fuzz targets: bytes in, and a panic if a promise is broken.
//!
//! Not part of the library's face: it stands behind the feature `fuzzing`, without documentation,
//! and may change at any time. What can be reached through the public library is fuzzed there.

mod layout;
mod log;
mod page;

pub use layout::BucketPages;
pub use log::log;
pub use page::page;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use crate::error::Result;
use crate::index::{HotBackup, backup_file_on};
use crate::inspect::Inspector;
use crate::salvage::{Salvage, SalvageReport};
use crate::storage::simulated::SimulatedDisk;
use crate::storage::{OpenMode, Storage};

/// Looks into a file on a simulated disk.
///
/// # Errors
/// As [`Inspector::open`].
pub fn inspector(disk: &SimulatedDisk, path: impl AsRef<Path>) -> Result<Inspector> {
    Inspector::open_on(Arc::new(disk.clone()), path.as_ref())
}

/// Salvages a file on a simulated disk.
///
/// # Errors
/// As [`Salvage::run`].
pub fn salvage(disk: &SimulatedDisk, damaged: &str, new: &str) -> Result<SalvageReport> {
    Salvage::new().on(Arc::new(disk.clone())).run(damaged, new)
}

/// Copies a file on a simulated disk that another program may be writing.
///
/// # Errors
/// As [`Index::backup_file`](crate::Index::backup_file).
pub fn backup_file(disk: &SimulatedDisk, from: &str, to: &str) -> Result<HotBackup> {
    let go_on = &mut |_, _| ControlFlow::Continue(());
    backup_file_on(Arc::new(disk.clone()), from.as_ref(), to.as_ref(), go_on)
}

/// Makes a file of these bytes.
fn make_file(storage: &dyn Storage, path: &Path, bytes: &[u8]) {
    let file = storage.open(path, OpenMode::CreateNew).expect("a new file in memory");
    file.write_all_at(bytes, 0).expect("room in memory");
}

/// Reads a number of `N` bytes off the front; zeros where there are none.
fn take<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    let (head, rest) = bytes.split_at(N.min(bytes.len()));
    *bytes = rest;
    let mut taken = [0; N];
    for (to, from) in taken.iter_mut().zip(head) {
        *to = *from;
    }
    taken
}
