//! Salvage: what is left of a damaged file, written into a new, sound one.
//!
//! 1. `source`: the meta pages, or what stands in for them.
//! 2. `roster`: the whole file is read, and every page that proves itself is noted.
//! 3. `way`: from the newest sound meta page, which of them are of its state.
//! 4. `records`: their records go into the new file, and into holes those of older pages.
//! 5. What the log holds is added, and the new file is checked and gets its name.
//!
//! The damaged file is only read. Memory: some 60 bytes a page, and 64 a bucket.
//!
//! ```
//! # let folder = tempfile::tempdir()?;
//! # let (damaged, new) = (folder.path().join("damaged"), folder.path().join("new"));
//! # let index = splitpoint::Index::open(&damaged)?;
//! # index.insert("key", "value")?;
//! # index.close()?;
//! use splitpoint::salvage::Salvage;
//! let report = Salvage::new().run(&damaged, &new)?;
//! assert!(report.is_whole() && report.record_count == 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod corrupt;
mod cover;
mod log;
mod map;
mod records;
mod report;
mod roster;
mod source;
#[cfg(test)]
mod tests;
mod way;

use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use corrupt::{CorruptKind, CorruptReport, corrupt};
pub use map::{FileMap, LogSegment, PageFill, PageUse};
pub use report::{Loss, SalvageReport};

use crate::error::{Error, Fault, Place, Promise, Result};
use crate::hash::hash;
use crate::index::{Durability, Options, partial_beside, remove_leftover, remove_partial};
use crate::inspect::Inspector;
use crate::storage::Storage;
use crate::storage::disk::DiskStorage;
use records::Taker;
use roster::Roster;
use source::Source;
use way::Way;

/// How a file is salvaged.
#[derive(Debug, Clone)]
#[must_use = "nothing is done until `run`"]
pub struct Salvage {
    storage: Arc<dyn Storage>,
    older: bool,
}

impl Default for Salvage {
    fn default() -> Salvage {
        Salvage::new()
    }
}

impl Salvage {
    /// The defaults.
    pub fn new() -> Salvage {
        Salvage { storage: Arc::new(DiskStorage), older: true }
    }

    /// Whether records of older pages, which the file still has though it does not use them, go
    /// where newer pages are lost. They may be out of date, or removed since. Default: yes.
    pub fn older(mut self, older: bool) -> Salvage {
        self.older = older;
        self
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn on(mut self, storage: Arc<dyn Storage>) -> Salvage {
        self.storage = storage;
        self
    }

    /// Writes what is left of `damaged` to `new`, which must not exist. The new file is closed
    /// clean and checked, and has the page size, fixed sizes and metadata of the damaged one.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be read or written, or if `new` exists; [`Error::Locked`] if
    /// `damaged` is open for writing; [`Error::NotAnIndex`] if nothing in it proves itself. Damage
    /// is no error: it is in the report.
    pub fn run(&self, damaged: impl AsRef<Path>, new: impl AsRef<Path>) -> Result<SalvageReport> {
        self.run_with(damaged, new, |_, _| ControlFlow::Continue(()))
    }

    /// As [`Salvage::run`], with a call now and then with the number of pages done and of all, first
    /// for those that are looked at, then for those that are taken; it may end the work, which
    /// leaves nothing behind and is an [`Error::Io`] of the kind `Interrupted`.
    ///
    /// # Errors
    /// As [`Salvage::run`].
    pub fn run_with(
        &self,
        damaged: impl AsRef<Path>,
        new: impl AsRef<Path>,
        mut progress: impl FnMut(u64, u64) -> ControlFlow<()>,
    ) -> Result<SalvageReport> {
        let new = new.as_ref();
        let source = Source::open(self.storage.clone(), damaged.as_ref())?;
        if self.storage.identity(new).is_ok() {
            return Err(Error::io("create", new, ErrorKind::AlreadyExists.into()));
        }
        let partial = partial_beside(&*self.storage, &*source.file, new)?;
        remove_leftover(&self.storage, &partial, new_id(&source))?;
        let roster = Roster::read(&source, &mut progress)?;
        let written = self.write(&source, &roster, &partial, &mut progress);
        let report = match written {
            Ok(report) => report,
            Err(error) => {
                if !matches!(&error, Error::Io { source, .. } if source.kind() == ErrorKind::AlreadyExists)
                {
                    remove_partial(&self.storage, &partial);
                }
                return Err(error);
            }
        };
        self.storage.rename(&partial, new).map_err(|e| Error::io("create", new, e))?;
        crate::index::sync_folder(&*self.storage, new)?;
        Ok(report)
    }

    fn write(
        &self,
        source: &Source,
        roster: &Roster,
        partial: &Path,
        progress: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
    ) -> Result<SalvageReport> {
        let log = log::Plan::new(source, roster)?;
        let by_generation = log.by_generation;
        let way =
            source.meta.as_ref().map(|meta| way::find(source, roster, meta)).unwrap_or_default();
        let index = self.options(source).open(partial)?;
        if let Some(meta) = source.meta.as_ref().filter(|meta| !meta.metadata.is_empty()) {
            index.set_metadata(&meta.metadata)?;
        }
        let mut taker = Taker::new(source, &way, &index, by_generation);
        taker.run(roster, self.older, progress)?;
        let taken = taker.taken;
        let before_log = index.len();
        let (log_commit_count, log_losses) = log.add(&index)?;
        let record_count = index.len();
        index.close()?;
        drop(index);
        let check = Inspector::open_on(self.storage.clone(), partial)?.check(|_, _| ())?;
        if let Some(finding) = check.findings.into_iter().next() {
            return Err(finding.into_corruption(partial).into());
        }
        let mut losses: Vec<Loss> = source
            .bad_slots
            .iter()
            .map(|(place, fault)| Loss::new(*place, "meta page", *fault))
            .collect();
        if let Some(meta) = &source.meta {
            let needed = meta.page_count.saturating_mul(source.page_size as u64);
            if source.len < needed {
                let fault = Fault::new(Promise::FileLength, needed, source.len);
                losses.push(Loss::new(Place::File, "end of the file", fault));
            }
        }
        if !by_generation {
            losses.extend(unreached(source, &way, &taken));
        }
        losses.extend(way.losses.iter().cloned());
        losses.extend(taken.losses);
        losses.extend(log_losses);
        let lost = source
            .meta
            .as_ref()
            .filter(|_| !by_generation)
            .map(|meta| meta.counts.record_count.saturating_sub(taken.current_records));
        let mut report = SalvageReport {
            file: source.path.clone(),
            generation: source.meta.as_ref().map(|meta| meta.generation),
            by_generation,
            page_count: source.page_limit(),
            sound_page_count: taken.current_pages,
            older_page_count: taken.older_pages,
            older_record_count: before_log.saturating_sub(taken.current_records),
            log_commit_count,
            record_count,
            lost_record_count: lost,
            ..SalvageReport::default()
        };
        report.set_losses(losses);
        Ok(report)
    }

    fn options(&self, source: &Source) -> Options {
        let mut options = Options::new()
            .create_new(true)
            .file_id(new_id(source))
            .page_size(source.page_size)
            .durability(Durability::Background(Duration::from_secs(1)))
            .on(self.storage.clone());
        if let Some(seed) = source.hash_seed {
            options = options.hash_seed(seed);
        }
        if let Some(meta) = &source.meta {
            let parameters = &meta.parameters;
            options = options.key_size(parameters.key_size).value_size(parameters.value_size);
        }
        options
    }
}

/// The id of the new file. It is another than the old one's, so that no page or log of that passes
/// for its own, and it is the same each time: so what a crash left of a salvage is known by the
/// next.
fn new_id(source: &Source) -> [u8; 16] {
    let old = source.file_id.unwrap_or_default();
    let mut id = [0; 16];
    for (half, seed) in id.chunks_exact_mut(8).zip(1..) {
        half.copy_from_slice(&hash(&old, seed).to_le_bytes());
    }
    id
}

/// Pages that are in use and that nothing sound leads to: what a lost page would have led to.
fn unreached(source: &Source, way: &Way, taken: &records::Taken) -> Vec<Loss> {
    let is_known = |page: u64| way.reached.contains(page) || taken.value_pages.contains(page);
    (source.first_page()..way.used.end())
        .filter(|&page| way.used.contains(page) && !is_known(page))
        .map(|page| Loss::new(Place::Page(page), "page in use", Fault::new(Promise::PageUse, 1, 0)))
        .collect()
}
