//! A file that is there for one run: made under a name of its own, locked, and removed with the
//! value. What a crash leaves of it is taken over by the next run.
//!
//! Knows nothing of what is written there.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::index::open::check_leftover;
use crate::storage::{LockKind, OpenMode, Storage, StorageFile};

/// The file, until it is dropped or given another name.
pub(super) struct Scratch {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn StorageFile>,
    is_kept: bool,
}

impl Scratch {
    /// Makes the file, or takes over what a crash left of one.
    pub(super) fn create(storage: Arc<dyn Storage>, path: PathBuf) -> Result<Scratch> {
        let fail = |e| Error::io("create", &path, e);
        let (file, is_new) = match storage.open(&path, OpenMode::CreateNew) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                (storage.open(&path, OpenMode::ReadWrite).map_err(fail)?, false)
            }
            opened => (opened.map_err(fail)?, true),
        };
        let locked = file.try_lock(LockKind::Exclusive);
        if !locked.map_err(|e| Error::io("lock", &path, e))? || !is_still(&*storage, &*file, &path)
        {
            return Err(Error::Locked { path });
        }
        if !is_new {
            check_leftover(&*storage, &*file, &path)?;
            file.set_len(0).map_err(fail)?;
        }
        Ok(Scratch { storage, path, file, is_kept: false })
    }

    /// Gives it another name in its folder, where it stays.
    pub(super) fn rename(mut self, to: &Path) -> Result<Arc<dyn StorageFile>> {
        self.storage.rename(&self.path, to).map_err(|e| Error::io("create", to, e))?;
        self.is_kept = true;
        Ok(self.file.clone())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.is_kept {
            // What cannot be removed is taken over by the next run.
            let _ = self.storage.remove(&self.path);
        }
    }
}

/// Whoever held the lock may have given the file another name or removed it.
fn is_still(storage: &dyn Storage, file: &dyn StorageFile, path: &Path) -> bool {
    matches!((file.identity(), storage.identity(path)), (Ok(of_file), Ok(of_name)) if of_file == of_name)
}

/// A name beside the target that nobody gives to a file of another kind.
pub(super) fn name_beside(path: &Path, suffix: &str) -> Result<PathBuf> {
    let nameless = || std::io::Error::new(ErrorKind::InvalidInput, "it has no name");
    let name = path.file_name().ok_or_else(|| Error::io("create", path, nameless()))?;
    let mut name = name.to_owned();
    name.push(suffix);
    Ok(path.with_file_name(name))
}
