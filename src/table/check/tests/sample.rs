//! A small file with everything in it, and ways to damage it: with its checksums left as they are,
//! or sealed anew.

use std::collections::BTreeSet;
use std::path::Path;

use super::{assert_sound, check_bytes};
use crate::error::{Place, Promise};
use crate::page::meta::{META_SIZE, META_SLOTS, Meta, first_page};
use crate::page::pointer::Pointer;
use crate::page::record::Record;
use crate::page::{
    HEADER_SIZE, Kind, OwnedPage, bucket, get_u32, get_u64, page_checksum, put_u32, put_u64, word,
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

    pub(super) fn page(&self, page: u64) -> OwnedPage {
        let mut owned = OwnedPage::new(4096);
        owned.bytes_mut().copy_from_slice(&self.0[page as usize * 4096..][..4096]);
        owned
    }

    pub(super) fn bytes(&mut self, page: u64) -> &mut [u8] {
        &mut self.0[page as usize * 4096..][..4096]
    }

    pub(super) fn kind(&self, page: u64) -> u8 {
        self.0[page as usize * 4096 + 4]
    }

    /// Every page that the newest checkpoint reaches but the meta pages, by the bitmap.
    pub(super) fn reached(&self) -> Vec<u64> {
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

    /// Where each value begins, in bytes, and its length.
    pub(super) fn values(&self) -> Vec<(u64, u64)> {
        let pages = [self.pages(Kind::Bucket), self.pages(Kind::Overflow)].concat();
        let mut runs = Vec::new();
        for page in pages {
            for slot in bucket::slots(self.page(page).view()) {
                if let Some(Record::Large(large, _)) = slot.record {
                    runs.push((large.offset(), large.len()));
                }
            }
        }
        runs
    }

    /// Seals a page anew and makes whatever points to it say so, up to the meta pages: what a
    /// checksum proves then is nothing.
    pub(super) fn reseal(&mut self, page: u64) {
        let old = get_u32(self.bytes(page), 0);
        let sum = page_checksum(self.bytes(page));
        put_u32(self.bytes(page), 0, sum);
        self.repoint((page, old), (page, sum));
    }

    /// Replaces a pointer wherever it stands, and seals what it stands in.
    pub(super) fn repoint(&mut self, old: (u64, u32), new: (u64, u32)) {
        let word_of = |(page, checksum)| Pointer::Unchecked { page, checksum }.encode();
        let (old, new) = (word_of(old), word_of(new));
        if old == new {
            return;
        }
        for kind in [Kind::Directory, Kind::Bitmap, Kind::Overflow, Kind::ValueMap] {
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
            for root in [
                &mut meta.current.bucket_root,
                &mut meta.current.run_root,
                &mut meta.bitmap_root,
                &mut meta.values.root,
            ] {
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

pub(super) fn places(report: &CheckReport) -> BTreeSet<u64> {
    let page = |place| match place {
        Place::Page(page) => Some(page),
        _ => None,
    };
    report.findings.iter().filter_map(|finding| page(finding.place)).collect()
}

#[track_caller]
pub(super) fn assert_found(report: &CheckReport, page: u64, promise: Promise) {
    let found = |f: &crate::Finding| f.place == Place::Page(page) && f.promise == promise;
    assert!(report.findings.iter().any(found), "page {page}, {promise:?}: {report}");
    assert!(!report.is_sound());
}

#[track_caller]
pub(super) fn assert_only(report: &CheckReport, page: u64, promise: Promise) {
    assert_found(report, page, promise);
    assert_eq!(report.finding_count(), 1, "{report}");
}

/// The value in so many bytes from there is the one thing that is wrong, and all its pages are named.
#[track_caller]
pub(super) fn assert_only_value(report: &CheckReport, (first, len): (u64, u64)) {
    let place = Place::pages(first / 4096, (first + len).div_ceil(4096));
    let found = |f: &crate::Finding| f.place == place && f.promise == Promise::ValueChecksum;
    assert!(report.findings.iter().any(found), "{place}: {report}");
    assert_eq!(report.finding_count(), 1, "{report}");
    assert!(!report.is_sound());
}
