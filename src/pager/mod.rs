//! The page manager: directories, changed pages in memory, free space, checkpoint, recovery.
//!
//! Readers come in through [`Shared`]: they pin the epoch, load a word of a directory and ask for
//! its page. The one writer has a [`Pager`]: it makes pages its own before it changes them.
//! Knows pages, no keys.

mod arena;
mod checkpoint;
mod edit;
mod epoch;
mod live_counts;
mod persisted;
mod recovery;
mod residence;
mod sound;
mod space;
mod state;
mod tree;
mod value_area;
mod values;
mod write_back;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

pub(crate) use arena::Arena;
pub(crate) use checkpoint::{Checkpoint, Progress};
pub(crate) use edit::Pager;
pub(crate) use epoch::{Epoch, Held, Pin, PinnedBytes, Published};
pub(crate) use live_counts::LiveCounts;
pub(crate) use persisted::{Persisted, bucket_count_max};
pub(crate) use recovery::{MetaPages, Opened, Reading, check_splitpoint, create, open, read_meta};
pub use residence::Residence;
pub(crate) use space::{PageRun, PageSet, Space};
pub(crate) use state::{Side, State, Which};
pub(crate) use tree::{Node, Nodes, Tree};
pub(crate) use value_area::{GROUP_PAGES, ValueArea, WORD_PAGES, counts_of, parts};
pub(crate) use values::ValueBytes;

use crate::error::{Error, Fault, Place, Promise, Result};
use crate::mutant::{Mutant, mutant};
use crate::page::meta::FileParameters;
use crate::page::pointer::{PAGE_COUNT_MAX, Pointer};
use crate::page::shape::Shape;
use crate::page::{Identity, Kind, OwnedPage, View, bucket, check_identity, get_u32, word};
use crate::storage::{Map, StorageFile};

/// How pages are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Access {
    /// Through a read-only memory map: a lookup in memory copies nothing. The default.
    #[default]
    Mapped,
    /// With positioned reads into memory of one's own: for files on media that may fail, or that
    /// others may truncate, where a map would end the process with SIGBUS. Each lookup costs a
    /// system call and a copy.
    Pread,
}

/// When the checksums of pages are verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Verify {
    /// When a page is first touched after it was written or the file was opened, and a large value when
    /// it is first read. The default: every kind of rot is found, and what was found sound costs
    /// nothing more. (Large values that begin within the same 512 bytes, or 8 GiB apart, are verified
    /// again when they are read in turn.)
    #[default]
    OnFirstTouch,
    /// On every touch.
    Always,
    /// Never; structure is still checked, so that no byte of the file can do harm.
    Never,
}

/// What readers and the writer have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) parameters: FileParameters,
    /// The shape of bucket and overflow pages.
    pub(crate) shape: Shape,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn StorageFile>,
    pub(crate) access: Access,
    pub(crate) verify: Verify,
    pub(crate) read_only: bool,
    pub(crate) residence: Residence,
    /// Lookups have lately waited for the device.
    cold: AtomicBool,
    pub(crate) epoch: Epoch,
    pub(crate) arena: Arc<Arena>,
    pub(crate) state: Published<State>,
    map: Published<Map>,
    space: Arc<Mutex<Space>>,
    /// Held while the file's length and its map change.
    resizing: Mutex<()>,
    /// Bytes that the file has, set beyond its last page so that growing it is rare.
    file_len: AtomicU64,
    redone_values: values::Redone,
    /// Large records that were read and found sound.
    sound: sound::Sound,
    /// There are large records, or were.
    has_large: AtomicBool,
    refused: OnceLock<String>,
    closed: AtomicBool,
}

/// A page, for as long as a pin is held.
#[derive(Debug)]
pub(crate) enum Page<'p> {
    /// In the map or in memory.
    Shared { view: View<'p>, cell_count: usize },
    /// Read into memory of its own.
    Owned { page: OwnedPage, cell_count: usize },
}

impl Page<'_> {
    pub(crate) fn view(&self) -> View<'_> {
        match self {
            Page::Shared { view, .. } => *view,
            Page::Owned { page, .. } => page.view(),
        }
    }

    /// The pointer to the next page of its chain.
    pub(crate) fn next(&self) -> u64 {
        self.view().word(word::NEXT)
    }
}

impl Shared {
    /// The page that a word points to. `slot` is where the word was loaded from, to note there
    /// that the page was checked.
    #[inline]
    pub(crate) fn page<'p>(
        &'p self,
        pin: &'p Pin<'_>,
        side: &Side,
        which: Which,
        index: u64,
        pointer: u64,
        slot: Option<&AtomicU64>,
    ) -> Result<Option<Page<'p>>> {
        match Pointer::decode(pointer) {
            Pointer::Frame { frame, cell_count } => {
                Ok(Some(Page::Shared { view: self.arena.view(frame), cell_count }))
            }
            Pointer::Checked { page, cell_count } => {
                match self.map.load(pin).view(self.offset_of(page), self.parameters.page_size) {
                    Some(view) => Ok(Some(Page::Shared { view, cell_count })),
                    None => Err(self.out_of_range(page)),
                }
            }
            Pointer::Empty => Ok(None),
            Pointer::Unchecked { page, checksum } => self
                .first_touch(pin, side, which, index, (page, checksum), (slot, pointer))
                .map(Some),
        }
    }

    #[cold]
    fn first_touch<'p>(
        &'p self,
        pin: &'p Pin<'_>,
        side: &Side,
        which: Which,
        index: u64,
        (page, checksum): (u64, u32),
        (slot, pointer): (Option<&AtomicU64>, u64),
    ) -> Result<Page<'p>> {
        let is = self.identity(side, which, index, page);
        if self.access == Access::Pread {
            let owned = self.read_page(page)?;
            self.check(&owned.view(), owned.bytes(), checksum, is)?;
            let cell_count = bucket_cells(owned.view());
            return Ok(Page::Owned { page: owned, cell_count });
        }
        let size = self.parameters.page_size;
        let map = self.map.load(pin);
        let offset = self.offset_of(page);
        let (Some(view), Some(bytes)) = (map.view(offset, size), map.bytes(offset, size)) else {
            return Err(self.out_of_range(page));
        };
        self.check(&view, bytes, checksum, is)?;
        let cell_count = bucket_cells(view);
        if let (Some(slot), false) = (slot, self.verify == Verify::Always) {
            let checked = Pointer::Checked { page, cell_count }.encode();
            // If the writer has been here meanwhile, its word stands.
            let _ = slot.compare_exchange(pointer, checked, Ordering::SeqCst, Ordering::Relaxed);
        }
        Ok(Page::Shared { view, cell_count })
    }

    fn identity(&self, side: &Side, which: Which, index: u64, page_number: u64) -> Identity {
        Identity {
            page_number,
            file_tag: self.parameters.file_tag(),
            kind: which.kind(),
            owner: index,
            bucket_count: side.layout.bucket_count,
        }
    }

    /// Checks a page that was checked before once more: bytes rot, and the system may have read them
    /// anew (F11). For who copies it, since the copy gets a checksum that says that it is right, and
    /// is changed on the strength of what it says.
    fn check_again(
        &self,
        pin: &Pin<'_>,
        side: &Side,
        which: Which,
        index: u64,
        pointer: u64,
    ) -> Result<()> {
        let Pointer::Checked { page, .. } = Pointer::decode(pointer) else { return Ok(()) };
        let (map, offset) = (self.map.load(pin), self.offset_of(page));
        let size = self.parameters.page_size;
        let (Some(view), Some(bytes)) = (map.view(offset, size), map.bytes(offset, size)) else {
            return Err(self.out_of_range(page));
        };
        let is = self.identity(side, which, index, page);
        if self.verify == Verify::Never {
            return self.check(&view, bytes, 0, is);
        }
        // A right checksum is that of the bytes whose structure was checked.
        check_identity(bytes, get_u32(bytes, 0), is)
            .map_err(|fault| fault.at(&self.path, Place::Page(page)))
    }

    /// Whether a page that was checked is known to be so: not if each touch is to read it anew.
    pub(crate) fn notes_checks(&self) -> bool {
        self.access == Access::Mapped && self.verify != Verify::Always
    }

    fn check(&self, view: &View<'_>, bytes: &[u8], checksum: u32, is: Identity) -> Result<()> {
        let identity = match self.verify {
            Verify::Never => Ok(()),
            Verify::Always | Verify::OnFirstTouch => check_identity(bytes, checksum, is),
        };
        identity
            .and_then(|()| bucket::check_shape(*view, &self.shape))
            .and_then(|()| bucket::check_structure(*view))
            .and_then(|()| check_next(view.word(word::NEXT), is.kind))
            .map_err(|fault| fault.at(&self.path, Place::Page(is.page_number)))
    }

    /// Reads a page of the file into memory of its own.
    pub(crate) fn read_page(&self, page: u64) -> Result<OwnedPage> {
        let size = self.parameters.page_size;
        let mut owned = OwnedPage::new(size);
        let offset = self.offset_of(page) as u64;
        match self.file.read_exact_at(owned.bytes_mut(), offset) {
            Ok(()) => Ok(owned),
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Err(self.out_of_range(page)),
            Err(e) => Err(Error::io("read", &self.path, e)),
        }
    }

    /// Where a page begins; beyond every file for a number that no page can have.
    #[inline]
    pub(crate) fn offset_of(&self, page: u64) -> usize {
        usize::try_from(page).unwrap_or(usize::MAX).saturating_mul(self.parameters.page_size)
    }

    #[cold]
    fn out_of_range(&self, page: u64) -> Error {
        let page_count = self.file_len.load(Ordering::Relaxed) / self.parameters.page_size as u64;
        Fault::new(Promise::PageRange, page_count, page).at(&self.path, Place::Page(page))
    }

    /// The page that a word leads to and its cell count, if that can be told without looking at the
    /// page.
    #[inline]
    pub(crate) fn known_page<'p>(
        &'p self,
        pin: &'p Pin<'_>,
        pointer: u64,
    ) -> Option<(View<'p>, usize)> {
        let (is_frame, number, cell_count) = Pointer::known(pointer)?;
        let view = if is_frame {
            self.arena.view(number)
        } else {
            self.map.load(pin).page(number, self.parameters.page_size)?
        };
        Some((view, cell_count))
    }

    /// Asks the processor to have the cell ready where a search in a page begins.
    #[inline]
    pub(crate) fn prefetch(&self, pin: &Pin<'_>, pointer: u64, hash: u64) {
        if let Some((view, cells)) = self.known_page(pin, pointer) {
            let cell = bucket::home_cell(hash, cells);
            view.prefetch(crate::page::HEADER_SIZE + cell * crate::page::LINE_SIZE);
        }
    }

    /// As `prefetch`, for the header of a chain's first page.
    pub(crate) fn prefetch_chain_head(&self, pin: &Pin<'_>, pointer: u64) {
        if let Some((view, _)) = self.known_page(pin, pointer) {
            view.prefetch(0);
        }
    }

    /// Closes for all who look from now on; `false` if that was done before.
    pub(crate) fn close(&self) -> bool {
        !self.closed.swap(true, Ordering::SeqCst)
    }

    /// An error if it is closed. A reader asks under its pin: then the file stays locked, and its
    /// pages as they are, until the pin is gone.
    #[inline]
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::SeqCst) { Err(Error::Closed) } else { Ok(()) }
    }

    /// Refuses all further writes of this handle, since `cause` failed (C6).
    pub(crate) fn refuse(&self, cause: &Error) {
        let _ = self.refused.set(cause.to_string());
    }

    /// Refuses all writes in the child of a fork: threads and locks are not what they seem there.
    pub(crate) fn check_process(&self) -> Result<()> {
        let checked = self.file.check_process();
        self.or_refuse(checked.map_err(|error| Error::io("write", &self.path, error)))
    }

    /// Passes the result of a write on. A failure refuses all further writes (C6), but for a full
    /// disk, where the caller takes back what it began.
    pub(crate) fn or_refuse<T>(&self, result: Result<T>) -> Result<T> {
        result.inspect_err(|error| {
            if !matches!(error, Error::StorageFull { .. }) {
                self.refuse(error);
            }
        })
    }

    /// An error if writes are refused.
    pub(crate) fn check_not_refused(&self) -> Result<()> {
        match self.refused.get() {
            Some(cause) => Err(Error::Refused { path: self.path.clone(), cause: cause.clone() }),
            None => Ok(()),
        }
    }

    pub(crate) fn space(&self) -> MutexGuard<'_, Space> {
        self.space.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lowest free page, taken now.
    fn allocate_page(&self) -> Result<PageRun> {
        let mut space = self.space();
        let run = space.allocate(1);
        if run.end() <= PAGE_COUNT_MAX {
            return Ok(run);
        }
        space.free(run);
        Err(Error::io("grow", &self.path, std::io::ErrorKind::FileTooLarge.into()))
    }

    pub(crate) fn file_len(&self) -> u64 {
        // Whoever sees the length sees the map that was made for it.
        self.file_len.load(Ordering::Acquire)
    }

    /// Gives back, when no reader can see them any more: frames to the arena, pages to the space.
    fn retire(&self, mut frames: Vec<u32>, pages: Vec<PageRun>) {
        if frames.is_empty() && pages.is_empty() {
            return;
        }
        let size = self.parameters.page_size as u64;
        let bytes = frames.len() as u64 * size + pages.iter().map(|p| p.count * size).sum::<u64>();
        let (arena, space) = (self.arena.clone(), self.space.clone());
        if mutant(Mutant::FramesRecycledEarly) {
            arena.free(&std::mem::take(&mut frames));
        }
        self.epoch.retire(bytes, move || {
            arena.free(&frames);
            let mut space = space.lock().unwrap_or_else(PoisonError::into_inner);
            pages.into_iter().for_each(|run| space.free(run));
        });
    }

    /// Makes the file and its map at least this many pages long. Called before anything is written
    /// to a page, hence before a pointer to it is published.
    fn ensure_len(&self, page_count: u64) -> Result<()> {
        let needed = page_count * self.parameters.page_size as u64;
        if needed <= self.file_len() {
            return Ok(());
        }
        // Not the space's lock: replacing the map may run retirements, which take it.
        let _resizing = self.resizing.lock().unwrap_or_else(PoisonError::into_inner);
        if needed <= self.file_len() {
            return Ok(());
        }
        // Growing by a quarter keeps the number of maps small; the tail takes no disk.
        let len = needed.max(self.file_len() + self.file_len() / 4).next_multiple_of(1 << 16);
        self.or_refuse(self.file.set_len(len).map_err(|e| Error::io("grow", &self.path, e)))?;
        // The map first: a length that is noted is never mapped again.
        self.remap(len)?;
        self.file_len.store(len, Ordering::Release);
        Ok(())
    }

    fn remap(&self, len: u64) -> Result<()> {
        if self.access == Access::Mapped {
            // What was fetched for the old map is in the page cache.
            let map = residence::open_map(&*self.file, &self.path, len, Residence::Mapped)?;
            self.map.replace(&self.epoch, Arc::new(map));
        }
        Ok(())
    }
}

/// What leads on from a page of the file is a page of the file: never one in memory, never one that
/// passes for checked (I8). Only overflow pages lead on.
fn check_next(next: u64, kind: Kind) -> std::result::Result<(), Fault> {
    let allowed = if kind == Kind::Overflow { u64::MAX >> 2 } else { 0 };
    Fault::expect(Promise::Reserved, 0, next & !allowed)
}

fn bucket_cells(view: View<'_>) -> usize {
    ((view.word(word::FIRST) >> 40) & 0xff) as usize
}
