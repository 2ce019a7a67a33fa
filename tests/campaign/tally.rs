//! Distinct states, failures and time, counted by all threads together.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The count of a campaign.
pub(crate) struct Tally {
    seen: Vec<Mutex<HashSet<u64>>>,
    count: AtomicU64,
    failures: AtomicU64,
    started: Instant,
    pub(crate) states_max: u64,
    pub(crate) time_max: Duration,
}

impl Tally {
    pub(crate) fn new(states_max: u64, time_max: Duration) -> Tally {
        Tally {
            seen: (0..64).map(|_| Mutex::default()).collect(),
            count: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            started: Instant::now(),
            states_max,
            time_max,
        }
    }

    /// Counts a state; `false` if it was seen before.
    pub(crate) fn is_new(&self, state: u64) -> bool {
        let shard = &self.seen[(state >> 58) as usize];
        let new = shard.lock().unwrap_or_else(PoisonError::into_inner).insert(state);
        self.count.fetch_add(u64::from(new), Ordering::Relaxed);
        new
    }

    pub(crate) fn fail(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Whether enough is done: the only thing that a clock decides.
    pub(crate) fn is_over(&self) -> bool {
        self.count() >= self.states_max
            || self.started.elapsed() >= self.time_max
            || self.failures() >= 3
    }
}
