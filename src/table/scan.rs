//! Scans: all records in hash order, a bucket at a time.
//!
//! A scan holds no pin between two buckets, and its place is a hash, not a page: so it never delays
//! anyone, and goes on through resizes, checkpoints and restarts. Records with equal hashes are
//! always yielded together. A key that is present throughout is yielded exactly once.

use std::collections::BTreeSet;

use super::get::same_page;
use super::record_hash;
use crate::error::{Error, Fault, Place, Result};
use crate::layout::Layout;
use crate::page::bucket;
use crate::page::pointer::Pointer;
use crate::page::record::Record;
use crate::pager::{Page, Pin, Shared, Side, Which};

/// Buckets whose pages are asked for together, before the scan comes to them.
const AHEAD: u64 = 64;

/// A record, with its hash.
pub(crate) type Entry = (u64, Vec<u8>, Vec<u8>);

/// The records of one bucket from a hash on, in hash order, and the hash where the next begin;
/// `None` after the last.
///
/// Damage ends it; where `damage` is given it is noted there, and what is left of the bucket comes.
pub(crate) fn bucket_from(
    shared: &Shared,
    first: u64,
    mut damage: Option<&mut Vec<Error>>,
) -> Result<(Vec<Entry>, Option<u64>)> {
    let pin = shared.epoch.pin();
    shared.check_open()?;
    loop {
        let state = shared.state.load(&pin);
        let (side, splitpoint) = state.side_of(first);
        let bucket = side.layout.bucket_of(first);
        let run = Layout::run_of(bucket);
        if bucket.is_multiple_of(AHEAD) {
            let last = side.layout.bucket_count;
            let ahead = (bucket + AHEAD).min(last)..(bucket + 2 * AHEAD).min(last);
            shared.ask_for_buckets(&pin, side, ahead);
        }
        let mut end = side.layout.first_hash(bucket + 1);
        if state.next.is_some() && first < splitpoint {
            // A bucket of the next layout may reach beyond the splitpoint; the rest is still in
            // the current one.
            end = Some(end.map_or(splitpoint, |end| end.min(splitpoint)));
        }
        let words = (side.load(Which::Buckets, bucket), side.load(Which::Runs, run));
        if let Some(damage) = &mut damage {
            damage.clear();
        }
        let mut damage = Damage(damage.as_deref_mut());
        let entries = collect(shared, &pin, side, bucket, (first, end), words, &mut damage)?;
        let now = shared.state.load(&pin);
        let (_, splitpoint_now) = now.side_of(first);
        // As for a miss: it counts if nothing has moved meanwhile.
        if std::ptr::eq(now, state)
            && splitpoint == splitpoint_now
            && same_page(side.load(Which::Buckets, bucket), words.0)
            && same_page(side.load(Which::Runs, run), words.1)
        {
            return Ok((entries, end));
        }
    }
}

/// Where damage is noted, if it is not to end a scan.
struct Damage<'d>(Option<&'d mut Vec<Error>>);

impl Damage<'_> {
    /// `None` in the place of what is damaged. Other errors end a scan all the same.
    fn pass<T>(&mut self, result: Result<T>) -> Result<Option<T>> {
        match (result, &mut self.0) {
            (Err(error @ Error::Corruption(_)), Some(noted)) => {
                noted.push(error);
                Ok(None)
            }
            (result, _) => result.map(Some),
        }
    }
}

fn collect(
    shared: &Shared,
    pin: &Pin<'_>,
    side: &Side,
    bucket: u64,
    (first, end): (u64, Option<u64>),
    (bucket_word, chain_word): (u64, u64),
    damage: &mut Damage<'_>,
) -> Result<Vec<Entry>> {
    let run = Layout::run_of(bucket);
    let mut entries: Vec<Entry> = Vec::new();
    let mut large_len = 0_u64;
    let mut add = |page: &Page<'_>, damage: &mut Damage<'_>| -> Result<()> {
        // A slot that the writer emptied since is no damage: pages are checked when touched.
        let records = bucket::records(page.view())
            .flatten()
            .map(|(_, _, record)| (record_hash(&record, shared.parameters.hash_seed), record));
        let is_wanted = |hash: u64| {
            let in_range = hash >= first && end.is_none_or(|end| hash < end);
            in_range && side.layout.bucket_of(hash) == bucket
        };
        let mut records: Vec<(u64, Record<'_>)> =
            records.filter(|(hash, _)| is_wanted(*hash)).collect();
        in_file_order(shared, pin, &mut records);
        for (hash, record) in records {
            if let Record::Large(large, _) = &record {
                let sum = large_len.saturating_add(large.len());
                if damage.pass(shared.check_large_len(large, sum))?.is_none() {
                    continue;
                }
            }
            let owned = damage.pass(to_owned(shared, pin, &record))?;
            if let (Record::Large(large, _), Some(_)) = (&record, &owned) {
                large_len += large.len();
            }
            entries.extend(owned.map(|(key, value)| (hash, key, value)));
        }
        Ok(())
    };
    let slot = side.word(Which::Buckets, bucket);
    let page = shared.page(pin, side, Which::Buckets, bucket, bucket_word, Some(slot));
    let page = damage.pass(page)?;
    if let Some(None) = page {
        return Ok(entries);
    }
    if let Some(Some(page)) = &page {
        add(page, damage)?;
    }
    // A page that is lost may have had records in overflow.
    if page.flatten().is_none_or(|page| bucket::has_overflow(page.view())) {
        let mut word = chain_word;
        let mut slot = Some(side.word(Which::Runs, run));
        // Pages of the file do not change while they are pinned: none comes twice, or it is a circle,
        // of which each round would be copied.
        let mut seen = BTreeSet::new();
        for len in 0.. {
            shared.check_chain_len(len, word)?;
            if let Some(page) = Pointer::page_of(word)
                && !seen.insert(page)
            {
                damage.pass(Err::<(), _>(shared.circle(page, len)))?;
                break;
            }
            let page = shared.page(pin, side, Which::Runs, run, word, slot.take());
            let Some(Some(page)) = damage.pass(page)? else { break };
            add(&page, damage)?;
            word = page.next();
        }
    }
    // An update may have been seen in both its places: either will do, it is not acknowledged yet.
    entries.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    entries.dedup_by(|later, earlier| later.1 == earlier.1);
    Ok(entries)
}

/// Orders records as their values stand in the file, and asks for those that may not be in memory.
fn in_file_order(shared: &Shared, pin: &Pin<'_>, records: &mut [(u64, Record<'_>)]) {
    if !shared.has_large() {
        return;
    }
    let large = |record: &Record<'_>| match record {
        Record::Large(large, _) => Some(*large),
        Record::Inline { .. } => None,
    };
    records.sort_by_key(|(_, record)| large(record).map(|large| large.place));
    let all = records.iter().filter_map(|(_, record)| large(record));
    if shared.is_cold() || all.clone().any(|large| !shared.is_known(&large)) {
        let mut places: Vec<(u64, u64)> = all.map(|large| (large.offset(), large.len())).collect();
        shared.ask_for_large(pin, &mut places);
    }
}

fn to_owned(shared: &Shared, pin: &Pin<'_>, record: &Record<'_>) -> Result<(Vec<u8>, Vec<u8>)> {
    match record {
        Record::Inline { key, value } => Ok((key.to_vec(), value.to_vec())),
        Record::Large(large, key) => {
            let bytes = shared.large_bytes(pin, large)?;
            let len = usize::try_from(large.value_len).unwrap_or(usize::MAX);
            let fault = || {
                let page = large.first_page(shared.parameters.page_size);
                Fault::new(crate::Promise::RecordBounds, large.len(), bytes.len() as u64)
                    .at(&shared.path, Place::Page(page))
            };
            let (value, behind) = bytes.split_at_checked(len).ok_or_else(fault)?;
            let key = if large.has_long_key() { behind } else { key };
            Ok((key.to_vec(), value.to_vec()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{bucket_from, in_file_order, record_hash};
    use crate::page::bucket;
    use crate::page::record::Record;
    use crate::pager::Which;
    use crate::table::tests_support::{Built, key, value};

    #[test]
    fn values_are_read_in_the_order_of_the_file() {
        let mut built = Built::new(4096, 1, 8 << 20);
        (0..40)
            .for_each(|i| _ = built.insert(&key(i), &value(i, if i % 9 == 0 { 9 } else { 1500 })));
        let shared = built.table.shared();
        let pin = shared.epoch.pin();
        let side = &shared.state.load(&pin).current;
        let word = side.load(Which::Buckets, 0);
        let page = shared.page(&pin, side, Which::Buckets, 0, word, None).unwrap().unwrap();
        let mut records: Vec<(u64, Record<'_>)> = bucket::records(page.view())
            .map(|found| found.unwrap().2)
            .map(|record| (record_hash(&record, 11), record))
            .collect();
        let places = |records: &[(u64, Record<'_>)]| -> Vec<Option<u64>> {
            let place = |record: &Record<'_>| match record {
                Record::Large(large, _) => Some(large.place),
                Record::Inline { .. } => None,
            };
            records.iter().map(|(_, record)| place(record)).collect()
        };
        assert!(!places(&records).is_sorted(), "in the order of slots they jump");
        in_file_order(shared, &pin, &mut records);
        assert!(places(&records).is_sorted());
        assert!(places(&records).contains(&None) && places(&records).len() > 8);
    }
    /// A file of a megabyte could have every record of a page say that its value is all of the file, and
    /// a scan copied them all.
    #[test]
    fn values_that_lie_over_each_other_are_not_copied_without_end() {
        let mut built = Built::new(4096, 1, 8 << 20);
        built.insert(&key(0), &value(0, 20_000));
        let shared = built.table.shared().clone();
        let (pager, state) =
            (&mut built.table.pager, shared.state.load(&shared.epoch.pin()).current.clone());
        let frame = pager.private_bucket(&state, 0).unwrap().unwrap();
        let large =
            bucket::records(shared.arena.view(frame)).flatten().find_map(|(_, _, record)| {
                match record {
                    Record::Large(large, _) => Some(large),
                    Record::Inline { .. } => None,
                }
            });
        for i in 1..60 {
            let key = key(i);
            let hash = crate::hash::hash(&key, crate::table::tests_support::SEED);
            assert!(pager.edit(frame).insert(
                &shared.shape,
                hash,
                &Record::Large(large.unwrap(), &key)
            ));
        }
        let most = usize::try_from(shared.file_len()).unwrap() / 20_000;
        assert!(most < 59);
        let Err(crate::Error::Corruption(error)) = bucket_from(&shared, 0, None) else {
            panic!("read")
        };
        assert_eq!(error.promise, crate::Promise::ValueOverlap);
        let mut damage = Vec::new();
        let (entries, _) = bucket_from(&shared, 0, Some(&mut damage)).unwrap();
        assert_eq!((entries.len(), damage.len()), (most, 60 - most));
    }
}
