//! Reading for a check: bytes, pages in the order of the file, and claims. Knows nothing of what
//! the pages hold.

use super::Checker;
use crate::error::{Fault, Place, Promise};
use crate::page::pointer::Pointer;
use crate::page::{Identity, OwnedPage, check_identity, get_u64, word};

/// Bytes that are read at once.
pub(super) const CHUNK_SIZE: usize = 1 << 20;
/// Pages between two wanted ones that are read along rather than skipped.
const GAP_MAX: u64 = 4;

/// A page that a pointer leads to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) page: u64,
    pub(super) checksum: u32,
    /// The bucket or run.
    pub(super) index: u64,
}

impl Checker<'_> {
    /// Fills `bytes`; a failing device and a file that is too short are broken promises too.
    pub(super) fn read(&mut self, offset: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        self.report.bytes_read += bytes.len() as u64;
        self.file.read_exact_at(bytes, offset).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                let end = offset.saturating_add(bytes.len() as u64);
                Fault::new(Promise::FileLength, end, self.file.len().unwrap_or_default())
            }
            _ => {
                let code = error.raw_os_error().and_then(|code| u64::try_from(code).ok());
                Fault::new(Promise::PageRead, 0, code.unwrap_or(1))
            }
        })
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

    /// Reads pages in the order of the file, as many at once as lie together.
    pub(super) fn read_in_order(
        &mut self,
        mut wanted: Vec<Wanted>,
        each: &mut dyn FnMut(&mut Self, Wanted, &OwnedPage),
    ) {
        wanted.sort_unstable_by_key(|wanted| wanted.page);
        let size = self.page_size();
        let span_max = (CHUNK_SIZE / size) as u64;
        let mut chunk = Vec::new();
        let mut page = OwnedPage::new(size);
        let mut rest = wanted.as_slice();
        while let Some(&first) = rest.first() {
            let mut end = first.page + 1;
            let together = rest
                .iter()
                .take_while(|next| {
                    let fits = next.page < first.page + span_max && next.page <= end + GAP_MAX;
                    end = if fits { next.page + 1 } else { end };
                    fits
                })
                .count();
            let (now, later) = rest.split_at(together);
            rest = later;
            chunk.resize(usize::try_from(end - first.page).unwrap_or(1) * size, 0);
            let is_read = self.read(self.offset_of(first.page), &mut chunk).is_ok();
            for &wanted in now {
                let at = usize::try_from(wanted.page - first.page).unwrap_or_default() * size;
                let result = match chunk.get(at..at + size) {
                    Some(bytes) if is_read => {
                        page.bytes_mut().copy_from_slice(bytes);
                        Ok(())
                    }
                    // Each by itself, to name the one that fails.
                    _ => self.read(self.offset_of(wanted.page), page.bytes_mut()),
                };
                if self.expect(Place::Page(wanted.page), result) {
                    each(self, wanted, &page);
                } else {
                    self.lose();
                }
            }
            self.advance(now.len() as u64);
        }
    }

    /// Checks that a page is the one that is meant, and who wrote it.
    pub(super) fn check_page(&mut self, page: &OwnedPage, checksum: u32, is: Identity) -> bool {
        let generation = get_u64(page.bytes(), 8 * word::GENERATION);
        let result = check_identity(page.bytes(), checksum, is).and_then(|()| {
            // A page of the future is of a checkpoint that this one does not know.
            let newest = self.meta.generation;
            if (1..=newest).contains(&generation) {
                Ok(())
            } else {
                Err(Fault::new(Promise::PageGeneration, newest, generation))
            }
        });
        self.expect(Place::Page(is.page_number), result)
    }
}
