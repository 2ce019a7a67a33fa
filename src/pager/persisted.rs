//! What the last checkpoint wrote, as the next one needs it. Knows nothing of what changes.

use std::collections::{BTreeMap, BTreeSet};

use super::space::PageSet;
use super::tree::{Nodes, Tree};
use super::value_area::{FrozenValues, WORD_PAGES};
use super::write_back::page_of;
use super::{Shared, Which};
use crate::error::{Error, Result};
use crate::mutant::{Mutant, mutant};
use crate::page::meta::{LogPosition, META_SIZE, META_SLOTS, Meta};
use crate::page::{Kind, array};

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
    pub(super) value_map: Tree,
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
    pub(super) value_map: BTreeSet<usize>,
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
        !self.moving.trees.is_empty()
            || !self.moving.bitmap.is_empty()
            || !self.moving.value_map.is_empty()
    }

    /// Lets the next checkpoint write the nodes at or above this page anew.
    pub(crate) fn move_nodes_from(&mut self, first: u64) {
        let moved = |pointer| page_of(pointer) >= first;
        self.moving.bitmap = self.bitmap.leaves_through(&moved);
        self.moving.value_map = self.value_map.leaves_through(&moved);
        let trees = self.trees.iter().map(|(id, tree)| (*id, tree.leaves_through(&moved)));
        self.moving.trees = trees.filter(|(_, leaves)| !leaves.is_empty()).collect();
    }

    /// Changes words of the value map; its array ends with the last value page.
    pub(super) fn update_value_map(
        &mut self,
        values: &FrozenValues,
        nodes: &mut dyn Nodes,
    ) -> Result<()> {
        let page_size = self.meta.parameters.page_size;
        let tree = &mut self.value_map;
        let width = array::words_per_page(page_size);
        let len = values.end.div_ceil(WORD_PAGES).max(1).next_multiple_of(width);
        let mut fresh = Tree::new(Kind::ValueMap, 0, page_size, len);
        let mut words = values.words.clone();
        // Pages that were used and given back since the last checkpoint may lie behind its end.
        words.retain(|index, _| *index < len);
        let moving = std::mem::take(&mut self.moving.value_map);
        if fresh.leaf_count() >= tree.leaf_count() && fresh.level_count() == tree.level_count() {
            tree.resize(len);
            return tree.update(&words, &moving, nodes);
        }
        // Of another shape: made anew. So an array of this length has one tree only.
        let mut old: BTreeMap<u64, u64> = BTreeMap::new();
        tree.clone().load(tree.root(), nodes, &mut |first, leaf| {
            old.extend((first..).zip(leaf.iter().copied()).filter(|(_, word)| *word != 0));
            Ok(())
        })?;
        tree.pages().for_each(|(_, pointer)| nodes.free(pointer));
        old.append(&mut words);
        old.retain(|index, word| *word != 0 && *index < len);
        fresh.update(&old, &BTreeSet::new(), nodes)?;
        self.value_map = fresh;
        Ok(())
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
        let renewed = self.renew(shared).map_err(Error::of_unknown_fate);
        renewed.inspect_err(|error| shared.refuse(error))
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
