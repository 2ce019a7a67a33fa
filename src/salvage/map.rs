//! A map of a file: what each of its pages is for, how full they are, how long chains are; what a
//! picture of it needs. Knows nothing of pictures.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::records::{note_pages, value_of};
use super::report::Loss;
use super::roster::{Roster, Sound};
use super::source::Source;
use super::way::{self, Way};
use crate::error::{Error, Fault, Place, Promise, Result};
use crate::log::{Epoch, segment_numbers, survey};
use crate::page::meta::Meta;
use crate::page::record::Record;
use crate::page::{HEADER_SIZE, Kind, LINE_SIZE, OwnedPage, bucket};
use crate::pager::PageSet;
use crate::storage::OpenMode;
use crate::storage::disk::DiskStorage;

/// What a page is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PageUse {
    /// The meta pages.
    Meta,
    /// A directory of buckets or of overflow chains.
    Directory,
    /// The bitmap of used pages.
    Bitmap,
    /// The records of a bucket.
    Bucket,
    /// Records of a run of buckets that did not fit.
    Overflow,
    /// Large records.
    Value,
    /// Nothing.
    Free,
    /// It is in use and not what it should be.
    Lost,
}

/// How full a bucket or overflow page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PageFill {
    /// Bytes of its live records.
    pub live_len: u64,
    /// Live records.
    pub record_count: u64,
    /// Bytes of its header and cells.
    pub cells_len: u64,
}

/// A segment of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogSegment {
    /// Its number.
    pub number: u64,
    /// Its length in bytes.
    pub len: u64,
    /// Whether a record in it verifies.
    pub has_record: bool,
    /// Whether opening the file needs it.
    pub is_needed: bool,
}

/// A map of the newest checkpoint of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileMap {
    /// The file.
    pub file: PathBuf,
    /// Its length in bytes.
    pub file_len: u64,
    /// Bytes of a page.
    pub page_size: u64,
    /// The generation of its newest meta page.
    pub generation: u64,
    /// Whether it was closed clean.
    pub is_clean: bool,
    /// Records in the checkpoint.
    pub record_count: u64,
    /// Buckets of the current layout.
    pub bucket_count: u64,
    /// Buckets of the layout that a sweep moves to, or 0.
    pub next_bucket_count: u64,
    /// Hashes below it are in the next layout.
    pub splitpoint: u64,
    /// What each whole page of the file is for.
    pub pages: Vec<PageUse>,
    /// The bucket pages, in the order of their hashes.
    pub buckets: Vec<PageFill>,
    /// The overflow pages.
    pub overflow: Vec<PageFill>,
    /// Overflow pages of each run that has any.
    pub chain_lens: Vec<u64>,
    /// Runs in all, with and without.
    pub run_count: u64,
    /// The segments of its log.
    pub log: Vec<LogSegment>,
    /// What is lost.
    pub losses: Vec<Loss>,
}

impl FileMap {
    /// Reads the whole file, without a lock. Beside a writer that has moved on, pages may seem lost
    /// that were only replaced: read it again.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("file");
    /// # let index = splitpoint::Index::open(&path)?;
    /// # index.insert("key", "value")?;
    /// # index.close()?;
    /// let map = splitpoint::salvage::FileMap::read(&path)?;
    /// assert_eq!(map.buckets.iter().map(|page| page.record_count).sum::<u64>(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::NotAnIndex`], and [`Error::Corruption`] if no meta page is whole.
    pub fn read(path: impl AsRef<Path>) -> Result<FileMap> {
        let source = Source::open_unlocked(Arc::new(DiskStorage), path.as_ref())?;
        let Some(meta) = source.meta.clone() else {
            return Err(Fault::new(Promise::MetaPage, 1, 0).at(&source.path, Place::File));
        };
        let roster = Roster::read(&source, &mut |_, _| ControlFlow::Continue(()))?;
        let mut way = way::find(&source, &roster, &meta);
        way.pages.sort_by_key(|sound| way::clip(&meta, sound.bucket_count, stretch_of(sound)).0);
        let (values, lost_values) = check_values(&source, &way);
        let fills = |kind: Kind| way.pages.iter().filter(move |s| s.kind == kind).map(fill);
        let next_run_count = meta.next.as_ref().map_or(0, |side| side.layout.run_count());
        Ok(FileMap {
            file_len: source.len,
            page_size: source.page_size as u64,
            generation: meta.generation,
            is_clean: meta.clean,
            record_count: meta.counts.record_count,
            bucket_count: meta.current.layout.bucket_count,
            next_bucket_count: meta.next.as_ref().map_or(0, |side| side.layout.bucket_count),
            splitpoint: meta.splitpoint,
            pages: uses(&source, &way, &lost_values),
            buckets: fills(Kind::Bucket).collect(),
            overflow: fills(Kind::Overflow).collect(),
            chain_lens: chain_lens(&way),
            run_count: meta.current.layout.run_count() + next_run_count,
            log: segments(&source, &meta)?,
            losses: losses(&source, way.losses, values),
            file: source.path,
        })
    }
}

/// The large records that are not whole, and their pages.
fn check_values(source: &Source, way: &Way) -> (Vec<Loss>, PageSet) {
    let (mut losses, mut pages) = (Vec::new(), PageSet::default());
    let mut page = OwnedPage::new(source.page_size);
    for sound in &way.pages {
        if !source.read_page(sound.at, &mut page) {
            continue;
        }
        for slot in bucket::slots(page.view()) {
            let Some(Record::Large(large)) = slot.record else { continue };
            if let Err(fault) = value_of(source, &large) {
                losses.push(Loss::new(Place::Page(large.page.into()), "large record", fault));
                note_pages(&mut pages, source, &large);
            }
        }
    }
    (losses, pages)
}

fn losses(source: &Source, of_way: Vec<Loss>, values: Vec<Loss>) -> Vec<Loss> {
    let slots = source.bad_slots.iter();
    let slots = slots.map(|(place, fault)| Loss::new(*place, "meta page", *fault));
    slots.chain(of_way).chain(values).collect()
}

fn stretch_of(sound: &Sound) -> (u128, u128) {
    let layout = crate::layout::Layout { bucket_count: sound.bucket_count.max(1) };
    way::stretch(layout, sound.owner)
}

fn fill(sound: &Sound) -> PageFill {
    PageFill {
        live_len: sound.live_len.into(),
        record_count: sound.record_count.into(),
        cells_len: (HEADER_SIZE + usize::from(sound.cell_count) * LINE_SIZE) as u64,
    }
}

fn uses(source: &Source, way: &Way, lost_values: &PageSet) -> Vec<PageUse> {
    let mut uses: Vec<PageUse> = (0..source.page_limit())
        .map(|page| match page {
            page if page < source.first_page() => PageUse::Meta,
            page if way.reached.contains(page) || lost_values.contains(page) => PageUse::Lost,
            page if way.used.contains(page) => PageUse::Value,
            _ => PageUse::Free,
        })
        .collect();
    let trees = way.trees.iter().copied();
    for (page, kind) in trees.chain(way.pages.iter().map(|sound| (sound.number, sound.kind))) {
        let at = usize::try_from(page).ok();
        if let Some(page_use) = at.and_then(|at| uses.get_mut(at)) {
            *page_use = match kind {
                Kind::Directory => PageUse::Directory,
                Kind::Bitmap => PageUse::Bitmap,
                Kind::Bucket => PageUse::Bucket,
                Kind::Overflow => PageUse::Overflow,
            };
        }
    }
    uses
}

fn chain_lens(way: &Way) -> Vec<u64> {
    let mut lens: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    for sound in way.pages.iter().filter(|sound| sound.kind == Kind::Overflow) {
        *lens.entry((sound.bucket_count, sound.owner)).or_default() += 1;
    }
    lens.into_values().collect()
}

fn segments(source: &Source, meta: &Meta) -> Result<Vec<LogSegment>> {
    let files = source.log_files(meta.parameters.file_id);
    let epoch = Epoch { counter: meta.log.epoch_counter, random: meta.log.epoch_random };
    let found = survey(&files, epoch)?;
    let len_of = |number: u64| {
        let path = files.segment_path(number);
        let file = source.storage.open(&path, OpenMode::Read);
        file.and_then(|file| file.len()).map_err(|e| Error::io("read", &path, e))
    };
    segment_numbers(&files)?
        .into_iter()
        .map(|number| {
            let known = found.iter().find(|leftover| leftover.number == number);
            Ok(LogSegment {
                number,
                len: len_of(number)?,
                has_record: known.is_some_and(|leftover| leftover.has_record),
                is_needed: !meta.clean && number >= meta.log.segment,
            })
        })
        .collect()
}
