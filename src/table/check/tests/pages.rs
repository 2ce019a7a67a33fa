//! Damaged pages, directories, bitmaps, chains and meta pages are found where they are.

use std::collections::BTreeSet;
use std::path::Path;

use super::check_bytes;
use super::sample::{Sample, assert_found, assert_only, assert_only_value, places, sample};
use crate::error::{Place, Promise};
use crate::page::meta::{META_SIZE, META_SLOTS, Meta};
use crate::page::pointer::Pointer;
use crate::page::{HEADER_SIZE, Kind, get_u32, get_u64, page_checksum, put_u32, put_u64, word};
use crate::table::tests_support::{Built, file_of};

#[test]
fn every_flipped_bit_is_found_in_its_page() {
    let sample = sample();
    let values = sample.values();
    let value_pages: BTreeSet<u64> =
        values.iter().flat_map(|(at, len)| at / 4096..(at + len).div_ceil(4096)).collect();
    let mut damaged = sample.clone();
    let mut state = 5_u64;
    let mut flip = |page: u64, byte: usize, bit: u32| {
        let at = page as usize * 4096 + byte;
        damaged.0[at] ^= 1 << bit;
        let report = damaged.check();
        damaged.0[at] ^= 1 << bit;
        let at = at as u64;
        match values.iter().find(|&&(first, len)| (first..first + len).contains(&at)) {
            Some(&value) => assert_only_value(&report, value),
            None if value_pages.contains(&page) => assert!(report.is_sound(), "a dead byte"),
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
    for kind in [Kind::Directory, Kind::Bitmap, Kind::Bucket, Kind::Overflow, Kind::ValueMap] {
        let page = sample.pages(kind)[0];
        for byte in (0..4096).step_by(if kind == Kind::Overflow { 1 } else { 7 }) {
            flip(page, byte, (byte % 8) as u32);
        }
    }
}

#[test]
fn every_flipped_bit_of_a_meta_page_is_found_in_its_slot() {
    let mut sample = sample();
    let pages = crate::pager::read_meta(&*file_of(&sample.0), Path::new("/table")).unwrap();
    let newest = pages.newest.generation;
    for bit in (0..META_SIZE * META_SLOTS * 8).step_by(119) {
        sample.0[bit / 8] ^= 1 << (bit % 8);
        let report = sample.check();
        sample.0[bit / 8] ^= 1 << (bit % 8);
        let slot = (bit / 8 / META_SIZE) as u8;
        assert_eq!(report.findings.len(), 1, "bit {bit}: {report}");
        assert_eq!(report.findings[0].place, Place::MetaPage(slot));
        // An old one may have been torn by a crash in the first write after the close, and any by
        // one while the file was open.
        // The newest of a clean file looks like such a one once it is torn.
        match newest - pages.slots[usize::from(slot)] {
            0 => {}
            1 => assert_eq!(report.is_sound(), !pages.newest.clean, "bit {bit}"),
            _ => assert!(report.is_sound(), "bit {bit}"),
        }
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
    for kind in [Kind::Directory, Kind::Bitmap, Kind::Bucket, Kind::Overflow, Kind::ValueMap] {
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
    for kind in [Kind::Directory, Kind::Bitmap, Kind::Bucket, Kind::Overflow, Kind::ValueMap] {
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
    let edits: [fn(&mut Meta); 6] = [
        |meta| meta.counts.record_count += 1,
        |meta| meta.counts.record_len -= 1,
        |meta| meta.counts.overflow_page_count += 1,
        |meta| meta.counts.value_page_count -= 1,
        |meta| meta.counts.value_len += 1,
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
