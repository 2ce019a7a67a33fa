//! What a file is made of, counted along with a check: bytes by use, records by bucket, pages by
//! chain, and what lookups cost on average.
//!
//! Only pages that prove themselves are counted by what they hold; the rest of the file is
//! *unproven*, so the sum is the file's length whatever stands in it. Where another kind of page
//! comes to the format, it is a field of [`Pages`] and its contents are added to [`Contents`].
//! Knows nothing of how pages are found.

use std::collections::BTreeMap;

use super::judge::Judged;
use crate::page::record::LargeRecord;
use crate::page::usage::Usage;

/// Bytes of the file by kind of page. They add up to the length of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Pages {
    pub(crate) meta: u64,
    pub(crate) directory: u64,
    pub(crate) bitmap: u64,
    pub(crate) bucket: u64,
    pub(crate) overflow: u64,
    pub(crate) value: u64,
    pub(crate) free: u64,
    /// Pages that are used and could not be read or proven.
    pub(crate) unproven: u64,
    /// Behind the last page that the meta page counts.
    pub(crate) behind: u64,
}

/// Bytes of bucket, overflow and value pages, by use. They add up to those pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Contents {
    pub(crate) keys: u64,
    pub(crate) values: u64,
    pub(crate) record_headers: u64,
    pub(crate) slots: u64,
    pub(crate) empty_slots: u64,
    pub(crate) page_headers: u64,
    pub(crate) dead: u64,
    pub(crate) free: u64,
    /// Behind the values of large records, to the end of their last pages.
    pub(crate) value_rest: u64,
}

/// A layout, as far as the splitpoint has it in use.
#[derive(Debug, Clone, Default)]
pub(crate) struct SideCensus {
    /// Buckets and runs in use.
    pub(crate) bucket_count: u64,
    pub(crate) run_count: u64,
    /// Records in their buckets, those in overflow included.
    pub(crate) record_count: u64,
    /// How many buckets have so many records; those without a page are not among them.
    pub(crate) buckets: BTreeMap<u64, u64>,
    /// How many runs have chains of so many pages; those without are not among them.
    pub(crate) chains: BTreeMap<u64, u64>,
    /// The longest chain, and its run.
    pub(crate) longest: (u64, u64),
}

/// The census of a file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Census {
    pub(crate) pages: Pages,
    pub(crate) contents: Contents,
    pub(crate) current: SideCensus,
    pub(crate) next: SideCensus,
    pub(crate) record_count: u64,
    pub(crate) overflow_record_count: u64,
    pub(crate) large_record_count: u64,
    /// Bucket and overflow pages that finding each record once reads.
    pub(crate) hit_reads: u64,
    /// The same for an absent key, on average.
    pub(crate) miss_reads: f64,
    page_size: u64,
}

impl Census {
    pub(super) fn new(page_size: usize) -> Census {
        Census { page_size: page_size as u64, ..Census::default() }
    }

    pub(super) fn side(&mut self, is_next: bool) -> &mut SideCensus {
        if is_next { &mut self.next } else { &mut self.current }
    }

    pub(super) fn add_chains(&mut self, is_next: bool, lens: &BTreeMap<u64, u64>) {
        let side = self.side(is_next);
        for (&run, &len) in lens {
            *side.chains.entry(len).or_default() += 1;
            if len > side.longest.0 {
                side.longest = (len, run);
            }
        }
    }

    fn add_usage(&mut self, usage: &Usage) {
        let Usage { header, slots, empty_slots, record_headers, keys, values, dead, free } = *usage;
        let to = &mut self.contents;
        for (sum, bytes) in [
            (&mut to.page_headers, header),
            (&mut to.slots, slots),
            (&mut to.empty_slots, empty_slots),
            (&mut to.record_headers, record_headers),
            (&mut to.keys, keys),
            (&mut to.values, values),
            (&mut to.dead, dead),
            (&mut to.free, free),
        ] {
            *sum += bytes as u64;
        }
    }

    /// The `depth`-th page of a chain, from 1.
    pub(super) fn add_overflow_page(&mut self, depth: u64, usage: &Usage, record_count: u64) {
        self.pages.overflow += self.page_size;
        self.add_usage(usage);
        self.record_count += record_count;
        self.overflow_record_count += record_count;
        self.hit_reads += record_count * (1 + depth);
    }

    /// A bucket page of a layout of so many buckets, whose run has a chain of so many pages.
    pub(super) fn add_bucket_page(
        &mut self,
        (is_next, bucket_count): (bool, u64),
        chain: u64,
        judged: &Judged,
    ) {
        self.pages.bucket += self.page_size;
        self.add_usage(&judged.usage);
        let record_count = judged.counts.record_count;
        self.record_count += record_count;
        self.hit_reads += record_count;
        let (set, all) = judged.filter;
        let admitted = f64::from(set) / f64::from(all.max(1));
        self.miss_reads += (1.0 + admitted * chain as f64) / bucket_count as f64;
        let side = self.side(is_next);
        let of_bucket = record_count + judged.in_overflow;
        side.record_count += of_bucket;
        *side.buckets.entry(of_bucket).or_default() += 1;
    }

    /// A large record that has its pages for itself.
    pub(super) fn add_large(&mut self, large: &LargeRecord, page_count: u64) {
        let bytes = page_count * self.page_size;
        self.large_record_count += 1;
        self.pages.value += bytes;
        self.contents.keys += u64::from(large.key_len);
        self.contents.values += u64::from(large.value_len);
        self.contents.value_rest += bytes - large.len();
    }

    /// The rest: of so many pages in a file of this length, so many are free.
    pub(super) fn finish(&mut self, file_len: u64, page_limit: u64, free: u64) {
        self.pages.free = free * self.page_size;
        let all = page_limit * self.page_size;
        self.pages.behind = file_len - all;
        self.pages.unproven = all - (self.pages.sum() - self.pages.behind);
        assert_eq!(self.pages.sum(), file_len, "each page is counted once");
        let of_pages = self.pages.bucket + self.pages.overflow + self.pages.value;
        assert_eq!(self.contents.sum(), of_pages, "each byte of a page is counted once");
    }
}

impl Pages {
    /// All bytes.
    pub(crate) fn sum(&self) -> u64 {
        let Pages { meta, directory, bitmap, bucket, overflow, value, free, unproven, behind } =
            *self;
        meta + directory + bitmap + bucket + overflow + value + free + unproven + behind
    }
}

impl Contents {
    /// All bytes.
    pub(crate) fn sum(&self) -> u64 {
        let c = *self;
        let in_pages = c.slots + c.empty_slots + c.page_headers + c.dead + c.free;
        c.keys + c.values + c.record_headers + in_pages + c.value_rest
    }
}
