//! Storage: bytes in files, and when they are durable. The only layer that touches a file (I10).
//!
//! [`Storage`] opens, renames and removes files and syncs folders; [`StorageFile`] reads, writes,
//! syncs, locks and maps one. Kinds: `disk` (the operating system's files) and, behind the feature
//! `simulation`, `memory` (for Miri, which cannot map files) and a simulated disk that knows what a
//! power cut could leave. Knows nothing of pages or of the log.

pub(crate) mod disk;
mod machine;
pub(crate) mod map;
#[cfg(any(test, feature = "simulation"))]
pub(crate) mod memory;
#[cfg(feature = "simulation")]
pub(crate) mod simulated;

use std::ffi::OsString;
use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use map::Map;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenMode {
    /// For reading; it must exist.
    Read,
    /// For reading and writing; it must exist.
    ReadWrite,
    /// For reading and writing; it must not exist.
    CreateNew,
}

/// Who else may hold a lock on the file meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LockKind {
    /// Other shared holders.
    Shared,
    /// Nobody.
    Exclusive,
}

/// Which file a name or a descriptor stands for: equal if and only if it is the same file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    /// The device, or 0 where there is none.
    pub(crate) device: u64,
    /// The inode, or what stands for it.
    pub(crate) inode: u64,
}

/// A file system: names and what is behind them.
pub(crate) trait Storage: Debug + Send + Sync {
    /// Opens the file. Only a regular file (after symbolic links) is opened: a folder, FIFO,
    /// socket or device is an error at once and never blocks.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn StorageFile>>;
    /// Gives the file another name in the same folder, replacing what has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes the name.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in the folder durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// The names in the folder, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>>;
    /// The absolute path without symbolic links of a file that exists.
    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf>;
    /// What the name stands for now.
    fn identity(&self, path: &Path) -> io::Result<FileIdentity>;
    /// Fills `bytes` with unpredictable ones (in a simulation: from its seed).
    fn random(&self, bytes: &mut [u8]) -> io::Result<()>;
    /// Bytes of memory that this process may use, where that can be told.
    fn memory_len(&self) -> Option<u64> {
        None
    }
}

/// One open file.
pub(crate) trait StorageFile: Debug + Send + Sync {
    /// Reads up to `bytes.len()` bytes at `offset`; fewer only at the file's end or when
    /// interrupted.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes up to `bytes.len()` bytes at `offset`, growing the file if needed.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Its length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Makes it longer (with zeros) or shorter.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes its bytes and its length durable. After an error nothing that was written since the
    /// last success may be relied on (F7), and the call must not be repeated.
    fn sync_data(&self) -> io::Result<()>;
    /// Takes the lock without waiting, changing a held one; `false` if another holder is in the
    /// way, and then what was held is still held. It is held until the file is dropped.
    fn try_lock(&self, kind: LockKind) -> io::Result<bool>;
    /// Gives the lock back before the file is dropped. A failure leaves it until then.
    fn unlock(&self);
    /// Which file this is.
    fn identity(&self) -> io::Result<FileIdentity>;
    /// An error in the child of a fork: it shares the file, its lock and its place with the process
    /// that opened it, and must leave all of them alone.
    fn check_process(&self) -> io::Result<()> {
        Ok(())
    }
    /// Says that nobody reads these bytes again: they may read as zeros from now on, and take neither
    /// disk nor memory. A wish, which nothing depends on.
    fn forget(&self, _offset: u64, _len: u64) {}
    /// Asks the system to let go of what it has of the file in memory, as far as it is on the disk
    /// and nobody looks at it: then it can come back in larger pieces. A wish, as above.
    fn drop_cached(&self) {}
    /// Bytes of disk that it takes.
    fn allocated_len(&self) -> io::Result<u64>;
    /// A read-only window on its first `len` bytes, which it must have. What is written with
    /// [`StorageFile::write_at`] later is seen through it.
    fn map(&self, len: u64) -> io::Result<Map>;

    /// Fills `bytes` from `offset`; `UnexpectedEof` where the file is too short.
    fn read_exact_at(&self, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.read_at(bytes, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    bytes = bytes.get_mut(n..).ok_or(io::ErrorKind::InvalidData)?;
                    offset += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Writes all of `bytes` at `offset`, going on after short writes.
    fn write_all_at(&self, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write_at(bytes, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    bytes = bytes.get(n..).ok_or(io::ErrorKind::InvalidData)?;
                    offset += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}
