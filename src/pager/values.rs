//! Large records: key and value one after another in a run of pages of their own.
//!
//! A large record is written to its place when its commit is prepared, before the log knows of it:
//! the pages are free for every checkpoint that recovery might choose, so a crash leaves only free
//! pages behind (I1), and the data sync of the next checkpoint makes them durable with all else
//! (I3). Knows nothing of what is a key.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, PoisonError};

use super::{Access, PageRun, Pager, Pin, Shared, Verify};
use crate::checksum::crc32;
use crate::error::{Error, Fault, Place, Promise, Result};
use crate::page::LINE_SIZE;
use crate::page::record::LargeRecord;

/// Large records in memory, by first page.
pub(crate) type Overlay = BTreeMap<u32, Arc<[u8]>>;

/// The bytes of a large record, key first.
#[derive(Debug, Clone)]
pub(crate) enum ValueBytes<'p> {
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
    /// Whether a large record begins with this key. Its checksum is the affair of who reads on.
    pub(crate) fn large_key_is(
        &self,
        pin: &Pin<'_>,
        large: &LargeRecord,
        key: &[u8],
    ) -> Result<bool> {
        if self.access == Access::Mapped && !self.read_only {
            let offset = self.offset_of(large.page.into());
            let found = self.map.load(pin).bytes(offset, key.len());
            return Ok(found == Some(key));
        }
        let bytes = self.large_bytes(pin, large)?;
        Ok(bytes.get(..key.len()) == Some(key))
    }

    /// Reads a large record and checks it.
    pub(crate) fn large_bytes<'p>(
        &'p self,
        pin: &'p Pin<'_>,
        large: &LargeRecord,
    ) -> Result<ValueBytes<'p>> {
        if self.read_only {
            let overlay = self.redone_values.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(bytes) = overlay.get(&large.page) {
                return Ok(ValueBytes::Owned(bytes.clone()));
            }
        }
        let range = || {
            Fault::new(Promise::PageRange, self.file_len(), large.page.into())
                .at(&self.path, Place::Page(large.page.into()))
        };
        let offset = self.offset_of(large.page.into());
        let len = usize::try_from(large.len()).map_err(|_| range())?;
        let bytes = match self.access {
            Access::Mapped => {
                let map = self.map.load(pin);
                let bytes = map.bytes(offset, len).ok_or_else(range)?;
                self.ask_for_long(map, offset, len);
                ValueBytes::Mapped(bytes)
            }
            Access::Pread => {
                let file_len = self.file.len().map_err(|e| Error::io("read", &self.path, e))?;
                if (offset as u64).saturating_add(len as u64) > file_len {
                    return Err(range());
                }
                let mut bytes = vec![0; len];
                let read = self.file.read_exact_at(&mut bytes, offset as u64);
                read.map_err(|e| Error::io("read", &self.path, e))?;
                ValueBytes::Owned(bytes.into())
            }
        };
        let is_known = match self.verify {
            Verify::Never => true,
            Verify::OnFirstTouch => self.access == Access::Mapped && self.sound.has(large),
            Verify::Always => false,
        };
        if !is_known {
            Fault::expect(Promise::ValueChecksum, large.checksum.into(), crc32(0, &bytes).into())
                .map_err(|fault| fault.at(&self.path, Place::Page(large.page.into())))?;
            self.sound.note(large);
        }
        Ok(bytes)
    }
}

/// Bytes of a value that are asked for at once; the processor goes on by itself within a page.
const PREFETCH_LEN: usize = 4096;

impl Shared {
    /// Asks the processor to have the bytes behind a large record ready. The one place that knows,
    /// besides `large_bytes`, where these are.
    #[inline]
    pub(crate) fn prefetch_large(&self, pin: &Pin<'_>, large: &LargeRecord) {
        if self.access == Access::Mapped {
            let offset = self.offset_of(large.page.into());
            let len = usize::try_from(large.len()).unwrap_or(usize::MAX).min(PREFETCH_LEN);
            self.sound.prefetch(large);
            let map = self.map.load(pin);
            if self.is_cold() {
                self.ask_for_bytes(map, offset, usize::try_from(large.len()).unwrap_or(0));
            }
            if let Some(view) = map.view(offset, len) {
                (0..len).step_by(LINE_SIZE).for_each(|at| view.prefetch(at));
            }
        }
    }
}

impl Pager {
    /// Writes a large record to free pages. Until it is put into a page it can be given back with
    /// [`Pager::give_back_large`].
    pub(crate) fn write_large(
        &mut self,
        hash: u64,
        key: &[u8],
        value: &[u8],
    ) -> Result<LargeRecord> {
        let page_size = self.shared.parameters.page_size;
        let mut large = LargeRecord {
            hash,
            key_len: u16::try_from(key.len()).expect("keys are at most 65,535 bytes"),
            value_len: u32::try_from(value.len()).expect("values are below 4 GiB"),
            page: 0,
            checksum: crc32(crc32(0, key), value),
        };
        let run = self.allocate(large.page_count(page_size))?;
        large.page = u32::try_from(run.first).expect("page numbers have 30 bits");
        self.shared.sound.forget(&large);
        if self.shared.read_only {
            let bytes: Arc<[u8]> = [key, value].concat().into();
            let mut overlay =
                self.shared.redone_values.lock().unwrap_or_else(PoisonError::into_inner);
            overlay.insert(large.page, bytes);
        } else if let Err(error) = self.write_run(run, key, value) {
            self.shared.space().free(run);
            return Err(error);
        }
        self.values_new.push(run);
        Ok(large)
    }

    fn write_run(&self, run: PageRun, key: &[u8], value: &[u8]) -> Result<()> {
        let shared = &self.shared;
        shared.ensure_len(run.end())?;
        let offset = shared.offset_of(run.first) as u64;
        let write = |bytes: &[u8], offset| {
            let written = shared.file.write_all_at(bytes, offset);
            shared.or_refuse(written.map_err(|e| Error::io("write", &shared.path, e)))
        };
        write(key, offset)?;
        write(value, offset + key.len() as u64)
    }

    /// Gives back the newest of the large records that no page holds yet.
    pub(crate) fn give_back_large(&mut self, large: &LargeRecord) {
        let last = self.values_new.pop().expect("a large record that was just written");
        assert_eq!(last.first, u64::from(large.page), "given back in reverse order");
        self.shared.space().free(last);
    }

    /// A large record is no longer in any page.
    pub(crate) fn drop_large(&mut self, large: &LargeRecord) {
        let count = large.page_count(self.shared.parameters.page_size);
        self.dropped.push(PageRun { first: large.page.into(), count });
    }
}
