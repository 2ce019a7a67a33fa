//! Scans: all records in hash order, a bucket at a time.
//!
//! A scan holds no pin between two buckets, and its place is a hash, not a page: so it never delays
//! anyone, and goes on through resizes, checkpoints and restarts. Records with equal hashes are
//! always yielded together. A key that is present throughout is yielded exactly once.

use super::get::same_page;
use super::record_hash;
use crate::error::{Fault, Place, Result};
use crate::layout::Layout;
use crate::page::bucket;
use crate::page::record::Record;
use crate::pager::{Page, Pin, Shared, Side, Which};

/// A record, with its hash.
pub(crate) type Entry = (u64, Vec<u8>, Vec<u8>);

/// The records of one bucket from a hash on, in hash order, and the hash where the next begin;
/// `None` after the last.
pub(crate) fn bucket_from(shared: &Shared, first: u64) -> Result<(Vec<Entry>, Option<u64>)> {
    let pin = shared.epoch.pin();
    shared.check_open()?;
    loop {
        let state = shared.state.load(&pin);
        let (side, splitpoint) = state.side_of(first);
        let bucket = side.layout.bucket_of(first);
        let run = Layout::run_of(bucket);
        let mut end = side.layout.first_hash(bucket + 1);
        if state.next.is_some() && first < splitpoint {
            // A bucket of the next layout may reach beyond the splitpoint; the rest is still in
            // the current one.
            end = Some(end.map_or(splitpoint, |end| end.min(splitpoint)));
        }
        let words = (side.load(Which::Buckets, bucket), side.load(Which::Runs, run));
        let entries = collect(shared, &pin, side, bucket, (first, end), words)?;
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

fn collect(
    shared: &Shared,
    pin: &Pin<'_>,
    side: &Side,
    bucket: u64,
    (first, end): (u64, Option<u64>),
    (bucket_word, chain_word): (u64, u64),
) -> Result<Vec<Entry>> {
    let run = Layout::run_of(bucket);
    let mut entries: Vec<Entry> = Vec::new();
    let mut add = |page: &Page<'_>| -> Result<()> {
        for found in bucket::records(page.view()) {
            // A slot that the writer emptied since is no damage: pages are checked when touched.
            let Ok((_, _, record)) = found else { continue };
            let hash = record_hash(&record, shared.parameters.hash_seed);
            let in_range = hash >= first && end.is_none_or(|end| hash < end);
            if in_range && side.layout.bucket_of(hash) == bucket {
                let (key, value) = to_owned(shared, pin, &record)?;
                entries.push((hash, key, value));
            }
        }
        Ok(())
    };
    let slot = side.word(Which::Buckets, bucket);
    let Some(page) = shared.page(pin, side, Which::Buckets, bucket, bucket_word, Some(slot))?
    else {
        return Ok(entries);
    };
    add(&page)?;
    if bucket::has_overflow(page.view()) {
        let mut word = chain_word;
        let mut slot = Some(side.word(Which::Runs, run));
        for len in 0.. {
            shared.check_chain_len(len, word)?;
            let page = shared.page(pin, side, Which::Runs, run, word, slot.take())?;
            let Some(page) = page else { break };
            add(&page)?;
            word = page.next();
        }
    }
    // An update may have been seen in both its places: either will do, it is not acknowledged yet.
    entries.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    entries.dedup_by(|later, earlier| later.1 == earlier.1);
    Ok(entries)
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
