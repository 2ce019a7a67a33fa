//! Pages of a piece: for each run its buckets, then its overflow chain; written in large blocks.
//!
//! The pages are made by the page layer, as a sweep makes them. Knows nothing of the input.

use super::output::Output;
use super::piece::{Piece, Resolver};
use super::plan::Amount;
use super::values::Values;
use crate::checksum::crc32;
use crate::error::{Error, Result};
use crate::layout::{Layout, RUN_BUCKETS};
use crate::page::edit::{PageOf, crowded_last};
use crate::page::meta::{Counts, FileParameters};
use crate::page::record::{LargeRecord, Record, SHORT_KEY_MAX, large_len};
use crate::page::shape::Shape;
use crate::page::{Kind, OwnedPage, word};
use crate::table::VALUE_LEN_MAX;

/// Buckets of a run.
const RUN_LEN: usize = 16;
const _: () = assert!(RUN_LEN as u64 == RUN_BUCKETS);

/// Bytes of pages that are written at once.
const WRITE_LEN: usize = 1 << 20;

/// The pages of some runs.
#[derive(Debug, Default)]
pub(super) struct Built {
    /// Pointers to the pages of the buckets, and to the chains of the runs.
    pub(super) bucket_words: Vec<u64>,
    pub(super) run_words: Vec<u64>,
    pub(super) counts: Counts,
    /// Value pages, and the live grains of each.
    pub(super) live: Vec<(u64, u16)>,
    /// Records that stand in overflow.
    pub(super) overflow_count: u64,
}

/// Makes pages.
pub(super) struct Builder<'b> {
    output: &'b Output<'b>,
    built: Built,
    pages: OwnedPage,
    /// The bucket of the first page in `pages`, and how many are filled.
    first: u64,
    filled: usize,
    overflow: Overflow,
    values: Values,
}

/// Overflow pages that have no numbers yet.
#[derive(Default)]
struct Overflow {
    pages: Vec<OwnedPage>,
    /// The run's place in `run_words`, and the pages of its chain.
    chains: Vec<(usize, std::ops::Range<usize>)>,
}

/// What the pages of a file hold, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pages {
    pub(super) size: usize,
    pub(super) inline_max: usize,
    pub(super) shape: Shape,
}

impl Pages {
    pub(super) fn new(parameters: &FileParameters) -> Pages {
        Pages {
            size: parameters.page_size,
            inline_max: parameters.inline_max,
            shape: parameters.shape(),
        }
    }

    /// Whether a record stands in its page as it is; the same choice as a single insert makes.
    #[inline]
    fn is_inline(&self, key_len: usize, value_len: usize) -> bool {
        let len = self.shape.inline_len(key_len, value_len);
        self.shape.is_fixed() || len <= self.inline_max || large_len(key_len) >= len
    }

    /// A record's bytes in a page, whichever form it has.
    #[inline]
    pub(super) fn record_len(&self, key_len: usize, value_len: usize) -> usize {
        match self.is_inline(key_len, value_len) {
            true => self.shape.inline_len(key_len, value_len),
            false => large_len(key_len),
        }
    }
}

impl<'b> Builder<'b> {
    /// Of the pages of the buckets from `first` on, where a run begins.
    pub(super) fn new(output: &'b Output<'b>, first: u64) -> Builder<'b> {
        let len = WRITE_LEN.max(output.page_size());
        Builder {
            output,
            built: Built::default(),
            pages: OwnedPage::new(len),
            first,
            filled: 0,
            overflow: Overflow::default(),
            values: Values::default(),
        }
    }

    /// The pages of a run, whose buckets are those of the piece from `index` on.
    pub(super) fn run(
        &mut self,
        run: u64,
        piece: &Piece,
        resolver: &mut Resolver,
        index: usize,
    ) -> Result<()> {
        resolver.clear();
        let buckets = self.output.layout.buckets_of_run(run);
        let mut ends = [0; RUN_LEN + 1];
        for (i, end) in (0..buckets.end - buckets.start).zip(ends.iter_mut().skip(1)) {
            let place = index + usize::try_from(i).unwrap_or_default();
            *end = resolver.add_bucket(piece, piece.bucket(place));
        }
        let mut records: Vec<(u64, Record<'_>)> = Vec::new();
        let mut rest: Vec<(u64, Record<'_>)> = Vec::new();
        for (bucket, range) in buckets.zip(ends.windows(2)) {
            let [start, end] = *range else { continue };
            records.clear();
            for (hash, key, value) in resolver.items(piece, start..end) {
                records.push((hash, self.record(hash, key, value)?));
            }
            crowded_last(self.output.page_size(), &self.output.pages.shape, &mut records);
            rest.extend(self.bucket(bucket, &records)?);
        }
        self.chain(run, rest)
    }

    /// A record as it stands in a page.
    fn record<'r>(&mut self, hash: u64, key: &'r [u8], value: &'r [u8]) -> Result<Record<'r>> {
        // What was merged may have any length.
        if let Some(size) = self.output.parameters.value_size.filter(|size| *size != value.len()) {
            return Err(Error::ValueSize { len: value.len() as u64, expected: size as u64 });
        }
        self.built.counts.record_count += 1;
        let pages = self.output.pages;
        let record = match pages.is_inline(key.len(), value.len()) {
            true => Record::Inline { key, value },
            false => {
                let large = self.large(hash, key, value)?;
                Record::Large(large, if large.has_long_key() { &[] } else { key })
            }
        };
        self.built.counts.record_len += pages.shape.record_len(&record) as u64;
        Ok(record)
    }

    /// The one place where a large record is stored: behind the one before it, in hash order.
    fn large(&mut self, hash: u64, key: &[u8], value: &[u8]) -> Result<LargeRecord> {
        let len = value.len() as u64;
        let value_len =
            u32::try_from(len).map_err(|_| Error::ValueTooLarge { len, max: VALUE_LEN_MAX })?;
        let is_long = key.len() > SHORT_KEY_MAX;
        let behind = if is_long { key } else { &[] };
        let place = self.values.append(self.output, [value, behind])?;
        let large = LargeRecord {
            hash: if is_long { hash } else { 0 },
            key_len: u16::try_from(key.len()).expect("keys were checked"),
            value_len,
            place,
            checksum: crc32(crc32(0, value), behind),
        };
        self.built.counts.value_len += large.len();
        Ok(large)
    }

    /// A bucket's page; gives the records that did not fit.
    fn bucket<'r>(
        &mut self,
        bucket: u64,
        records: &[(u64, Record<'r>)],
    ) -> Result<Vec<(u64, Record<'r>)>> {
        let size = self.output.page_size();
        if (self.filled + 1) * size > self.pages.len() {
            self.flush_pages()?;
        }
        let at = self.filled * size;
        self.filled += 1;
        if records.is_empty() {
            self.built.bucket_words.push(0);
            return Ok(Vec::new());
        }
        let of = self.page_of(Kind::Bucket, bucket);
        let mut frame = self.pages.frame(at, size);
        let rest = of.fill(&mut frame, records);
        for (hash, _) in &rest {
            frame.note_overflow(*hash);
        }
        let page = self.output.bucket_page(bucket);
        let bytes = self.pages.bytes_mut().get_mut(at..at + size).unwrap_or_default();
        let pointer = self.output.seal(bytes, page);
        self.built.bucket_words.push(pointer);
        Ok(rest)
    }

    fn page_of(&self, kind: Kind, owner: u64) -> PageOf {
        let bucket_count = self.output.layout.bucket_count;
        PageOf { kind, owner, bucket_count, shape: self.output.pages.shape }
    }

    fn flush_pages(&mut self) -> Result<()> {
        let len = self.filled * self.output.page_size();
        let bytes = self.pages.bytes_mut().get_mut(..len).unwrap_or_default();
        if !bytes.is_empty() {
            self.output.write(self.output.bucket_page(self.first), bytes)?;
            bytes.fill(0);
        }
        self.first += self.filled as u64;
        self.filled = 0;
        Ok(())
    }

    /// The overflow pages of a run.
    fn chain(&mut self, run: u64, mut rest: Vec<(u64, Record<'_>)>) -> Result<()> {
        let place = self.built.run_words.len();
        self.built.run_words.push(0);
        if rest.is_empty() {
            return Ok(());
        }
        self.built.overflow_count += rest.len() as u64;
        let of = self.page_of(Kind::Overflow, run);
        let first = self.overflow.pages.len();
        while !rest.is_empty() {
            let mut page = OwnedPage::new(self.output.page_size());
            rest = of.fill(&mut page.frame(0, self.output.page_size()), &rest);
            self.overflow.pages.push(page);
        }
        let end = self.overflow.pages.len();
        self.overflow.chains.push((place, first..end));
        self.built.counts.overflow_page_count += (end - first) as u64;
        if end * self.output.page_size() >= WRITE_LEN { self.flush_overflow() } else { Ok(()) }
    }

    /// Gives the overflow pages their numbers, and writes them.
    fn flush_overflow(&mut self) -> Result<()> {
        let Overflow { mut pages, chains } = std::mem::take(&mut self.overflow);
        if pages.is_empty() {
            return Ok(());
        }
        let first = self.output.allocate(pages.len() as u64)?;
        for (place, range) in chains {
            // From the last on: each points to the next.
            let mut pointer = 0;
            for i in range.rev() {
                let Some(page) = pages.get_mut(i) else { continue };
                let bytes = page.bytes_mut();
                crate::page::put_u64(bytes, 8 * word::NEXT, pointer);
                pointer = self.output.seal(bytes, first + i as u64);
            }
            if let Some(word) = self.built.run_words.get_mut(place) {
                *word = pointer;
            }
        }
        let mut bytes = Vec::with_capacity(pages.len() * self.output.page_size());
        pages.iter().for_each(|page| bytes.extend_from_slice(page.bytes()));
        self.output.write(first, &bytes)
    }

    /// Everything is written.
    pub(super) fn end(mut self) -> Result<Built> {
        self.flush_pages()?;
        self.flush_overflow()?;
        self.values.finish(self.output)?;
        self.built.live = std::mem::take(&mut self.values.live);
        self.built.counts.value_page_count = self.built.live.len() as u64;
        Ok(self.built)
    }
}

/// What a piece amounts to when one record is left for each key, and how many records it has.
pub(super) fn measure(
    piece: &Piece,
    resolver: &mut Resolver,
    buckets: usize,
    pages: &Pages,
) -> Amount {
    let mut amount = Amount::default();
    for bucket in 0..buckets {
        resolver.clear();
        let end = resolver.add_bucket(piece, piece.bucket(bucket));
        for (_, key, value) in resolver.items(piece, 0..end) {
            amount.add(pages.record_len(key.len(), value.len()));
        }
    }
    amount
}

/// The buckets of a piece: `number` of `1 << bits`.
pub(super) fn buckets_of(layout: Layout, number: u64, bits: u32) -> std::ops::Range<u64> {
    let each = layout.bucket_count >> bits;
    if bits == 0 { 0..layout.bucket_count } else { number * each..(number + 1) * each }
}
