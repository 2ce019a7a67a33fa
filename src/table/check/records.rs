//! Buckets for a check: a stretch of runs at a time, first their overflow chains, then their
//! bucket pages, each in the order of the file.

use std::cell::OnceCell;

use super::Checker;
use super::pages::Wanted;
use super::trees::CheckedSide;
use crate::error::{Fault, Place, Promise};
use crate::hash::hash;
use crate::layout::Layout;
use crate::page::bucket::{self, Slot};
use crate::page::pointer::Pointer;
use crate::page::record::Record;
use crate::page::{Identity, Kind, OwnedPage, word};
use crate::table::record_hash;

/// Bytes of overflow pages, at the head of chains, in one stretch: their records are remembered.
const STRETCH_OVERFLOW: usize = 64 << 20;
/// Bucket pages in one stretch: their pointers are sorted.
const STRETCH_BUCKETS: usize = 1 << 20;
/// Turns the seed into that of a second hash. Records with two equal hashes of 64 bits have the
/// same key: one need not be kept, or read again, to compare it.
const SECOND_SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// A record in overflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Overflowed {
    hash: u64,
    /// The second hash; `None` where the key could not be read.
    second: Option<u64>,
    page: u64,
}

/// A record of the page that is looked at.
struct Seen<'p> {
    hash: u64,
    record: Record<'p>,
    /// Whether its key can be read: a large record has its pages for itself.
    is_readable: bool,
    /// Its second hash, once it was asked for.
    second: OnceCell<Option<u64>>,
}

impl Checker<'_> {
    /// Checks all records of a layout.
    pub(super) fn check_side(&mut self, side: &CheckedSide) {
        let heads_max = (STRETCH_OVERFLOW / self.page_size()).max(1);
        let mut buckets = side.buckets.entries().peekable();
        let mut runs = side.runs.entries().peekable();
        loop {
            let (mut pages, mut heads) = (Vec::new(), Vec::new());
            while pages.len() < STRETCH_BUCKETS && heads.len() < heads_max {
                let of_bucket = buckets.peek().map(|&(bucket, _)| Layout::run_of(bucket));
                let of_run = runs.peek().map(|&(run, _)| run);
                let Some(run) = of_bucket.into_iter().chain(of_run).min() else { break };
                let is_of_run = |entry: &(u64, u64)| Layout::run_of(entry.0) == run;
                while let Some((index, word)) = buckets.next_if(is_of_run) {
                    pages.extend(wanted(index, word));
                }
                if let Some((index, word)) = runs.next_if(|entry| entry.0 == run) {
                    heads.extend(wanted(index, word));
                }
            }
            if pages.is_empty() && heads.is_empty() {
                return;
            }
            let overflow = self.check_chains(side, heads);
            self.read_in_order(pages, &mut |checker, wanted, page| {
                checker.check_bucket(side, wanted, page, &overflow);
            });
        }
    }

    /// Reads chains, page by page of all of them; gives their records in the order of hashes.
    fn check_chains(&mut self, side: &CheckedSide, heads: Vec<Wanted>) -> Vec<Overflowed> {
        let mut overflow: Vec<Overflowed> = Vec::new();
        let mut pages = heads;
        // Ends: each page is claimed before it is read (R4).
        while !pages.is_empty() {
            let mut next: Vec<Wanted> = Vec::new();
            self.read_in_order(pages, &mut |checker, wanted, page| {
                checker.counts.overflow_page_count += 1;
                checker.check_overflow(side, wanted, page, &mut overflow, &mut next);
            });
            pages = next;
        }
        overflow.sort_unstable();
        for pair in overflow.windows(2) {
            let [first, second] = pair else { continue };
            if first.hash == second.hash && first.second.is_some() && first.second == second.second
            {
                let fault = Fault::new(Promise::DuplicateKey, first.page, second.page);
                self.find(Place::Page(second.page), fault);
            }
        }
        for record in &overflow {
            // I5: a reader comes to overflow only by way of the bucket's page.
            if side.buckets.get(side.layout.bucket_of(record.hash)) == Some(0) {
                let fault = Fault::new(Promise::OverflowFilter, 1, 0);
                self.find(Place::Page(record.page), fault);
            }
        }
        overflow
    }

    fn check_overflow(
        &mut self,
        side: &CheckedSide,
        wanted: Wanted,
        page: &OwnedPage,
        overflow: &mut Vec<Overflowed>,
        next: &mut Vec<Wanted>,
    ) {
        let place = Place::Page(wanted.page);
        if !self.check_contents(side, Kind::Overflow, wanted, page) {
            return;
        }
        for slot in bucket::slots(page.view()) {
            if let Some(seen) = self.check_record(side, (Kind::Overflow, wanted), page, slot) {
                let second = self.second_hash(&seen);
                overflow.push(Overflowed { hash: seen.hash, second, page: wanted.page });
            }
        }
        let pointer = page.view().word(word::NEXT);
        if pointer == 0 {
            return;
        }
        match self.claim_pointer(pointer, place) {
            Some((page, checksum)) => next.push(Wanted { page, checksum, index: wanted.index }),
            None => self.lose(),
        }
    }

    fn check_bucket(
        &mut self,
        side: &CheckedSide,
        wanted: Wanted,
        page: &OwnedPage,
        overflow: &[Overflowed],
    ) {
        self.report.bucket_page_count += 1;
        if !self.check_contents(side, Kind::Bucket, wanted, page) {
            return;
        }
        let place = Place::Page(wanted.page);
        let view = page.view();
        self.expect(place, Fault::expect(Promise::Reserved, 0, view.word(word::NEXT)));
        let mut seen: Vec<Seen<'_>> = Vec::new();
        for slot in bucket::slots(view) {
            seen.extend(self.check_record(side, (Kind::Bucket, wanted), page, slot));
        }
        seen.sort_unstable_by_key(|seen| seen.hash);
        for pair in seen.windows(2) {
            let [first, second] = pair else { continue };
            if first.hash == second.hash && self.same_key(first, second) {
                self.find(place, Fault::new(Promise::DuplicateKey, wanted.page, wanted.page));
            }
        }
        let start = side.layout.first_hash(wanted.index).unwrap_or(u64::MAX);
        let end = side.layout.first_hash(wanted.index + 1);
        let from = overflow.partition_point(|record| record.hash < start);
        let of_bucket = overflow.get(from..).unwrap_or_default().iter();
        for record in of_bucket.take_while(|record| end.is_none_or(|end| record.hash < end)) {
            if !bucket::admits_overflow(view, record.hash) {
                self.find(place, Fault::new(Promise::OverflowFilter, 1, 0));
            }
            let at = seen.partition_point(|seen| seen.hash < record.hash);
            let equal = seen.get(at..).unwrap_or_default();
            for seen in equal.iter().take_while(|seen| seen.hash == record.hash) {
                if record.second.is_some() && self.second_hash(seen) == record.second {
                    let fault = Fault::new(Promise::DuplicateKey, wanted.page, record.page);
                    self.find(Place::Page(record.page), fault);
                }
            }
        }
    }

    /// Checks what needs no look at keys. A page that fails is left out.
    fn check_contents(
        &mut self,
        side: &CheckedSide,
        kind: Kind,
        wanted: Wanted,
        page: &OwnedPage,
    ) -> bool {
        let is = Identity {
            page_number: wanted.page,
            file_tag: self.meta.parameters.file_tag(),
            kind,
            owner: wanted.index,
            bucket_count: side.layout.bucket_count,
        };
        let place = Place::Page(wanted.page);
        let is_sound = self.check_page(page, wanted.checksum, is)
            && self.expect(place, bucket::check_shape(page.view(), &self.shape))
            && self.expect(place, bucket::check_structure(page.view()));
        if !is_sound {
            self.lose();
            return false;
        }
        self.expect(place, bucket::check_tidy(page.view()));
        true
    }

    fn check_record<'p>(
        &mut self,
        side: &CheckedSide,
        (kind, wanted): (Kind, Wanted),
        page: &'p OwnedPage,
        slot: Slot<'p>,
    ) -> Option<Seen<'p>> {
        let record = slot.record?;
        let place = Place::Page(wanted.page);
        self.counts.record_count += 1;
        self.counts.record_len += self.shape.record_len(&record) as u64;
        let parameters = &self.meta.parameters;
        let hash = record_hash(&record, parameters.hash_seed);
        let (key_len, value_len) = match &record {
            Record::Inline { key, value } => (key.len() as u64, value.len() as u64),
            Record::Large(large) => (large.key_len.into(), large.value_len.into()),
        };
        for (fixed, len) in [(parameters.key_size, key_len), (parameters.value_size, value_len)] {
            let expected = fixed.map_or(len, |size| size as u64);
            self.expect(place, Fault::expect(Promise::RecordSize, expected, len));
        }
        // I5: the bucket (or run) of its hash, on the side that the splitpoint selects.
        let bucket = side.layout.bucket_of(hash);
        let owner = if kind == Kind::Bucket { bucket } else { Layout::run_of(bucket) };
        let at_home = Fault::expect(Promise::RecordBucket, owner, wanted.index).and_then(|()| {
            let is_below = hash < self.meta.splitpoint;
            if self.meta.next.is_none() || is_below == side.is_next {
                Ok(())
            } else {
                Err(Fault::new(Promise::RecordBucket, self.meta.splitpoint, hash))
            }
        });
        self.expect(place, at_home);
        if !bucket::is_reachable(page.view(), slot.place, slot.tag, hash) {
            let tag = bucket::tag_in(page.view(), hash).into();
            self.find(place, Fault::new(Promise::RecordPlace, tag, slot.tag.into()));
        }
        let is_readable = match record {
            Record::Inline { .. } => true,
            Record::Large(large) => self.claim_large(large, wanted.page),
        };
        Some(Seen { hash, record, is_readable, second: OnceCell::new() })
    }

    fn same_key(&mut self, one: &Seen<'_>, other: &Seen<'_>) -> bool {
        if let (Record::Inline { key: a, .. }, Record::Inline { key: b, .. }) =
            (&one.record, &other.record)
        {
            return a == b;
        }
        let hashes = (self.second_hash(one), self.second_hash(other));
        matches!(hashes, (Some(a), Some(b)) if a == b)
    }

    fn second_hash(&mut self, seen: &Seen<'_>) -> Option<u64> {
        let seed = self.meta.parameters.hash_seed ^ SECOND_SEED;
        *seen.second.get_or_init(|| match &seen.record {
            Record::Inline { key, .. } => Some(hash(key, seed)),
            Record::Large(large) if seen.is_readable => {
                self.key_of(large).map(|key| hash(&key, seed))
            }
            Record::Large(_) => None,
        })
    }
}

fn wanted(index: u64, word: u64) -> Option<Wanted> {
    match Pointer::decode(word) {
        Pointer::Unchecked { page, checksum } => Some(Wanted { page, checksum, index }),
        // Entries in another form were found when they were claimed.
        _ => None,
    }
}
