//! The damaged file: its bytes, and what of its meta pages can be relied on.
//!
//! Reads with positioned reads only and never writes. Knows nothing of directories and records.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Fault, Place, Promise, Result};
use crate::log::{LogFiles, file_id_beside};
use crate::page::meta::{self, META_SIZE, META_SLOTS, Meta, VERSION};
use crate::page::{OwnedPage, get_u32, get_u64, page_checksum, word};
use crate::storage::{LockKind, OpenMode, Storage, StorageFile};

/// Pages that are looked at to find the page size, where no meta page tells.
const PAGES_TRIED: u64 = 4096;

/// The file that is read.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) file: Arc<dyn StorageFile>,
    pub(super) path: PathBuf,
    pub(super) len: u64,
    /// The newest meta page that is whole.
    pub(super) meta: Option<Meta>,
    pub(super) page_size: usize,
    /// `None` where no meta page tells it, whole or not; a fingerprint proves it.
    pub(super) hash_seed: Option<u64>,
    pub(super) file_id: Option<[u8; 16]>,
    /// The part of the id that pages bear; `None` if no page tells it either.
    pub(super) file_tag: Option<u64>,
    /// The meta pages that are not whole.
    pub(super) bad_slots: Vec<(Place, Fault)>,
}

impl Source {
    /// Opens the file, under a shared lock: nobody may be writing it.
    pub(super) fn open(storage: Arc<dyn Storage>, path: &Path) -> Result<Source> {
        let file = storage.open(path, OpenMode::Read).map_err(|e| Error::io("open", path, e))?;
        match file.try_lock(LockKind::Shared) {
            Ok(true) => Source::new(storage, file, path),
            Ok(false) => Err(Error::Locked { path: path.to_owned() }),
            Err(e) => Err(Error::io("lock", path, e)),
        }
    }

    /// Opens the file without a lock.
    pub(super) fn open_unlocked(storage: Arc<dyn Storage>, path: &Path) -> Result<Source> {
        let file = storage.open(path, OpenMode::Read).map_err(|e| Error::io("open", path, e))?;
        Source::new(storage, file, path)
    }

    fn new(storage: Arc<dyn Storage>, file: Arc<dyn StorageFile>, path: &Path) -> Result<Source> {
        let len = file.len().map_err(|e| Error::io("read", path, e))?;
        let path = storage.canonicalize(path).map_err(|e| Error::io("open", path, e))?;
        let mut source = Source {
            storage,
            file,
            path,
            len,
            meta: None,
            page_size: crate::page::PAGE_SIZE_MIN,
            hash_seed: None,
            file_id: None,
            file_tag: None,
            bad_slots: Vec::new(),
        };
        source.read_meta_pages()?;
        if source.meta.is_none() {
            source.guess()?;
        }
        Ok(source)
    }

    fn read_meta_pages(&mut self) -> Result<()> {
        let slots: Vec<Vec<u8>> = (0..META_SLOTS)
            .map(|slot| self.read_up_to((slot * META_SIZE) as u64, META_SIZE))
            .collect();
        for (slot, bytes) in slots.iter().enumerate() {
            let is_whole = bytes.len() == META_SIZE && meta::check_whole(bytes).is_ok();
            if is_whole && meta::has_magic(bytes) && meta::version(bytes) > VERSION {
                return Err(Error::UnsupportedVersion {
                    path: self.path.clone(),
                    found: meta::version(bytes),
                    supported: VERSION,
                });
            }
            let place = Place::MetaPage(u8::try_from(slot).unwrap_or(u8::MAX));
            match whole_meta(bytes) {
                Ok(found) => {
                    let newest = self.meta.as_ref().map_or(0, |meta| meta.generation);
                    if found.generation > newest {
                        self.meta = Some(found);
                    }
                }
                Err(fault) => self.bad_slots.push((place, fault)),
            }
        }
        // Each of the first generations takes a slot that was never written.
        let newest = self.meta.as_ref().map_or(0, |meta| meta.generation);
        if (1..META_SLOTS as u64).contains(&newest) {
            let is_new = |place: Place| match place {
                Place::MetaPage(slot) => {
                    // One that cannot be read has no bytes.
                    let slot = slots.get(usize::from(slot)).filter(|s| s.len() == META_SIZE);
                    slot.is_some_and(|s| s.iter().all(|&b| b == 0))
                }
                _ => false,
            };
            self.bad_slots.retain(|(place, _)| !is_new(*place));
        }
        if let Some(meta) = &self.meta {
            self.page_size = meta.parameters.page_size;
            self.hash_seed = Some(meta.parameters.hash_seed);
            self.file_id = Some(meta.parameters.file_id);
            self.file_tag = Some(meta.parameters.file_tag());
            return Ok(());
        }
        // A seed in a slot that is not whole is proven by the fingerprint beside it.
        let decoded = slots.iter().find_map(|slot| {
            Meta::decode(slot).ok().filter(|_| meta::has_magic(slot)).map(|meta| meta.parameters)
        });
        self.hash_seed = decoded.map(|parameters| parameters.hash_seed);
        Ok(())
    }

    /// Page size and file tag by the pages that prove themselves; the id by the log's segments.
    fn guess(&mut self) -> Result<()> {
        let mut best = (0, 0, 0);
        let mut size = crate::page::PAGE_SIZE_MAX;
        while size >= crate::page::PAGE_SIZE_MIN {
            let mut tags: BTreeMap<u64, u64> = BTreeMap::new();
            for number in 1..(self.len / size as u64).min(PAGES_TRIED) {
                let bytes = self.read_up_to(number * size as u64, size);
                if is_whole_page(&bytes, size) && get_u64(&bytes, 8 * word::PAGE_NUMBER) == number {
                    *tags.entry(get_u64(&bytes, 8 * word::FILE_TAG)).or_default() += 1;
                }
            }
            let most = tags.into_iter().max_by_key(|(_, count)| *count);
            if let Some((tag, count)) = most
                && count > best.0
            {
                best = (count, size, tag);
            }
            size /= 2;
        }
        let (count, size, tag) = best;
        if count == 0 {
            let reason = "no meta page and no page in it is whole".to_owned();
            return Err(Error::NotAnIndex { path: self.path.clone(), reason });
        }
        self.page_size = size;
        self.file_tag = Some(tag);
        self.file_id = file_id_beside(&self.log_files([0; 16]), tag);
        Ok(())
    }

    /// Where its log lies.
    pub(super) fn log_files(&self, file_id: [u8; 16]) -> LogFiles {
        LogFiles { storage: self.storage.clone(), path: self.path.clone(), file_id }
    }

    /// The first page that is not of the meta pages'.
    pub(super) fn first_page(&self) -> u64 {
        meta::first_page(self.page_size)
    }

    /// How many whole pages it has.
    pub(super) fn page_limit(&self) -> u64 {
        self.len / self.page_size as u64
    }

    /// The bytes at `offset`, fewer where the file ends, none where it cannot be read.
    pub(super) fn read_up_to(&self, offset: u64, len: usize) -> Vec<u8> {
        let left = self.len.saturating_sub(offset);
        let mut bytes = vec![0; usize::try_from(left).unwrap_or(len).min(len)];
        match self.file.read_exact_at(&mut bytes, offset) {
            Ok(()) => bytes,
            Err(_) => Vec::new(),
        }
    }

    /// Fills `page` with the page at that place of the file.
    pub(super) fn read_page(&self, at: u64, page: &mut OwnedPage) -> bool {
        self.file.read_exact_at(page.bytes_mut(), at * self.page_size as u64).is_ok()
    }
}

/// A slot that is whole and decodes.
fn whole_meta(bytes: &[u8]) -> std::result::Result<Meta, Fault> {
    if !meta::has_magic(bytes) {
        let found = get_u64(bytes, 0);
        return Err(Fault::new(Promise::MetaPage, get_u64(&meta::MAGIC, 0), found));
    }
    if bytes.len() < META_SIZE {
        return Err(Fault::new(Promise::FileLength, META_SIZE as u64, bytes.len() as u64));
    }
    meta::check_whole(bytes)?;
    Meta::decode(bytes)
}

/// Whether these bytes bear their own checksum.
pub(super) fn is_whole_page(bytes: &[u8], page_size: usize) -> bool {
    bytes.len() == page_size && get_u32(bytes, 0) == page_checksum(bytes)
}
