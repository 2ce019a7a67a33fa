//! Lookups in a table that is in memory.

use std::time::Instant;

use super::bench::{Bench, percentile, time_gets, time_many, verify};
use super::load::load;
use crate::data::{Keys, Probes};
use crate::store::{Need, Reader, Result, Sink, Store};

pub const ALL: [&str; 6] = ["hits-1", "misses-1", "hits-2", "misses-2", "many-100", "many-1000"];

/// Looks every record up once, and so fills the caches and proves that all are there.
pub fn warm(bench: &Bench, reader: &mut dyn Reader) -> Result<()> {
    let all = Probes::new(bench.shape, (0..bench.records).collect());
    time_many(reader, &all, 1000)?;
    Ok(())
}

pub fn run(bench: &mut Bench, store: Box<dyn Store>) -> Result<Box<dyn Store>> {
    if !bench.wants_any(&ALL) {
        return Ok(store);
    }
    let store = bench.reopen(store, &bench.setup())?;
    {
        let mut reader = store.reader()?;
        warm(bench, &mut *reader)?;
        let (hits, misses) = (bench.hits(1, bench.lookups()), bench.misses(2, bench.lookups()));
        bench.row("hits-1", time_gets(&mut *reader, &hits, true)?);
        bench.row("misses-1", time_gets(&mut *reader, &misses, false)?);
        bench.row("many-100", time_many(&mut *reader, &hits, 100)?);
        bench.row("many-1000", time_many(&mut *reader, &hits, 1000)?);
    }
    for (work, present) in [("hits-2", true), ("misses-2", false)] {
        if bench.wants(work) {
            bench.row(work, two_threads(bench, &*store, present)?);
        }
    }
    Ok(store)
}

fn two_threads(bench: &Bench, store: &dyn Store, present: bool) -> Result<f64> {
    let count = bench.lookups();
    let draw = |seed| if present { bench.hits(seed, count) } else { bench.misses(seed, count) };
    let probes = [draw(3), draw(4)];
    let gate = std::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        let threads = probes.each_ref().map(|probes| {
            let gate = &gate;
            scope.spawn(move || {
                gate.wait();
                let started = Instant::now();
                let mut reader = store.reader()?;
                time_gets(&mut *reader, probes, present)?;
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>((started, Instant::now()))
            })
        });
        // By the threads' own clocks: whoever waits for them may be woken late.
        let mut spans = Vec::new();
        for thread in threads {
            spans.push(thread.join().map_err(|_| "a reader panicked")??);
        }
        let first = spans.iter().map(|span| span.0).min();
        let last = spans.iter().map(|span| span.1).max();
        let taken = first.zip(last).ok_or("no reader")?;
        Ok((taken.1 - taken.0).as_nanos() as f64 / (2 * count) as f64)
    })
}

/// Feature serving: requests of 1,000 random keys with values of 10 floats.
pub fn run_features(bench: &mut Bench) -> Result<()> {
    let names = ["features-p50", "features-p99", "features-p999"];
    if !bench.goes(Need::Read, &names) {
        return Ok(());
    }
    let store = load(bench, 1000)?.store;
    let requests = if bench.task.quick { 100 } else { 3000 };
    {
        let mut reader = store.reader()?;
        warm(bench, &mut *reader)?;
        let probes = bench.hits(1, requests * 1000);
        let (mut sink, mut times) = (Sink::default(), Vec::new());
        let width = bench.shape.key;
        for bytes in probes.keys().bytes.chunks(1000 * width) {
            let started = Instant::now();
            reader.get_many(Keys { bytes, width }, &mut sink)?;
            times.push(started.elapsed().as_nanos() as u64);
        }
        verify(&sink, probes.len(), probes.sum())?;
        times.sort_unstable();
        for (name, part) in names.into_iter().zip([0.5, 0.99, 0.999]) {
            bench.row(name, percentile(&times, part) / 1000.0);
        }
    }
    store.close()
}
