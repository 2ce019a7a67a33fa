//! How far a bulk load has come, and how the caller hears it. Knows nothing of records.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// What a bulk load is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BulkPhase {
    /// Records are coming in.
    Input,
    /// Pages are made and written.
    Build,
    /// The file is made durable.
    Sync,
    /// The file is in its place.
    Done,
}

/// How far a bulk load has come, as its progress callback hears it.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct BulkProgress {
    /// What it is doing.
    pub phase: BulkPhase,
    /// Records and removals that came in.
    pub input_count: u64,
    /// How much of the phase is done, from 0 to 1; of the input nobody knows.
    pub share: f64,
    /// Bytes in the spill file.
    pub spilled_len: u64,
    /// Bytes written to the new file.
    pub written_len: u64,
    /// Time since the load began.
    pub elapsed: Duration,
    /// Records of the new file; known from [`BulkPhase::Sync`] on, as what follows.
    pub record_count: u64,
    /// Those of them that stand in overflow pages: a lookup reads a second page.
    pub overflow_count: u64,
    /// Bucket pages of the new file.
    pub bucket_count: u64,
    /// Its overflow pages.
    pub overflow_page_count: u64,
}

impl BulkProgress {
    /// The beginning of a phase, of which nothing more is known.
    pub(super) fn of(phase: BulkPhase, input_count: u64) -> BulkProgress {
        BulkProgress {
            phase,
            input_count,
            share: 0.0,
            spilled_len: 0,
            written_len: 0,
            elapsed: Duration::ZERO,
            record_count: 0,
            overflow_count: 0,
            bucket_count: 0,
            overflow_page_count: 0,
        }
    }
}

/// Whether the load is to stop.
pub(super) type StopFn = Box<dyn Fn() -> bool + Send>;

pub(super) type ProgressFn = Box<dyn FnMut(&BulkProgress) + Send>;

/// Tells the caller how far it has come.
pub(super) struct Teller {
    pub(super) state: BulkProgress,
    pub(super) callback: Option<ProgressFn>,
    pub(super) started: Instant,
    pub(super) stop: Option<StopFn>,
}

impl Teller {
    pub(super) fn tell(&mut self, phase: BulkPhase, share: f64) {
        let state = &mut self.state;
        (state.phase, state.share, state.elapsed) = (phase, share, self.started.elapsed());
        if let Some(callback) = &mut self.callback {
            callback(state);
        }
    }

    /// An error if the load is to stop.
    pub(super) fn go_on(&self, path: &Path) -> Result<()> {
        match self.stop.as_ref().is_some_and(|stop| stop()) {
            true => Err(Error::Stopped { path: path.to_owned() }),
            false => Ok(()),
        }
    }
}
