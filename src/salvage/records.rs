//! Taking records: from which pages, in which order, and which of them are to be believed.
//!
//! Pages of the newest state are believed. Where one of them is lost, older pages of the same
//! hashes fill the hole, the newest first: a [`Cover`] of hash space says whose word counts for
//! each hash. Records of older pages go into the new file first, so whatever is newer replaces
//! them. Nothing that a sound newer page replaces comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::cover::{Cover, END};
use super::report::Loss;
use super::roster::{Roster, Sound, interrupted};
use super::source::Source;
use super::way::{self, Way};
use crate::Index;
use crate::checksum::crc32;
use crate::error::{Error, Fault, Place, Promise, Result};
use crate::index::Batch;
use crate::layout::Layout;
use crate::page::pointer::Pointer;
use crate::page::record::{LargeRecord, Record};
use crate::page::{Kind, OwnedPage, bucket};
use crate::pager::PageSet;
use crate::table::record_hash;

/// Bytes of one commit into the new file.
const BATCH_LEN: usize = 4 << 20;

/// Whose word counts for a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    /// The newest state has no bucket page here.
    Nobody,
    /// A bucket page, by the place where it stands.
    Page(u64),
}

/// Counts and losses of what was taken.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) current_pages: u64,
    pub(super) older_pages: u64,
    pub(super) current_records: u64,
    pub(super) losses: Vec<Loss>,
    /// Pages of large records that were found.
    pub(super) value_pages: PageSet,
}

/// A page to read, and whether it is of the newest state.
#[derive(Debug, Clone, Copy)]
struct Planned {
    sound: Sound,
    is_current: bool,
}

pub(super) struct Taker<'t> {
    pub(super) source: &'t Source,
    pub(super) way: &'t Way,
    pub(super) index: &'t Index,
    by_generation: bool,
    cover: Cover<Holder>,
    /// The pages that hold a piece of the cover, by where they stand.
    holders: BTreeMap<u64, Planned>,
    /// The holder that was asked last.
    last_holder: Option<(u64, OwnedPage)>,
    batch: Batch,
    pub(super) taken: Taken,
}

impl<'t> Taker<'t> {
    pub(super) fn new(
        source: &'t Source,
        way: &'t Way,
        index: &'t Index,
        by_generation: bool,
    ) -> Taker<'t> {
        Taker {
            source,
            way,
            index,
            by_generation,
            cover: Cover::new(),
            holders: BTreeMap::new(),
            last_holder: None,
            batch: Batch::new(),
            taken: Taken::default(),
        }
    }

    /// Takes every record that counts. Without `older` only pages of the newest state are read.
    pub(super) fn run(
        &mut self,
        roster: &Roster,
        older: bool,
        progress: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
    ) -> Result<()> {
        let plan = self.plan(roster, older);
        let total = plan.len() as u64;
        let mut page = OwnedPage::new(self.source.page_size);
        for (done, planned) in plan.into_iter().enumerate() {
            if self.source.read_page(planned.sound.at, &mut page) {
                self.take_page(planned, &page)?;
            }
            if progress(done as u64 + 1, total).is_break() {
                return Err(interrupted(self.source));
            }
        }
        self.flush()
    }

    /// The pages to read, the least believed first.
    fn plan(&mut self, roster: &Roster, older: bool) -> Vec<Planned> {
        let current: BTreeSet<u64> = self.way.pages.iter().map(|sound| sound.at).collect();
        let is_current = |sound: &Sound| !self.by_generation && current.contains(&sound.at);
        let mut all: Vec<Planned> = self
            .way
            .pages
            .iter()
            .chain(roster.pages.iter().filter(|sound| !current.contains(&sound.at)))
            .filter(|sound| matches!(sound.kind, Kind::Bucket | Kind::Overflow))
            .map(|sound| Planned { sound: *sound, is_current: is_current(sound) })
            .filter(|planned| planned.is_current || older || self.by_generation)
            .collect();
        all.sort_by_key(|planned| {
            let generation = if planned.is_current { 0 } else { planned.sound.generation };
            (planned.is_current, generation, planned.sound.at)
        });
        self.hold(&all);
        let chains = newest_chains(&all);
        all.retain(|planned| match planned.sound.kind {
            Kind::Bucket => self.holders.contains_key(&planned.sound.at),
            _ => planned.is_current || chains.contains(&planned.sound.at),
        });
        all
    }

    /// Cuts hash space up among the bucket pages, the most believed first.
    fn hold(&mut self, all: &[Planned]) {
        let (current, older): (Vec<&Planned>, Vec<&Planned>) =
            all.iter().rev().partition(|planned| planned.is_current);
        for planned in current {
            self.hold_page(planned);
        }
        if !self.by_generation {
            self.hold_empty();
        }
        for planned in older {
            self.hold_page(planned);
        }
    }

    fn hold_empty(&mut self) {
        for &(first, end) in &self.way.empty {
            self.cover.add(first, end, Holder::Nobody);
        }
    }

    fn hold_page(&mut self, planned: &Planned) {
        let sound = planned.sound;
        if sound.kind != Kind::Bucket || !is_layout(sound.bucket_count) {
            return;
        }
        let mut stretch = way::stretch(Layout { bucket_count: sound.bucket_count }, sound.owner);
        if let Some(meta) = self.source.meta.as_ref().filter(|_| planned.is_current) {
            stretch = way::clip(meta, sound.bucket_count, stretch);
        }
        let (first, end) = stretch;
        if first < end && end <= END && self.cover.add(first, end, Holder::Page(sound.at)) {
            self.holders.insert(sound.at, *planned);
        }
    }

    fn take_page(&mut self, planned: Planned, page: &OwnedPage) -> Result<()> {
        let mut has_any = false;
        for slot in bucket::slots(page.view()) {
            let Some(record) = slot.record else { continue };
            if self.counts(planned, &record) && self.take_record(planned, &record)? {
                has_any = true;
            }
        }
        if planned.is_current {
            self.taken.current_pages += 1;
        } else if has_any {
            self.taken.older_pages += 1;
        }
        Ok(())
    }

    /// Whether this record of this page is to be believed.
    fn counts(&mut self, planned: Planned, record: &Record<'_>) -> bool {
        let sound = planned.sound;
        let Some(seed) = self.source.hash_seed else { return true };
        let hash = record_hash(record, seed);
        let layout = Layout { bucket_count: sound.bucket_count };
        let bucket = layout.bucket_of(hash);
        let owner = if sound.kind == Kind::Bucket { bucket } else { Layout::run_of(bucket) };
        if owner != sound.owner {
            let fault = Fault::new(Promise::RecordBucket, owner, sound.owner);
            self.taken.losses.push(Loss::new(Place::Page(sound.at), "record", fault));
            return false;
        }
        if planned.is_current {
            return true;
        }
        let holder = self.cover.get(hash);
        match (sound.kind, holder) {
            (Kind::Bucket, _) => holder == Some(Holder::Page(sound.at)),
            (_, None) => true,
            (_, Some(Holder::Nobody)) => false,
            (_, Some(Holder::Page(at))) => self.admits(at, sound, hash),
        }
    }

    /// Whether the bucket page that is believed for this hash leaves room for a record of it in an
    /// older overflow page.
    fn admits(&mut self, at: u64, overflow: Sound, hash: u64) -> bool {
        let Some(holder) = self.holders.get(&at).copied() else { return true };
        let of = holder.sound;
        let run = Layout::run_of(of.owner);
        if holder.is_current {
            // Its chain, if it is whole, has all that the page admits.
            return self.way.broken_runs.contains(&(of.bucket_count, run))
                && self.filter_admits(at, hash);
        }
        if of.bucket_count == overflow.bucket_count {
            return self.filter_admits(at, hash);
        }
        overflow.generation > of.generation
    }

    fn filter_admits(&mut self, at: u64, hash: u64) -> bool {
        if self.last_holder.as_ref().is_none_or(|(last, _)| *last != at) {
            let mut page = OwnedPage::new(self.source.page_size);
            if !self.source.read_page(at, &mut page) {
                return true;
            }
            self.last_holder = Some((at, page));
        }
        self.last_holder.as_ref().is_none_or(|(_, page)| bucket::admits_overflow(page.view(), hash))
    }

    /// Puts a record into the new file; `false` if it is not whole.
    fn take_record(&mut self, planned: Planned, record: &Record<'_>) -> Result<bool> {
        match record {
            Record::Inline { key, value } => self.put(key, value)?,
            Record::Large(large, key) => match value_of(self.source, large) {
                Ok(bytes) => {
                    if planned.is_current {
                        note_pages(&mut self.taken.value_pages, self.source, large);
                    }
                    let value_len = usize::try_from(large.value_len).unwrap_or(bytes.len());
                    let (value, behind) = bytes.split_at_checked(value_len).unwrap_or_default();
                    self.put(if large.has_long_key() { behind } else { key }, value)?;
                }
                Err(fault) => {
                    if planned.is_current {
                        note_pages(&mut self.taken.value_pages, self.source, large);
                        let page_size = self.source.page_size;
                        let place =
                            Place::pages(large.first_page(page_size), large.end_page(page_size));
                        self.taken.losses.push(Loss::new(place, "large record", fault));
                    }
                    return Ok(false);
                }
            },
        }
        if planned.is_current {
            self.taken.current_records += 1;
        }
        Ok(true)
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.batch.insert(key, value);
        if self.batch.byte_len() >= BATCH_LEN { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        commit(self.index, &mut self.batch)
    }
}

/// Commits a batch and empties it. What the index refuses, by its fixed sizes, was no record.
pub(super) fn commit(index: &Index, batch: &mut Batch) -> Result<()> {
    let full = std::mem::take(batch);
    if full.is_empty() {
        return Ok(());
    }
    match index.commit(full.clone()) {
        Err(Error::KeySize { .. } | Error::ValueSize { .. } | Error::ValueTooLarge { .. }) => {
            for operation in full.operations() {
                let mut one = Batch::new();
                one.push(operation);
                match index.commit(one) {
                    Err(Error::KeySize { .. } | Error::ValueSize { .. }) => {}
                    other => drop(other?),
                }
            }
            Ok(())
        }
        other => other.map(drop),
    }
}

fn is_layout(bucket_count: u64) -> bool {
    (1..=crate::layout::BUCKET_COUNT_MAX).contains(&bucket_count)
}

/// Of the overflow pages that are not of the newest state, those that belong to the newest chain of
/// their run: a page that is changed takes all before it along, so the newest page is the head. A
/// chain that is not whole leaves all of its run's.
fn newest_chains(all: &[Planned]) -> BTreeSet<u64> {
    let mut runs: BTreeMap<(u64, u64), Vec<Sound>> = BTreeMap::new();
    let older = all.iter().filter(|planned| !planned.is_current);
    for planned in older.filter(|planned| planned.sound.kind == Kind::Overflow) {
        let sound = planned.sound;
        runs.entry((sound.bucket_count, sound.owner)).or_default().push(sound);
    }
    let mut kept = BTreeSet::new();
    for pages in runs.into_values() {
        kept.extend(newest_chain(&pages).unwrap_or_else(|| pages.iter().map(|s| s.at).collect()));
    }
    kept
}

fn newest_chain(pages: &[Sound]) -> Option<Vec<u64>> {
    let target = |sound: &Sound| match Pointer::decode(sound.next) {
        Pointer::Unchecked { page, checksum } => Some((page, checksum)),
        _ => None,
    };
    let by_name: BTreeMap<(u64, u32), Sound> =
        pages.iter().map(|sound| ((sound.number, sound.checksum), *sound)).collect();
    let inner: BTreeSet<(u64, u32)> = pages.iter().filter_map(target).collect();
    let heads = pages.iter().filter(|sound| !inner.contains(&(sound.number, sound.checksum)));
    let mut at = *heads.max_by_key(|sound| sound.generation)?;
    let mut chain = vec![at.at];
    while let Some(next) = target(&at) {
        at = *by_name.get(&next)?;
        // A chain that comes back to itself has no end.
        if chain.len() > pages.len() {
            return None;
        }
        chain.push(at.at);
    }
    Some(chain)
}

/// The bytes of a large record in the value area: the one place that knows where they live. Their
/// checksum proves them.
pub(super) fn value_of(
    source: &Source,
    large: &LargeRecord,
) -> std::result::Result<Vec<u8>, Fault> {
    let offset = large.offset();
    let end = offset.saturating_add(large.len());
    let Some(len) = usize::try_from(large.len()).ok().filter(|_| end <= source.len) else {
        return Err(Fault::new(Promise::PageRange, source.len, end));
    };
    let bytes = source.read_up_to(offset, len);
    if bytes.len() != len {
        return Err(Fault::new(Promise::PageRead, 0, 1));
    }
    Fault::expect(Promise::ValueChecksum, large.checksum.into(), crc32(0, &bytes).into())?;
    Ok(bytes)
}

/// Notes the pages that hold a large record.
pub(super) fn note_pages(pages: &mut PageSet, source: &Source, large: &LargeRecord) {
    let first = large.first_page(source.page_size);
    let end = large.end_page(source.page_size).min(source.page_limit());
    (first..end).for_each(|page| {
        pages.insert(page);
    });
}
