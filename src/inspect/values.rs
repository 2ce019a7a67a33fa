//! Value pages: whose they are, and whether they are what they should be.

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
    key: Vec<u8>,
    page: u64,
    generation: u64,
}

impl Claim {
    fn overlaps(&self, other: &Claim) -> bool {
        let end = |large: &LargeRecord| large.place.saturating_add(large.grain_count().max(1));
        self.large.place < end(&other.large) && other.large.place < end(&self.large)
    }
}

impl Inspector {
    /// A value page: the records whose values touch it, and where these have their slots. All bucket
    /// and overflow pages of the file are searched for them, old ones too; of those that claim the
    /// same bytes the newest counts.
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
        let mut claims = self.claims_of(page);
        report.number("claims", claims.len() as u64);
        claims.sort_unstable_by_key(|claim| std::cmp::Reverse(claim.generation));
        let mut newest: Vec<&Claim> = Vec::new();
        for claim in &claims {
            if newest.iter().all(|newer| !newer.overlaps(claim)) {
                newest.push(claim);
            }
        }
        if newest.is_empty() {
            report.text("record", "none: no slot of a whole page leads to it");
        }
        newest.sort_unstable_by_key(|claim| claim.large.place);
        for claim in newest {
            let mut part = Report::new("large record");
            part.number("slot_in_page", claim.page);
            self.describe_large(&mut part, &claim.large, &claim.key);
            let first = claim.large.first_page(self.page_size);
            part.expect(Place::Page(first), self.check_large(&claim.large));
            report.children.push(part);
        }
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
            let Some(Record::Large(large, key)) = slot.record else { continue };
            if (large.first_page(self.page_size)..large.end_page(self.page_size)).contains(&wanted)
            {
                let generation = page.view().word(word::GENERATION);
                claims.push(Claim { large, key: key.to_vec(), page: number, generation });
            }
        }
    }

    /// Whether a large record's bytes have the checksum that its slot carries.
    pub(super) fn check_large(&self, large: &LargeRecord) -> std::result::Result<(), Fault> {
        let mut offset = large.offset();
        let mut left = large.len();
        if offset.saturating_add(left) > self.file_len {
            let end = large.end_page(self.page_size);
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
