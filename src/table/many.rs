//! Many lookups at once, in waves, so that the memory of all is on its way together: the entries of
//! the directory, then the cells of the pages, then the records, then what is left of their values.
//!
//! The waves are guesses. A record that they led to and that has the key is a hit like any other
//! (*believe a hit*); whatever else they found is looked up anew by `get_hashed`. Knows nothing of
//! who asks.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::get::{Hit, get_hashed, large_hit};
use crate::error::Result;
use crate::hash::hash;
use crate::page::bucket::home_cell;
use crate::page::candidate::{Candidate, Glance};
use crate::page::record::Record;
use crate::page::{HEADER_SIZE, LINE_SIZE, View, prefetch};
use crate::pager::{Page, Pin, Shared, State, Which};

/// Keys that are on their way together: more than the lines that a core can wait for at once, and
/// few enough that what was fetched is still in its first cache when it is used.
pub(crate) const LANES: usize = 32;
/// How many lookups ahead the rest of a value is asked for.
const VALUES_AHEAD: usize = 4;
/// Lines of a record that are asked for before its length is known, at most.
const LINES_MAX: usize = 4;
/// Lines of a large value that are asked for whoever reads it.
const LARGE_LINES: usize = 2;
/// The length of the first value, as far as anybody knows.
const USUAL_LEN: usize = 100;

/// How many times longer than a wave's pages its values may take before it is called waiting.
const COPIES_TAKE: u32 = 8;
/// Bytes of a record before its key, at most.
const RECORD_HEADER: usize = 5;
/// Keys whose pages are asked for together if lookups wait for the device.
const BATCH: usize = 32 * LANES;

/// What the caller does with values.
#[derive(Clone, Copy)]
pub(crate) enum ValueUse {
    /// Keeps them, to look at them later.
    Keep,
    /// Reads each when it gets it.
    Read,
    /// Copies so many bytes of each when it gets it.
    Copy(usize),
}

/// One key of a wave.
#[derive(Clone, Copy, Default)]
struct Lane<'p> {
    hash: u64,
    /// The word of its bucket.
    word: Option<&'p AtomicU64>,
    /// Its bucket's page and the page's cell count.
    page: Option<(View<'p>, usize)>,
    /// The first record with its tag.
    candidate: Option<Candidate<'p>>,
}

/// Calls `found` with each key's place in `keys` and its value, in the keys' order.
pub(crate) fn get_many<'p, K: AsRef<[u8]>>(
    shared: &'p Shared,
    pin: &'p Pin<'_>,
    keys: &[K],
    values: ValueUse,
    mut found: impl FnMut(usize, Option<Hit<'p>>) -> Result<()>,
) -> Result<()> {
    let mut lanes = [Lane::default(); LANES];
    // Of each value, what is read at once. Values are most likely as long as the one before.
    let mut value_len = match values {
        ValueUse::Keep => 0,
        ValueUse::Read => shared.parameters.value_size.unwrap_or(USUAL_LEN),
        ValueUse::Copy(len) => len,
    };
    for (batch, keys) in keys.chunks(BATCH).enumerate() {
        let is_cold = shared.is_cold();
        if is_cold {
            ask(shared, pin, keys);
        }
        let mut waited = Duration::ZERO;
        for (wave, keys) in keys.chunks(LANES).enumerate() {
            let first = batch * BATCH + wave * LANES;
            let lanes = lanes.get_mut(..keys.len()).unwrap_or_default();
            let state = shared.state.load(pin);
            for (lane, key) in lanes.iter_mut().zip(keys) {
                lane.hash = hash(key.as_ref(), shared.parameters.hash_seed);
                let (side, _) = state.side_of(lane.hash);
                let word = side.word(Which::Buckets, side.layout.bucket_of(lane.hash));
                prefetch(word);
                lane.word = Some(word);
            }
            let lines =
                lines_of(shared, keys.first().map_or(0, |key| key.as_ref().len()), value_len);
            waited = waited.max(fetch(shared, pin, state, lanes, lines));
            if shared.has_large() && (is_cold || shared.is_cold()) {
                ask_for_values(shared, pin, lanes);
            }
            let started = matches!(values, ValueUse::Copy(_)).then(Instant::now);
            look(shared, pin, keys, lanes, (lines, value_len), |i, hit| {
                if let (ValueUse::Read, Some(hit)) = (values, &hit) {
                    value_len = hit.len();
                }
                found(first + i, hit)
            })?;
            // Values may be elsewhere than their records. A caller that said how much it reads copies
            // it meanwhile: only what takes many times as long is a wait for the device.
            let copied = started.map_or(Duration::ZERO, |started| started.elapsed());
            waited = waited.max(copied / COPIES_TAKE);
        }
        // The longest wave tells: what was asked for with its pages is there for the others.
        shared.note_wait(waited);
    }
    Ok(())
}

/// Lines of a record that are worth asking for together with its first.
fn lines_of(shared: &Shared, key_len: usize, value_len: usize) -> usize {
    let len = RECORD_HEADER + key_len + value_len;
    let is_large = len > shared.parameters.inline_max;
    let len = if is_large { len - value_len } else { len };
    // It begins anywhere in its first line.
    (len.div_ceil(LINE_SIZE) + 1).min(LINES_MAX)
}

/// The last wave: looks the keys up, and asks for values some keys ahead.
#[inline]
fn look<'p, K: AsRef<[u8]>>(
    shared: &'p Shared,
    pin: &'p Pin<'_>,
    keys: &[K],
    lanes: &[Lane<'p>],
    (lines, value_len): (usize, usize),
    mut found: impl FnMut(usize, Option<Hit<'p>>) -> Result<()>,
) -> Result<()> {
    let reads_on = value_len + RECORD_HEADER > lines * LINE_SIZE || shared.has_large();
    if reads_on {
        for lane in lanes.iter().take(VALUES_AHEAD) {
            fetch_value(shared, pin, lane, (lines, value_len));
        }
    }
    for (i, (key, lane)) in keys.iter().zip(lanes).enumerate() {
        if let (true, Some(ahead)) = (reads_on, lanes.get(i + VALUES_AHEAD)) {
            fetch_value(shared, pin, ahead, (lines, value_len));
        }
        let key = key.as_ref();
        // Believed: if the record that the waves led to has the key, it is a hit.
        let glance = match lane.candidate {
            Some(candidate) => match candidate.value(&shared.shape, key) {
                Some(value) => Glance::Hit(value),
                None => candidate.look(&shared.shape, key),
            },
            None => Glance::Unknown,
        };
        let hit = match glance {
            Glance::Hit(value) => Some(Hit::Inline(value)),
            Glance::Large(large) => Some(large_hit(shared, pin, &large)?),
            Glance::Nowhere | Glance::Unknown => get_hashed(shared, pin, key, lane.hash)?,
        };
        found(i, hit)?;
    }
    Ok(())
}

/// Asks the system for the pages of all keys, so that the device has them all to do at once.
#[cold]
fn ask(shared: &Shared, pin: &Pin<'_>, keys: &[impl AsRef<[u8]>]) {
    let state = shared.state.load(pin);
    for key in keys {
        let hash = hash(key.as_ref(), shared.parameters.hash_seed);
        let (side, _) = state.side_of(hash);
        shared.ask_for_buckets(pin, side, std::iter::once(side.layout.bucket_of(hash)));
    }
}

/// As `ask`, for the large values that a wave has found.
#[cold]
fn ask_for_values(shared: &Shared, pin: &Pin<'_>, lanes: &[Lane<'_>]) {
    let large = lanes.iter().filter_map(|lane| match lane.candidate?.record(&shared.shape)? {
        Record::Large(large, _) => Some((large.offset(), large.len())),
        Record::Inline { .. } => None,
    });
    shared.ask_for_large(pin, &mut large.collect::<Vec<_>>());
}

/// Two waves: each asks for what the next one reads, the last for so many lines of a record.
/// Returns how long the pages took.
#[inline]
fn fetch<'p>(
    shared: &'p Shared,
    pin: &'p Pin<'_>,
    state: &State,
    lanes: &mut [Lane<'p>],
    lines: usize,
) -> Duration {
    for lane in &mut *lanes {
        let word = lane.word.map_or(0, |word| word.load(Ordering::SeqCst));
        lane.page = shared.known_page(pin, word);
        if let Some((view, cells)) = lane.page {
            view.prefetch(HEADER_SIZE + home_cell(lane.hash, cells) * LINE_SIZE);
        }
    }
    let started = Instant::now();
    for lane in &mut *lanes {
        lane.candidate = None;
        if lane.page.is_none() {
            lane.page = first_touch(shared, pin, state, lane.hash);
        }
        let Some((view, cells)) = lane.page else { continue };
        lane.candidate = Candidate::find(view, &shared.shape, cells, lane.hash);
        let Some(candidate) = &lane.candidate else { continue };
        prefetch_lines(candidate.bytes(), 0..lines);
    }
    started.elapsed()
}

/// The page of a hash, if it is one of the file that was not looked at before. What is wrong with it
/// is for the lookup to say.
#[cold]
fn first_touch<'p>(
    shared: &'p Shared,
    pin: &'p Pin<'_>,
    state: &State,
    hash: u64,
) -> Option<(View<'p>, usize)> {
    if !shared.notes_checks() {
        return None;
    }
    let (side, _) = state.side_of(hash);
    let bucket = side.layout.bucket_of(hash);
    let slot = side.word(Which::Buckets, bucket);
    let word = side.load(Which::Buckets, bucket);
    match shared.page(pin, side, Which::Buckets, bucket, word, Some(slot)) {
        Ok(Some(Page::Shared { view, cell_count })) => Some((view, cell_count)),
        _ => None,
    }
}

/// Asks for the value of a record that is in memory, as far as it is read. The first lines were
/// asked for before.
fn fetch_value(
    shared: &Shared,
    pin: &Pin<'_>,
    lane: &Lane<'_>,
    (lines, value_len): (usize, usize),
) {
    let Some(candidate) = &lane.candidate else { return };
    match candidate.record(&shared.shape) {
        Some(Record::Inline { key, value }) => {
            let len = key.len() + value.len().min(value_len);
            prefetch_lines(candidate.bytes(), lines..len / LINE_SIZE + 1);
        }
        Some(Record::Large(large, _)) => {
            shared.prefetch_large(pin, &large, value_len.max(LARGE_LINES * LINE_SIZE));
        }
        None => {}
    }
}

/// Asks the processor for some lines from a record's start on; beyond the page that is vain.
#[inline]
fn prefetch_lines(record: &[u8], lines: Range<usize>) {
    for line in lines {
        prefetch(record.as_ptr().wrapping_add(line * LINE_SIZE));
    }
}
