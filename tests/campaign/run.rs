//! A plan carried out on a simulated disk, and for each call what a power cut before it may leave.
//!
//! Each state of the model is an *entry*: when the commit that leads to it was begun, and when it
//! was known durable. A cut may leave any entry from the last one durable by then to the last one
//! begun.

use splitpoint::simulation::{Fault, FaultPlan, SimulatedDisk};
use splitpoint::{Batch, Durability, Error, Index};

use super::PATH;
use super::model::{Model, Sum, sum_of};
use super::plan::{Change, LATER, Op, Plan, key_bytes, value_bytes};

/// A state that the index was in or was to get into.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) sum: Sum,
    begun: usize,
    durable: Option<usize>,
}

/// How an operation ended otherwise than well.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The library said so.
    Said(Error),
    /// It did what it must not do.
    Wrong(String),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        Trouble::Said(error)
    }
}

impl From<String> for Trouble {
    fn from(text: String) -> Trouble {
        Trouble::Wrong(text)
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Trouble::Said(error) => write!(f, "an error: {error}"),
            Trouble::Wrong(text) => f.write_str(text),
        }
    }
}

/// A plan on its way.
pub(crate) struct Run {
    pub(crate) disk: SimulatedDisk,
    pub(crate) plan: Plan,
    pub(crate) index: Option<Index>,
    /// The state that the next commit is made in.
    pub(crate) model: Model,
    pub(crate) entries: Vec<Entry>,
    /// The models of the entries from the last open on.
    models: Vec<Model>,
    /// The number of the first of them, and its LSN.
    base: (usize, u64),
    /// The call at which each operation began.
    pub(crate) op_starts: Vec<usize>,
}

impl Run {
    /// On this disk, where the index is as `model` says, or is not yet.
    pub(crate) fn new(disk: SimulatedDisk, plan: Plan, model: Model) -> Run {
        let entries = vec![Entry { sum: model.sum(), begun: 0, durable: Some(0) }];
        let models = vec![model.clone()];
        let (index, op_starts, base) = (None, Vec::new(), (0, 0));
        Run { disk, plan, index, model, entries, models, base, op_starts }
    }

    /// Runs the whole plan. What went wrong is told with the number of the operation.
    pub(crate) fn whole(&mut self) -> Result<(), String> {
        self.op_starts.push(self.disk.call_count());
        self.open().map_err(|e| format!("the first open: {e}"))?;
        for number in 0..self.plan.ops.len() {
            self.op_starts.push(self.disk.call_count());
            let op = self.plan.ops[number].clone();
            self.apply(&op).map_err(|e| format!("operation {number}, {op:.0?}: {e}"))?;
        }
        Ok(())
    }

    /// The states that a power cut before this call may leave.
    pub(crate) fn allowed(&self, cut: usize) -> &[Entry] {
        let durable = |entry: &Entry| entry.durable.is_some_and(|at| at <= cut);
        let low = self.entries.iter().rposition(durable).unwrap_or(0);
        let high = self.entries.iter().rposition(|entry| entry.begun <= cut).unwrap_or(0);
        self.entries.get(low..=high.max(low)).unwrap_or_default()
    }

    /// Opens and finds out which state it is.
    pub(crate) fn open(&mut self) -> Result<(), Trouble> {
        let begun = self.disk.call_count();
        let index = self.plan.setting.options(&self.disk).open(PATH)?;
        self.adopt(index, begun)
    }

    /// Goes on with an index that was just opened: what it holds is durable.
    pub(crate) fn adopt(&mut self, index: Index, begun: usize) -> Result<(), Trouble> {
        let found = sum_of(&index).or_else(|error| {
            // A look must not fail a plan whose disk fails.
            let faulty = self.disk.fault_count() > 0;
            self.disk.heal();
            if faulty { sum_of(&index) } else { Err(error) }
        })?;
        let now = self.disk.call_count();
        let low = now_low(&self.entries);
        let Some(number) = (low..self.entries.len()).rev().find(|n| self.entries[*n].sum == found)
        else {
            let allowed = &self.entries[low..];
            return Err(format!("opened with {found:?}, allowed are {allowed:?}").into());
        };
        self.model = self.models[number - self.base.0].clone();
        self.base = (self.entries.len(), index.durable_lsn().0);
        self.entries.push(Entry { sum: found, begun, durable: Some(now) });
        self.models = vec![self.model.clone()];
        self.index = Some(index);
        Ok(())
    }

    fn index(&self) -> Result<&Index, Trouble> {
        self.index.as_ref().ok_or(Trouble::Said(Error::Closed))
    }

    /// Notes a commit that begins now.
    fn begin(&mut self, changes: &[Change]) {
        changes.iter().for_each(|change| self.model.apply(change));
        let begun = self.disk.call_count();
        self.entries.push(Entry { sum: self.model.sum(), begun, durable: None });
        self.models.push(self.model.clone());
    }

    /// The last commit was refused and nothing of it is to be seen.
    pub(crate) fn take_back(&mut self) -> Option<(Entry, Model)> {
        let taken = self.entries.pop().zip(self.models.pop());
        self.model = self.models.last().cloned().unwrap_or_default();
        taken
    }

    /// It may be there after all.
    pub(crate) fn put_back(&mut self, (entry, model): (Entry, Model)) {
        self.entries.push(entry);
        self.model = model.clone();
        self.models.push(model);
    }

    /// The number of the last entry that the index says is durable.
    pub(crate) fn durable_by_lsn(&self) -> Result<usize, String> {
        let index = self.index.as_ref().ok_or("no index")?;
        Ok(usize::try_from(index.durable_lsn().0 - self.base.1).unwrap_or(0) + self.base.0)
    }

    /// What a power cut before this call may leave, each sum once.
    pub(crate) fn sums(&self, cut: usize) -> Vec<Sum> {
        let mut sums: Vec<Sum> = self.allowed(cut).iter().map(|entry| entry.sum).collect();
        sums.sort_unstable_by_key(|sum| (sum.len, sum.sum));
        sums.dedup();
        sums
    }

    /// Notes which commits are durable by now; the last one must be if `acknowledged`.
    fn note(&mut self, acknowledged: bool) -> Result<(), Trouble> {
        let now = self.disk.call_count();
        let durable = self.durable_by_lsn()?;
        let last = self.entries.len() - 1;
        if durable > last || (acknowledged && durable < last) {
            return Err(format!("entry {durable} of {last} is said to be durable").into());
        }
        self.entries[durable].durable.get_or_insert(now);
        Ok(())
    }

    /// The number of the entry that readers see.
    fn visible(&self) -> usize {
        let last = self.entries.len() - 1;
        if self.plan.setting.later { last } else { now_low(&self.entries).min(last) }
    }

    /// I2: readers see what is durable (or, in the background mode, all).
    fn look(&self, key: u16) -> Result<(), Trouble> {
        let model = &self.models[self.visible() - self.base.0];
        let found = match self.index()?.get(key_bytes(key)) {
            // The commit counts all the same.
            Err(Error::Io { .. }) if self.disk.fault_count() > 0 => return Ok(()),
            found => found?,
        };
        if found.as_deref() != model.value(key).as_deref() {
            return Err(format!("readers do not see what they should of key {key}").into());
        }
        Ok(())
    }

    /// Everything that readers see is right: after an error, too.
    pub(crate) fn check_visible(&self) -> Result<(), Trouble> {
        let found = sum_of(self.index()?)?;
        let expected = self.entries[self.visible()].sum;
        if found != expected {
            return Err(format!("readers see {found:?} instead of {expected:?}").into());
        }
        Ok(())
    }

    /// Does one operation. After an error the model is as if it had been done.
    pub(crate) fn apply(&mut self, op: &Op) -> Result<(), Trouble> {
        match op {
            Op::Single(change) => self.single(change),
            Op::Update { key, tag } => self.update(*key, *tag),
            Op::Batch(changes) => self.batch(changes, Durability::Immediate),
            Op::Later(changes) => self.batch(changes, LATER),
            Op::Sync => {
                self.index()?.sync()?;
                self.note(true)
            }
            Op::Checkpoint => {
                self.index()?.checkpoint()?;
                self.note(true)
            }
            Op::Begin => {
                self.index()?.begin_checkpoint()?;
                self.note(false)
            }
            Op::Steps(count) => {
                for _ in 0..*count {
                    self.index()?.step_checkpoint()?;
                }
                self.note(false)
            }
            Op::Close => {
                self.close()?;
                self.open()
            }
            Op::Bulk(changes) => {
                self.close()?;
                self.bulk(changes)
            }
            Op::Kill | Op::KillAndLook => {
                self.kill();
                if *op == Op::KillAndLook {
                    self.look_read_only()?;
                }
                self.open()
            }
        }
    }

    fn close(&mut self) -> Result<(), Trouble> {
        let closed = self.index()?.close();
        if closed.is_ok() {
            let (now, last) = (self.disk.call_count(), self.entries.len() - 1);
            self.entries[last].durable.get_or_insert(now);
        }
        self.index = None;
        Ok(closed?)
    }

    /// All of it is one commit: the file is the old one or the new one.
    fn bulk(&mut self, changes: &[Change]) -> Result<(), Trouble> {
        let options = self.plan.setting.options(&self.disk);
        let mut loader = options.bulk_load(PATH)?.small_budget(1 << 14)?;
        for change in changes {
            match change {
                Change::Insert { key, len, tag } => {
                    loader.insert(key_bytes(*key), value_bytes(*len, *tag))?;
                }
                Change::Remove { key } => loader.remove(key_bytes(*key))?,
                Change::Metadata { len, tag } => {
                    loader = loader.metadata(super::model::metadata_bytes(*len, *tag))?;
                }
            }
        }
        self.begin(changes);
        let index = loader.finish()?;
        let (now, last) = (self.disk.call_count(), self.entries.len() - 1);
        self.entries[last].durable.get_or_insert(now);
        self.adopt(index, now)
    }

    /// Ends the handle without letting it do anything more to the disk.
    pub(crate) fn kill(&mut self) {
        // Not by the failures that are to come: a sync that fails now would lose what a read-only
        // handle may show, and cannot know of.
        self.disk.heal();
        self.disk.fail(FaultPlan::from(Fault::InputOutput, 0));
        self.index = None;
        self.disk.heal();
    }

    /// A read-only handle shows a state that is allowed, and what it showed stays.
    fn look_read_only(&mut self) -> Result<(), Trouble> {
        let begun = self.disk.call_count();
        let options = self.plan.setting.options(&self.disk).read_only(true);
        let index = options.open(PATH)?;
        self.adopt(index, begun)?;
        self.index = None;
        Ok(())
    }

    fn single(&mut self, change: &Change) -> Result<(), Trouble> {
        let later = self.plan.setting.later;
        let key = match change {
            Change::Insert { key, .. } | Change::Remove { key } => *key,
            Change::Metadata { .. } => 0,
        };
        let was_there = self.model.contains(key);
        match change {
            Change::Insert { key, len, tag } => {
                self.begin(std::slice::from_ref(change));
                let new = self.index()?.insert(key_bytes(*key), value_bytes(*len, *tag))?;
                if new == was_there {
                    return Err("insert says wrongly whether the key is new".to_owned().into());
                }
            }
            Change::Remove { key } => {
                if was_there {
                    self.begin(std::slice::from_ref(change));
                }
                if self.index()?.remove(key_bytes(*key))? != was_there {
                    return Err("remove says wrongly whether the key was there".to_owned().into());
                }
            }
            Change::Metadata { .. } => {
                self.begin(std::slice::from_ref(change));
                let metadata = self.model.metadata().to_vec();
                self.index()?.set_metadata(&metadata)?;
            }
        }
        self.note(!later && (was_there || !matches!(change, Change::Remove { .. })))?;
        self.look(key)
    }

    fn update(&mut self, key: u16, tag: u64) -> Result<(), Trouble> {
        let (before, later) = (self.model.value(key), self.plan.setting.later);
        let len = before.as_ref().map_or(1, |value| 1 + value.len() % 60);
        let len = u32::try_from(len).unwrap_or(1);
        let len = self.plan.setting.value_size.unwrap_or(len);
        let change = Change::Insert { key, len, tag };
        self.begin(std::slice::from_ref(&change));
        let after = self.model.value(key);
        let mut seen = None;
        self.index()?.update(key_bytes(key), |old| {
            seen = Some(old.map(<[u8]>::to_vec));
            after
        })?;
        if seen != Some(before) {
            return Err("update was given another value than the newest".to_owned().into());
        }
        self.note(!later)
    }

    fn batch(&mut self, changes: &[Change], durability: Durability) -> Result<(), Trouble> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new();
        for change in changes {
            match change {
                Change::Insert { key, len, tag } => {
                    batch.insert(key_bytes(*key), value_bytes(*len, *tag));
                }
                Change::Remove { key } => drop(batch.remove(key_bytes(*key))),
                Change::Metadata { len, tag } => {
                    batch.set_metadata(super::model::metadata_bytes(*len, *tag));
                }
            }
        }
        self.begin(changes);
        self.index()?.commit_with(batch, durability)?;
        self.note(durability == Durability::Immediate)?;
        match changes.last() {
            Some(Change::Insert { key, .. } | Change::Remove { key }) => self.look(*key),
            _ => Ok(()),
        }
    }
}

/// The number of the last entry known durable.
fn now_low(entries: &[Entry]) -> usize {
    entries.iter().rposition(|entry| entry.durable.is_some()).unwrap_or(0)
}
