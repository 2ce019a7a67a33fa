//! The process that is tortured: opens the index, tells what it found, and commits in several
//! threads beside background checkpoints until it is killed, hears of an error, or its time is over.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use splitpoint::simulation::Rng;
use splitpoint::{Access, Durability, Error, Index, Options};

use crate::message::Message;
use crate::workload::{self, THREADS};

/// How a writer works. Sent to it as one number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// Commits are acknowledged without waiting for the disk; now and then a thread waits.
    pub(crate) background: bool,
    /// Pages are read through a map.
    pub(crate) mapped: bool,
    /// Acknowledges before it commits: whoever does not notice is no judge.
    pub(crate) lies: bool,
    /// After so long it closes the index and ends; 0: never.
    pub(crate) life_ms: u64,
}

impl Manner {
    /// Any manner.
    pub(crate) fn random(rng: &mut Rng) -> Manner {
        let mut half = || rng.below(2) == 0;
        Manner { background: half(), mapped: half(), lies: false, life_ms: 0 }
    }

    fn encode(self) -> String {
        let flag = |is_set: bool, place: u32| u64::from(is_set) << place;
        let flags = flag(self.background, 0) | flag(self.mapped, 1) | flag(self.lies, 2);
        (flags | self.life_ms << 3).to_string()
    }

    fn decode(text: &str) -> Option<Manner> {
        let bits: u64 = text.parse().ok()?;
        let flag = |place: u32| bits >> place & 1 > 0;
        let (background, mapped, lies) = (flag(0), flag(1), flag(2));
        Some(Manner { background, mapped, lies, life_ms: bits >> 3 })
    }

    /// Budgets are small, so that there is always a checkpoint on its way.
    pub(crate) fn options(self) -> Options {
        let durability = match self.background {
            true => Durability::Background(Duration::from_millis(2)),
            false => Durability::Immediate,
        };
        let access = if self.mapped { Access::Mapped } else { Access::Pread };
        Options::new().durability(durability).access(access).small_budgets(192 << 10, 192 << 10)
    }
}

/// How a writer that was not killed has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Its time was over, and the index is closed.
    Closed = 0,
    /// It did what no writer may do.
    Wrong = 10,
    /// It heard of an error, and from then on all writes were refused.
    Refused = 11,
    /// The disk was full until it gave up.
    Full = 12,
    /// The index could not be opened.
    NotOpened = 13,
    /// The index could not be closed.
    NotClosed = 14,
}

impl End {
    /// By the exit code.
    pub(crate) fn of(code: i32) -> Option<End> {
        use End::{Closed, Full, NotClosed, NotOpened, Refused, Wrong};
        let all = [Closed, Wrong, Refused, Full, NotOpened, NotClosed];
        all.into_iter().find(|end| *end as i32 == code)
    }
}

/// The command that starts this program as a writer, under another one if there is a prefix.
pub(crate) fn command(prefix: &[String], path: &Path, seed: u64, manner: Manner) -> Command {
    let program = std::env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into());
    let mut command = match prefix.split_first() {
        None => Command::new(&program),
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(&program);
            command
        }
    };
    command.arg("writer").arg(path).arg(seed.to_string()).arg(manner.encode());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs as a writer.
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let [path, seed, manner] = arguments else { return ExitCode::FAILURE };
    let (Ok(seed), Some(manner)) = (seed.parse(), Manner::decode(manner)) else {
        return ExitCode::FAILURE;
    };
    let end = match std::io::stdout().as_fd().try_clone_to_owned() {
        Ok(output) => run(Path::new(path), seed, manner, File::from(output)),
        Err(_) => End::Wrong,
    };
    ExitCode::from(end as u8)
}

fn run(path: &Path, seed: u64, manner: Manner, output: File) -> End {
    let index = match manner.options().open(path) {
        Ok(index) => index,
        Err(error) => {
            eprintln!("open: {error}");
            return End::NotOpened;
        }
    };
    let mut found = [0; THREADS];
    for (thread, found) in found.iter_mut().enumerate() {
        match workload::survived(&index, thread) {
            Ok(n) => *found = n,
            Err(error) => {
                eprintln!("read: {error}");
                return End::NotOpened;
            }
        }
        // A parent that is gone reads nothing; then nothing matters.
        let _ = Message::Found { thread, n: *found }.send(&output);
    }
    let _ = Message::Opened.send(&output);
    let life = Life { index: &index, seed, manner, output: &output, over: AtomicBool::new(false) };
    let started = Instant::now();
    let errors: Vec<Option<Error>> = std::thread::scope(|scope| {
        let life = &life;
        let threads: Vec<_> = found
            .into_iter()
            .enumerate()
            .map(|(thread, n)| scope.spawn(move || life.commits(thread, n).err()))
            .collect();
        while !life.is_over() {
            std::thread::sleep(Duration::from_micros(500));
            if manner.life_ms > 0 && started.elapsed() > Duration::from_millis(manner.life_ms) {
                life.over.store(true, Ordering::Relaxed);
            }
        }
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    if errors.len() < THREADS {
        return End::Wrong;
    }
    match errors.into_iter().flatten().max_by_key(is_full_to_last) {
        None => close(&index),
        Some(error) => after(&index, &error),
    }
}

/// Sorts a full disk before other errors.
fn is_full_to_last(error: &Error) -> bool {
    !matches!(error, Error::StorageFull { .. })
}

fn close(index: &Index) -> End {
    match index.close() {
        Ok(()) => End::Closed,
        Err(error) => {
            eprintln!("close: {error}");
            End::NotClosed
        }
    }
}

/// After an error: whoever goes on writing is wrong, unless the disk was merely full.
fn after(index: &Index, error: &Error) -> End {
    eprintln!("{error}");
    if matches!(error, Error::StorageFull { .. }) {
        return End::Full;
    }
    // A failed read alone refuses nothing, nor does a segment of the log that cannot be created: nothing was
    // begun. But no sync may succeed from now on.
    if matches!(error, Error::Io { action: "read" | "create", .. }) {
        for _ in 0..3 {
            match index.insert("after", "a failed read").and_then(|_| index.sync()) {
                Ok(()) => return End::Wrong,
                Err(Error::Refused { .. }) => break,
                Err(Error::Io { action: "read" | "create", .. }) => return End::Refused,
                Err(_) => {}
            }
        }
    }
    for call in 0..3 {
        let result = match call {
            0 => index.insert("after", "an error").map(drop),
            1 => index.remove("after").map(drop),
            _ => index.checkpoint(),
        };
        match result {
            Err(Error::Refused { .. }) => {}
            other => {
                eprintln!("after an error, call {call} gave {other:?}");
                return End::Wrong;
            }
        }
    }
    End::Refused
}

/// What the threads of one life share.
struct Life<'l> {
    index: &'l Index,
    seed: u64,
    manner: Manner,
    output: &'l File,
    over: AtomicBool,
}

impl Life<'_> {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Commits from `n + 1` on.
    fn commits(&self, thread: usize, mut n: u64) -> Result<(), Error> {
        let ended = self.commit_until_over(thread, &mut n);
        self.over.store(true, Ordering::Relaxed);
        ended
    }

    fn commit_until_over(&self, thread: usize, n: &mut u64) -> Result<(), Error> {
        /// A full disk is tried again so often.
        const PATIENCE: usize = 20;
        let durability = match self.manner.background {
            true => Durability::Background(Duration::from_millis(2)),
            false => Durability::Immediate,
        };
        let mut full = 0;
        while !self.is_over() {
            let commit = workload::commit(self.seed, thread, *n + 1);
            if self.manner.lies {
                let _ = Message::Made { thread, n: *n + 1, lsn: 0 }.send(self.output);
                let _ = Message::Durable { thread, n: *n + 1 }.send(self.output);
            }
            let lsn = match commit.make(self.index, durability) {
                Ok(lsn) => lsn,
                Err(Error::StorageFull { .. }) if full < PATIENCE => {
                    full += 1;
                    std::thread::sleep(Duration::from_millis(1));
                    continue;
                }
                Err(error) => return Err(error),
            };
            full = 0;
            *n += 1;
            if self.manner.lies {
                continue;
            }
            let told = lsn.map_or(0, |lsn| lsn.0);
            let _ = Message::Made { thread, n: *n, lsn: told }.send(self.output);
            match (self.manner.background, lsn) {
                (true, Some(lsn)) if n.is_multiple_of(2) => self.index.wait_durable(lsn)?,
                (true, _) => continue,
                (false, _) => {}
            }
            let _ = Message::Durable { thread, n: *n }.send(self.output);
        }
        Ok(())
    }
}
