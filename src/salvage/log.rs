//! The log of the damaged file: whether it can be redone as at an open, and what is left of it if
//! not.

use super::records::commit;
use super::report::Loss;
use super::roster::Roster;
use super::source::Source;
use crate::Index;
use crate::error::{Corruption, Error, Fault, Place, Result};
use crate::index::Batch;
use crate::log::{self, Epoch, LogFiles, LogStart, Lsn};
use crate::page::meta::Meta;
use crate::table::operation::Operation;

/// Bytes of one commit into the new file.
const BATCH_LEN: usize = 4 << 20;

/// What is to be done with the log.
#[derive(Debug)]
pub(super) struct Plan {
    /// Whether the state that the meta page names is not the newest: there are newer pages, and no
    /// log that leads to them.
    pub(super) by_generation: bool,
    files: Option<LogFiles>,
    start: Option<LogStart>,
    work: Work,
    losses: Vec<Loss>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    /// The file was closed clean.
    None,
    /// As at an open.
    Redo,
    /// Whatever verifies.
    Rescue,
}

fn start_of(meta: &Meta) -> LogStart {
    LogStart {
        epoch: Epoch { counter: meta.log.epoch_counter, random: meta.log.epoch_random },
        segment: meta.log.segment,
        lsn: Lsn(meta.log.lsn),
    }
}

impl Plan {
    pub(super) fn new(source: &Source, roster: &Roster) -> Result<Plan> {
        let files = source.file_id.map(|id| source.log_files(id));
        let mut plan = Plan {
            by_generation: true,
            files,
            start: None,
            work: Work::Rescue,
            losses: Vec::new(),
        };
        let (Some(meta), Some(files)) = (&source.meta, &plan.files) else { return Ok(plan) };
        let start = start_of(meta);
        plan.start = Some(start);
        let has_newer_log = log::survey(files, start.epoch)?.iter().any(|leftover| {
            leftover.has_record
                && leftover.header.is_some_and(|h| h.epoch.counter > start.epoch.counter)
        });
        let has_newer_page = roster.newest_generation > meta.generation;
        if meta.clean {
            plan.by_generation = has_newer_log || has_newer_page;
            plan.work = if plan.by_generation { Work::Rescue } else { Work::None };
            return Ok(plan);
        }
        match log::read(files, start, &mut |_, _| Ok(())) {
            Ok(_) if !has_newer_log => {
                // Newer pages are of a checkpoint that was not finished: the log has it all.
                (plan.by_generation, plan.work) = (false, Work::Redo);
            }
            Ok(_) => {}
            Err(Error::Corruption(corruption)) => {
                plan.losses.push(loss_of(&corruption));
                plan.by_generation = has_newer_page || has_newer_log;
            }
            Err(error) => return Err(error),
        }
        Ok(plan)
    }

    /// Adds the log to the new file; gives the number of commits, and what is lost.
    pub(super) fn add(mut self, index: &Index) -> Result<(u64, Vec<Loss>)> {
        let Some(files) = &self.files else { return Ok((0, self.losses)) };
        let (mut count, mut batch) = (0, Batch::new());
        let mut undecoded = Vec::new();
        let mut each = |_: Lsn, payload: &[u8]| {
            match add_commit(payload, &mut batch) {
                Ok(()) => count += 1,
                Err(fault) => undecoded.push(Loss::new(Place::File, "log", fault)),
            }
            if batch.byte_len() >= BATCH_LEN { commit(index, &mut batch) } else { Ok(()) }
        };
        match (self.work, self.start) {
            (Work::Redo, Some(start)) => {
                log::read(files, start, &mut each)?;
            }
            (Work::Rescue, start) => {
                let gaps = log::rescue(files, start, &mut each)?;
                self.losses.extend(gaps.iter().map(|gap| Loss::new(gap.place(), "log", gap.fault)));
                self.losses.dedup_by_key(|loss| loss.place);
            }
            _ => {}
        }
        commit(index, &mut batch)?;
        self.losses.extend(undecoded);
        Ok((count, self.losses))
    }
}

fn loss_of(corruption: &Corruption) -> Loss {
    let Corruption { place, promise, expected, found, .. } = corruption;
    Loss::new(*place, "log", Fault::new(*promise, *expected, *found))
}

/// A commit is taken as a whole.
fn add_commit(payload: &[u8], batch: &mut Batch) -> std::result::Result<(), Fault> {
    let mut rest = payload;
    while !rest.is_empty() {
        rest = Operation::decode(rest)?.1;
    }
    let mut rest = payload;
    while !rest.is_empty() {
        let (operation, after) = Operation::decode(rest)?;
        batch.push(operation);
        rest = after;
    }
    Ok(())
}
