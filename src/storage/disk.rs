//! The operating system's files: positioned reads and writes, `fdatasync`, `flock`, read-only
//! maps.
//!
//! One descriptor serves the writes and the syncs of a file for its whole life, since an error of
//! writing back may be reported to that descriptor only (F7). Knows nothing of what the bytes mean,
//! and never repeats a failed call.
#![expect(clippy::disallowed_methods, reason = "I10: this is the module that touches files")]

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::{FileIdentity, LockKind, Map, OpenMode, Storage, StorageFile};

/// The file system of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DiskStorage;

/// A regular file of the operating system.
#[derive(Debug)]
pub(crate) struct DiskFile {
    file: File,
    held: Mutex<Option<LockKind>>,
    identity: FileIdentity,
    /// The process that opened it, by its id.
    process: Option<u32>,
}

impl DiskFile {
    /// Takes over a file that is open already.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn of_file(file: File) -> io::Result<DiskFile> {
        let identity = identity_of(&file.metadata()?, Path::new(""));
        Ok(DiskFile { file, held: Mutex::new(None), identity, process: None })
    }

    /// A new file without a name, for the live view of a simulated one.
    #[cfg(feature = "simulation")]
    pub(crate) fn unnamed() -> io::Result<DiskFile> {
        // In memory where that exists, so that a simulation costs no disk.
        let memory = Path::new("/dev/shm");
        let file =
            if memory.is_dir() { tempfile::tempfile_in(memory) } else { tempfile::tempfile() };
        DiskFile::of_file(file?)
    }

    fn lock(&self, kind: LockKind) -> io::Result<bool> {
        let locked = match kind {
            LockKind::Shared => fs2::FileExt::try_lock_shared(&self.file),
            LockKind::Exclusive => fs2::FileExt::try_lock_exclusive(&self.file),
        };
        match locked {
            Ok(()) => Ok(true),
            Err(e) if e.raw_os_error() == fs2::lock_contended_error().raw_os_error() => Ok(false),
            Err(e) => Err(e),
        }
    }
}

/// Refuses what is not a regular file, in words.
fn check_regular(metadata: &Metadata) -> io::Result<()> {
    let kind = metadata.file_type();
    if kind.is_file() {
        Ok(())
    } else if kind.is_dir() {
        Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder, not a file"))
    } else {
        let words = format!("it is {}, not a regular file", kind_in_words(kind));
        Err(io::Error::new(io::ErrorKind::InvalidInput, words))
    }
}

#[cfg(unix)]
fn kind_in_words(kind: fs::FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_char_device() || kind.is_block_device() {
        "a device"
    } else {
        "something else"
    }
}

#[cfg(not(unix))]
fn kind_in_words(_: fs::FileType) -> &'static str {
    "something else"
}

#[cfg(unix)]
fn identity_of(metadata: &Metadata, _: &Path) -> FileIdentity {
    use std::os::unix::fs::MetadataExt;
    FileIdentity { device: metadata.dev(), inode: metadata.ino() }
}

/// Where the standard library tells no file number, the canonical path stands for it.
#[cfg(not(unix))]
fn identity_of(_: &Metadata, canonical: &Path) -> FileIdentity {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    canonical.hash(&mut hasher);
    FileIdentity { device: 0, inode: hasher.finish() }
}

/// `fs::canonicalize` where the identity needs it, else nothing.
fn path_for_identity(path: &Path) -> io::Result<PathBuf> {
    if cfg!(unix) { Ok(PathBuf::new()) } else { fs::canonicalize(path) }
}

#[cfg(unix)]
fn never_blocking(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;
    // A FIFO without a peer and a terminal would wait or take over; a regular file does not care.
    options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
}

#[cfg(not(unix))]
fn never_blocking(_: &mut OpenOptions) {}

impl Storage for DiskStorage {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn StorageFile>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => {}
            OpenMode::ReadWrite => {
                options.write(true);
            }
            OpenMode::CreateNew => {
                options.write(true).create_new(true);
            }
        }
        if mode != OpenMode::CreateNew {
            // Opening a device may already act (a tape rewinds), so the name is asked first. The
            // name may change meanwhile: the proof is the descriptor's answer below.
            check_regular(&fs::metadata(path)?)?;
        }
        never_blocking(&mut options);
        let file = options.open(path)?;
        let metadata = file.metadata()?;
        check_regular(&metadata)?;
        let identity = identity_of(&metadata, &path_for_identity(path)?);
        let process = Some(std::process::id());
        Ok(Arc::new(DiskFile { file, held: Mutex::new(None), identity, process }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        if cfg!(unix) {
            // The folder of `name` is the empty path, which cannot be opened.
            let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
            File::open(dir)?.sync_all()
        } else {
            Ok(())
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name())).collect()
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        fs::canonicalize(path)
    }

    fn identity(&self, path: &Path) -> io::Result<FileIdentity> {
        Ok(identity_of(&fs::metadata(path)?, &path_for_identity(path)?))
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        getrandom::fill(bytes).map_err(io::Error::other)
    }

    fn memory_len(&self) -> Option<u64> {
        super::machine::memory_len()
    }
}

impl StorageFile for DiskFile {
    #[cfg(unix)]
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&self.file, bytes, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_read(&self.file, bytes, offset)
    }

    #[cfg(unix)]
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.check_process()?;
        std::os::unix::fs::FileExt::write_at(&self.file, bytes, offset)
    }

    #[cfg(windows)]
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_write(&self.file, bytes, offset)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check_process()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn try_lock(&self, kind: LockKind) -> io::Result<bool> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if *held == Some(kind) {
            return Ok(true);
        }
        if held.is_some() && cfg!(windows) {
            // There a second lock is put beside the first, and an exclusive one waits for it.
            fs2::FileExt::unlock(&self.file)?;
        }
        if self.lock(kind)? {
            *held = Some(kind);
            return Ok(true);
        }
        // A change of kind drops the old lock before it asks for the new one: take it back.
        if let Some(old) = *held
            && !self.lock(old)?
        {
            *held = None;
            return Err(io::Error::other("the lock was lost to another process"));
        }
        Ok(false)
    }

    fn unlock(&self) {
        if self.check_process().is_err() {
            return;
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if fs2::FileExt::unlock(&self.file).is_ok() {
            *held = None;
        }
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        Ok(self.identity)
    }

    fn check_process(&self) -> io::Result<()> {
        match self.process {
            Some(process) if process != std::process::id() => {
                Err(io::Error::other("this process is a fork of the one that opened the index"))
            }
            _ => Ok(()),
        }
    }

    #[cfg(target_os = "linux")]
    fn forget(&self, offset: u64, len: u64) {
        use rustix::fs::{FallocateFlags, fallocate};
        if self.check_process().is_ok() {
            let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            // Where there are no holes, the bytes stay until the file goes.
            let _ = fallocate(&self.file, punch, offset, len);
        }
    }

    #[cfg(target_os = "linux")]
    fn drop_cached(&self) {
        let _ = rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::DontNeed);
    }

    #[cfg(unix)]
    fn allocated_len(&self) -> io::Result<u64> {
        use std::os::unix::fs::MetadataExt;
        Ok(self.file.metadata()?.blocks().saturating_mul(512))
    }

    #[cfg(not(unix))]
    fn allocated_len(&self) -> io::Result<u64> {
        self.len()
    }

    fn map(&self, len: u64) -> io::Result<Map> {
        Map::of_file(&self.file, len)
    }
}

#[cfg(test)]
#[cfg(all(unix, not(miri)))]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn create(dir: &tempfile::TempDir, name: &str) -> Arc<dyn StorageFile> {
        DiskStorage.open(&dir.path().join(name), OpenMode::CreateNew).unwrap()
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn bytes_that_were_forgotten_take_no_room_and_the_others_stay() {
        let dir = folder();
        let file = create(&dir, "a");
        file.write_all_at(&vec![7; 3 << 20], 0).unwrap();
        file.sync_data().unwrap();
        let before = file.allocated_len().unwrap();
        file.forget(1 << 20, 1 << 20);
        assert_eq!(file.len().unwrap(), 3 << 20);
        assert!(file.allocated_len().unwrap() + (1 << 20) <= before);
        let mut bytes = vec![1; 3 << 20];
        file.read_exact_at(&mut bytes, 0).unwrap();
        for (part, byte) in bytes.chunks(1 << 20).zip([7, 0, 7]) {
            assert!(part.iter().all(|found| *found == byte));
        }
    }

    const EVERY_MODE: [OpenMode; 2] = [OpenMode::Read, OpenMode::ReadWrite];

    fn refusal(path: &Path, mode: OpenMode) -> io::Error {
        let start = Instant::now();
        let error = DiskStorage.open(path, mode).unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(5), "{path:?} blocked");
        error
    }

    #[test]
    fn a_fifo_is_refused_and_does_not_block() {
        let dir = folder();
        let path = dir.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        for mode in EVERY_MODE {
            assert!(refusal(&path, mode).to_string().contains("FIFO"));
        }
    }

    /// The race that asking the name first cannot win: the descriptor must say it too.
    #[test]
    fn the_flags_alone_keep_a_fifo_from_blocking() {
        let dir = folder();
        let path = dir.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut options = OpenOptions::new();
            options.read(true);
            never_blocking(&mut options);
            let file = options.open(path).unwrap();
            sender.send(check_regular(&file.metadata().unwrap()).is_err()).unwrap();
        });
        assert!(receiver.recv_timeout(Duration::from_secs(5)).unwrap());
    }

    #[test]
    fn folders_sockets_and_devices_are_refused() {
        let dir = folder();
        let socket = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for mode in EVERY_MODE {
            assert_eq!(refusal(dir.path(), mode).kind(), io::ErrorKind::IsADirectory);
            assert!(refusal(&socket, mode).to_string().contains("socket"));
            assert!(refusal(Path::new("/dev/null"), mode).to_string().contains("device"));
        }
    }

    #[test]
    fn a_link_leads_to_its_file_and_a_dangling_one_nowhere() {
        let dir = folder();
        let file = create(&dir, "file");
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path().join("file"), &link).unwrap();
        let through = DiskStorage.open(&link, OpenMode::ReadWrite).unwrap();
        assert_eq!(through.identity().unwrap(), file.identity().unwrap());
        assert_eq!(DiskStorage.identity(&link).unwrap(), file.identity().unwrap());

        let dangling = dir.path().join("dangling");
        std::os::unix::fs::symlink(dir.path().join("nothing"), &dangling).unwrap();
        assert_eq!(refusal(&dangling, OpenMode::Read).kind(), io::ErrorKind::NotFound);
        assert_eq!(refusal(&dangling, OpenMode::CreateNew).kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn two_handles_of_one_file_exclude_each_other() {
        let dir = folder();
        let first = create(&dir, "file");
        let second = DiskStorage.open(&dir.path().join("file"), OpenMode::Read).unwrap();
        assert!(first.try_lock(LockKind::Exclusive).unwrap());
        assert!(first.try_lock(LockKind::Exclusive).unwrap());
        assert!(!second.try_lock(LockKind::Shared).unwrap());
        assert!(first.try_lock(LockKind::Shared).unwrap());
        assert!(second.try_lock(LockKind::Shared).unwrap());
        assert!(!second.try_lock(LockKind::Exclusive).unwrap());
        assert!(!first.try_lock(LockKind::Exclusive).unwrap(), "the failed change dropped a lock");
        drop(first);
        assert!(second.try_lock(LockKind::Exclusive).unwrap());
    }

    #[test]
    fn a_map_sees_later_writes_and_a_new_one_the_growth() {
        let dir = folder();
        let file = create(&dir, "file");
        assert_eq!(file.map(0).unwrap().len(), 0);
        assert_eq!(file.map(8).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        file.set_len(4096).unwrap();
        let map = file.map(4096).unwrap();
        file.write_all_at(&7_u64.to_le_bytes(), 8).unwrap();
        assert_eq!(map.view(0, 64).unwrap().word(1), 7);
        file.write_all_at(&9_u64.to_le_bytes(), 4096).unwrap();
        assert_eq!(file.map(4104).unwrap().view(4096, 8).unwrap().word(0), 9);
        assert!(map.view(4096, 8).is_none());
    }

    #[test]
    fn a_map_outlives_its_file_handle() {
        let dir = folder();
        let file = create(&dir, "file");
        file.write_all_at(&7_u64.to_le_bytes(), 0).unwrap();
        let map = file.map(8).unwrap();
        drop(file);
        drop(dir);
        assert_eq!(map.view(0, 8).unwrap().word(0), 7);
    }

    #[test]
    fn a_read_at_the_end_is_short() {
        let dir = folder();
        let file = create(&dir, "file");
        file.write_all_at(b"12345", 0).unwrap();
        let mut bytes = [0; 8];
        assert_eq!(file.read_at(&mut bytes, 2).unwrap(), 3);
        assert_eq!(&bytes[..3], b"345");
        assert_eq!(file.read_at(&mut bytes, 5).unwrap(), 0);
        let error = file.read_exact_at(&mut bytes, 0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_file_opened_for_reading_is_not_written() {
        let dir = folder();
        drop(create(&dir, "file"));
        let file = DiskStorage.open(&dir.path().join("file"), OpenMode::Read).unwrap();
        assert!(file.write_at(b"x", 0).is_err());
        assert!(file.set_len(1).is_err());
        file.sync_data().unwrap();
    }

    #[test]
    fn names_change_and_identities_stay() {
        let dir = folder();
        let path = |name: &str| dir.path().join(name);
        let file = create(&dir, "old");
        let taken = DiskStorage.open(&path("old"), OpenMode::CreateNew).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
        DiskStorage.rename(&path("old"), &path("new")).unwrap();
        assert_eq!(DiskStorage.list(dir.path()).unwrap(), ["new"]);
        assert_eq!(DiskStorage.identity(&path("new")).unwrap(), file.identity().unwrap());
        DiskStorage.sync_dir(dir.path()).unwrap();
        DiskStorage.remove(&path("new")).unwrap();
        assert!(DiskStorage.list(dir.path()).unwrap().is_empty());
        assert_eq!(refusal(&path("new"), OpenMode::ReadWrite).kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_hole_takes_no_disk() {
        let dir = folder();
        let file = create(&dir, "file");
        file.set_len(1 << 30).unwrap();
        assert_eq!(file.len().unwrap(), 1 << 30);
        assert!(file.allocated_len().unwrap() < 1 << 20);
    }

    #[test]
    fn random_bytes_differ() {
        let (mut one, mut other) = ([0; 16], [0; 16]);
        DiskStorage.random(&mut one).unwrap();
        DiskStorage.random(&mut other).unwrap();
        assert_ne!(one, other);
    }
}
