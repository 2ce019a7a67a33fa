//! Check: proof that one checkpoint of a file keeps every promise, or a list of those it breaks.
//!
//! Reads with positioned reads only, never through a map, so it can be let loose on a damaged
//! file, and it goes on after each finding. It works from what a meta page reaches:
//!
//! 1. the meta slots and the fields of the meta page,
//! 2. the bitmap, the value map and the directories; every page that they lead to is *claimed*,
//!    once (I4),
//! 3. side by side and a stretch of runs at a time: overflow chains, then bucket pages, each in
//!    the order of the file; every record is where its key's hash says (I5) and its key in one
//!    place only (I6),
//! 4. where pages are damaged, the pages in use that nothing leads to any more,
//! 5. the large records, in the order of the file, and that each has its bytes for itself,
//! 6. claimed pages against the bitmap (I4), claimed grains against the counts of the value map, and
//!    the counts of the meta page.
//!
//! Nothing is read twice but the long keys of large records in overflow, and of those whose hashes are
//! equal. Claims are also the budget of every walk: a page is read when it is claimed, so
//! circles end. Memory is two bits a page, the directories' words, a bit for each grain of the value
//! area, and buffers of bounded size; of a damaged file also 56 bytes for each page that proves
//! itself and that nothing leads to. Bucket and overflow pages are read and judged by as many
//! threads as there are cores, eight at most, and what they saw is added up in one.
//!
//! A *quick* check leaves 3 to 5 out but for claims; a *census* counts along what the bytes are
//! used for.
//!
//! Beside writers: pages of the checkpoint are not written while the caller holds a pin (I1).

mod batches;
pub(crate) mod census;
mod judge;
mod pages;
mod records;
mod report;
mod stranded;
#[cfg(test)]
mod tests;
mod trees;
mod values;

use std::collections::BTreeSet;
use std::path::Path;

use crate::error::{Error, Fault, Place, Promise, Result};
use crate::layout::Layout;
use crate::page::get_u64;
use crate::page::meta::{self, Counts, META_SIZE, META_SLOTS, Meta};
use crate::pager::{PageSet, bucket_count_max, check_splitpoint};
use crate::storage::StorageFile;

pub use report::{CheckReport, Finding, Severity};

use census::Census;
use trees::is_in;
use values::ValueArea;

/// How much a check does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Meta pages, bitmap and directories: structure only.
    Quick,
    /// Everything.
    Whole,
    /// Everything, with a census.
    Census,
}

/// Checks the checkpoint that `meta` names. `progress` is called with the number of pages done and
/// of all pages. An error is a file that cannot be read at all; what is wrong with it is in the
/// report.
pub(crate) fn check(
    file: &dyn StorageFile,
    path: &Path,
    meta: &Meta,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<CheckReport> {
    check_as(file, path, meta, Extent::Whole, progress).map(|(report, _)| report)
}

/// As [`check`], as far as `extent` says, and with a census if that says so.
pub(crate) fn check_as(
    file: &dyn StorageFile,
    path: &Path,
    meta: &Meta,
    extent: Extent,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(CheckReport, Option<Census>)> {
    let file_len = file.len().map_err(|e| Error::io("read", path, e))?;
    let mut checker = Checker::new(file, path, meta, file_len, progress);
    checker.census = (extent == Extent::Census).then(|| Census::new(checker.page_size()));
    let slot = checker.check_meta_slots();
    checker.check_meta(file_len);
    let bitmap = checker.load_bitmap();
    checker.load_values();
    let mut sides = vec![checker.load_side(&meta.current, false)];
    sides.extend(meta.next.as_ref().map(|side| checker.load_side(side, true)));
    checker.count_sides();
    if extent == Extent::Quick {
        // What is behind the pages that were not read stays unknown, and so do the counts.
        checker.lose();
    } else {
        checker.adopt(&bitmap, &mut sides);
        sides.iter().for_each(|side| checker.check_side(side));
        checker.check_stranded(&bitmap, &mut sides);
        checker.check_values();
        checker.check_live_counts();
    }
    checker.check_use(&bitmap);
    if extent == Extent::Quick {
        checker.unproven = PageSet::default();
    }
    checker.check_counts(slot, &bitmap);
    checker.finish_census(file_len, &bitmap);
    Ok(checker.finish())
}

/// The state of a check.
struct Checker<'c> {
    file: &'c dyn StorageFile,
    meta: &'c Meta,
    /// Of the pages with records.
    report: CheckReport,
    progress: &'c mut dyn FnMut(u64, u64),
    /// Pages that both the meta page and the file have.
    page_limit: u64,
    first_page: u64,
    /// Pages that a pointer has led to.
    claimed: PageSet,
    /// Pages in use of which nothing can be said.
    unproven: PageSet,
    /// Runs with a chain that could not be followed to its end; whether of the next layout.
    broken: BTreeSet<(bool, u64)>,
    counts: Counts,
    values: ValueArea,
    census: Option<Census>,
    done: u64,
    total: u64,
}

/// The bitmap of used pages.
struct Bitmap {
    used: PageSet,
    /// Stretches of pages of which it could not be read whether they are used.
    unknown: Vec<std::ops::Range<u64>>,
}

impl<'c> Checker<'c> {
    fn new(
        file: &'c dyn StorageFile,
        path: &Path,
        meta: &'c Meta,
        file_len: u64,
        progress: &'c mut dyn FnMut(u64, u64),
    ) -> Checker<'c> {
        let page_size = meta.parameters.page_size;
        let first_page = meta::first_page(page_size);
        let mut claimed = PageSet::default();
        (0..first_page).for_each(|page| {
            claimed.insert(page);
        });
        let page_limit = meta.page_count.min(file_len / page_size as u64);
        Checker {
            file,
            meta,
            report: CheckReport::new(path, meta.generation, meta.page_count),
            progress,
            page_limit,
            first_page,
            claimed,
            unproven: PageSet::default(),
            broken: BTreeSet::new(),
            counts: Counts::default(),
            values: ValueArea::default(),
            census: None,
            done: 0,
            total: page_limit,
        }
    }

    fn find(&mut self, place: Place, fault: Fault) {
        self.report.add(Finding::new(place, fault));
    }

    fn expect(&mut self, place: Place, result: std::result::Result<(), Fault>) -> bool {
        match result {
            Ok(()) => true,
            Err(fault) => {
                self.find(place, fault);
                false
            }
        }
    }

    /// Something that leads to other pages could not be read: what it leads to stays unknown.
    fn lose(&mut self) {
        self.report.is_complete = false;
    }

    fn advance(&mut self, pages: u64) {
        self.done += pages;
        // A damaged file may have more to read than its bitmap says.
        self.total = self.total.max(self.done);
        (self.progress)(self.done, self.total);
    }

    /// Checks the four slots; gives the one that holds the meta page.
    fn check_meta_slots(&mut self) -> Option<u8> {
        let slots: Vec<_> = (0..META_SLOTS).map(|slot| self.read_slot(slot)).collect();
        let whole = |generation: u64| {
            slots.iter().flatten().flatten().any(|found| found.generation == generation)
        };
        // A crash may tear the page that was being written: an old one, and the next to be
        // written. A clean file may have it, too: of the first write after it was closed; but the
        // newest and its twin are whole.
        let newest = self.meta.generation;
        let is_old = (newest.saturating_sub(1)..=newest).all(whole);
        let mut holder = None;
        for (slot, found) in slots.into_iter().enumerate() {
            let number = u8::try_from(slot).unwrap_or(u8::MAX);
            match found {
                Ok(found) if found.as_ref() == Some(self.meta) => holder = Some(number),
                Ok(_) => {}
                Err(fault) => {
                    let mut finding = Finding::new(Place::MetaPage(number), fault);
                    if is_old || !self.meta.clean {
                        finding.severity = Severity::Notice;
                    }
                    self.report.add(finding);
                }
            }
        }
        holder
    }

    fn read_slot(&mut self, slot: usize) -> std::result::Result<Option<Meta>, Fault> {
        /// Beside a writer a slot may be read while it is written.
        const ATTEMPTS: usize = 3;
        let mut bytes = vec![0; META_SIZE];
        let mut result = Ok(None);
        for _ in 0..ATTEMPTS {
            self.read((slot * META_SIZE) as u64, &mut bytes)?;
            result = self.check_slot(&bytes);
            if result.is_ok() {
                break;
            }
        }
        result
    }

    fn check_slot(&self, bytes: &[u8]) -> std::result::Result<Option<Meta>, Fault> {
        // Each of the first generations takes a slot that was never written.
        if self.meta.generation < META_SLOTS as u64 && bytes.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        if !meta::has_magic(bytes) {
            let magic = get_u64(&meta::MAGIC, 0);
            return Err(Fault::new(Promise::MetaPage, magic, get_u64(bytes, 0)));
        }
        meta::check_whole(bytes)?;
        Fault::expect(Promise::MetaField, meta::VERSION.into(), meta::version(bytes).into())?;
        let found = Meta::decode(bytes)?;
        let ours = self.meta.parameters;
        let is_ours = found.parameters.file_id == ours.file_id;
        Fault::expect(Promise::FileId, 1, is_ours.into())?;
        Fault::expect(Promise::MetaField, 1, (found.parameters == ours).into())?;
        if found.generation == self.meta.generation {
            Fault::expect(Promise::MetaField, 1, (found == *self.meta).into())?;
        }
        Ok(Some(found))
    }

    /// The fields of the meta page against one another and against the file.
    fn check_meta(&mut self, file_len: u64) {
        let meta = self.meta;
        let needed = meta.page_count.saturating_mul(meta.parameters.page_size as u64);
        if file_len < needed {
            self.find(Place::File, Fault::new(Promise::FileLength, needed, file_len));
        }
        if meta.page_count < self.first_page {
            let fault = Fault::new(Promise::MetaField, self.first_page, meta.page_count);
            self.find(Place::File, fault);
        }
        self.expect(Place::File, check_splitpoint(meta));
        let max = bucket_count_max(meta.page_count);
        for side in [Some(&meta.current), meta.next.as_ref()].into_iter().flatten() {
            let count = side.layout.bucket_count;
            if count > max {
                self.find(Place::File, Fault::new(Promise::MetaField, max, count));
            }
        }
        if meta.next.is_some_and(|next| next.layout == meta.current.layout) {
            let count = meta.current.layout.bucket_count;
            self.find(Place::File, Fault::new(Promise::MetaField, count + 1, count));
        }
    }

    /// I4: every page is reachable once (it was claimed once) or free, and the bitmap says so.
    fn check_use(&mut self, bitmap: &Bitmap) {
        let is_known = |page: u64| !is_in(&bitmap.unknown, page);
        let word = |set: &PageSet, i: usize| set.words().get(i).copied().unwrap_or_default();
        let len = bitmap.used.words().len().max(self.claimed.words().len());
        for i in 0..len {
            let (used, claimed) = (word(&bitmap.used, i), word(&self.claimed, i));
            let mut differing = used ^ claimed;
            while differing != 0 {
                let bit = differing.trailing_zeros();
                differing &= differing - 1;
                let page = i as u64 * 64 + u64::from(bit);
                let (used, claimed) = (used >> bit & 1, claimed >> bit & 1);
                // A page that is used and was not reached may hang on what could not be read.
                let is_lost = used == 1 && !self.report.is_complete && page < self.page_limit;
                if is_lost && is_known(page) {
                    self.unproven.insert(page);
                } else if is_known(page) {
                    self.find(Place::Page(page), Fault::new(Promise::PageUse, claimed, used));
                }
            }
        }
    }

    fn check_counts(&mut self, slot: Option<u8>, bitmap: &Bitmap) {
        let place = slot.map_or(Place::File, Place::MetaPage);
        let stated = self.meta.counts;
        if bitmap.unknown.is_empty() {
            let free = self.meta.page_count.saturating_sub(bitmap.used.len());
            let free = Fault::expect(Promise::Count, free, self.meta.free_page_count);
            self.expect(place, free);
        }
        if !self.report.is_complete {
            return;
        }
        let counts = self.counts;
        for (counted, stated) in [
            (counts.record_count, stated.record_count),
            (counts.record_len, stated.record_len),
            (counts.overflow_page_count, stated.overflow_page_count),
            (counts.value_page_count, stated.value_page_count),
            (counts.value_len, stated.value_len),
        ] {
            self.expect(place, Fault::expect(Promise::Count, counted, stated));
        }
    }

    /// Buckets and runs of both layouts that the splitpoint has in use.
    fn count_sides(&mut self) {
        let meta = self.meta;
        let Some(census) = &mut self.census else { return };
        let (current, next) = (meta.current.layout, meta.next.map(|next| next.layout));
        let swept = next.map_or(0, |_| current.bucket_of(meta.splitpoint));
        census.current.bucket_count = current.bucket_count - swept;
        census.current.run_count = current.run_count() - Layout::run_of(swept);
        if let Some(next) = next
            && let Some(last) = meta.splitpoint.checked_sub(1)
        {
            census.next.bucket_count = next.bucket_of(last) + 1;
            census.next.run_count = Layout::run_of(next.bucket_of(last)) + 1;
        }
    }

    fn finish_census(&mut self, file_len: u64, bitmap: &Bitmap) {
        let Some(census) = &mut self.census else { return };
        let is_known = |page: u64| !is_in(&bitmap.unknown, page);
        let is_free = |page: &u64| !bitmap.used.contains(*page) && !self.claimed.contains(*page);
        let free = (0..self.page_limit).filter(is_free).filter(|page| is_known(*page)).count();
        let meta_pages = self.first_page.min(self.page_limit);
        census.pages.meta = meta_pages * self.meta.parameters.page_size as u64;
        census.finish(file_len, self.counts.value_page_count, self.page_limit, free as u64);
    }

    fn finish(mut self) -> (CheckReport, Option<Census>) {
        (self.progress)(self.total, self.total);
        self.report.reached_page_count = self.claimed.len();
        self.report.leave_unproven(&self.unproven);
        self.report.record_count = self.counts.record_count;
        self.report.overflow_page_count = self.counts.overflow_page_count;
        self.report.value_page_count = self.counts.value_page_count;
        self.report.value_len = self.counts.value_len;
        (self.report, self.census)
    }
}
