//! `load`: the records of a file into an index, a batch at a time.

use std::path::{Path, PathBuf};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use serde_json::json;
use splitpoint::{Batch, Durability, Error, Index, Options};

use super::load_bulk::{self, BulkArgs};
use super::load_input::{Input, InputArgs, Progress};
use super::load_reader::{self, Chunk, Cut, Placed, Then};
use crate::columns::Columns;
use crate::failure::{Answer, Context, Failure, Outcome, say};
use crate::formats::Source;
use crate::human;
use crate::interrupt;
use crate::output::Output;
use crate::target::Target;

/// So many bad lines are shown; the others are counted.
const BAD_SHOWN_MAX: u64 = 20;

/// The most bytes of a batch of Parquet or Arrow.
const COLUMNAR_BATCH_MAX: u64 = 256 << 20;

/// The arguments of `load`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(super) target: Target,
    /// The file to read, or several with --bulk; `-` or nothing is standard input.
    #[arg(value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) input: InputArgs,
    /// Records in a commit; fewer if they have 16 MiB together.
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    batch: u32,
    /// How many records an index that is made here will hold: spares it growing step by step. Not for
    /// --bulk, which counts them.
    #[arg(long, value_name = "COUNT", conflicts_with = "bulk")]
    expected_len: Option<u64>,
    /// Pass over what is not a record, list and count it, and go on.
    #[arg(long)]
    pub(super) skip_bad: bool,
    /// Print the summary as one JSON object.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    bulk: BulkArgs,
}

impl Args {
    /// Loads. The index is made if it does not exist, but only once the input has been opened and
    /// its header read.
    pub(crate) fn run(self) -> Outcome {
        if self.bulk.bulk {
            return load_bulk::run(&self, &self.bulk, &self.inputs);
        }
        if self.inputs.len() > 1 {
            return Err(Failure::Usage("several inputs are for --bulk".to_owned()));
        }
        let first = self.inputs.first().map(PathBuf::as_path);
        let input = self.input.open(first, COLUMNAR_BATCH_MAX)?;
        let progress = Progress::of(std::slice::from_ref(&input));
        let Input { name, source, .. } = input;
        let path = self.target.path();
        interrupt::watch()?;
        let options = Options::new()
            .durability(Durability::Background(Duration::from_millis(200)))
            .expected_len(self.expected_len.unwrap_or_default());
        let index = self.target.open(options)?;
        let metadata = settle_columns(&index, source.columns(), path)?;
        let mut load = Load {
            args: &self,
            name,
            unit: source.unit(),
            len_before: index.len(),
            index: &index,
            metadata,
            loaded: 0,
            bad: 0,
            started: Instant::now(),
            progress,
        };
        let outcome = load.run(source);
        // Whatever happened, what is in is made durable, and the user told how much that is.
        let settled = index.sync().working(path);
        load.progress.bar.finish_and_clear();
        match (outcome, settled) {
            (Ok(()), settled) => settled?,
            (Err(failure), Ok(())) => return Err(load.explain(failure)),
            // Nothing that was not durable before can be counted on now.
            (Err(failure), Err(_)) => return Err(failure),
        }
        let summary = load.summary();
        index.close().working(path)?;
        let mut output = Output::new();
        output.line(summary)?;
        output.finish(Answer::Yes)
    }
}

/// The metadata to write for these columns: none if they stand there already. A table is not
/// loaded into one with other columns.
pub(super) fn settle_columns(
    index: &Index,
    columns: Option<&Columns>,
    path: &Path,
) -> Result<Option<Vec<u8>>, Failure> {
    let Some(columns) = columns else { return Ok(None) };
    let fail = |why: String| Failure::Work(format!("{}: {why}", path.display()));
    let wanted = columns.to_metadata().map_err(fail)?;
    let present = index.metadata().working(path)?;
    // What a load that failed at once has left is no table yet.
    let is_ours = present.is_empty() || Columns::from_metadata(&present).is_some();
    if is_ours && index.is_empty() {
        return Ok((present != wanted).then_some(wanted));
    }
    let known = if present.is_empty() {
        Some(Columns::unnamed())
    } else {
        Columns::from_metadata(&present)
    };
    match known {
        Some(known) if known == *columns => Ok(None),
        // One column is the value as it is: nothing to remember, whatever the names.
        Some(known) if known.values.len() == 1 && columns.values.len() == 1 => Ok(None),
        None if columns.values.len() == 1 => Ok(None),
        Some(known) => Err(fail(format!(
            "the index has the columns {} | {}, the input has {} | {}; load it into an index of \
             its own",
            known.key,
            known.values.join(", "),
            columns.key,
            columns.values.join(", ")
        ))),
        None => Err(fail(
            "the index has metadata of its own, which the names of several columns would replace; \
             load a table with one value column, or use jsonl or pairs"
                .to_owned(),
        )),
    }
}

/// A load under way.
struct Load<'a> {
    args: &'a Args,
    /// The input's name.
    name: String,
    unit: &'static str,
    index: &'a Index,
    len_before: u64,
    /// To be written with the first batch.
    metadata: Option<Vec<u8>>,
    loaded: u64,
    bad: u64,
    started: Instant,
    progress: Progress,
}

impl Load<'_> {
    fn run(&mut self, source: Box<dyn Source>) -> Result<(), Failure> {
        let count = usize::try_from(self.args.batch).unwrap_or(usize::MAX);
        let (len, skip_bad) = (load_reader::CHUNK_LEN_MAX, self.args.skip_bad);
        let chunks = load_reader::start(vec![source], 1, Cut { count, len, skip_bad });
        loop {
            if interrupt::asked() {
                return Err(Failure::Work("interrupted".to_owned()));
            }
            let chunk = match chunks.recv_timeout(Duration::from_millis(100)) {
                Ok(chunk) => chunk,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Failure::Work(format!("{}: the reader stopped", self.name)));
                }
            };
            self.commit(&chunk)?;
            for (place, why) in &chunk.bad {
                self.refuse(*place, why)?;
            }
            self.progress.show(self.loaded);
            match chunk.then {
                Then::More => {}
                Then::End => return Ok(()),
                Then::Stop(why) => {
                    return Err(Failure::Work(format!("{}: {why}", self.name)));
                }
            }
        }
    }

    /// Commits the records of a chunk, and the metadata if they are still to be written.
    fn commit(&mut self, chunk: &Chunk) -> Result<(), Failure> {
        let mut batch = Batch::new();
        match &self.metadata {
            Some(metadata) => {
                batch.set_metadata(metadata);
            }
            None if chunk.records.is_empty() => return Ok(()),
            None => {}
        }
        for Placed { record, .. } in &chunk.records {
            batch.insert(&record.key, &record.value);
        }
        match self.index.commit(batch) {
            Ok(_) => self.loaded += chunk.records.len() as u64,
            Err(error) if is_about_a_record(&error) => self.commit_singly(chunk)?,
            Err(error) => return Err(Failure::working(self.args.target.path(), &error)),
        }
        self.metadata = None;
        Ok(())
    }

    /// The batch has a record that the index cannot hold, and was refused as a whole: finds it.
    fn commit_singly(&mut self, chunk: &Chunk) -> Result<(), Failure> {
        if let Some(metadata) = self.metadata.take() {
            self.index.set_metadata(&metadata).working(self.args.target.path())?;
        }
        for Placed { place, record } in &chunk.records {
            match self.index.insert(&record.key, &record.value) {
                Ok(_) => self.loaded += 1,
                Err(error) if is_about_a_record(&error) => {
                    self.refuse(*place, &error.to_string())?;
                }
                Err(error) => return Err(Failure::working(self.args.target.path(), &error)),
            }
        }
        Ok(())
    }

    /// Something is not a record: stops, or counts and shows it.
    fn refuse(&mut self, place: u64, why: &str) -> Result<(), Failure> {
        let message = format!("{}, {} {place}: {why}", self.name, self.unit);
        if !self.args.skip_bad {
            return Err(Failure::Work(message));
        }
        self.bad += 1;
        if self.bad <= BAD_SHOWN_MAX {
            self.progress.bar.suspend(|| say(format!("{message}; passed over")));
        } else if self.bad == BAD_SHOWN_MAX + 1 {
            self.progress.bar.suspend(|| say("more such are counted, not shown"));
        }
        Ok(())
    }

    /// A failure, with how far the load came.
    fn explain(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Work(why) => Failure::Work(format!(
                "{why}; {} records of {} are in {}",
                human::count(self.loaded),
                self.name,
                self.args.target.path().display(),
            )),
            other => other,
        }
    }

    fn summary(&self) -> String {
        let time = self.started.elapsed();
        let new = self.index.len().saturating_sub(self.len_before);
        if self.args.json {
            return json!({
                "loaded": self.loaded,
                "new": new,
                "bad": self.bad,
                "count": self.index.len(),
                "seconds": time.as_secs_f64(),
            })
            .to_string();
        }
        let mut text = format!(
            "loaded {} records, {} of them new keys, in {} ({} a second); {} has {}",
            human::count(self.loaded),
            human::count(new),
            human::duration(time),
            human::rate(self.loaded, time),
            self.args.target.path().display(),
            human::count(self.index.len()),
        );
        if self.bad > 0 {
            let plural = if self.bad == 1 { "" } else { "s" };
            let bad = human::count(self.bad);
            text.push_str(&format!("; {bad} bad {}{plural} passed over", self.unit));
        }
        text
    }
}

/// Whether the index refused a record for what it is, and would take others.
pub(super) fn is_about_a_record(error: &Error) -> bool {
    matches!(
        error,
        Error::KeyTooLarge { .. }
            | Error::ValueTooLarge { .. }
            | Error::KeySize { .. }
            | Error::ValueSize { .. }
    )
}
