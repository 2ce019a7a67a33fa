//! Moving what lies at the file's end down, so that the file can be cut off.
//!
//! Pages are made the writer's own, unchanged; the next checkpoint writes them to the lowest free
//! places. Large records are written anew at once. Nothing moves that would not move down.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Table;
use crate::error::Result;
use crate::page::bucket::{self, SlotPlace};
use crate::page::pointer::Pointer;
use crate::page::record::{LargeRecord, Record};
use crate::pager::{Side, Which};

impl Table {
    /// Moves what lies at or above page `first`, of at most about `limit` pages; how many pages or
    /// large records that was.
    pub(crate) fn move_pages_from(&mut self, first: u64, limit: usize) -> Result<u64> {
        let before = self.pager.moved_page_count;
        self.move_until(first, limit)?;
        Ok(self.pager.moved_page_count - before)
    }

    fn move_until(&mut self, first: u64, limit: usize) -> Result<()> {
        let state = self.pager.state().clone();
        let has_large = self.pager.counts.value_page_count > 0;
        let enough = self.pager.dirty_count().saturating_add(limit);
        for side in [Some(&state.current), state.next.as_ref()].into_iter().flatten() {
            for bucket in 0..side.layout.bucket_count {
                if self.pager.dirty_count() >= enough {
                    return Ok(());
                }
                if is_from(side.load(Which::Buckets, bucket), first) {
                    self.pager.private_bucket(side, bucket)?;
                    self.pager.moved_page_count += 1;
                }
            }
            for run in 0..side.layout.run_count() {
                if side.load(Which::Runs, run) == 0 {
                    continue;
                }
                let chain = self.pager.chain_words(side, run)?;
                if chain.iter().any(|&word| is_from(word, first)) {
                    let chain = self.pager.private_chain(side, run)?;
                    self.pager.moved_page_count += chain.len() as u64;
                }
            }
            if has_large {
                self.move_large_from(side, first)?;
            }
        }
        Ok(())
    }

    fn move_large_from(&mut self, side: &Arc<Side>, first: u64) -> Result<()> {
        let page_size = self.shared().parameters.page_size;
        let is_high =
            |large: &LargeRecord| u64::from(large.page) + large.page_count(page_size) > first;
        for (which, len) in
            [(Which::Buckets, side.layout.bucket_count), (Which::Runs, side.layout.run_count())]
        {
            for index in 0..len {
                let shared = self.shared().clone();
                let words = match which {
                    Which::Buckets => vec![side.word(which, index).load(Ordering::SeqCst)],
                    Which::Runs => self.pager.chain_words(side, index)?,
                };
                let mut found = false;
                for word in words {
                    let pin = shared.epoch.pin();
                    let slot = (which == Which::Buckets).then(|| side.word(which, index));
                    let page = shared.page(&pin, side, which, index, word, slot)?;
                    found |= page.is_some_and(|page| {
                        bucket::records(page.view()).flatten().any(|(_, _, record)| {
                            matches!(record, Record::Large(large) if is_high(&large))
                        })
                    });
                }
                if found {
                    self.move_large_of(side, which, index, &is_high)?;
                }
            }
        }
        Ok(())
    }

    fn move_large_of(
        &mut self,
        side: &Arc<Side>,
        which: Which,
        index: u64,
        is_high: &dyn Fn(&LargeRecord) -> bool,
    ) -> Result<()> {
        let frames = match which {
            Which::Buckets => self.pager.private_bucket(side, index)?.into_iter().collect(),
            Which::Runs => self.pager.private_chain(side, index)?,
        };
        for frame in frames {
            let large: Vec<(SlotPlace, LargeRecord)> = bucket::records(self.pager.view(frame))
                .flatten()
                .filter_map(|(place, _, record)| match record {
                    Record::Large(large) if is_high(&large) => Some((place, large)),
                    _ => None,
                })
                .collect();
            for (place, old) in large {
                self.move_one(frame, place, &old)?;
            }
        }
        Ok(())
    }

    fn move_one(&mut self, frame: u32, place: SlotPlace, old: &LargeRecord) -> Result<()> {
        let shared = self.shared().clone();
        let new = {
            let pin = shared.epoch.pin();
            let bytes = shared.large_bytes(&pin, old)?;
            let (key, value) = bytes.split_at_checked(old.key_len.into()).unwrap_or((&bytes, &[]));
            self.pager.write_large(old.hash, key, value)?
        };
        // A page without room for the stand-in keeps its record where it is.
        if new.page < old.page
            && self.pager.edit(frame).replace(&shared.shape, place, old.hash, &Record::Large(new))
        {
            self.pager.drop_large(old);
            self.pager.moved_page_count += 1;
        } else {
            self.pager.give_back_large(&new);
        }
        Ok(())
    }
}

fn is_from(word: u64, first: u64) -> bool {
    match Pointer::decode(word) {
        Pointer::Checked { page, .. } | Pointer::Unchecked { page, .. } => page >= first,
        Pointer::Empty | Pointer::Frame { .. } => false,
    }
}
