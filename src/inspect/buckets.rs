//! Buckets and keys: the way from the meta page through the directory to a page and its overflow,
//! as a lookup takes it, and what it meets.

use std::collections::BTreeSet;

use super::Inspector;
use super::page::{next_of, pointer_text};
use super::report::{Report, escape, escape_start};
use crate::error::{Error, Fault, Place, Promise, Result};
use crate::hash::hash;
use crate::layout::Layout;
use crate::page::bucket::{self, Found, KeyMatch, find};
use crate::page::meta::{Meta, SideMeta, first_page};
use crate::page::pointer::Pointer;
use crate::page::record::{LargeRecord, Record};
use crate::page::shape::Shape;
use crate::page::{Identity, Kind, OwnedPage, View, array, check_identity};

/// A page that a walk came to.
struct Reached {
    number: u64,
    page: OwnedPage,
}

/// Compares keys for [`find`], reading those of large records.
struct Wanted<'k> {
    inspector: &'k Inspector,
    key: &'k [u8],
}

impl KeyMatch for Wanted<'_> {
    type Error = std::convert::Infallible;

    fn matches_inline(&self, key: &[u8]) -> bool {
        key == self.key
    }

    fn matches_large(&self, large: &LargeRecord) -> std::result::Result<bool, Self::Error> {
        let offset = u64::from(large.page) * self.inspector.page_size as u64;
        Ok(usize::from(large.key_len) == self.key.len()
            && self.inspector.read_up_to(offset, self.key.len()) == self.key)
    }
}

impl Inspector {
    /// A bucket: the way to it through the directory, its page, and the overflow chain of its run.
    /// While a sweep runs there may be one of this number in each of the two layouts.
    ///
    /// # Errors
    /// That no meta page can be used, or that no layout has that many buckets
    /// ([`Error::InvalidOption`]).
    pub fn bucket(&self, bucket: u64) -> Result<Report> {
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

    fn append(&self, report: &mut Report, reached: &Reached) {
        let mut part = Report::new(format!("page {}", reached.number));
        self.describe(&mut part, reached.number, &reached.page);
        report.children.push(part);
    }

    /// The way of a lookup: hash, layout, bucket, directory, the slots with the key's tag in its
    /// page and in overflow, and what a lookup would answer. Changes that are only in the log are
    /// not seen.
    ///
    /// # Errors
    /// That no meta page can be used.
    pub fn key(&self, key: &[u8]) -> Result<Report> {
        let meta = self.usable_meta()?;
        let hash = hash(key, meta.parameters.hash_seed);
        let (name, side) = match &meta.next {
            Some(next) if hash < meta.splitpoint => ("next", next),
            _ => ("current", &meta.current),
        };
        let bucket = side.layout.bucket_of(hash);
        let mut report = Report::new(format!("key {}", escape_start(key)));
        report.bits("hash", hash);
        report.bits("splitpoint", meta.splitpoint);
        report.text("layout", name);
        report.number("bucket_count", side.layout.bucket_count);
        report.number("bucket", bucket);
        report.number("run", Layout::run_of(bucket));
        report.bits("tag", bucket::tag_of(&meta.parameters.shape(), hash).into());
        if !meta.clean {
            report.text("log", "not read; there may be later changes in it");
        }
        let mut page_count = 0;
        let mut answer = None;
        let mut in_overflow = false;
        if let Some(reached) = self.bucket_page(&mut report, meta, side, bucket) {
            page_count += 1;
            let admits = bucket::admits_overflow(reached.page.view(), hash);
            answer = self.look(&mut report, &reached, hash, key);
            in_overflow = answer.is_none() && admits;
            let part = report.children.last_mut();
            part.into_iter().for_each(|part| {
                part.text("overflow_filter", if admits { "admits it" } else { "denies it" });
            });
        }
        if in_overflow {
            for reached in self.chain(&mut report, meta, side, Layout::run_of(bucket)) {
                page_count += 1;
                answer = self.look(&mut report, &reached, hash, key);
                if answer.is_some() {
                    break;
                }
            }
        }
        report.number("pages_read", page_count);
        match answer {
            Some(value) => {
                report.text("result", "found");
                report.text("value", value);
            }
            None => report.text("result", "absent"),
        }
        Ok(report)
    }

    /// Searches one page; adds what it met. The value in words, if the key is there.
    fn look(
        &self,
        report: &mut Report,
        reached: &Reached,
        hash: u64,
        key: &[u8],
    ) -> Option<String> {
        let view = reached.page.view();
        let cells = crate::page::cell_count(view);
        let mut part = Report::new(format!("page {}", reached.number));
        part.number("cell_count", cells as u64);
        let place = Place::Page(reached.number);
        let is_sound = part.expect(place, self.check_shape(view))
            && part.expect(place, bucket::check_structure(view));
        let mut answer = None;
        if let (true, Some(shape)) = (is_sound, Shape::of(view)) {
            part.number("home_cell", bucket::home_cell(hash, cells) as u64);
            add_candidates(&mut part, view, hash);
            let Ok(found) = find(view, &shape, cells, hash, &Wanted { inspector: self, key });
            if let Found::Record(at, record) = found {
                part.number("cell", at.cell as u64);
                part.number("slot", at.lane as u64);
                match record {
                    Record::Inline { value, .. } => answer = Some(escape_start(value)),
                    Record::Large(large) => {
                        self.describe_large(&mut part, &large);
                        answer = Some(format!("{} bytes in value pages", large.value_len));
                    }
                }
            }
        }
        report.children.push(part);
        answer
    }

    /// The page of a bucket, by way of the directory; what is wrong on the way is added.
    fn bucket_page(
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
            // R4: a chain that comes back to a page of its own ends there.
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
    fn entry(
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
            part.number("level", level.into());
            part.number("word", at as u64);
            part.text("pointer", pointer_text(pointer));
            report.children.push(part);
        }
        pointer
    }

    /// Where a pointer leads, if that is a page that the file has.
    fn target(&self, report: &mut Report, pointer: u64) -> Option<(u64, u32)> {
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

    fn reach(
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

/// The slots that bear a hash's tag, with their keys.
fn add_candidates(report: &mut Report, view: View<'_>, hash: u64) {
    for slot in bucket::slots(view).filter(|slot| slot.tag == bucket::tag_in(view, hash)) {
        let name = format!("candidate in cell {}, slot {}", slot.place.cell, slot.place.lane);
        let mut part = Report::new(name);
        part.number("offset", slot.offset as u64);
        match slot.record {
            Some(Record::Inline { key, .. }) => part.text("key", format!("\"{}\"", escape(key))),
            Some(Record::Large(large)) => part.bits("hash", large.hash),
            None => part.text("key", "outside the page"),
        }
        report.children.push(part);
    }
}
