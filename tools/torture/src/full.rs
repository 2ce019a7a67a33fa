//! The fourth test: a small disk is filled until the index says so, then room is made, and the same
//! handle goes on. What it answered stands: every commit that succeeded is there, none that failed.

use std::path::Path;
use std::time::Instant;

use splitpoint::simulation::Rng;
use splitpoint::{Durability, Error, Index};

use crate::mount::{LoopMount, tool};
use crate::workload;
use crate::writer::Manner;
use crate::{judge::Judge, message::Message};

const DISK_SIZE: u64 = 12 << 20;
/// The file that takes the room, and its sizes.
const BALLAST: &str = "ballast";
const BALLAST_MAX: usize = 12 << 20;

/// Fills a disk `rounds` times. Gives the last line.
pub(crate) fn run(folder: &Path, kind: &str, seed: u64, rounds: u64) -> Result<String, String> {
    let made = match kind {
        "tmpfs" => Tmpfs::make(folder).map(Disk::Tmpfs),
        _ => LoopMount::make(folder, kind, DISK_SIZE).map(Disk::Loop),
    };
    let disk = match made {
        Ok(disk) => disk,
        Err(reason) => return Ok(format!("full: {kind} skipped: {reason}")),
    };
    let started = Instant::now();
    let mut filled = Filled {
        folder: disk.point(),
        seed,
        rng: Rng::new(seed),
        judge: Judge::new(seed),
        n: 0,
        full: 0,
        freed: 0,
        reopened: 0,
    };
    for round in 0..rounds {
        filled.round().map_err(|words| format!("{kind}, seed {seed}, round {round}: {words}"))?;
    }
    Ok(format!(
        "full: {kind}: {rounds} rounds, {} errors of a full disk, {} handles went on when there was \
         room, {} opened anew, 0 failures; {} commits, 0 lost; seed {seed}, {:.0} s",
        filled.full,
        filled.freed,
        filled.reopened,
        filled.judge.acknowledged,
        started.elapsed().as_secs_f64(),
    ))
}

/// A disk in memory.
struct Tmpfs(std::path::PathBuf);

impl Tmpfs {
    fn make(folder: &Path) -> Result<Tmpfs, String> {
        let point = folder.join("tmpfs");
        std::fs::create_dir(&point).map_err(|error| error.to_string())?;
        let size = format!("size={DISK_SIZE}");
        let words = ["-t", "tmpfs", "-o", &size, "tmpfs"].map(std::ffi::OsStr::new);
        tool("mount", &[&words[..], &[point.as_os_str()]].concat())?;
        Ok(Tmpfs(point))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = tool("umount", &[self.0.as_os_str()]);
    }
}

enum Disk {
    Tmpfs(Tmpfs),
    Loop(LoopMount),
}

impl Disk {
    fn point(&self) -> &Path {
        match self {
            Disk::Tmpfs(disk) => &disk.0,
            Disk::Loop(disk) => &disk.point,
        }
    }
}

/// An error of a full disk: whether something was changed is known, or not.
fn is_for_want_of_room(error: &Error) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    match error {
        Error::StorageFull { .. } | Error::Refused { .. } => true,
        Error::Io { source, .. } => {
            matches!(source.kind(), StorageFull | QuotaExceeded | FileTooLarge)
        }
        _ => false,
    }
}

fn load_key(i: u64) -> String {
    format!("load {i}")
}

/// Loads until the disk is full; how many records it took.
fn load(index: &Index, len: usize) -> Result<u64, String> {
    let value = vec![0x11; len];
    let mut loaded = 0;
    let error = loop {
        // In the default mode of an index that syncs later, its log must become durable as well.
        match index.insert(load_key(loaded), &value).and_then(|_| index.sync()) {
            Ok(()) => loaded += 1,
            Err(error) => break error,
        }
    };
    if !is_for_want_of_room(&error) {
        return Err(format!("a full disk gave {error}"));
    }
    for i in 0..loaded {
        let found = index.get(load_key(i)).map_err(|error| error.to_string())?;
        if found.as_deref() != Some(&*value) {
            return Err(format!("record {i} of {loaded} is missing on a full disk"));
        }
    }
    Ok(loaded)
}

/// Removes what was loaded, and the one that may have been in the log when the disk was full.
fn unload(index: &Index, loaded: u64) -> Result<(), String> {
    for i in 0..=loaded {
        let removed = index.remove(load_key(i)).map_err(|error| format!("with room: {error}"))?;
        if !removed && i < loaded {
            return Err(format!("record {i} of {loaded} is lost"));
        }
    }
    Ok(())
}

/// A disk and the index on it.
struct Filled<'d> {
    folder: &'d Path,
    seed: u64,
    rng: Rng,
    judge: Judge,
    /// Commits of the one thread.
    n: u64,
    full: u64,
    freed: u64,
    reopened: u64,
}

impl Filled<'_> {
    fn round(&mut self) -> Result<(), String> {
        let words = |error: Error| format!("open: {error}");
        let (ballast, path) = (self.folder.join(BALLAST), self.folder.join("index"));
        let manner = Manner::random(&mut self.rng);
        let index = manner.options().open(&path).map_err(words)?;
        self.reopened += 1;
        let begun = self.n;
        // Commits until the disk, of which the ballast takes more and more, is full.
        let steps = 1 + self.rng.below(8);
        for step in 1..=steps {
            self.take(&ballast, step * BALLAST_MAX / steps);
            if self.commits(&index, 20)? {
                break;
            }
        }
        let loaded = load(&index, self.rng.below(4_000))?;
        self.full += 1;
        // Reads go on.
        let found = workload::survived(&index, 0).map_err(|error| error.to_string())?;
        if found != self.n {
            return Err(format!("{found} commits on a full disk, not {}", self.n));
        }
        std::fs::write(&ballast, b"").map_err(|error| error.to_string())?;
        let may_go_on = match index.insert("room", "for this") {
            Ok(_) => index.remove("room").map(|_| true).map_err(|error| error.to_string())?,
            Err(Error::Refused { .. }) => false,
            Err(error) => return Err(format!("with room again: {error}")),
        };
        if may_go_on {
            self.freed += 1;
            unload(&index, loaded)?;
            if self.commits(&index, 20)? {
                return Err("full although there is room".to_owned());
            }
            self.judge.examine(&index)?;
        }
        if self.n == begun {
            return Err("not one commit".to_owned());
        }
        match self.rng.below(2) {
            0 => drop(index),
            _ if may_go_on => index.close().map_err(|error| format!("close: {error}"))?,
            _ => drop(index),
        }
        let index = manner.options().open(&path).map_err(words)?;
        if !may_go_on {
            unload(&index, loaded)?;
        }
        self.judge.begin();
        self.judge.examine(&index)?;
        self.n = workload::survived(&index, 0).map_err(|error| error.to_string())?;
        Ok(())
    }

    /// Makes the ballast so large, or as large as it can be.
    fn take(&self, ballast: &Path, len: usize) {
        let _ = std::fs::write(ballast, vec![0xbb; len]);
    }

    /// Commits so often; `true` if the disk was full before that.
    fn commits(&mut self, index: &Index, count: usize) -> Result<bool, String> {
        for _ in 0..count {
            let commit = workload::commit(self.seed, 0, self.n + 1);
            match commit.make(index, Durability::Immediate) {
                Ok(_) => {}
                Err(error) if is_for_want_of_room(&error) => {
                    self.full += 1;
                    return Ok(true);
                }
                Err(error) => return Err(error.to_string()),
            }
            self.n += 1;
            self.judge.hear(Message::Made { thread: 0, n: self.n, lsn: 0 })?;
            // Of one that did not wait nothing is promised before the next sync.
            if index.sync().is_ok() {
                self.judge.hear(Message::Durable { thread: 0, n: self.n })?;
            }
        }
        Ok(false)
    }
}
