//! Mirrors: files of the operating system, in its memory, to which a mapped file's changes are
//! written too, so that the production mapping runs over them.
//!
//! A mirror is used again by the next disk that maps much the same bytes, since one boot after
//! another differs in a few blocks only: writing these alone is many times cheaper. Knows nothing
//! of names and of calls.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::super::disk::DiskFile;
use super::super::{Map, StorageFile};
use super::content::{BLOCK_SIZE, Content};

/// How many unused mirrors are kept.
const UNUSED_MAX: usize = 16;

/// Mirrors that no disk uses, each with what it holds.
static UNUSED: Mutex<Vec<(DiskFile, Content)>> = Mutex::new(Vec::new());

fn unused() -> MutexGuard<'static, Vec<(DiskFile, Content)>> {
    UNUSED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file that holds what a mapped file holds.
#[derive(Debug)]
pub(super) struct Mirror {
    file: DiskFile,
    /// Every map that was given out.
    maps: Vec<Map>,
    /// Whether a change did not reach it.
    failed: bool,
}

impl Mirror {
    pub(super) fn of_content(content: &Content) -> io::Result<Mirror> {
        let (file, old) = match take_alike(content) {
            Some(alike) => alike,
            None => (DiskFile::unnamed()?, Content::default()),
        };
        let mut mirror = Mirror { file, maps: Vec::new(), failed: false };
        mirror.change(&old, content)?;
        Ok(mirror)
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let done = self.file.write_all_at(bytes, offset);
        self.note(done)
    }

    pub(super) fn set_len(&mut self, len: u64) -> io::Result<()> {
        let done = self.file.set_len(len);
        self.note(done)
    }

    /// Makes it hold `new` where it held `old`.
    pub(super) fn change(&mut self, old: &Content, new: &Content) -> io::Result<()> {
        if old.len() != new.len() {
            self.set_len(new.len())?;
        }
        for (index, block) in new.differing_blocks(old) {
            let offset = (index * BLOCK_SIZE) as u64;
            let left = usize::try_from(new.len() - offset).unwrap_or(usize::MAX);
            let bytes = block.get(..left.min(BLOCK_SIZE)).unwrap_or(block);
            self.write(offset, bytes)?;
        }
        Ok(())
    }

    fn note(&mut self, done: io::Result<()>) -> io::Result<()> {
        self.failed |= done.is_err();
        done
    }

    pub(super) fn map(&mut self, len: u64) -> io::Result<Map> {
        let map = self.file.map(len)?;
        self.maps.push(map.clone());
        Ok(map)
    }

    /// Keeps the file for another disk, unless somebody still looks at it through a map.
    pub(super) fn give_back(mut self, content: Content) {
        let unseen = self.maps.iter_mut().all(Map::is_unique);
        let mut unused = unused();
        if unseen && !self.failed && unused.len() < UNUSED_MAX {
            unused.push((self.file, content));
        }
    }
}

/// The unused mirror that holds most of the content's blocks.
fn take_alike(content: &Content) -> Option<(DiskFile, Content)> {
    let mut unused = unused();
    let alike = |(_, (_, held)): &(usize, &(DiskFile, Content))| held.shared_count(content);
    let (index, _) = unused.iter().enumerate().max_by_key(alike)?;
    Some(unused.swap_remove(index))
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use super::*;

    fn word(map: &Map, offset: usize) -> Option<u64> {
        Some(map.view(offset, 8)?.word(0))
    }

    #[test]
    fn a_map_in_use_never_shows_the_bytes_of_another_disk() {
        let ones = Content::of_bytes(&[1; 2 * BLOCK_SIZE]);
        let mut mirror = Mirror::of_content(&ones).unwrap();
        let map = mirror.map(8192).unwrap();
        mirror.give_back(ones.clone());
        let mut other = ones;
        other.write(4096, &[2; 8]);
        for _ in 0..UNUSED_MAX + 1 {
            let mut mirror = Mirror::of_content(&other).unwrap();
            let other_map = mirror.map(8192).unwrap();
            assert_eq!(word(&other_map, 4096), Some(0x0202_0202_0202_0202));
        }
        assert_eq!(word(&map, 4096), Some(0x0101_0101_0101_0101));
    }

    #[test]
    fn a_mirror_used_again_holds_the_new_bytes_only() {
        let mut first = Content::of_bytes(&[1; 3 * BLOCK_SIZE]);
        first.set_len(5 * 4096);
        let mut second = first.clone();
        second.set_len(4096 + 100);
        second.write(0, &[3; 8]);
        let mut third = second.clone();
        third.set_len(3 * 4096);
        let mut mirror = Mirror::of_content(&first).unwrap();
        let mut old = &first;
        for new in [&second, &third, &first] {
            mirror.change(old, new).unwrap();
            let mut bytes = vec![0; new.to_bytes().len()];
            mirror.file.read_exact_at(&mut bytes, 0).unwrap();
            assert_eq!(bytes, new.to_bytes());
            assert_eq!(mirror.file.len().unwrap(), new.len());
            old = new;
        }
    }
}
