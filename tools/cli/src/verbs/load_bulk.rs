//! `load --bulk`: the records of any number of files into a new index file at once, which takes the
//! place of the old one when it is whole.

use std::path::{Path, PathBuf};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use serde_json::json;
use splitpoint::{BulkLoader, BulkPhase, Error, Index, Options};

use super::load::{Args, is_about_a_record, settle_columns};
use super::load_input::{Input, Progress, set_style};
use super::load_reader::{self, Chunk, Cut, Placed, Then};
use crate::columns::Columns;
use crate::failure::{Answer, Context, Failure, Outcome, say};
use crate::human;
use crate::interrupt;
use crate::output::Output;

/// Records in a chunk of the reader.
const CHUNK_COUNT: usize = 10_000;
/// So many bad lines are shown; the others are counted.
const BAD_SHOWN_MAX: u64 = 20;

/// What a bulk load may be told beyond what every load is.
#[derive(clap::Args)]
pub(crate) struct BulkArgs {
    /// Build the file anew with what is in it and the input, all at once: fastest for much input.
    #[arg(long)]
    pub(super) bulk: bool,
    /// Leave out what the index holds now.
    #[arg(long, requires = "bulk")]
    replace: bool,
    /// Memory for it; what does not fit goes to a file beside the index.
    #[arg(long, requires = "bulk", value_name = "MIB", default_value_t = 1024)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..1 << 30))]
    memory: u64,
    /// Threads that build pages [default: one for each processor, 16 at most].
    #[arg(long, requires = "bulk", value_name = "COUNT")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// How full a page is to be on average [default: what makes the smallest file that is fast].
    #[arg(long, requires = "bulk", value_name = "PERCENT")]
    #[arg(value_parser = clap::value_parser!(u32).range(10..=150))]
    fill: Option<u32>,
}

/// What the memory is for, in bytes, and how many inputs are read at once.
#[derive(Clone, Copy)]
struct Memory {
    readers: usize,
    /// A batch of Parquet or Arrow.
    batch_max: u64,
    /// Records that were read and are not yet in the loader, in a chunk.
    chunk_len: usize,
    loader: u64,
}

impl Memory {
    fn of(budget: u64, readers: usize, has_columnar: bool) -> Memory {
        // A batch as it was written and as it is decoded take a quarter each.
        let batch_max = budget / 4 / readers as u64;
        let batches = if has_columnar { budget / 2 } else { 0 };
        let chunk_len = budget / 16 / load_reader::chunks_max(readers);
        let chunk_len = chunk_len.min(load_reader::CHUNK_LEN_MAX as u64);
        // The loader has a least.
        let loader = (budget - budget / 8 - batches).max(1 << 20);
        let chunk_len = usize::try_from(chunk_len).unwrap_or(load_reader::CHUNK_LEN_MAX);
        Memory { readers, batch_max, chunk_len, loader }
    }
}

/// Loads all inputs: several at once, with the outcome of one after another.
pub(super) fn run(args: &Args, bulk: &BulkArgs, paths: &[PathBuf]) -> Outcome {
    let path = args.target.path();
    let cores = || std::thread::available_parallelism().map_or(1, usize::from).min(16);
    let readers = bulk.threads.map_or_else(cores, usize::from).clamp(1, paths.len().max(1));
    let memory = Memory::of(bulk.memory << 20, readers, args.input.has_columnar(paths));
    let open = |path: Option<&Path>| args.input.open(path, memory.batch_max);
    let open: Vec<Input> = match paths {
        [] => vec![open(None)?],
        paths => paths.iter().map(|path| open(Some(path))).collect::<Result<_, _>>()?,
    };
    interrupt::watch()?;
    let columns = open.first().and_then(|input| input.source.columns().cloned());
    for input in &open {
        same_columns(columns.as_ref(), input)?;
    }
    let started = Instant::now();
    let (len_before, metadata) = look(args, bulk, columns.as_ref(), path)?;
    let progress = Progress::of(&open);
    let loader = loader(args, bulk, (memory.loader, metadata), &progress.bar)?;
    let names = open.iter().map(|input| (input.name.clone(), input.source.unit())).collect();
    let mut load = Load { args, loader, names, loaded: 0, bad: 0, progress };
    if let Err(failure) = load.feed(open, memory) {
        load.progress.bar.finish_and_clear();
        return Err(match failure {
            Failure::Work(why) => Failure::Work(format!("{why}; {} is as it was", path.display())),
            other => other,
        });
    }
    let Load { loader, loaded, bad, progress, .. } = load;
    let index = loader.finish();
    progress.bar.finish_and_clear();
    if let Err(Error::Stopped { .. }) = index {
        let path = path.display();
        return Err(Failure::Work(format!("interrupted; {path} is as it was")));
    }
    let index = index.working(path)?;
    let summary = summary(args, &index, (loaded, bad, len_before), started.elapsed())?;
    index.close().working(path)?;
    let mut output = Output::new();
    output.line(summary)?;
    output.finish(Answer::Yes)
}

/// All inputs make the same values.
fn same_columns(first: Option<&Columns>, input: &Input) -> Result<(), Failure> {
    let columns = input.source.columns();
    let is_single = |columns: Option<&Columns>| columns.is_none_or(|c| c.values.len() == 1);
    if columns == first || (is_single(columns) && is_single(first)) {
        return Ok(());
    }
    Err(Failure::Work(format!(
        "{} has other columns than the first input; load it into an index of its own",
        input.name
    )))
}

/// What is there: how many records, and the metadata that the new file needs.
fn look(
    args: &Args,
    bulk: &BulkArgs,
    columns: Option<&Columns>,
    path: &Path,
) -> Result<(u64, Option<Vec<u8>>), Failure> {
    let fail = |why: String| Failure::Work(format!("{}: {why}", path.display()));
    if bulk.replace || std::fs::symlink_metadata(path).is_err() {
        let metadata = columns.map(Columns::to_metadata).transpose().map_err(fail)?;
        return Ok((0, metadata.or_else(|| bulk.replace.then(Vec::new))));
    }
    let index = args.target.read()?;
    let metadata = settle_columns(&index, columns, path)?;
    let len = index.len();
    index.close().working(path)?;
    Ok((len, metadata))
}

fn loader(
    args: &Args,
    bulk: &BulkArgs,
    (memory, metadata): (u64, Option<Vec<u8>>),
    bar: &ProgressBar,
) -> Result<BulkLoader, Failure> {
    let path = args.target.path();
    let set = || -> splitpoint::Result<BulkLoader> {
        let options = Options::new().wait_for_lock(args.target.wait());
        let loader = options.bulk_load(path)?.memory_budget(memory)?;
        let mut loader = loader.stop_when(interrupt::asked)?;
        if let Some(threads) = bulk.threads {
            loader = loader.threads(threads.into())?;
        }
        if let Some(fill) = bulk.fill {
            loader = loader.fill_percent(fill)?;
        }
        if bulk.replace {
            loader = loader.replace()?;
        }
        if let Some(metadata) = metadata {
            loader = loader.metadata(metadata)?;
        }
        let bar = bar.clone();
        let (mut phase, mut began) = (BulkPhase::Input, Duration::ZERO);
        loader.progress(move |now| {
            if now.phase != phase && now.phase == BulkPhase::Build {
                bar.set_length(1000);
                bar.reset();
                set_style(&bar, "{bar:30} {percent:>3} %  building  {msg}  {eta} left");
                began = now.elapsed;
            }
            if now.phase != phase && now.phase == BulkPhase::Sync {
                set_style(&bar, "{bar:30} {percent:>3} %  {msg}");
                bar.set_message(format!("syncing  {}", human::bytes(now.written_len)));
            }
            if now.phase == BulkPhase::Build {
                #[allow(clippy::cast_possible_truncation, reason = "from 0 to 1000")]
                bar.set_position((now.share * 1000.0) as u64);
                let time = (now.elapsed - began).as_secs_f64().max(0.001);
                let written = human::bytes(now.written_len);
                #[allow(clippy::cast_possible_truncation, reason = "shown only")]
                let rate = human::bytes((now.written_len as f64 / time) as u64);
                bar.set_message(format!("{written}  {rate}/s"));
            }
            phase = now.phase;
        })
    };
    set().opening(path)
}

/// A load under way.
struct Load<'a> {
    args: &'a Args,
    loader: BulkLoader,
    /// The names of the inputs, and what their places are.
    names: Vec<(String, &'static str)>,
    loaded: u64,
    bad: u64,
    progress: Progress,
}

impl Load<'_> {
    /// Takes all records of the inputs.
    fn feed(&mut self, inputs: Vec<Input>, memory: Memory) -> Result<(), Failure> {
        let sources: Vec<_> = inputs.into_iter().map(|input| input.source).collect();
        let mut left = sources.len();
        let (len, skip_bad) = (memory.chunk_len, self.args.skip_bad);
        let cut = Cut { count: CHUNK_COUNT, len, skip_bad };
        let chunks = load_reader::start(sources, memory.readers, cut);
        while left > 0 {
            if interrupt::asked() {
                return Err(Failure::Work("interrupted".to_owned()));
            }
            let chunk = match chunks.recv_timeout(Duration::from_millis(100)) {
                Ok(chunk) => chunk,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Failure::Work("the reader of an input stopped".to_owned()));
                }
            };
            self.take(&chunk)?;
            self.progress.show(self.loaded);
            match chunk.then {
                Then::More => {}
                Then::End => left -= 1,
                Then::Stop(why) => {
                    let name = self.names.get(chunk.input).map_or("", |(name, _)| name);
                    return Err(Failure::Work(format!("{name}: {why}")));
                }
            }
        }
        Ok(())
    }

    /// Takes the records of a chunk.
    fn take(&mut self, chunk: &Chunk) -> Result<(), Failure> {
        let path = self.args.target.path();
        if self.names.len() > 1 {
            let number = u32::try_from(chunk.input).unwrap_or(u32::MAX);
            self.loader.next_of_input(number).working(path)?;
        }
        for Placed { place, record } in &chunk.records {
            match self.loader.insert(&record.key, &record.value) {
                Ok(()) => self.loaded += 1,
                Err(error) if is_about_a_record(&error) => {
                    self.refuse(chunk.input, *place, &error.to_string())?;
                }
                Err(error) => return Err(Failure::working(path, &error)),
            }
        }
        chunk.bad.iter().try_for_each(|(place, why)| self.refuse(chunk.input, *place, why))
    }

    fn refuse(&mut self, input: usize, place: u64, why: &str) -> Result<(), Failure> {
        let (name, unit) = self.names.get(input).map_or(("", ""), |(name, unit)| (name, unit));
        let message = format!("{name}, {unit} {place}: {why}");
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
}

fn summary(
    args: &Args,
    index: &Index,
    (loaded, bad, len_before): (u64, u64, u64),
    time: Duration,
) -> Result<String, Failure> {
    let path = args.target.path();
    let stats = index.stats().working(path)?;
    let count = index.len();
    let new = count.saturating_sub(len_before);
    let duplicates = loaded.saturating_sub(new);
    let pages = (stats.bucket_count + stats.overflow_page_count) * stats.page_size;
    let fill = 100 * stats.record_len / pages.max(1);
    if args.json {
        return Ok(json!({
            "loaded": loaded,
            "new": new,
            "duplicates": duplicates,
            "bad": bad,
            "count": count,
            "bytes": stats.file_len,
            "fill_percent": fill,
            "seconds": time.as_secs_f64(),
        })
        .to_string());
    }
    let mut text = format!(
        "loaded {} records, {} of them new keys, {} in place of others, in {} ({} a second); {} has {} \
         in {}, pages {fill} % full",
        human::count(loaded),
        human::count(new),
        human::count(duplicates),
        human::duration(time),
        human::rate(loaded, time),
        path.display(),
        human::count(count),
        human::bytes(stats.file_len),
    );
    if bad > 0 {
        text.push_str(&format!("; {} bad passed over", human::count(bad)));
    }
    Ok(text)
}
