//! Growing and shrinking: one sweep of the splitpoint through hash space, a run at a time.
//!
//! Keys whose hash is below the splitpoint live in the next layout, the others in the current one.
//! A step moves one run: it
//!
//! 1. reads the run's bucket pages and its overflow chain,
//! 2. places their records by the next layout, where no reader looks yet,
//! 3. moves the splitpoint past the run,
//! 4. discards the run's old pages.
//!
//! Each insert over the target fill, and each removal under the low mark, makes one step; nothing
//! ever stops the world. A whole run moves at once so that its shared overflow pages are read once
//! and dropped whole. If a page of the run cannot be read the sweep stays where it is: the table
//! works on, with fuller pages, until the page is mended.
//!
//! Litwin's linear hashing (1980) with Larson's small steps (1980); the direct ratios are ours.

use std::ops::ControlFlow::{Break, Continue};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Home, Table};
use crate::error::{Fault, Place, Promise, Result};
use crate::layout::{Layout, RUN_BUCKETS};
use crate::page::bucket;
use crate::page::edit::crowded_last;
use crate::page::record::Record;
use crate::page::shape::Shape;
use crate::page::{LINE_SIZE, cell_count};
use crate::pager::{Page, Side, State, Which};

/// The fill that inserts keep to, in percent of the bytes of all bucket pages' payload; records in
/// overflow count as if they stood in bucket pages.
const TARGET_FILL: u64 = 91;
/// Below this fill the table shrinks: a little above half of the target, so that it does when half of
/// the records of a table that has grown are removed.
const LOW_FILL: u64 = 47;
/// What a shrinking sweep aims at.
const SHRUNK_FILL: u64 = 72;
/// The most buckets that a table is made of for records that are yet to come: 128 GiB of small pages.
const EXPECTED_BUCKETS_MAX: u64 = 1 << 25;
/// Pages that are on their way to the cache while a sweep looks at one.
const AHEAD: usize = 2;

impl Table {
    /// Bytes that all records take, slots included.
    fn used_len(&self) -> u64 {
        let counts = &self.pager.counts;
        self.shared().shape.used_len(counts.record_count, counts.record_len)
    }

    /// Bucket pages that the table has now, counting the ones that a sweep has not yet reached.
    fn bucket_count(&self, state: &State) -> u64 {
        let current = state.current.layout;
        match &state.next {
            None => current.bucket_count,
            Some(next) => {
                let splitpoint = state.splitpoint.load(Ordering::SeqCst);
                let swept = next.layout.bucket_of(splitpoint);
                swept + current.bucket_count - current.bucket_of(splitpoint)
            }
        }
    }

    fn payload(&self) -> u64 {
        self.shared().shape.payload(self.shared().parameters.page_size)
    }

    fn is_above(&self, percent: u64) -> bool {
        let capacity = self.bucket_count(self.pager.state()) * self.payload();
        self.used_len() * 100 > capacity * percent
    }

    pub(super) fn grow_if_full(&mut self) {
        if self.is_above(TARGET_FILL) {
            let expected = self.buckets_expected();
            self.step(|layout| grown(layout).max(expected));
        }
    }

    /// Buckets for the records that are expected, if those that are there are like them; 0 for a table
    /// of more than one run: a sweep that went on for long would leave what it has not reached overfull.
    fn buckets_expected(&self) -> u64 {
        let (there, expected) = (self.pager.counts.record_count, self.expected_len);
        if there >= expected || self.pager.state().current.layout.bucket_count > RUN_BUCKETS {
            return 0;
        }
        // A record takes no more than a page, whatever a file says of their sum.
        let used_len = self.used_len().min(there.max(1).saturating_mul(self.payload()));
        let len = u128::from(used_len) * u128::from(expected) * 100;
        let payload = u128::from(there.max(1)) * u128::from(self.payload() * TARGET_FILL);
        u64::try_from(len.div_ceil(payload.max(1))).unwrap_or(u64::MAX).min(EXPECTED_BUCKETS_MAX)
    }

    /// Whether the table is as large as it is for records that are still to come.
    fn awaits_records(&mut self) -> bool {
        let is_made = self.pager.state().current.layout.bucket_count > RUN_BUCKETS;
        let have_come = self.pager.counts.record_count >= self.expected_len;
        if have_come || is_made && self.is_above(LOW_FILL) {
            self.expected_len = 0;
        }
        self.expected_len > 0
    }

    pub(super) fn shrink_if_empty(&mut self) {
        if !self.awaits_records() && self.is_shrinkable() {
            let used_len = self.used_len();
            let wanted = (used_len * 100).div_ceil(self.payload() * SHRUNK_FILL);
            self.step(|_| wanted);
        }
    }

    fn is_shrinkable(&self) -> bool {
        let state = self.pager.state();
        let shrinking = state
            .next
            .as_ref()
            .is_some_and(|next| next.layout.bucket_count < state.current.layout.bucket_count);
        (state.current.layout.bucket_count > 1 || state.next.is_some())
            && (shrinking || !self.is_above(LOW_FILL))
    }

    /// One step of the sweep that runs, or the first of a new one. An error stays unspoken here:
    /// the page that cannot be read will be met by those who look for its records.
    fn step(&mut self, wanted: impl FnOnce(Layout) -> u64) {
        if self.pager.state().next.is_none() {
            let current = self.pager.state().current.layout;
            let layout = Layout::new(wanted(current));
            if layout == current {
                return;
            }
            self.start_sweep(layout);
        }
        let _ = self.move_run();
    }

    fn start_sweep(&mut self, layout: Layout) {
        let next = self.pager.new_side(layout);
        let current = self.pager.state().current.clone();
        let splitpoint = AtomicU64::new(0);
        self.pager.set_state(State { current, next: Some(next), splitpoint });
    }

    /// Shrinks as far as the fill asks for, a sweep that runs included, until `limit` more pages are
    /// changed; `true` if that was not all. For a checkpoint that was asked for: it gives space back. A
    /// growing sweep stays where it is.
    pub(crate) fn settle(&mut self, limit: usize) -> Result<bool> {
        let enough = self.pager.dirty_count().saturating_add(limit);
        if self.is_shrinkable() {
            // It is not made large a second time.
            self.expected_len = 0;
        }
        while self.is_shrinkable() {
            let state = self.pager.state();
            if state.next.is_none() {
                let Some(layout) = self.shrunk() else { return Ok(false) };
                self.start_sweep(layout);
            }
            self.move_run()?;
            if self.pager.dirty_count() >= enough {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a sweep is on its way.
    #[cfg(test)]
    pub(crate) fn is_sweeping(&self) -> bool {
        self.pager.state().next.is_some()
    }

    /// Whether [`Table::settle`] has something to do.
    pub(crate) fn wants_settling(&self) -> bool {
        self.is_shrinkable() && (self.pager.state().next.is_some() || self.shrunk().is_some())
    }

    /// The layout that suits what the table holds, if it is smaller.
    fn shrunk(&self) -> Option<Layout> {
        let wanted = (self.used_len() * 100).div_ceil(self.payload() * SHRUNK_FILL);
        let layout = Layout::new(wanted);
        (layout.bucket_count < self.pager.state().current.layout.bucket_count).then_some(layout)
    }

    fn move_run(&mut self) -> Result<()> {
        let state = self.pager.state().clone();
        let (current, next) = match &state.next {
            Some(next) => (state.current.clone(), next.clone()),
            None => return Ok(()),
        };
        let splitpoint = state.splitpoint.load(Ordering::SeqCst);
        let run = Layout::run_of(current.layout.bucket_of(splitpoint));
        let buckets = current.layout.buckets_of_run(run);
        // All that can fail comes first: the old pages, and those of the new layout that hold
        // records of the last step.
        let straddling = Home::new(&next, splitpoint);
        self.pager.private_bucket(&next, straddling.bucket)?;
        self.pager.private_chain(&next, straddling.run)?;
        let chain = self.pager.chain_words(&current, run)?;
        self.place_run(&current, &next, run, &chain)?;
        match current.layout.first_hash(buckets.end) {
            Some(splitpoint) => self.pager.set_splitpoint(splitpoint),
            None => {
                let splitpoint = AtomicU64::new(0);
                self.pager.set_state(State { current: next, next: None, splitpoint });
            }
        }
        self.pager.moved_page_count += buckets.end - buckets.start + chain.len() as u64;
        for bucket in buckets {
            self.clear(&current, Which::Buckets, bucket, &[current.load(Which::Buckets, bucket)]);
        }
        self.clear(&current, Which::Runs, run, &chain);
        let pages = &mut self.pager.counts.overflow_page_count;
        *pages = pages.saturating_sub(chain.len() as u64);
        Ok(())
    }

    fn clear(&mut self, side: &Side, which: Which, index: u64, words: &[u64]) {
        if words.iter().all(|&word| word == 0) {
            return;
        }
        self.pager.publish(side, which, index, None);
        words.iter().for_each(|&word| self.pager.discard(word));
    }

    fn place_run(
        &mut self,
        current: &Arc<Side>,
        next: &Arc<Side>,
        run: u64,
        chain: &[u64],
    ) -> Result<()> {
        let shared = self.shared().clone();
        let pin = shared.epoch.pin();
        let mut pages: Vec<Page<'_>> = Vec::new();
        for bucket in current.layout.buckets_of_run(run) {
            let slot = current.word(Which::Buckets, bucket);
            let word = slot.load(Ordering::SeqCst);
            pages.extend(shared.page(&pin, current, Which::Buckets, bucket, word, Some(slot))?);
        }
        for &word in chain {
            pages.extend(shared.page(&pin, current, Which::Runs, run, word, None)?);
        }
        let mut groups: Vec<(u64, Group<'_>)> = Vec::new();
        // Lines are looked at in the order of slots, which the processor cannot foresee.
        let ask_for = |page: &Page<'_>| {
            let view = page.view();
            (0..view.len()).step_by(LINE_SIZE).for_each(|offset| view.prefetch(offset));
        };
        pages.iter().take(AHEAD).for_each(ask_for);
        for (i, page) in pages.iter().enumerate() {
            let view = page.view();
            pages.get(i + AHEAD).into_iter().for_each(ask_for);
            let looked = bucket::visit(view, &shared.shape, 0..cell_count(view), |_, record| {
                let Some(record) = record else {
                    return Break(Fault::new(Promise::RecordBounds, view.len() as u64, 0));
                };
                let hash = self.hash_of(&record);
                // A record of another run would go to pages that this step has not made its own.
                let its_run = Layout::run_of(current.layout.bucket_of(hash));
                if its_run != run {
                    return Break(Fault::new(Promise::RecordBucket, run, its_run));
                }
                group_of(&mut groups, next.layout.bucket_of(hash)).push((hash, record));
                Continue(())
            });
            if let Break(fault) = looked {
                return Err(fault.at(&shared.path, Place::File));
            }
        }
        groups.sort_unstable_by_key(|(bucket, _)| *bucket);
        for (bucket, _) in &groups {
            // There is a page on file only if it is damaged; it is checked before anything moves.
            self.pager.private_bucket(next, *bucket)?;
        }
        for (_, group) in &mut groups {
            if let Some((hash, _)) = group.first() {
                self.place_group(&Home::new(next, *hash), group);
            }
        }
        Ok(())
    }

    /// Places the records of one bucket: a page of its own at once if it has none yet.
    fn place_group(&mut self, home: &Home, group: &mut [(u64, Record<'_>)]) {
        if self.pager.bucket_frame(&home.side, home.bucket).is_some() {
            group.iter().for_each(|(hash, record)| self.place(home, *hash, record));
            return;
        }
        let (page_size, shape) = (self.shared().parameters.page_size, self.shared().shape);
        crowded_last(page_size, &shape, group);
        let of = self.bucket_page(home);
        let (frame, rest) = self.pager.new_frame(|frame| of.fill(frame, group));
        self.pager.publish(&home.side, Which::Buckets, home.bucket, Some(frame));
        if !rest.is_empty() {
            self.place_in_overflow(home, &rest, true);
        }
    }
}

/// Records of one bucket, with their hashes.
type Group<'r> = Vec<(u64, Record<'r>)>;

/// The records of a bucket. It is most likely the one that the record before went to, or its neighbour.
fn group_of<'g, 'r>(groups: &'g mut Vec<(u64, Group<'r>)>, bucket: u64) -> &'g mut Group<'r> {
    /// More than a bucket has of records of a usual size.
    const USUAL: usize = 48;
    let index = groups.iter().rposition(|(known, _)| *known == bucket).unwrap_or_else(|| {
        groups.push((bucket, Vec::with_capacity(USUAL)));
        groups.len() - 1
    });
    &mut groups.get_mut(index).expect("it was found or made").1
}

/// The next larger layout: doubling while the table is small and cheap to move, then by steps
/// small enough that no bucket is much fuller than the others.
fn grown(current: Layout) -> u64 {
    let count = current.bucket_count;
    match count {
        0..RUN_BUCKETS => count * 2,
        RUN_BUCKETS..1024 => (count * 3).div_ceil(2),
        _ => (count * 9).div_ceil(8),
    }
}

/// Buckets for this many records of this many bytes of key and value.
pub(crate) fn buckets_for(shape: &Shape, records: u64, record_len: u64, page_size: usize) -> u64 {
    /// Of a record's header.
    const HEADER_LEN: u64 = 3;
    let record_len =
        if shape.is_fixed() { record_len } else { record_len.saturating_add(HEADER_LEN) };
    let len = shape.used_len(records, records.saturating_mul(record_len));
    let payload = (shape.payload(page_size) * TARGET_FILL / 100).max(1);
    len.div_ceil(payload).max(1)
}
