//! Moving what lies at the file's end down, so that the file can be cut off.
//!
//! Pages are made the writer's own, unchanged; the next checkpoint writes them to the lowest free
//! places. Values are written anew at once. Nothing moves that would not move down.

use super::Table;
use super::relocate::Relocation;
use crate::error::{Result, unless_damaged};
use crate::page::pointer::Pointer;
use crate::page::record::LargeRecord;
use crate::pager::Which;

impl Table {
    /// Moves what lies at or above page `first`, of at most `limit` pages, the last chain whole; how
    /// many pages or values that was.
    pub(crate) fn move_pages_from(&mut self, first: u64, limit: usize) -> Result<u64> {
        let before = self.pager.moved_page_count;
        self.pager.set_packing(true);
        let moved = self.move_until(first, limit);
        self.pager.set_packing(false);
        moved.map(|()| self.pager.moved_page_count - before)
    }

    fn move_until(&mut self, first: u64, limit: usize) -> Result<()> {
        let state = self.pager.state().clone();
        let has_large = self.pager.counts.value_page_count > 0;
        let mut enough = self.pager.dirty_count().saturating_add(limit);
        let page_size = self.shared().parameters.page_size;
        let is_high = |large: &LargeRecord| large.end_page(page_size) > first;
        let down = Relocation { is_wanted: &is_high, only_down: true };
        for side in [Some(&state.current), state.next.as_ref()].into_iter().flatten() {
            for bucket in 0..side.layout.bucket_count {
                if self.pager.dirty_count() >= enough {
                    return Ok(());
                }
                // What is damaged stays where it is.
                if is_from(side.load(Which::Buckets, bucket), first) {
                    let moved = unless_damaged(self.pager.private_bucket(side, bucket))?;
                    self.pager.moved_page_count += u64::from(moved.is_some());
                }
                if has_large {
                    unless_damaged(self.relocate(side, Which::Buckets, bucket, &down))?;
                }
            }
            for run in 0..side.layout.run_count() {
                if self.pager.dirty_count() >= enough {
                    return Ok(());
                }
                if side.load(Which::Runs, run) == 0 {
                    continue;
                }
                let chain = unless_damaged(self.pager.chain_words(side, run))?.unwrap_or_default();
                if chain.iter().any(|&word| is_from(word, first)) {
                    let chain =
                        unless_damaged(self.pager.private_chain(side, run))?.unwrap_or_default();
                    self.pager.moved_page_count += chain.len() as u64;
                    // It is counted as one dirty page.
                    enough = enough.saturating_sub(chain.len().saturating_sub(1));
                }
                if has_large {
                    unless_damaged(self.relocate(side, Which::Runs, run, &down))?;
                }
            }
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
