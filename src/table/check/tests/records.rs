//! Records that are not where or what they should be are found in their page.

use std::collections::BTreeSet;

use super::sample::{Sample, assert_found, assert_only, places, sample};
use crate::error::{Place, Promise};
use crate::page::record::Record;
use crate::page::{HEADER_SIZE, Kind, bucket, put, put_u64, word};
use crate::table::tests_support::Built;

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
fn values_out_of_range_overlapping_and_elsewhere() {
    let sample = sample();
    let mut done = 0;
    let first = sample.values()[0].0 / 64;
    let bucket_page = sample.pages(Kind::Bucket)[0];
    for page in sample.pages(Kind::Bucket) {
        let owned = sample.page(page);
        for slot in bucket::slots(owned.view()) {
            let Some(Record::Large(large, _)) = slot.record else { continue };
            let checked_with = |place: u64| {
                let mut damaged = sample.clone();
                let place = place.to_le_bytes();
                damaged.edit(page, |bytes| put(bytes, slot.offset + 7, &place[..5]));
                damaged.check()
            };
            for beyond in [sample.meta().page_count * 64 - 1, (1 << 40) - 1] {
                assert_only(&checked_with(beyond), page, Promise::PageRange);
            }
            for no_value_page in [0, bucket_page * 64] {
                assert_only(&checked_with(no_value_page), page, Promise::LiveCount);
            }
            if large.place != first {
                assert_only(&checked_with(first), first / 64, Promise::ValueOverlap);
                done += 1;
            }
        }
    }
    assert!(done > 2);
}

#[test]
fn a_long_key_with_another_hash() {
    let mut built = Built::new(4096, 4, 4 << 20);
    built.insert(&[7; 300], &[8; 2000]);
    built.checkpoint(true);
    let sample = Sample(built.bytes());
    let page = sample.pages(Kind::Bucket)[0];
    let offset = bucket::slots(sample.page(page).view()).next().unwrap().offset;
    let mut damaged = sample.clone();
    // Neither the bucket nor the cell nor the tag is another one.
    damaged.edit(page, |bytes| bytes[offset + 16 + 5] ^= 1);
    let first = sample.values()[0].0 / 4096;
    assert_only(&damaged.check(), first, Promise::RecordPlace);
}

#[test]
fn live_counts_that_lie() {
    let sample = sample();
    let leaf = sample.pages(Kind::ValueMap)[0];
    let value_page = sample.values()[0].0 / 4096;
    let at = crate::page::HEADER_SIZE + 2 * value_page as usize;
    let count =
        u16::from_le_bytes([sample.page(leaf).bytes()[at], sample.page(leaf).bytes()[at + 1]]);
    for (count, promise) in [
        (count - 1, Promise::LiveCount),
        (count + 1, Promise::LiveCount),
        (65, Promise::LiveCount),
        (u16::MAX, Promise::LiveCount),
    ] {
        let mut damaged = sample.clone();
        damaged.edit(leaf, |bytes| put(bytes, at, &count.to_le_bytes()));
        assert_found(&damaged.check(), value_page, promise);
    }
    let mut none = sample.clone();
    none.edit(leaf, |bytes| put(bytes, at, &[0, 0]));
    assert!(none.check().findings.iter().any(|f| f.promise == Promise::LiveCount));
    let bucket_page = sample.pages(Kind::Bucket)[0];
    let at = crate::page::HEADER_SIZE + 2 * bucket_page as usize;
    let mut shared = sample.clone();
    shared.edit(leaf, |bytes| put(bytes, at, &[1, 0]));
    shared.edit_meta(|meta| meta.values.end = meta.page_count);
    assert_found(&shared.check(), bucket_page, Promise::PageUse);
    let mut beyond = sample.clone();
    beyond.edit_meta(|meta| meta.values.end = value_page);
    assert!(beyond.check().findings.iter().any(|f| f.promise == Promise::PageRange));
}
