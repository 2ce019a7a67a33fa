//! The suites that load a table and do things to it, in order: what changes it comes last.

use super::bench::{Bench, time_gets, time_many};
use super::load::{Loaded, load};
use super::{alter, cold, durable, limited, open, reads};
use crate::store::{Need, Result};

pub fn run(bench: &mut Bench) -> Result<()> {
    if !bench.goes(Need::Read, &reads::ALL) && !bench.can(Need::Read) {
        // A reference for durable writes needs no table.
        let store = bench.open(&bench.setup())?;
        return durable::run(bench, store).and_then(|store| store.close());
    }
    let Loaded { mut store, synced, closed, disk } = load(bench, 1000)?;
    bench.row("load", Loaded::nanos(synced, bench.records));
    if bench.goes(Need::Reopen, &["load-closed", "disk"]) {
        bench.row("load-closed", Loaded::nanos(closed, bench.records));
        bench.row("disk", disk as f64 / bench.live as f64);
    }
    store = cold::run(bench, store)?;
    store = limited::run(bench, store)?;
    store = open::run(bench, store)?;
    store = reads::run(bench, store)?;
    store = durable::run_beside(bench, store)?;
    store = alter::run_ycsb(bench, store)?;
    store = alter::run_updates(bench, store)?;
    // For a time, not a number: the table of a fast store is the larger one afterwards.
    store = durable::run(bench, store)?;
    alter::run_deletes(bench, store)
}

/// Load, size and lookups of another shape.
pub fn run_short(bench: &mut Bench) -> Result<()> {
    let suite = bench.task.suite.clone();
    let name = |work: &str| format!("{suite}-{work}");
    let names = ["load", "disk", "hits-1", "misses-1", "many-100"].map(name);
    if !bench.goes(Need::Read, &names.each_ref().map(String::as_str)) {
        return Ok(());
    }
    let Loaded { store, synced, disk, .. } = load(bench, 1000)?;
    bench.row(&names[0], Loaded::nanos(synced, bench.records));
    if bench.goes(Need::Reopen, &[&names[1]]) {
        bench.row(&names[1], disk as f64 / bench.live as f64);
    }
    {
        let mut reader = store.reader()?;
        reads::warm(bench, &mut *reader)?;
        let (hits, misses) = (bench.hits(1, bench.lookups()), bench.misses(2, bench.lookups()));
        bench.row(&names[2], time_gets(&mut *reader, &hits, true)?);
        bench.row(&names[3], time_gets(&mut *reader, &misses, false)?);
        bench.row(&names[4], time_many(&mut *reader, &hits, 100)?);
    }
    store.close()
}
