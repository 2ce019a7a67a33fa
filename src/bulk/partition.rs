//! The input, partitioned by hash: records are added to the block of their partition; full blocks
//! wait in memory, and when the budget is spent those of the fullest partition go to the spill file.
//! The order of a partition's records is the input's. Knows nothing of pages or layouts.

use std::path::PathBuf;
use std::sync::Arc;

use super::record::{Incoming, SWITCH_LEN_MAX, put_switch};
use super::spill::{BLOCK_ALIGN, Extent, Spill, Spilled, Written};
use crate::error::Result;
use crate::storage::Storage;

/// How much goes where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    /// Partitions, as a power of two.
    pub(super) partition_bits: u32,
    /// Bytes of a block.
    pub(super) block_len: usize,
    /// Bytes of blocks in memory.
    pub(super) blocks_len_max: u64,
    /// Bytes that may be loaded at once to build pages of, for each thread.
    pub(super) piece_len_max: u64,
}

impl Sizes {
    /// What suits a budget: three quarters of it hold blocks; the rest is for building.
    pub(super) fn of_budget(budget: u64, threads: usize) -> Sizes {
        let partition_bits = (budget >> 19).clamp(16, 512).ilog2();
        let block_len = (budget >> (partition_bits + 3)).clamp(4096, 256 << 10);
        let block_len = usize::try_from(block_len).unwrap_or(4096) & !(BLOCK_ALIGN - 1);
        // A piece takes its records' bytes, and as much again for their order and pages.
        let piece_len_max = (budget / 8 / threads.max(1) as u64).max(1 << 14);
        Sizes { partition_bits, block_len, blocks_len_max: budget / 4 * 3, piece_len_max }
    }
}

impl Sizes {
    /// As it suits records of a number and of bytes together: what orders them takes memory too.
    pub(super) fn for_records(self, records: u64, len: u64) -> Sizes {
        const ORDER_LEN: u64 = 32;
        if records == 0 {
            return self;
        }
        let whole = u128::from(len) + u128::from(ORDER_LEN) * u128::from(records);
        let piece_len_max = u128::from(self.piece_len_max) * u128::from(len) / whole.max(1);
        let piece_len_max = u64::try_from(piece_len_max).unwrap_or(u64::MAX).max(1 << 14);
        Sizes { piece_len_max, ..self }
    }
}

/// A partition's records: the spilled ones first.
#[derive(Debug, Default)]
pub(super) struct Partition {
    pub(super) extents: Vec<Extent>,
    pub(super) blocks: Vec<Vec<u8>>,
    /// Pieces that have read it, if it is more than one.
    pub(super) read_count: u64,
}

/// All of the input.
pub(super) struct Partitions {
    pub(super) sizes: Sizes,
    storage: Arc<dyn Storage>,
    spill_path: PathBuf,
    inline: bool,
    shift: u32,
    heads: Vec<Vec<u8>>,
    /// The input of the last record in each head.
    head_inputs: Vec<u32>,
    lists: Vec<Partition>,
    /// The input of the records that come.
    pub(super) input: u32,
    /// Bytes of all blocks in memory, those on their way to the spill file included.
    held_len: u64,
    /// Empty blocks.
    spare: Vec<Vec<u8>>,
    spill: Option<Spill>,
}

impl Partitions {
    pub(super) fn new(
        storage: Arc<dyn Storage>,
        spill_path: PathBuf,
        sizes: Sizes,
        inline: bool,
    ) -> Partitions {
        let count = 1 << sizes.partition_bits;
        Partitions {
            sizes,
            storage,
            spill_path,
            inline,
            shift: 64 - sizes.partition_bits,
            heads: (0..count).map(|_| Vec::new()).collect(),
            head_inputs: vec![0; count],
            input: 0,
            lists: (0..count).map(|_| Partition::default()).collect(),
            held_len: 0,
            spare: Vec::new(),
            spill: None,
        }
    }

    /// Bytes in the spill file.
    pub(super) fn spilled_len(&self) -> u64 {
        self.spill.as_ref().map_or(0, Spill::len)
    }

    /// Adds a record of this hash.
    #[inline]
    pub(super) fn add(&mut self, hash: u64, record: Incoming<'_>) -> Result<()> {
        let partition = usize::try_from(hash >> self.shift).unwrap_or_default();
        let len = record.encoded_len();
        match (self.heads.get_mut(partition), self.head_inputs.get(partition)) {
            (Some(head), Some(&input))
                if head.len() + len <= head.capacity() && input == self.input =>
            {
                record.encode(head);
                Ok(())
            }
            _ => self.add_or_switch(partition, record, len),
        }
    }

    /// The record does not simply follow the one before: it is of another input, or the block is
    /// full.
    #[cold]
    fn add_or_switch(&mut self, partition: usize, record: Incoming<'_>, len: usize) -> Result<()> {
        let len = len + SWITCH_LEN_MAX;
        if let (Some(head), Some(input)) =
            (self.heads.get_mut(partition), self.head_inputs.get_mut(partition))
            && head.len() + len <= head.capacity()
        {
            if *input != self.input {
                *input = self.input;
                put_switch(head, self.input);
            }
            record.encode(head);
            return Ok(());
        }
        self.add_to_new_block(partition, record, len)
    }

    fn add_to_new_block(
        &mut self,
        partition: usize,
        record: Incoming<'_>,
        len: usize,
    ) -> Result<()> {
        let mut block = self.empty_block(len)?;
        if self.input != 0 {
            put_switch(&mut block, self.input);
        }
        record.encode(&mut block);
        if let Some(input) = self.head_inputs.get_mut(partition) {
            *input = self.input;
        }
        let (Some(head), Some(list)) =
            (self.heads.get_mut(partition), self.lists.get_mut(partition))
        else {
            return Ok(());
        };
        let full = std::mem::replace(head, block);
        if !full.is_empty() {
            list.blocks.push(full);
        }
        Ok(())
    }

    /// A block with room for a record of this length, within the budget.
    fn empty_block(&mut self, len: usize) -> Result<Vec<u8>> {
        let len = len.next_multiple_of(BLOCK_ALIGN).max(self.sizes.block_len);
        if len == self.sizes.block_len
            && let Some(block) = self.spare.pop()
        {
            self.keep_room()?;
            return Ok(block);
        }
        while self.held_len + len as u64 > self.sizes.blocks_len_max {
            if self.settle(true)? {
                if len == self.sizes.block_len
                    && let Some(block) = self.spare.pop()
                {
                    return Ok(block);
                }
            } else if !self.spill_fullest()? {
                break;
            }
        }
        self.held_len += len as u64;
        Ok(Vec::with_capacity(len))
    }

    /// Begins to spill before the last block is used, so that it happens beside the input.
    fn keep_room(&mut self) -> Result<()> {
        while self.settle(false)? {}
        let low = self.sizes.blocks_len_max / 16;
        let free = (self.spare.len() * self.sizes.block_len) as u64;
        if free < low && self.spill.as_ref().is_some_and(|spill| spill.in_flight < 2) {
            self.spill_fullest()?;
        }
        Ok(())
    }

    /// Takes note of blocks that were written; `false` if there are none on their way (or, without
    /// waiting, none done).
    fn settle(&mut self, wait: bool) -> Result<bool> {
        let Some(spill) = &mut self.spill else { return Ok(false) };
        let Some(written) = spill.written(wait)? else { return Ok(false) };
        self.note(written);
        Ok(true)
    }

    fn note(&mut self, written: Written) {
        if let Some(list) = self.lists.get_mut(written.partition) {
            list.extents.extend(written.extents);
        }
        for block in written.blocks {
            if block.capacity() == self.sizes.block_len {
                self.spare.push(block);
            } else {
                self.held_len -= block.capacity() as u64;
            }
        }
    }

    /// Spills the full blocks of the partition that has most. `false` if none has any.
    fn spill_fullest(&mut self) -> Result<bool> {
        let len = |list: &Partition| list.blocks.iter().map(Vec::capacity).sum::<usize>();
        let lens = self.lists.iter().map(len).enumerate();
        let Some((partition, _)) = lens.max_by_key(|(_, len)| *len).filter(|(_, len)| *len > 0)
        else {
            return Ok(false);
        };
        let blocks = self.lists.get_mut(partition).map(|list| std::mem::take(&mut list.blocks));
        let spill = match &mut self.spill {
            Some(spill) => spill,
            none => none.insert(Spill::create(
                self.storage.clone(),
                self.spill_path.clone(),
                self.inline,
            )?),
        };
        if let Some(written) = spill.write(partition, blocks.unwrap_or_default())? {
            self.note(written);
        }
        Ok(true)
    }

    /// The end of the input: everything that is on its way to the spill file is there.
    pub(super) fn end(mut self) -> Result<(Vec<Partition>, Option<Spilled>)> {
        while self.settle(true)? {}
        for (list, head) in self.lists.iter_mut().zip(self.heads) {
            if !head.is_empty() {
                list.blocks.push(head);
            }
        }
        Ok((self.lists, self.spill.map(Spill::end)))
    }
}
