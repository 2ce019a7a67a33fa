//! The bytes of a simulated file in shared blocks, so that a copy costs nothing until it is
//! written to: thousands of crash images a second share almost all their bytes.
//!
//! Knows nothing of names, of calls or of what is durable.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// What a write may damage around it (F3).
pub(super) const BLOCK_SIZE: usize = 4096;
/// What a write may tear into (F2).
pub(super) const SECTOR_SIZE: usize = 512;
/// No simulated file is longer, so that a wild offset is an error and not a lack of memory.
pub(super) const LEN_MAX: u64 = 1 << 36;

static ZEROS: [u8; BLOCK_SIZE] = [0; BLOCK_SIZE];

#[derive(Clone)]
struct Block {
    bytes: [u8; BLOCK_SIZE],
    digest: OnceLock<u64>,
}

impl Block {
    const fn zero() -> Block {
        Block { bytes: [0; BLOCK_SIZE], digest: OnceLock::new() }
    }

    /// A sum of the bytes; 0 for zeros, so that a hole and a block of zeros are equal.
    fn digest(&self) -> u64 {
        let sum = || if self.bytes == [0; BLOCK_SIZE] { 0 } else { xxh3_64(&self.bytes) | 1 };
        *self.digest.get_or_init(sum)
    }
}

/// The bytes of a file. Blocks may lie past its length until [`Content::trim`].
#[derive(Clone, Default)]
pub(super) struct Content {
    len: u64,
    blocks: Arc<Vec<Option<Arc<Block>>>>,
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} bytes, {:016x})", self.len, self.digest())
    }
}

/// A range within a file as block number and range within that block.
pub(super) fn each_block(offset: u64, len: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
    let offset = usize::try_from(offset.min(LEN_MAX)).unwrap_or(usize::MAX);
    let end = offset.saturating_add(len);
    let first = offset / BLOCK_SIZE;
    (first..end.div_ceil(BLOCK_SIZE)).map(move |block| {
        let start = block * BLOCK_SIZE;
        let from = offset.saturating_sub(start);
        (block, from..(end - start).min(BLOCK_SIZE))
    })
}

impl Content {
    pub(super) fn of_bytes(bytes: &[u8]) -> Content {
        let mut content = Content::default();
        content.write(0, bytes);
        content.grow(bytes.len() as u64);
        content
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(self.len).unwrap_or(usize::MAX)];
        self.read(0, &mut bytes);
        bytes
    }

    /// Fills as much of `bytes` as the file has at `offset`, and says how much.
    pub(super) fn read(&self, offset: u64, bytes: &mut [u8]) -> usize {
        let left = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = bytes.len().min(left);
        let mut rest = bytes.get_mut(..len).unwrap_or_default();
        for (block, range) in each_block(offset, len) {
            let (target, after) = rest.split_at_mut(range.len());
            match self.block(block).and_then(|bytes| bytes.get(range)) {
                Some(source) => target.copy_from_slice(source),
                None => target.fill(0),
            }
            rest = after;
        }
        len
    }

    /// Stores bytes without a change of the length (F4).
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let mut rest = bytes;
        for (block, range) in each_block(offset, bytes.len()) {
            let (source, after) = rest.split_at(range.len());
            if let Some(target) = self.block_mut(block).get_mut(range) {
                target.copy_from_slice(source);
            }
            rest = after;
        }
    }

    /// Makes the file at least `len` bytes long.
    pub(super) fn grow(&mut self, len: u64) {
        self.len = self.len.max(len);
    }

    /// Makes the file longer or shorter; what is cut off is gone.
    pub(super) fn set_len(&mut self, len: u64) {
        let shorter = len < self.len;
        self.len = len;
        if shorter {
            self.trim();
        }
    }

    /// Drops what lies past the length.
    pub(super) fn trim(&mut self) {
        let len = usize::try_from(self.len).unwrap_or(usize::MAX);
        let (whole, rest) = (len / BLOCK_SIZE, len % BLOCK_SIZE);
        if self.blocks.len() > len.div_ceil(BLOCK_SIZE) {
            Arc::make_mut(&mut self.blocks).truncate(len.div_ceil(BLOCK_SIZE));
        }
        let past = |bytes: &[u8; BLOCK_SIZE]| bytes.iter().skip(rest).any(|byte| *byte != 0);
        if rest != 0 && self.block(whole).is_some_and(past) {
            self.block_mut(whole).iter_mut().skip(rest).for_each(|byte| *byte = 0);
        }
    }

    /// A block's bytes, if it is no hole.
    pub(super) fn block(&self, index: usize) -> Option<&[u8; BLOCK_SIZE]> {
        Some(&self.blocks.get(index)?.as_ref()?.bytes)
    }

    /// A block's bytes, to be changed.
    pub(super) fn block_mut(&mut self, index: usize) -> &mut [u8; BLOCK_SIZE] {
        let blocks = Arc::make_mut(&mut self.blocks);
        if index >= blocks.len() {
            blocks.resize(index + 1, None);
        }
        let block = blocks.get_mut(index).expect("made long enough");
        let block = Arc::make_mut(block.get_or_insert_with(|| Arc::new(Block::zero())));
        block.digest = OnceLock::new();
        &mut block.bytes
    }

    /// Takes a block as it is in another content.
    pub(super) fn copy_block(&mut self, index: usize, from: &Content) {
        match from.blocks.get(index) {
            Some(Some(block)) => {
                self.block_mut(index);
                let blocks = Arc::make_mut(&mut self.blocks);
                if let Some(place) = blocks.get_mut(index) {
                    *place = Some(Arc::clone(block));
                }
            }
            _ if self.block(index).is_some() => self.block_mut(index).fill(0),
            _ => {}
        }
    }

    /// The blocks that are not as in another content, by number, as far as this one's length.
    pub(super) fn differing_blocks<'a>(
        &'a self,
        other: &'a Content,
    ) -> impl Iterator<Item = (usize, &'a [u8; BLOCK_SIZE])> {
        let end = usize::try_from(self.len).unwrap_or(usize::MAX).div_ceil(BLOCK_SIZE);
        let end = end.min(self.blocks.len().max(other.blocks.len()));
        (0..end).filter_map(move |index| {
            let place = |content: &'a Content| content.blocks.get(index).and_then(Option::as_ref);
            let bytes = |block: Option<&'a Arc<Block>>| block.map_or(&ZEROS, |block| &block.bytes);
            match (place(self), place(other)) {
                (Some(new), Some(old)) if Arc::ptr_eq(new, old) => None,
                (None, None) => None,
                (new, old) => (bytes(new) != bytes(old)).then_some((index, bytes(new))),
            }
        })
    }

    /// How many blocks it shares with another content.
    pub(super) fn shared_count(&self, other: &Content) -> usize {
        let same = |(one, two): &(&Option<Arc<Block>>, &Option<Arc<Block>>)| match (one, two) {
            (Some(one), Some(two)) => Arc::ptr_eq(one, two),
            _ => false,
        };
        self.blocks.iter().zip(other.blocks.iter()).filter(same).count()
    }

    /// How many blocks are no holes.
    pub(super) fn block_count(&self) -> usize {
        self.blocks.iter().flatten().count()
    }

    /// A sum of length and bytes; equal contents have equal ones.
    pub(super) fn digest(&self) -> u64 {
        let mut sum = self.len;
        for (index, block) in self.blocks.iter().enumerate() {
            if let Some(digest) = block.as_ref().map(|block| block.digest())
                && digest != 0
            {
                sum = sum.wrapping_add(xxh3_64_with_seed(&digest.to_le_bytes(), index as u64));
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_across_blocks() {
        let bytes: Vec<u8> = (0..3 * BLOCK_SIZE).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let mut content = Content::of_bytes(&bytes);
        assert_eq!(content.to_bytes(), bytes);
        content.write(4000, &[0xff; 200]);
        let mut part = [0; 202];
        assert_eq!(content.read(3999, &mut part), 202);
        assert_eq!(part[0], bytes[3999]);
        assert_eq!(part[1..201], [0xff; 200]);
        assert_eq!(part[201], bytes[4200]);
    }

    #[test]
    fn a_copy_does_not_change_with_the_original() {
        let mut content = Content::of_bytes(&[1; 8192]);
        let copy = content.clone();
        content.write(4096, &[2]);
        assert_eq!(copy.to_bytes(), [1; 8192]);
        assert_ne!(copy.digest(), content.digest());
        content.write(4096, &[1]);
        assert_eq!(copy.digest(), content.digest());
    }

    #[test]
    fn a_hole_equals_zeros_and_a_length_counts() {
        let mut hole = Content::default();
        hole.set_len(5000);
        assert_eq!(hole.digest(), Content::of_bytes(&[0; 5000]).digest());
        assert_ne!(hole.digest(), Content::of_bytes(&[0; 4999]).digest());
        assert_eq!(hole.block_count(), 0);
    }

    #[test]
    fn equal_blocks_in_other_places_are_another_content() {
        let mut first = Content::default();
        first.write(0, &[1]);
        first.set_len(8192);
        let mut second = Content::default();
        second.write(4096, &[1]);
        second.set_len(8192);
        assert_ne!(first.digest(), second.digest());
    }

    #[test]
    fn what_is_cut_off_is_zero_when_it_grows_again() {
        let mut content = Content::of_bytes(&[7; 10_000]);
        content.set_len(5000);
        content.set_len(10_000);
        let bytes = content.to_bytes();
        assert_eq!(bytes[..5000], [7; 5000]);
        assert_eq!(bytes[5000..], [0; 5000]);
    }

    #[test]
    fn bytes_past_the_length_show_only_once_it_grows() {
        let mut content = Content::default();
        content.write(100, b"data");
        assert_eq!(content.len(), 0);
        let mut grown = content.clone();
        grown.grow(104);
        assert_eq!(grown.to_bytes()[100..], *b"data");
        content.trim();
        content.grow(104);
        assert_eq!(content.to_bytes(), [0; 104]);
    }
}
