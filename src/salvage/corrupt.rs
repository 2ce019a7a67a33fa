//! Damage on purpose: a copy of a file with one thing wrong in it, the same for the same seed, for
//! those who want to see what checks, dumps and salvages make of it.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use super::roster::{Roster, Sound};
use super::source::Source;
use crate::error::{Error, Place, Result};
use crate::log::{BLOCK_SIZE, LogFiles, segment_numbers};
use crate::page::{OwnedPage, seal};
use crate::storage::disk::DiskStorage;
use crate::storage::{OpenMode, Storage, StorageFile};

/// Bytes that are copied at once.
const CHUNK_SIZE: usize = 1 << 20;
/// Bytes of a sector, the unit of a torn write.
const SECTOR: u64 = 512;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CorruptKind {
    /// One bit, anywhere in the file, is turned.
    Bitflip,
    /// One page, anywhere in the file, is all zeros.
    Zero,
    /// A page has older contents, whole in themselves: a write that was lost.
    Stale,
    /// Two pages stand in each other's place.
    Swap,
    /// The end of the file is missing.
    Truncate,
    /// A sector of the log has other bytes: a write that was torn.
    TornLog,
}

impl CorruptKind {
    /// All of them.
    pub const ALL: [CorruptKind; 6] = [
        CorruptKind::Bitflip,
        CorruptKind::Zero,
        CorruptKind::Stale,
        CorruptKind::Swap,
        CorruptKind::Truncate,
        CorruptKind::TornLog,
    ];

    /// Its name: `bitflip`, `zero`, `stale`, `swap`, `truncate`, `torn-log`.
    pub fn name(self) -> &'static str {
        match self {
            CorruptKind::Bitflip => "bitflip",
            CorruptKind::Zero => "zero",
            CorruptKind::Stale => "stale",
            CorruptKind::Swap => "swap",
            CorruptKind::Truncate => "truncate",
            CorruptKind::TornLog => "torn-log",
        }
    }
}

impl fmt::Display for CorruptKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for CorruptKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<CorruptKind> {
        CorruptKind::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
            let reason = "must be bitflip, zero, stale, swap, truncate or torn-log".to_owned();
            Error::InvalidOption { option: "kind", reason }
        })
    }
}

/// What was done to the copy.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CorruptReport {
    /// The copy.
    pub copy: PathBuf,
    /// The kind.
    pub kind: CorruptKind,
    /// The file that was damaged: the copy, or a segment of its log.
    pub file: PathBuf,
    /// Where the damage begins, and of a swapped pair where the other page is.
    pub places: Vec<Place>,
    /// Its first byte.
    pub offset: u64,
    /// Its bytes; all that is missing, of a file that was cut.
    pub len: u64,
    /// Of a bit: which of its byte, from 0.
    pub bit: Option<u8>,
}

/// Copies `file`, and its log if it has one, to `copy`, which must not exist, and damages the copy
/// in the way of `kind`. The same seed does the same to the same file, which is only read.
///
/// # Errors
/// [`Error::Io`] if a file cannot be read or written or `copy` exists; [`Error::NotAnIndex`];
/// [`Error::InvalidOption`] if the file has nothing to damage in that way: no log, or no page.
pub fn corrupt(
    file: impl AsRef<Path>,
    copy: impl AsRef<Path>,
    kind: CorruptKind,
    seed: u64,
) -> Result<CorruptReport> {
    corrupt_on(Arc::new(DiskStorage), file.as_ref(), copy.as_ref(), kind, seed)
}

pub(super) fn corrupt_on(
    storage: Arc<dyn Storage>,
    file: &Path,
    copy: &Path,
    kind: CorruptKind,
    seed: u64,
) -> Result<CorruptReport> {
    let source = Source::open(storage.clone(), file)?;
    if storage.identity(copy).is_ok() {
        return Err(Error::io("create", copy, ErrorKind::AlreadyExists.into()));
    }
    // What bears that name now is not this run's to remove.
    let partial = crate::index::partial_beside(&*storage, &*source.file, copy)?;
    if storage.identity(&partial).is_ok() {
        return Err(Error::io("create", &partial, ErrorKind::AlreadyExists.into()));
    }
    let mut damager = Damager { source, copy, kind, random: Random(seed ^ 0x005e_ed0f_da4a_6e00) };
    let planned = damager.plan()?;
    let result = damager.make(&planned);
    if result.is_err() {
        let _ = storage.remove(&partial);
    }
    result
}

/// What will be done, decided on the original.
enum Planned {
    /// New bytes, of the data file or of a segment, at each place.
    Write {
        segment: Option<u64>,
        patches: Vec<(Place, u64, Vec<u8>)>,
        bit: Option<u8>,
    },
    Cut {
        len: u64,
    },
}

struct Damager<'d> {
    source: Source,
    copy: &'d Path,
    kind: CorruptKind,
    random: Random,
}

impl Damager<'_> {
    fn nothing(&self, reason: &str) -> Error {
        Error::InvalidOption { option: "kind", reason: format!("{}: {reason}", self.kind) }
    }

    fn plan(&mut self) -> Result<Planned> {
        let size = self.source.page_size as u64;
        let len = self.source.len;
        let data = |patches| Planned::Write { segment: None, patches, bit: None };
        match self.kind {
            CorruptKind::Bitflip => {
                let (offset, bit) = (self.random.below(len), self.random.below(8));
                let byte = self.source.read_up_to(offset, 1).first().copied().unwrap_or_default();
                let bytes = vec![byte ^ 1 << bit];
                let patches = vec![(self.place_of(offset), offset, bytes)];
                Ok(Planned::Write { segment: None, patches, bit: u8::try_from(bit).ok() })
            }
            CorruptKind::Zero => {
                let page = self.random.below(len.div_ceil(size));
                let end = ((page + 1) * size).min(len);
                let zeros = vec![0; usize::try_from(end - page * size).unwrap_or_default()];
                Ok(data(vec![(self.place_of(page * size), page * size, zeros)]))
            }
            CorruptKind::Truncate => Ok(Planned::Cut { len: self.random.below(len) }),
            CorruptKind::Stale => self.plan_stale().map(data),
            CorruptKind::Swap => self.plan_swap().map(data),
            CorruptKind::TornLog => self.plan_torn(),
        }
    }

    fn place_of(&self, offset: u64) -> Place {
        let page = offset / self.source.page_size as u64;
        if page < self.source.first_page() {
            let slot = offset / crate::page::meta::META_SIZE as u64;
            return Place::MetaPage(u8::try_from(slot).unwrap_or(u8::MAX));
        }
        Place::Page(page)
    }

    /// Writes over a page what an older one of its kind and owner has; where the file has no older
    /// one, its own contents as an earlier checkpoint would have written them.
    fn plan_stale(&mut self) -> Result<Vec<(Place, u64, Vec<u8>)>> {
        let roster = Roster::read(&self.source, &mut |_, _| std::ops::ControlFlow::Continue(()))?;
        let at = self.random.below(roster.pages.len() as u64);
        let Some(target) = usize::try_from(at).ok().and_then(|at| roster.pages.get(at)) else {
            return Err(self.nothing("the file has no page that is whole"));
        };
        let is_older = |sound: &&Sound| {
            (sound.kind, sound.owner, sound.bucket_count)
                == (target.kind, target.owner, target.bucket_count)
                && sound.generation < target.generation
        };
        let older = roster.pages.iter().filter(is_older).max_by_key(|sound| sound.generation);
        let (from, generation) = match older {
            Some(older) => (older.at, older.generation),
            None => (target.at, target.generation.saturating_sub(1)),
        };
        let mut page = OwnedPage::new(self.source.page_size);
        self.source.read_page(from, &mut page);
        let tag = self.source.file_tag.unwrap_or_default();
        seal(page.bytes_mut(), target.number, tag, generation);
        let offset = target.number * self.source.page_size as u64;
        Ok(vec![(Place::Page(target.number), offset, page.bytes().to_vec())])
    }

    fn plan_swap(&mut self) -> Result<Vec<(Place, u64, Vec<u8>)>> {
        let size = self.source.page_size as u64;
        let (first, limit) = (self.source.first_page(), self.source.page_limit());
        if limit < first + 2 {
            return Err(self.nothing("the file has no two pages"));
        }
        let one = self.random.below(limit - first);
        let other = (one + 1 + self.random.below(limit - first - 1)) % (limit - first);
        let bytes = |page: u64| self.source.read_up_to(page * size, self.source.page_size);
        let patch = |to: u64, from: u64| (Place::Page(to), to * size, bytes(from));
        Ok(vec![patch(first + one, first + other), patch(first + other, first + one)])
    }

    /// Fills a sector with noise, somewhere between the header of a segment and its last byte that
    /// is not zero.
    fn plan_torn(&mut self) -> Result<Planned> {
        let files = self.log_files();
        let mut written: Vec<(u64, u64)> = Vec::new();
        for number in segment_numbers(&files)? {
            let bytes = self.read_segment(&files, number)?;
            let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |at| at as u64 + 1);
            if end > BLOCK_SIZE {
                written.push((number, end - BLOCK_SIZE));
            }
        }
        let at = self.random.below(written.len() as u64);
        let Some(&(segment, len)) = usize::try_from(at).ok().and_then(|at| written.get(at)) else {
            return Err(self.nothing(
                "the file has no log with a commit in it: it was closed clean, or is not in its place",
            ));
        };
        let offset = BLOCK_SIZE + self.random.below(len) / SECTOR * SECTOR;
        let noise = (0..SECTOR / 8).flat_map(|_| self.random.next().to_le_bytes()).collect();
        let place = Place::Log { segment, offset };
        let patches = vec![(place, offset, noise)];
        Ok(Planned::Write { segment: Some(segment), patches, bit: None })
    }

    fn log_files(&self) -> LogFiles {
        self.source.log_files(self.source.file_id.unwrap_or_default())
    }

    fn read_segment(&self, files: &LogFiles, number: u64) -> Result<Vec<u8>> {
        let path = files.segment_path(number);
        let fail = |e| Error::io("read", &path, e);
        let file = self.source.storage.open(&path, OpenMode::Read).map_err(fail)?;
        let len = usize::try_from(file.len().map_err(fail)?).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, 0).map_err(fail)?;
        Ok(bytes)
    }

    /// Copies everything, the data file last and under another name until it is whole.
    fn make(&self, planned: &Planned) -> Result<CorruptReport> {
        let storage = &self.source.storage;
        let partial = crate::index::partial_name(self.copy)?;
        let file = storage
            .open(&partial, OpenMode::CreateNew)
            .map_err(|e| Error::io("create", &partial, e))?;
        let mut report = CorruptReport {
            copy: self.copy.to_owned(),
            kind: self.kind,
            file: self.copy.to_owned(),
            places: Vec::new(),
            offset: 0,
            len: 0,
            bit: None,
        };
        let kept = match planned {
            Planned::Cut { len } => *len,
            Planned::Write { .. } => self.source.len,
        };
        self.copy_data(&*file, &partial, kept)?;
        let files = self.log_files();
        let copied = LogFiles { path: self.copy.to_owned(), ..files.clone() };
        for number in segment_numbers(&files)? {
            let path = copied.segment_path(number);
            let fail = |e| Error::io("write", &path, e);
            let to = storage.open(&path, OpenMode::CreateNew).map_err(fail)?;
            to.write_all_at(&self.read_segment(&files, number)?, 0).map_err(fail)?;
            if let Planned::Write { segment: Some(of), patches, .. } = planned
                && *of == number
            {
                report.file = path.clone();
                patch(&*to, &path, patches)?;
            }
        }
        match planned {
            Planned::Cut { len } => {
                report.places.push(self.place_of(*len));
                (report.offset, report.len) = (*len, self.source.len - len);
            }
            Planned::Write { segment, patches, bit } => {
                if segment.is_none() {
                    patch(&*file, &partial, patches)?;
                }
                report.places = patches.iter().map(|(place, ..)| *place).collect();
                report.offset = patches.first().map_or(0, |(_, offset, _)| *offset);
                report.len = patches.first().map_or(0, |(.., bytes)| bytes.len() as u64);
                report.bit = *bit;
            }
        }
        storage.rename(&partial, self.copy).map_err(|e| Error::io("create", self.copy, e))?;
        Ok(report)
    }

    fn copy_data(&self, to: &dyn StorageFile, partial: &Path, len: u64) -> Result<()> {
        let mut offset = 0;
        while offset < len {
            let left = usize::try_from(len - offset).unwrap_or(CHUNK_SIZE);
            let bytes = self.source.read_up_to(offset, CHUNK_SIZE.min(left));
            if bytes.is_empty() {
                return Err(Error::io("read", &self.source.path, ErrorKind::UnexpectedEof.into()));
            }
            to.write_all_at(&bytes, offset).map_err(|e| Error::io("write", partial, e))?;
            offset += bytes.len() as u64;
        }
        Ok(())
    }
}

fn patch(file: &dyn StorageFile, path: &Path, patches: &[(Place, u64, Vec<u8>)]) -> Result<()> {
    patches.iter().try_for_each(|(_, offset, bytes)| {
        file.write_all_at(bytes, *offset).map_err(|e| Error::io("write", path, e))
    })
}

/// Numbers that look random and are the same for the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `limit`, or 0.
    fn below(&mut self, limit: u64) -> u64 {
        self.next().checked_rem(limit).unwrap_or_default()
    }
}
