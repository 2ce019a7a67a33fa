//! Damage of every kind is found, and named with the page that it is in.

use std::collections::BTreeSet;
use std::path::Path;

use super::{assert_sound, check_bytes};
use crate::error::{Place, Promise};
use crate::page::meta::{META_SIZE, META_SLOTS, Meta, first_page};
use crate::page::pointer::Pointer;
use crate::page::record::Record;
use crate::page::{
    HEADER_SIZE, Kind, OwnedPage, bucket, get_u32, get_u64, page_checksum, put, put_u32, put_u64,
    word,
};
use crate::pager::read_meta;
use crate::table::check::CheckReport;
use crate::table::tests_support::{Built, file_of, key, value};

/// A small file with everything in it: overflow, large records, a sweep half done.
pub(super) fn sample() -> Sample {
    let mut built = Built::new(4096, 60, 4 << 20);
    let mut i = 0;
    while !built.table.is_sweeping() {
        let len = if i % 97 == 0 { 6000 } else { 200 + i as usize % 3 * 150 };
        built.insert(&key(i), &value(i, len));
        i += 1;
        if i == 300 {
            // What the next one replaces is free, and stale pages lie about.
            built.checkpoint(false);
        }
    }
    built.checkpoint(false);
    built.checkpoint(true);
    let report = assert_sound(&built);
    assert!(report.overflow_page_count > 2 && report.value_page_count > 10, "{report}");
    let sample = Sample(built.bytes());
    let meta = sample.meta();
    assert!(meta.next.is_some() && meta.splitpoint > 0 && meta.free_page_count > 0);
    sample
}

/// The bytes of a file, to be damaged.
#[derive(Clone)]
pub(super) struct Sample(pub(super) Vec<u8>);

impl Sample {
    pub(super) fn meta(&self) -> Meta {
        read_meta(&*file_of(&self.0), Path::new("/table")).unwrap().newest
    }

    pub(super) fn check(&self) -> CheckReport {
        check_bytes(&self.0)
    }

    fn page(&self, page: u64) -> OwnedPage {
        let mut owned = OwnedPage::new(4096);
        owned.bytes_mut().copy_from_slice(&self.0[page as usize * 4096..][..4096]);
        owned
    }

    fn bytes(&mut self, page: u64) -> &mut [u8] {
        &mut self.0[page as usize * 4096..][..4096]
    }

    fn kind(&self, page: u64) -> u8 {
        self.0[page as usize * 4096 + 4]
    }

    /// Every page that the newest checkpoint reaches but the meta pages, by the bitmap.
    fn reached(&self) -> Vec<u64> {
        let meta = self.meta();
        let Pointer::Unchecked { page, .. } = Pointer::decode(meta.bitmap_root) else { panic!() };
        let bitmap = self.page(page);
        (first_page(4096)..meta.page_count)
            .filter(|page| bitmap.bytes()[HEADER_SIZE + *page as usize / 8] >> (page % 8) & 1 == 1)
            .collect()
    }

    /// The pages of a kind that the newest checkpoint reaches.
    pub(super) fn pages(&self, kind: Kind) -> Vec<u64> {
        let meta = self.meta();
        // Value pages may look like anything, but not bear the number and the tag.
        let tag = meta.parameters.file_tag();
        let is_of_kind = |page: &u64| {
            let bytes = self.page(*page);
            let bytes = bytes.bytes();
            self.kind(*page) == kind as u8
                && get_u64(bytes, 8) == *page
                && get_u64(bytes, 8 * word::FILE_TAG) == tag
        };
        self.reached().into_iter().filter(is_of_kind).collect()
    }

    fn value_runs(&self) -> Vec<(u64, u64)> {
        let pages = [self.pages(Kind::Bucket), self.pages(Kind::Overflow)].concat();
        let mut runs = Vec::new();
        for page in pages {
            for slot in bucket::slots(self.page(page).view()) {
                if let Some(Record::Large(large)) = slot.record {
                    runs.push((u64::from(large.page), large.len()));
                }
            }
        }
        runs
    }

    /// Seals a page anew and makes whatever points to it say so, up to the meta pages: what a
    /// checksum proves then is nothing (R6).
    pub(super) fn reseal(&mut self, page: u64) {
        let old = get_u32(self.bytes(page), 0);
        let sum = page_checksum(self.bytes(page));
        put_u32(self.bytes(page), 0, sum);
        self.repoint((page, old), (page, sum));
    }

    /// Replaces a pointer wherever it stands, and seals what it stands in.
    fn repoint(&mut self, old: (u64, u32), new: (u64, u32)) {
        let word_of = |(page, checksum)| Pointer::Unchecked { page, checksum }.encode();
        let (old, new) = (word_of(old), word_of(new));
        if old == new {
            return;
        }
        for kind in [Kind::Directory, Kind::Bitmap, Kind::Overflow] {
            for page in self.pages(kind) {
                let places: Vec<usize> = if kind == Kind::Overflow {
                    vec![8 * word::NEXT]
                } else {
                    (HEADER_SIZE..4096).step_by(8).collect()
                };
                for at in places {
                    if get_u64(self.bytes(page), at) == old {
                        put_u64(self.bytes(page), at, new);
                        self.reseal(page);
                    }
                }
            }
        }
        self.edit_meta(|meta| {
            for root in
                [&mut meta.current.bucket_root, &mut meta.current.run_root, &mut meta.bitmap_root]
            {
                *root = if *root == old { new } else { *root };
            }
            if let Some(next) = &mut meta.next {
                for root in [&mut next.bucket_root, &mut next.run_root] {
                    *root = if *root == old { new } else { *root };
                }
            }
        });
    }

    /// Changes every meta page of the file that has fields, and seals it.
    pub(super) fn edit_meta(&mut self, mut edit: impl FnMut(&mut Meta)) {
        for slot in 0..META_SLOTS {
            let bytes = &mut self.0[slot * META_SIZE..][..META_SIZE];
            let mut meta = Meta::decode(bytes).unwrap();
            edit(&mut meta);
            bytes.copy_from_slice(&meta.encode());
        }
    }

    /// Changes a page and seals it.
    pub(super) fn edit(&mut self, page: u64, edit: impl FnOnce(&mut [u8])) {
        edit(self.bytes(page));
        self.reseal(page);
    }
}

fn places(report: &CheckReport) -> BTreeSet<u64> {
    let page = |place| match place {
        Place::Page(page) => Some(page),
        _ => None,
    };
    report.findings.iter().filter_map(|finding| page(finding.place)).collect()
}

#[track_caller]
fn assert_found(report: &CheckReport, page: u64, promise: Promise) {
    let found = |f: &crate::Finding| f.place == Place::Page(page) && f.promise == promise;
    assert!(report.findings.iter().any(found), "page {page}, {promise:?}: {report}");
    assert!(!report.is_sound());
}

#[track_caller]
fn assert_only(report: &CheckReport, page: u64, promise: Promise) {
    assert_found(report, page, promise);
    assert_eq!(report.finding_count(), 1, "{report}");
}

#[test]
fn every_flipped_bit_is_found_in_its_page() {
    let sample = sample();
    let runs = sample.value_runs();
    let mut damaged = sample.clone();
    let mut state = 5_u64;
    let mut flip = |page: u64, byte: usize, bit: u32| {
        let at = page as usize * 4096 + byte;
        damaged.0[at] ^= 1 << bit;
        let report = damaged.check();
        damaged.0[at] ^= 1 << bit;
        let holds =
            |&&(first, len): &&(u64, u64)| (first..first + len.div_ceil(4096)).contains(&page);
        match runs.iter().find(holds) {
            Some(&(first, len)) if (at as u64) < first * 4096 + len => {
                assert_only(&report, first, Promise::ValueChecksum);
            }
            Some(_) => assert!(report.is_sound(), "behind the last byte of a value"),
            None => {
                assert!(!report.is_sound());
                assert_eq!(places(&report), BTreeSet::from([page]), "byte {byte}: {report}");
            }
        }
    };
    let all = sample.reached();
    for &page in &all {
        for _ in 0..4 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            flip(page, (state >> 40) as usize % 4096, (state >> 33) as u32 % 8);
        }
    }
    for kind in [Kind::Directory, Kind::Bitmap, Kind::Bucket, Kind::Overflow] {
        let page = sample.pages(kind)[0];
        for byte in (0..4096).step_by(if kind == Kind::Overflow { 1 } else { 7 }) {
            flip(page, byte, (byte % 8) as u32);
        }
    }
}

#[test]
fn every_flipped_bit_of_a_meta_page_is_found_in_its_slot() {
    let mut sample = sample();
    for bit in (0..META_SIZE * META_SLOTS * 8).step_by(119) {
        sample.0[bit / 8] ^= 1 << (bit % 8);
        let report = sample.check();
        sample.0[bit / 8] ^= 1 << (bit % 8);
        let slot = (bit / 8 / META_SIZE) as u8;
        assert_eq!(report.findings.len(), 1, "bit {bit}: {report}");
        assert_eq!(report.findings[0].place, Place::MetaPage(slot));
        // A crash may have torn one, so it is a notice.
        assert_eq!(report.findings[0].severity, crate::Severity::Notice);
    }
}

#[test]
fn a_torn_meta_page_of_an_unclean_file_is_a_notice() {
    let mut built = Built::new(4096, 4, 4 << 20);
    for _ in 0..4 {
        built.fill(0..20, 50);
        built.checkpoint(false);
    }
    let mut bytes = built.bytes();
    let slots = crate::pager::read_meta(&*file_of(&bytes), Path::new("/table")).unwrap().slots;
    let oldest = (0..4).min_by_key(|&slot| slots[slot]).unwrap();
    bytes[oldest * META_SIZE + 512..][..512].fill(0xee);
    let report = check_bytes(&bytes);
    assert_eq!(report.findings.len(), 1, "{report}");
    assert_eq!(report.findings[0].severity, crate::Severity::Notice);
    assert!(report.is_sound());
}

#[test]
fn a_zeroed_a_stale_and_swapped_pages() {
    let sample = sample();
    for kind in [Kind::Directory, Kind::Bitmap, Kind::Bucket, Kind::Overflow] {
        let pages = sample.pages(kind);
        let page = pages[0];
        let mut zeroed = sample.clone();
        zeroed.bytes(page).fill(0);
        assert_only(&zeroed.check(), page, Promise::PageChecksum);
        // Not of the same chain: the later pages of one that is damaged are not reached.
        let owner = |page: &u64| sample.page(*page).view().word(word::OWNER);
        let other =
            pages.iter().skip(1).find(|p| kind == Kind::Directory || owner(p) != owner(&page));
        if let Some(&other) = other {
            let mut swapped = sample.clone();
            swapped.bytes(page).copy_from_slice(sample.page(other).bytes());
            swapped.bytes(other).copy_from_slice(sample.page(page).bytes());
            let report = swapped.check();
            assert_found(&report, page, Promise::PointerChecksum);
            assert_found(&report, other, Promise::PointerChecksum);
            assert_eq!(report.finding_count(), 2, "{report}");
        }
        // A lost write leaves a page of an older generation: sealed, and not the one pointed to.
        let mut stale = sample.clone();
        let bytes = stale.bytes(page);
        put_u64(bytes, 8 * word::GENERATION, 1);
        let sum = page_checksum(bytes);
        put_u32(bytes, 0, sum);
        assert_only(&stale.check(), page, Promise::PointerChecksum);
    }
}

#[test]
fn a_page_under_a_right_checksum_that_is_not_the_one_meant() {
    let sample = sample();
    for kind in [Kind::Directory, Kind::Bitmap, Kind::Bucket, Kind::Overflow] {
        let page = sample.pages(kind)[0];
        for (at, promise) in [
            (4, Promise::PageKind),
            (8 * word::PAGE_NUMBER, Promise::PageNumber),
            (8 * word::FILE_TAG, Promise::FileId),
            (8 * word::OWNER, Promise::PageOwner),
            (8 * word::BUCKET_COUNT, Promise::PageOwner),
            (8 * word::GENERATION + 4, Promise::PageGeneration),
        ] {
            let mut damaged = sample.clone();
            // Sealed by hand: what is changed is what `pages` knows a page by.
            let old = get_u32(damaged.bytes(page), 0);
            damaged.bytes(page)[at] ^= 1;
            let sum = page_checksum(damaged.bytes(page));
            put_u32(damaged.bytes(page), 0, sum);
            damaged.repoint((page, old), (page, sum));
            assert_only(&damaged.check(), page, promise);
        }
    }
    let page = sample.pages(Kind::Directory)[0];
    for at in [5, 8 * word::NEXT, 8 * word::HEAP] {
        let mut damaged = sample.clone();
        damaged.edit(page, |bytes| bytes[at] ^= 1);
        assert!(places(&damaged.check()).contains(&page));
    }
}

/// A bucket page with several records, and where its first used slot is.
fn slot_of(sample: &Sample, kind: Kind, nth: usize) -> (u64, usize) {
    let page = sample.pages(kind)[nth];
    let owned = sample.page(page);
    let slot = bucket::slots(owned.view()).next().unwrap();
    (page, HEADER_SIZE + slot.place.cell * 64 + slot.place.lane * 4)
}

#[test]
fn slots_that_lie() {
    let sample = sample();
    for kind in [Kind::Bucket, Kind::Overflow] {
        let (page, at) = slot_of(&sample, kind, 1);
        for (offset, promise) in [
            (4095_u16, Promise::RecordBounds),
            (HEADER_SIZE as u16, Promise::RecordBounds),
            (0, Promise::Count),
        ] {
            let mut damaged = sample.clone();
            damaged.edit(page, |bytes| put(bytes, at + 2, &offset.to_le_bytes()));
            assert_only(&damaged.check(), page, promise);
        }
        let mut lying_tag = sample.clone();
        lying_tag.edit(page, |bytes| bytes[at] ^= 1);
        assert_only(&lying_tag.check(), page, Promise::RecordPlace);
        // One slot like another: the second record is gone, the first there twice.
        let mut overlapping = sample.clone();
        let slots: Vec<_> = bucket::slots(sample.page(page).view())
            .map(|s| (HEADER_SIZE + s.place.cell * 64 + s.place.lane * 4, s.tag, s.offset))
            .collect();
        overlapping.edit(page, |bytes| {
            let (_, _, offset) = slots[0];
            put(bytes, slots[1].0 + 2, &(offset as u16).to_le_bytes());
        });
        assert!(places(&overlapping.check()).contains(&page));
    }
    let (page, _) = slot_of(&sample, Kind::Bucket, 0);
    let mut with_next = sample.clone();
    with_next.edit(page, |bytes| put_u64(bytes, 8 * word::NEXT, 5));
    assert_only(&with_next.check(), page, Promise::Reserved);
    let mut cells = sample.clone();
    cells.edit(page, |bytes| bytes[5] = 0xff);
    assert_only(&cells.check(), page, Promise::CellCount);
}

/// The record bytes that a slot of this page points to, where there is an inline one, by key.
fn inline_record(sample: &Sample, page: u64, nth: usize) -> (usize, Vec<u8>) {
    let owned = sample.page(page);
    let inline = bucket::slots(owned.view()).filter_map(|slot| match slot.record {
        Some(Record::Inline { key, .. }) => Some((slot.offset, key.to_vec())),
        _ => None,
    });
    inline.skip(nth).next().unwrap()
}

#[test]
fn a_key_in_the_wrong_bucket_and_a_key_twice() {
    let sample = sample();
    for kind in [Kind::Bucket, Kind::Overflow] {
        let page = sample.pages(kind)[1];
        let (offset, _) = inline_record(&sample, page, 0);
        let mut wrong = sample.clone();
        // Another key that no page has, of the same length.
        wrong.edit(page, |bytes| bytes[offset + 4 + 3] ^= 1);
        assert!(wrong.check().findings.iter().any(|f| f.place == Place::Page(page)
            && matches!(f.promise, Promise::RecordBucket | Promise::RecordPlace)),);
    }
}

#[test]
fn a_key_both_in_its_bucket_page_and_in_overflow() {
    let sample = sample();
    // A record of an overflow page becomes a copy of one of a bucket page of the run, slot and all.
    let mut done = 0;
    for page in sample.pages(Kind::Overflow) {
        let owned = sample.page(page);
        let run = owned.view().word(word::OWNER);
        let count = owned.view().word(word::BUCKET_COUNT);
        for bucket_page in sample.pages(Kind::Bucket) {
            let other = sample.page(bucket_page);
            if other.view().word(word::OWNER) / 16 != run
                || other.view().word(word::BUCKET_COUNT) != count
            {
                continue;
            }
            for slot in bucket::slots(owned.view()) {
                let Some(record @ Record::Inline { .. }) = slot.record else { continue };
                let len = record.encoded_len();
                let twin = bucket::slots(other.view()).find(|s| {
                    s.record.is_some_and(|r| {
                        r.encoded_len() == len && matches!(r, Record::Inline { .. })
                    })
                });
                let Some(twin) = twin else { continue };
                let mut twice = sample.clone();
                let source = other.bytes()[twin.offset..twin.offset + len].to_vec();
                twice.edit(page, |bytes| {
                    put(bytes, slot.offset, &source);
                    let at = HEADER_SIZE + slot.place.cell * 64 + slot.place.lane * 4;
                    put(bytes, at, &twin.tag.to_le_bytes());
                });
                assert_found(&twice.check(), page, Promise::DuplicateKey);
                done += 1;
            }
        }
    }
    assert!(done > 0);
}

#[test]
fn a_key_twice_in_one_page_and_twice_in_overflow() {
    let sample = sample();
    for kind in [Kind::Bucket, Kind::Overflow] {
        let mut done = 0;
        for page in sample.pages(kind) {
            let owned = sample.page(page);
            let slots: Vec<_> = bucket::slots(owned.view())
                .filter(|s| matches!(s.record, Some(Record::Inline { .. })))
                .collect();
            for (one, other) in slots.iter().zip(slots.iter().skip(1)) {
                let len = |slot: &bucket::Slot<'_>| slot.record.unwrap().encoded_len();
                if len(one) != len(other) {
                    continue;
                }
                let mut twice = sample.clone();
                let source = owned.bytes()[one.offset..one.offset + len(one)].to_vec();
                twice.edit(page, |bytes| put(bytes, other.offset, &source));
                assert_found(&twice.check(), page, Promise::DuplicateKey);
                done += 1;
            }
        }
        assert!(done > 0, "{kind:?}");
    }
}

#[test]
fn a_filter_that_denies_what_is_in_overflow() {
    let sample = sample();
    let mut done = 0;
    for page in sample.pages(Kind::Bucket) {
        if !bucket::has_overflow(sample.page(page).view()) {
            continue;
        }
        let mut denying = sample.clone();
        denying.edit(page, |bytes| {
            for cell in 0..usize::from(bytes[5]) {
                put(bytes, HEADER_SIZE + cell * 64, &[0, 0]);
            }
        });
        let report = denying.check();
        // A filter may admit more than there is: then nothing is denied.
        if report.is_sound() {
            continue;
        }
        assert_found(&report, page, Promise::OverflowFilter);
        assert_eq!(places(&report), BTreeSet::from([page]));
        done += 1;
    }
    assert!(done > 3, "{done}");
}

#[test]
fn chains_that_do_not_end_or_lead_astray() {
    let sample = sample();
    let chains = sample.pages(Kind::Overflow);
    let (page, other) = (chains[0], chains[1]);
    let old = sample.page(page).view().word(word::NEXT);
    let with_next = |next: u64| {
        let mut damaged = sample.clone();
        damaged.edit(page, |bytes| put_u64(bytes, 8 * word::NEXT, next));
        damaged.check()
    };
    let pointer = |page| Pointer::Unchecked { page, checksum: 7 }.encode();
    assert_eq!(old, 0, "a chain of one page");
    assert_only(&with_next(pointer(page)), page, Promise::PageUse);
    assert_only(&with_next(pointer(other)), other, Promise::PageUse);
    let bucket = sample.pages(Kind::Bucket)[3];
    assert_only(&with_next(pointer(bucket)), bucket, Promise::PageUse);
    for beyond in [sample.meta().page_count, (1 << 30) - 1, 1] {
        assert_only(&with_next(pointer(beyond)), page, Promise::PageRange);
    }
    for form in [1 << 62, 2 << 62 | 9, u64::MAX] {
        assert_only(&with_next(form), page, Promise::PageRange);
    }
    let free = (4..sample.meta().page_count).find(|p| !sample.reached().contains(p)).unwrap();
    let report = with_next(pointer(free));
    assert!(!report.is_sound());
    assert_eq!(places(&report), BTreeSet::from([free]), "{report}");
}

#[test]
fn a_bitmap_that_lies_either_way() {
    let sample = sample();
    let bitmap = sample.pages(Kind::Bitmap)[0];
    let page_count = sample.meta().page_count;
    let reached: BTreeSet<u64> = sample.reached().into_iter().collect();
    for page in 0..page_count + 70 {
        if page == bitmap {
            continue; // without its bit the test does not find it
        }
        let mut damaged = sample.clone();
        damaged.edit(bitmap, |bytes| bytes[HEADER_SIZE + page as usize / 8] ^= 1 << (page % 8));
        let report = damaged.check();
        assert_found(&report, page, Promise::PageUse);
        assert_eq!(places(&report), BTreeSet::from([page]), "{report}");
        let counts = report.findings.iter().filter(|f| f.promise == Promise::Count).count();
        assert_eq!(counts, 1, "and the count of free pages: {report}, {}", reached.len());
    }
}

#[test]
fn counts_that_lie() {
    let sample = sample();
    let edits: [fn(&mut Meta); 5] = [
        |meta| meta.counts.record_count += 1,
        |meta| meta.counts.record_len -= 1,
        |meta| meta.counts.overflow_page_count += 1,
        |meta| meta.counts.value_page_count -= 1,
        |meta| meta.free_page_count += 1,
    ];
    for edit in edits {
        let mut damaged = sample.clone();
        damaged.edit_meta(edit);
        let report = damaged.check();
        assert_eq!(report.finding_count(), 1, "{report}");
        assert_eq!(report.findings[0].promise, Promise::Count);
        assert!(matches!(report.findings[0].place, Place::MetaPage(_)));
    }
}

#[test]
fn a_splitpoint_that_lies() {
    let sample = sample();
    let meta = sample.meta();
    let layout = meta.current.layout;
    let bucket = layout.bucket_of(meta.splitpoint);
    let mut later = sample.clone();
    let splitpoint = layout.first_hash(bucket + 16).unwrap();
    later.edit_meta(|meta| meta.splitpoint = splitpoint);
    let report = later.check();
    assert!(report.findings.iter().any(|f| f.promise == Promise::SweptEntry), "{report}");
    let mut odd = sample.clone();
    odd.edit_meta(|meta| meta.splitpoint += 1);
    let report = odd.check();
    assert!(report.findings.iter().any(|f| f.promise == Promise::MetaField), "{report}");
}

#[test]
fn value_runs_out_of_range_and_overlapping() {
    let sample = sample();
    let mut done = 0;
    let first = sample.value_runs()[0].0;
    for page in sample.pages(Kind::Bucket) {
        let owned = sample.page(page);
        for slot in bucket::slots(owned.view()) {
            let Some(Record::Large(large)) = slot.record else { continue };
            let field = |page: u64| (page as u32).to_le_bytes();
            for beyond in [sample.meta().page_count - 1, u64::from(u32::MAX), 0] {
                let mut damaged = sample.clone();
                damaged.edit(page, |bytes| put(bytes, slot.offset + 15, &field(beyond)));
                assert_only(&damaged.check(), page, Promise::PageRange);
            }
            if u64::from(large.page) != first {
                let mut overlapping = sample.clone();
                overlapping.edit(page, |bytes| put(bytes, slot.offset + 15, &field(first)));
                let report = overlapping.check();
                assert_only(&report, first, Promise::PageUse);
                done += 1;
            }
            let mut with_hash = sample.clone();
            with_hash.edit(page, |bytes| bytes[slot.offset + 7 + 5] ^= 1);
            let report = with_hash.check();
            assert_found(&report, large.page.into(), Promise::RecordPlace);
        }
    }
    assert!(done > 2);
}

#[test]
fn directory_entries_that_lie() {
    let sample = sample();
    let leaf = sample.pages(Kind::Directory).into_iter().find(|&page| {
        sample.page(page).view().word(8 + 60) != 0 || sample.page(page).view().word(8 + 3) != 0
    });
    let leaf = leaf.unwrap();
    let words: Vec<usize> = (HEADER_SIZE..4096)
        .step_by(8)
        .filter(|&at| get_u64(sample.page(leaf).bytes(), at) != 0)
        .collect();
    let (one, two) = (words[0], words[1]);
    let word_at = |at| get_u64(sample.page(leaf).bytes(), at);
    let Pointer::Unchecked { page: shared, .. } = Pointer::decode(word_at(one)) else { panic!() };
    let mut twice = sample.clone();
    twice.edit(leaf, |bytes| put_u64(bytes, two, word_at(one)));
    assert_only(&twice.check(), shared, Promise::PageUse);
    let mut beyond = sample.clone();
    beyond.edit(leaf, |bytes| {
        put_u64(bytes, one, Pointer::Unchecked { page: 1 << 29, checksum: 0 }.encode());
    });
    assert_only(&beyond.check(), leaf, Promise::PageRange);
    let mut past_the_end = sample.clone();
    past_the_end.edit(leaf, |bytes| put_u64(bytes, 4088, 77));
    assert_only(&past_the_end.check(), leaf, Promise::PageRange);
    // A page that is forgotten.
    let mut forgotten = sample.clone();
    forgotten.edit(leaf, |bytes| put_u64(bytes, one, 0));
    assert_found(&forgotten.check(), shared, Promise::PageUse);
}

#[test]
fn a_file_that_was_cut_off() {
    let mut sample = sample();
    let page_count = sample.meta().page_count;
    let last = *sample.reached().last().unwrap();
    sample.0.truncate(last as usize * 4096 + 100);
    let report = sample.check();
    assert!(report.findings.iter().any(|f| f.promise == Promise::FileLength), "{report}");
    assert!(
        report
            .findings
            .iter()
            .any(|f| f.promise == Promise::PageRange || f.place == Place::Page(last)),
        "{report}"
    );
    assert_eq!(report.page_count, page_count);
}

#[test]
fn more_damage_than_a_report_keeps() {
    let mut built = Built::new(4096, 1, 32 << 20);
    built.fill(0..40_000, 100);
    built.checkpoint(true);
    let mut sample = Sample(built.bytes());
    let pages = sample.pages(Kind::Bucket);
    assert!(pages.len() > 1100);
    for page in &pages {
        sample.bytes(*page)[300] ^= 1;
    }
    let report = sample.check();
    assert_eq!(report.findings.len(), 1000);
    assert_eq!(report.finding_count(), pages.len() as u64);
    assert!(!report.is_sound() && report.to_string().contains("and "));
}

#[test]
fn no_bytes_make_a_check_panic() {
    let sample = sample();
    let mut state = 77_u64;
    for _ in 0..600 {
        let mut damaged = sample.clone();
        let mut next = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        let pages = damaged.reached();
        let mut sealed = Vec::new();
        for _ in 0..1 + next(3) {
            let page = pages[next(pages.len() as u64) as usize];
            // Mostly in header and cells, where the structure is.
            let range = [64, 600, 4096][next(3) as usize];
            let at = next(range) as usize & !7;
            let old = get_u64(damaged.bytes(page), at);
            let new = match next(7) {
                0 => 0,
                1 => u64::MAX,
                2 => old.wrapping_add(1),
                3 => old.wrapping_sub(1),
                4 => old ^ 1 << next(64),
                5 => Pointer::Unchecked { page, checksum: 0 }.encode(),
                _ => next(1 << 31) << 33 | next(1 << 31),
            };
            put_u64(damaged.bytes(page), at, new);
            sealed.push(page);
        }
        if next(4) > 0 {
            for page in sealed {
                damaged.reseal(page);
            }
        }
        let _ = damaged.check();
    }
}
