//! Embeddings: values of 768 floats.

use std::time::{Duration, Instant};

use super::bench::{Bench, time_gets, time_writes, verify};
use super::cold;
use super::load::{Loaded, load};
use crate::data::{Keys, check_of, fold, mix};
use crate::machine;
use crate::store::{Need, Reader, Result, Sink};

const READS: [&str; 3] = ["embed-load", "embed-hit", "embed-many"];
const FILES: [&str; 3] = ["embed-disk", "embed-cold-hit", "embed-cold-bytes"];
const WRITES: [&str; 3] = ["embed-overwrite", "embed-write-bytes", "embed-disk-updated"];

pub fn run(bench: &mut Bench) -> Result<()> {
    if !bench.goes(Need::Read, &READS) && !bench.can(Need::Read) {
        return Ok(());
    }
    let payload = bench.shape.payload();
    let Loaded { mut store, synced, disk, .. } = load(bench, 100)?;
    bench.row("embed-load", Loaded::nanos(synced, bench.records));
    if bench.goes(Need::Reopen, &FILES) {
        bench.row("embed-disk", disk as f64 / (bench.records * payload) as f64);
        if bench.wants_any(&FILES[1..]) {
            store.close()?;
            let hits = bench.hits(21, if bench.task.quick { 200 } else { 2000 });
            let (nanos, bytes) = cold::look(bench, &hits, 0)?;
            bench.row("embed-cold-hit", nanos);
            bench.row("embed-cold-bytes", bytes);
            store = bench.open(&bench.setup())?;
        }
    }
    {
        let mut reader = store.reader()?;
        super::reads::warm(bench, &mut *reader)?;
        let hits = bench.hits(1, bench.lookups() * 2);
        bench.row("embed-hit", time_gets(&mut *reader, &hits, true)?);
        bench.row("embed-many", matrices(bench, &mut *reader)?);
    }
    if !bench.goes(Need::Write, &WRITES) {
        return store.close();
    }
    let records: Vec<u64> = (0..bench.records).map(|i| mix(i ^ 0x77) % bench.records).collect();
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
    bench.row("embed-overwrite", taken.as_nanos() as f64 / records.len() as f64);
    if bench.goes(Need::Reopen, &WRITES[1..]) {
        if let Some(written) = written {
            bench.row("embed-write-bytes", written as f64 / (bench.records * payload) as f64);
        }
        let disk = machine::disk_len(&bench.task.folder)?;
        bench.row("embed-disk-updated", disk as f64 / (bench.records * payload) as f64);
    }
    super::reads::warm(bench, &mut *store.reader()?)?;
    store.close()
}

/// Batches of 1,000 values into a matrix, which is checked outside of the time.
fn matrices(bench: &Bench, reader: &mut dyn Reader) -> Result<f64> {
    let len = bench.shape.value;
    let mut matrix = vec![0; 1000 * len];
    let hits = bench.hits(2, if bench.task.quick { 5000 } else { 100_000 });
    let (mut taken, width) = (Duration::ZERO, bench.shape.key);
    for (bytes, records) in hits.keys().bytes.chunks(1000 * width).zip(hits.records.chunks(1000)) {
        let started = Instant::now();
        let mut sink = Sink { matrix: Some((&mut matrix, len)), ..Sink::default() };
        reader.get_many(Keys { bytes, width }, &mut sink)?;
        taken += started.elapsed();
        verify(&Sink { matrix: None, ..sink }, records.len() as u64, 0)?;
        for (row, record) in matrix.chunks_exact(len).zip(records) {
            if fold(row) != check_of(*record) {
                return Err("wrong answers: a row of the matrix is another value".into());
            }
        }
    }
    Ok(taken.as_nanos() as f64 / hits.len() as f64)
}
