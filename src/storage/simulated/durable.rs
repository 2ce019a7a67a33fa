//! What is durable, what is pending, and what a power cut may leave of it: the failure model as
//! a state machine that a list of changes drives.
//!
//! - A write, a growth and a `set_len` are pending from the call to the next sync of the file
//!   (F1, F4), each by itself. A failed sync turns them into *lost* ones: no later sync makes them
//!   durable, and yet the disk may have them (F7).
//! - A name is pending until its folder is synced; of the pending ones a power cut leaves a prefix
//!   (F5). A failed sync of a folder leaves them pending.
//!
//! Knows nothing of the live view.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::choice::{Choice, Fate};
use super::content::{Content, each_block};
use super::image::Image;
use super::tear;

/// What a name stands for; never used again.
pub(super) type InodeNumber = u64;

/// What a call changed.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Create {
        path: PathBuf,
        inode: InodeNumber,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
        inode: InodeNumber,
    },
    Remove {
        path: PathBuf,
    },
    Write {
        inode: InodeNumber,
        offset: u64,
        bytes: Arc<[u8]>,
    },
    SetLen {
        inode: InodeNumber,
        len: u64,
    },
    Sync {
        inode: InodeNumber,
    },
    FailedSync {
        inode: InodeNumber,
    },
    SyncDir {
        dir: PathBuf,
    },
    /// Clean pages leave the cache; what became of each lost operation, in order.
    Evict {
        kept: Vec<bool>,
    },
    /// Bytes put in place from outside, durable at once.
    Place {
        path: PathBuf,
        inode: InodeNumber,
        content: Content,
    },
}

#[derive(Debug, Clone)]
enum Op {
    Write { offset: u64, bytes: Arc<[u8]> },
    Grow(u64),
    SetLen(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// The next sync makes it durable.
    Pending,
    /// No sync makes it durable, the disk may have it nevertheless.
    Lost,
    /// Durable, but after one of which nobody knows.
    Certain,
}

#[derive(Debug, Clone, Default)]
struct Inode {
    base: Content,
    ops: Vec<(Op, Standing)>,
    /// The length if the next sync succeeds.
    settled_len: u64,
}

impl Op {
    /// The file's length after it, if it was `len`.
    fn len_after(&self, len: u64) -> u64 {
        match self {
            Op::Write { .. } => len,
            Op::Grow(grown) => len.max(*grown),
            Op::SetLen(set) => *set,
        }
    }

    fn apply(&self, content: &mut Content, fate: Fate) {
        match self {
            _ if fate == Fate::Absent => {}
            Op::Write { offset, bytes } => tear::write(content, *offset, bytes, fate),
            Op::Grow(len) => content.grow(*len),
            Op::SetLen(len) => content.set_len(*len),
        }
    }
}

impl Inode {
    fn push(&mut self, op: Op) {
        self.settled_len = op.len_after(self.settled_len);
        self.ops.push((op, Standing::Pending));
    }

    /// Whether a lost change of length may be on the disk and leave the file shorter than this. A
    /// write up to there makes it longer again, and is durable as a whole once it is synced.
    fn may_be_shorter(&self, end: u64) -> bool {
        let shorter = |op: &Op| matches!(op, Op::SetLen(len) if *len < end);
        self.ops.iter().any(|(op, standing)| *standing == Standing::Lost && shorter(op))
    }

    /// Reckons the length anew after operations were lost or settled.
    fn reckon_len(&mut self) {
        let settled = self.ops.iter().filter(|(_, standing)| *standing != Standing::Lost);
        self.settled_len = settled.fold(self.base.len(), |len, (op, _)| op.len_after(len));
    }

    /// Makes into durable bytes what no uncertain operation comes before.
    fn fold(&mut self) {
        let certain = |(_, standing): &(Op, Standing)| *standing == Standing::Certain;
        let count = self.ops.iter().take_while(|each| certain(each)).count();
        for (op, _) in self.ops.drain(..count) {
            op.apply(&mut self.base, Fate::Whole);
        }
        if count > 0 {
            self.base.trim();
        }
    }

    fn uncertain(&self) -> impl Iterator<Item = &(Op, Standing)> {
        self.ops.iter().filter(|(_, standing)| *standing != Standing::Certain)
    }

    fn content(&self, mut fates: impl FnMut() -> Fate) -> Content {
        let mut content = self.base.clone();
        for (op, standing) in &self.ops {
            let fate = if *standing == Standing::Certain { Fate::Whole } else { fates() };
            op.apply(&mut content, fate);
        }
        content.trim();
        content
    }

    /// Blocks that are to be written back.
    fn dirty_blocks(&self) -> Vec<usize> {
        let mut blocks = Vec::new();
        for (op, standing) in &self.ops {
            if let (Op::Write { offset, bytes }, Standing::Pending) = (op, standing) {
                blocks.extend(each_block(*offset, bytes.len()).map(|(block, _)| block));
            }
        }
        blocks.sort_unstable();
        blocks.dedup();
        blocks
    }

    /// Clean pages leave the cache: each lost operation is on the disk or gone for good, but where
    /// its block is dirty again it stays in the cache and undecided.
    fn evict(&mut self, mut kept: impl FnMut() -> bool) {
        let dirty = self.dirty_blocks();
        for (op, standing) in std::mem::take(&mut self.ops) {
            if standing != Standing::Lost {
                self.ops.push((op, standing));
            } else if kept() {
                self.ops.push((op, Standing::Certain));
            } else if let Op::Write { offset, bytes } = op {
                let mut rest = &*bytes;
                let mut position = offset;
                for (block, range) in each_block(offset, bytes.len()) {
                    let (part, after) = rest.split_at(range.len());
                    if dirty.binary_search(&block).is_ok() {
                        let op = Op::Write { offset: position, bytes: part.into() };
                        self.ops.push((op, Standing::Lost));
                    }
                    position += part.len() as u64;
                    rest = after;
                }
            }
        }
        self.reckon_len();
        self.fold();
    }
}

/// What is on the disk, and what may be.
#[derive(Debug, Clone, Default)]
pub(super) struct Durable {
    names: BTreeMap<PathBuf, InodeNumber>,
    name_changes: Vec<Change>,
    inodes: BTreeMap<InodeNumber, Inode>,
}

impl Durable {
    pub(super) fn apply(&mut self, change: &Change) {
        match change {
            Change::Create { inode, .. } => {
                self.inodes.entry(*inode).or_default();
                self.name_changes.push(change.clone());
            }
            Change::Rename { .. } | Change::Remove { .. } => self.name_changes.push(change.clone()),
            Change::Write { inode, offset, bytes } => {
                let inode = self.inodes.entry(*inode).or_default();
                let end = offset + bytes.len() as u64;
                if end > inode.settled_len || inode.may_be_shorter(end) {
                    inode.push(Op::Grow(end));
                }
                inode.push(Op::Write { offset: *offset, bytes: Arc::clone(bytes) });
            }
            Change::SetLen { inode, len } => {
                self.inodes.entry(*inode).or_default().push(Op::SetLen(*len));
            }
            Change::Sync { inode } => self.settle(*inode, Standing::Certain),
            Change::FailedSync { inode } => self.settle(*inode, Standing::Lost),
            Change::SyncDir { dir } => self.sync_dir(dir),
            Change::Evict { kept } => {
                let mut kept = kept.iter().copied();
                for inode in self.inodes.values_mut() {
                    inode.evict(|| kept.next().unwrap_or(false));
                }
            }
            Change::Place { path, inode, content } => {
                self.names.insert(path.clone(), *inode);
                let (base, settled_len) = (content.clone(), content.len());
                self.inodes.insert(*inode, Inode { base, ops: Vec::new(), settled_len });
            }
        }
    }

    fn settle(&mut self, inode: InodeNumber, standing: Standing) {
        let inode = self.inodes.entry(inode).or_default();
        for (_, each) in &mut inode.ops {
            if *each == Standing::Pending {
                *each = standing;
            }
        }
        inode.reckon_len();
        inode.fold();
    }

    fn sync_dir(&mut self, dir: &Path) {
        let inside = |change: &mut Change| match change {
            Change::Create { path, .. } | Change::Remove { path } => path.parent() == Some(dir),
            Change::Rename { to, .. } => to.parent() == Some(dir),
            _ => false,
        };
        for change in self.name_changes.extract_if(.., inside) {
            rename(&mut self.names, &change);
        }
    }

    /// The inodes that a power cut may leave a name of, in a fixed order.
    fn reachable(&self) -> impl Iterator<Item = (&InodeNumber, &Inode)> {
        let created = |number: &InodeNumber| {
            self.name_changes
                .iter()
                .any(|change| matches!(change, Change::Create { inode, .. } if inode == number))
        };
        let named: std::collections::BTreeSet<_> = self.names.values().collect();
        self.inodes.iter().filter(move |(number, _)| named.contains(number) || created(number))
    }

    /// How many operations on files are undecided.
    pub(super) fn op_count(&self) -> usize {
        self.reachable().map(|(_, inode)| inode.uncertain().count()).sum()
    }

    /// How many operations are lost.
    pub(super) fn lost_count(&self) -> usize {
        let lost = |inode: &Inode| {
            inode.ops.iter().filter(|(_, standing)| *standing == Standing::Lost).count()
        };
        self.inodes.values().map(lost).sum()
    }

    /// How many changes of names are undecided.
    pub(super) fn name_change_count(&self) -> usize {
        self.name_changes.len()
    }

    /// What the power cut leaves.
    pub(super) fn image(&self, choice: &Choice) -> Image {
        let mut names = self.names.clone();
        for change in self.name_changes.iter().take(choice.name_changes) {
            rename(&mut names, change);
        }
        let mut fates = choice.fates.iter().copied().chain(std::iter::repeat(choice.rest));
        let mut contents = BTreeMap::new();
        for (number, inode) in self.reachable() {
            let content = inode.content(|| fates.next().unwrap_or(Fate::Absent));
            contents.insert(*number, content);
        }
        let content = |number| contents.get(&number).cloned().unwrap_or_default();
        Image::new(names.into_iter().map(|(path, number)| (path, content(number))).collect())
    }

    /// The bytes that are certainly on the disk if the power is cut now.
    pub(super) fn content(&self, inode: InodeNumber) -> Content {
        let content = |inode: &Inode| inode.content(|| Fate::Absent);
        self.inodes.get(&inode).map(content).unwrap_or_default()
    }

    /// The inode that certainly has the name.
    pub(super) fn inode(&self, path: &Path) -> Option<InodeNumber> {
        self.names.get(path).copied()
    }

    /// Whether a block of the live view is waiting to be written back.
    pub(super) fn dirty_blocks(&self, inode: InodeNumber) -> Vec<usize> {
        self.inodes.get(&inode).map(Inode::dirty_blocks).unwrap_or_default()
    }

    /// The content that the disk has once everything pending is written back.
    pub(super) fn settled(&self, inode: InodeNumber) -> Content {
        let Some(inode) = self.inodes.get(&inode) else { return Content::default() };
        let mut standings = inode.uncertain().map(|(_, standing)| *standing);
        inode.content(|| match standings.next() {
            Some(Standing::Lost) | None => Fate::Absent,
            Some(_) => Fate::Whole,
        })
    }

    /// The ranges of pending and lost writes to a file, in the order of the calls.
    pub(super) fn unsynced(&self, inode: InodeNumber) -> Vec<std::ops::Range<u64>> {
        let range = |(op, _): &(Op, Standing)| match op {
            Op::Write { offset, bytes } => Some(*offset..offset + bytes.len() as u64),
            Op::Grow(_) | Op::SetLen(_) => None,
        };
        let inode = self.inodes.get(&inode);
        inode.into_iter().flat_map(Inode::uncertain).filter_map(range).collect()
    }
}

/// Applies a change of names.
pub(super) fn rename(names: &mut BTreeMap<PathBuf, InodeNumber>, change: &Change) {
    match change {
        Change::Create { path, inode } => {
            names.insert(path.clone(), *inode);
        }
        Change::Rename { from, to, inode } => {
            names.remove(from);
            names.insert(to.clone(), *inode);
        }
        Change::Remove { path } => {
            names.remove(path);
        }
        _ => {}
    }
}
