//! Large records by their pages: whose they are, and whether they are what they should be.

use super::Inspector;
use super::report::Report;
use crate::checksum::crc32;
use crate::error::{Fault, Place, Promise, Result};
use crate::page::bucket;
use crate::page::meta::first_page;
use crate::page::record::{LargeRecord, Record};
use crate::page::{Kind, OwnedPage, get_u32, get_u64, page_checksum, word};

use super::page::stated_kind;

/// Bytes that are read at once.
const CHUNK_SIZE: usize = 1 << 20;

/// A record that claims a page, and where its slot is.
struct Claim {
    large: LargeRecord,
    page: u64,
    generation: u64,
}

impl Inspector {
    /// A page of a large record: the record that it belongs to, and where that has its slot. All
    /// bucket and overflow pages of the file are searched for it, old ones too; the newest counts.
    ///
    /// # Errors
    /// None today: a page that belongs to no record is a field of the report.
    pub fn value(&self, page: u64) -> Result<Report> {
        self.report(|inspector| Ok(inspector.value_now(page)))
    }

    fn value_now(&self, page: u64) -> Report {
        let mut report = Report::new(format!("value page {page}"));
        report.page = Some(page);
        if page >= self.page_limit() {
            report.find(Place::Page(page), Fault::new(Promise::PageRange, self.page_limit(), page));
            return report;
        }
        let claims = self.claims_of(page);
        let Some(newest) = claims.iter().max_by_key(|claim| claim.generation) else {
            report.text("record", "none: no slot of a whole page leads to it");
            return report;
        };
        report.number("slot_in_page", newest.page);
        report.number("first_page", newest.large.page.into());
        report.number("page_count", newest.large.page_count(self.page_size));
        report.number("claims", claims.len() as u64);
        self.describe_large(&mut report, &newest.large);
        let place = Place::Page(newest.large.page.into());
        report.expect(place, self.check_large(&newest.large));
        report
    }

    /// Every large record that has the page, on any page that proves itself.
    fn claims_of(&self, wanted: u64) -> Vec<Claim> {
        let size = self.page_size;
        let at_once = (CHUNK_SIZE / size) as u64;
        let mut claims = Vec::new();
        let mut page = OwnedPage::new(size);
        let mut first = first_page(size);
        while first < self.page_limit() {
            let chunk = self.read_up_to(first * size as u64, CHUNK_SIZE);
            for (number, bytes) in (first..).zip(chunk.chunks_exact(size)) {
                page.bytes_mut().copy_from_slice(bytes);
                self.add_claims(&mut claims, wanted, number, &page);
            }
            first += at_once;
        }
        claims
    }

    fn add_claims(&self, claims: &mut Vec<Claim>, wanted: u64, number: u64, page: &OwnedPage) {
        let kind = stated_kind(number, page);
        let is_proven = || {
            get_u64(page.bytes(), 8 * word::PAGE_NUMBER) == number
                && page_checksum(page.bytes()) == get_u32(page.bytes(), 0)
        };
        if !matches!(kind, Some(Kind::Bucket | Kind::Overflow)) || !is_proven() {
            return;
        }
        for slot in bucket::slots(page.view()) {
            let Some(Record::Large(large)) = slot.record else { continue };
            let first = u64::from(large.page);
            let end = first + large.page_count(self.page_size);
            if (first..end).contains(&wanted) {
                let generation = page.view().word(word::GENERATION);
                claims.push(Claim { large, page: number, generation });
            }
        }
    }

    /// Whether a large record's bytes have the checksum that its slot carries.
    pub(super) fn check_large(&self, large: &LargeRecord) -> std::result::Result<(), Fault> {
        let mut offset = u64::from(large.page) * self.page_size as u64;
        let mut left = large.len();
        if offset.saturating_add(left) > self.file_len {
            let end = u64::from(large.page) + large.page_count(self.page_size);
            return Err(Fault::new(Promise::PageRange, self.page_limit(), end));
        }
        let mut checksum = 0;
        while left > 0 {
            let len = usize::try_from(left).unwrap_or(CHUNK_SIZE).min(CHUNK_SIZE);
            let bytes = self.read_up_to(offset, len);
            if bytes.len() != len {
                return Err(Fault::new(Promise::PageRead, 0, 1));
            }
            checksum = crc32(checksum, &bytes);
            offset += len as u64;
            left -= len as u64;
        }
        Fault::expect(Promise::ValueChecksum, large.checksum.into(), checksum.into())
    }
}
