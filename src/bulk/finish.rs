//! The end of a bulk load: piece by piece the input is read back, ordered and built into pages, by
//! as many threads as were asked for; then the file is made whole.
//!
//! Knows the way from partitions to pages; neither files nor the caller.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::build::{Builder, Built, Pages, buckets_of, measure};
use super::output::Output;
use super::partition::{Partition, Sizes};
use super::piece::{Merge, Piece, Resolver};
use super::plan::{self, Amount};
use super::record::{Incoming, Records};
use super::spill::Spilled;
use crate::error::{Error, Result};
use crate::index::Index;
use crate::layout::{Layout, RUN_BUCKETS};
use crate::page::meta::Counts;
use crate::pager::LiveCounts;
use crate::table::scan::bucket_from;

/// Records that a piece has on average at least, if one is to speak for all.
const SAMPLE_MIN: u64 = 100;

/// Where the records are.
pub(super) struct Source {
    pub(super) partitions: Vec<Mutex<Partition>>,
    pub(super) spill: Option<Spilled>,
    pub(super) old: Option<Index>,
    pub(super) sizes: Sizes,
    pub(super) merge: Option<Merge>,
    pub(super) hash_seed: u64,
    pub(super) pages: Pages,
    /// Records of the input, and bytes of them as they wait.
    pub(super) input: Amount,
    pub(super) input_len: u64,
    pub(super) fill: Option<u32>,
}

/// How the pieces are cut, and the layout that they make.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) piece_bits: u32,
    pub(super) layout: Layout,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Total {
    pub(super) bucket_words: Vec<u64>,
    pub(super) run_words: Vec<u64>,
    pub(super) counts: Counts,
    pub(super) live: LiveCounts,
    pub(super) overflow_count: u64,
}

impl Source {
    /// Loads the records of a piece. Those in memory are taken if `take`, else copied.
    fn load(&self, piece: &mut Piece, number: u64, bits: u32, take: bool) -> Result<()> {
        piece.clear(|segment| segment.capacity() >= self.sizes.block_len);
        let compact = Compact { source: self, bits, number };
        self.load_old(piece, &compact)?;
        let partition_bits = self.sizes.partition_bits;
        if bits > partition_bits {
            let partition = number >> (bits - partition_bits);
            let is_in = |hash: u64| hash >> (64 - bits) == number;
            self.load_partition(piece, partition, &compact, Some(&is_in), false)?;
            if take {
                self.note_read(partition, 1 << (bits - partition_bits));
            }
            return Ok(());
        }
        let each = 1 << (partition_bits - bits);
        for partition in number * each..(number + 1) * each {
            self.load_partition(piece, partition, &compact, None, take)?;
        }
        Ok(())
    }

    /// A piece has read its part of a partition that so many pieces read; after the last of them
    /// nobody does.
    fn note_read(&self, partition: u64, pieces: u64) {
        let place = usize::try_from(partition).unwrap_or(usize::MAX);
        let Some(slot) = self.partitions.get(place) else { return };
        let mut partition = slot.lock().unwrap_or_else(PoisonError::into_inner);
        partition.read_count += 1;
        if let (Some(spill), true) = (&self.spill, partition.read_count == pieces) {
            spill.forget(&partition.extents);
        }
    }

    /// The records that the index has already: they are older than the input.
    fn load_old(&self, piece: &mut Piece, compact: &Compact<'_>) -> Result<()> {
        let Some(old) = &self.old else { return Ok(()) };
        let (first, end) = compact.range();
        let mut place = Some(first);
        while let Some(at) = place.filter(|at| end.is_none_or(|end| *at < end)) {
            let (entries, next) = bucket_from(old.shared_parts(), at, None)?;
            for (hash, key, value) in entries {
                if end.is_none_or(|end| hash < end) {
                    let record = Incoming { key: &key, value: Some(&value) };
                    piece.push_record(0, &record, self.sizes.block_len);
                }
            }
            place = next;
        }
        Ok(())
    }

    fn load_partition(
        &self,
        piece: &mut Piece,
        partition: u64,
        compact: &Compact<'_>,
        is_in: Option<&dyn Fn(u64) -> bool>,
        take: bool,
    ) -> Result<()> {
        let place = usize::try_from(partition).unwrap_or(usize::MAX);
        let Some(slot) = self.partitions.get(place) else { return Ok(()) };
        let (extents, blocks) = {
            let mut partition = slot.lock().unwrap_or_else(PoisonError::into_inner);
            let blocks = if take { std::mem::take(&mut partition.blocks) } else { Vec::new() };
            (partition.extents.clone(), blocks)
        };
        if let Some(spill) = &self.spill {
            for extent in &extents {
                let mut segment = piece.spare_segment();
                spill.read(extent, &mut segment)?;
                self.add(piece, segment, compact, is_in).ok_or_else(|| spill.damaged())?;
            }
        }
        if let (Some(spill), true) = (&self.spill, take) {
            spill.forget(&extents);
        }
        let sound = "blocks in memory are as they were written";
        if take {
            for block in blocks {
                self.add(piece, block, compact, is_in).expect(sound);
            }
            return Ok(());
        }
        let partition = slot.lock().unwrap_or_else(PoisonError::into_inner);
        for block in &partition.blocks {
            match is_in {
                Some(is_in) => self.filter(piece, block, is_in).expect(sound),
                None => piece.push(block.clone()),
            }
            compact.keep_small(piece).expect(sound);
        }
        Ok(())
    }

    /// Adds a segment, or those of its records that are in the piece.
    fn add(
        &self,
        piece: &mut Piece,
        segment: Vec<u8>,
        compact: &Compact<'_>,
        is_in: Option<&dyn Fn(u64) -> bool>,
    ) -> Option<()> {
        match is_in {
            Some(is_in) => self.filter(piece, &segment, is_in)?,
            None => piece.push(segment),
        }
        compact.keep_small(piece)
    }

    fn filter(&self, piece: &mut Piece, block: &[u8], is_in: &dyn Fn(u64) -> bool) -> Option<()> {
        let mut records = Records::of(block);
        while let Some(record) = records.next() {
            let (_, record) = record?;
            if is_in(crate::hash::hash(record.key, self.hash_seed)) {
                piece.push_record(records.input, &record, self.sizes.block_len);
            }
        }
        Some(())
    }

    /// Chooses the layout: by what the first piece comes to, unless it has no duplicates. Then the
    /// records are counted.
    pub(super) fn plan(&self) -> Result<Plan> {
        let old = self.old.as_ref().map(Index::counts).unwrap_or_default();
        let whole = Amount {
            records: self.input.records + old.record_count,
            len: self.input.len + old.record_len,
            len_squares: self.input.len_squares,
        };
        // Both are loaded with their values, wherever these stand.
        let len = self.input_len + old.record_len + old.value_len;
        let bits_of = |amount: &Amount, left| {
            plan::piece_bits(amount, (len, left), self.pages.size, &self.sizes)
        };
        let bits = bits_of(&whole, len);
        let rough = plan::layout(&whole, &self.pages, self.fill, 1 << bits);
        let mut piece = Piece::default();
        self.load(&mut piece, 0, bits, false)?;
        let buckets = buckets_of(rough, 0, bits);
        let count = usize::try_from(buckets.end).unwrap_or_default();
        self.order(&mut piece, rough, &buckets)?;
        let mut resolver = Resolver::new(self.merge.clone());
        let found = measure(&piece, &mut resolver, count, &self.pages);
        let is_too_few = bits > 0 && whole.records >> bits < SAMPLE_MIN;
        let amount = match found.records == piece.count() && self.old.is_none() {
            true if piece.count() > 0 => whole,
            _ if is_too_few => whole,
            _ => found.scaled((1_u64 << bits) as f64),
        };
        // Many records of few keys take fewer pieces.
        let shrunk = len as f64 * (amount.records as f64 / whole.records.max(1) as f64).min(1.0);
        #[allow(clippy::cast_possible_truncation, reason = "an estimate")]
        let piece_bits = bits_of(&amount, shrunk as u64).min(bits);
        let layout = plan::layout(&amount, &self.pages, self.fill, 1 << piece_bits);
        Ok(Plan { piece_bits, layout })
    }

    fn order(&self, piece: &mut Piece, layout: Layout, buckets: &Range<u64>) -> Result<()> {
        let ordered = piece.order(self.hash_seed, layout, (buckets.start, buckets.end));
        match (ordered, &self.spill) {
            (None, Some(spill)) => Err(spill.damaged()),
            (ordered, _) => {
                ordered.expect("blocks in memory are as they were written");
                Ok(())
            }
        }
    }

    /// The pages of a piece.
    fn build(&self, work: &mut Work<'_>, plan: Plan, number: u64) -> Result<Built> {
        let buckets = buckets_of(plan.layout, number, plan.piece_bits);
        self.load(&mut work.piece, number, plan.piece_bits, true)?;
        self.order(&mut work.piece, plan.layout, &buckets)?;
        let mut builder = Builder::new(work.output, buckets.start);
        let runs = Layout::run_of(buckets.start)..buckets.end.div_ceil(RUN_BUCKETS);
        for (run, index) in runs.zip((0..).step_by(usize::try_from(RUN_BUCKETS).unwrap_or(16))) {
            builder.run(run, &work.piece, &mut work.resolver, index)?;
        }
        builder.end()
    }
}

/// Makes loaded records fewer when they become too many: one is left for each key.
struct Compact<'c> {
    source: &'c Source,
    bits: u32,
    number: u64,
}

impl Compact<'_> {
    /// The hashes of the piece.
    fn range(&self) -> (u64, Option<u64>) {
        if self.bits == 0 {
            return (0, None);
        }
        let first = |number: u64| number.checked_shl(64 - self.bits).unwrap_or(0);
        let is_last = self.number + 1 == 1 << self.bits;
        (first(self.number), (!is_last).then(|| first(self.number + 1)))
    }

    /// `None` if the bytes are no records.
    fn keep_small(&self, piece: &mut Piece) -> Option<()> {
        let limit = self.source.sizes.piece_len_max;
        if piece.len() <= 2 * limit.max(piece.compacted_len()) {
            return Some(());
        }
        // As many groups as make small ones, within the piece's hashes.
        let groups = (piece.len() / 4096 + 1).next_power_of_two();
        let layout = Layout::new(groups << self.bits);
        let first = self.number * groups;
        piece.order(self.source.hash_seed, layout, (first, first + groups))?;
        let mut resolver = Resolver::new(self.source.merge.clone());
        resolver.keep_removals = piece.has_inputs();
        let mut compacted = Piece::default();
        for group in 0..usize::try_from(groups).ok()? {
            resolver.clear();
            let end = resolver.add_bucket(piece, piece.bucket(group));
            for (input, record) in resolver.records(piece, 0..end) {
                compacted.push_record(input, &record, self.source.sizes.block_len);
            }
        }
        piece.replace(compacted);
        Some(())
    }
}

/// What a thread works with.
struct Work<'w> {
    output: &'w Output<'w>,
    piece: Piece,
    resolver: Resolver,
}

type Done = Result<(u64, Built)>;

/// Builds all pieces; `progress` hears how many of them are done, and may end it.
pub(super) fn build_all(
    source: &Source,
    output: &Output<'_>,
    plan: Plan,
    threads: usize,
    progress: &mut dyn FnMut(u64, u64) -> Result<()>,
) -> Result<Total> {
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let pieces = 1 << plan.piece_bits;
    let run = |results: &Sender<Done>| {
        let resolver = Resolver::new(source.merge.clone());
        let mut work = Work { output, piece: Piece::default(), resolver };
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= pieces || stop.load(Ordering::Relaxed) {
                return;
            }
            let built = guarded(|| source.build(&mut work, plan, number));
            let failed = built.is_err();
            stop.fetch_or(failed, Ordering::Relaxed);
            if results.send(built.map(|built| (number, built))).is_err() || failed {
                return;
            }
        }
    };
    let (results, done) = channel();
    if threads == 0 {
        run(&results);
        drop(results);
        return gather(&done, output.layout, pieces, progress);
    }
    std::thread::scope(|scope| {
        for _ in 1..threads {
            let results = results.clone();
            let thread = std::thread::Builder::new().name("splitpoint-bulk".to_owned());
            // Those that cannot be had are done without.
            let _ = thread.spawn_scoped(scope, move || run(&results));
        }
        let first = std::thread::Builder::new().name("splitpoint-bulk".to_owned());
        let own = results.clone();
        if first.spawn_scoped(scope, move || run(&own)).is_err() {
            run(&results);
        }
        drop(results);
        let gathered = gather(&done, output.layout, pieces, progress);
        stop.store(true, Ordering::Relaxed);
        gathered
    })
}

/// Puts together what the pieces became.
fn gather(
    done: &Receiver<Done>,
    layout: Layout,
    pieces: u64,
    progress: &mut dyn FnMut(u64, u64) -> Result<()>,
) -> Result<Total> {
    let len = |count: u64| usize::try_from(count).expect("bucket counts have 31 bits");
    let mut total = Total {
        bucket_words: vec![0; len(layout.bucket_count)],
        run_words: vec![0; len(layout.run_count())],
        ..Total::default()
    };
    let mut count = 0;
    loop {
        let (number, built) = match done.recv_timeout(Duration::from_millis(200)) {
            Ok(done) => done?,
            Err(RecvTimeoutError::Timeout) => {
                progress(count, pieces)?;
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(total),
        };
        let buckets = buckets_of(layout, number, pieces.ilog2());
        let place = |words: &mut [u64], first: u64, from: &[u64]| {
            words.iter_mut().skip(len(first)).zip(from).for_each(|(word, new)| *word = *new);
        };
        place(&mut total.bucket_words, buckets.start, &built.bucket_words);
        place(&mut total.run_words, buckets.start / RUN_BUCKETS, &built.run_words);
        total.overflow_count += built.overflow_count;
        let (counts, more) = (&mut total.counts, built.counts);
        counts.record_count += more.record_count;
        counts.record_len += more.record_len;
        counts.overflow_page_count += more.overflow_page_count;
        counts.value_page_count += more.value_page_count;
        counts.value_len += more.value_len;
        built.live.iter().for_each(|&(page, count)| total.live.set(page, count));
        count += 1;
        progress(count, pieces)?;
    }
}

/// Runs it; a panic, which can only be the merge function's or a fault of ours, is an error.
pub(super) fn guarded<T>(run: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        Err(Error::Panicked { reason: text.unwrap_or("no reason given").to_owned() })
    })
}
