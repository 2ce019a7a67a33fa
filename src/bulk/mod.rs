//! Bulk load: a whole index at once, in hash order, faster than any sequence of commits.
//!
//! 1. The input is partitioned by ranges of hashes, in blocks; what does not fit the memory budget
//!    goes to a spill file (`partition`, `spill`).
//! 2. The layout is chosen: by counting, or from a sample if keys come more than once (`plan`).
//! 3. Piece by piece the records are read back, ordered by bucket, made one for each key (`piece`)
//!    and built into pages (`build`), which are written in large blocks (`output`).
//! 4. Directories, bitmap and meta pages end the file; it is synced, and given its name (`target`).
//!
//! Until the last step the target is as it was, whatever happens; after it, it is the new one.

mod build;
mod finish;
mod output;
mod partition;
mod piece;
mod plan;
mod progress;
mod record;
mod scratch;
mod spill;
mod target;
mod values;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use self::build::Pages;
use self::finish::Source;
use self::output::Output;
use self::partition::{Partitions, Sizes};
use self::piece::Merge;
use self::plan::Amount;
pub use self::progress::{BulkPhase, BulkProgress};
use self::progress::{ProgressFn, StopFn, Teller};
use self::record::Incoming;
use self::target::Target;
use crate::error::{Error, Result};
use crate::hash::hash;
use crate::index::{Index, Options};
use crate::page::meta::METADATA_LEN_MAX;
use crate::table::{KEY_LEN_MAX, VALUE_LEN_MAX};

/// The least memory budget.
const BUDGET_MIN: u64 = 1 << 20;
/// Records between two calls of the progress callback.
const PROGRESS_STEP: u64 = 1 << 16;

struct Settings {
    memory_budget: u64,
    threads: usize,
    fill: Option<u32>,
    spill_folder: Option<PathBuf>,
    replace: bool,
    merge: Option<Merge>,
    progress: Option<ProgressFn>,
    stop: Option<StopFn>,
    metadata: Option<Vec<u8>>,
    /// Everything happens in the caller's thread.
    inline: bool,
}

/// Fills an index with any number of records at once; made by [`Options::bulk_load`].
///
/// Records may come in any order; of those with the same key the later one wins, unless
/// [`BulkLoader::merge_with`] says otherwise. Nothing is to be seen of them until
/// [`BulkLoader::finish`] has put the new file in its place; until then, and if anything fails, the
/// old one is as it was. If there is an index already, its records are kept as the oldest: it can be
/// read meanwhile, not written to.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// let mut loader = splitpoint::Options::new().bulk_load(folder.path().join("features"))?;
/// for user in 0..10_000_u32 {
///     loader.insert(user.to_le_bytes(), [user as u8; 40])?;
/// }
/// let index = loader.finish()?;
/// assert_eq!(index.len(), 10_000);
/// assert_eq!(index.get(77_u32.to_le_bytes())?.as_deref(), Some(&[77; 40][..]));
/// # index.close()?; Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "nothing is in the index before `finish`"]
pub struct BulkLoader {
    target: Target,
    pages: Pages,
    settings: Settings,
    /// `None` before the first record.
    partitions: Option<Partitions>,
    input: Amount,
    input_len: u64,
    until_progress: u64,
    started: Instant,
    /// What went wrong; nothing goes on after it.
    failed: Option<String>,
}

impl std::fmt::Debug for BulkLoader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("BulkLoader");
        debug.field("path", &self.target.path).field("input_count", &self.input.records);
        debug.finish_non_exhaustive()
    }
}

impl BulkLoader {
    pub(crate) fn new(options: Options, path: &Path) -> Result<BulkLoader> {
        let inline = options.is_manual();
        let settings = Settings {
            memory_budget: 1 << 30,
            threads: std::thread::available_parallelism().map_or(1, usize::from).min(16),
            fill: None,
            spill_folder: None,
            replace: false,
            merge: None,
            progress: None,
            stop: None,
            metadata: None,
            inline,
        };
        let target = Target::prepare(options, path)?;
        Ok(BulkLoader {
            pages: Pages::new(&target.parameters),
            target,
            settings,
            partitions: None,
            input: Amount::default(),
            input_len: 0,
            until_progress: PROGRESS_STEP,
            started: Instant::now(),
            failed: None,
        })
    }

    /// Changes a setting, which must not come after the first record.
    fn set(mut self, option: &'static str, set: impl FnOnce(&mut Settings)) -> Result<BulkLoader> {
        if self.partitions.is_some() {
            let reason = "must be set before the first record".to_owned();
            return Err(Error::InvalidOption { option, reason });
        }
        set(&mut self.settings);
        Ok(self)
    }

    /// Bytes of memory that the load may take, at least 1 MiB. What does not fit goes to a file
    /// beside the target. Default 1 GiB.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] if it is less, or comes after the first record.
    pub fn memory_budget(self, bytes: u64) -> Result<BulkLoader> {
        if bytes < BUDGET_MIN {
            let reason = format!("must be at least {BUDGET_MIN} bytes");
            return Err(Error::InvalidOption { option: "memory_budget", reason });
        }
        self.set("memory_budget", |settings| settings.memory_budget = bytes)
    }

    /// A budget smaller than the least that [`BulkLoader::memory_budget`] allows, so that a
    /// simulation spills.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] after the first record.
    #[cfg(feature = "simulation")]
    pub fn small_budget(self, bytes: u64) -> Result<BulkLoader> {
        self.set("memory_budget", |settings| settings.memory_budget = bytes)
    }

    /// Threads that build pages, from 1 to 256. Default: one for each processor, 16 at most.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] if it is none or more, or comes after the first record.
    pub fn threads(self, count: usize) -> Result<BulkLoader> {
        if !(1..=256).contains(&count) {
            let reason = "must be from 1 to 256".to_owned();
            return Err(Error::InvalidOption { option: "threads", reason });
        }
        self.set("threads", |settings| settings.threads = count)
    }

    /// How full an average bucket's page is to be, from 10 to 150 percent; what does not fit one
    /// goes to overflow pages. More makes a smaller file, of which more lookups read a second page;
    /// less leaves room for inserts. Default: whatever makes the smallest file of which fewer than
    /// one record in twenty is in overflow.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] if it is less or more, or comes after the first record.
    pub fn fill_percent(self, percent: u32) -> Result<BulkLoader> {
        if !(10..=150).contains(&percent) {
            let reason = "must be from 10 to 150".to_owned();
            return Err(Error::InvalidOption { option: "fill_percent", reason });
        }
        self.set("fill_percent", |settings| settings.fill = Some(percent))
    }

    /// The folder of the spill file. Default: the target's.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] after the first record.
    pub fn spill_folder(self, folder: impl Into<PathBuf>) -> Result<BulkLoader> {
        let folder = folder.into();
        self.set("spill_folder", |settings| settings.spill_folder = Some(folder))
    }

    /// Forgets what the index holds: the new one has only the records of this load. Readers see the
    /// old ones until it is finished.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] after the first record.
    pub fn replace(self) -> Result<BulkLoader> {
        self.set("replace", |settings| settings.replace = true)
    }

    /// What becomes of several records of one key: called with the value so far, to be changed in
    /// place, and the next one, in the order of the input; after a removal the next one stands as it
    /// is. Several threads call it at once, for different keys. If it panics the load fails.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// let loader = splitpoint::Options::new().bulk_load(folder.path().join("counts"))?;
    /// let mut loader = loader.merge_with(|sum, more| {
    ///     let number = |bytes: &[u8]| bytes.first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
    ///     *sum = (number(sum) + number(more)).to_le_bytes().to_vec();
    /// })?;
    /// for word in "the cat and the dog and the fox".split(' ') {
    ///     loader.insert(word, 1_u64.to_le_bytes())?;
    /// }
    /// let index = loader.finish()?;
    /// assert_eq!(index.get("the")?.as_deref(), Some(&3_u64.to_le_bytes()[..]));
    /// # index.close()?; Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidOption`] after the first record.
    pub fn merge_with(
        self,
        merge: impl Fn(&mut Vec<u8>, &[u8]) + Send + Sync + 'static,
    ) -> Result<BulkLoader> {
        self.set("merge_with", |settings| settings.merge = Some(Arc::new(merge)))
    }

    /// Called now and then with how far the load has come, and once at its end.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] after the first record.
    pub fn progress(
        self,
        callback: impl FnMut(&BulkProgress) + Send + 'static,
    ) -> Result<BulkLoader> {
        self.set("progress", |settings| settings.progress = Some(Box::new(callback)))
    }

    /// Asked a few times a second while [`BulkLoader::finish`] builds: if it says yes, that ends with
    /// [`Error::Stopped`], and the old file is as it was.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] after the first record.
    pub fn stop_when(self, asked: impl Fn() -> bool + Send + 'static) -> Result<BulkLoader> {
        self.set("stop_when", |settings| settings.stop = Some(Box::new(asked)))
    }

    /// The user's own metadata of the new file, at most 1 KiB. Default: those that are there.
    ///
    /// # Errors
    /// [`Error::MetadataTooLarge`].
    pub fn metadata(mut self, metadata: impl Into<Vec<u8>>) -> Result<BulkLoader> {
        let metadata = metadata.into();
        if metadata.len() > METADATA_LEN_MAX {
            let (len, max) = (metadata.len() as u64, METADATA_LEN_MAX as u64);
            return Err(Error::MetadataTooLarge { len, max });
        }
        self.settings.metadata = Some(metadata);
        Ok(self)
    }

    /// Adds a record.
    ///
    /// # Errors
    /// [`Error::KeyTooLarge`], [`Error::ValueTooLarge`], [`Error::KeySize`], [`Error::ValueSize`]:
    /// the record was passed over, and the load may go on. [`Error::StorageFull`] and
    /// [`Error::Io`] if the spill file cannot be written: the load is over.
    #[inline]
    pub fn insert(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
        let (key, value) = (key.as_ref(), value.as_ref());
        let len = value.len() as u64;
        match self.target.parameters.value_size {
            Some(size) if size != value.len() => {
                return Err(Error::ValueSize { len, expected: size as u64 });
            }
            _ if len > VALUE_LEN_MAX => {
                return Err(Error::ValueTooLarge { len, max: VALUE_LEN_MAX });
            }
            _ => {}
        }
        self.add(Incoming { key, value: Some(value) })
    }

    /// Removes a key: the records of it that came before, and what the index holds of it.
    ///
    /// # Errors
    /// As [`BulkLoader::insert`].
    pub fn remove(&mut self, key: impl AsRef<[u8]>) -> Result<()> {
        self.add(Incoming { key: key.as_ref(), value: None })
    }

    /// From now on records are of the input of this number; at first, of input 0. Of the records of
    /// a key those of a later input come later, whichever were inserted first: so several inputs
    /// can be read at once, and the outcome is that of one after another.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// let mut loader = splitpoint::Options::new().bulk_load(folder.path().join("days"))?;
    /// loader.next_of_input(1)?;
    /// loader.insert("user", "Tuesday")?;
    /// loader.next_of_input(0)?;
    /// loader.insert("user", "Monday")?;
    /// let index = loader.finish()?;
    /// assert_eq!(index.get("user")?.as_deref(), Some(&b"Tuesday"[..]));
    /// # index.close()?; Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidOption`] beside [`BulkLoader::merge_with`], which takes records as they come;
    /// [`Error::StorageFull`] and [`Error::Io`] as [`BulkLoader::insert`].
    pub fn next_of_input(&mut self, number: u32) -> Result<()> {
        if self.settings.merge.is_some() {
            let reason = "does not go with merge_with: values are merged as they come".to_owned();
            return Err(Error::InvalidOption { option: "next_of_input", reason });
        }
        if self.partitions.is_none() {
            self.begin()?;
        }
        if let Some(partitions) = &mut self.partitions {
            partitions.input = number;
        }
        Ok(())
    }

    #[inline]
    fn add(&mut self, record: Incoming<'_>) -> Result<()> {
        let parameters = &self.target.parameters;
        let len = record.key.len() as u64;
        match parameters.key_size {
            Some(size) if size as u64 != len => {
                return Err(Error::KeySize { len, expected: size as u64 });
            }
            _ if len > KEY_LEN_MAX => return Err(Error::KeyTooLarge { len, max: KEY_LEN_MAX }),
            _ => {}
        }
        let hash = hash(record.key, parameters.hash_seed);
        let Some(partitions) = &mut self.partitions else {
            self.begin()?;
            return self.add(record);
        };
        if let Err(error) = partitions.add(hash, record) {
            self.failed = Some(error.to_string());
            return Err(error);
        }
        let value_len = record.value.map_or(0, <[u8]>::len);
        self.input.add(self.pages.record_len(record.key.len(), value_len));
        self.input_len += (record.key.len() + value_len) as u64;
        self.until_progress -= 1;
        if self.until_progress == 0 {
            self.tell_input();
        }
        Ok(())
    }

    #[cold]
    fn begin(&mut self) -> Result<()> {
        let settings = &self.settings;
        let sizes = Sizes::of_budget(settings.memory_budget, settings.threads);
        let path = self.target.spill_path(settings.spill_folder.as_deref())?;
        let storage = self.target.storage.clone();
        self.partitions = Some(Partitions::new(storage, path, sizes, settings.inline));
        Ok(())
    }

    #[cold]
    fn tell_input(&mut self) {
        self.until_progress = PROGRESS_STEP;
        let state = BulkProgress {
            spilled_len: self.partitions.as_ref().map_or(0, Partitions::spilled_len),
            elapsed: self.started.elapsed(),
            ..BulkProgress::of(BulkPhase::Input, self.input.records)
        };
        if let Some(progress) = &mut self.settings.progress {
            progress(&state);
        }
    }

    /// Builds the new file, makes it durable, puts it in its place and opens it. If anything fails
    /// the old file, or none, is what is there.
    ///
    /// # Errors
    /// [`Error::StorageFull`] and [`Error::Io`] if something cannot be written; [`Error::Stopped`];
    /// [`Error::Panicked`] if the merge function did; [`Error::Corruption`] if the index that was
    /// there is damaged. After an error of the very last step, the sync of the folder, a crash may
    /// leave the old file or the new one.
    pub fn finish(mut self) -> Result<Index> {
        if let Some(cause) = self.failed.take() {
            return Err(Error::Refused { path: self.target.path.clone(), cause });
        }
        if self.partitions.is_none() {
            self.begin()?;
        }
        self.tell_input();
        let BulkLoader { target, settings, partitions, input, input_len, started, .. } = self;
        let Some(partitions) = partitions else { return Err(Error::Closed) };
        let (sizes, spilled_len) = (partitions.sizes, partitions.spilled_len());
        let (partitions, spill) = partitions.end()?;
        let old = target.old.clone().filter(|_| !settings.replace);
        let kept = old.as_ref().map(Index::counts).unwrap_or_default();
        let whole_len = input_len + kept.record_len + kept.value_len;
        let sizes = sizes.for_records(input.records + kept.record_count, whole_len);
        let source = Source {
            partitions: partitions.into_iter().map(Mutex::new).collect(),
            spill,
            old,
            sizes,
            merge: settings.merge,
            hash_seed: target.parameters.hash_seed,
            pages: Pages::new(&target.parameters),
            input,
            input_len,
            fill: settings.fill,
        };
        let begun = BulkProgress::of(BulkPhase::Build, input.records);
        let state = BulkProgress { spilled_len, ..begun };
        let mut teller =
            Teller { state, callback: settings.progress, started, stop: settings.stop };
        let metadata = settings.metadata.unwrap_or_else(|| target.metadata.clone());
        let threads = if settings.inline { 0 } else { settings.threads };
        build(source, &target, metadata, threads, &mut teller)?;
        teller.tell(BulkPhase::Sync, 0.0);
        teller.go_on(&target.path)?;
        let index = target.publish()?;
        teller.tell(BulkPhase::Done, 1.0);
        Ok(index)
    }
}

/// Writes the unfinished file, all but the sync.
fn build(
    source: Source,
    target: &Target,
    metadata: Vec<u8>,
    threads: usize,
    teller: &mut Teller,
) -> Result<()> {
    let plan = finish::guarded(|| source.plan())?;
    let file = target.file().clone();
    let output = Output::new(&*file, target.unfinished_path(), target.parameters, plan.layout)?;
    teller.state.bucket_count = plan.layout.bucket_count;
    let mut step = |done: u64, of: u64| {
        teller.state.written_len = output.written_len();
        teller.tell(BulkPhase::Build, done as f64 / of as f64);
        teller.go_on(&target.path)
    };
    let total = finish::build_all(&source, &output, plan, threads, &mut step)?;
    // The spill file goes before the last pages come.
    drop(source);
    output.end(
        (&total.bucket_words, &total.run_words, &total.live),
        total.counts,
        target.log,
        metadata,
    )?;
    let state = &mut teller.state;
    state.written_len = output.written_len();
    state.record_count = total.counts.record_count;
    state.overflow_count = total.overflow_count;
    state.overflow_page_count = total.counts.overflow_page_count;
    Ok(())
}
