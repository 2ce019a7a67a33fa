//! How long single inserts take while the table grows from nothing: the longest waits show what
//! checkpoints, compactions and resizes do to a writer.

use std::time::Instant;

use super::bench::{Bench, percentile};
use crate::data::{Batch, shuffled};
use crate::store::{Need, Result};

const NAMES: [&str; 5] = ["stall-mean", "stall-p50", "stall-p99", "stall-p999", "stall-max"];

pub fn run(bench: &mut Bench) -> Result<()> {
    if !bench.goes(Need::Write, &NAMES) {
        return Ok(());
    }
    let store = bench.open(&bench.setup())?;
    let mut batch = Batch::new(bench.shape);
    let (mut times, mut spent) = (Vec::new(), 0);
    let most = if bench.task.quick { 1_000_000_000 } else { 5_000_000_000 };
    for record in shuffled(bench.records, bench.task.round) {
        batch.fill(std::iter::once(record), 0);
        let started = Instant::now();
        store.write(&batch)?;
        let taken = started.elapsed().as_nanos() as u64;
        spent += taken;
        times.push(taken);
        if spent > most {
            break;
        }
    }
    store.close()?;
    times.sort_unstable();
    bench.row("stall-mean", spent as f64 / times.len() as f64);
    for (name, part) in NAMES[1..].iter().zip([0.5, 0.99, 0.999, 1.0]) {
        bench.row(name, percentile(&times, part) / 1000.0);
    }
    Ok(())
}
