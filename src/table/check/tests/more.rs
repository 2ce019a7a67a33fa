//! Promises that hold between a record and its place, and between meta pages, broken one at a time.

use super::sample::{assert_found, assert_only, assert_only_value, sample};
use crate::error::{Place, Promise};
use crate::hash::hash;
use crate::page::bucket;
use crate::page::edit::PageOf;
use crate::page::meta::{META_SIZE, Meta};
use crate::page::record::Record;
use crate::page::shape::Shape;
use crate::page::tests_support::Memory;
use crate::page::{Frame, HEADER_SIZE, Kind, OwnedPage, put, put_u64, seal, word};
use crate::table::check::tests::sample::Sample;
use crate::table::record_hash;

/// Makes a page anew of its own records, changed by `edit`, as a writer would make it.
fn remade(sample: &Sample, page: u64, edit: impl FnOnce(&mut Vec<(u64, Vec<u8>)>)) -> Sample {
    let seed = sample.meta().parameters.hash_seed;
    let owned: OwnedPage = sample.page(page);
    let mut keys: Vec<(u64, Vec<u8>)> = bucket::slots(owned.view())
        .filter_map(|slot| match slot.record {
            Some(Record::Inline { key, .. }) => Some((hash(key, seed), key.to_vec())),
            _ => None,
        })
        .collect();
    edit(&mut keys);
    let records: Vec<(u64, Record<'_>)> =
        keys.iter().map(|(hash, key)| (*hash, Record::Inline { key, value: b"v" })).collect();
    let kind = if sample.kind(page) == Kind::Bucket as u8 { Kind::Bucket } else { Kind::Overflow };
    let of = PageOf {
        kind,
        owner: owned.view().word(word::OWNER),
        bucket_count: owned.view().word(word::BUCKET_COUNT),
        shape: Shape::of(owned.view()).unwrap(),
    };
    let mut memory = Memory::new(4096);
    let mut frame = memory.frame();
    assert!(of.fill(&mut frame, &records).is_empty());
    frame.inherit_filter(owned.view());
    let mut damaged = sample.clone();
    damaged.edit(page, |bytes| {
        Frame::copy_frozen(frame.view(), bytes);
        seal(bytes, page, sample.meta().parameters.file_tag(), 1);
        // `edit` seals it again, and looks for the pointer with the old checksum.
        put(bytes, 0, &owned.bytes()[..4]);
    });
    damaged
}

#[test]
fn a_record_in_the_bucket_of_another_key() {
    let sample = sample();
    let seed = sample.meta().parameters.hash_seed;
    for kind in [Kind::Bucket, Kind::Overflow] {
        let page = sample.pages(kind)[1];
        let view_owner = sample.page(page).view().word(word::OWNER);
        let count = sample.page(page).view().word(word::BUCKET_COUNT);
        let stranger = (0..).map(|i| format!("stranger {i}").into_bytes()).find(|key| {
            let bucket = crate::layout::Layout::new(count).bucket_of(hash(key, seed));
            bucket / 16 != view_owner && bucket != view_owner
        });
        let stranger = stranger.unwrap();
        let damaged =
            remade(&sample, page, |keys| keys.push((hash(&stranger, seed), stranger.clone())));
        assert_found(&damaged.check(), page, Promise::RecordBucket);
    }
}

#[test]
fn a_record_on_the_side_that_the_splitpoint_does_not_select() {
    let sample = sample();
    let layout = sample.meta().current.layout;
    let bucket = layout.bucket_of(sample.meta().splitpoint);
    let page = sample.pages(Kind::Bucket).into_iter().find(|&page| {
        let owned = sample.page(page);
        (owned.view().word(word::OWNER), owned.view().word(word::BUCKET_COUNT))
            == (bucket, layout.bucket_count)
    });
    // In the middle of the first bucket that the sweep has not reached.
    let width = u64::MAX / layout.bucket_count;
    let mut later = sample.clone();
    later.edit_meta(|meta| meta.splitpoint += width / 2);
    assert_found(&later.check(), page.unwrap(), Promise::RecordBucket);
}

#[test]
fn overlapping_records_and_empty_slots_with_a_tag() {
    let sample = sample();
    let page = sample.pages(Kind::Bucket)[0];
    let owned = sample.page(page);
    let free = (0..owned.bytes()[5].into()).find_map(|cell| {
        let lane = owned.view().cell(cell)?.empty_lane()?;
        Some(HEADER_SIZE + cell * 64 + lane * 4)
    });
    let mut stray = sample.clone();
    stray.edit(page, |bytes| bytes[free.unwrap()] = 1);
    assert_only(&stray.check(), page, Promise::Reserved);
    // The slot of a record leads to another one, and the page's count of bytes agrees.
    let slots: Vec<_> = bucket::slots(owned.view()).collect();
    let len = |slot: &bucket::Slot<'_>| slot.record.unwrap().encoded_len();
    let pair = slots.iter().zip(slots.iter().skip(1)).find(|(a, b)| len(a) == len(b)).unwrap();
    let mut overlapping = sample.clone();
    let (to, from) = (pair.0, pair.1);
    overlapping.edit(page, |bytes| {
        let at = HEADER_SIZE + to.place.cell * 64 + to.place.lane * 4;
        put(bytes, at + 2, &u16::try_from(from.offset).unwrap().to_le_bytes());
    });
    assert_found(&overlapping.check(), page, Promise::RecordBounds);
}

#[test]
fn overflow_of_a_bucket_without_a_page() {
    let sample = sample();
    let seed = sample.meta().parameters.hash_seed;
    let page = sample.pages(Kind::Overflow)[0];
    let owned = sample.page(page);
    let record = bucket::slots(owned.view()).find_map(|slot| slot.record).unwrap();
    let count = owned.view().word(word::BUCKET_COUNT);
    let bucket = crate::layout::Layout::new(count).bucket_of(record_hash(&record, seed));
    let mut damaged = sample.clone();
    for leaf in sample.pages(Kind::Directory) {
        let view = sample.page(leaf);
        let at = HEADER_SIZE + bucket as usize * 8;
        // Of the two directories of the layout the one that leads to bucket pages.
        let word_there = view.view().word(at / 8);
        let crate::page::pointer::Pointer::Unchecked { page: target, .. } =
            crate::page::pointer::Pointer::decode(word_there)
        else {
            continue;
        };
        if view.view().word(word::BUCKET_COUNT) == count
            && sample.kind(target) == Kind::Bucket as u8
        {
            damaged.edit(leaf, |bytes| put_u64(bytes, at, 0));
        }
    }
    assert_found(&damaged.check(), page, Promise::OverflowFilter);
}

#[test]
fn sizes_that_are_fixed() {
    let sample = sample();
    for key_size in [Some(12), Some(13)] {
        let mut fixed = sample.clone();
        fixed.edit_meta(|meta| meta.parameters.key_size = key_size);
        let is_broken = fixed.check().findings.iter().any(|f| f.promise == Promise::RecordSize);
        assert_eq!(is_broken, key_size == Some(13));
    }
}

#[test]
fn a_value_that_rots_at_its_end() {
    let mut sample = sample();
    let (first, len) = sample.values()[0];
    sample.0[(first + len - 1) as usize] ^= 1;
    assert_only_value(&sample.check(), (first, len));
}

#[test]
fn meta_pages_that_disagree() {
    let sample = sample();
    let newest = sample.meta().generation;
    let slot_of = |generation: u64| {
        let slots = 0..4;
        let generation_of =
            |slot: &usize| Meta::decode(&sample.0[slot * META_SIZE..][..META_SIZE]).unwrap();
        slots.into_iter().find(|slot| generation_of(slot).generation == generation).unwrap()
    };
    let older = slot_of(newest - 1);
    let with = |edit: fn(&mut Meta, u64)| {
        let mut damaged = sample.clone();
        let bytes = &mut damaged.0[older * META_SIZE..][..META_SIZE];
        let mut meta = Meta::decode(bytes).unwrap();
        edit(&mut meta, newest);
        bytes.copy_from_slice(&meta.encode());
        let file = crate::table::tests_support::file_of(&damaged.0);
        let path = std::path::Path::new("/table");
        crate::table::check::check(&*file, path, &sample.meta(), &mut |_, _| {}).unwrap()
    };
    for (edit, promise) in [
        (
            (|meta, newest| (meta.generation, meta.splitpoint) = (newest, 1)) as fn(&mut Meta, u64),
            Promise::MetaField,
        ),
        (|meta, _| meta.parameters.file_id[9] ^= 1, Promise::FileId),
        (|meta, _| meta.parameters.key_size = Some(7), Promise::MetaField),
    ] {
        let report = with(edit);
        assert_eq!(report.finding_count(), 1, "{report}");
        assert_eq!(report.findings[0].promise, promise);
        assert_eq!(report.findings[0].place, Place::MetaPage(older as u8));
    }
    let mut zeroed = sample.clone();
    zeroed.0[older * META_SIZE..][..META_SIZE].fill(0);
    assert_eq!(zeroed.check().findings[0].promise, Promise::MetaPage);
    let mut odd = sample.clone();
    odd.edit_meta(|meta| meta.splitpoint += 1);
    let on_file = |f: &crate::Finding| (f.place, f.promise) == (Place::File, Promise::MetaField);
    assert!(odd.check().findings.iter().any(on_file));
    let mut many = sample.clone();
    many.edit_meta(|meta| meta.current.layout.bucket_count = 1 << 29);
    assert!(many.check().findings.iter().any(|f| on_file(f) && f.found == 1 << 29));
    let mut same = sample.clone();
    same.edit_meta(|meta| {
        let current = meta.current.layout;
        meta.next.iter_mut().for_each(|next| next.layout = current);
    });
    assert!(same.check().findings.iter().any(on_file));
}
