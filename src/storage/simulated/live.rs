//! The live view: what the running system sees, durable or not.
//!
//! Bytes are kept in memory; a file that is mapped gets a mirror, see `mirror`. Knows nothing of
//! what is durable.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use super::super::Map;
use super::super::memory::Locks;
use super::content::Content;
use super::durable::InodeNumber;
use super::mirror::Mirror;

/// One file.
#[derive(Debug, Default)]
pub(super) struct LiveInode {
    content: Content,
    mirror: Option<Mirror>,
    pub(super) locks: Locks,
}

impl LiveInode {
    pub(super) fn new(content: Content) -> LiveInode {
        LiveInode { content, mirror: None, locks: Locks::default() }
    }

    pub(super) fn content(&self) -> &Content {
        &self.content
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.content.write(offset, bytes);
        self.content.grow(offset + bytes.len() as u64);
        self.mirror.as_mut().map_or(Ok(()), |mirror| mirror.write(offset, bytes))
    }

    pub(super) fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.content.set_len(len);
        self.mirror.as_mut().map_or(Ok(()), |mirror| mirror.set_len(len))
    }

    /// Puts other bytes in place.
    pub(super) fn replace(&mut self, content: Content) -> io::Result<()> {
        let old = std::mem::replace(&mut self.content, content);
        self.mirror.as_mut().map_or(Ok(()), |mirror| mirror.change(&old, &self.content))
    }

    pub(super) fn map(&mut self, len: u64) -> io::Result<Map> {
        if self.mirror.is_none() {
            self.mirror = Some(Mirror::of_content(&self.content)?);
        }
        match &mut self.mirror {
            Some(mirror) => mirror.map(len),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl Drop for LiveInode {
    fn drop(&mut self) {
        if let Some(mirror) = self.mirror.take() {
            mirror.give_back(std::mem::take(&mut self.content));
        }
    }
}

/// All names and files.
#[derive(Debug, Default)]
pub(super) struct Live {
    pub(super) names: BTreeMap<PathBuf, InodeNumber>,
    inodes: BTreeMap<InodeNumber, LiveInode>,
}

impl Live {
    pub(super) fn insert(&mut self, number: InodeNumber, inode: LiveInode) {
        self.inodes.insert(number, inode);
    }

    pub(super) fn numbers(&self) -> Vec<InodeNumber> {
        self.inodes.keys().copied().collect()
    }

    /// The file of an open handle or of a name, which is never forgotten.
    pub(super) fn inode(&mut self, number: InodeNumber) -> &mut LiveInode {
        self.inodes.entry(number).or_default()
    }
}
