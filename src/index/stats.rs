//! What an index is and has done, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Numbers about an open index. All are cheap: nothing is counted when they are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Records.
    pub record_count: u64,
    /// Bytes of all records in bucket and overflow pages.
    pub record_len: u64,
    /// Bytes of a page.
    pub page_size: u64,
    /// Buckets of the layout.
    pub bucket_count: u64,
    /// Buckets of the layout that a resize is moving to, or 0.
    pub next_bucket_count: u64,
    /// How far that resize has come: hashes below are in the next layout.
    pub splitpoint: u64,
    /// Pages of the file at the last checkpoint.
    pub page_count: u64,
    /// Free pages among them.
    pub free_page_count: u64,
    /// Overflow pages.
    pub overflow_page_count: u64,
    /// Pages of the value area, which hold the values of large records.
    pub value_page_count: u64,
    /// Bytes of large records in them; what else they have is dead.
    pub value_len: u64,
    /// Bytes of the data file. Its tail may take no disk.
    pub file_len: u64,
    /// Bytes of disk that the data file takes.
    pub file_allocated_len: u64,
    /// Bytes of log since the last checkpoint.
    pub log_len: u64,
    /// Bytes of changed pages in memory.
    pub dirty_len: u64,
    /// Bytes that readers, or a commit that is being made, hold back from being used again, outside
    /// the memory budget.
    pub held_len: u64,
    /// How long the oldest of them has been held, in microseconds: a value, a lookup or a commit that
    /// began at least so long ago is still held.
    pub held_micros: u64,
    /// Generation of the last checkpoint.
    pub generation: u64,
    /// Lookups that found their key. As all counts of lookups: over all threads, since the open;
    /// threads beyond the 64th share counters and may lose a few.
    pub hit_count: u64,
    /// Lookups that did not.
    pub miss_count: u64,
    /// Commits.
    pub commit_count: u64,
    /// Syncs of the log.
    pub sync_count: u64,
    /// Microseconds of all syncs of the log together.
    pub sync_micros: u64,
    /// The longest of them, in microseconds.
    pub sync_micros_max: u64,
    /// Checkpoints.
    pub checkpoint_count: u64,
    /// Microseconds of all checkpoints together.
    pub checkpoint_micros: u64,
    /// The longest of them, in microseconds.
    pub checkpoint_micros_max: u64,
    /// Pages that resizes and compactions have moved.
    pub moved_page_count: u64,
    /// Bytes of the operations of all commits; the log's record headers and padding are not counted.
    pub log_written_len: u64,
    /// Bytes written to the data file by checkpoints.
    pub file_written_len: u64,
}

impl Stats {
    /// Lookups.
    pub fn get_count(&self) -> u64 {
        self.hit_count + self.miss_count
    }

    /// Every number with its name.
    pub fn fields(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("record_count", self.record_count),
            ("record_len", self.record_len),
            ("page_size", self.page_size),
            ("bucket_count", self.bucket_count),
            ("next_bucket_count", self.next_bucket_count),
            ("splitpoint", self.splitpoint),
            ("page_count", self.page_count),
            ("free_page_count", self.free_page_count),
            ("overflow_page_count", self.overflow_page_count),
            ("value_page_count", self.value_page_count),
            ("value_len", self.value_len),
            ("file_len", self.file_len),
            ("file_allocated_len", self.file_allocated_len),
            ("log_len", self.log_len),
            ("dirty_len", self.dirty_len),
            ("held_len", self.held_len),
            ("held_micros", self.held_micros),
            ("generation", self.generation),
            ("get_count", self.get_count()),
            ("hit_count", self.hit_count),
            ("miss_count", self.miss_count),
            ("commit_count", self.commit_count),
            ("sync_count", self.sync_count),
            ("sync_micros", self.sync_micros),
            ("sync_micros_max", self.sync_micros_max),
            ("checkpoint_count", self.checkpoint_count),
            ("checkpoint_micros", self.checkpoint_micros),
            ("checkpoint_micros_max", self.checkpoint_micros_max),
            ("moved_page_count", self.moved_page_count),
            ("log_written_len", self.log_written_len),
            ("file_written_len", self.file_written_len),
        ]
    }
}

/// Counters that a thread has for itself, a cache line apart from the next one's.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Stripe {
    hits: AtomicU64,
    misses: AtomicU64,
}

const STRIPES: usize = 64;

/// What is counted as it happens.
#[derive(Debug)]
pub(super) struct Counters {
    stripes: Box<[Stripe]>,
    pub(super) commits: AtomicU64,
    pub(super) log_written_len: AtomicU64,
    pub(super) syncs: AtomicU64,
    pub(super) sync_micros: AtomicU64,
    pub(super) sync_micros_max: AtomicU64,
    pub(super) checkpoints: AtomicU64,
    pub(super) checkpoint_micros: AtomicU64,
    pub(super) checkpoint_micros_max: AtomicU64,
    pub(super) file_written_len: AtomicU64,
}

thread_local! {
    static STRIPE: usize = {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        usize::try_from(NEXT.fetch_add(1, Ordering::Relaxed)).unwrap_or(0) % STRIPES
    };
}

impl Counters {
    pub(super) fn new() -> Counters {
        Counters {
            stripes: (0..STRIPES).map(|_| Stripe::default()).collect(),
            commits: AtomicU64::new(0),
            log_written_len: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
            sync_micros: AtomicU64::new(0),
            sync_micros_max: AtomicU64::new(0),
            checkpoints: AtomicU64::new(0),
            checkpoint_micros: AtomicU64::new(0),
            checkpoint_micros_max: AtomicU64::new(0),
            file_written_len: AtomicU64::new(0),
        }
    }

    /// Counts lookups of this thread.
    #[inline]
    pub(super) fn note_gets(&self, hits: u64, misses: u64) {
        let Some(stripe) = self.stripes.get(STRIPE.with(|stripe| *stripe)) else { return };
        // Load and store, not an atomic addition: the line is this thread's own.
        for (counter, count) in [(&stripe.hits, hits), (&stripe.misses, misses)] {
            if count > 0 {
                counter.store(counter.load(Ordering::Relaxed) + count, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn gets(&self) -> (u64, u64) {
        let sum = |of: fn(&Stripe) -> &AtomicU64| {
            self.stripes.iter().map(|stripe| of(stripe).load(Ordering::Relaxed)).sum()
        };
        (sum(|stripe| &stripe.hits), sum(|stripe| &stripe.misses))
    }

    pub(super) fn note_commit(&self, len: u64) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.log_written_len.fetch_add(len, Ordering::Relaxed);
    }

    pub(super) fn note_sync(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.sync_micros.fetch_add(micros, Ordering::Relaxed);
        self.sync_micros_max.fetch_max(micros, Ordering::Relaxed);
    }

    pub(super) fn note_checkpoint(&self, took: Duration, written: u64) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.checkpoints.fetch_add(1, Ordering::Relaxed);
        self.checkpoint_micros.fetch_add(micros, Ordering::Relaxed);
        self.checkpoint_micros_max.fetch_max(micros, Ordering::Relaxed);
        self.file_written_len.fetch_add(written, Ordering::Relaxed);
    }
}
