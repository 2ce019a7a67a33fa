//! Shuts a file system down as a power cut would: what it has not written is gone.
#![allow(unsafe_code, reason = "there is no safe name for this ioctl; it takes a number")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

/// What happens to the file system's own journal at the cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Journal {
    /// All is flushed first: nothing is lost, but writers are cut off.
    AllFlushed = 0,
    /// The journal is flushed, data that were not synced are not.
    Flushed = 1,
    /// Nothing is flushed: as a power cut.
    NotFlushed = 2,
}

/// `FS_IOC_SHUTDOWN`, which is also ext4's and xfs's: `_IOR('X', 125, u32)`.
const SHUTDOWN: libc::Ioctl = 0x8004_587d_u32 as libc::Ioctl;

/// Cuts off the file system that the folder is on.
#[expect(clippy::disallowed_methods, reason = "no index's file")]
pub(crate) fn shut_down(folder: &Path, journal: Journal) -> io::Result<()> {
    let folder = File::open(folder)?;
    let how = journal as u32;
    // SAFETY: the descriptor is open, and this ioctl reads one u32 from the address.
    let result = unsafe { libc::ioctl(folder.as_raw_fd(), SHUTDOWN, &raw const how) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
