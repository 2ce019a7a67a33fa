//! [`SimulatedDisk`], the face for tests: crash, fail, evict, look.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::memory::absolute;
use super::choice::{Choice, Volume};
use super::content::Content;
use super::durable::{Change, Durable, InodeNumber};
use super::fault::{Fault, FaultPlan};
use super::image::{CrashImages, Image};
use super::journal::{self, CallKind, Record};
use super::live::{Live, LiveInode};
use super::rng::Rng;

/// A disk in memory that knows what a power cut may leave; a clone is the same disk.
///
/// Paths start at its own root, and every folder exists. Two runs of the same calls on disks of
/// the same seed are equal in everything.
#[derive(Clone)]
pub struct SimulatedDisk {
    state: Arc<Mutex<State>>,
}

impl std::fmt::Debug for SimulatedDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimulatedDisk").finish_non_exhaustive()
    }
}

/// All that a disk is.
#[derive(Debug)]
pub(super) struct State {
    pub(super) live: Live,
    pub(super) rng: Rng,
    /// What is durable before the first call, and now.
    origin: Durable,
    durable: Durable,
    journal: Vec<Record>,
    /// What was durable at a call of the past; asking call after call goes on from here.
    cursor: Option<(usize, Durable)>,
    faults: Vec<FaultPlan>,
    fault_count: usize,
    pub(super) capacity: Option<u64>,
    next_number: u64,
}

impl State {
    /// A number for an inode or a handle.
    pub(super) fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// How the next call is to fail.
    pub(super) fn fault(&mut self, kind: CallKind) -> Option<Fault> {
        let index = self.journal.len();
        let fault = self.faults.iter().find_map(|plan| plan.fault(index, kind));
        self.fault_count += usize::from(fault.is_some());
        fault
    }

    /// Gives a call its number.
    pub(super) fn record(&mut self, record: Record) {
        if let Some(change) = &record.change {
            self.durable.apply(change);
        }
        self.journal.push(record);
    }

    /// Bytes of disk that all files take.
    pub(super) fn allocated_len(&mut self) -> u64 {
        let numbers = self.live.numbers();
        let count = |number| self.live.inode(number).content().block_count() as u64;
        numbers.into_iter().map(count).sum::<u64>() * super::content::BLOCK_SIZE as u64
    }

    /// What was durable before the call of that number.
    fn durable_at(&mut self, call_index: usize) -> &Durable {
        let past = self.cursor.take().filter(|(index, _)| *index <= call_index);
        let (from, mut durable) = past.unwrap_or_else(|| (0, self.origin.clone()));
        let end = call_index.min(self.journal.len());
        for record in self.journal.get(from..end).unwrap_or_default() {
            if let Some(change) = &record.change {
                durable.apply(change);
            }
        }
        &self.cursor.insert((end, durable)).1
    }
}

impl SimulatedDisk {
    /// An empty disk.
    #[must_use]
    pub fn new(seed: u64) -> SimulatedDisk {
        SimulatedDisk::from_image(&Image::default(), seed)
    }

    /// A disk that boots with the files of an image, all durable.
    #[must_use]
    pub fn from_image(image: &Image, seed: u64) -> SimulatedDisk {
        let mut state = State {
            live: Live::default(),
            rng: Rng::new(seed),
            origin: Durable::default(),
            durable: Durable::default(),
            journal: Vec::new(),
            cursor: None,
            faults: Vec::new(),
            fault_count: 0,
            capacity: None,
            next_number: 0,
        };
        for (path, content) in image.files() {
            let inode = state.number();
            state.live.names.insert(path.clone(), inode);
            state.live.insert(inode, LiveInode::new(content.clone()));
            let (path, content) = (path.clone(), content.clone());
            state.origin.apply(&Change::Place { path, inode, content });
        }
        state.durable = state.origin.clone();
        SimulatedDisk { state: Arc::new(Mutex::new(state)) }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many calls there were; the next call has this number.
    #[must_use]
    pub fn call_count(&self) -> usize {
        self.state().journal.len()
    }

    /// What each call was.
    #[must_use]
    pub fn call_kinds(&self) -> Vec<CallKind> {
        self.state().journal.iter().map(|record| record.kind).collect()
    }

    /// The call numbers before which a power cut differs from one a call earlier: 0, and each that
    /// follows a call which changed something. The count of calls is one if the last call did.
    #[must_use]
    pub fn cut_points(&self) -> Vec<usize> {
        let state = self.state();
        let after = |(index, record): (usize, &Record)| record.change.as_ref().map(|_| index + 1);
        std::iter::once(0).chain(state.journal.iter().enumerate().filter_map(after)).collect()
    }

    /// What the disk holds if the power is cut before the call of that number (the count of calls:
    /// now) and the disk did as the choice says.
    #[must_use]
    pub fn crash_at(&self, call_index: usize, choice: &Choice) -> Image {
        self.state().durable_at(call_index).image(choice)
    }

    /// What the disk may hold if the power is cut before the call of that number: equal images
    /// once, and always the same for a seed. Asking for calls in rising order is cheap.
    #[must_use]
    pub fn crash_images(&self, call_index: usize, seed: u64, volume: &Volume) -> CrashImages {
        let durable = self.state().durable_at(call_index).clone();
        CrashImages::new(durable, seed, volume)
    }

    /// How many writes and changes of length, and how many changes of names, a power cut before
    /// the call of that number leaves undecided.
    #[must_use]
    pub fn undecided_count(&self, call_index: usize) -> (usize, usize) {
        let mut state = self.state();
        let durable = state.durable_at(call_index);
        (durable.op_count(), durable.name_change_count())
    }

    /// Adds failures to come.
    pub fn fail(&self, plan: FaultPlan) {
        self.state().faults.push(plan);
    }

    /// From now on nothing fails any more.
    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// How many calls failed by plan.
    #[must_use]
    pub fn fault_count(&self) -> usize {
        self.state().fault_count
    }

    /// From now on all files together take at most so many bytes; `None` for no limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// Clean pages leave the cache: what a failed sync lost is seen to be lost (F7). The disk has
    /// none of it.
    pub fn evict(&self) {
        self.evict_keeping(|| false);
    }

    /// As [`SimulatedDisk::evict`], but the disk has some of the lost writes, as the seed says.
    pub fn evict_some(&self, seed: u64) {
        let mut rng = Rng::new(seed);
        self.evict_keeping(|| rng.one_in(2));
    }

    fn evict_keeping(&self, mut keep: impl FnMut() -> bool) {
        let mut state = self.state();
        let kept = (0..state.durable.lost_count()).map(|_| keep()).collect();
        let (path, range) = (Arc::from(Path::new("/")), 0..0);
        let change = Some(Change::Evict { kept });
        state.record(Record { kind: CallKind::Evict, path, range, error: None, change });
        for number in state.live.numbers() {
            let mut content = state.durable.settled(number);
            let dirty = state.durable.dirty_blocks(number);
            let inode = state.live.inode(number);
            // The length belongs to the inode, which stays.
            content.set_len(inode.content().len());
            for block in dirty {
                content.copy_block(block, inode.content());
            }
            inode.replace(content).expect("the mirror in memory takes what it had");
        }
    }

    /// The files as the running system sees them.
    #[must_use]
    pub fn snapshot(&self) -> Image {
        let mut state = self.state();
        let names = state.live.names.clone();
        let mut content = |number| state.live.inode(number).content().clone();
        Image::new(names.into_iter().map(|(path, number)| (path, content(number))).collect())
    }

    /// The bytes of a file as the running system sees them.
    #[must_use]
    pub fn live_bytes(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let mut state = self.state();
        let number = *state.live.names.get(&absolute(path.as_ref()))?;
        Some(state.live.inode(number).content().to_bytes())
    }

    /// The bytes of a file that no power cut can take now, under the name that none can take.
    #[must_use]
    pub fn durable_bytes(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let state = self.state();
        let number = state.durable.inode(&absolute(path.as_ref()))?;
        Some(state.durable.content(number).to_bytes())
    }

    /// The ranges of a file, by its name in the live view, that were written and not yet synced.
    #[must_use]
    pub fn unsynced(&self, path: impl AsRef<Path>) -> Vec<Range<u64>> {
        let state = self.state();
        let number = state.live.names.get(&absolute(path.as_ref()));
        number.map(|number| state.durable.unsynced(*number)).unwrap_or_default()
    }

    /// Puts bytes in place behind everybody's back, durable at once; makes the file if need be. It
    /// has a number as a call has, and no power cut before it knows of it.
    pub fn set_live_bytes(&self, path: impl AsRef<Path>, bytes: &[u8]) {
        let path: PathBuf = absolute(path.as_ref());
        let content = Content::of_bytes(bytes);
        let mut state = self.state();
        let inode: InodeNumber = match state.live.names.get(&path) {
            Some(number) => *number,
            None => state.number(),
        };
        state.live.names.insert(path.clone(), inode);
        let replaced = state.live.inode(inode).replace(content.clone());
        replaced.expect("the mirror in memory takes what it is given");
        let (name, range) = (Arc::from(path.as_path()), 0..content.len());
        let change = Some(Change::Place { path, inode, content });
        let kind = CallKind::Write;
        state.record(Record { kind, path: name, range, error: None, change });
    }

    /// The calls line by line, with a power cut before the call of that number marked.
    #[must_use]
    pub fn journal(&self, cut: Option<usize>) -> String {
        journal::print(&self.state().journal, cut)
    }
}
