//! The same table under a limit of memory of a quarter of its file: in a process of its own that
//! puts itself into a memory cgroup before it opens anything.

use std::time::Instant;

use super::bench::{Bench, Task, time_writes, verify};
use crate::data::{mix, write_key};
use crate::machine::{self, Cgroup};
use crate::store::{Need, Result, Setup, Sink, Store};

const WORKS: [&str; 6] = [
    "limited-hit",
    "limited-hit-bytes",
    "limited-miss",
    "limited-miss-bytes",
    "limited-update",
    "limited-update-bytes",
];

/// Below this a process has no room for itself, and the row says nothing about the store.
const LEAST: u64 = 32 << 20;

pub fn run(bench: &mut Bench, store: Box<dyn Store>) -> Result<Box<dyn Store>> {
    if !bench.goes(Need::Reopen, &WORKS) {
        return Ok(store);
    }
    store.close()?;
    let memory = machine::disk_len(&bench.task.folder)? / 4;
    if memory < LEAST {
        WORKS.iter().for_each(|work| bench.skip(work, "a quarter of the file is below 32 MiB"));
        return bench.open(&bench.setup());
    }
    match Cgroup::make(memory) {
        Err(error) => {
            WORKS.iter().for_each(|work| bench.skip(work, &format!("no memory cgroup: {error}")));
        }
        Ok(group) => {
            machine::evict(&bench.task.folder, bench.task.drop_caches)?;
            let task =
                Task { suite: "limited".to_owned(), memory: Some(memory), ..bench.task.clone() };
            let status =
                crate::child::command(&task)?.env("COMPARE_CGROUP", group.path()).status()?;
            if !status.success() {
                WORKS
                    .iter()
                    .for_each(|work| bench.skip(work, &format!("under the limit: {status}")));
            }
        }
    }
    bench.open(&bench.setup())
}

pub fn run_inside(bench: &mut Bench) -> Result<()> {
    machine::enter(&std::env::var_os("COMPARE_CGROUP").ok_or("no cgroup")?)?;
    let store = bench.open(&Setup { cold: true, ..bench.setup() })?;
    for (works, first, present) in [
        (["limited-hit", "limited-hit-bytes"], 0, true),
        (["limited-miss", "limited-miss-bytes"], crate::data::ABSENT, false),
    ] {
        if bench.wants_any(&works) {
            look(bench, &*store, first, present)?; // Fills what memory there is.
            let (nanos, bytes) = look(bench, &*store, first, present)?;
            bench.row(works[0], nanos);
            bench.row(works[1], bytes);
        }
    }
    if !bench.goes(Need::Write, &["limited-update", "limited-update-bytes"]) {
        return store.close();
    }
    let count = bench.records / 20;
    let records: Vec<u64> = (0..count).map(|i| mix(i ^ 0x11) % bench.records).collect();
    machine::flush(&bench.task.folder)?;
    let before = machine::bytes_written(&bench.task.folder);
    let mut taken = time_writes(&*store, bench.shape, &records, 100, 1 << 51)?;
    let started = Instant::now();
    store.sync()?;
    store.close()?;
    taken += started.elapsed();
    machine::flush(&bench.task.folder)?;
    let written = machine::bytes_written(&bench.task.folder)
        .zip(before)
        .map(|(after, before)| after - before);
    bench.row("limited-update", taken.as_nanos() as f64 / count as f64);
    if let Some(written) = written {
        bench.row("limited-update-bytes", written as f64 / (count * bench.shape.payload()) as f64);
    }
    Ok(())
}

/// Random lookups for a time. Their keys are made on the way: a list of them would take memory.
fn look(bench: &Bench, store: &dyn Store, first: u64, present: bool) -> Result<(f64, f64)> {
    let mut reader = store.reader()?;
    let (mut sink, mut count, mut sum) = (Sink::default(), 0_u64, 0_u64);
    let mut key = vec![0; bench.shape.key];
    let seed = mix(machine::bytes_read()? ^ first);
    let before = machine::bytes_read()?;
    let started = Instant::now();
    while started.elapsed() < bench.span() {
        for _ in 0..100 {
            let record = first + mix(seed ^ count) % bench.records;
            write_key(record, &mut key);
            reader.get(&key, &mut sink)?;
            count += 1;
            sum = sum.wrapping_add(crate::data::check_of(record));
        }
    }
    let nanos = started.elapsed().as_nanos() as f64 / count as f64;
    let read = (machine::bytes_read()? - before) as f64 / count as f64;
    let (found, sum) = if present { (count, sum) } else { (0, 0) };
    verify(&sink, found, sum)?;
    Ok((nanos, read))
}
