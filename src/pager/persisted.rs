//! What the last checkpoint wrote, as the next one needs it. Knows nothing of what changes.

use std::collections::{BTreeMap, BTreeSet};

use super::space::PageSet;
use super::tree::Tree;
use super::write_back::page_of;
use super::{Shared, Which};
use crate::error::{Error, Result};
use crate::mutant::{Mutant, mutant};
use crate::page::meta::{LogPosition, META_SIZE, META_SLOTS, Meta};

/// A layout may have at most this many buckets for each page of the file, and a few to begin with:
/// so a damaged bucket count cannot ask for much memory (I8).
pub(crate) fn bucket_count_max(page_count: u64) -> u64 {
    1024 + 64 * page_count
}

/// What the last checkpoint wrote: the trees' pointers, the bitmap, and what is in the meta slots.
#[derive(Debug, Clone)]
pub(crate) struct Persisted {
    pub(super) meta: Meta,
    pub(super) trees: BTreeMap<(u64, Which), Tree>,
    pub(super) bitmap: Tree,
    pub(super) used: PageSet,
    /// The generation in each meta slot, 0 for a slot that is not whole.
    pub(super) slots: [u64; META_SLOTS],
    /// Leaves to write anew though nothing in them changes, to move them down.
    pub(super) moving: Moving,
}

/// Leaves of trees.
#[derive(Debug, Clone, Default)]
pub(super) struct Moving {
    pub(super) trees: BTreeMap<(u64, Which), BTreeSet<usize>>,
    pub(super) bitmap: BTreeSet<usize>,
}

impl Persisted {
    /// Where redo begins, or would.
    pub(crate) fn log(&self) -> LogPosition {
        self.meta.log
    }

    /// The meta page as it was written last.
    pub(crate) fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The pages that it reaches.
    pub(crate) fn used(&self) -> &PageSet {
        &self.used
    }

    pub(crate) fn page_count(&self) -> u64 {
        self.meta.page_count
    }

    /// Pages that are not free.
    pub(crate) fn live_page_count(&self) -> u64 {
        self.used.len()
    }

    /// Whether nodes wait to be moved.
    pub(crate) fn is_moving(&self) -> bool {
        !self.moving.trees.is_empty() || !self.moving.bitmap.is_empty()
    }

    /// Lets the next checkpoint write the nodes at or above this page anew.
    pub(crate) fn move_nodes_from(&mut self, first: u64) {
        let moved = |pointer| page_of(pointer) >= first;
        self.moving.bitmap = self.bitmap.leaves_through(&moved);
        let trees = self.trees.iter().map(|(id, tree)| (*id, tree.leaves_through(&moved)));
        self.moving.trees = trees.filter(|(_, leaves)| !leaves.is_empty()).collect();
    }

    /// Makes the meta page durable anew, over the oldest slot: what was seen at open may be in the
    /// cache only, and only a durable meta page says which pages are free (C4).
    pub(crate) fn renew(&mut self, shared: &Shared) -> Result<()> {
        self.write_meta(shared)?;
        shared.file.sync_data().map_err(|e| Error::io("sync", &shared.path, e))
    }

    /// Says in a meta page that there is a log, which is durable by now.
    pub(crate) fn announce_log(&mut self, log: LogPosition, shared: &Shared) -> Result<()> {
        self.meta.clean = false;
        self.meta.log = log;
        self.renew(shared).inspect_err(|error| shared.refuse(error))
    }

    /// Writes the meta page anew over the oldest slot, as the next generation. Not yet synced.
    pub(super) fn write_meta(&mut self, shared: &Shared) -> Result<()> {
        self.meta.generation += 1;
        let slots = if mutant(Mutant::TwoMetaSlots) { 2 } else { META_SLOTS };
        let slot = (0..slots).min_by_key(|&slot| self.slots.get(slot)).unwrap_or_default();
        let offset = (slot * META_SIZE) as u64;
        let bytes = self.meta.encode();
        let written = shared.file.write_all_at(&bytes, offset);
        written.map_err(|e| Error::io("write", &shared.path, e))?;
        if let Some(generation) = self.slots.get_mut(slot) {
            *generation = self.meta.generation;
        }
        Ok(())
    }
}
