//! The way of a lookup: every step that [`Index::get`](crate::Index::get) takes for a key, on the
//! pages of the last checkpoint, and what it ends with.

use std::collections::BTreeSet;
use std::convert::Infallible;

use super::Inspector;
use super::buckets::Reached;
use super::page::{next_of, pointer_text};
use super::report::{Report, escape, escape_start};
use crate::error::{Fault, Place, Promise, Result};
use crate::hash::hash;
use crate::layout::Layout;
use crate::page::bucket::{self, KeyMatch, Slot};
use crate::page::meta::{Meta, SideMeta};
use crate::page::record::{LargeRecord, Record};
use crate::page::trace::{Trace, trace};
use crate::page::{Kind, OwnedPage};

/// Compares keys, reading those of large records.
struct Wanted<'k> {
    inspector: &'k Inspector,
    key: &'k [u8],
}

impl KeyMatch for Wanted<'_> {
    type Error = Infallible;

    fn matches_inline(&self, key: &[u8]) -> bool {
        key == self.key
    }

    fn matches_large(&self, large: &LargeRecord) -> std::result::Result<bool, Infallible> {
        let offset = large.offset() + u64::from(large.value_len);
        Ok(usize::from(large.key_len) == self.key.len()
            && self.inspector.read_up_to(offset, self.key.len()) == self.key)
    }
}

/// What a lookup touched so far.
#[derive(Default)]
struct Touched {
    pages: u64,
    value_pages: u64,
    lines: usize,
}

impl Inspector {
    /// The way of a lookup: hash, layout, bucket, directory, the cells and candidates in its page
    /// and in overflow, what a lookup answers, and the pages and cache lines that it touches. Where
    /// a page on the way is damaged the answer is `damaged`: a lookup ends with an error there.
    /// Changes that are only in the log are not seen.
    ///
    /// # Errors
    /// That no meta page can be used.
    pub fn key(&self, key: &[u8]) -> Result<Report> {
        self.report(|inspector| inspector.key_now(key))
    }

    fn key_now(&self, key: &[u8]) -> Result<Report> {
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
        report.number("filter_bit", hash >> 32 & 15);
        if !meta.clean {
            report.text("log", "not read; there may be later changes in it");
        }
        // The word of the directory.
        let mut touched = Touched { lines: 1, ..Touched::default() };
        let answer = self.walk(&mut report, &mut touched, meta, side, (hash, key));
        report.number("pages_read", touched.pages);
        report.number("value_pages_read", touched.value_pages);
        report.number("cache_lines", touched.lines as u64);
        let is_sound = report.is_sound();
        report.text(
            "result",
            match answer {
                _ if !is_sound => "damaged",
                Some(_) => "found",
                None => "absent",
            },
        );
        if let Some(value) = answer {
            report.text(if is_sound { "value" } else { "bytes_found" }, value);
        }
        Ok(report)
    }

    /// The bucket's page, and if need be the chain of its run. The value in words.
    fn walk(
        &self,
        report: &mut Report,
        touched: &mut Touched,
        meta: &Meta,
        side: &SideMeta,
        (hash, key): (u64, &[u8]),
    ) -> Option<String> {
        let bucket = side.layout.bucket_of(hash);
        let reached = self.bucket_page(report, meta, side, bucket)?;
        let (answer, admits) = self.look(report, touched, &reached, (hash, key));
        if answer.is_some() || !admits {
            return answer;
        }
        let run = Layout::run_of(bucket);
        let mut path = Report::new("directory of overflow chains");
        let root = (side.run_root, side.layout.run_count());
        let mut pointer = self.entry(&mut path, meta, side, root, run);
        touched.lines += 1;
        report.children.push(path);
        let mut seen = BTreeSet::new();
        while let Some(reached) = self.reach(report, meta, side, Kind::Overflow, run, pointer) {
            // A chain that comes back to a page of its own ends there.
            if !seen.insert(reached.number) {
                let fault = Fault::new(Promise::ChainLength, seen.len() as u64, u64::MAX);
                report.find(Place::Page(reached.number), fault);
                break;
            }
            let (answer, _) = self.look(report, touched, &reached, (hash, key));
            if answer.is_some() {
                return answer;
            }
            pointer = next_of(&reached.page);
        }
        None
    }

    /// Searches one page; adds what it met. The value in words, if the key is there; and whether
    /// the page admits that it is in overflow.
    fn look(
        &self,
        report: &mut Report,
        touched: &mut Touched,
        reached: &Reached,
        (hash, key): (u64, &[u8]),
    ) -> (Option<String>, bool) {
        let view = reached.page.view();
        let place = Place::Page(reached.number);
        let mut part = Report::new(format!("page {}", reached.number));
        part.page = Some(reached.number);
        touched.pages += 1;
        if !part.expect(place, bucket::check_structure(view)) {
            report.children.push(part);
            return (None, false);
        }
        let Ok(trace) = trace(view, hash, &Wanted { inspector: self, key });
        touched.lines += trace.lines.len();
        let kind = describe(&mut part, &trace, &reached.page);
        let answer = trace.found().and_then(|slot| self.answer(&mut part, touched, &slot));
        report.children.push(part);
        (answer, kind == Kind::Bucket && trace.admits_overflow)
    }

    fn answer(&self, part: &mut Report, touched: &mut Touched, slot: &Slot<'_>) -> Option<String> {
        part.number("cell", slot.place.cell as u64);
        part.number("slot", slot.place.lane as u64);
        match slot.record? {
            Record::Inline { value, .. } => Some(escape_start(value)),
            Record::Large(large, key) => {
                let first = large.first_page(self.page_size);
                touched.value_pages += large.end_page(self.page_size).saturating_sub(first);
                self.describe_large(part, &large, key);
                part.expect(Place::Page(first), self.check_large(&large));
                Some(format!("{} bytes in the value area", large.value_len))
            }
        }
    }
}

/// The steps within a page.
fn describe(part: &mut Report, trace: &Trace<'_>, page: &OwnedPage) -> Kind {
    part.number("cell_count", trace.cell_count as u64);
    part.number("home_cell", trace.home as u64);
    part.number("spill", trace.spill as u64);
    let cells: Vec<String> = trace.cells.iter().map(ToString::to_string).collect();
    part.text("cells_searched", cells.join(" "));
    part.number("candidates", trace.candidates.len() as u64);
    part.number("cache_lines", trace.lines.len() as u64);
    for (slot, is_equal) in &trace.candidates {
        let name = format!("candidate in cell {}, slot {}", slot.place.cell, slot.place.lane);
        let mut candidate = Report::new(name);
        candidate.number("offset", slot.offset as u64);
        match slot.record.map(|record| (record.key_in_page(), record)) {
            Some((Some(key), _)) => candidate.text("key", format!("\"{}\"", escape(key))),
            Some((None, Record::Large(large, _))) => candidate.bits("hash", large.hash),
            _ => candidate.text("key", "outside the page"),
        }
        candidate.text("comparison", if *is_equal { "equal" } else { "another key" });
        part.children.push(candidate);
    }
    let is_overflow = page.bytes().get(4) == Some(&(Kind::Overflow as u8));
    if is_overflow {
        part.text("next", pointer_text(next_of(page)));
        return Kind::Overflow;
    }
    part.text("overflow_filter", if trace.admits_overflow { "admits it" } else { "denies it" });
    Kind::Bucket
}
