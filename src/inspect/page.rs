//! One page, by what it says of itself.

use super::Inspector;
use super::report::{Report, escape_start};
use crate::error::{Error, Fault, Place, Promise, Result};
use crate::hash::hash;
use crate::layout::Layout;
use crate::page::bucket::{self, Slot};
use crate::page::meta::{Meta, first_page};
use crate::page::pointer::Pointer;
use crate::page::record::{LargeRecord, Record};
use crate::page::shape::Shape;
use crate::page::{
    Identity, Kind, OwnedPage, View, array, check_fields, get_u32, get_u64, page_checksum, word,
};
use crate::table::record_hash;

/// The kind that a page states.
fn kind_of(page: &OwnedPage) -> Option<Kind> {
    let stated = get_u32(page.bytes(), 4) & 0xff;
    [Kind::Directory, Kind::Bitmap, Kind::Bucket, Kind::Overflow, Kind::ValueMap]
        .into_iter()
        .find(|kind| *kind as u32 == stated)
}

/// The kind of a page that is whole or bears its number: others have no header, or none that is
/// worth a look.
pub(super) fn stated_kind(number: u64, page: &OwnedPage) -> Option<Kind> {
    let is_whole = || page_checksum(page.bytes()) == get_u32(page.bytes(), 0);
    kind_of(page).filter(|_| page.view().word(word::PAGE_NUMBER) == number || is_whole())
}

impl Inspector {
    /// A page by its number: its header, its words or cells and records, and what is wrong with
    /// it. A page without a header is a value page, or free.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] if neither the file nor its meta page has so many pages. One that the
    /// file should have is a finding.
    pub fn page(&self, number: u64) -> Result<Report> {
        let known = self.known_meta().ok().flatten().map_or(0, |meta| meta.page_count);
        let limit = known.max(self.page_limit());
        if number >= limit {
            let reason = format!("{number} is not below the number of pages, {limit}");
            return Err(Error::InvalidOption { option: "page", reason });
        }
        self.report(|inspector| Ok(inspector.page_now(number)))
    }

    fn page_now(&self, number: u64) -> Report {
        let mut report = Report::new(format!("page {number}"));
        report.page = Some(number);
        if number < first_page(self.page_size) {
            let per_page = self.page_size / crate::page::meta::META_SIZE;
            let first = usize::try_from(number).unwrap_or_default() * per_page;
            report.text("kind", "meta");
            let slots = first..(first + per_page).min(self.slots.len());
            report.children.extend(slots.map(|slot| self.slot(slot)));
            return report;
        }
        let (page, read) = self.read_page(number);
        if report.expect(Place::Page(number), read) {
            self.describe(&mut report, number, &page);
        }
        report
    }

    /// Adds what a page says of itself, and what is wrong with that.
    pub(super) fn describe(&self, report: &mut Report, number: u64, page: &OwnedPage) {
        let place = Place::Page(number);
        let (bytes, view) = (page.bytes(), page.view());
        let stored = get_u32(bytes, 0);
        let Some(kind) = stated_kind(number, page) else {
            let text = "none: a value page, a free page, or a damaged one";
            report.text("kind", text);
            report.text("bytes", escape_start(bytes));
            return;
        };
        let name = match kind {
            Kind::Directory => "directory",
            Kind::Bitmap => "bitmap",
            Kind::Bucket => "bucket",
            Kind::Overflow => "overflow",
            Kind::ValueMap => "value map",
        };
        let is_array = matches!(kind, Kind::Directory | Kind::Bitmap | Kind::ValueMap);
        report.bits("checksum", stored.into());
        report.text("kind", name);
        let cell_count = crate::page::cell_count(view) as u64;
        report.number(if is_array { "level" } else { "cell_count" }, cell_count);
        report.number("record_count", crate::page::record_count(view) as u64);
        report.number("page_number", view.word(word::PAGE_NUMBER));
        report.bits("file_tag", view.word(word::FILE_TAG));
        report.number("generation", view.word(word::GENERATION));
        report.number("owner", view.word(word::OWNER));
        report.number("bucket_count", view.word(word::BUCKET_COUNT));
        report.text("next", pointer_text(view.word(word::NEXT)));
        match Shape::of(view) {
            Some(Shape::Fixed(fixed)) => {
                report.number("key_size", fixed.key_size as u64);
                report.number("value_size", fixed.value_size() as u64);
            }
            _ => report.number("heap_start", crate::page::heap_start(view) as u64),
        }
        report.number("live_len", crate::page::live_len(view) as u64);
        let sum = Fault::expect(Promise::PageChecksum, page_checksum(bytes).into(), stored.into());
        report.expect(place, sum);
        let is = Identity {
            page_number: number,
            file_tag: self
                .meta
                .as_ref()
                .map_or(view.word(word::FILE_TAG), |meta| meta.parameters.file_tag()),
            kind,
            owner: view.word(word::OWNER),
            bucket_count: view.word(word::BUCKET_COUNT),
        };
        report.expect(place, check_fields(bytes, is));
        if is_array {
            self.describe_words(report, number, kind, page);
        } else {
            self.describe_cells(report, number, kind, view);
        }
    }

    fn describe_words(&self, report: &mut Report, number: u64, kind: Kind, page: &OwnedPage) {
        let level = u8::try_from(crate::page::cell_count(page.view())).unwrap_or(u8::MAX);
        report.expect(Place::Page(number), array::check_header(page.bytes(), level));
        let mut words = Report::new("words");
        for (index, value) in array::words(page.bytes()).enumerate() {
            if value != 0 {
                let mut entry = Report::new(format!("word {index}"));
                match (kind, level) {
                    (Kind::Bitmap, 0) => entry.bits("used", value),
                    (Kind::ValueMap, 0) => entry.bits("live_grains", value),
                    _ => entry.text("pointer", pointer_text(value)),
                }
                words.children.push(entry);
            }
        }
        report.children.push(words);
    }

    fn describe_cells(&self, report: &mut Report, number: u64, kind: Kind, view: View<'_>) {
        let place = Place::Page(number);
        let is_fit = report.expect(place, self.check_shape(view))
            && report.expect(place, bucket::check_structure(view))
            && report.expect(place, bucket::check_tidy(view));
        if kind == Kind::Bucket {
            report.expect(place, Fault::expect(Promise::Reserved, 0, view.word(word::NEXT)));
        }
        for index in 0..crate::page::cell_count(view) {
            let Some(cell) = view.cell(index) else { break };
            let mut part = Report::new(format!("cell {index}"));
            part.bits("filter", (cell.header() & 0xffff).into());
            part.number("spill", (cell.header() >> 16 & 0xff).into());
            let of_cell = bucket::slots(view).filter(|slot| slot.place.cell == index);
            part.children.extend(of_cell.map(|slot| self.slot_of_page(place, kind, view, slot)));
            if !is_fit || cell.header() != 0 || !part.children.is_empty() {
                report.children.push(part);
            }
        }
    }

    /// Checks that a page has the shape of its file's, if that is known.
    pub(super) fn check_shape(&self, view: View<'_>) -> std::result::Result<(), Fault> {
        let Some(meta) = &self.meta else { return Ok(()) };
        bucket::check_shape(view, &meta.parameters.shape())
    }

    fn slot_of_page(&self, place: Place, kind: Kind, view: View<'_>, slot: Slot<'_>) -> Report {
        let mut report = Report::new(format!("slot {}", slot.place.lane));
        report.bits("tag", slot.tag.into());
        report.number("offset", slot.offset as u64);
        let Some(record) = slot.record else {
            let fault = Fault::new(Promise::RecordBounds, view.len() as u64, slot.offset as u64);
            report.find(place, fault);
            return report;
        };
        match &record {
            Record::Inline { key, value } => {
                report.text("key", escape_start(key));
                report.text("value", escape_start(value));
            }
            Record::Large(large, key) => self.describe_large(&mut report, large, key),
        }
        if let Some(meta) = &self.meta {
            check_home(&mut report, place, kind, view, (slot, &record), meta);
        }
        report
    }

    /// The fields of a large record, with its key and the start of its value.
    pub(super) fn describe_large(&self, report: &mut Report, large: &LargeRecord, key: &[u8]) {
        /// Of the value, the bytes that are read.
        const VALUE_READ: usize = 64;
        report.number("key_len", large.key_len.into());
        report.number("value_len", large.value_len.into());
        report.number("place", large.place);
        let page = large.first_page(self.page_size);
        report.number("page", page);
        report.bits("checksum", large.checksum.into());
        let place = Place::Page(page);
        if large.offset().saturating_add(large.len()) > self.file_len {
            let end = large.end_page(self.page_size);
            report.find(place, Fault::new(Promise::PageRange, self.page_limit(), end));
        }
        let shown = VALUE_READ.min(usize::try_from(large.value_len).unwrap_or(VALUE_READ));
        let value = self.read_up_to(large.offset(), shown);
        if large.has_long_key() {
            report.bits("hash", large.hash);
            let behind = large.offset() + u64::from(large.value_len);
            let key = self.read_up_to(behind, large.key_len.into());
            report.text("key", escape_start(&key));
            if let Some(meta) = &self.meta {
                let expected = hash(&key, meta.parameters.hash_seed);
                report.expect(place, Fault::expect(Promise::RecordPlace, expected, large.hash));
            }
        } else {
            report.text("key", escape_start(key));
        }
        report.text("value_start", escape_start(&value));
    }
}

/// I5, as far as a page by itself can tell.
fn check_home(
    report: &mut Report,
    place: Place,
    kind: Kind,
    view: View<'_>,
    (slot, record): (Slot<'_>, &Record<'_>),
    meta: &Meta,
) {
    let hash = record_hash(record, meta.parameters.hash_seed);
    let layout = Layout { bucket_count: view.word(word::BUCKET_COUNT) };
    let bucket = layout.bucket_of(hash);
    let owner = if kind == Kind::Bucket { bucket } else { Layout::run_of(bucket) };
    let stated = view.word(word::OWNER);
    report.expect(place, Fault::expect(Promise::RecordBucket, owner, stated));
    if crate::page::cell_count(view) > 0 && !bucket::is_reachable(view, slot.place, slot.tag, hash)
    {
        let tag = bucket::tag_in(view, hash).into();
        report.find(place, Fault::new(Promise::RecordPlace, tag, slot.tag.into()));
    }
}

/// A pointer's word in words.
pub(super) fn pointer_text(pointer: u64) -> String {
    match Pointer::decode(pointer) {
        Pointer::Empty => "none".into(),
        Pointer::Unchecked { page, checksum } if page <= u64::from(u32::MAX) => {
            format!("page {page}, checksum {checksum:#x}")
        }
        _ => format!("{pointer:#x}, which is no pointer of a file"),
    }
}

/// The next page that a page's header points to.
pub(super) fn next_of(page: &OwnedPage) -> u64 {
    get_u64(page.bytes(), 8 * word::NEXT)
}
