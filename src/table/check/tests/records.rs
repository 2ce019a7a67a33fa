//! Records that are not where or what they should be are found in their page.

use std::collections::BTreeSet;

use super::sample::{Sample, assert_found, assert_only, places, sample};
use crate::error::{Place, Promise};
use crate::page::record::Record;
use crate::page::{HEADER_SIZE, Kind, bucket, put, put_u64, word};

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
    let mut inline = bucket::slots(owned.view()).filter_map(|slot| match slot.record {
        Some(Record::Inline { key, .. }) => Some((slot.offset, key.to_vec())),
        _ => None,
    });
    inline.nth(nth).unwrap()
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
