//! The live view: what the running system sees, durable or not.
//!
//! Bytes are kept in memory; a file that is mapped gets a mirror, a file of the operating system
//! to which every change is written too, so that the production mapping runs over it. Knows
//! nothing of what is durable.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use super::super::disk::DiskFile;
use super::super::memory::Locks;
use super::super::{Map, StorageFile};
use super::content::{BLOCK_SIZE, Content};
use super::durable::InodeNumber;

/// One file.
#[derive(Debug, Default)]
pub(super) struct LiveInode {
    content: Content,
    mirror: Option<DiskFile>,
    pub(super) locks: Locks,
}

impl LiveInode {
    pub(super) fn new(content: Content) -> LiveInode {
        LiveInode { content, ..LiveInode::default() }
    }

    pub(super) fn content(&self) -> &Content {
        &self.content
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.content.write(offset, bytes);
        self.content.grow(offset + bytes.len() as u64);
        match &self.mirror {
            Some(mirror) => mirror.write_all_at(bytes, offset),
            None => Ok(()),
        }
    }

    pub(super) fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.content.set_len(len);
        self.mirror.as_ref().map_or(Ok(()), |mirror| mirror.set_len(len))
    }

    /// Puts other bytes in place.
    pub(super) fn replace(&mut self, content: Content) -> io::Result<()> {
        if let Some(mirror) = &self.mirror {
            mirror.set_len(content.len())?;
            for index in 0..self.content.block_end().max(content.block_end()) {
                let new = content.block(index).unwrap_or(&[0; BLOCK_SIZE]);
                if self.content.block(index).unwrap_or(&[0; BLOCK_SIZE]) != new {
                    mirror_block(mirror, &content, index, new)?;
                }
            }
        }
        self.content = content;
        Ok(())
    }

    pub(super) fn map(&mut self, len: u64) -> io::Result<Map> {
        if self.mirror.is_none() {
            let mirror = DiskFile::unnamed()?;
            mirror.set_len(self.content.len())?;
            for (index, block) in self.content.blocks() {
                mirror_block(&mirror, &self.content, index, block)?;
            }
            self.mirror = Some(mirror);
        }
        match &self.mirror {
            Some(mirror) => mirror.map(len),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// Writes a block, the last one up to the file's length.
fn mirror_block(
    mirror: &DiskFile,
    content: &Content,
    index: usize,
    block: &[u8; BLOCK_SIZE],
) -> io::Result<()> {
    let offset = (index * BLOCK_SIZE) as u64;
    let left = usize::try_from(content.len().saturating_sub(offset)).unwrap_or(usize::MAX);
    let bytes = block.get(..left.min(BLOCK_SIZE)).unwrap_or(block);
    mirror.write_all_at(bytes, offset)
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
