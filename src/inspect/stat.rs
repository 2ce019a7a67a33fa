//! What a file is made of: bytes by use, how full buckets are, how long chains, what lookups cost.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Inspector, expected};
use crate::CheckReport;
use crate::error::Result;
use crate::page::meta::{META_SIZE, META_SLOTS, Meta};
use crate::page::shape::Shape;
use crate::page::usage::capacity;
use crate::table::check::census::{Census, SideCensus};
use crate::table::check::{Extent, census};

/// Expected counts below this are not shown by themselves.
const EXPECTED_MIN: f64 = 0.05;

/// Bytes of one use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Share {
    /// What for, as one name: `value_pages`.
    pub name: &'static str,
    /// How many bytes.
    pub bytes: u64,
}

/// How many buckets or runs have one value.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Row {
    /// Records of a bucket, or pages of a chain.
    pub value: u64,
    /// How many have it.
    pub count: u64,
    /// How many would have it if keys fell at random.
    pub expected: f64,
}

/// How many buckets or runs have how much, beside what chance would give.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Histogram {
    /// In the order of values; values that none has and chance hardly gives are left out.
    pub rows: Vec<Row>,
}

/// What a file is made of, at its last checkpoint.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FileStat {
    /// The file.
    pub file: PathBuf,
    /// Its length in bytes.
    pub file_len: u64,
    /// Bytes of a page.
    pub page_size: usize,
    /// The checkpoint that was looked at.
    pub generation: u64,
    /// Whether it was closed clean; if not, later changes are in the log only.
    pub is_clean: bool,
    /// Buckets of the current layout.
    pub bucket_count: u64,
    /// Buckets of the next layout while a sweep runs, or 0.
    pub next_bucket_count: u64,
    /// Hashes below it are in the next layout.
    pub splitpoint: u64,
    /// Records that were read.
    pub record_count: u64,
    /// Those of them in overflow pages.
    pub overflow_record_count: u64,
    /// Those of them whose key and value stand in value pages.
    pub large_record_count: u64,
    /// The file by kind of page. The sum is [`FileStat::file_len`].
    pub pages: Vec<Share>,
    /// The insides of bucket, overflow and value pages. The sum is that of those three.
    pub contents: Vec<Share>,
    /// Buckets by number of records, those in overflow included.
    pub buckets: Histogram,
    /// Runs by length of their overflow chains.
    pub chains: Histogram,
    /// Pages of the longest chain.
    pub longest_chain: u64,
    /// Its run.
    pub longest_chain_run: u64,
    /// Bucket and overflow pages that a lookup of a key reads on average, if the key is there.
    pub pages_per_hit: f64,
    /// The same if it is not.
    pub pages_per_miss: f64,
    /// Bytes that the file would have about, if its records were loaded into a new one.
    pub reloaded_len: u64,
    /// What the check that went with it found.
    pub check: CheckReport,
}

impl Inspector {
    /// Reads the whole file, checks it and counts what its bytes are used for. What cannot be
    /// proven is counted as that; so the sums are right on a damaged file too.
    ///
    /// # Errors
    /// As [`Inspector::check`].
    pub fn stat(&self, mut progress: impl FnMut(u64, u64)) -> Result<FileStat> {
        let mut of = None;
        let is_sound = |(report, _): &(CheckReport, Census)| report.is_sound();
        let look = |inspector: &Inspector| {
            let meta = inspector.usable_meta()?;
            let (report, census) = crate::table::check::check_as(
                &*inspector.file,
                &inspector.path,
                meta,
                Extent::Census,
                &mut progress,
            )?;
            of = Some(meta.clone());
            Ok((report, census.unwrap_or_default()))
        };
        let ((mut check, census), is_overtaken) = self.steadily(is_sound, look)?;
        if is_overtaken {
            check.overtake();
        }
        let meta = of.as_ref().map_or_else(|| self.usable_meta(), Ok)?;
        Ok(self.stat_of(meta, &census, check))
    }

    fn stat_of(&self, meta: &Meta, census: &Census, check: CheckReport) -> FileStat {
        let per = |sum: f64, count: u64| if count == 0 { 0.0 } else { sum / count as f64 };
        let page_size = meta.parameters.page_size;
        let sides = [&census.current, &census.next];
        let longest = sides.iter().map(|side| side.longest).max().unwrap_or_default();
        let contents = &census.contents;
        let in_slots = contents.record_headers + contents.keys + contents.values;
        let large = census.pages.value.saturating_sub(contents.value_rest);
        let shape = meta.parameters.shape();
        let fits = capacity(page_size, &shape, census.record_count, in_slots.saturating_sub(large));
        FileStat {
            file: self.path.clone(),
            file_len: census.pages.sum(),
            page_size,
            generation: meta.generation,
            is_clean: meta.clean,
            bucket_count: meta.current.layout.bucket_count,
            next_bucket_count: meta.next.map_or(0, |next| next.layout.bucket_count),
            splitpoint: meta.splitpoint,
            record_count: census.record_count,
            overflow_record_count: census.overflow_record_count,
            large_record_count: census.large_record_count,
            pages: shares_of_pages(&census.pages),
            contents: shares_of_contents(contents),
            buckets: buckets(sides),
            chains: chains(sides, fits),
            longest_chain: longest.0,
            longest_chain_run: longest.1,
            pages_per_hit: per(census.hit_reads as f64, census.record_count),
            pages_per_miss: census.miss_reads,
            reloaded_len: reloaded_len(page_size, &shape, census),
            check,
        }
    }
}

fn shares_of_pages(pages: &census::Pages) -> Vec<Share> {
    let census::Pages { meta, directory, bitmap, bucket, overflow, value, free, unproven, behind } =
        *pages;
    shares([
        ("meta_pages", meta),
        ("directory_pages", directory),
        ("bitmap_pages", bitmap),
        ("bucket_pages", bucket),
        ("overflow_pages", overflow),
        ("value_pages", value),
        ("free_pages", free),
        ("unproven_pages", unproven),
        ("behind_the_last_page", behind),
    ])
}

fn shares_of_contents(contents: &census::Contents) -> Vec<Share> {
    let census::Contents {
        keys,
        values,
        record_headers,
        slots,
        empty_slots,
        page_headers,
        dead,
        free,
        value_rest,
    } = *contents;
    shares([
        ("keys", keys),
        ("values", values),
        ("record_headers", record_headers),
        ("tags_and_slots", slots),
        ("empty_slots", empty_slots),
        ("page_headers", page_headers),
        ("dead_records", dead),
        ("free_in_pages", free),
        ("rest_of_value_pages", value_rest),
    ])
}

fn shares<const N: usize>(shares: [(&'static str, u64); N]) -> Vec<Share> {
    shares.into_iter().map(|(name, bytes)| Share { name, bytes }).collect()
}

fn buckets(sides: [&SideCensus; 2]) -> Histogram {
    let (mut counted, mut expect) = (BTreeMap::new(), BTreeMap::new());
    for side in sides.into_iter().filter(|side| side.bucket_count > 0) {
        let with_page: u64 = side.buckets.values().sum();
        *counted.entry(0).or_default() += side.bucket_count.saturating_sub(with_page);
        side.buckets.iter().for_each(|(&value, count)| *counted.entry(value).or_default() += count);
        let mean = side.record_count as f64 / side.bucket_count as f64;
        expected::add(&mut expect, &expected::poisson(mean), side.bucket_count);
    }
    histogram(&counted, &expect)
}

fn chains(sides: [&SideCensus; 2], capacity: u64) -> Histogram {
    let (mut counted, mut expect) = (BTreeMap::new(), BTreeMap::new());
    for side in sides.into_iter().filter(|side| side.bucket_count > 0) {
        let with_chain: u64 = side.chains.values().sum();
        *counted.entry(0).or_default() += side.run_count.saturating_sub(with_chain);
        side.chains.iter().for_each(|(&value, count)| *counted.entry(value).or_default() += count);
        let mean = side.record_count as f64 / side.bucket_count as f64;
        expected::add(&mut expect, &expected::chain_lens(mean, capacity), side.run_count);
    }
    histogram(&counted, &expect)
}

fn histogram(counted: &BTreeMap<u64, u64>, expect: &BTreeMap<u64, f64>) -> Histogram {
    let mut rows: BTreeMap<u64, Row> = BTreeMap::new();
    for (&value, &count) in counted.iter().filter(|(_, count)| **count > 0) {
        rows.insert(value, Row { value, count, expected: 0.0 });
    }
    for (&value, &expected) in expect {
        if expected >= EXPECTED_MIN || rows.contains_key(&value) {
            rows.entry(value).or_insert(Row { value, count: 0, expected }).expected = expected;
        }
    }
    Histogram { rows: rows.into_values().collect() }
}

/// What a new file of these records would take: pages filled to the target, directories, bitmap.
fn reloaded_len(page_size: usize, shape: &Shape, census: &Census) -> u64 {
    /// The fill that a table grows to (D6).
    const FILL: f64 = 0.9;
    /// Of a cell of 64 bytes, the share of each of the 11 records that it is planned for.
    const SLOT_LEN: f64 = 64.0 / 11.0;
    let contents = &census.contents;
    let large = census.pages.value - contents.value_rest;
    let in_slots = contents.record_headers + contents.keys + contents.values - large;
    let slot_len = if shape.is_fixed() { 0.0 } else { SLOT_LEN };
    let room = shape.payload(page_size) as f64 * FILL;
    let needed = in_slots as f64 + census.record_count as f64 * slot_len;
    let page_size = page_size as f64;
    let buckets = (needed / room).ceil();
    let trees = 2.0 + buckets * 1.07 * 8.0 / page_size;
    let meta = (META_SIZE * META_SLOTS) as f64;
    let bytes = meta + (buckets + trees) * page_size + census.pages.value as f64;
    // Of a file's length, which is below 2^63; a float is as exact as the guess needs.
    #[allow(clippy::cast_possible_truncation, reason = "a positive number of bytes")]
    #[allow(clippy::cast_sign_loss, reason = "a positive number of bytes")]
    let bytes = bytes as u64;
    bytes
}

impl FileStat {
    /// The bytes of a share, by its name; 0 if there is none of it.
    pub fn bytes(&self, name: &str) -> u64 {
        let mut all = self.pages.iter().chain(&self.contents);
        all.find(|share| share.name == name).map_or(0, |share| share.bytes)
    }

    /// A share of the file's bytes, from 0 to 1.
    pub fn share_of_file(&self, bytes: u64) -> f64 {
        if self.file_len == 0 { 0.0 } else { bytes as f64 / self.file_len as f64 }
    }

    /// Bytes of the file for each record.
    pub fn bytes_per_record(&self) -> f64 {
        if self.record_count == 0 { 0.0 } else { self.file_len as f64 / self.record_count as f64 }
    }

    /// The share of the records that is in overflow, from 0 to 1.
    pub fn overflow_share(&self) -> f64 {
        let all = self.record_count.max(1);
        self.overflow_record_count as f64 / all as f64
    }

    /// What to do, in one sentence.
    pub fn advice(&self) -> String {
        /// Less than this share of the file, and less than this many bytes, is not worth a word.
        const SHARE_MIN: f64 = 0.05;
        const BYTES_MIN: u64 = 1 << 16;
        let percent = |share: f64| format!("{:.0} %", 100.0 * share);
        let matters = |bytes: u64| bytes >= BYTES_MIN && self.share_of_file(bytes) >= SHARE_MIN;
        if self.check.is_overtaken {
            return "a writer moved on at each look: look again when it rests".into();
        }
        if !self.check.is_sound() {
            return "it is damaged: see what `check` says, and restore a backup".into();
        }
        let free = self.bytes("free_pages") + self.bytes("behind_the_last_page");
        if matters(free) {
            return format!("compact would save {}", percent(self.share_of_file(free)));
        }
        let gain = self.file_len.saturating_sub(self.reloaded_len);
        if matters(gain) && self.share_of_file(gain) > 0.2 {
            let share = percent(self.share_of_file(gain));
            return format!(
                "its pages are not full: exporting it and loading it anew would save {share}"
            );
        }
        let rest = self.bytes("rest_of_value_pages");
        if matters(rest) && self.share_of_file(rest) > 0.2 {
            let share = percent(self.share_of_file(rest));
            return format!(
                "{share} of it is the unused rest of value pages: a smaller page size would save some"
            );
        }
        if self.overflow_share() > 0.15 {
            let share = percent(self.overflow_share());
            return format!(
                "{share} of the records are in overflow, so lookups read more pages than they need: load it anew"
            );
        }
        "nothing to do".into()
    }
}
