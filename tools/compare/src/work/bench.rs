//! One suite's run for one store: which works are wanted, where it lives, how results go out (one
//! line of JSON each, on standard output).

use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::data::{Batch, Probes, Shape};
use crate::result::Line;
use crate::store::{Ask, Kind, Need, Reader, Result, Setup, Sink, Store};
use crate::stores;

/// What a process is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Task {
    pub suite: String,
    pub store: String,
    pub folder: PathBuf,
    /// Records of the table suite; the others have a part of it.
    pub records: u64,
    /// Names of the works that are wanted.
    pub works: Vec<String>,
    pub quick: bool,
    pub round: u64,
    /// Whether the whole system's cache may be dropped.
    pub drop_caches: bool,
    /// Bytes of memory that this process is limited to.
    pub memory: Option<u64>,
}

pub struct Bench {
    pub task: Task,
    pub kind: Kind,
    pub shape: Shape,
    /// Records of this suite.
    pub records: u64,
    /// Records in the table now.
    pub live: u64,
    /// Records that were added since it was loaded.
    pub added: Vec<Range<u64>>,
}

impl Bench {
    pub fn new(task: Task) -> Result<Bench> {
        let kind = stores::all().into_iter().find(|kind| kind.name == task.store);
        let kind = kind.ok_or_else(|| format!("no store {:?}", task.store))?;
        let (key, value, part) = match task.suite.as_str() {
            "small" => (8, 8, 2),
            "wide" => (24, 150, 2),
            "features" => (16, 40, 2),
            "embed" => (16, 3072, 20),
            "stall" => (16, 100, 4),
            _ => (16, 100, 1),
        };
        let records = (task.records / part).max(1000);
        Ok(Bench { task, kind, shape: Shape { key, value }, records, live: 0, added: Vec::new() })
    }

    pub fn add(&mut self, records: Range<u64>) {
        self.live += records.end - records.start;
        self.added.push(records);
    }

    pub fn wants(&self, work: &str) -> bool {
        self.task.works.iter().any(|name| name == work)
    }

    pub fn wants_any(&self, works: &[&str]) -> bool {
        works.iter().any(|work| self.wants(work))
    }

    pub fn can(&self, need: Need) -> bool {
        (self.kind.cannot)(&Ask { shape: self.shape, need }).is_none()
    }

    /// Whether one of these works is wanted and the store is able; if it is not, says so in the
    /// table.
    pub fn goes(&self, need: Need, works: &[&str]) -> bool {
        let reason = (self.kind.cannot)(&Ask { shape: self.shape, need });
        if let Some(reason) = reason {
            works.iter().for_each(|work| self.skip(work, reason));
        }
        reason.is_none() && self.wants_any(works)
    }

    pub fn row(&self, work: &str, value: f64) {
        if self.wants(work) {
            Line::Row { work: work.to_owned(), value }.print();
        }
    }

    pub fn skip(&self, work: &str, why: &str) {
        if self.wants(work) {
            Line::Skip { work: work.to_owned(), why: why.to_owned() }.print();
        }
    }

    pub fn setup(&self) -> Setup {
        Setup {
            folder: self.task.folder.clone(),
            shape: self.shape,
            records: self.records,
            durable: false,
            cold: false,
            memory: self.task.memory,
        }
    }

    pub fn open(&self, setup: &Setup) -> Result<Box<dyn Store>> {
        (self.kind.open)(setup)
    }

    /// Closes and opens otherwise, if the store has a file.
    pub fn reopen(&self, store: Box<dyn Store>, setup: &Setup) -> Result<Box<dyn Store>> {
        if !self.can(Need::Reopen) {
            return Ok(store);
        }
        store.close()?;
        self.open(setup)
    }

    /// How long works last that are measured for a time.
    pub fn span(&self) -> Duration {
        Duration::from_millis(if self.task.quick { 250 } else { 2000 })
    }

    /// How many lookups a work has.
    pub fn lookups(&self) -> u64 {
        (self.records / 2).clamp(1000, 1_000_000)
    }

    pub fn hits(&self, seed: u64, count: u64) -> Probes {
        Probes::random(self.shape, seed ^ self.task.round << 32, count, 0, self.records)
    }

    pub fn misses(&self, seed: u64, count: u64) -> Probes {
        let first = crate::data::ABSENT;
        Probes::random(self.shape, seed ^ self.task.round << 32, count, first, self.records)
    }
}

/// Fails unless all that were asked for were found, with the right bytes.
pub fn verify(sink: &Sink<'_>, found: u64, sum: u64) -> Result<()> {
    if sink.found != found {
        return Err(format!("wrong answers: found {} of {found}", sink.found).into());
    }
    if sink.sum != sum {
        return Err("wrong answers: a value has other bytes than were stored".into());
    }
    Ok(())
}

/// Looks each key up; nanoseconds for each.
pub fn time_gets(reader: &mut dyn Reader, probes: &Probes, present: bool) -> Result<f64> {
    let mut sink = Sink::default();
    let started = Instant::now();
    for key in probes.keys().iter() {
        reader.get(key, &mut sink)?;
    }
    let taken = started.elapsed();
    let (found, sum) = if present { (probes.len(), probes.sum()) } else { (0, 0) };
    verify(&sink, found, sum)?;
    Ok(taken.as_nanos() as f64 / probes.len() as f64)
}

/// Looks keys up `size` at a time; nanoseconds for each key.
pub fn time_many(reader: &mut dyn Reader, probes: &Probes, size: usize) -> Result<f64> {
    let keys = probes.keys();
    let mut sink = Sink::default();
    let started = Instant::now();
    for bytes in keys.bytes.chunks(size * keys.width) {
        reader.get_many(crate::data::Keys { bytes, width: keys.width }, &mut sink)?;
    }
    let taken = started.elapsed();
    verify(&sink, probes.len(), probes.sum())?;
    Ok(taken.as_nanos() as f64 / probes.len() as f64)
}

/// Writes records in batches; only the writes are timed, not the making of the bytes.
pub fn time_writes(
    store: &dyn Store,
    shape: Shape,
    records: &[u64],
    size: usize,
    version: u64,
) -> Result<Duration> {
    let mut batch = Batch::new(shape);
    let mut taken = Duration::ZERO;
    for chunk in records.chunks(size) {
        batch.fill(chunk.iter().copied(), version);
        let started = Instant::now();
        store.write(&batch)?;
        taken += started.elapsed();
    }
    Ok(taken)
}

/// The value at this part of the sorted list.
pub fn percentile(sorted: &[u64], part: f64) -> f64 {
    let place = (sorted.len() as f64 * part) as usize;
    sorted.get(place.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0) as f64
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn percentiles_are_values_of_the_list() {
        let sorted: Vec<u64> = (1..=1000).collect();
        assert_eq!(percentile(&sorted, 0.5), 501.0);
        assert_eq!(percentile(&sorted, 0.999), 1000.0);
        assert_eq!(percentile(&sorted, 1.0), 1000.0);
    }
}
