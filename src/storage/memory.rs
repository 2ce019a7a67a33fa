//! Files in memory: for Miri, which cannot map files, and for tests without a disk.
//!
//! A file is one allocation of words that never moves, so that a map stays true while the file
//! grows within it; the capacity is chosen with the file system, and growing past it is a full
//! disk. Everything is durable at once. Knows nothing of what the bytes mean.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{FileIdentity, LockKind, Map, OpenMode, Storage, StorageFile};

/// A file system in memory; a clone is the same one.
#[derive(Debug, Clone)]
pub(crate) struct MemoryStorage {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    file_capacity: usize,
    names: Mutex<BTreeMap<PathBuf, Arc<Node>>>,
    next_number: AtomicU64,
}

/// What names stand for.
#[derive(Debug)]
struct Node {
    number: u64,
    words: Arc<[AtomicU64]>,
    state: Mutex<NodeState>,
}

#[derive(Debug, Default)]
struct NodeState {
    len: usize,
    locks: Locks,
}

/// Who holds a lock on a file, by the number of the handle.
#[derive(Debug, Default)]
pub(super) struct Locks {
    holders: BTreeMap<u64, LockKind>,
}

impl Locks {
    /// Gives `holder` the lock unless another holder is in the way.
    pub(super) fn try_lock(&mut self, holder: u64, kind: LockKind) -> bool {
        let in_the_way = |(other, held): (&u64, &LockKind)| {
            *other != holder && (kind == LockKind::Exclusive || *held == LockKind::Exclusive)
        };
        if self.holders.iter().any(in_the_way) {
            return false;
        }
        self.holders.insert(holder, kind);
        true
    }

    /// Takes it back.
    pub(super) fn unlock(&mut self, holder: u64) {
        self.holders.remove(&holder);
    }
}

/// The path from the root, without `.` and `..`; a relative one starts at the root.
pub(super) fn absolute(path: &Path) -> PathBuf {
    let mut absolute = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::ParentDir => {
                absolute.pop();
            }
            Component::Normal(name) => absolute.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    absolute
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryStorage {
    /// An empty file system whose files hold up to `file_capacity` bytes each, which each file
    /// takes at once.
    pub(crate) fn new(file_capacity: usize) -> MemoryStorage {
        let names = Mutex::default();
        let next_number = AtomicU64::new(1);
        MemoryStorage { shared: Arc::new(Shared { file_capacity, names, next_number }) }
    }

    fn number(&self) -> u64 {
        self.shared.next_number.fetch_add(1, Ordering::Relaxed)
    }

    fn node(&self, path: &Path) -> io::Result<Arc<Node>> {
        let names = lock(&self.shared.names);
        names.get(&absolute(path)).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Storage for MemoryStorage {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn StorageFile>> {
        let node = if mode == OpenMode::CreateNew {
            let mut names = lock(&self.shared.names);
            let path = absolute(path);
            if names.contains_key(&path) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let word_count = self.shared.file_capacity.div_ceil(8);
            let words = (0..word_count).map(|_| AtomicU64::new(0)).collect();
            let node = Node { number: self.number(), words, state: Mutex::default() };
            let node = Arc::new(node);
            names.insert(path, Arc::clone(&node));
            node
        } else {
            self.node(path)?
        };
        let writable = mode != OpenMode::Read;
        Ok(Arc::new(MemoryFile { node, handle: self.number(), writable }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut names = lock(&self.shared.names);
        let node = names.remove(&absolute(from)).ok_or(io::ErrorKind::NotFound)?;
        names.insert(absolute(to), node);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let removed = lock(&self.shared.names).remove(&absolute(path));
        removed.map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        let dir = absolute(dir);
        let names = lock(&self.shared.names);
        let inside = names.keys().filter(|path| path.parent() == Some(&dir));
        Ok(inside.filter_map(|path| path.file_name()).map(OsString::from).collect())
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        self.node(path)?;
        Ok(absolute(path))
    }

    fn identity(&self, path: &Path) -> io::Result<FileIdentity> {
        Ok(FileIdentity { device: 0, inode: self.node(path)?.number })
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        getrandom::fill(bytes).map_err(io::Error::other)
    }
}

/// One handle of a file in memory.
#[derive(Debug)]
struct MemoryFile {
    node: Arc<Node>,
    handle: u64,
    writable: bool,
}

impl Node {
    /// Loads or stores the bytes at `offset`, a word at a time. `edit` gets the word's bytes that
    /// lie in the range and how many bytes of the range precede them, and says whether to store.
    ///
    /// The words are atomics since a map may be looking at others of them (I1), and the bytes of a
    /// word that are outside the range keep their value.
    fn each_word(&self, offset: usize, len: usize, mut edit: impl FnMut(&mut [u8], usize) -> bool) {
        let end = offset + len;
        let mut position = offset;
        for (i, word) in self.words.iter().enumerate().skip(offset / 8) {
            if position >= end {
                break;
            }
            let (from, to) = (position - i * 8, (end - i * 8).min(8));
            let mut bytes = u64::from_le(word.load(Ordering::Relaxed)).to_le_bytes();
            let inside = bytes.get_mut(from..to).expect("a range within a word");
            if edit(inside, position - offset) {
                word.store(u64::from_le_bytes(bytes).to_le(), Ordering::Relaxed);
            }
            position = i * 8 + to;
        }
    }

    fn zero(&self, from: usize, to: usize) {
        self.each_word(from, to.saturating_sub(from), |inside, _| {
            let change = inside.iter().any(|byte| *byte != 0);
            inside.fill(0);
            change
        });
    }
}

impl MemoryFile {
    /// The end of `len` bytes at `offset`, if the file can hold them.
    fn end_of(&self, offset: u64, len: usize) -> io::Result<usize> {
        if !self.writable {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "opened for reading"));
        }
        let end = usize::try_from(offset).ok().and_then(|offset| offset.checked_add(len));
        match end {
            Some(end) if end <= self.node.words.len() * 8 => Ok(end),
            _ => Err(io::ErrorKind::StorageFull.into()),
        }
    }
}

impl StorageFile for MemoryFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = lock(&self.node.state);
        let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(state.len);
        let len = bytes.len().min(state.len - offset);
        self.node.each_word(offset, len, |inside, before| {
            if let Some(target) = bytes.get_mut(before..before + inside.len()) {
                target.copy_from_slice(inside);
            }
            false
        });
        Ok(len)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let end = self.end_of(offset, bytes.len())?;
        let mut state = lock(&self.node.state);
        self.node.each_word(end - bytes.len(), bytes.len(), |inside, before| {
            if let Some(source) = bytes.get(before..before + inside.len()) {
                inside.copy_from_slice(source);
            }
            true
        });
        state.len = state.len.max(end);
        Ok(bytes.len())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.node.state).len as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = self.end_of(len, 0)?;
        let mut state = lock(&self.node.state);
        // What is cut off is zero when the file grows again.
        self.node.zero(len, state.len);
        state.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn try_lock(&self, kind: LockKind) -> io::Result<bool> {
        Ok(lock(&self.node.state).locks.try_lock(self.handle, kind))
    }

    fn unlock(&self) {
        lock(&self.node.state).locks.unlock(self.handle);
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        Ok(FileIdentity { device: 0, inode: self.node.number })
    }

    fn allocated_len(&self) -> io::Result<u64> {
        self.len()
    }

    fn map(&self, len: u64) -> io::Result<Map> {
        let short = io::ErrorKind::UnexpectedEof;
        let len = usize::try_from(len).map_err(|_| short)?;
        if len > lock(&self.node.state).len {
            return Err(short.into());
        }
        Map::of_words(Arc::clone(&self.node.words), len).ok_or_else(|| short.into())
    }
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        lock(&self.node.state).locks.unlock(self.handle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(storage: &MemoryStorage, name: &str) -> Arc<dyn StorageFile> {
        storage.open(Path::new(name), OpenMode::CreateNew).unwrap()
    }

    #[test]
    fn reads_what_was_written_at_any_offset() {
        let file = create(&MemoryStorage::new(64), "file");
        let bytes: Vec<u8> = (1..=40).collect();
        for offset in 0..9 {
            for len in 0..20 {
                file.set_len(0).unwrap();
                file.write_all_at(&[0xee; 40], 0).unwrap();
                file.write_all_at(&bytes[..len], offset as u64).unwrap();
                let mut whole = [0; 40];
                file.read_exact_at(&mut whole, 0).unwrap();
                let mut expected = [0xee; 40];
                expected[offset..offset + len].copy_from_slice(&bytes[..len]);
                assert_eq!(whole, expected, "{len} bytes at {offset}");
                let mut part = vec![0; len];
                file.read_exact_at(&mut part, offset as u64).unwrap();
                assert_eq!(part, bytes[..len]);
            }
        }
    }

    #[test]
    fn a_read_at_the_end_is_short() {
        let file = create(&MemoryStorage::new(64), "file");
        file.write_all_at(b"12345", 0).unwrap();
        let mut bytes = [0; 8];
        assert_eq!(file.read_at(&mut bytes, 2).unwrap(), 3);
        assert_eq!(&bytes[..3], b"345");
        assert_eq!(file.read_at(&mut bytes, 99).unwrap(), 0);
    }

    #[test]
    fn what_was_cut_off_is_zero_when_the_file_grows_again() {
        let file = create(&MemoryStorage::new(64), "file");
        file.write_all_at(&[7; 24], 0).unwrap();
        file.set_len(5).unwrap();
        file.set_len(24).unwrap();
        let mut bytes = [1; 24];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(bytes[..5], [7; 5]);
        assert_eq!(bytes[5..], [0; 19]);
    }

    #[test]
    fn growth_beyond_the_capacity_is_a_full_disk() {
        let file = create(&MemoryStorage::new(64), "file");
        assert_eq!(file.write_at(&[1; 8], 60).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(file.set_len(65).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(file.len().unwrap(), 0);
        file.write_all_at(&[1; 8], 56).unwrap();
    }

    #[test]
    fn a_map_sees_later_writes_and_a_new_one_the_growth() {
        let file = create(&MemoryStorage::new(8192), "file");
        assert_eq!(file.map(0).unwrap().len(), 0);
        assert_eq!(file.map(8).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        file.set_len(4096).unwrap();
        let map = file.map(4096).unwrap();
        file.write_all_at(&7_u64.to_le_bytes(), 8).unwrap();
        assert_eq!(map.view(0, 64).unwrap().word(1), 7);
        file.write_all_at(&9_u64.to_le_bytes(), 4096).unwrap();
        assert_eq!(file.map(4104).unwrap().view(4096, 8).unwrap().word(0), 9);
        assert!(map.view(4096, 8).is_none());
        drop(file);
        assert_eq!(map.view(8, 8).unwrap().word(0), 7);
    }

    #[test]
    fn a_reader_looks_while_the_writer_writes_elsewhere() {
        let file = create(&MemoryStorage::new(128), "file");
        file.write_all_at(&[1; 64], 0).unwrap();
        file.set_len(128).unwrap();
        let map = file.map(128).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| file.write_all_at(&[2; 64], 64).unwrap());
            let view = map.view(0, 64).unwrap();
            assert!((0..8).all(|index| view.word(index) == 0x0101_0101_0101_0101));
        });
    }

    #[test]
    fn two_handles_of_one_file_exclude_each_other() {
        let storage = MemoryStorage::new(0);
        let first = create(&storage, "file");
        let second = storage.clone().open(Path::new("/file"), OpenMode::Read).unwrap();
        assert!(first.try_lock(LockKind::Exclusive).unwrap());
        assert!(!second.try_lock(LockKind::Shared).unwrap());
        assert!(first.try_lock(LockKind::Shared).unwrap());
        assert!(second.try_lock(LockKind::Shared).unwrap());
        assert!(!second.try_lock(LockKind::Exclusive).unwrap());
        drop(first);
        assert!(second.try_lock(LockKind::Exclusive).unwrap());
    }

    #[test]
    fn names_change_and_identities_stay() {
        let storage = MemoryStorage::new(0);
        let file = create(&storage, "a/old");
        let taken = storage.open(Path::new("/a/./old"), OpenMode::CreateNew).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
        storage.rename(Path::new("a/old"), Path::new("a/new")).unwrap();
        assert_eq!(storage.list(Path::new("a")).unwrap(), ["new"]);
        assert!(storage.list(Path::new("")).unwrap().is_empty());
        let identity = storage.identity(Path::new("a/b/../new")).unwrap();
        assert_eq!(identity, file.identity().unwrap());
        storage.remove(Path::new("a/new")).unwrap();
        let gone = storage.open(Path::new("a/new"), OpenMode::Read).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
    }
}
