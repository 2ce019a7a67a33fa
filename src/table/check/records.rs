//! Buckets for a check: a stretch of runs at a time, first their overflow chains, then their
//! bucket pages, each in the order of the file. Pages are judged by several threads; what they saw
//! is added up here, in order.

use std::collections::{BTreeMap, BTreeSet};

use super::Checker;
use super::judge::{Judge, Judged, Known, Overflowed, second_hash};
use super::pages::Wanted;
use super::trees::CheckedSide;
use crate::error::{Fault, Place, Promise};
use crate::layout::Layout;
use crate::page::pointer::Pointer;
use crate::page::record::LargeRecord;

/// Bytes of overflow pages, at the head of chains, in one stretch: their records are remembered.
const STRETCH_OVERFLOW: usize = 64 << 20;
/// Bucket pages in one stretch: their pointers are sorted.
const STRETCH_BUCKETS: usize = 1 << 20;

/// What the chains of a stretch hold.
pub(super) struct Chains {
    /// Their records, in the order of hashes.
    records: Vec<Overflowed>,
    /// The pages of each run's chain.
    lens: BTreeMap<u64, u64>,
}

/// The large records of a page.
struct Larges {
    /// Those that have their pages for themselves.
    own: Vec<Option<LargeRecord>>,
    /// Their second hashes, once they were asked for.
    second: Vec<Option<Option<u64>>>,
}

impl Checker<'_> {
    /// Checks all records of a layout.
    pub(super) fn check_side(&mut self, side: &CheckedSide) {
        let heads_max = (STRETCH_OVERFLOW / self.page_size()).max(1);
        let with_usage = self.census.is_some();
        let judge = Judge { meta: self.meta, side, with_usage };
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
            let chains = self.check_chains(&judge, heads);
            let overflow = chains.records.as_slice();
            let bucket = |wanted, page: &_| judge.bucket(wanted, page, overflow);
            self.read_in_order(pages, &bucket, &mut |checker, wanted, judged| {
                checker.add_bucket(&judge, &chains, wanted, judged);
            });
        }
    }

    /// Reads chains, page by page of all of them.
    pub(super) fn check_chains(&mut self, judge: &Judge<'_>, heads: Vec<Wanted>) -> Chains {
        let mut chains = Chains { records: Vec::new(), lens: BTreeMap::new() };
        let mut pages = heads;
        let mut depth = 0;
        // Ends: each page is claimed before it is read.
        while !pages.is_empty() {
            depth += 1;
            let mut next: Vec<Wanted> = Vec::new();
            let mut broken: BTreeSet<u64> = pages.iter().map(|wanted| wanted.index).collect();
            let overflow = |wanted, page: &_| judge.overflow(wanted, page);
            self.read_in_order(pages, &overflow, &mut |checker, wanted, judged| {
                chains.lens.insert(wanted.index, depth);
                checker.counts.overflow_page_count += 1;
                if checker.add_overflow(depth, wanted, judged, &mut chains.records, &mut next) {
                    broken.remove(&wanted.index);
                }
            });
            self.broken.extend(broken.into_iter().map(|run| (judge.side.is_next, run)));
            pages = next;
        }
        if let Some(census) = &mut self.census {
            census.add_chains(judge.side.is_next, &chains.lens);
        }
        let overflow = &mut chains.records;
        overflow.sort_unstable();
        for pair in overflow.windows(2) {
            let [first, second] = pair else { continue };
            if first.hash == second.hash && first.second.is_some() && first.second == second.second
            {
                let fault = Fault::new(Promise::DuplicateKey, first.page, second.page);
                self.find(Place::Page(second.page), fault);
            }
        }
        for record in overflow.iter() {
            // I5: a reader comes to overflow only by way of the bucket's page.
            let side = judge.side;
            if side.buckets.get(side.layout.bucket_of(record.hash)) == Some(0) {
                let fault = Fault::new(Promise::OverflowFilter, 1, 0);
                self.find(Place::Page(record.page), fault);
            }
        }
        chains
    }

    /// Adds what was seen on an overflow page; `false` if its chain cannot be followed further.
    fn add_overflow(
        &mut self,
        depth: u64,
        wanted: Wanted,
        judged: Judged,
        overflow: &mut Vec<Overflowed>,
        next: &mut Vec<Wanted>,
    ) -> bool {
        let mut larges = self.add(wanted, &judged);
        if !judged.is_sound {
            return false;
        }
        if let Some(census) = &mut self.census {
            census.add_overflow_page(depth, &judged.usage, judged.counts.record_count);
        }
        for &(hash, known) in &judged.records {
            let second = self.second_of(&mut larges, known);
            overflow.push(Overflowed { hash, second, page: wanted.page });
        }
        if judged.next == 0 {
            return true;
        }
        match self.claim_pointer(judged.next, Place::Page(wanted.page)) {
            Some((page, checksum)) => next.push(Wanted { page, checksum, index: wanted.index }),
            None => {
                self.lose();
                return false;
            }
        }
        true
    }

    fn add_bucket(&mut self, judge: &Judge<'_>, chains: &Chains, wanted: Wanted, judged: Judged) {
        self.report.bucket_page_count += 1;
        let mut larges = self.add(wanted, &judged);
        for suspect in &judged.suspects {
            let one = self.second_of(&mut larges, suspect.one);
            if one.is_some() && one == self.second_of(&mut larges, suspect.other) {
                let fault = Fault::new(Promise::DuplicateKey, wanted.page, suspect.page);
                self.find(Place::Page(suspect.page), fault);
            }
        }
        if let Some(census) = &mut self.census
            && judged.is_sound
        {
            let chain = chains.lens.get(&Layout::run_of(wanted.index)).copied().unwrap_or_default();
            let count = judge.side.layout.bucket_count;
            census.add_bucket_page((judge.side.is_next, count), chain, &judged);
        }
    }

    /// Adds what was seen on a page, and claims the pages of its large records.
    fn add(&mut self, wanted: Wanted, judged: &Judged) -> Larges {
        judged.findings.iter().for_each(|finding| self.report.add(*finding));
        if !judged.is_sound {
            self.lose();
        }
        self.counts.record_count += judged.counts.record_count;
        self.counts.record_len += judged.counts.record_len;
        let larges = judged.larges.iter();
        let own: Vec<Option<LargeRecord>> =
            larges.map(|large| self.claim_large(*large, wanted.page).then_some(*large)).collect();
        let second = vec![None; own.len()];
        Larges { own, second }
    }

    /// The second hash of a record, if its key can be read.
    fn second_of(&mut self, larges: &mut Larges, known: Known) -> Option<u64> {
        let place = match known {
            Known::Second(hash) => return Some(hash),
            Known::Large(place) => place,
        };
        let memo = larges.second.get_mut(place)?;
        if memo.is_none() {
            let own = larges.own.get(place).copied().flatten();
            let key = own.and_then(|large| self.key_of(&large));
            *memo = Some(key.map(|key| second_hash(&key, self.meta.parameters.hash_seed)));
        }
        memo.flatten()
    }
}

fn wanted(index: u64, word: u64) -> Option<Wanted> {
    match Pointer::decode(word) {
        Pointer::Unchecked { page, checksum } => Some(Wanted { page, checksum, index }),
        // Entries in another form were found when they were claimed.
        _ => None,
    }
}
