//! Bucket pages by themselves, for the benchmark of layouts: filled and searched as a table does.

use std::convert::Infallible;
use std::sync::atomic::AtomicU64;

use crate::page::bucket::{Found, KeyMatch, find};
use crate::page::edit::PageOf;
use crate::page::record::{LargeRecord, Record};
use crate::page::shape::Shape;
use crate::page::{Frame, Kind, LINE_SIZE, View, cell_count, zeroed_words};

struct Key<'k>(&'k [u8]);

impl KeyMatch for Key<'_> {
    type Error = Infallible;

    #[inline]
    fn matches_inline(&self, key: &[u8]) -> bool {
        key == self.0
    }

    fn matches_large(&self, _: &LargeRecord) -> Result<bool, Infallible> {
        Ok(false)
    }
}

/// Pages with records, as this crate lays them out, each at a multiple of a cache line.
#[derive(Debug)]
pub struct BucketPages {
    memory: Box<[AtomicU64]>,
    /// Words before the first page, and of each.
    first: usize,
    words: usize,
    cells: usize,
    shape: Shape,
}

impl BucketPages {
    /// Room for this many pages; `sizes` of key and value make them of fixed sizes.
    #[must_use]
    pub fn new(page_size: usize, count: usize, sizes: Option<(usize, usize)>) -> BucketPages {
        let (key, value) = sizes.unzip();
        let shape = Shape::new(page_size, key, value);
        let memory = zeroed_words((count * page_size + LINE_SIZE) as u64 / 8);
        let first = memory.as_ptr().align_offset(LINE_SIZE);
        BucketPages { memory, first, words: page_size / 8, cells: 0, shape }
    }

    /// Makes a page of these records (hash, key, value); how many did not fit. All pages are made
    /// of as many records of the same sizes, so that they have as many cells.
    pub fn fill(&mut self, page: usize, records: &[(u64, &[u8], &[u8])]) -> usize {
        let records: Vec<_> = records
            .iter()
            .map(|&(hash, key, value)| (hash, Record::Inline { key, value }))
            .collect();
        let of = PageOf { kind: Kind::Bucket, owner: 0, bucket_count: 1, shape: self.shape };
        let start = self.first + page * self.words;
        let words = self.memory.get_mut(start..start + self.words).expect("a page of these");
        let rest = of.fill(&mut Frame::of_words(words), &records).len();
        self.cells = cell_count(View::of_words(words));
        rest
    }

    /// The value of a key.
    #[inline]
    #[must_use]
    pub fn get(&self, page: usize, hash: u64, key: &[u8]) -> Option<&[u8]> {
        let start = self.first + page * self.words;
        let view = View::of_words(self.memory.get(start..start + self.words)?);
        let Ok(found) = find(view, &self.shape, self.cells, hash, &Key(key));
        match found {
            Found::Record(_, Record::Inline { value, .. }) => Some(value),
            _ => None,
        }
    }
}
