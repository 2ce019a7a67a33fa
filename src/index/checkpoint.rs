//! Running checkpoints: freeze under the writer's lock, write without it, install under it.

use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};
use std::time::Instant;

use super::Inner;
use super::commit::Lead;
use super::writer::{Writer, position_of};
use crate::error::{Error, Result, unless_damaged};
use crate::log::{Epoch, LogStart, Lsn};
use crate::mutant::{Mutant, mutant};
use crate::page::meta::LogPosition;
use crate::pager::{Checkpoint, Progress};

/// A checkpoint on its way.
#[derive(Debug)]
pub(super) struct Job {
    checkpoint: Checkpoint,
    written: bool,
    started: Instant,
}

/// Entries of a step where a simulation says when one is due: its tables are small.
const MANUAL_STEP: usize = 4;

/// The file may be longer than its live pages by this many percent: the promise is three.
const SLACK_PERCENT: u64 = 1;
/// Passes over the file's tail before a checkpoint that was asked for gives up moving it down.
const COMPACTION_PASSES: usize = 16;

/// Times that it cleans up to the memory budget: writers beside it may make more to clean.
const CLEANING_STEPS: usize = 256;

impl Inner {
    /// A whole checkpoint. Nothing happens if nothing has changed.
    pub(super) fn run_checkpoint(&self) -> Result<()> {
        self.shared.check_process()?;
        let mut job = self.job();
        // One that was begun step by step is finished first.
        while self.step_job(&mut job)? {}
        if self.begin_job(&mut job, false)? {
            while self.step_job(&mut job)? {}
        }
        Ok(())
    }

    /// Begins a checkpoint; `false` if there is nothing to write or one is on its way.
    #[cfg(feature = "simulation")]
    pub(super) fn begin_checkpoint(&self) -> Result<bool> {
        let mut job = self.job();
        if job.is_some() { Ok(false) } else { self.begin_job(&mut job, false) }
    }

    /// Does a step of the checkpoint that was begun; `false` if there is none.
    #[cfg(feature = "simulation")]
    pub(super) fn step_checkpoint(&self) -> Result<bool> {
        let mut job = self.job();
        self.step_job(&mut job)
    }

    fn begin_job(&self, job: &mut Option<Job>, clean: bool) -> Result<bool> {
        let lead = self.lead();
        let mut writer = self.synced_writer(&lead)?;
        self.freeze(&lead, &mut writer, clean, job)
    }

    /// The writer, when all that is appended is durable and applied: most of it is made so while
    /// other writers go on, and they wait for the rest only.
    fn synced_writer(&self, lead: &Lead<'_>) -> Result<MutexGuard<'_, Writer>> {
        let mut writer = self.writer();
        self.check_may_write(&writer)?;
        if mutant(Mutant::FreezeBetweenAppendAndApply) {
            return Ok(writer);
        }
        if writer.log.is_some() && !mutant(Mutant::Steal) {
            drop(writer);
            self.sync_as(lead)?;
            writer = self.writer();
            self.check_may_write(&writer)?;
        }
        self.sync_locked(lead, &mut writer)?;
        Ok(writer)
    }

    /// Called with what `synced_writer` gave, by who leads since: all before the checkpoint's LSN is
    /// durable and applied, nothing after it is (C9).
    fn freeze(
        &self,
        _lead: &Lead<'_>,
        writer: &mut Writer,
        clean: bool,
        job: &mut Option<Job>,
    ) -> Result<bool> {
        // Commits that change nothing fill the log, too.
        let log_len = writer.log.as_ref().map_or(0, crate::log::Log::live_len);
        let needs_log = clean && writer.log.is_some() || log_len > self.log_budget / 2;
        if writer.is_unchanged() && !needs_log {
            return Ok(false);
        }
        writer.ensure_log()?;
        let log = match (&mut writer.log, clean) {
            (Some(log), false) => {
                let rotated = log.rotate();
                position_of(writer.or_refuse(rotated)?)
            }
            _ => after_close(writer),
        };
        let Some(persisted) = writer.persisted.take() else { return Ok(false) };
        let mut checkpoint = writer.table.pager.freeze(persisted, log, clean);
        if self.manual {
            checkpoint = checkpoint.in_steps_of(MANUAL_STEP);
        }
        writer.must_checkpoint = false;
        *job = Some(Job { checkpoint, written: false, started: Instant::now() });
        Ok(true)
    }

    fn step_job(&self, slot: &mut Option<Job>) -> Result<bool> {
        let Some(job) = slot else { return Ok(false) };
        if !job.written {
            // After a failed sync of the log pages are not written any more either (C6).
            let step = self.shared.check_not_refused().and_then(|()| job.checkpoint.step());
            match step {
                Ok(Progress::More) => return Ok(true),
                Ok(Progress::Done) => {
                    job.written = true;
                    // Before the pages of the checkpoint before it can be given out again: a check
                    // that pins from now on walks this one.
                    *self.last_meta.lock().unwrap_or_else(PoisonError::into_inner) =
                        job.checkpoint.meta().clone();
                }
                Err(error) => {
                    let job = slot.take();
                    return Err(self.checkpoint_failed(job, error));
                }
            }
            return Ok(true);
        }
        let mut writer = self.writer();
        if writer.table.pager.install(&mut job.checkpoint) == Progress::More {
            return Ok(true);
        }
        self.counters.note_checkpoint(job.started.elapsed(), job.checkpoint.written_len());
        let segment = job.checkpoint.log().segment;
        if let Some(job) = slot.take() {
            writer.persisted = Some(job.checkpoint.into_persisted());
        }
        let discarded = writer.log.as_mut().map(|log| log.recycle_before(segment));
        self.note_pressure(&writer);
        drop(writer);
        self.checkpoint_done.notify_all();
        if let Some(Ok(discarded)) = discarded {
            // A segment that cannot be removed is litter, which the next open removes.
            let _ = discarded.remove();
        }
        Ok(false)
    }

    fn checkpoint_failed(&self, job: Option<Job>, mut error: Error) -> Error {
        let mut writer = self.writer();
        let mut spares = None;
        match (job, &error) {
            (Some(job), Error::StorageFull { .. }) if job.checkpoint.can_be_abandoned() => {
                // The log still has it all; it is tried again when there is room.
                writer.persisted = Some(writer.table.pager.abandon(job.checkpoint));
                spares = writer.log.as_mut().map(crate::log::Log::discard_spares);
            }
            _ => {
                error = error.of_unknown_fate();
                self.shared.refuse(&error);
            }
        }
        drop(writer);
        let _ = spares.map(crate::log::Discarded::remove);
        self.group_changed.notify_all();
        self.checkpoint_done.notify_all();
        error
    }

    /// Checkpoints until the file is hardly longer than its live pages.
    pub(super) fn checkpoint_and_compact(&self, clean: bool) -> Result<()> {
        self.shared.check_process()?;
        while self.settle()? {
            self.run_checkpoint()?;
        }
        self.run_checkpoint()?;
        for _ in 0..CLEANING_STEPS {
            if !self.clean_up()? {
                break;
            }
            self.run_checkpoint()?;
        }
        let mut page_count = u64::MAX;
        for _ in 0..COMPACTION_PASSES {
            // What the last checkpoint freed is free for the next one only.
            if !self.move_tail_down(&mut page_count)? {
                break;
            }
            self.run_checkpoint()?;
        }
        if clean {
            let mut job = self.job();
            if self.begin_job(&mut job, true)? {
                while self.step_job(&mut job)? {}
            }
        }
        let _job = self.job();
        let writer = self.writer();
        self.check_may_write(&writer)?;
        let page_count = self.last_meta.lock().unwrap_or_else(PoisonError::into_inner).page_count;
        self.shared.shorten(page_count)
    }

    /// Under the writer's lock: after a panic there, or once the file is closed by another thread,
    /// nothing more is written.
    fn check_may_write(&self, writer: &Writer) -> Result<()> {
        self.shared.check_not_refused()?;
        let is_closer = || self.closer.load(Ordering::SeqCst) == super::write::thread_number();
        if writer.closed && !is_closer() { Err(Error::Closed) } else { Ok(()) }
    }

    /// Shrinks the table as far as the memory budget allows for; `true` if that was not all.
    fn settle(&self) -> Result<bool> {
        let lead = self.lead();
        let mut writer = self.synced_writer(&lead)?;
        drop(lead);
        if !writer.table.wants_settling() {
            return Ok(false);
        }
        writer.ensure_log()?;
        let limit = self.memory_pages();
        let mut is_more = false;
        unless_damaged(writer.table.settle(limit).map(|more| is_more = more))?;
        Ok(is_more)
    }

    /// Changed pages that the memory budget allows for.
    fn memory_pages(&self) -> usize {
        let pages = self.memory_budget / self.shared.parameters.page_size as u64;
        usize::try_from(pages.max(1)).unwrap_or(usize::MAX)
    }

    /// Moves values out of pages that are mostly dead, as many as the memory budget allows for;
    /// `false` if there are none.
    fn clean_up(&self) -> Result<bool> {
        if !self.writer().table.wants_cleaning_up() {
            return Ok(false);
        }
        let lead = self.lead();
        let mut writer = self.synced_writer(&lead)?;
        drop(lead);
        writer.ensure_log()?;
        match writer.table.clean_up(self.memory_pages()) {
            // The copies need room for a while: without it the file stays as it is.
            Err(Error::StorageFull { .. }) => Ok(false),
            cleaned => cleaned.map(|()| true),
        }
    }

    /// Makes pages at the file's end changed, so that the next checkpoint writes them lower down.
    /// `false` if there is nothing to gain.
    fn move_tail_down(&self, page_count: &mut u64) -> Result<bool> {
        let mut writer = self.writer();
        self.check_may_write(&writer)?;
        let Some(persisted) = &writer.persisted else { return Ok(false) };
        let live = persisted.live_page_count();
        let goal = live + live * SLACK_PERCENT / 100;
        let before = std::mem::replace(page_count, persisted.page_count());
        let has_shrunk = *page_count < before;
        if *page_count <= goal.max(live + 2) {
            return Ok(false);
        }
        // What readers hold back is no place to move down to.
        let free = goal.saturating_sub(self.shared.space().taken().count_below(goal));
        if free == 0 {
            return Ok(false);
        }
        writer.ensure_log()?;
        let writer = &mut *writer;
        let Some(persisted) = &mut writer.persisted else { return Ok(false) };
        persisted.move_nodes_from(goal);
        let limit = self.memory_pages().min(usize::try_from(free).unwrap_or(usize::MAX));
        let moved = writer.table.move_pages_from(goal, limit)?;
        // Nodes alone can be written anew again and again: only while that makes the file shorter.
        Ok(moved > 0 || has_shrunk)
    }
}

/// The position that a clean file's meta page keeps: no log, and the numbers to go on with.
fn after_close(writer: &Writer) -> LogPosition {
    let last = writer.persisted.as_ref().map(|persisted| persisted.log()).unwrap_or_default();
    let start = LogStart {
        epoch: Epoch { counter: last.epoch_counter, random: last.epoch_random },
        segment: last.segment + 1,
        lsn: Lsn(writer.newest_lsn().0 + 1),
    };
    position_of(start)
}
