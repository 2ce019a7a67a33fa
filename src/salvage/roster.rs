//! The roster: every page of a file that proves itself, wherever it stands.
//!
//! A page proves itself by its checksum, its number, the file's tag and its kind, and its contents
//! by their structure. Whether it is of the newest state is not known here.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::source::{Source, is_whole_page};
use crate::error::{Error, Fault, Promise, Result};
use crate::page::pointer::PAGE_COUNT_MAX;
use crate::page::{Kind, OwnedPage, array, bucket, get_u32, word};

/// Bytes that are read at once.
const CHUNK_SIZE: usize = 1 << 20;
/// Pages out of their place that are remembered.
const STRAY_MAX: usize = 1 << 16;

/// A page that proves itself, by what its header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sound {
    pub(super) number: u64,
    /// The page of the file that it stands in: its number, unless it was put elsewhere.
    pub(super) at: u64,
    pub(super) checksum: u32,
    pub(super) kind: Kind,
    pub(super) owner: u64,
    pub(super) bucket_count: u64,
    pub(super) generation: u64,
    pub(super) next: u64,
    pub(super) cell_count: u8,
    pub(super) record_count: u16,
    pub(super) live_len: u32,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Roster {
    /// In their places, in the order of the file.
    pub(super) pages: Vec<Sound>,
    /// Whole pages of this file in the place of another, by number and checksum.
    strays: BTreeMap<(u64, u32), Sound>,
    /// The greatest generation of a page in its place.
    pub(super) newest_generation: u64,
}

impl Roster {
    /// Reads the whole file. `progress` has the number of pages done and of all.
    pub(super) fn read(
        source: &Source,
        progress: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
    ) -> Result<Roster> {
        let size = source.page_size;
        let (limit, step) = (source.page_limit(), (CHUNK_SIZE / size) as u64);
        let mut roster = Roster::default();
        let mut page = OwnedPage::new(size);
        let mut at = source.first_page();
        while at < limit {
            let count = step.min(limit - at);
            let len = usize::try_from(count).unwrap_or(1) * size;
            let chunk = source.read_up_to(at * size as u64, len);
            for number in at..at + count {
                let start = usize::try_from(number - at).unwrap_or_default() * size;
                let bytes = chunk.get(start..start + size);
                match bytes {
                    Some(bytes) => page.bytes_mut().copy_from_slice(bytes),
                    // Each by itself: one that cannot be read costs only itself.
                    None if !source.read_page(number, &mut page) => continue,
                    None => {}
                }
                roster.add(source, number, &page);
            }
            at += count;
            if progress(at, limit).is_break() {
                return Err(interrupted(source));
            }
        }
        Ok(roster)
    }

    fn add(&mut self, source: &Source, at: u64, page: &OwnedPage) {
        let Ok(sound) = examine(source, at, page) else { return };
        if sound.number == at {
            self.newest_generation = self.newest_generation.max(sound.generation);
            self.pages.push(sound);
        } else if self.strays.len() < STRAY_MAX {
            self.strays.insert((sound.number, sound.checksum), sound);
        }
    }

    /// The page of this number, in its place.
    pub(super) fn in_place(&self, number: u64) -> Option<&Sound> {
        let at = self.pages.binary_search_by_key(&number, |sound| sound.number).ok()?;
        self.pages.get(at)
    }

    /// The page that a pointer means: in its place, or wherever its very copy stands.
    pub(super) fn of_pointer(&self, number: u64, checksum: u32) -> Option<&Sound> {
        let in_place = self.in_place(number).filter(|sound| sound.checksum == checksum);
        in_place.or_else(|| self.strays.get(&(number, checksum)))
    }
}

/// What is wrong with the page at that place by itself, or what it says of itself.
pub(super) fn examine(
    source: &Source,
    at: u64,
    page: &OwnedPage,
) -> std::result::Result<Sound, Fault> {
    let (bytes, view) = (page.bytes(), page.view());
    let checksum = get_u32(bytes, 0);
    if !is_whole_page(bytes, source.page_size) {
        let sum = crate::page::page_checksum(bytes);
        return Err(Fault::new(Promise::PageChecksum, sum.into(), checksum.into()));
    }
    let stated = view.word(word::FIRST) >> 32 & 0xff;
    let kind = [Kind::Directory, Kind::Bitmap, Kind::Bucket, Kind::Overflow]
        .into_iter()
        .find(|kind| *kind as u64 == stated)
        .ok_or(Fault::new(Promise::PageKind, Kind::Bucket as u64, stated))?;
    let tag = view.word(word::FILE_TAG);
    Fault::expect(Promise::FileId, source.file_tag.unwrap_or(tag), tag)?;
    let number = view.word(word::PAGE_NUMBER);
    if number >= PAGE_COUNT_MAX || number < source.first_page() {
        return Err(Fault::new(Promise::PageNumber, at, number));
    }
    match kind {
        Kind::Bucket | Kind::Overflow => bucket::check_structure(view)?,
        Kind::Directory | Kind::Bitmap => {
            let level = u8::try_from(crate::page::cell_count(view)).unwrap_or(u8::MAX);
            array::check_header(bytes, level)?;
        }
    }
    Ok(Sound {
        number,
        at,
        checksum,
        kind,
        owner: view.word(word::OWNER),
        bucket_count: view.word(word::BUCKET_COUNT),
        generation: view.word(word::GENERATION),
        next: if kind == Kind::Overflow { view.word(word::NEXT) } else { 0 },
        cell_count: u8::try_from(crate::page::cell_count(view)).unwrap_or(u8::MAX),
        record_count: u16::try_from(crate::page::record_count(view)).unwrap_or(u16::MAX),
        live_len: u32::try_from(crate::page::live_len(view)).unwrap_or(u32::MAX),
    })
}

/// The caller wants no more of it.
pub(super) fn interrupted(source: &Source) -> Error {
    Error::io("salvage", &source.path, std::io::ErrorKind::Interrupted.into())
}
