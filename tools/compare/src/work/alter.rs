//! Changes to a loaded table: YCSB, random updates with the bytes that they write, delete all.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::bench::{Bench, time_writes, verify};
use crate::data::{Batch, Probes, Zipf, check_of, mix, shuffled, write_key};
use crate::machine;
use crate::store::{Need, Result, Sink, Store};

pub fn run_ycsb(bench: &mut Bench, mut store: Box<dyn Store>) -> Result<Box<dyn Store>> {
    if !bench.goes(Need::Write, &["ycsb-a", "ycsb-b"]) {
        return Ok(store);
    }
    store = bench.reopen(store, &bench.setup())?;
    super::reads::warm(bench, &mut *store.reader()?)?;
    let zipf = Zipf::new(bench.records, 0.99);
    for (name, updates) in [("ycsb-b", 5), ("ycsb-a", 50)] {
        if bench.wants(name) {
            bench.row(name, ycsb(bench, &*store, &zipf, updates)?);
        }
    }
    Ok(store)
}

/// Two threads for a time, then a sync; nanoseconds of wall time for each operation.
fn ycsb(bench: &Bench, store: &dyn Store, zipf: &Zipf, updates: u64) -> Result<f64> {
    let count = AtomicU64::new(0);
    // Drawn beforehand: the draw costs about as much as a fast lookup.
    let draws: Vec<u64> = (0..1 << 16).map(|i| zipf.draw(mix(mix(bench.task.round) ^ i))).collect();
    let started = Instant::now();
    std::thread::scope(|scope| {
        let thread = |seed: u64| {
            let (draws, count) = (&draws, &count);
            scope.spawn(move || client(bench, store, draws, updates, seed, started, count))
        };
        let threads = [thread(1), thread(2)];
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a client panicked")?)
    })?;
    store.sync()?;
    Ok(started.elapsed().as_nanos() as f64 / count.into_inner() as f64)
}

fn client(
    bench: &Bench,
    store: &dyn Store,
    draws: &[u64],
    updates: u64,
    seed: u64,
    started: Instant,
    count: &AtomicU64,
) -> Result<()> {
    let mut reader = store.reader()?;
    let (mut batch, mut key) = (Batch::new(bench.shape), vec![0; bench.shape.key]);
    let (mut sink, mut reads, mut sum, mut i) = (Sink::default(), 0, 0_u64, 0_u64);
    while i % 64 != 0 || started.elapsed() < bench.span() {
        let word = mix(seed << 48 ^ i);
        let record = draws[(word >> 32) as usize % draws.len()];
        i += 1;
        if word % 100 < updates {
            reader.release();
            store.write(batch.fill(std::iter::once(record), i))?;
        } else {
            write_key(record, &mut key);
            reader.get(&key, &mut sink)?;
            reader.release();
            reads += 1;
            sum = sum.wrapping_add(check_of(record));
        }
    }
    verify(&sink, reads, sum)?;
    count.fetch_add(i, Ordering::Relaxed);
    Ok(())
}

pub fn run_updates(bench: &mut Bench, mut store: Box<dyn Store>) -> Result<Box<dyn Store>> {
    if !bench.goes(Need::Write, &["update", "update-bytes", "disk-updated"]) {
        return Ok(store);
    }
    store = bench.reopen(store, &bench.setup())?;
    super::reads::warm(bench, &mut *store.reader()?)?;
    let records = (0..bench.records / 4).map(|i| mix(i ^ bench.task.round << 40) % bench.records);
    let records: Vec<u64> = records.collect();
    machine::flush(&bench.task.folder)?;
    let before = machine::bytes_written(&bench.task.folder);
    let mut taken = time_writes(&*store, bench.shape, &records, 100, 1 << 50)?;
    let started = Instant::now();
    store.sync()?;
    store = bench.reopen(store, &bench.setup())?;
    taken += started.elapsed();
    machine::flush(&bench.task.folder)?;
    let written = machine::bytes_written(&bench.task.folder)
        .zip(before)
        .map(|(after, before)| after - before);
    bench.row("update", taken.as_nanos() as f64 / records.len() as f64);
    if bench.goes(Need::Reopen, &["update-bytes", "disk-updated"]) {
        let given = records.len() as u64 * bench.shape.payload();
        if let Some(written) = written {
            bench.row("update-bytes", written as f64 / given as f64);
        }
        let disk = machine::disk_len(&bench.task.folder)?;
        bench.row("disk-updated", disk as f64 / bench.live as f64);
    }
    // Every record must still have a right value.
    super::reads::warm(bench, &mut *store.reader()?)?;
    Ok(store)
}

pub fn run_deletes(bench: &mut Bench, mut store: Box<dyn Store>) -> Result<()> {
    if !bench.goes(Need::Write, &["delete", "disk-deleted"]) {
        return store.close();
    }
    store = bench.reopen(store, &bench.setup())?;
    let all: Vec<u64> = (0..bench.records).chain(bench.added.iter().cloned().flatten()).collect();
    let order = shuffled(all.len() as u64, bench.task.round ^ 0xde1);
    let order = order.into_iter().map(|at| all[at as usize]).collect();
    let order = Probes::new(bench.shape, order);
    let started = Instant::now();
    for bytes in order.keys().bytes.chunks(1000 * bench.shape.key) {
        store.delete(crate::data::Keys { bytes, width: bench.shape.key })?;
    }
    if !store.sync()? {
        store = bench.reopen(store, &bench.setup())?;
    }
    bench.row("delete", started.elapsed().as_nanos() as f64 / all.len() as f64);
    {
        let mut reader = store.reader()?;
        let mut sink = Sink::default();
        for key in order.keys().iter().take(10_000) {
            reader.get(key, &mut sink)?;
        }
        verify(&sink, 0, 0)?;
    }
    store.close()?;
    if bench.goes(Need::Reopen, &["disk-deleted"]) {
        let disk = machine::disk_len(&bench.task.folder)?;
        bench.row("disk-deleted", disk as f64 / bench.live as f64);
    }
    Ok(())
}
