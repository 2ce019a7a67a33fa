//! Backup: a copy of one moment while others read and write.
//!
//! A checkpoint is whole in the file, and its pages stay as they are while a pin is held: they are
//! copied to their places in a new file, under another name until it is whole, durable and checked.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Index, open};
use crate::error::{Error, Result};
use crate::log::{LogFiles, remove_segments, segment_numbers};
use crate::page::meta::{META_SIZE, META_SLOTS, Meta};
use crate::pager::{self, PageSet};
use crate::storage::{LockKind, OpenMode, Storage, StorageFile};

/// Pages that are copied at once, if they lie one after another.
const COPY_PAGES: u64 = 256;

/// The name of a copy to `path` that is not whole yet. That of the file that is to be copied it must
/// not be: that would pass for what an interrupted copy left.
pub(crate) fn partial_beside(
    storage: &dyn Storage,
    source: &dyn StorageFile,
    path: &Path,
) -> Result<PathBuf> {
    let partial = open::partial_name(path)?;
    let Ok(found) = storage.identity(&partial) else { return Ok(partial) };
    if found == source.identity().map_err(|e| Error::io("open", &partial, e))? {
        let words = "the file to be copied bears the name of an unfinished copy to there";
        let error = std::io::Error::new(ErrorKind::AlreadyExists, words);
        return Err(Error::io("create", path, error));
    }
    Ok(partial)
}

/// Makes the file of a copy and locks it, so that no other run takes it for a leftover.
pub(super) fn create_partial(
    storage: &dyn Storage,
    partial: &Path,
) -> Result<Arc<dyn StorageFile>> {
    let opened = storage.open(partial, OpenMode::CreateNew);
    let file = opened.map_err(|e| Error::io("create", partial, e))?;
    let held = hold_partial(storage, &*file, partial);
    if matches!(held, Err(Error::Io { .. })) {
        let _ = storage.remove(partial);
    }
    held.map(|()| file)
}

/// Locks the file of a copy. Whoever had the lock before may have removed or renamed it.
pub(super) fn hold_partial(
    storage: &dyn Storage,
    file: &dyn StorageFile,
    partial: &Path,
) -> Result<()> {
    let is_held = file.try_lock(LockKind::Exclusive);
    if is_held.map_err(|e| Error::io("lock", partial, e))?
        && open::is_still(storage, file, partial)?
    {
        return Ok(());
    }
    Err(Error::Locked { path: partial.to_owned() })
}

/// A copy that was interrupted is made anew: what its crash left is removed, its log with it. Such
/// a file bears the id that the copy is to have; one that is anything else is nobody's to remove.
pub(crate) fn remove_leftover(
    storage: &Arc<dyn Storage>,
    partial: &Path,
    file_id: [u8; 16],
) -> Result<()> {
    let file = match storage.open(partial, OpenMode::ReadWrite) {
        // It may have its name already, and its log not be gone for good.
        Err(e) if e.kind() == ErrorKind::NotFound => return remove_log(storage, partial),
        opened => opened.map_err(|e| Error::io("open", partial, e))?,
    };
    hold_partial(&**storage, &*file, partial)?;
    let is_ours = pager::read_meta(&*file, partial)
        .is_ok_and(|pages| pages.newest.parameters.file_id == file_id);
    if !is_ours {
        open::check_leftover(&**storage, &*file, partial)?;
    }
    remove_log(storage, partial)?;
    storage.remove(partial).map_err(|e| Error::io("remove", partial, e))
}

fn remove_log(storage: &Arc<dyn Storage>, partial: &Path) -> Result<()> {
    let path = match storage.canonicalize(open::folder_of(partial)) {
        Ok(folder) => open::new_name(&folder, partial),
        // A simulated disk has no folders.
        Err(_) => partial.to_owned(),
    };
    let files = LogFiles { storage: storage.clone(), path, file_id: [0; 16] };
    match segment_numbers(&files) {
        Ok(numbers) => remove_segments(&files, numbers),
        // Of a folder that is not there the creation tells.
        Err(_) => Ok(()),
    }
}

/// Leaves nothing half-made behind. What failed is what the caller wants to hear.
pub(crate) fn remove_partial(storage: &Arc<dyn Storage>, partial: &Path) {
    let _ = remove_log(storage, partial);
    let _ = storage.remove(partial);
}

impl Index {
    /// Writes a copy of the index as it is at one moment of the call, closed clean, ready to be
    /// opened. Readers and writers go on meanwhile; what they replace stays in the file until the
    /// copy is done. The copy is checked before it gets its name, and keeps the hash seed.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let index = splitpoint::Index::open(folder.path().join("file"))?;
    /// index.insert("key", "value")?;
    /// let copy = folder.path().join("copy");
    /// index.backup(&copy)?;
    /// assert_eq!(splitpoint::Index::open_read_only(copy)?.len(), 1);
    /// # index.close()?; Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`] of the kind `AlreadyExists` if there is a file of that name;
    /// [`Error::Locked`] while another copy is made to that path; [`Error::Corruption`] if the copy
    /// would not be sound; [`Error::ReadOnly`] on a read-only handle whose file was not closed clean:
    /// open it for writing once, to recover it.
    pub fn backup(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let inner = self.inner();
        if !self.shared().read_only {
            drop(inner.begin_write()?);
            inner.run_checkpoint()?;
        }
        // The pin first: the pages of a checkpoint that is seen after it are not reused.
        let _pin = self.shared().epoch.pin();
        self.check_open()?;
        let (meta, used) = inner.last_checkpoint()?;
        if self.shared().read_only && !meta.clean {
            return Err(Error::ReadOnly { path: self.path().to_owned() });
        }
        let storage = inner.storage();
        if storage.identity(path).is_ok() {
            return Err(Error::io("create", path, ErrorKind::AlreadyExists.into()));
        }
        let partial = partial_beside(&*storage, &*self.shared().file, path)?;
        remove_leftover(&storage, &partial, meta.parameters.file_id)?;
        let file = create_partial(&*storage, &partial)?;
        let copied = self.copy_to(&*file, &partial, &meta, &used);
        if copied.is_err() {
            // What is half made is of no use; what failed is what the caller wants to hear.
            let _ = storage.remove(&partial);
        }
        copied?;
        storage.rename(&partial, path).map_err(|e| Error::io("create", path, e))?;
        open::sync_folder(&*storage, path)
    }

    fn copy_to(
        &self,
        file: &dyn StorageFile,
        partial: &Path,
        meta: &Meta,
        used: &PageSet,
    ) -> Result<()> {
        let fail = |action| move |e| Error::io(action, partial, e);
        let page_size = self.shared().parameters.page_size as u64;
        file.set_len(meta.page_count * page_size).map_err(fail("write"))?;
        let mut page = crate::page::meta::first_page(self.shared().parameters.page_size);
        while page < meta.page_count {
            let count = (page..meta.page_count)
                .take(usize::try_from(COPY_PAGES).unwrap_or(1))
                .take_while(|&page| used.contains(page))
                .count() as u64;
            self.copy_pages(file, partial, page * page_size, count * page_size)?;
            page += count.max(1);
        }
        let mut meta = Meta { clean: true, ..meta.clone() };
        for slot in 0..META_SLOTS as u64 {
            meta.generation += 1;
            let offset = slot * META_SIZE as u64;
            file.write_all_at(&meta.encode(), offset).map_err(fail("write"))?;
        }
        file.sync_data().map_err(fail("sync"))?;
        let report = crate::table::check::check(file, partial, &meta, &mut |_, _| ())?;
        match report
            .findings
            .into_iter()
            .find(|f| f.severity == crate::table::check::Severity::Damage)
        {
            Some(finding) => Err(finding.into_corruption(self.path()).into()),
            None => Ok(()),
        }
    }

    fn copy_pages(
        &self,
        target: &dyn StorageFile,
        partial: &Path,
        offset: u64,
        len: u64,
    ) -> Result<()> {
        let mut bytes = vec![0; usize::try_from(len).expect("a few hundred pages")];
        let read = self.shared().file.read_exact_at(&mut bytes, offset);
        read.map_err(|e| Error::io("read", self.path(), e))?;
        target.write_all_at(&bytes, offset).map_err(|e| Error::io("write", partial, e))
    }
}
