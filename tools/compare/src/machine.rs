//! The machine: what it is, what this process read and wrote, how caches are dropped and memory
//! is limited. Linux.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What a reader of the table must know of the machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    pub cpu: String,
    pub cpus: usize,
    pub memory_mib: u64,
    pub kernel: String,
    pub file_system: String,
    pub read_ahead_kib: String,
    pub rustc: String,
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// What stands behind a name in a file of `name: value` lines.
fn field(text: &str, name: &str) -> String {
    let line = text.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.split_once(':')).map_or("?", |(_, value)| value.trim()).to_owned()
}

impl Machine {
    pub fn of(folder: &Path) -> Machine {
        let memory = field(&read("/proc/meminfo"), "MemTotal");
        let kib: u64 = memory.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        let rustc = std::process::Command::new("rustc").arg("--version").output();
        let (device, file_system) = mount(folder);
        let device = device.trim_start_matches("/dev/");
        Machine {
            cpu: field(&read("/proc/cpuinfo"), "model name"),
            cpus: std::thread::available_parallelism().map_or(0, |n| n.get()),
            memory_mib: kib >> 10,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            file_system: format!("{file_system} on {device}"),
            read_ahead_kib: read(&format!("/sys/block/{device}/queue/read_ahead_kb"))
                .trim()
                .to_owned(),
            rustc: rustc.map_or("?".to_owned(), |out| {
                String::from_utf8_lossy(&out.stdout).trim().to_owned()
            }),
        }
    }
}

/// Device and kind of the file system that this folder is on.
fn mount(folder: &Path) -> (String, String) {
    let folder = folder.canonicalize().unwrap_or_else(|_| PathBuf::from("/"));
    let mounts = read("/proc/mounts");
    let lines = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some((words.next()?, words.next()?, words.next()?))
    });
    let best = lines.filter(|(_, at, _)| folder.starts_with(at)).max_by_key(|(_, at, _)| at.len());
    best.map_or(("?".to_owned(), "?".to_owned()), |(device, _, kind)| {
        (device.to_owned(), kind.to_owned())
    })
}

/// The load of the last minute: how quiet the machine was.
pub fn load_average() -> String {
    read("/proc/loadavg").split(' ').next().unwrap_or("?").to_owned()
}

/// Bytes that this process caused to be read from devices.
pub fn bytes_read() -> io::Result<u64> {
    field(&fs::read_to_string("/proc/self/io")?, "read_bytes").parse().map_err(io::Error::other)
}

/// Bytes that were written to the device of a folder, by whomever. What the system counts for the process
/// would not do: of a page of the cache that is large it counts all when a byte of it changes. `None`
/// where the system counts nothing: a file system in memory, or one that has no single device.
pub fn bytes_written(folder: &Path) -> Option<u64> {
    let device = fs::metadata(folder).ok()?.dev();
    let (major, minor) = (libc::major(device), libc::minor(device));
    let text = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")).ok()?;
    let sectors = text.split_whitespace().nth(6)?.parse::<u64>().ok()?;
    Some(512 * sectors)
}

fn files(folder: &Path, each: &mut dyn FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files(&entry.path(), each)?,
            Ok(_) => match each(&entry.path()) {
                // Background threads may remove files.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => result?,
            },
            Err(_) => {}
        }
    }
    Ok(())
}

/// Bytes of disk that the files of a folder take.
pub fn disk_len(folder: &Path) -> io::Result<u64> {
    let mut sum = 0;
    files(folder, &mut |path| {
        sum += fs::metadata(path)?.blocks() * 512;
        Ok(())
    })?;
    Ok(sum)
}

/// Writes all files of a folder to the device.
pub fn flush(folder: &Path) -> io::Result<()> {
    files(folder, &mut |path| File::open(path)?.sync_all())
}

/// Drops the files of a folder from the page cache; if `all`, and this process may, the whole
/// system's caches.
#[expect(unsafe_code, reason = "a system call on an open file")]
pub fn evict(folder: &Path, all: bool) -> io::Result<()> {
    flush(folder)?;
    if all {
        fs::write("/proc/sys/vm/drop_caches", "3")?;
    }
    files(folder, &mut |path| {
        let file = File::open(path)?;
        match unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) } {
            0 => Ok(()),
            code => Err(io::Error::from_raw_os_error(code)),
        }
    })
}

/// A memory cgroup of our own, removed at the end.
pub struct Cgroup(PathBuf);

impl Cgroup {
    pub fn make(bytes: u64) -> io::Result<Cgroup> {
        let text = fs::read_to_string("/proc/self/cgroup")?;
        let version_1 = text.lines().find_map(|line| line.split_once(":memory:"));
        let version_2 = text.lines().find_map(|line| line.strip_prefix("0::"));
        let (root, own, limit) = match (version_1, version_2) {
            (Some((_, own)), _) => ("/sys/fs/cgroup/memory", own, "memory.limit_in_bytes"),
            (None, Some(own)) => ("/sys/fs/cgroup", own, "memory.max"),
            (None, None) => return Err(io::Error::other("this process is in none")),
        };
        let name = format!("compare-{}", std::process::id());
        let path = Path::new(root).join(own.trim_start_matches('/')).join(name);
        fs::create_dir(&path)?;
        let group = Cgroup(path);
        fs::write(group.0.join(limit), bytes.to_string())?;
        Ok(group)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// Moves this process into a cgroup.
pub fn enter(group: &OsStr) -> io::Result<()> {
    fs::write(Path::new(group).join("cgroup.procs"), std::process::id().to_string())
}

/// Date and time, UTC.
pub fn now() -> String {
    let seconds = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days to a date of the Gregorian calendar, by years that begin in March.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day = shifted % 146_097;
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year + era * 400 + carry;
    format!("{year}-{month:02}-{date:02} {:02}:{:02} UTC", rest / 3600, rest / 60 % 60)
}
