//! `close` beside a checkpoint that another thread runs, step by step, and a log that has no room: on a
//! storage that holds writes back, or fails, when it is told to.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::{Index, Options};
use crate::error::{Error, Result};
use crate::storage::memory::MemoryStorage;
use crate::storage::{FileIdentity, LockKind, Map, OpenMode, Storage, StorageFile};

const PATH: &str = "/index";
/// Longer than anything takes that ends.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
struct Switches {
    /// Writes to the index's own file wait.
    holds: bool,
    held: usize,
    log_fails: bool,
    log_is_full: bool,
}

type Shared = Arc<(Mutex<Switches>, Condvar)>;

#[derive(Debug, Clone)]
struct Switched {
    inner: MemoryStorage,
    shared: Shared,
}

#[derive(Debug)]
struct SwitchedFile {
    inner: Arc<dyn StorageFile>,
    is_index: bool,
    shared: Shared,
}

impl Switched {
    fn new() -> Switched {
        Switched { inner: MemoryStorage::new(16 << 20), shared: Shared::default() }
    }

    fn set(&self, change: impl FnOnce(&mut Switches)) {
        change(&mut self.shared.0.lock().unwrap());
        self.shared.1.notify_all();
    }

    fn wait_until_held(&self) {
        let switches = self.shared.0.lock().unwrap();
        let is_not = |switches: &mut Switches| switches.held == 0;
        let waited = self.shared.1.wait_timeout_while(switches, PATIENCE, is_not).unwrap();
        let is_held = waited.0.held > 0;
        drop(waited);
        if !is_held {
            self.set(|switches| switches.holds = false);
            panic!("nothing was written");
        }
    }

    fn open_index(&self) -> Result<Index> {
        Options::new().on(Arc::new(self.clone())).open(PATH)
    }
}

impl Storage for Switched {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn StorageFile>> {
        let inner = self.inner.open(path, mode)?;
        let is_index = path == Path::new(PATH);
        Ok(Arc::new(SwitchedFile { inner, is_index, shared: self.shared.clone() }))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.sync_dir(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        self.inner.list(dir)
    }
    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        self.inner.canonicalize(path)
    }
    fn identity(&self, path: &Path) -> io::Result<FileIdentity> {
        self.inner.identity(path)
    }
    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        self.inner.random(bytes)
    }
}

impl StorageFile for SwitchedFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(bytes, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut switches = self.shared.0.lock().unwrap();
        if self.is_index && switches.holds {
            switches.held += 1;
            self.shared.1.notify_all();
            switches = self.shared.1.wait_while(switches, |switches| switches.holds).unwrap();
            switches.held -= 1;
        }
        let grows = offset + bytes.len() as u64 > self.inner.len()?;
        if !self.is_index && grows && switches.log_is_full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        drop(switches);
        self.inner.write_at(bytes, offset)
    }
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        if !self.is_index && self.shared.0.lock().unwrap().log_fails {
            return Err(io::Error::other("switched off"));
        }
        self.inner.sync_data()
    }
    fn try_lock(&self, kind: LockKind) -> io::Result<bool> {
        self.inner.try_lock(kind)
    }
    fn unlock(&self) {
        self.inner.unlock();
    }
    fn identity(&self) -> io::Result<FileIdentity> {
        self.inner.identity()
    }
    fn allocated_len(&self) -> io::Result<u64> {
        self.inner.allocated_len()
    }
    fn map(&self, len: u64) -> io::Result<Map> {
        self.inner.map(len)
    }
}

fn fill(index: &Index) {
    (0..100_u32).for_each(|i| assert!(index.insert(i.to_le_bytes(), [7; 100]).unwrap()));
}

fn holds_what_was_filled(index: &Index) -> bool {
    (0..100_u32).all(|i| index.get(i.to_le_bytes()).unwrap().is_some_and(|value| value == [7; 100]))
}

fn expect_whole(storage: &Switched) {
    let index = storage.open_index().unwrap();
    assert!(holds_what_was_filled(&index));
    assert!(index.check().unwrap().is_sound());
    index.close().unwrap();
}

/// After a failed sync `close` gave the file's lock back while a checkpoint that another thread had
/// called still wrote: whoever opened the file anew, as the error says, was one of two writers.
#[test]
fn a_close_waits_for_a_checkpoint_that_another_thread_runs() {
    let storage = Switched::new();
    let index = storage.open_index().unwrap();
    fill(&index);
    std::thread::scope(|scope| {
        storage.set(|switches| switches.holds = true);
        let checkpoint = scope.spawn(|| index.checkpoint());
        storage.wait_until_held();
        storage.set(|switches| switches.log_fails = true);
        let failed = index.insert("one", "more");
        let (tell, told) = channel();
        let index = &index;
        scope.spawn(move || tell.send(index.close()).unwrap());
        let early = told.recv_timeout(Duration::from_millis(300));
        let file = storage.inner.open(Path::new(PATH), OpenMode::ReadWrite).unwrap();
        let is_free = file.try_lock(LockKind::Exclusive).unwrap();
        storage.set(|switches| switches.holds = false);
        assert!(matches!(failed, Err(Error::Io { .. })), "{failed:?}");
        assert!(matches!(early, Err(RecvTimeoutError::Timeout)), "{early:?} beside a checkpoint");
        assert!(!is_free, "two writers");
        assert!(matches!(checkpoint.join().unwrap(), Err(Error::Refused { .. })), "it wrote on");
        assert!(matches!(told.recv().unwrap(), Err(Error::Refused { .. })));
    });
    storage.set(|switches| switches.log_fails = false);
    expect_whole(&storage);
}

/// Between the last checkpoint of a `close` and the removal of the log there was room for one of
/// another call, which announced a log that was then removed: no open could find it.
#[test]
fn a_checkpoint_ends_when_another_thread_closes_the_index() {
    let storage = Switched::new();
    let index = storage.open_index().unwrap();
    fill(&index);
    std::thread::scope(|scope| {
        storage.set(|switches| switches.holds = true);
        let checkpoint = scope.spawn(|| index.checkpoint());
        storage.wait_until_held();
        let close = scope.spawn(|| index.close());
        while !index.inner().writer().closed {
            std::thread::yield_now();
        }
        storage.set(|switches| switches.holds = false);
        let ended = checkpoint.join().unwrap();
        assert!(matches!(ended, Err(Error::Closed)), "{ended:?}");
        close.join().unwrap().unwrap();
    });
    expect_whole(&storage);
}

/// A change that failed for want of room in the log had made its page the writer's own, and nobody
/// counted it: a server that tried on and on had all pages of the file in memory in the end.
#[test]
#[cfg_attr(miri, ignore = "too much work")]
fn changes_that_fail_keep_the_memory_budget() {
    const BUDGET: u64 = 256 << 10;
    let storage = Switched::new();
    let options = Options::new().on(Arc::new(storage.clone())).small_budgets(4 << 20, BUDGET);
    let index = options.clone().open(PATH).unwrap();
    let insert = |index: &Index, i: u32| index.insert(i.to_le_bytes(), [7; 100]);
    (0..20_000).for_each(|i| assert!(insert(&index, i).unwrap()));
    index.close().unwrap();
    // With a log that has no room but the least.
    let index = options.clone().open(PATH).unwrap();
    assert!(!insert(&index, 0).unwrap());
    storage.set(|switches| switches.log_is_full = true);
    let full = (0..3_000).filter(|&i| matches!(insert(&index, i), Err(Error::StorageFull { .. })));
    assert!(full.count() > 2_900);
    let dirty_len = index.stats().unwrap().dirty_len;
    assert!(dirty_len <= BUDGET, "{dirty_len} bytes of changed pages");
    storage.set(|switches| switches.log_is_full = false);
    assert!(!insert(&index, 0).unwrap());
    index.close().unwrap();
    assert!(holds_what_was_filled(&options.open(PATH).unwrap()));
}

/// Changes that had failed had spent the memory budget before any commit had started the threads: the
/// next writer waited for a checkpoint that nobody ran.
#[test]
#[cfg_attr(miri, ignore = "too much work")]
fn a_writer_goes_on_after_nothing_but_failures() {
    let storage = Switched::new();
    let options = || Options::new().on(Arc::new(storage.clone())).small_budgets(4 << 20, 64 << 10);
    let index = options().open(PATH).unwrap();
    (0..5_000_u32).for_each(|i| assert!(index.insert(i.to_le_bytes(), [7; 100]).unwrap()));
    index.close().unwrap();
    let mut with_threads = options();
    with_threads.manual = false;
    let index = with_threads.open(PATH).unwrap();
    let mut batch = crate::Batch::new();
    for i in 0..1_000_u32 {
        batch.insert(i.to_le_bytes(), [8; 100]);
    }
    batch.set_metadata([0; 2_000]);
    assert!(matches!(index.commit(batch), Err(Error::MetadataTooLarge { .. })));
    let (tell, told) = channel();
    let writer = index.clone();
    std::thread::spawn(move || tell.send(writer.insert(0_u32.to_le_bytes(), [7; 100])).unwrap());
    assert!(!told.recv_timeout(PATIENCE).expect("it waits for ever").unwrap());
    assert!(holds_what_was_filled(&index));
    index.close().unwrap();
}
