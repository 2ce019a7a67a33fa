//! A small disk in memory: it shows every call at once, knows what a power cut could leave, fails
//! when told to, and has as much room as it is given.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::log::{Epoch, LogFiles, LogStart, Lsn};
use crate::storage::{FileIdentity, LockKind, Map, OpenMode, Storage, StorageFile};

pub(super) const DATA: &str = "/folder/data";

/// Repeatable random numbers (xorshift64*).
#[derive(Debug, Clone)]
pub(super) struct Rng(pub(super) u64);

impl Rng {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(super) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| (self.next() >> 32) as u8).collect()
    }
}

#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Len(usize),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Len(len) => content.resize(*len, 0),
            Change::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset..end].copy_from_slice(bytes);
            }
        }
    }
}

#[derive(Debug, Clone)]
enum NameChange {
    Create(PathBuf, usize),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

type Names = BTreeMap<PathBuf, usize>;

impl NameChange {
    fn apply(&self, names: &mut Names) {
        match self {
            NameChange::Create(path, id) => {
                names.insert(path.clone(), *id);
            }
            NameChange::Rename(from, to) => {
                if let Some(id) = names.remove(from) {
                    names.insert(to.clone(), id);
                }
            }
            NameChange::Remove(path) => {
                names.remove(path);
            }
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

/// What the n-th call from now on does instead of its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Eio,
    Full,
}

#[derive(Debug, Default)]
struct State {
    names: Names,
    durable_names: Names,
    pending_names: Vec<NameChange>,
    files: Vec<Content>,
    calls: Vec<String>,
    writes: Vec<(PathBuf, u64, u64)>,
    fault: Option<(usize, Fault)>,
    room: Option<u64>,
}

impl State {
    fn call(&mut self, what: String) -> io::Result<()> {
        self.calls.push(what);
        match self.fault {
            Some((at, fault)) if self.calls.len() > at => {
                self.fault = None;
                Err(match fault {
                    Fault::Eio => io::Error::other("injected"),
                    Fault::Full => io::ErrorKind::StorageFull.into(),
                })
            }
            _ => Ok(()),
        }
    }

    fn path_of(&self, id: usize) -> PathBuf {
        let name = self.names.iter().find(|(_, other)| **other == id);
        name.map(|(path, _)| path.clone()).unwrap_or_default()
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Disk(Arc<Mutex<State>>);

#[derive(Debug)]
struct DiskFile {
    disk: Disk,
    id: usize,
}

impl Disk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(super) fn files(&self) -> LogFiles {
        LogFiles {
            storage: Arc::new(self.clone()),
            path: PathBuf::from(DATA),
            file_id: *b"the file's id 16",
        }
    }

    /// How many calls there were.
    pub(super) fn call_count(&self) -> usize {
        self.state().calls.len()
    }

    pub(super) fn sync_count(&self) -> usize {
        self.state().calls.iter().filter(|call| call.contains("sync")).count()
    }

    pub(super) fn calls_from(&self, from: usize) -> Vec<String> {
        self.state().calls[from..].to_vec()
    }

    /// Every write so far: the file's name then, offset and length.
    pub(super) fn writes(&self) -> Vec<(PathBuf, u64, u64)> {
        self.state().writes.clone()
    }

    /// The call after `after` more ones fails.
    pub(super) fn fail_after(&self, after: usize, fault: Fault) {
        let mut state = self.state();
        state.fault = Some((state.calls.len() + after, fault));
    }

    pub(super) fn stop_failing(&self) {
        self.state().fault = None;
    }

    /// How many bytes all files together may have.
    pub(super) fn set_room(&self, room: Option<u64>) {
        self.state().room = room;
    }

    pub(super) fn used(&self) -> u64 {
        let state = self.state();
        state.names.values().map(|id| state.files[*id].live.len() as u64).sum()
    }

    pub(super) fn names(&self) -> Vec<PathBuf> {
        self.state().names.keys().cloned().collect()
    }

    /// What a reader sees of a file; changes to it are made at once and durable.
    pub(super) fn edit<T>(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let mut state = self.state();
        let id = state.names[path];
        let content = &mut state.files[id];
        let result = change(&mut content.live);
        content.durable = content.live.clone();
        content.pending.clear();
        result
    }

    pub(super) fn put(&self, path: &Path, bytes: Vec<u8>) {
        let mut state = self.state();
        state.files.push(Content { live: bytes.clone(), durable: bytes, pending: Vec::new() });
        let id = state.files.len() - 1;
        state.names.insert(path.to_owned(), id);
        state.durable_names.insert(path.to_owned(), id);
    }

    pub(super) fn take_away(&self, path: &Path) {
        let mut state = self.state();
        state.names.remove(path);
        state.durable_names.remove(path);
    }

    /// What is seen now, on a disk of its own.
    pub(super) fn copy(&self) -> Disk {
        let copy = Disk::default();
        let state = self.state();
        for (path, id) in &state.names {
            copy.put(path, state.files[*id].live.clone());
        }
        copy
    }

    /// One of the disks that a power cut could leave now (F1, F2, F4, F5).
    pub(super) fn power_cut(&self, rng: &mut Rng) -> Disk {
        let state = self.state();
        let mut names = state.durable_names.clone();
        let kept = rng.below(state.pending_names.len() as u64 + 1) as usize;
        state.pending_names.iter().take(kept).for_each(|change| change.apply(&mut names));
        let left = Disk::default();
        for (path, id) in names {
            let content = &state.files[id];
            let mut bytes = content.durable.clone();
            for change in &content.pending {
                match rng.below(4) {
                    0 => {}
                    1 => change.apply(&mut bytes),
                    _ => tear(change, &mut bytes, rng),
                }
            }
            left.put(&path, bytes);
        }
        left
    }
}

/// Some 512-byte sectors of a write as they were, some as written, some garbage.
fn tear(change: &Change, content: &mut Vec<u8>, rng: &mut Rng) {
    let Change::Write { offset, bytes } = change else { return };
    let end = offset + bytes.len();
    if content.len() < end && rng.below(8) > 0 {
        content.resize(end, 0);
    }
    let mut from = *offset;
    while from < end {
        let to = (from / 512 + 1) * 512;
        let to = to.min(end);
        if content.len() >= to {
            match rng.below(5) {
                0 | 1 => {}
                2 | 3 => content[from..to].copy_from_slice(&bytes[from - offset..to - offset]),
                _ => content[from..to].copy_from_slice(&rng.bytes(to - from)),
            }
        }
        from = to;
    }
}

impl Storage for Disk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn StorageFile>> {
        let mut state = self.state();
        state.call(format!("open {} {mode:?}", path.display()))?;
        let known = state.names.get(path).copied();
        let id = match (mode, known) {
            (OpenMode::CreateNew, Some(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            (OpenMode::CreateNew, None) => {
                state.files.push(Content::default());
                let id = state.files.len() - 1;
                state.names.insert(path.to_owned(), id);
                state.pending_names.push(NameChange::Create(path.to_owned(), id));
                id
            }
            (_, Some(id)) => id,
            (_, None) => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(Arc::new(DiskFile { disk: self.clone(), id }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.call(format!("rename {} {}", from.display(), to.display()))?;
        if !state.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let change = NameChange::Rename(from.to_owned(), to.to_owned());
        change.apply(&mut state.names);
        state.pending_names.push(change);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.call(format!("remove {}", path.display()))?;
        if !state.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let change = NameChange::Remove(path.to_owned());
        change.apply(&mut state.names);
        state.pending_names.push(change);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.call(format!("sync_dir {}", dir.display()))?;
        state.durable_names = state.names.clone();
        state.pending_names.clear();
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        let state = self.state();
        let here = state.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(here.map(|path| path.file_name().unwrap().to_owned()).collect())
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_owned())
    }

    fn identity(&self, _path: &Path) -> io::Result<FileIdentity> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn random(&self, _bytes: &mut [u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl DiskFile {
    fn change(&self, what: &str, change: Change) -> io::Result<()> {
        let mut state = self.disk.state();
        let path = state.path_of(self.id);
        state.call(format!("{what} {}", path.display()))?;
        let before = state.files[self.id].live.len();
        let after = match &change {
            Change::Len(len) => *len,
            Change::Write { offset, bytes } => {
                state.writes.push((path, *offset as u64, bytes.len() as u64));
                before.max(offset + bytes.len())
            }
        };
        let used: u64 = state.names.values().map(|id| state.files[*id].live.len() as u64).sum();
        let grown = used + (after as u64) - (before as u64).min(after as u64);
        if after > before && state.room.is_some_and(|room| grown > room) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let content = &mut state.files[self.id];
        change.apply(&mut content.live);
        content.pending.push(change);
        Ok(())
    }
}

impl StorageFile for DiskFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.state();
        let live = &state.files[self.id].live;
        let from = (offset as usize).min(live.len());
        let len = bytes.len().min(live.len() - from);
        bytes[..len].copy_from_slice(&live[from..from + len]);
        Ok(len)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let offset = offset as usize;
        self.change("write", Change::Write { offset, bytes: bytes.to_vec() })?;
        Ok(bytes.len())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state().files[self.id].live.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change("set_len", Change::Len(len as usize))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let path = state.path_of(self.id);
        let content = &mut state.files[self.id];
        // F7: whatever comes of it, the pages are clean afterwards.
        let pending = std::mem::take(&mut content.pending);
        state.call(format!("sync {}", path.display()))?;
        let content = &mut state.files[self.id];
        pending.iter().for_each(|change| change.apply(&mut content.durable));
        Ok(())
    }

    fn try_lock(&self, _kind: LockKind) -> io::Result<bool> {
        Ok(true)
    }

    fn unlock(&self) {}

    fn identity(&self) -> io::Result<FileIdentity> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn allocated_len(&self) -> io::Result<u64> {
        self.len()
    }

    fn map(&self, _len: u64) -> io::Result<Map> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

pub(super) fn start() -> LogStart {
    LogStart { epoch: Epoch { counter: 1, random: 0x5eed }, segment: 1, lsn: Lsn(1) }
}
