//! What the writer commits: commit `n` of a thread follows from the seed, the thread and `n`, so
//! whoever reads the file knows what must stand in it. Each thread has keys of its own.
//!
//! In each commit but the single removal the thread's counter is set to `n`; so a file tells how
//! many commits of each thread it has. Knows nothing of who kills whom.

use std::collections::BTreeMap;

use splitpoint::simulation::Rng;
use splitpoint::{Batch, Durability, Error, Index, Lsn};

/// Threads that commit beside each other.
pub(crate) const THREADS: usize = 3;
/// Keys of a thread that come and go.
const KEYS: usize = 120;
/// Commits come in rounds of so many.
const ROUND: u64 = 7;

/// One change of one key: removed without a value.
type Change = (Vec<u8>, Option<Vec<u8>>);

/// One commit: by which call, and what it changes.
pub(crate) struct Commit {
    by: Call,
    changes: Vec<Change>,
}

/// The methods of an index that commit.
enum Call {
    Batch,
    Insert,
    Remove,
    Update,
}

fn counter_key(thread: usize) -> Vec<u8> {
    format!("thread {thread} counter").into_bytes()
}

/// There between the commits 2 and 3 of a round.
fn marker_key(thread: usize) -> Vec<u8> {
    format!("thread {thread} marker").into_bytes()
}

fn key(thread: usize, which: usize) -> Vec<u8> {
    format!("thread {thread} key {which}").into_bytes()
}

fn value(n: u64, rng: &mut Rng) -> Vec<u8> {
    let len = match rng.below(60) {
        0 => 20_000 + rng.below(40_000),
        1..5 => 1_000 + rng.below(5_000),
        _ => rng.below(150),
    };
    let mut value = vec![0; 8 + len];
    rng.fill(&mut value);
    value.splice(..8, n.to_le_bytes());
    value
}

/// The commit `n`, counted from 1, of a thread.
pub(crate) fn commit(seed: u64, thread: usize, n: u64) -> Commit {
    let mut rng = Rng::new(seed ^ (n << 8) ^ thread as u64);
    let counter = (counter_key(thread), Some(value(n, &mut rng)));
    let batch = |len: usize, removals: usize, rng: &mut Rng| {
        let mut changes = Vec::new();
        for place in 0..len {
            let which = if len == KEYS { place } else { rng.below(KEYS) };
            let is_removed = rng.below(8) < removals;
            changes.push((key(thread, which), (!is_removed).then(|| value(n, rng))));
        }
        changes.push(counter.clone());
        Commit { by: Call::Batch, changes }
    };
    // Now and then all keys come or go, so that the table grows and shrinks.
    let tide = rng.below(12) == 0;
    match n % ROUND {
        0 if tide => batch(KEYS, 0, &mut rng),
        6 if tide => batch(KEYS, 8, &mut rng),
        0 | 4 => batch(1 + rng.below(20), 2, &mut rng),
        6 => batch(1 + rng.below(20), 6, &mut rng),
        1 => Commit { by: Call::Insert, changes: vec![counter] },
        2 => {
            let mut commit = batch(rng.below(5), 2, &mut rng);
            commit.changes.push((marker_key(thread), Some(value(n, &mut rng))));
            commit
        }
        3 => Commit { by: Call::Remove, changes: vec![(marker_key(thread), None)] },
        _ => Commit { by: Call::Update, changes: vec![counter] },
    }
}

impl Commit {
    /// Makes it; the LSN if the call tells it.
    pub(crate) fn make(self, index: &Index, durability: Durability) -> Result<Option<Lsn>, Error> {
        let mut changes = self.changes;
        match (self.by, changes.pop()) {
            (Call::Insert, Some((key, Some(value)))) => index.insert(key, value).map(|_| None),
            (Call::Remove, Some((key, _))) => index.remove(key).map(|_| None),
            (Call::Update, Some((key, value))) => index.update(key, |_| value).map(|_| None),
            (_, last) => {
                let mut batch = Batch::new();
                for (key, value) in changes.into_iter().chain(last) {
                    match value {
                        Some(value) => batch.insert(key, value),
                        None => batch.remove(key),
                    };
                }
                index.commit_with(batch, durability).map(Some)
            }
        }
    }

    /// Makes it in a model.
    pub(crate) fn apply(self, model: &mut BTreeMap<Vec<u8>, Vec<u8>>) {
        for (key, value) in self.changes {
            match value {
                Some(value) => model.insert(key, value),
                None => model.remove(&key),
            };
        }
    }
}

/// How many commits of a thread an index has.
pub(crate) fn survived(index: &Index, thread: usize) -> Result<u64, Error> {
    let Some(counter) = index.get(counter_key(thread))? else { return Ok(0) };
    let n = counter.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let is_removed = n % ROUND == 2 && !index.contains_key(marker_key(thread))?;
    Ok(n + u64::from(is_removed))
}
