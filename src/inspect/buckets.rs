//! Buckets and chains: the way from the meta page through the directory to a page and its
//! overflow, and what stands on the way.

use std::collections::BTreeSet;

use super::Inspector;
use super::page::{next_of, pointer_text};
use super::report::Report;
use crate::error::{Error, Fault, Place, Promise, Result};
use crate::layout::Layout;
use crate::page::meta::{Meta, SideMeta, first_page};
use crate::page::pointer::Pointer;
use crate::page::{Identity, Kind, OwnedPage, array, check_identity};

/// A page that a walk came to.
pub(super) struct Reached {
    pub(super) number: u64,
    pub(super) page: OwnedPage,
}

impl Inspector {
    /// A bucket: the way to it through the directory, its page, and the overflow chain of its run.
    /// While a sweep runs there may be one of this number in each of the two layouts.
    ///
    /// # Errors
    /// That no meta page can be used, or that no layout has that many buckets
    /// ([`Error::InvalidOption`]).
    pub fn bucket(&self, bucket: u64) -> Result<Report> {
        self.report(|inspector| inspector.bucket_now(bucket))
    }

    fn bucket_now(&self, bucket: u64) -> Result<Report> {
        let meta = self.usable_meta()?;
        let mut report = Report::new(format!("bucket {bucket}"));
        for (name, side) in [("current", Some(&meta.current)), ("next", meta.next.as_ref())] {
            let Some(side) = side.filter(|side| bucket < side.layout.bucket_count) else {
                continue;
            };
            let mut part = Report::new(format!("in the {name} layout"));
            part.number("bucket_count", side.layout.bucket_count);
            part.bits("first_hash", side.layout.first_hash(bucket).unwrap_or_default());
            if let Some(reached) = self.bucket_page(&mut part, meta, side, bucket) {
                self.append(&mut part, &reached);
            }
            for reached in self.chain(&mut part, meta, side, Layout::run_of(bucket)) {
                self.append(&mut part, &reached);
            }
            report.children.push(part);
        }
        if report.children.is_empty() {
            let count = meta.current.layout.bucket_count;
            return Err(Error::InvalidOption {
                option: "bucket",
                reason: format!("{bucket} is not below the bucket count, {count}"),
            });
        }
        Ok(report)
    }

    /// The overflow chain of a run, in each layout that has so many runs.
    ///
    /// # Errors
    /// As [`Inspector::bucket`].
    pub fn overflow(&self, run: u64) -> Result<Report> {
        self.report(|inspector| inspector.overflow_now(run))
    }

    fn overflow_now(&self, run: u64) -> Result<Report> {
        let meta = self.usable_meta()?;
        let mut report = Report::new(format!("overflow of run {run}"));
        for (name, side) in [("current", Some(&meta.current)), ("next", meta.next.as_ref())] {
            let Some(side) = side.filter(|side| run < side.layout.run_count()) else { continue };
            let mut part = Report::new(format!("in the {name} layout"));
            let buckets = side.layout.buckets_of_run(run);
            part.text("buckets", format!("{} to {}", buckets.start, buckets.end - 1));
            let chain = self.chain(&mut part, meta, side, run);
            part.number("page_count", chain.len() as u64);
            chain.iter().for_each(|reached| self.append(&mut part, reached));
            report.children.push(part);
        }
        if report.children.is_empty() {
            let count = meta.current.layout.run_count();
            let reason = format!("run {run} is not below the run count, {count}");
            return Err(Error::InvalidOption { option: "overflow", reason });
        }
        Ok(report)
    }

    fn append(&self, report: &mut Report, reached: &Reached) {
        let mut part = Report::new(format!("page {}", reached.number));
        part.page = Some(reached.number);
        self.describe(&mut part, reached.number, &reached.page);
        report.children.push(part);
    }

    /// The page of a bucket, by way of the directory; what is wrong on the way is added.
    pub(super) fn bucket_page(
        &self,
        report: &mut Report,
        meta: &Meta,
        side: &SideMeta,
        bucket: u64,
    ) -> Option<Reached> {
        let mut path = Report::new("directory of buckets");
        let len = side.layout.bucket_count;
        let pointer = self.entry(&mut path, meta, side, (side.bucket_root, len), bucket);
        let reached = self.reach(&mut path, meta, side, Kind::Bucket, bucket, pointer);
        report.children.push(path);
        reached
    }

    /// The overflow chain of a run.
    fn chain(&self, report: &mut Report, meta: &Meta, side: &SideMeta, run: u64) -> Vec<Reached> {
        let mut path = Report::new("directory of overflow chains");
        let len = side.layout.run_count();
        let mut pointer = self.entry(&mut path, meta, side, (side.run_root, len), run);
        let mut seen = BTreeSet::new();
        let mut chain = Vec::new();
        while let Some(reached) = self.reach(&mut path, meta, side, Kind::Overflow, run, pointer) {
            // A chain that comes back to a page of its own ends there.
            if !seen.insert(reached.number) {
                let fault = Fault::new(Promise::ChainLength, chain.len() as u64, u64::MAX);
                path.find(Place::Page(reached.number), fault);
                break;
            }
            pointer = next_of(&reached.page);
            chain.push(reached);
        }
        report.children.push(path);
        chain
    }

    /// The word of an array, from the root down.
    pub(super) fn entry(
        &self,
        report: &mut Report,
        meta: &Meta,
        side: &SideMeta,
        (root, len): (u64, u64),
        index: u64,
    ) -> u64 {
        let width = array::words_per_page(self.page_size);
        let mut spans = vec![1_u64];
        let mut count = len.max(1);
        while count > 1 || spans.len() == 1 {
            count = count.div_ceil(width);
            spans.push(spans.last().map_or(1, |span| span.saturating_mul(width)));
        }
        report.text("root", pointer_text(root));
        let mut pointer = root;
        // From the root's level down; `spans` has the words below an entry of each level.
        for level in (0..spans.len() - 1).rev() {
            if pointer == 0 {
                break;
            }
            let Some((number, checksum)) = self.target(report, pointer) else { return 0 };
            let (page, read) = self.read_page(number);
            let span = spans.get(level).copied().unwrap_or(1);
            let node_span = span.saturating_mul(width);
            let level = u8::try_from(level).unwrap_or(u8::MAX);
            let is = Identity {
                page_number: number,
                file_tag: meta.parameters.file_tag(),
                kind: Kind::Directory,
                owner: index / node_span * node_span,
                bucket_count: side.layout.bucket_count,
            };
            let place = Place::Page(number);
            if report.expect(place, read)
                && report.expect(place, check_identity(page.bytes(), checksum, is))
            {
                report.expect(place, array::check_header(page.bytes(), level));
            }
            let at = usize::try_from(index % node_span / span).unwrap_or_default();
            pointer = array::words(page.bytes()).nth(at).unwrap_or_default();
            let mut part = Report::new(format!("page {number}"));
            part.page = Some(number);
            part.number("level", level.into());
            part.number("word", at as u64);
            part.text("pointer", pointer_text(pointer));
            report.children.push(part);
        }
        pointer
    }

    /// Where a pointer leads, if that is a page that the file has.
    pub(super) fn target(&self, report: &mut Report, pointer: u64) -> Option<(u64, u32)> {
        let limit = self.page_limit();
        match Pointer::decode(pointer) {
            Pointer::Unchecked { page, checksum }
                if page >= first_page(self.page_size) && page < limit =>
            {
                Some((page, checksum))
            }
            _ => {
                report.find(Place::File, Fault::new(Promise::PageRange, limit, pointer));
                None
            }
        }
    }

    pub(super) fn reach(
        &self,
        report: &mut Report,
        meta: &Meta,
        side: &SideMeta,
        kind: Kind,
        owner: u64,
        pointer: u64,
    ) -> Option<Reached> {
        if pointer == 0 {
            return None;
        }
        let (number, checksum) = self.target(report, pointer)?;
        let (page, read) = self.read_page(number);
        let is = Identity {
            page_number: number,
            file_tag: meta.parameters.file_tag(),
            kind,
            owner,
            bucket_count: side.layout.bucket_count,
        };
        let place = Place::Page(number);
        if report.expect(place, read) {
            report.expect(place, check_identity(page.bytes(), checksum, is));
        }
        Some(Reached { number, page })
    }
}
