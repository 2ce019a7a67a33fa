//! Looking into a file: meta pages, pages, buckets, the way of a lookup, and a check of it all.
//!
//! Reads with positioned reads only, takes no lock, never writes, and needs nothing to be
//! sound: what can be decoded is, and each broken promise is stated beside it. So it works on
//! a damaged file, and on one that another process has open.
//!
//! Of an open file it shows the last checkpoint that it finds. Its pages stay as they are until the
//! writer has written the next one; so a look that met a broken promise is taken again if there is
//! a newer checkpoint by then. If that happens again and again, it says that the writer is too fast
//! ([`Report::is_overtaken`], [`CheckReport::is_overtaken`](crate::CheckReport::is_overtaken)) and claims no damage.
//!
//! Changes that are only in the log are not seen but by [`Inspector::log`], and by
//! [`Inspector::check`], which proves the log too.
//!
//! ```no_run
//! let inspector = splitpoint::inspect::Inspector::open("users.idx")?;
//! println!("{}", inspector.meta()?);
//! println!("{}", inspector.key(b"user:17")?);
//! println!("{}", inspector.stat(|_, _| ())?.advice());
//! # Ok::<(), splitpoint::Error>(())
//! ```

mod buckets;
mod check;
mod expected;
mod explain;
mod hex;
mod log;
mod meta;
mod page;
mod report;
mod stat;
#[cfg(test)]
mod tests;
mod trees;
mod values;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use crate::page::spans::{Part, Span};
pub use hex::HexView;
pub use report::{Field, Report, Value, escape};
pub use stat::{FileStat, Histogram, Row, Share};

use crate::error::{Error, Fault, Place, Promise, Result};
use crate::page::meta::{META_SIZE, META_SLOTS, Meta, VERSION};
use crate::page::{OwnedPage, get_u32, page_checksum};
use crate::storage::disk::DiskStorage;
use crate::storage::{OpenMode, Storage, StorageFile};

/// How often a look is taken again while a writer moves on.
const LOOKS_MAX: usize = 5;

/// A file that is looked into.
#[derive(Debug)]
pub struct Inspector {
    storage: Arc<dyn Storage>,
    file: Arc<dyn StorageFile>,
    path: PathBuf,
    file_len: u64,
    slots: Vec<Vec<u8>>,
    /// The newest meta page that is whole; if none is, one that decodes nevertheless.
    meta: Option<Meta>,
    page_size: usize,
}

impl Inspector {
    /// Opens a file for reading. Any regular file will do that has a meta page, whole or not, or a
    /// page of an index.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be opened or read, [`Error::NotAnIndex`] if nothing in it looks
    /// like an index.
    pub fn open(path: impl AsRef<Path>) -> Result<Inspector> {
        Inspector::open_on(Arc::new(DiskStorage), path.as_ref())
    }

    pub(crate) fn open_on(storage: Arc<dyn Storage>, path: &Path) -> Result<Inspector> {
        let file = storage.open(path, OpenMode::Read).map_err(|e| Error::io("open", path, e))?;
        Inspector::of_file(storage, file, path)
    }

    fn of_file(
        storage: Arc<dyn Storage>,
        file: Arc<dyn StorageFile>,
        path: &Path,
    ) -> Result<Inspector> {
        let file_len = file.len().map_err(|e| Error::io("read", path, e))?;
        let path = path.to_owned();
        let mut inspector = Inspector {
            storage,
            file,
            path,
            file_len,
            slots: Vec::new(),
            meta: None,
            page_size: crate::page::PAGE_SIZE_MIN,
        };
        inspector.slots = inspector.read_slots();
        let any_magic = inspector.slots.iter().any(|slot| crate::page::meta::has_magic(slot));
        inspector.meta = meta::choose(&inspector.slots);
        if let Some(meta) = &inspector.meta {
            inspector.page_size = meta.parameters.page_size;
        }
        if !any_magic && !inspector.has_a_page() {
            let reason = if file_len == 0 { "it is empty" } else { "nothing in it looks like one" };
            let path = inspector.path;
            return Err(Error::NotAnIndex { path, reason: reason.into() });
        }
        Ok(inspector)
    }

    /// The four slots. Beside a writer one may be read while it is written: it is read again.
    fn read_slots(&self) -> Vec<Vec<u8>> {
        const ATTEMPTS: usize = 3;
        let read = |slot: usize| self.read_up_to((slot * META_SIZE) as u64, META_SIZE);
        let whole = |slot: usize| {
            let mut tries = (0..ATTEMPTS).map(|_| read(slot));
            let whole = tries.find(|bytes| crate::page::meta::check_whole(bytes).is_ok());
            whole.unwrap_or_else(|| read(slot))
        };
        (0..META_SLOTS).map(whole).collect()
    }

    /// Takes a look, and takes it again on what is there by then, as long as it is not sound and a
    /// writer has moved on meanwhile; `true` if it was so to the last.
    fn steadily<T>(
        &self,
        is_sound: impl Fn(&T) -> bool,
        mut look: impl FnMut(&Inspector) -> Result<T>,
    ) -> Result<(T, bool)> {
        let mut seen = look(self)?;
        let mut newest = self.generation();
        for _ in 0..LOOKS_MAX {
            if is_sound(&seen) {
                return Ok((seen, false));
            }
            let again = Inspector::of_file(self.storage.clone(), self.file.clone(), &self.path)?;
            if again.generation() == newest {
                return Ok((seen, false));
            }
            newest = again.generation();
            seen = look(&again)?;
        }
        let is_overtaken = !is_sound(&seen);
        Ok((seen, is_overtaken))
    }

    /// As [`Inspector::steadily`], of a report.
    fn report(&self, look: impl FnMut(&Inspector) -> Result<Report>) -> Result<Report> {
        let (mut report, is_overtaken) = self.steadily(Report::is_sound, look)?;
        if is_overtaken {
            report.forget_findings();
            report.is_overtaken = true;
        }
        Ok(report)
    }

    fn generation(&self) -> Option<u64> {
        self.meta.as_ref().map(|meta| meta.generation)
    }

    /// Whether one of the first pages proves itself, though no meta page does.
    fn has_a_page(&self) -> bool {
        const PAGES_TRIED: u64 = 64;
        (1..PAGES_TRIED.min(self.page_limit())).any(|number| {
            let bytes = self.read_up_to(number * self.page_size as u64, self.page_size);
            bytes.len() == self.page_size
                && get_u32(&bytes, 0) == page_checksum(&bytes)
                && crate::page::get_u64(&bytes, 8) == number
        })
    }

    /// The length of the file in bytes, when it was opened.
    pub fn file_len(&self) -> u64 {
        self.file_len
    }

    /// The size of its pages in bytes; 4,096 if no meta page tells.
    pub fn page_size(&self) -> usize {
        self.page_size
    }

    /// How many whole pages it has.
    pub fn page_limit(&self) -> u64 {
        self.file_len / self.page_size as u64
    }

    /// The meta page that directories are found by.
    fn usable_meta(&self) -> Result<&Meta> {
        let none = || Fault::new(Promise::MetaPage, 1, 0).at(&self.path, Place::File);
        self.known_meta()?.ok_or_else(none)
    }

    /// The same, if there is one.
    fn known_meta(&self) -> Result<Option<&Meta>> {
        let future = self.slots.iter().find(|slot| {
            crate::page::meta::check_whole(slot).is_ok()
                && crate::page::meta::version(slot) > VERSION
        });
        match (&self.meta, future) {
            (_, Some(slot)) => Err(Error::UnsupportedVersion {
                path: self.path.clone(),
                found: crate::page::meta::version(slot),
                supported: VERSION,
            }),
            (meta, None) => Ok(meta.as_ref()),
        }
    }

    /// The bytes at `offset`, fewer where the file ends or cannot be read.
    fn read_up_to(&self, offset: u64, len: usize) -> Vec<u8> {
        let left = self.file_len.saturating_sub(offset);
        let mut bytes = vec![0; usize::try_from(left).unwrap_or(len).min(len)];
        match self.file.read_exact_at(&mut bytes, offset) {
            Ok(()) => bytes,
            Err(_) => Vec::new(),
        }
    }

    /// A page as it stands, with zeros behind the file's end; and what is wrong with its bytes.
    fn read_page(&self, number: u64) -> (OwnedPage, std::result::Result<(), Fault>) {
        let mut page = OwnedPage::new(self.page_size);
        let offset = number.saturating_mul(self.page_size as u64);
        let bytes = self.read_up_to(offset, self.page_size);
        for (to, from) in page.bytes_mut().iter_mut().zip(&bytes) {
            *to = *from;
        }
        let result = if bytes.len() == self.page_size {
            Ok(())
        } else if offset.saturating_add(self.page_size as u64) > self.file_len {
            Err(Fault::new(Promise::PageRange, self.page_limit(), number))
        } else {
            Err(Fault::new(Promise::PageRead, 0, 1))
        };
        (page, result)
    }
}
