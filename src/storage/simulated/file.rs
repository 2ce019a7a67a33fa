//! The face of a simulated disk for the layers above: [`Storage`] and [`StorageFile`].

use std::ffi::OsString;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::memory::absolute;
use super::super::{FileIdentity, LockKind, Map, OpenMode, Storage, StorageFile};
use super::content::{BLOCK_SIZE, LEN_MAX};
use super::disk::{SimulatedDisk, State};
use super::durable::{self, Change, InodeNumber};
use super::fault::Fault;
use super::journal::{CallKind, Record};

/// What a call did: its answer and what it changed, which may go with an error inside; or else an
/// error without any effect.
type Outcome<T> = io::Result<(io::Result<T>, Option<Change>)>;

/// A call that changes nothing.
fn unchanged<T>(answer: T) -> Outcome<T> {
    Ok((Ok(answer), None))
}

/// A call that changed something and reports an error all the same.
fn failed<T>(fault: Fault, change: Change) -> Outcome<T> {
    Ok((Err(fault.error()), Some(change)))
}

impl SimulatedDisk {
    /// Runs one call: lets it fail if a plan says so, and puts it on record.
    fn call<T>(
        &self,
        kind: CallKind,
        path: Arc<Path>,
        range: Range<u64>,
        run: impl FnOnce(&mut State, Option<Fault>) -> Outcome<T>,
    ) -> io::Result<T> {
        let mut state = self.state();
        let fault = state.fault(kind);
        let (answer, change) = run(&mut state, fault).unwrap_or_else(|error| (Err(error), None));
        let error = answer.as_ref().err().map(io::Error::kind);
        state.record(Record { kind, path, range, error, change });
        answer
    }

    /// One call about a name, which a fault lets fail without any effect.
    fn name_call<T>(
        &self,
        kind: CallKind,
        path: &Path,
        run: impl FnOnce(&mut State, PathBuf) -> Outcome<T>,
    ) -> io::Result<T> {
        let path = absolute(path);
        self.call(kind, Arc::from(path.as_path()), 0..0, |state, fault| match fault {
            Some(fault) => Err(fault.error()),
            None => run(state, path),
        })
    }
}

/// What a name stands for in the live view.
fn inode_of(state: &State, path: &Path) -> io::Result<InodeNumber> {
    state.live.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// A change of names, done to the live view.
fn renamed(state: &mut State, change: Change) -> Outcome<()> {
    durable::rename(&mut state.live.names, &change);
    Ok((Ok(()), Some(change)))
}

impl Storage for SimulatedDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn StorageFile>> {
        let create = mode == OpenMode::CreateNew;
        let kind = if create { CallKind::Create } else { CallKind::Open };
        let (inode, handle) = self.name_call(kind, path, |state, path| {
            let handle = state.number();
            if !create {
                return unchanged((inode_of(state, &path)?, handle));
            }
            if state.live.names.contains_key(&path) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let inode = state.number();
            let change = Change::Create { path, inode };
            durable::rename(&mut state.live.names, &change);
            Ok((Ok((inode, handle)), Some(change)))
        })?;
        let path = Arc::from(absolute(path));
        let writable = mode != OpenMode::Read;
        Ok(Arc::new(SimulatedFile { disk: self.clone(), path, inode, handle, writable }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.name_call(CallKind::Rename, from, |state, from| {
            let inode = inode_of(state, &from)?;
            renamed(state, Change::Rename { from, to: absolute(to), inode })
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.name_call(CallKind::Remove, path, |state, path| {
            inode_of(state, &path)?;
            renamed(state, Change::Remove { path })
        })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.name_call(CallKind::SyncDir, dir, |_, dir| Ok((Ok(()), Some(Change::SyncDir { dir }))))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        self.name_call(CallKind::Stat, dir, |state, dir| {
            let inside = state.live.names.keys().filter(|path| path.parent() == Some(&dir));
            unchanged(inside.filter_map(|path| path.file_name()).map(OsString::from).collect())
        })
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        self.name_call(CallKind::Stat, path, |state, path| {
            inode_of(state, &path)?;
            unchanged(path)
        })
    }

    fn identity(&self, path: &Path) -> io::Result<FileIdentity> {
        self.name_call(CallKind::Stat, path, |state, path| {
            unchanged(FileIdentity { device: 0, inode: inode_of(state, &path)? })
        })
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        self.name_call(CallKind::Random, Path::new("/"), |state, _| {
            state.rng.fill(bytes);
            unchanged(())
        })
    }
}

/// One handle of a simulated file.
#[derive(Debug)]
struct SimulatedFile {
    disk: SimulatedDisk,
    path: Arc<Path>,
    inode: InodeNumber,
    handle: u64,
    writable: bool,
}

impl SimulatedFile {
    fn call<T>(
        &self,
        kind: CallKind,
        range: Range<u64>,
        run: impl FnOnce(&mut State, Option<Fault>) -> Outcome<T>,
    ) -> io::Result<T> {
        self.disk.call(kind, Arc::clone(&self.path), range, run)
    }

    /// A call that a fault lets fail without any effect.
    fn plain_call<T>(
        &self,
        kind: CallKind,
        range: Range<u64>,
        run: impl FnOnce(&mut State) -> Outcome<T>,
    ) -> io::Result<T> {
        self.call(kind, range, |state, fault| match fault {
            Some(fault) => Err(fault.error()),
            None => run(state),
        })
    }

    /// The error of a write that ends at `end`, if the handle, the file or the disk has no place
    /// for it.
    fn check_room(&self, state: &mut State, offset: u64, end: u64) -> io::Result<()> {
        if !self.writable {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "opened for reading"));
        }
        if end > LEN_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let Some(capacity) = state.capacity else { return Ok(()) };
        let inode = state.live.inode(self.inode);
        let len = usize::try_from(end - offset).unwrap_or(usize::MAX);
        let blocks = super::content::each_block(offset, len);
        let new = blocks.filter(|(block, _)| inode.content().block(*block).is_none()).count();
        if new > 0 && state.allocated_len() + (new * BLOCK_SIZE) as u64 > capacity {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn write(&self, state: &mut State, offset: u64, bytes: &[u8]) -> io::Result<Change> {
        state.live.inode(self.inode).write(offset, bytes)?;
        Ok(Change::Write { inode: self.inode, offset, bytes: bytes.into() })
    }

    fn resize(&self, state: &mut State, len: u64) -> io::Result<Change> {
        state.live.inode(self.inode).set_len(len)?;
        Ok(Change::SetLen { inode: self.inode, len })
    }
}

/// Half of a write, in whole sectors if it has several.
fn half(bytes: &[u8]) -> &[u8] {
    let half = bytes.len().div_ceil(2);
    let sectors = half / super::content::SECTOR_SIZE * super::content::SECTOR_SIZE;
    bytes.get(..if sectors == 0 { half } else { sectors }).unwrap_or(bytes)
}

impl StorageFile for SimulatedFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let range = offset..offset.saturating_add(bytes.len() as u64);
        self.plain_call(CallKind::Read, range, |state| {
            unchanged(state.live.inode(self.inode).content().read(offset, bytes))
        })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let end = offset.saturating_add(bytes.len() as u64);
        self.call(CallKind::Write, offset..end, |state, fault| {
            self.check_room(state, offset, end)?;
            let done = match fault {
                None => bytes,
                Some(Fault::ShortWrite) => half(bytes),
                Some(Fault::Leftovers) => {
                    return failed(Fault::Leftovers, self.write(state, offset, half(bytes))?);
                }
                Some(fault) => return Err(fault.error()),
            };
            let change = self.write(state, offset, done)?;
            Ok((Ok(done.len()), Some(change)))
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.plain_call(CallKind::Stat, 0..0, |state| {
            unchanged(state.live.inode(self.inode).content().len())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.call(CallKind::SetLen, 0..len, |state, fault| {
            self.check_room(state, len, len)?;
            let old = state.live.inode(self.inode).content().len();
            match fault {
                Some(Fault::Leftovers) if len > old => {
                    return failed(Fault::Leftovers, self.resize(state, old + (len - old) / 2)?);
                }
                // A full disk does not keep a file from shrinking.
                Some(Fault::StorageFull | Fault::Leftovers) if len <= old => {}
                Some(fault) => return Err(fault.error()),
                None => {}
            }
            let change = self.resize(state, len)?;
            Ok((Ok(()), Some(change)))
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        let inode = self.inode;
        self.call(CallKind::SyncData, 0..0, |_, fault| match fault {
            Some(_) => failed(Fault::FailedSync, Change::FailedSync { inode }),
            None => Ok((Ok(()), Some(Change::Sync { inode }))),
        })
    }

    fn try_lock(&self, kind: LockKind) -> io::Result<bool> {
        self.plain_call(CallKind::Lock, 0..0, |state| {
            unchanged(state.live.inode(self.inode).locks.try_lock(self.handle, kind))
        })
    }

    fn unlock(&self) {
        // As the release at a drop: nothing that could fail, so it has no number.
        self.disk.state().live.inode(self.inode).locks.unlock(self.handle);
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        self.plain_call(CallKind::Stat, 0..0, |_| {
            unchanged(FileIdentity { device: 0, inode: self.inode })
        })
    }

    fn allocated_len(&self) -> io::Result<u64> {
        self.plain_call(CallKind::Stat, 0..0, |state| {
            let blocks = state.live.inode(self.inode).content().block_count();
            unchanged((blocks * BLOCK_SIZE) as u64)
        })
    }

    fn map(&self, len: u64) -> io::Result<Map> {
        self.plain_call(CallKind::Map, 0..len, |state| {
            unchanged(state.live.inode(self.inode).map(len)?)
        })
    }
}

impl Drop for SimulatedFile {
    fn drop(&mut self) {
        self.disk.state().live.inode(self.inode).locks.unlock(self.handle);
    }
}
