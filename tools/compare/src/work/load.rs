//! Loading a table in random order.

use std::time::{Duration, Instant};

use super::bench::{Bench, time_writes};
use crate::data::shuffled;
use crate::machine;
use crate::store::{Need, Result, Store};

/// What a load took.
pub struct Loaded {
    pub store: Box<dyn Store>,
    pub synced: Duration,
    pub closed: Duration,
    /// Bytes on disk when it was closed.
    pub disk: u64,
}

impl Loaded {
    pub fn nanos(taken: Duration, records: u64) -> f64 {
        taken.as_nanos() as f64 / records as f64
    }
}

/// Loads, syncs, closes, measures the files and opens again.
pub fn load(bench: &mut Bench, size: usize) -> Result<Loaded> {
    let setup = bench.setup();
    let store = bench.open(&setup)?;
    let order = shuffled(bench.records, bench.task.round);
    let mut taken = time_writes(&*store, bench.shape, &order, size, 0)?;
    let started = Instant::now();
    let can_sync = store.sync()?;
    taken += started.elapsed();
    let synced = taken;
    let started = Instant::now();
    let store = if bench.can(Need::Reopen) {
        store.close()?;
        taken += started.elapsed();
        None
    } else {
        Some(store)
    };
    bench.live = bench.records;
    let disk = machine::disk_len(&setup.folder)?;
    let store = match store {
        Some(store) => store,
        None => bench.open(&setup)?,
    };
    Ok(Loaded { store, synced: if can_sync { synced } else { taken }, closed: taken, disk })
}
