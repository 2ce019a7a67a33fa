//! Opening: find or create the file, lock it, choose its meta page, redo its log.
//!
//! The order is the protocol's (DESIGN.md, "Recovery"): nothing is shown that the disk does not
//! hold, nothing is written before the meta page that was chosen is known durable, and a crash at
//! any point leaves a file that opens like the one before.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::commit::Group;
use super::stats::Counters;
use super::writer::{Writer, new_epoch, start_of};
use super::{Handle, Index, Inner, Options};
use crate::error::{Error, Fault, Place, Promise, Result};
use crate::layout::{Layout, RUN_BUCKETS};
use crate::log::{self, Log, LogFiles, LogStart, Lsn};
use crate::mutant::{Mutant, mutant};
use crate::page::PAGE_SIZE_MIN;
use crate::page::meta::{FileParameters, LogPosition};
use crate::page::record::{inline_len, large_len};
use crate::pager::{self, MetaPages, Opened, Reading};
use crate::storage::{LockKind, OpenMode, Storage, StorageFile};
use crate::table::Table;
use crate::table::resize::buckets_for;

/// Opens or creates.
pub(super) fn open(options: Options, path: &Path) -> Result<Index> {
    let (file, path) = open_file(&options, path)?;
    open_held(options, file, path)
}

/// Opens a file that is there and locked, by its canonical path.
pub(crate) fn open_held(
    options: Options,
    file: Arc<dyn StorageFile>,
    path: PathBuf,
) -> Result<Index> {
    let pages = pager::read_meta(&*file, &path)?;
    check_options(&options, &pages.newest.parameters, &path)?;
    let reading = Reading {
        access: options.access,
        verify: options.verify,
        read_only: options.read_only,
        residence: options.residence,
    };
    let needs_redo = !pages.newest.clean;
    let files = LogFiles {
        storage: options.storage.clone(),
        path: path.clone(),
        file_id: pages.newest.parameters.file_id,
    };
    let start = start_of(pages.newest.log);
    let leftovers = survey(&files, &pages)?;
    let last_segment = leftovers.iter().copied().max().unwrap_or(0).max(start.segment);
    let opened = pager::open(file, &path, pages, reading)?;
    let segment_size = (options.log_budget / 8).clamp(64 << 10, 16 << 20) & !0xfff;
    let Opened { pager, persisted } = opened;
    let next = (last_segment + 1, start.lsn);
    let table = Table::new(pager).expecting(options.expected_len);
    let writer = Writer::new(table, files, persisted, segment_size, next);
    let mut recovery = Recovery { writer, start, leftovers };
    if !options.read_only {
        match needs_redo {
            true => recovery.recover()?,
            false => recovery.end_close()?,
        }
    } else {
        if needs_redo {
            recovery.redo_in_memory()?;
        }
        recovery.writer.table.shared().end_redo_in_memory();
    }
    let index = finish(&options, recovery.writer)?;
    if needs_redo && !options.read_only {
        index.inner().finish_recovery(recovery.start)?;
    }
    Ok(index)
}

fn finish(options: &Options, writer: Writer) -> Result<Index> {
    let Some(persisted) = &writer.persisted else { return Err(Error::Closed) };
    let last_meta = persisted.meta().clone();
    let record_count = writer.table.pager.counts.record_count;
    let group = Group::starting_at(writer.newest_lsn());
    let inner = Inner {
        shared: writer.table.shared().clone(),
        durability: options.durability,
        log_budget: options.log_budget,
        memory_budget: options.memory_budget_or_default(),
        manual: options.manual,
        writer: Mutex::new(writer),
        updating: AtomicU64::new(0),
        group: Mutex::new(group),
        group_changed: Condvar::new(),
        group_gathered: Condvar::new(),
        job: Mutex::new(None),
        checkpoint_done: Condvar::new(),
        pressure: Mutex::default(),
        is_pressed: AtomicBool::new(false),
        last_meta: Mutex::new(last_meta),
        counters: Counters::new(),
        requests: Arc::default(),
        threads: Mutex::default(),
        threads_started: AtomicBool::new(false),
        closer: AtomicU64::new(0),
        lacks_threads: AtomicBool::new(false),
        record_count: AtomicU64::new(record_count),
    };
    Ok(Index { handle: Arc::new(Handle { inner: Arc::new(inner) }) })
}

impl Inner {
    /// Recovery ends with a checkpoint into the new log epoch: only then is what it redid durable,
    /// whatever the cache says (C7), and the old log can go.
    fn finish_recovery(&self, old: LogStart) -> Result<()> {
        if mutant(Mutant::LogRecycledEarly) {
            log::remove_segments(&self.writer().files, [old.segment])?;
        }
        if !mutant(Mutant::RecoveryShowsBeforeDurable) {
            self.run_checkpoint()?;
        }
        let writer = self.writer();
        let newer = writer.log.as_ref().map(|_| writer.next_segment).unwrap_or(old.segment);
        let old_segments = old.segment..newer;
        log::remove_segments(&writer.files, old_segments)
    }
}

/// Finds or creates the file and locks it.
fn open_file(options: &Options, path: &Path) -> Result<(Arc<dyn StorageFile>, PathBuf)> {
    let storage = &*options.storage;
    // Without a deadline if it is beyond the end of time.
    let deadline = Instant::now().checked_add(options.wait_for_lock);
    let (mode, kind) = match options.read_only {
        true => (OpenMode::Read, LockKind::Shared),
        false => (OpenMode::ReadWrite, LockKind::Exclusive),
    };
    let mut made = false;
    loop {
        match storage.open(path, mode) {
            Ok(_) if options.create_new && !made => {
                return Err(Error::io("create", path, ErrorKind::AlreadyExists.into()));
            }
            Ok(file) => {
                lock(&*file, path, kind, deadline)?;
                let canonical =
                    storage.canonicalize(path).map_err(|e| Error::io("open", path, e))?;
                // Whoever held the lock may have put another file in its place (C4).
                if is_still(storage, &*file, &canonical)? {
                    if !options.read_only {
                        settle_names(storage, &*file, &canonical)?;
                    }
                    return Ok((file, canonical));
                }
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {
                if options.read_only || !(options.create || options.create_new) {
                    return Err(Error::io("open", path, e));
                }
                made = create(options, path, deadline)?;
            }
            Err(e) => return Err(Error::io("open", path, e)),
        }
    }
}

/// What is seen at open may be in the cache only (F6): sync the file and its name first.
fn settle_names(storage: &dyn Storage, file: &dyn StorageFile, path: &Path) -> Result<()> {
    file.sync_data().map_err(|e| Error::io("sync", path, e))?;
    sync_folder(storage, path)
}

pub(crate) fn sync_folder(storage: &dyn Storage, path: &Path) -> Result<()> {
    if mutant(Mutant::NoFolderSync) {
        return Ok(());
    }
    let folder = folder_of(path);
    storage.sync_dir(folder).map_err(|e| Error::io("sync", folder, e))
}

pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => Path::new("."),
    }
}

pub(super) fn is_still(storage: &dyn Storage, file: &dyn StorageFile, path: &Path) -> Result<bool> {
    let of_file = file.identity().map_err(|e| Error::io("open", path, e))?;
    match storage.identity(path) {
        Ok(of_name) => Ok(of_name == of_file),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Error::io("open", path, e)),
    }
}

fn lock(
    file: &dyn StorageFile,
    path: &Path,
    kind: LockKind,
    deadline: Option<Instant>,
) -> Result<()> {
    loop {
        match file.try_lock(kind) {
            Ok(true) => return Ok(()),
            Ok(false) if deadline.is_none_or(|deadline| Instant::now() < deadline) => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Ok(false) => return Err(Error::Locked { path: path.to_owned() }),
            Err(e) => return Err(Error::io("lock", path, e)),
        }
    }
}

/// A name that is there and leads nowhere is a dangling link: an index is not put in its place.
pub(crate) fn refuse_dangling(storage: &dyn Storage, path: &Path) -> Result<()> {
    let Ok(names) = storage.list(folder_of(path)) else { return Ok(()) };
    let is_there = names.iter().any(|name| Some(name.as_os_str()) == path.file_name());
    if is_there && storage.identity(path).is_err_and(|e| e.kind() == ErrorKind::NotFound) {
        let words = "it is a symbolic link that leads nowhere";
        return Err(Error::io("create", path, std::io::Error::new(ErrorKind::InvalidInput, words)));
    }
    Ok(())
}

/// What an interrupted creation or backup left is taken over. Anything else of that name is somebody's: a
/// link, a file of a length that no creation leaves, an index that was written to.
pub(crate) fn check_leftover(
    storage: &dyn Storage,
    file: &dyn StorageFile,
    new: &Path,
) -> Result<()> {
    /// Generations that a creation writes.
    const CREATED: u64 = 2;
    let fail = |e| Error::io("read", new, e);
    // A simulated disk has no folders, and no links.
    let is_link = match storage.canonicalize(folder_of(new)) {
        Ok(folder) => storage.canonicalize(new).map_err(fail)? != new_name(&folder, new),
        Err(_) => false,
    };
    let is_whole = file.len().map_err(fail)?.is_multiple_of(crate::page::PAGE_SIZE_MIN as u64);
    let is_used = pager::read_meta(file, new).is_ok_and(|pages| pages.newest.generation > CREATED);
    if is_link || !is_whole || is_used {
        return Err(Error::io("create", new, ErrorKind::AlreadyExists.into()));
    }
    Ok(())
}

pub(super) fn new_name(folder: &Path, new: &Path) -> PathBuf {
    folder.join(new.file_name().unwrap_or_default())
}

/// Makes an empty index under another name, whole and durable, then gives it its name. A crash
/// leaves at most the other name, which the next creation takes over. `false` if somebody else
/// was faster.
fn create(options: &Options, path: &Path, deadline: Option<Instant>) -> Result<bool> {
    options.check_new()?;
    let storage = &*options.storage;
    let new = partial_name(path)?;
    refuse_dangling(storage, path)?;
    let file = match storage.open(&new, OpenMode::CreateNew) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => storage.open(&new, OpenMode::ReadWrite),
        opened => opened,
    };
    let file = match file {
        Ok(file) => file,
        // Another creator has just finished.
        Err(e) if e.kind() == ErrorKind::NotFound && storage.identity(folder_of(path)).is_ok() => {
            let dangling = refuse_dangling(storage, &new);
            // Asked last: the name that was there may have become this one meanwhile.
            return if storage.identity(path).is_ok() {
                Ok(false)
            } else {
                dangling.map(|()| false)
            };
        }
        Err(e) => return Err(Error::io("create", path, e)),
    };
    lock(&*file, path, LockKind::Exclusive, deadline)?;
    if !is_still(storage, &*file, &new)? || storage.identity(path).is_ok() {
        return Ok(false);
    }
    check_leftover(storage, &*file, &new)?;
    let parameters = new_parameters(options, path)?;
    let log = first_log_position();
    let fail = |e| Error::io("create", path, e);
    file.set_len(0).map_err(fail)?;
    let written = pager::create(&*file, path, parameters, first_layout(options, &parameters), log);
    if let Err(error) = written {
        // Nothing half-made stays behind, not even on a full disk.
        let _ = storage.remove(&new);
        return Err(error);
    }
    file.sync_data().map_err(|e| Error::io("sync", path, e))?;
    storage.rename(&new, path).map_err(fail)?;
    sync_folder(storage, path).map(|()| true)
}

/// Where the log of a new file would begin.
pub(crate) fn first_log_position() -> LogPosition {
    LogPosition { epoch_counter: 0, epoch_random: 0, segment: 0, lsn: 1 }
}

/// The name of a file that is not whole yet: one that nobody gives to a file of another kind.
pub(crate) fn partial_name(path: &Path) -> Result<PathBuf> {
    let nameless = || std::io::Error::new(ErrorKind::InvalidInput, "it has no name");
    let name = path.file_name().ok_or_else(|| Error::io("create", path, nameless()))?;
    let mut name = name.to_owned();
    name.push(".splitpoint-new");
    Ok(path.with_file_name(name))
}

pub(crate) fn new_parameters(options: &Options, path: &Path) -> Result<FileParameters> {
    let random = |bytes: &mut [u8]| {
        options.storage.random(bytes).map_err(|e| Error::io("get random bytes for", path, e))
    };
    let (mut file_id, mut seed) = ([0; 16], [0; 8]);
    random(&mut file_id)?;
    random(&mut seed)?;
    Ok(FileParameters {
        file_id: options.file_id.unwrap_or(file_id),
        page_size: options.new_page_size(),
        hash_seed: options.hash_seed.unwrap_or(u64::from_le_bytes(seed)),
        key_size: options.key_size.flatten(),
        value_size: options.value_size.flatten(),
        inline_max: options.inline_max.unwrap_or(crate::page::meta::INLINE_MAX_USUAL),
    })
}

/// For all records that are expected, if their size is known; else for some of them, to learn it from.
fn first_layout(options: &Options, parameters: &FileParameters) -> Layout {
    let in_page = |(key, value)| match inline_len(key, value) {
        len if len > parameters.inline_max => len.min(large_len(key)),
        _ => key + value,
    };
    let (shape, page_size) = (parameters.shape(), parameters.page_size);
    let for_len = |len: usize| buckets_for(&shape, options.expected_len, len as u64, page_size);
    Layout::new(match parameters.key_size.zip(parameters.value_size).map(in_page) {
        Some(len) => for_len(len),
        None => for_len(1).min((RUN_BUCKETS * PAGE_SIZE_MIN as u64 / page_size as u64).max(1)),
    })
}

/// Refuses options that contradict the file.
fn check_options(options: &Options, file: &FileParameters, path: &Path) -> Result<()> {
    let text = |size: Option<usize>| size.map_or("any size".to_owned(), |size| size.to_string());
    let mismatch = |option, asked: String, found: String| {
        Err(Error::OptionMismatch { path: path.to_owned(), option, asked, found })
    };
    match options.page_size {
        Some(asked) if asked != file.page_size => {
            return mismatch("page_size", asked.to_string(), file.page_size.to_string());
        }
        _ => {}
    }
    for (option, asked, found) in [
        ("key_size", options.key_size, file.key_size),
        ("value_size", options.value_size, file.value_size),
    ] {
        match asked {
            Some(asked) if asked != found => return mismatch(option, text(asked), text(found)),
            _ => {}
        }
    }
    match options.inline_max {
        Some(asked) if asked != file.inline_max => {
            return mismatch("inline_max", asked.to_string(), file.inline_max.to_string());
        }
        _ => {}
    }
    match options.hash_seed {
        Some(asked) if asked != file.hash_seed => {
            mismatch("hash_seed", asked.to_string(), file.hash_seed.to_string())
        }
        _ => Ok(()),
    }
}

/// The log segments beside the file. A record in an epoch that the chosen meta page does not know
/// is a commit that would be lost: damage, never litter.
fn survey(files: &LogFiles, pages: &MetaPages) -> Result<Vec<u64>> {
    let meta = &pages.newest;
    let epoch = start_of(meta.log).epoch;
    let leftovers = log::survey(files, epoch)?;
    for leftover in &leftovers {
        let Some(header) = &leftover.header else { continue };
        let is_newer = header.epoch.counter > epoch.counter;
        if is_newer && leftover.has_record && !mutant(Mutant::StepBackWithoutLog) {
            let fault = Fault::new(Promise::LogOwner, epoch.counter, header.epoch.counter);
            let place = Place::Log { segment: leftover.number, offset: 0 };
            return Err(fault.at(&files.path, place));
        }
    }
    Ok(leftovers.iter().map(|leftover| leftover.number).collect())
}

struct Recovery {
    writer: Writer,
    start: LogStart,
    leftovers: Vec<u64>,
}

impl Recovery {
    /// Redoes the log and begins a new one; the checkpoint that makes it count comes after.
    fn recover(&mut self) -> Result<()> {
        let shared = self.writer.table.shared().clone();
        // A log that is missing, another file's or damaged is an error before anything is written.
        log::read(&self.writer.files, self.start, &mut |_, payload| self.writer.check(payload))?;
        if let (Some(persisted), false) =
            (&mut self.writer.persisted, mutant(Mutant::FreeByUndurableMeta))
        {
            persisted.renew(&shared)?;
        }
        let end = self.redo()?;
        let kept = self.start.segment..=end.last_segment;
        self.remove_litter(|number| !kept.contains(&number))?;
        let epoch = match mutant(Mutant::NoNewEpochAtUncleanOpen) {
            true => self.start.epoch,
            false => new_epoch(&self.writer.files, self.start.epoch.counter)?,
        };
        let start = LogStart { epoch, segment: end.last_segment + 1, lsn: end.next_lsn };
        self.writer.next_segment = start.segment;
        self.writer.next_lsn = start.lsn;
        self.writer.log =
            Some(Log::create(self.writer.files.clone(), start, self.writer.segment_size)?);
        self.writer.must_checkpoint = true;
        Ok(())
    }

    /// A clean file with a log beside it: a close was cut short. Its meta page may be in the cache
    /// only, and the durable one may need the log: both it and its twin are made durable first.
    fn end_close(&mut self) -> Result<()> {
        let shared = self.writer.table.shared().clone();
        if let (Some(persisted), false) = (&mut self.writer.persisted, self.leftovers.is_empty()) {
            persisted.renew(&shared)?;
            persisted.renew(&shared)?;
        }
        self.remove_litter(|_| true)
    }

    fn redo_in_memory(&mut self) -> Result<()> {
        log::sync_existing(&self.writer.files, self.start)?;
        let end = self.redo()?;
        self.writer.next_lsn = end.next_lsn;
        Ok(())
    }

    fn redo(&mut self) -> Result<log::LogEnd> {
        let files = self.writer.files.clone();
        log::read(&files, self.start, &mut |_: Lsn, payload: &[u8]| self.writer.redo(payload))
    }

    fn remove_litter(&mut self, is_litter: impl Fn(u64) -> bool) -> Result<()> {
        let litter: Vec<u64> = self.leftovers.iter().copied().filter(|n| is_litter(*n)).collect();
        if litter.is_empty() { Ok(()) } else { log::remove_segments(&self.writer.files, litter) }
    }
}

impl Group {
    fn starting_at(durable: Lsn) -> Group {
        Group { durable, ..Group::default() }
    }
}
