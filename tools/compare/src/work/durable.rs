//! Writes that are on the disk when the call returns, alone and beside a reader.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::bench::{Bench, time_gets, verify};
use crate::data::{Batch, Probes, mix};
use crate::store::{Need, Result, Setup, Sink, Store};

const SINGLES: [(&str, usize); 2] = [("durable-1", 1), ("durable-8", 8)];

fn durable(bench: &Bench) -> Setup {
    Setup { durable: true, ..bench.setup() }
}

pub fn run(bench: &mut Bench, store: Box<dyn Store>) -> Result<Box<dyn Store>> {
    if !bench.goes(Need::Durable, &["durable-batch", "durable-1", "durable-8"]) {
        return Ok(store);
    }
    let store = bench.reopen(store, &durable(bench))?;
    // Records that no other work asks for.
    let next = AtomicU64::new(bench.records * 4);
    if bench.wants("durable-batch") {
        let mut batch = Batch::new(bench.shape);
        let (mut taken, mut count) = (Duration::ZERO, 0);
        while taken < bench.span() {
            let first = next.fetch_add(1000, Ordering::Relaxed);
            batch.fill(first..first + 1000, 0);
            let started = Instant::now();
            store.write(&batch)?;
            taken += started.elapsed();
            count += 1;
        }
        bench.row("durable-batch", taken.as_secs_f64() * 1e6 / f64::from(count));
    }
    for (name, threads) in SINGLES {
        if bench.wants(name) {
            bench.row(name, singles(bench, &*store, threads, &next)?);
        }
    }
    bench.add(bench.records * 4..next.into_inner());
    Ok(store)
}

fn singles(bench: &Bench, store: &dyn Store, threads: usize, next: &AtomicU64) -> Result<f64> {
    let (span, shape) = (bench.span(), bench.shape);
    let first = next.load(Ordering::Relaxed);
    let started = Instant::now();
    std::thread::scope(|scope| {
        let insert = || -> Result<()> {
            let mut batch = Batch::new(shape);
            while started.elapsed() < span {
                let record = next.fetch_add(1, Ordering::Relaxed);
                store.write(batch.fill(record..record + 1, 0))?;
            }
            Ok(())
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(insert)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a writer panicked")?)
    })?;
    let taken = started.elapsed();
    let count = next.load(Ordering::Relaxed) - first;
    Ok(taken.as_secs_f64() * 1e6 / count as f64)
}

/// A reader alone, then beside a writer that commits without pause.
pub fn run_beside(bench: &mut Bench, store: Box<dyn Store>) -> Result<Box<dyn Store>> {
    if !bench.goes(Need::Write, &["beside-alone", "beside-reader", "beside-writer"]) {
        return Ok(store);
    }
    let store = bench.reopen(store, &durable(bench))?;
    super::reads::warm(bench, &mut *store.reader()?)?;
    let hits = bench.hits(5, bench.lookups());
    bench.row("beside-alone", time_gets(&mut *store.reader()?, &hits, true)?);
    let stop = AtomicBool::new(false);
    let (read, written) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| commit_until(bench, &*store, &stop));
        let read = read_on(bench, &*store, &hits);
        stop.store(true, Ordering::Relaxed);
        (read, writer.join())
    });
    bench.row("beside-reader", read?);
    bench.row("beside-writer", written.map_err(|_| "the writer panicked")??);
    Ok(store)
}

/// The reader: at least so long that the writer commits, with a new snapshot every 1,000 lookups.
fn read_on(bench: &Bench, store: &dyn Store, hits: &Probes) -> Result<f64> {
    let mut reader = store.reader()?;
    let (mut sink, mut count, mut sum) = (Sink::default(), 0, 0_u64);
    let started = Instant::now();
    while started.elapsed() < bench.span() / 2 {
        for (keys, records) in
            hits.keys().bytes.chunks(1000 * bench.shape.key).zip(hits.records.chunks(1000))
        {
            for key in keys.chunks_exact(bench.shape.key) {
                reader.get(key, &mut sink)?;
            }
            reader.release();
            count += records.len() as u64;
        }
        sum = sum.wrapping_add(hits.sum());
    }
    let nanos = started.elapsed().as_nanos() as f64 / count as f64;
    verify(&sink, count, sum)?;
    Ok(nanos)
}

/// The writer: microseconds for each commit of 100 updates.
fn commit_until(bench: &Bench, store: &dyn Store, stop: &AtomicBool) -> Result<f64> {
    let mut batch = Batch::new(bench.shape);
    let (mut taken, mut count) = (Duration::ZERO, 0_u64);
    while !stop.load(Ordering::Relaxed) {
        count += 1;
        batch.fill((0..100).map(|i| mix(count * 100 + i) % bench.records), count);
        let started = Instant::now();
        store.write(&batch)?;
        taken += started.elapsed();
    }
    Ok(taken.as_secs_f64() * 1e6 / count.max(1) as f64)
}
