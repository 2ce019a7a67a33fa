//! A page that the writer may be adding to while readers look at it.
//!
//! A page with records is a header, *cells* of one cache line each, free space, and the heap of
//! records that grows down from the page's end. A cell is sixteen lanes of 32 bits: lane 0 is the
//! cell's own header, lanes 1 to 15 are slots. A slot is a tag (16 bits of the hash) below the
//! offset of a record (16 bits); offset 0 is an empty slot.
//!
//! # Proof
//! 1. Whoever makes a [`View`] or a [`Frame`] promises that its bytes stay allocated for its
//!    lifetime (a pin of the epoch, or a borrow of the map or the page) and start at a multiple of 8.
//! 2. Header and cells are only ever accessed as `AtomicU64`, but for pages that are immutable.
//! 3. The heap is everything from the offset that a slot holds to the page's end. A [`Frame`]
//!    writes only below `heap_start` and above the cells, then lowers `heap_start`, then stores the
//!    slot with release: so bytes at or above a slot's offset are written before the slot is
//!    stored, and never again until the frame is recycled, when no view is left (I7).
//! 4. In a page of fixed sizes (see `fixed`) a cell is sixteen bits twice of its own header, then
//!    thirty tags of 16 bits; each slot has a place of its own, computed from cell and slot by the
//!    one function [`super::shape::Fixed::place`], and no two places overlap. Tag 0 is a slot that
//!    has never had a record in this frame. A [`Frame`] writes only to the place of a slot whose
//!    tag is 0, then stores the tag with release; and once others may see the page, a tag that is
//!    not 0 never becomes 0 again. So the bytes at a place whose tag was loaded and is not 0 were
//!    written before, and never again until the frame is recycled (I7). A view never asks for the
//!    bytes of another place: [`View::piece`] looks at the tag itself.
//! 5. There is one `Frame` of a page at a time, the writer's. All pages of an index have one shape,
//!    which their headers state: what reads bytes by rule 3 meets no page of rule 4 but a damaged
//!    one, which is immutable as a whole: what the writer copies is verified first (D11).
//!
//! Knows nothing of what a record is.
#![allow(unsafe_code, reason = "one of the modules that DESIGN.md names; the proof is above")]

use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::cell::{Cell, TAG_SLOTS, TagCell};
use super::processor::prefetch;
use super::{HEADER_SIZE, word};

/// Bytes of a cache line, and of a cell.
pub(crate) const LINE_SIZE: usize = 64;
/// Words of a cache line.
const LINE_WORDS: usize = 8;

/// A borrowed page (or a piece of a file) of which another thread may be changing words.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    start: NonNull<u8>,
    len: usize,
    _life: PhantomData<&'a [AtomicU64]>,
}

// SAFETY: a view is a shared borrow of atomics and of bytes that nobody writes (rules 2 and 3).
unsafe impl Send for View<'_> {}
// SAFETY: as above.
unsafe impl Sync for View<'_> {}

impl<'a> View<'a> {
    /// # Safety
    /// Rules 1 to 5 of the module must hold for `start..start + len` during `'a`.
    #[inline]
    pub(crate) unsafe fn new(start: NonNull<u8>, len: usize) -> View<'a> {
        View { start, len, _life: PhantomData }
    }

    /// Of words of memory of one's own that nobody writes to.
    #[cfg(feature = "fuzzing")]
    #[inline]
    pub(crate) fn of_words(words: &'a [AtomicU64]) -> View<'a> {
        // SAFETY: allocated, aligned and only ever accessed as atomics while it is borrowed.
        unsafe { View::new(NonNull::from(words).cast(), words.len() * 8) }
    }

    /// Bytes in it.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Asks the processor to have the cache line at `offset` ready; beyond the view that is vain.
    #[inline]
    pub(crate) fn prefetch(&self, offset: usize) {
        prefetch(self.start.as_ptr().wrapping_add(offset));
    }

    #[inline]
    fn atomic(&self, index: usize) -> Option<&'a AtomicU64> {
        if index >= self.len / 8 {
            return None;
        }
        // SAFETY: within the view, by the check above.
        let word = unsafe { self.start.cast::<AtomicU64>().add(index) };
        // SAFETY: rules 1 and 2: allocated, aligned, and only accessed as an atomic.
        Some(unsafe { word.as_ref() })
    }

    /// The word at `8 × index`, and all that its store published; zero outside the view.
    #[inline]
    pub(crate) fn word(&self, index: usize) -> u64 {
        self.atomic(index).map_or(0, |word| u64::from_le(word.load(Ordering::Acquire)))
    }

    /// The words of a cell; `None` outside the page.
    #[inline]
    fn line_words(&self, index: usize) -> Option<&'a [AtomicU64; LINE_WORDS]> {
        let offset = HEADER_SIZE + index * LINE_SIZE;
        if offset + LINE_SIZE > self.len {
            return None;
        }
        // SAFETY: within the view, by the check above.
        let line = unsafe { self.start.add(offset).cast::<[AtomicU64; LINE_WORDS]>() };
        // SAFETY: rules 1 and 2: allocated, aligned, and only accessed as atomics.
        Some(unsafe { line.as_ref() })
    }

    /// What the words of a cell hold, and all that their stores published.
    #[inline]
    fn line(&self, index: usize) -> Option<[u64; LINE_WORDS]> {
        let line = self.line_words(index)?;
        Some(line.each_ref().map(|word| u64::from_le(word.load(Ordering::Acquire))))
    }

    /// The cell of this index; `None` outside the page.
    #[inline]
    pub(crate) fn cell(&self, index: usize) -> Option<Cell> {
        self.line(index).map(Cell::new)
    }

    /// The record bytes from the one in this slot to the page's end; `None` if the slot is empty
    /// by now or points outside the page.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "the offset's 16 bits are meant")]
    pub(crate) fn tail(&self, cell: usize, lane: usize) -> Option<&'a [u8]> {
        let word = self.line_words(cell)?.get(lane / 2 % LINE_WORDS)?;
        let word = u64::from_le(word.load(Ordering::Acquire));
        let offset = (word >> (32 * (lane % 2) + 16)) as u16;
        self.tail_at(offset.into())
    }

    /// The cell of tags of this index; `None` outside the page.
    #[inline]
    pub(crate) fn tag_cell(&self, index: usize) -> Option<TagCell> {
        self.line(index).map(TagCell::new)
    }

    /// The word and the shift of a tag.
    #[inline]
    fn tag_place(cell: usize, slot: usize) -> (usize, usize) {
        let lane = slot + 2;
        ((HEADER_SIZE + cell * LINE_SIZE) / 8 + lane / 4, 16 * (lane % 4))
    }

    /// A record's bytes at `place`, which is that of this slot; `None` if the slot has never had a
    /// record or the place is outside the page.
    #[inline]
    pub(crate) fn piece(&self, cell: usize, slot: usize, place: Range<usize>) -> Option<&'a [u8]> {
        let (index, shift) = View::tag_place(cell, slot);
        let tag = self.word(index) >> shift & 0xffff;
        if tag == 0 || slot >= TAG_SLOTS || place.start < HEADER_SIZE || place.end > self.len {
            return None;
        }
        let len = place.end.checked_sub(place.start)?;
        // SAFETY: within the view, by the check above.
        let start = unsafe { self.start.as_ptr().add(place.start) };
        // SAFETY: rule 4: the slot's tag is not 0, so nobody writes to its place.
        Some(unsafe { std::slice::from_raw_parts(start, len) })
    }

    #[inline]
    fn tail_at(&self, offset: usize) -> Option<&'a [u8]> {
        if offset < HEADER_SIZE + LINE_SIZE || offset >= self.len {
            return None;
        }
        // SAFETY: within the view, by the check above.
        let start = unsafe { self.start.as_ptr().add(offset) };
        // SAFETY: rule 3: the offset was loaded from a slot, so nobody writes at or above it. (In a
        // damaged file it may point into the cells: that page is immutable as a whole.)
        Some(unsafe { std::slice::from_raw_parts(start, self.len - offset) })
    }

    /// All bytes of a view that nobody writes to.
    ///
    /// # Safety
    /// No thread may write to any byte of it during `'a`: it is of a page on file that is
    /// published (I1), or of one's own memory.
    #[inline]
    unsafe fn bytes(&self) -> &'a [u8] {
        // SAFETY: rule 1, and the caller's promise.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

/// A page of memory that its one writer may change.
#[derive(Debug)]
pub(crate) struct Frame<'a>(View<'a>);

impl<'a> Frame<'a> {
    /// # Safety
    /// Rules 1 to 5 of the module, and the memory must be writable.
    pub(crate) unsafe fn new(start: NonNull<u8>, len: usize) -> Frame<'a> {
        // SAFETY: the caller's promise.
        Frame(unsafe { View::new(start, len) })
    }

    /// Of words of memory of one's own.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn of_words(words: &'a mut [AtomicU64]) -> Frame<'a> {
        let len = words.len() * 8;
        // SAFETY: allocated, aligned, writable and borrowed mutably for the frame's life.
        unsafe { Frame::new(NonNull::from(words).cast(), len) }
    }

    /// To read it.
    pub(crate) fn view(&self) -> View<'_> {
        self.0
    }

    fn cells_end(&self) -> usize {
        HEADER_SIZE + cell_count(self.0) * LINE_SIZE
    }

    /// Stores a word of the header or of a cell; readers that load it see all written before.
    pub(crate) fn store_word(&mut self, index: usize, value: u64) {
        assert!(index < self.cells_end() / 8 || index < HEADER_SIZE / 8);
        let atomic = self.0.atomic(index).expect("a word of the page");
        atomic.store(value.to_le(), Ordering::Release);
        #[cfg(test)]
        tests_support::note_store(index, value);
    }

    /// Stores one lane of a cell; lane 0 is the cell's header.
    pub(crate) fn store_lane(&mut self, cell: usize, lane: usize, value: u32) {
        let index = (HEADER_SIZE + cell * LINE_SIZE) / 8 + lane / 2;
        let shift = 32 * (lane % 2);
        let word = self.0.word(index) & !(0xffff_ffff << shift) | u64::from(value) << shift;
        self.store_word(index, word);
    }

    /// Makes it an empty page of a kind with `cell_count` cells. Nobody else may see it yet.
    pub(crate) fn reset(&mut self, kind: super::Kind, cells: usize, owner: u64, bucket_count: u64) {
        let end = HEADER_SIZE + cells * LINE_SIZE;
        assert!(cells <= 255 && end <= self.0.len);
        // The count of cells first: it is what `store_word` checks against.
        let first = (kind as u64) << 32 | (cells as u64) << 40;
        self.store_word(word::FIRST, first);
        for index in 1..end / 8 {
            self.store_word(index, 0);
        }
        self.store_word(word::OWNER, owner);
        self.store_word(word::BUCKET_COUNT, bucket_count);
        self.store_word(word::HEAP, self.0.len as u64);
    }

    /// Puts the parts of a record, one after another, at the low end of the heap, where no slot
    /// points yet; `freed_len` bytes of another record are live no longer. `None` if there is no
    /// room. Offsets have 16 bits, so the page's last byte is at most at 65,535.
    pub(crate) fn append(&mut self, parts: &[&[u8]], freed_len: usize) -> Option<u16> {
        let heap = self.0.word(word::HEAP);
        let mut start = heap_start(self.0);
        let end = start;
        let offset = self.append_below(&mut start, parts)?;
        let live_len = (heap >> 32) + (end - start) as u64 - freed_len as u64;
        self.store_word(word::HEAP, live_len << 32 | start as u64);
        Some(offset)
    }

    /// As [`Frame::append`], below `start`, which is at or below the heap's start, and moves down;
    /// the header is the caller's to write.
    pub(crate) fn append_below(&mut self, start: &mut usize, parts: &[&[u8]]) -> Option<u16> {
        assert!(*start <= heap_start(self.0));
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let offset = start.checked_sub(len.max(1)).filter(|&o| o >= self.cells_end())?;
        // SAFETY: within `cells_end..heap_start`, by the checks above: rules 3 and 5.
        unsafe { self.write_parts(offset, parts) };
        *start = offset;
        u16::try_from(offset).ok()
    }

    /// Writes a record over another one that is as long. Nobody else may see the page yet.
    pub(crate) fn overwrite(&mut self, offset: usize, parts: &[&[u8]]) {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        assert!(offset >= self.cells_end() && len <= self.0.len.saturating_sub(offset));
        // SAFETY: within the page, by the check above, and the page is the writer's alone.
        unsafe { self.write_parts(offset, parts) };
    }

    /// # Safety
    /// The bytes that are written are within the page, and nobody looks at them.
    #[inline]
    unsafe fn write_parts(&mut self, offset: usize, parts: &[&[u8]]) {
        let mut at = offset;
        for part in parts {
            // SAFETY: within the page, by the caller's promise.
            let target = unsafe { self.0.start.as_ptr().add(at) };
            // SAFETY: the caller's promise.
            unsafe { std::ptr::copy_nonoverlapping(part.as_ptr(), target, part.len()) };
            at += part.len();
        }
    }

    /// Stores a slot's tag.
    pub(crate) fn store_tag(&mut self, cell: usize, slot: usize, tag: u16) {
        self.store_tags(cell, &[(slot, tag)]);
    }

    /// Stores tags of slots that share a word, all by one store.
    pub(crate) fn store_tags(&mut self, cell: usize, tags: &[(usize, u16)]) {
        let mut changed: Option<(usize, u64)> = None;
        for &(slot, tag) in tags {
            let (index, shift) = View::tag_place(cell, slot);
            let word = changed.map_or_else(|| self.0.word(index), |(_, word)| word);
            assert!(slot < TAG_SLOTS && changed.is_none_or(|(before, _)| before == index));
            changed = Some((index, word & !(0xffff << shift) | u64::from(tag) << shift));
        }
        if let Some((index, word)) = changed {
            self.store_word(index, word);
        }
    }

    /// Writes a record to `place`, that of a slot whose tag is 0; the tag is the caller's to store.
    pub(crate) fn write_piece(
        &mut self,
        (cell, slot): (usize, usize),
        place: Range<usize>,
        (key, value): (&[u8], &[u8]),
    ) {
        let (index, shift) = View::tag_place(cell, slot);
        assert!(slot < TAG_SLOTS && self.0.word(index) >> shift & 0xffff == 0);
        assert!(place.start >= self.cells_end() && place.end <= self.0.len);
        assert_eq!(place.start + key.len() + value.len(), place.end);
        // SAFETY: within the page, by the checks above.
        let start = unsafe { self.0.start.as_ptr().add(place.start) };
        // SAFETY: rules 4 and 5: the place of a slot without a tag is the writer's alone.
        unsafe { std::ptr::copy_nonoverlapping(key.as_ptr(), start, key.len()) };
        // SAFETY: within the page, since key and value together are as long as the place.
        let rest = unsafe { start.add(key.len()) };
        // SAFETY: as for the key.
        unsafe { std::ptr::copy_nonoverlapping(value.as_ptr(), rest, value.len()) };
    }

    /// Stores the lanes of all cells and what the header says of the records, for a page that was
    /// just filled.
    pub(crate) fn store_cells(&mut self, lanes: &[u32], heap: u64, records: u64, live: u64) {
        assert_eq!(lanes.len(), cell_count(self.0) * 2 * LINE_WORDS);
        for (i, pair) in lanes.as_chunks::<2>().0.iter().enumerate() {
            let [low, high] = pair.map(u64::from);
            self.store_word(HEADER_SIZE / 8 + i, low | high << 32);
        }
        self.store_word(word::HEAP, live << 32 | heap);
        let first = self.0.word(word::FIRST) & ((1 << 48) - 1);
        self.store_word(word::FIRST, first | records << 48);
    }

    /// Copies the first `len` bytes of a page over its own. Nobody else may see it yet.
    pub(crate) fn copy_bytes_from(&mut self, page: View<'_>, len: usize) {
        assert!(page.len == self.0.len && len <= page.len);
        // SAFETY: within both, and this one is the writer's alone and not yet seen; the other's
        // published bytes do not change, its words only by this same writer.
        unsafe { std::ptr::copy_nonoverlapping(page.start.as_ptr(), self.0.start.as_ptr(), len) };
    }

    /// Copies the page's bytes out, for a checkpoint: it is frozen, nobody changes it any more.
    pub(crate) fn copy_frozen(page: View<'_>, target: &mut [u8]) {
        assert_eq!(page.len, target.len());
        // SAFETY: a frozen page is immutable, words included.
        target.copy_from_slice(unsafe { page.bytes() });
    }
}

/// Cells of a page, by its header.
#[inline]
pub(crate) fn cell_count(page: View<'_>) -> usize {
    ((page.word(word::FIRST) >> 40) & 0xff) as usize
}

/// Live records of a page, by its header.
pub(crate) fn record_count(page: View<'_>) -> usize {
    (page.word(word::FIRST) >> 48) as usize
}

/// Offset of the lowest record byte of a page, by its header.
pub(crate) fn heap_start(page: View<'_>) -> usize {
    (page.word(word::HEAP) & 0xffff_ffff) as usize
}

/// Bytes of live records of a page, by its header.
pub(crate) fn live_len(page: View<'_>) -> usize {
    (page.word(word::HEAP) >> 32) as usize
}

/// Words of zero, in memory that the system gives only when it is touched.
pub(crate) fn zeroed_words(count: u64) -> Box<[AtomicU64]> {
    let count = usize::try_from(count).expect("fewer words than addresses");
    let words = Box::<[AtomicU64]>::new_zeroed_slice(count);
    // SAFETY: zero bytes are AtomicU64s of zero.
    unsafe { words.assume_init() }
}

/// As [`zeroed_words`], of 32 bits each.
pub(crate) fn zeroed_marks(count: usize) -> Box<[AtomicU32]> {
    let marks = Box::<[AtomicU32]>::new_zeroed_slice(count);
    // SAFETY: zero bytes are AtomicU32s of zero.
    unsafe { marks.assume_init() }
}

/// A page in memory of one's own, for those who read files without a map.
///
/// Atomic words, though nobody else writes them: a view makes `&AtomicU64`s of them.
#[derive(Debug)]
pub(crate) struct OwnedPage(Box<[AtomicU64]>);

impl OwnedPage {
    /// A page of zeros; `len` is a multiple of 8.
    pub(crate) fn new(len: usize) -> OwnedPage {
        OwnedPage(zeroed_words((len / 8) as u64))
    }

    /// Its bytes, to fill.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        let len = self.0.len() * 8;
        // SAFETY: any bytes are words and the reverse, u8 has no alignment, `self` is borrowed.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), len) }
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: nobody writes to it while it is borrowed.
        unsafe { self.view().bytes() }
    }

    /// How many bytes it has.
    pub(crate) fn len(&self) -> usize {
        self.0.len() * 8
    }

    /// The page of `len` bytes at `offset` in it, to fill.
    pub(crate) fn frame(&mut self, offset: usize, len: usize) -> Frame<'_> {
        assert!(
            offset.is_multiple_of(8) && offset.checked_add(len).is_some_and(|e| e <= self.len())
        );
        let start: NonNull<u8> = NonNull::from(self.0.as_mut()).cast();
        // SAFETY: within the memory, by the check above.
        let start = unsafe { start.add(offset) };
        // SAFETY: allocated, aligned, and writable by this borrow alone.
        unsafe { Frame::new(start, len) }
    }

    /// The page in it.
    #[inline]
    pub(crate) fn view(&self) -> View<'_> {
        let start = NonNull::from(self.0.as_ref()).cast();
        // SAFETY: allocated, aligned and immutable while `self` is borrowed.
        unsafe { View::new(start, self.0.len() * 8) }
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) mod tests_support {
    use std::cell::RefCell;

    use super::{Frame, NonNull};

    thread_local! {
        static STORES: RefCell<Option<Vec<(usize, u64)>>> = const { RefCell::new(None) };
    }

    pub(super) fn note_store(index: usize, value: u64) {
        STORES.with_borrow_mut(|stores| stores.iter_mut().for_each(|s| s.push((index, value))));
    }

    /// The words that `change` stores, in order.
    pub(crate) fn stores_of<R>(change: impl FnOnce() -> R) -> (R, Vec<(usize, u64)>) {
        STORES.set(Some(Vec::new()));
        let result = change();
        (result, STORES.take().unwrap_or_default())
    }

    /// Memory for one frame in a test.
    pub(crate) struct Memory(Box<[u64]>);

    impl Memory {
        pub(crate) fn new(len: usize) -> Memory {
            Memory(vec![0; len / 8].into())
        }

        pub(crate) fn frame(&mut self) -> Frame<'_> {
            let len = self.0.len() * 8;
            // SAFETY: allocated, aligned, writable and borrowed mutably for the frame's life.
            unsafe { Frame::new(NonNull::from(self.0.as_mut()).cast(), len) }
        }
    }
}
