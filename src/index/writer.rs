//! What the writer's lock protects, and a commit in its three steps: append, sync, apply (C9).
//!
//! Everything that can fail is done before the commit is appended to the log; then it counts.
//! Commits that are appended and not yet applied are *pending*: their operations wait in order, and
//! only writers look at them, so that they decide against the newest appended state.

use super::pending::{Commit, Pending, Step};
use crate::Error;
use crate::error::{Fault, Promise, Result};
use crate::hash::hash;
use crate::log::{Epoch, Log, LogFiles, LogStart, Lsn};
use crate::mutant::{Mutant, mutant};
use crate::page::meta::{LogPosition, METADATA_LEN_MAX};
use crate::pager::{Persisted, Pin};
use crate::table::Table;
use crate::table::operation::Operation;

/// Operations whose pages are on their way to the cache while one is prepared or applied.
const AHEAD: usize = 8;
/// As the words that lead to those.
const WORDS_AHEAD: usize = 16;
/// Operations that share a pin: to leave one is to wait for all that was read under it. What they
/// retire waits as long, and that may be a run of pages for each.
const PINNED: usize = 16;
/// Bytes of log that are gathered before they go to the file when nobody waits for them.
const LOG_BUFFER: usize = 256 << 10;

/// The state behind the writer's lock.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) table: Table,
    pub(super) log: Option<Log>,
    pub(super) files: LogFiles,
    /// What the last checkpoint wrote; `None` while one is on its way.
    pub(super) persisted: Option<Persisted>,
    pub(super) segment_size: u64,
    /// The next segment of a log that is yet to be made.
    pub(super) next_segment: u64,
    /// Commits of an index whose log is yet to be made begin here.
    pub(super) next_lsn: Lsn,
    /// Whether a checkpoint is due though no page has changed: recovery has a new log to announce.
    pub(super) must_checkpoint: bool,
    pending: Pending,
    prepared: Vec<Step>,
    pub(super) closed: bool,
    /// How soon the thread that syncs was asked to, if it has not begun to since.
    pub(super) sync_due_within: Option<std::time::Duration>,
}

/// When a commit is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Apply {
    Now,
    WhenDurable,
}

/// What a commit came to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Committed {
    pub(super) lsn: Lsn,
    /// Whether the last operation found its key there, if it was applied.
    pub(super) key_was_there: bool,
}

impl Writer {
    pub(super) fn new(
        table: Table,
        files: LogFiles,
        persisted: Persisted,
        segment_size: u64,
        next: (u64, Lsn),
    ) -> Writer {
        Writer {
            table,
            log: None,
            files,
            persisted: Some(persisted),
            segment_size,
            next_segment: next.0,
            next_lsn: next.1,
            must_checkpoint: false,
            pending: Pending::default(),
            prepared: Vec::new(),
            closed: false,
            sync_due_within: None,
        }
    }

    /// The LSN of the newest commit.
    pub(super) fn newest_lsn(&self) -> Lsn {
        self.log.as_ref().map_or(self.next_lsn, Log::next_lsn).previous()
    }

    /// Makes sure that there is a log, and a meta page that says so: every meta page that is
    /// written while the file is open for writing says that a log must exist.
    pub(super) fn ensure_log(&mut self) -> Result<()> {
        if self.log.is_some() {
            return Ok(());
        }
        self.table.shared().check_process()?;
        let Some(persisted) = &mut self.persisted else { return Ok(()) };
        let start = LogStart {
            epoch: new_epoch(&self.files, persisted.log().epoch_counter)?,
            segment: self.next_segment,
            lsn: self.next_lsn,
        };
        let log = match Log::create(self.files.clone(), start, self.segment_size) {
            Ok(log) => log,
            Err(error) => {
                // Nothing relies on it yet. Without room it may be tried again, under that name.
                let removed = crate::log::remove_segments(&self.files, [start.segment]);
                if matches!(error, Error::StorageFull { .. }) && removed.is_ok() {
                    return Err(error);
                }
                let error = error.of_unknown_fate();
                self.table.shared().refuse(&error);
                return Err(error);
            }
        };
        persisted.announce_log(position_of(start), self.table.shared())?;
        self.log = Some(log);
        Ok(())
    }

    /// The commit that the newest state of a key rests on, if that is pending.
    pub(super) fn rests_on(&mut self, key: &[u8]) -> Option<Lsn> {
        self.pending.newest(key).map(|(lsn, _)| lsn)
    }

    /// Calls `look` with the newest appended value of a key.
    pub(super) fn with_newest<R>(
        &mut self,
        key: &[u8],
        look: impl FnOnce(Option<&[u8]>) -> R,
    ) -> Result<R> {
        if let (Some((_, value)), false) =
            (self.pending.newest(key), mutant(Mutant::DecideOnPublishedState))
        {
            return Ok(look(value));
        }
        let shared = self.table.shared();
        let pin = shared.epoch.pin();
        let hit = crate::table::get::get(shared, &pin, key)?;
        Ok(look(hit.as_deref()))
    }

    /// Whether a key is there, pending changes included. A large value is not read.
    pub(super) fn has_newest(&mut self, key: &[u8]) -> Result<bool> {
        if let (Some((_, value)), false) =
            (self.pending.newest(key), mutant(Mutant::DecideOnPublishedState))
        {
            return Ok(value.is_some());
        }
        let shared = self.table.shared();
        crate::table::get::contains(shared, &shared.epoch.pin(), key)
    }

    /// Appends a commit, and applies it if it is to be seen before it is durable. An error changes
    /// nothing.
    pub(super) fn commit(
        &mut self,
        operations: &[Operation<'_>],
        apply: Apply,
    ) -> Result<Committed> {
        self.ensure_log()?;
        let written = self.table.pager.values.written();
        let mut steps = std::mem::take(&mut self.prepared);
        steps.clear();
        let appended = self.prepare(operations, &mut steps).and_then(|()| {
            // Encoding relies on lengths that preparing checks.
            let payload = match (operations, apply) {
                ([_], Apply::Now) => Vec::new(), // goes into the log in parts
                _ => encode(operations),
            };
            Ok((self.append(operations, &payload)?, payload))
        });
        let (mut committed, payload) = match appended {
            Ok((lsn, payload)) => (Committed { lsn, key_was_there: false }, payload),
            Err(error) => {
                self.forget(&steps);
                if let (Error::StorageFull { .. }, Some(log)) = (&error, &mut self.log) {
                    // The next try may have the room of these.
                    let _ = log.discard_spares().remove();
                }
                return Err(error);
            }
        };
        match apply {
            Apply::Now => {
                committed.key_was_there = self.apply_all(operations.iter().copied(), &steps);
                self.prepared = steps;
            }
            Apply::WhenDurable => {
                self.pending.push(Commit { lsn: committed.lsn, payload, steps });
            }
        }
        self.table.clean(self.table.pager.values.written() - written);
        Ok(committed)
    }

    fn prepare(&mut self, operations: &[Operation<'_>], steps: &mut Vec<Step>) -> Result<()> {
        let shared = self.table.shared().clone();
        let seed = shared.parameters.hash_seed;
        let mut pin = shared.epoch.pin();
        for (i, operation) in operations.iter().enumerate() {
            renew(&mut pin, i);
            let hash_of = |operation: &Operation<'_>| hash(operation.key_and_value().0, seed);
            self.prefetch(&pin, i, |i| operations.get(i).map(hash_of));
            steps.push(match *operation {
                Operation::Insert { key, value } => {
                    let hash = hash(key, seed);
                    Step::Insert { hash, prepared: self.table.prepare_insert(hash, key, value)? }
                }
                Operation::Remove { key } => {
                    let hash = hash(key, seed);
                    self.table.prepare_remove(hash, key)?;
                    Step::Remove { hash }
                }
                Operation::SetMetadata { metadata } => {
                    check_metadata(metadata)?;
                    Step::SetMetadata
                }
            });
        }
        Ok(())
    }

    /// Appends the operations, of which `payload` has all but a single one.
    fn append(&mut self, operations: &[Operation<'_>], payload: &[u8]) -> Result<Lsn> {
        let Some(log) = &mut self.log else {
            return Err(Error::Closed);
        };
        let payload_len = payload_len(operations);
        let reserved = log.reserve(payload_len as u64);
        self.or_refuse(reserved)?;
        let Some(log) = &mut self.log else { return Err(Error::Closed) };
        let lsn = match operations {
            [operation] => {
                let (key, value) = operation.key_and_value();
                log.append_parts(&[&operation.header(), key, value])
            }
            _ => log.append(payload),
        };
        if log.buffered_len() >= LOG_BUFFER {
            // The commit is in memory and counts; a failure here refuses all that come after.
            if let Err(error) = log.write(false) {
                self.table.shared().refuse(&error);
            }
        }
        Ok(lsn)
    }

    /// Passes on what the log answered. If it takes no commits any more, nobody writes any more.
    pub(super) fn or_refuse<T>(&self, answer: Result<T>) -> Result<T> {
        answer.inspect_err(|error| {
            if self.log.as_ref().is_some_and(|log| log.check().is_err()) {
                self.table.shared().refuse(error);
            }
        })
    }

    fn forget(&mut self, steps: &[Step]) {
        for step in steps.iter().rev() {
            if let Step::Insert { prepared, .. } = step {
                self.table.forget_insert(prepared);
            }
        }
    }

    /// Applies the pending commits up to this one, in their order (I2: they are durable now).
    pub(super) fn apply_until(&mut self, lsn: Lsn) {
        while let Some(commit) = self.pending.pop_until(lsn) {
            self.apply_all(commit.operations(), &commit.steps);
        }
    }

    /// Whether the key of the last operation was there.
    fn apply_all<'o>(
        &mut self,
        mut operations: impl Iterator<Item = Operation<'o>>,
        steps: &[Step],
    ) -> bool {
        let shared = self.table.shared().clone();
        let mut pin = shared.epoch.pin();
        let mut key_was_there = false;
        for (i, step) in steps.iter().enumerate() {
            renew(&mut pin, i);
            self.prefetch(&pin, i, |i| steps.get(i).map(Step::hash));
            let operation = operations.next().expect("a step is prepared for each operation");
            key_was_there = self.apply(operation, step);
        }
        key_was_there
    }

    /// Asks for what operations after this one will look at; before the first, for those that come
    /// right after it as well.
    fn prefetch(&self, pin: &Pin<'_>, operation: usize, hash_of: impl Fn(usize) -> Option<u64>) {
        let ahead = |distance| match operation {
            0 => 1..=distance,
            _ => operation + distance..=operation + distance,
        };
        let words = ahead(WORDS_AHEAD).map_while(&hash_of);
        words.for_each(|hash| self.table.prefetch_words(hash));
        let cells = ahead(AHEAD).map_while(&hash_of);
        cells.for_each(|hash| self.table.prefetch(pin, hash));
    }

    /// Whether the key of the operation was there.
    fn apply(&mut self, operation: Operation<'_>, step: &Step) -> bool {
        match (operation, step) {
            (Operation::Insert { key, value }, Step::Insert { hash, prepared }) => {
                !self.table.apply_insert(*hash, key, value, prepared)
            }
            (Operation::Remove { key }, Step::Remove { hash }) => {
                self.table.apply_remove(*hash, key)
            }
            (Operation::SetMetadata { metadata }, Step::SetMetadata) => {
                self.table.pager.metadata = metadata.to_vec();
                false
            }
            _ => panic!("a step is prepared for each operation"),
        }
    }

    /// Whether a commit that recovery read from the log can be redone, as far as it tells itself.
    pub(super) fn check(&self, payload: &[u8]) -> Result<()> {
        self.decode(payload, |_| ())
    }

    /// What no caller could commit: the log is to blame, not a caller.
    fn check_sizes(&self, operation: Operation<'_>) -> std::result::Result<(), Fault> {
        let (key, value) = match operation {
            Operation::Insert { key, value } => (key, Some(value)),
            Operation::Remove { key } => (key, None),
            Operation::SetMetadata { .. } => return Ok(()),
        };
        let parameters = self.table.shared().parameters;
        for (size, bytes) in [(parameters.key_size, Some(key)), (parameters.value_size, value)] {
            if let (Some(size), Some(bytes)) = (size, bytes) {
                Fault::expect(Promise::RecordSize, size as u64, bytes.len() as u64)?;
            }
        }
        Ok(())
    }

    fn decode<'p>(&self, payload: &'p [u8], mut each: impl FnMut(Operation<'p>)) -> Result<()> {
        let mut rest = payload;
        while !rest.is_empty() {
            let decoded = Operation::decode(rest);
            let (operation, after) = decoded
                .and_then(|decoded| self.check_sizes(decoded.0).map(|()| decoded))
                .map_err(|fault| fault.at(&self.files.path, crate::Place::File))?;
            each(operation);
            rest = after;
        }
        Ok(())
    }

    /// Applies a commit that recovery read from the log.
    pub(super) fn redo(&mut self, payload: &[u8]) -> Result<()> {
        let mut operations = Vec::new();
        self.decode(payload, |operation| operations.push(operation))?;
        let mut steps = Vec::new();
        if let Err(error) = self.prepare(&operations, &mut steps) {
            self.forget(&steps);
            return Err(error);
        }
        self.apply_all(operations.into_iter(), &steps);
        Ok(())
    }

    /// Whether a checkpoint would write nothing new.
    pub(super) fn is_unchanged(&self) -> bool {
        !self.must_checkpoint
            && self.table.pager.is_unchanged()
            && self.persisted.as_ref().is_some_and(|persisted| {
                !persisted.is_moving() && persisted.meta().metadata == self.table.pager.metadata
            })
    }

    /// Bytes of changed pages in memory.
    pub(super) fn dirty_len(&self) -> u64 {
        let page_size = self.table.shared().parameters.page_size;
        (self.table.pager.dirty_count() * page_size) as u64
    }
}

/// Before the operation of this number.
fn renew(pin: &mut Pin<'_>, operation: usize) {
    if operation > 0 && operation.is_multiple_of(PINNED) {
        pin.renew();
    }
}

fn payload_len(operations: &[Operation<'_>]) -> usize {
    operations.iter().map(|operation| operation.len()).sum()
}

fn encode(operations: &[Operation<'_>]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(payload_len(operations));
    operations.iter().for_each(|operation| operation.encode(&mut payload));
    payload
}

fn check_metadata(metadata: &[u8]) -> Result<()> {
    if metadata.len() > METADATA_LEN_MAX {
        let len = metadata.len() as u64;
        return Err(Error::MetadataTooLarge { len, max: METADATA_LEN_MAX as u64 });
    }
    Ok(())
}

/// An epoch that no log ever had (C5).
pub(super) fn new_epoch(files: &LogFiles, last_counter: u64) -> Result<Epoch> {
    let mut random = [0; 8];
    let filled = files.storage.random(&mut random);
    filled.map_err(|e| Error::io("get random bytes for", &files.path, e))?;
    if mutant(Mutant::SameEpochTwice) {
        random = [0; 8];
    }
    Ok(Epoch { counter: last_counter + 1, random: u64::from_le_bytes(random) })
}

/// A log's start, as a meta page keeps it.
pub(super) fn position_of(start: LogStart) -> LogPosition {
    LogPosition {
        epoch_counter: start.epoch.counter,
        epoch_random: start.epoch.random,
        segment: start.segment,
        lsn: start.lsn.0,
    }
}

/// The start that a meta page keeps.
pub(super) fn start_of(position: LogPosition) -> LogStart {
    LogStart {
        epoch: Epoch { counter: position.epoch_counter, random: position.epoch_random },
        segment: position.segment,
        lsn: Lsn(position.lsn),
    }
}
