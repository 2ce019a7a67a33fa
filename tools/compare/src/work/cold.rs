//! Lookups when nothing of the file is in memory, and the bytes that they read from the device.

use super::bench::{Bench, time_gets, time_many};
use crate::data::Probes;
use crate::machine;
use crate::store::{Need, Result, Setup, Store};

const WORKS: [&str; 6] = [
    "cold-hit",
    "cold-hit-bytes",
    "cold-miss",
    "cold-miss-bytes",
    "cold-many-100",
    "cold-many-bytes",
];

pub fn run(bench: &mut Bench, store: Box<dyn Store>) -> Result<Box<dyn Store>> {
    if !bench.goes(Need::Reopen, &WORKS) {
        return Ok(store);
    }
    store.close()?;
    let count = if bench.task.quick { 200 } else { 2000 };
    let (hits, misses) = (bench.hits(11, count), bench.misses(12, count));
    let many = bench.hits(13, count);
    for (works, probes, size) in [
        (["cold-hit", "cold-hit-bytes"], &hits, 0),
        (["cold-miss", "cold-miss-bytes"], &misses, 1),
        (["cold-many-100", "cold-many-bytes"], &many, 100),
    ] {
        if bench.wants_any(&works) {
            let (nanos, bytes) = look(bench, probes, size)?;
            bench.row(works[0], nanos);
            bench.row(works[1], bytes);
        }
    }
    bench.open(&bench.setup())
}

/// Opens from a cold cache, then looks up: single hits (size 0), single misses (1), or batches.
/// What the open reads is not counted.
pub fn look(bench: &Bench, probes: &Probes, size: usize) -> Result<(f64, f64)> {
    machine::evict(&bench.task.folder, bench.task.drop_caches)?;
    let store = bench.open(&Setup { cold: true, ..bench.setup() })?;
    machine::evict(&bench.task.folder, false)?;
    let mut reader = store.reader()?;
    let before = machine::bytes_read()?;
    let nanos = match size {
        0 => time_gets(&mut *reader, probes, true)?,
        1 => time_gets(&mut *reader, probes, false)?,
        _ => time_many(&mut *reader, probes, size)?,
    };
    let read = machine::bytes_read()? - before;
    drop(reader);
    store.close()?;
    Ok((nanos, read as f64 / probes.len() as f64))
}
