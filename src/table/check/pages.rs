//! Reading for a check: bytes, pages in the order of the file, and claims. Knows nothing of what
//! the pages hold.

use super::batches::{BatchReader, batches, thread_count};
use super::{Checker, judge};
use crate::error::{Fault, Place, Promise};
use crate::page::pointer::Pointer;
use crate::page::{Identity, OwnedPage};
use crate::storage::StorageFile;

/// Bytes that are read at once.
pub(super) const CHUNK_SIZE: usize = 1 << 20;

/// A page that a pointer leads to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) page: u64,
    pub(super) checksum: u32,
    /// The bucket or run.
    pub(super) index: u64,
}

/// Fills `bytes`; a failing device and a file that is too short are broken promises too.
pub(super) fn read(file: &dyn StorageFile, offset: u64, bytes: &mut [u8]) -> Result<(), Fault> {
    file.read_exact_at(bytes, offset).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => {
            let end = offset.saturating_add(bytes.len() as u64);
            Fault::new(Promise::FileLength, end, file.len().unwrap_or_default())
        }
        _ => {
            let code = error.raw_os_error().and_then(|code| u64::try_from(code).ok());
            Fault::new(Promise::PageRead, 0, code.unwrap_or(1))
        }
    })
}

impl Checker<'_> {
    /// As [`read`], and counts.
    pub(super) fn read(&mut self, offset: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        self.report.bytes_read += bytes.len() as u64;
        read(self.file, offset, bytes)
    }

    pub(super) fn page_size(&self) -> usize {
        self.meta.parameters.page_size
    }

    pub(super) fn offset_of(&self, page: u64) -> u64 {
        page * self.page_size() as u64
    }

    /// Decodes a pointer that stands in a page at `from` and claims the page that it leads to.
    /// `None` if it leads nowhere or the page was claimed before; that is then a finding.
    pub(super) fn claim_pointer(&mut self, pointer: u64, from: Place) -> Option<(u64, u32)> {
        let Pointer::Unchecked { page, checksum } = Pointer::decode(pointer) else {
            self.find(from, Fault::new(Promise::PageRange, self.page_limit, pointer));
            return None;
        };
        self.claim(page, from).then_some((page, checksum))
    }

    /// I4: claims a page of which no other pointer has been met.
    pub(super) fn claim(&mut self, page: u64, from: Place) -> bool {
        if page < self.first_page || page >= self.page_limit {
            self.find(from, Fault::new(Promise::PageRange, self.page_limit, page));
            return false;
        }
        if !self.claimed.insert(page) {
            self.find(Place::Page(page), Fault::new(Promise::PageUse, 1, 2));
            return false;
        }
        true
    }

    /// Reads pages in the order of the file, as many at once as lie together, and hands what
    /// `judge` says of each to `each`, in that order.
    pub(super) fn read_in_order<T: Send>(
        &mut self,
        mut wanted: Vec<Wanted>,
        judge: &(dyn Fn(Wanted, &OwnedPage) -> T + Sync),
        each: &mut dyn FnMut(&mut Self, Wanted, T),
    ) {
        wanted.sort_unstable_by_key(|wanted| wanted.page);
        let reader = BatchReader { file: self.file, page_size: self.page_size(), judge };
        let batches = batches(&wanted, self.page_size());
        let threads = thread_count(wanted.len() * self.page_size());
        reader.read_all(&batches, threads, &mut |batch| {
            self.report.bytes_read += batch.bytes_read;
            self.advance(batch.pages.len() as u64);
            for (wanted, result) in batch.pages {
                match result {
                    Ok(judged) => each(self, wanted, judged),
                    Err(fault) => {
                        self.find(Place::Page(wanted.page), fault);
                        self.lose();
                    }
                }
            }
        });
    }

    /// Checks that a page is the one that is meant, and who wrote it.
    pub(super) fn check_page(&mut self, page: &OwnedPage, checksum: u32, is: Identity) -> bool {
        let result = judge::check_page(self.meta, page, checksum, is);
        self.expect(Place::Page(is.page_number), result)
    }
}
