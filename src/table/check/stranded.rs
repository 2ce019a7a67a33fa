//! Pages in use that nothing sound leads to, for a check of a damaged file.
//!
//! What a damaged page of a directory led to is found by what the pages say of themselves: a bucket
//! page names its bucket, an overflow page its run and the page behind it. Those that prove
//! themselves take the place of the lost entries, and are checked with all that they lead to, like
//! any other page. One that does not prove itself is a finding of its own. So damage behind damage
//! is named, too; but of a value whose record is lost nothing can be said, nor of a tree's page
//! behind a lost one: they are *unproven*.
//!
//! A page is read here at most twice.

use std::collections::BTreeSet;

use super::judge::Judge;
use super::pages::Wanted;
use super::trees::CheckedSide;
use super::{Bitmap, Checker};
use crate::error::{Fault, Place, Promise};
use crate::page::pointer::Pointer;
use crate::page::{Kind, OwnedPage, get_u32, get_u64, page_checksum, word};
use crate::pager::Which;

/// Pages after which progress is told.
const PAGES_AT_ONCE: u64 = 1024;

/// A page that proves itself.
#[derive(Debug, Clone, Copy)]
struct Stranded {
    page: u64,
    checksum: u32,
    kind: u64,
    owner: u64,
    bucket_count: u64,
    generation: u64,
    next: u64,
}

impl Stranded {
    fn pointer(&self) -> u64 {
        Pointer::Unchecked { page: self.page, checksum: self.checksum }.encode()
    }

    fn is(&self, kind: Kind) -> bool {
        self.kind == kind as u64
    }

    fn wanted(&self) -> Wanted {
        Wanted { page: self.page, checksum: self.checksum, index: self.owner }
    }
}

impl Checker<'_> {
    /// Puts bucket and overflow pages that prove themselves where entries of directories are lost.
    pub(super) fn adopt(&mut self, bitmap: &Bitmap, sides: &mut [CheckedSide]) {
        if !sides.iter().any(|side| side.buckets.has_lost() || side.runs.has_lost()) {
            return;
        }
        let mut pages = Vec::new();
        self.each_stranded(bitmap, |checker, _, examined| {
            pages.extend(examined.ok().filter(|page| checker.is_of(page, sides)));
        });
        // Of two that claim one place, the newer.
        pages.sort_by_key(|page| std::cmp::Reverse((page.generation, page.page)));
        let buckets = pages.iter().copied().filter(|page| page.is(Kind::Bucket));
        let heads = heads(&pages);
        let mut taken = BTreeSet::new();
        for page in buckets.chain(heads) {
            let Some(side) = side_of(&page, sides) else { continue };
            let words = match page.is(Kind::Bucket) {
                true => &mut side.buckets,
                false => &mut side.runs,
            };
            let is_first = taken.insert((page.kind, page.bucket_count, page.owner));
            if is_first && words.is_lost(page.owner) && self.claimed.insert(page.page) {
                words.adopt(page.owner, page.pointer());
            }
        }
    }

    /// What is left when all that can be reached was looked at: the ends of chains that are broken
    /// are checked; what neither proves itself nor can be a value is a finding.
    pub(super) fn check_stranded(&mut self, bitmap: &Bitmap, sides: &mut [CheckedSide]) {
        if self.report.is_complete {
            return;
        }
        let mut ends = Vec::new();
        self.each_stranded(bitmap, |checker, page, examined| match examined {
            Ok(found) if checker.is_of(&found, sides) => ends.push(found),
            Ok(_) => {}
            Err(_) if checker.may_be_value(page) => {}
            Err(fault) => {
                checker.find(Place::Page(page), fault);
                checker.claimed.insert(page);
            }
        });
        for side in sides.iter() {
            let is_end = |page: &&Stranded| {
                page.bucket_count == side.layout.bucket_count
                    && page.is(Kind::Overflow)
                    && self.broken.contains(&(side.is_next, page.owner))
            };
            let of_side: Vec<Stranded> = ends.iter().filter(is_end).copied().collect();
            let with_usage = self.census.is_some();
            let judge = Judge { meta: self.meta, side, with_usage };
            for head in heads(&of_side) {
                if self.claimed.insert(head.page) {
                    self.check_chains(&judge, vec![head.wanted()]);
                }
            }
        }
        // Of the others a sound directory or a whole chain says that they are not in use.
        for page in ends {
            let is_broken = |side: &CheckedSide| self.broken.contains(&(side.is_next, page.owner));
            let is_left_out = !self.claimed.contains(page.page);
            let is_spoken_for =
                side_of(&page, sides).is_some_and(|side| match page.is(Kind::Bucket) {
                    true => !side.buckets.is_lost(page.owner),
                    false => !side.runs.is_lost(page.owner) && !is_broken(side),
                });
            if is_left_out && is_spoken_for {
                self.find(Place::Page(page.page), Fault::new(Promise::PageUse, 0, 1));
                self.claimed.insert(page.page);
            }
        }
    }

    /// Examines the pages that the bitmap calls used and that no pointer has led to.
    fn each_stranded(
        &mut self,
        bitmap: &Bitmap,
        mut each: impl FnMut(&mut Self, u64, Result<Stranded, Fault>),
    ) {
        let end = bitmap.used.end().min(self.page_limit);
        let mut buffer = OwnedPage::new(self.page_size());
        let mut seen = 0;
        for page in self.first_page..end {
            if bitmap.used.contains(page) && !self.claimed.contains(page) {
                let examined = self.examine(page, &mut buffer);
                each(self, page, examined);
                seen += 1;
                if seen % PAGES_AT_ONCE == 0 {
                    self.advance(PAGES_AT_ONCE);
                }
            }
        }
        self.advance(seen % PAGES_AT_ONCE);
    }

    /// What a page says of itself, if that proves it to be a page of this checkpoint.
    fn examine(&mut self, number: u64, page: &mut OwnedPage) -> Result<Stranded, Fault> {
        self.read(self.offset_of(number), page.bytes_mut())?;
        let bytes = page.bytes();
        let field = |index: usize| get_u64(bytes, 8 * index);
        let checksum = get_u32(bytes, 0);
        Fault::expect(Promise::PageChecksum, page_checksum(bytes).into(), checksum.into())?;
        Fault::expect(Promise::PageNumber, number, field(word::PAGE_NUMBER))?;
        let tag = self.meta.parameters.file_tag();
        Fault::expect(Promise::FileId, tag, field(word::FILE_TAG))?;
        let (newest, generation) = (self.meta.generation, field(word::GENERATION));
        if !(1..=newest).contains(&generation) {
            return Err(Fault::new(Promise::PageGeneration, newest, generation));
        }
        Ok(Stranded {
            page: number,
            checksum,
            kind: field(word::FIRST) >> 32 & 0xff,
            owner: field(word::OWNER),
            bucket_count: field(word::BUCKET_COUNT),
            generation,
            next: field(word::NEXT),
        })
    }

    /// Whether it is a bucket or overflow page of a layout that the meta page has, in a place that
    /// the splitpoint leaves to that.
    fn is_of(&self, page: &Stranded, sides: &mut [CheckedSide]) -> bool {
        let which = match page.is(Kind::Bucket) {
            true => Which::Buckets,
            false if page.is(Kind::Overflow) => Which::Runs,
            false => return false,
        };
        side_of(page, sides).is_some_and(|side| {
            let count = match which {
                Which::Buckets => side.layout.bucket_count,
                Which::Runs => side.layout.run_count(),
            };
            page.owner < count && self.may_have_page(side.layout, side.is_next, which, page.owner)
        })
    }
}

fn side_of<'s>(page: &Stranded, sides: &'s mut [CheckedSide]) -> Option<&'s mut CheckedSide> {
    sides.iter_mut().find(|side| side.layout.bucket_count == page.bucket_count)
}

/// The overflow pages that no other one leads to.
fn heads(pages: &[Stranded]) -> Vec<Stranded> {
    let overflow = || pages.iter().filter(|page| page.is(Kind::Overflow));
    let inner: BTreeSet<u64> = overflow().map(|page| page.next).collect();
    overflow().filter(|page| !inner.contains(&page.pointer())).copied().collect()
}
