//! How an index is opened.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{Index, open};
use crate::bulk::BulkLoader;
use crate::error::{Error, Result};
use crate::page::meta::{INLINE_MAX_MIN, inline_max_of};
use crate::pager::{Access, Residence, Verify};
use crate::storage::{Storage, disk::DiskStorage};

/// When a commit is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Durability {
    /// When it is on the disk: a crash loses nothing that was acknowledged, and readers see only
    /// what a crash cannot take back. Commits of several threads share one sync. The default.
    #[default]
    Immediate,
    /// At once; a sync that makes it durable begins after this interval at the latest. A crash loses
    /// at most the commits of the last interval and of that sync; what is left is all commits up to
    /// some moment, without a hole. Readers see commits at once.
    Background(Duration),
}

/// Options for opening an index, each with a default that suits most uses.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// use splitpoint::{Durability, Options};
/// use std::time::Duration;
/// let index = Options::new()
///     .durability(Durability::Background(Duration::from_millis(100)))
///     .expected_len(1_000_000)
///     .open(folder.path().join("counters"))?;
/// # index.close()?; Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "options do nothing until `open`"]
pub struct Options {
    pub(super) create: bool,
    pub(super) create_new: bool,
    pub(super) read_only: bool,
    pub(super) page_size: Option<usize>,
    pub(super) key_size: Option<Option<usize>>,
    pub(super) value_size: Option<Option<usize>>,
    pub(super) inline_max: Option<usize>,
    pub(super) expected_len: u64,
    pub(super) durability: Durability,
    pub(super) verify: Verify,
    pub(super) access: Access,
    pub(super) residence: Residence,
    pub(super) log_budget: u64,
    pub(super) memory_budget: Option<u64>,
    pub(super) hash_seed: Option<u64>,
    pub(super) file_id: Option<[u8; 16]>,
    pub(super) wait_for_lock: Duration,
    pub(super) manual: bool,
    pub(super) storage: Arc<dyn Storage>,
}

impl Default for Options {
    fn default() -> Options {
        Options::new()
    }
}

impl Options {
    /// The defaults.
    pub fn new() -> Options {
        Options {
            create: true,
            create_new: false,
            read_only: false,
            page_size: None,
            key_size: None,
            value_size: None,
            inline_max: None,
            expected_len: 0,
            durability: Durability::default(),
            verify: Verify::default(),
            access: Access::default(),
            residence: Residence::default(),
            log_budget: 256 << 20,
            memory_budget: None,
            hash_seed: None,
            file_id: None,
            wait_for_lock: Duration::ZERO,
            manual: false,
            storage: Arc::new(DiskStorage),
        }
    }

    /// Whether to create the file if it does not exist. Default: yes.
    pub fn create(mut self, create: bool) -> Options {
        self.create = create;
        self
    }

    /// Whether the file must not exist yet. Default: no.
    pub fn create_new(mut self, create_new: bool) -> Options {
        self.create_new = create_new;
        self
    }

    /// Whether to open for reading only: nothing is written, not even to recover; a log that a
    /// crash left behind is redone in memory. Default: no. See [`Index::open_read_only`].
    pub fn read_only(mut self, read_only: bool) -> Options {
        self.read_only = read_only;
        self
    }

    /// Bytes of a page: a power of two from 4,096 to 65,536, fixed when the file is created.
    /// Default 4,096: a lookup that is not in memory reads one page, and disks read 4 KiB.
    /// A file that exists keeps its own; asking it for another is an error.
    pub fn page_size(mut self, bytes: usize) -> Options {
        self.page_size = Some(bytes);
        self
    }

    /// Bytes of every key, if they all have one length, from 0 to 65,535; `None` for any. Fixed
    /// when the file is created. Default: any length.
    pub fn key_size(mut self, bytes: Option<usize>) -> Options {
        self.key_size = Some(bytes);
        self
    }

    /// Bytes of every value, if they all have one length; `None` for any. Fixed when the file is
    /// created. Default: any length.
    pub fn value_size(mut self, bytes: Option<usize>) -> Options {
        self.value_size = Some(bytes);
        self
    }

    /// How many records the index will hold. Its directory is made for them at once, or as soon as the
    /// first few hundred have shown how long they are: that saves the work of growing, a fifth or more of
    /// a load. A hint: more may come, or fewer; far fewer leave a directory, and a sparse file, that are too
    /// large until [`Index::checkpoint`] or [`Index::close`] makes a table smaller that is less than half
    /// full. Without effect on an index that has more than some hundred records. Default 0.
    pub fn expected_len(mut self, records: u64) -> Options {
        self.expected_len = records;
        self
    }

    /// When commits are acknowledged. Default [`Durability::Immediate`]: nothing acknowledged is
    /// ever lost.
    pub fn durability(mut self, durability: Durability) -> Options {
        self.durability = durability;
        self
    }

    /// When pages' checksums are verified. Default [`Verify::OnFirstTouch`].
    pub fn verify(mut self, verify: Verify) -> Options {
        self.verify = verify;
        self
    }

    /// How pages are read. Default [`Access::Mapped`].
    pub fn access(mut self, access: Access) -> Options {
        self.access = access;
        self
    }

    /// Where the pages of the file are while it is open. Default [`Residence::Mapped`]. The others
    /// go with [`Access::Mapped`] only, and [`Residence::HugePages`] only with a handle that is
    /// opened for reading; opening fails where the system gives no huge pages.
    pub fn residence(mut self, residence: Residence) -> Options {
        self.residence = residence;
        self
    }

    /// The longest record, in bytes of a page (key, value, and two to five more; none where both
    /// sizes are fixed), that a new file
    /// keeps in a page as a whole; the value of a longer one stands in the value area, packed
    /// beside others, from a multiple of 64 bytes on. A value there costs one access more and can
    /// be of any length; in a page it shares the space with a few others, and the more it takes
    /// the more is left over. From 64 to about a quarter of a page (992 with pages of 4 KiB).
    /// Default 496: with keys of 16 bytes, values from 477 bytes on are packed.
    pub fn inline_max(mut self, bytes: usize) -> Options {
        self.inline_max = Some(bytes);
        self
    }

    /// Bytes that the log may grow to between two checkpoints, at least 1 MiB. A larger log means
    /// fewer checkpoints, so fewer bytes written, and a longer recovery: that reads the log, never
    /// the table. Default 256 MiB, some two million changes of 100 bytes. One commit may be larger.
    /// While the index is open for writing up to eight old segments wait for reuse, each an eighth
    /// of this, 16 MiB at most; on a full disk they are given up.
    pub fn log_budget(mut self, bytes: u64) -> Options {
        self.log_budget = bytes.max(1 << 20);
        self
    }

    /// Bytes of changed pages that are kept in memory between two checkpoints, at least 1 MiB.
    /// While one is written, half as much again. Where changes are spread over more pages than there
    /// is room for, a larger budget writes fewer bytes. Pages on file are the system's cache's
    /// business, and not counted.
    ///
    /// Default: a sixteenth of the memory of the machine, or of its memory cgroup (Linux), from 64 MiB
    /// to 1 GiB; 256 MiB where that is not known.
    pub fn memory_budget(mut self, bytes: u64) -> Options {
        self.memory_budget = Some(bytes.max(1 << 20));
        self
    }

    pub(super) fn memory_budget_or_default(&self) -> u64 {
        let share = |memory: u64| (memory / 16).clamp(64 << 20, 1 << 30);
        let default = || self.storage.memory_len().map_or(256 << 20, share);
        self.memory_budget.unwrap_or_else(default)
    }

    /// The seed of the hash function of a new file. Default: random, so that nobody can choose
    /// keys that all land in one bucket. Give one to get the same file from the same operations.
    pub fn hash_seed(mut self, seed: u64) -> Options {
        self.hash_seed = Some(seed);
        self
    }

    /// The id of a new file, where it is not to be a random one.
    pub(crate) fn file_id(mut self, id: [u8; 16]) -> Options {
        self.file_id = Some(id);
        self
    }

    /// How long to wait while another process holds the file, before [`Error::Locked`].
    /// Default: not at all.
    pub fn wait_for_lock(mut self, patience: Duration) -> Options {
        self.wait_for_lock = patience;
        self
    }

    /// Puts the index there, without threads of its own: what they do runs in the calls that need it.
    pub(crate) fn on(mut self, storage: Arc<dyn Storage>) -> Options {
        (self.storage, self.manual) = (storage, true);
        self
    }

    /// Puts the index on a simulated disk.
    #[cfg(feature = "simulation")]
    pub fn storage(mut self, disk: &crate::storage::simulated::SimulatedDisk) -> Options {
        self.storage = Arc::new(disk.clone());
        self
    }

    /// Puts the index into memory: files of up to `file_capacity` bytes each, which are gone with
    /// the last clone of these options and of the index. For Miri, which cannot map files.
    #[cfg(feature = "simulation")]
    pub fn in_memory(mut self, file_capacity: usize) -> Options {
        self.storage = Arc::new(crate::storage::memory::MemoryStorage::new(file_capacity));
        self
    }

    /// No threads: checkpoints and syncs run in the calls that need them, or step by step with
    /// [`Index::begin_checkpoint`] and [`Index::step_checkpoint`], so that a run can be repeated
    /// exactly.
    #[cfg(feature = "simulation")]
    pub fn manual(mut self) -> Options {
        self.manual = true;
        self
    }

    /// Budgets smaller than the least that [`Options::log_budget`] and [`Options::memory_budget`]
    /// allow, so that a simulation has many checkpoints.
    #[cfg(feature = "simulation")]
    pub fn small_budgets(mut self, log: u64, memory: u64) -> Options {
        (self.log_budget, self.memory_budget) = (log, Some(memory));
        self
    }

    /// Opens or creates the index; recovers it if it was not closed.
    ///
    /// # Errors
    /// [`Error::Io`] if the path cannot be opened, [`Error::NotAnIndex`] if it is something else,
    /// [`Error::Locked`] if another handle or process has it, [`Error::OptionMismatch`] if an
    /// option contradicts the file, [`Error::InvalidOption`] if one contradicts itself or another,
    /// [`Error::UnsupportedVersion`] if a newer library wrote the file, [`Error::Corruption`] if what
    /// is needed to open it is damaged, [`Error::StorageFull`].
    pub fn open(self, path: impl AsRef<Path>) -> Result<Index> {
        self.check()?;
        open::open(self, path.as_ref())
    }

    /// Begins a bulk load: any number of records at once, into a new file that takes the place of
    /// this one when it is whole. Faster than commits from some hundred thousand records on.
    ///
    /// # Errors
    /// As [`Options::open`]; [`Error::Locked`] while someone has the index open for writing, or
    /// loads it too; [`Error::InvalidOption`] for a handle that is to be read only.
    pub fn bulk_load(self, path: impl AsRef<Path>) -> Result<BulkLoader> {
        self.check()?;
        if self.read_only {
            let reason = "a bulk load writes".to_owned();
            return Err(Error::InvalidOption { option: "read_only", reason });
        }
        BulkLoader::new(self, path.as_ref())
    }

    /// Writes the index anew, as small as its records allow, in place of the file that is there: a
    /// bulk load of nothing into it. [`Options::bulk_load`] and
    /// [`BulkLoader::fill_percent`] choose how full its pages are to be.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("file");
    /// # let index = splitpoint::Index::open(&path)?;
    /// # index.insert("key", "value")?;
    /// index.close()?;
    /// let index = splitpoint::Options::new().compact(&path)?;
    /// assert_eq!(index.len(), 1);
    /// # index.close()?; Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Options::bulk_load`] and [`BulkLoader::finish`]; [`Error::Io`] if there is no index.
    pub fn compact(self, path: impl AsRef<Path>) -> Result<Index> {
        self.create(false).bulk_load(path)?.finish()
    }

    pub(crate) fn storage_of(&self) -> Arc<dyn Storage> {
        self.storage.clone()
    }

    pub(crate) fn is_create_new(&self) -> bool {
        self.create_new
    }

    pub(crate) fn may_create(&self) -> bool {
        self.create || self.create_new
    }

    pub(crate) fn is_manual(&self) -> bool {
        self.manual
    }

    /// The page size of a file that is made.
    pub(super) fn new_page_size(&self) -> usize {
        self.page_size.unwrap_or(crate::page::PAGE_SIZE_MIN)
    }

    /// Whether a file that is made can have the `inline_max` that is asked for.
    pub(crate) fn check_new(&self) -> Result<()> {
        self.check_inline_max(self.new_page_size())
    }

    /// Whether a file of this page size can have the `inline_max` that is asked for.
    fn check_inline_max(&self, page_size: usize) -> Result<()> {
        let allowed = INLINE_MAX_MIN..=inline_max_of(page_size);
        if self.inline_max.is_none_or(|bytes| allowed.contains(&bytes)) {
            return Ok(());
        }
        let reason = format!("must be from 64 to {} with this page size", allowed.end());
        Err(Error::InvalidOption { option: "inline_max", reason })
    }

    fn check(&self) -> Result<()> {
        let invalid =
            |option, reason: &str| Err(Error::InvalidOption { option, reason: reason.to_owned() });
        if self.page_size.is_some_and(|size| !crate::page::meta::is_page_size(size)) {
            return invalid("page_size", "must be a power of two from 4096 to 65536");
        }
        if self.key_size.flatten().is_some_and(|size| size > 65_535) {
            return invalid("key_size", "must be at most 65535");
        }
        if self.value_size.flatten().is_some_and(|size| size as u64 > u64::from(u32::MAX)) {
            return invalid("value_size", "must be below 4 GiB");
        }
        // A file that is there may have any page size.
        self.check_inline_max(self.page_size.unwrap_or(crate::page::PAGE_SIZE_MAX))?;
        if self.read_only && self.create_new {
            return invalid("create_new", "a file that is only read cannot be created");
        }
        if self.residence != Residence::Mapped && self.access != Access::Mapped {
            return invalid("residence", "goes with `Access::Mapped` only");
        }
        if self.residence == Residence::HugePages && !self.read_only {
            return invalid("residence", "huge pages are for a handle with `read_only(true)`");
        }
        Ok(())
    }
}
