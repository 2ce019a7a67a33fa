//! How long an open takes: after a clean close, and after the process was killed.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::bench::{Bench, Task, time_gets, time_writes, verify};
use crate::data::Probes;
use crate::store::{Need, Result, Sink, Store};

pub fn run(bench: &mut Bench, mut store: Box<dyn Store>) -> Result<Box<dyn Store>> {
    if bench.goes(Need::Reopen, &["open-clean"]) {
        // Once to have it in memory.
        for _ in 0..2 {
            store.close()?;
            let (opened, taken) = open(bench, 0)?;
            store = opened;
            bench.row("open-clean", taken.as_secs_f64() * 1e3);
        }
    }
    if bench.goes(Need::Killed, &["open-killed"]) {
        store.close()?;
        kill(bench)?;
        let (opened, taken) = open(bench, first(bench))?;
        bench.row("open-killed", taken.as_secs_f64() * 1e3);
        if keeps(bench) {
            let synced =
                Probes::new(bench.shape, (first(bench)..first(bench) + count(bench)).collect());
            time_gets(&mut *opened.reader()?, &synced, true)?;
        }
        bench.add(first(bench)..first(bench) + count(bench));
        store = opened;
    }
    Ok(store)
}

/// The records that are written before the kill; no other work asks for them.
fn first(bench: &Bench) -> u64 {
    bench.records * 2
}

fn count(bench: &Bench) -> u64 {
    bench.records / 20
}

/// Whether all that was synced must be there after a kill.
fn keeps(bench: &Bench) -> bool {
    bench.kind.crash_safe && bench.can(Need::Durable)
}

/// Opens, with the first lookup.
fn open(bench: &Bench, record: u64) -> Result<(Box<dyn Store>, Duration)> {
    let probe = Probes::new(bench.shape, vec![record]);
    let started = Instant::now();
    let store = bench.open(&bench.setup())?;
    let mut sink = Sink::default();
    for key in probe.keys().iter() {
        store.reader()?.get(key, &mut sink)?;
    }
    let taken = started.elapsed();
    if record == 0 || keeps(bench) {
        verify(&sink, 1, probe.sum())?;
    }
    Ok((store, taken))
}

/// Lets another process write, and kills it when it has synced.
fn kill(bench: &Bench) -> Result<()> {
    let task = Task { suite: "fill".to_owned(), ..bench.task.clone() };
    let mut child = crate::child::command(&task)?.stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    if let Some(out) = child.stdout.take() {
        BufReader::new(out).read_line(&mut line)?;
    }
    child.kill()?;
    child.wait()?;
    if line.trim() == "ready" { Ok(()) } else { Err("the process to be killed failed".into()) }
}

pub fn run_until_killed(bench: &mut Bench) -> Result<()> {
    let store = bench.open(&bench.setup())?;
    let records: Vec<u64> = (first(bench)..first(bench) + count(bench)).collect();
    time_writes(&*store, bench.shape, &records, 100, 0)?;
    store.sync()?;
    println!("ready");
    std::thread::sleep(Duration::from_secs(60));
    Err("nobody killed this process".into())
}
