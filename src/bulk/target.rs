//! What a bulk load writes to: the unfinished file beside the target, and the target as it is.
//!
//! An index that is there is opened for reading: nobody writes to it meanwhile, others may read it,
//! and go on when the new file has its name. Knows nothing of records.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::scratch::{Scratch, name_beside};
use crate::error::{Error, Result};
use crate::index::{Index, Options, open};
use crate::page::meta::{FileParameters, LogPosition};
use crate::storage::{Storage, StorageFile};

/// Where the new file goes, and what is there now.
pub(super) struct Target {
    pub(super) options: Options,
    pub(super) storage: Arc<dyn Storage>,
    pub(super) path: PathBuf,
    pub(super) parameters: FileParameters,
    /// The index that is there, if its records are to be kept.
    pub(super) old: Option<Index>,
    /// The one that is there, whose lock keeps writers out.
    held: Option<Index>,
    pub(super) log: LogPosition,
    pub(super) metadata: Vec<u8>,
    new: Scratch,
}

impl Target {
    /// Finds out what is there, and makes the unfinished file.
    pub(super) fn prepare(options: Options, path: &Path) -> Result<Target> {
        let storage = options.storage_of();
        let held = match storage.identity(path) {
            Ok(_) if options.is_create_new() => {
                return Err(Error::io("create", path, ErrorKind::AlreadyExists.into()));
            }
            Ok(_) => Some(hold(&options, path)?),
            Err(e) if e.kind() != ErrorKind::NotFound || !options.may_create() => {
                return Err(Error::io("open", path, e));
            }
            Err(_) => None,
        };
        let path = held.as_ref().map_or(path, Index::path).to_owned();
        if held.is_none() {
            options.check_new()?;
            open::refuse_dangling(&*storage, &path)?;
        }
        let new = Scratch::create(storage.clone(), open::partial_name(&path)?)?;
        let (parameters, log, metadata) = match &held {
            Some(index) => (index.parameters(), index.log_position(), index.metadata()?),
            None => {
                (open::new_parameters(&options, &path)?, open::first_log_position(), Vec::new())
            }
        };
        // Another file: nothing that was written for the old one is ever taken for its own.
        let parameters = FileParameters {
            file_id: open::new_parameters(&options, &path)?.file_id,
            ..parameters
        };
        let old = held.clone();
        Ok(Target { options, storage, path, parameters, old, held, log, metadata, new })
    }

    /// The unfinished file.
    pub(super) fn file(&self) -> &Arc<dyn StorageFile> {
        &self.new.file
    }

    /// Its name.
    pub(super) fn unfinished_path(&self) -> &Path {
        &self.new.path
    }

    /// Where records wait that do not fit the memory budget.
    pub(super) fn spill_path(&self, folder: Option<&Path>) -> Result<PathBuf> {
        let path = name_beside(&self.path, ".splitpoint-spill")?;
        Ok(match (folder, path.file_name()) {
            (Some(folder), Some(name)) => folder.join(name),
            _ => path,
        })
    }

    /// Makes the new file durable, puts it in the old one's place, and opens it.
    pub(super) fn publish(self) -> Result<Index> {
        let Target { options, storage, path, held, new, old, .. } = self;
        new.file.sync_data().map_err(|e| Error::io("sync", &new.path, e))?;
        if held.is_none() && storage.identity(&path).is_ok() {
            return Err(Error::io("create", &path, ErrorKind::AlreadyExists.into()));
        }
        let file = new.rename(&path)?;
        open::sync_folder(&*storage, &path)?;
        // Readers of the old file hold it themselves.
        drop((old, held));
        let path = storage.canonicalize(&path).map_err(|e| Error::io("open", &path, e))?;
        open::open_held(options, file, path)
    }
}

/// Opens the index for reading, closed clean: what a crash left is recovered first.
fn hold(options: &Options, path: &Path) -> Result<Index> {
    let read = || options.clone().read_only(true).open(path);
    let index = read()?;
    if index.is_closed_clean() {
        return Ok(index);
    }
    drop(index);
    options.clone().create(false).open(path)?.close()?;
    let index = read()?;
    if index.is_closed_clean() { Ok(index) } else { Err(Error::Locked { path: path.to_owned() }) }
}
