//! Large records: their values in the value area, written and read.
//!
//! A value is written to its place when its commit is prepared, before the log knows of it: nothing
//! that recovery might choose reaches the blocks that it is written to, so a crash leaves only free
//! or dead bytes behind (I1), and the data sync of the next checkpoint makes it durable with all
//! else (I3). Knows nothing of what is a key.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::residence::fetch_lines;
use super::sound::{MARK_LEN, Mark};
use super::{Access, Pager, Pin, Shared, Verify};
use crate::checksum::crc32;
use crate::error::{Error, Fault, Place, Promise, Result};
use crate::page::record::{LargeRecord, SHORT_KEY_MAX};

/// The large records that a read-only open redid from the log: it writes nothing to the file.
#[derive(Debug, Default)]
pub(super) struct Redone {
    /// Bytes of all of them, those included that were replaced.
    len: AtomicU64,
    /// Their bytes by place, while the log is read.
    growing: Mutex<BTreeMap<u64, Arc<[u8]>>>,
    /// The same when that is done, for readers, who take no lock.
    all: OnceLock<BTreeMap<u64, Arc<[u8]>>>,
}

impl Redone {
    fn insert(&self, place: u64, bytes: Arc<[u8]>) {
        self.len.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.growing.lock().unwrap_or_else(PoisonError::into_inner).insert(place, bytes);
    }

    fn get(&self, place: u64) -> Option<ValueBytes<'_>> {
        if let Some(all) = self.all.get() {
            return all.get(&place).map(|bytes| ValueBytes::Mapped(bytes));
        }
        let growing = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        growing.get(&place).map(|bytes| ValueBytes::Owned(bytes.clone()))
    }
}

/// The bytes of a large record in the value area: the value, then the key if it is long.
#[derive(Debug, Clone)]
pub(crate) enum ValueBytes<'p> {
    /// Where they stand, as long as the pin is held.
    Mapped(&'p [u8]),
    Owned(Arc<[u8]>),
}

impl Deref for ValueBytes<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            ValueBytes::Mapped(bytes) => bytes,
            ValueBytes::Owned(bytes) => bytes,
        }
    }
}

impl Shared {
    /// Whether this long key stands behind a value. Its checksum is the affair of who reads on.
    pub(crate) fn large_key_is(
        &self,
        pin: &Pin<'_>,
        large: &LargeRecord,
        key: &[u8],
    ) -> Result<bool> {
        let value_len = usize::try_from(large.value_len).unwrap_or(usize::MAX);
        if self.read_only
            && let Some(bytes) = self.redone_values.get(large.place)
        {
            return Ok(bytes.get(value_len..) == Some(key));
        }
        let offset = large.offset().saturating_add(large.value_len.into());
        if self.access == Access::Mapped {
            let offset = usize::try_from(offset).unwrap_or(usize::MAX);
            return Ok(self.map.load(pin).bytes(offset, key.len()) == Some(key));
        }
        let mut found = vec![0; key.len()];
        match self.file.read_exact_at(&mut found, offset) {
            Ok(()) => Ok(found == key),
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
            Err(e) => Err(Error::io("read", &self.path, e)),
        }
    }

    /// Reads what a large record has in the value area and checks it.
    pub(crate) fn large_bytes<'p>(
        &'p self,
        pin: &'p Pin<'_>,
        large: &LargeRecord,
    ) -> Result<ValueBytes<'p>> {
        if self.read_only
            && let Some(bytes) = self.redone_values.get(large.place)
        {
            return Ok(bytes);
        }
        let page = large.first_page(self.parameters.page_size);
        let range = || {
            Fault::new(Promise::PageRange, self.file_len(), page).at(&self.path, Place::Page(page))
        };
        let offset = usize::try_from(large.offset()).map_err(|_| range())?;
        let len = usize::try_from(large.len()).map_err(|_| range())?;
        let (bytes, is_known) = match self.access {
            Access::Mapped => {
                let map = self.map.load(pin);
                let bytes = map.bytes(offset, len).ok_or_else(range)?;
                // The mark comes from memory, too: its value is on the way before it is looked at.
                self.sound.prefetch(large);
                self.fetch_value(map, (offset, len));
                let mark = match self.verify {
                    Verify::Never => Mark::Sound,
                    Verify::OnFirstTouch => self.sound.look(large),
                    Verify::Always => Mark::Blank,
                };
                let is_read = mark == Mark::Sound || mark == Mark::OfAnother && len <= MARK_LEN;
                if !is_read || self.is_cold() {
                    self.fetch_cold(map, (offset, len));
                }
                (ValueBytes::Mapped(bytes), mark == Mark::Sound)
            }
            Access::Pread => {
                let file_len = self.file.len().map_err(|e| Error::io("read", &self.path, e))?;
                if (offset as u64).saturating_add(len as u64) > file_len {
                    return Err(range());
                }
                let mut bytes = vec![0; len];
                let read = self.file.read_exact_at(&mut bytes, offset as u64);
                read.map_err(|e| Error::io("read", &self.path, e))?;
                (ValueBytes::Owned(bytes.into()), self.verify == Verify::Never)
            }
        };
        if !is_known {
            Fault::expect(Promise::ValueChecksum, large.checksum.into(), crc32(0, &bytes).into())
                .map_err(|fault| fault.at(&self.path, Place::Page(page)))?;
            if self.notes_checks() {
                self.sound.note(large);
            }
        }
        Ok(bytes)
    }
}

impl Shared {
    /// A read-only open has redone all that the log holds.
    pub(crate) fn end_redo_in_memory(&self) {
        let mut growing = self.redone_values.growing.lock().unwrap_or_else(PoisonError::into_inner);
        self.redone_values.all.get_or_init(|| std::mem::take(&mut *growing));
    }

    /// Refuses records of one bucket that have `len` bytes together, with `large` as the last: more
    /// than there are, so some lie over each other, and each would be copied.
    pub(crate) fn check_large_len(&self, large: &LargeRecord, len: u64) -> Result<()> {
        let most = self.file_len() + self.redone_values.len.load(Ordering::Relaxed);
        // One that is too long for the file is the affair of who reads it.
        if len <= most || large.len() > most {
            return Ok(());
        }
        let page = Place::Page(large.first_page(self.parameters.page_size));
        Err(Fault::new(Promise::ValueOverlap, most, len).at(&self.path, page))
    }

    /// Whether some record may be large.
    #[inline]
    pub(crate) fn has_large(&self) -> bool {
        self.has_large.load(Ordering::Relaxed)
    }

    /// Asks the processor to have the bytes behind a large record ready, as many as are going to be
    /// read. The one place that knows, besides `large_bytes`, where these are.
    #[inline]
    pub(crate) fn prefetch_large(&self, pin: &Pin<'_>, large: &LargeRecord, len: usize) {
        if self.access == Access::Mapped {
            let Ok(offset) = usize::try_from(large.offset()) else { return };
            self.sound.prefetch(large);
            let len = len.min(usize::try_from(large.len()).unwrap_or(usize::MAX));
            fetch_lines(self.map.load(pin), (offset, len));
        }
    }

    /// Asks the system for the bytes behind large records, neighbours in one go.
    pub(crate) fn ask_for_large(&self, pin: &Pin<'_>, places: &mut [(u64, u64)]) {
        places.sort_unstable();
        let map = self.map.load(pin);
        let ranges = places.iter().map(|&(offset, len)| {
            let range = usize::try_from(offset).and_then(|o| Ok((o, usize::try_from(len)?)));
            range.unwrap_or((usize::MAX, 0))
        });
        self.ask_for_ranges(map, ranges);
    }

    /// Whether a large record was read before, so that its bytes are probably in memory.
    pub(crate) fn is_known(&self, large: &LargeRecord) -> bool {
        self.verify == Verify::Never || self.sound.look(large) == Mark::Sound
    }
}

impl Pager {
    /// Writes the value of a large record, and its key if that is long, to the value area. Until it
    /// is put into a page it can be given back with [`Pager::give_back_large`].
    pub(crate) fn write_large(
        &mut self,
        hash: u64,
        key: &[u8],
        value: &[u8],
    ) -> Result<LargeRecord> {
        let is_long = key.len() > SHORT_KEY_MAX;
        let behind = if is_long { key } else { &[] };
        let mut large = LargeRecord {
            hash: if is_long { hash } else { 0 },
            key_len: u16::try_from(key.len()).expect("keys are at most 65,535 bytes"),
            value_len: u32::try_from(value.len()).expect("values are below 4 GiB"),
            place: 0,
            checksum: crc32(crc32(0, value), behind),
        };
        let place = self.values.append(large.grain_count(), &mut self.shared.space());
        let Some(place) = place else {
            let full = std::io::Error::from(std::io::ErrorKind::FileTooLarge);
            return Err(Error::io("grow", &self.shared.path, full));
        };
        large.place = place;
        self.shared.sound.forget(&large);
        // Readers share this line.
        if !self.shared.has_large() {
            self.shared.has_large.store(true, Ordering::Relaxed);
        }
        if self.shared.read_only {
            self.shared.redone_values.insert(large.place, [value, behind].concat().into());
        } else if let Err(error) = self.write_value(&large, value, behind) {
            self.values.take_back(large.place, large.grain_count(), &mut self.shared.space());
            return Err(error);
        }
        self.count_values(|len| len + large.len());
        Ok(large)
    }

    fn write_value(&self, large: &LargeRecord, value: &[u8], behind: &[u8]) -> Result<()> {
        let shared = &self.shared;
        shared.ensure_len(large.end_page(shared.parameters.page_size))?;
        let write = |bytes: &[u8], offset| {
            let written = shared.file.write_all_at(bytes, offset);
            shared.or_refuse(written.map_err(|e| Error::io("write", &shared.path, e)))
        };
        write(value, large.offset())?;
        write(behind, large.offset() + value.len() as u64)
    }

    /// Gives back the newest of the large records that no page holds yet.
    pub(crate) fn give_back_large(&mut self, large: &LargeRecord) {
        self.values.take_back(large.place, large.grain_count(), &mut self.shared.space());
        self.count_values(|len| len - large.len());
    }

    /// A large record is no longer in any page.
    pub(crate) fn drop_large(&mut self, large: &LargeRecord) {
        self.values.release(large.place, large.grain_count());
        self.count_values(|len| len.saturating_sub(large.len()));
    }

    /// Lets values go to the lowest free pages, however few they are, as long as it is said so.
    pub(crate) fn set_packing(&mut self, is_packing: bool) {
        self.values.leave_tail();
        self.values.is_packing = is_packing;
        self.shared.space().look_from_the_start();
    }

    fn count_values(&mut self, len: impl FnOnce(u64) -> u64) {
        self.counts.value_len = len(self.counts.value_len);
        self.counts.value_page_count = self.values.page_count();
    }
}
