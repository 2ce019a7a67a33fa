//! Group commit: writers that wait share one sync.
//!
//! Whoever waits first leads: it writes what is buffered, syncs without holding the writer's lock,
//! applies what is durable now, and wakes the others. A checkpoint leads as well while it switches
//! the log's segment. Only a writer whose buffer is full syncs without the lead.

use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Inner;
use super::writer::Writer;
use crate::error::{Error, Result};
use crate::log::{Lsn, Synced};
use crate::mutant::{Mutant, mutant};

/// What is known to be durable.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) durable: Lsn,
    pub(super) led: bool,
    /// Checkpoints that wait for the lead: they go before those who want to sync, who would else
    /// take it again and again.
    pub(super) waiting: u32,
    /// Writers that have come to wait since the last sync began, and how many waited when it ended.
    pub(super) arrived: u32,
    pub(super) expected: u32,
    /// How long the last sync took.
    pub(super) sync_time: Duration,
}

/// The right to sync the log, and the duty to wake those who wait.
pub(super) struct Lead<'i> {
    inner: &'i Inner,
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        self.inner.group().led = false;
        self.inner.group_changed.notify_all();
    }
}

impl Inner {
    pub(super) fn group(&self) -> MutexGuard<'_, Group> {
        self.group.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a commit is durable and applied, syncing it if nobody else does.
    pub(super) fn wait_durable(&self, lsn: Lsn) -> Result<()> {
        self.shared.check_process()?;
        let mut is_counted = false;
        loop {
            let mut group = self.group();
            if group.durable >= lsn {
                return Ok(());
            }
            if !std::mem::replace(&mut is_counted, true) {
                group.arrived += 1;
                if group.arrived == group.expected {
                    self.group_gathered.notify_one();
                }
            }
            // A failed sync is never tried again (C6).
            self.shared.check_not_refused()?;
            if !group.led && group.waiting == 0 {
                group.led = true;
                drop(group);
                let lead = Lead { inner: self };
                self.gather();
                self.sync_as(&lead)?;
                continue;
            }
            drop(self.group_changed.wait(group).unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Waits for writers that waited for the last sync: they are on their way back, and who leads
    /// first would else sync its own commit alone. Not longer than half of that sync took; then fewer
    /// are expected.
    fn gather(&self) {
        let group = self.group();
        let patience = group.sync_time / 2;
        let is_short = |group: &mut Group| group.arrived < group.expected;
        drop(self.group_gathered.wait_timeout_while(group, patience, is_short));
    }

    /// Waits for the lead.
    pub(super) fn lead(&self) -> Lead<'_> {
        let mut group = self.group();
        group.waiting += 1;
        while group.led {
            group = self.group_changed.wait(group).unwrap_or_else(PoisonError::into_inner);
        }
        group.waiting -= 1;
        group.led = true;
        Lead { inner: self }
    }

    /// Makes all durable that is appended by now.
    pub(super) fn sync_as(&self, _lead: &Lead<'_>) -> Result<()> {
        let mut asked = None;
        let mut served = 0;
        loop {
            let (ticket, newest) = {
                let mut writer = self.writer();
                // A panic under the lock is noticed when it is taken.
                self.shared.check_not_refused()?;
                let newest = writer.newest_lsn();
                let Some(log) = &mut writer.log else { return Err(Error::Closed) };
                (self.or_refuse(log.write(true))?, newest)
            };
            let asked = *asked.get_or_insert(newest);
            let Some(ticket) = ticket else {
                // Nothing was left to sync: all of it is durable.
                self.note_durable(&mut self.writer(), newest);
                return Ok(());
            };
            served += std::mem::take(&mut self.group().arrived);
            let started = Instant::now();
            let synced = if mutant(Mutant::AcknowledgeBeforeSync) {
                ticket.not_synced()
            } else {
                self.or_refuse(ticket.sync())?
            };
            let taken = started.elapsed();
            self.counters.note_sync(taken);
            let mut group = self.group();
            (group.expected, group.sync_time) = (served + group.arrived, taken);
            drop(group);
            self.note_synced(&mut self.writer(), synced);
            // Where the log goes on in a next segment, more than one sync is due.
            if synced.lsn >= asked {
                return Ok(());
            }
        }
    }

    /// Syncs the log under the writer's lock and applies all of it.
    pub(super) fn sync_locked(&self, _lead: &Lead<'_>, writer: &mut Writer) -> Result<()> {
        let newest = writer.newest_lsn();
        while let Some(log) = &mut writer.log {
            let Some(ticket) = self.or_refuse(log.write(true))? else { break };
            let started = Instant::now();
            let synced = if mutant(Mutant::Steal) {
                ticket.not_synced()
            } else {
                self.or_refuse(ticket.sync())?
            };
            self.counters.note_sync(started.elapsed());
            self.note_synced(writer, synced);
        }
        // Whoever waits is served: all that is appended is durable.
        self.group().arrived = 0;
        self.note_durable(writer, newest);
        Ok(())
    }

    fn note_synced(&self, writer: &mut Writer, synced: Synced) {
        if let Some(log) = &mut writer.log {
            log.synced(synced);
        }
        self.note_durable(writer, synced.lsn);
    }

    fn note_durable(&self, writer: &mut Writer, lsn: Lsn) {
        writer.apply_until(lsn);
        self.note_record_count(writer);
        let mut group = self.group();
        group.durable = group.durable.max(lsn);
    }

    /// After a failed write or sync of the log nothing that was pending may ever be shown, and
    /// nothing may be written (C6).
    fn or_refuse<T>(&self, result: Result<T>) -> Result<T> {
        result.inspect_err(|error| {
            self.shared.refuse(error);
            self.group_changed.notify_all();
            self.checkpoint_done.notify_all();
        })
    }
}
