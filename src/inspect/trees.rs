//! The trees of words: the directories and the bitmap, page by page.

use std::collections::BTreeSet;

use super::Inspector;
use super::page::pointer_text;
use super::report::Report;
use crate::error::{Fault, Place, Promise, Result};
use crate::page::meta::{Meta, SideMeta};
use crate::page::{Identity, Kind, OwnedPage, array, check_identity};

/// Stretches of free pages that are listed.
const STRETCHES_MAX: usize = 1000;

/// A tree, as the meta page has it.
struct TreeOf {
    kind: Kind,
    bucket_count: u64,
    /// Words of the array.
    len: u64,
    root: u64,
}

/// A node that a pointer leads to.
struct Step {
    pointer: u64,
    level: u8,
    /// Index of the first word below it.
    owner: u64,
}

impl Inspector {
    /// The directories of buckets and of overflow chains, of both layouts, page by page: what each
    /// covers, and how many of its words lead somewhere.
    ///
    /// # Errors
    /// That no meta page can be used.
    pub fn directory(&self) -> Result<Report> {
        self.report(Inspector::directory_now)
    }

    fn directory_now(&self) -> Result<Report> {
        let meta = self.usable_meta()?;
        let mut report = Report::new("directories");
        let mut part = |name: &str, side: &SideMeta| {
            let count = side.layout.bucket_count;
            for (what, len, root) in [
                ("buckets", count, side.bucket_root),
                ("overflow chains", side.layout.run_count(), side.run_root),
            ] {
                let mut part = Report::new(format!("{name} layout: directory of {what}"));
                part.number("bucket_count", count);
                let tree = TreeOf { kind: Kind::Directory, bucket_count: count, len, root };
                self.tree(&mut part, meta, &tree, &mut |_, _| ());
                report.children.push(part);
            }
        };
        part("current", &meta.current);
        meta.next.iter().for_each(|next| part("next", next));
        Ok(report)
    }

    /// The bitmap of used pages, page by page, and the stretches of free pages.
    ///
    /// # Errors
    /// That no meta page can be used.
    pub fn bitmap(&self) -> Result<Report> {
        self.report(Inspector::bitmap_now)
    }

    fn bitmap_now(&self) -> Result<Report> {
        let meta = self.usable_meta()?;
        let mut report = Report::new("bitmap of used pages");
        report.number("page_count", meta.page_count);
        report.number("free_page_count", meta.free_page_count);
        let (len, root) = (meta.page_count.div_ceil(64), meta.bitmap_root);
        let tree = TreeOf { kind: Kind::Bitmap, bucket_count: 0, len, root };
        let mut stretches = Stretches { page_count: meta.page_count, ..Stretches::default() };
        self.tree(&mut report, meta, &tree, &mut |first, words| stretches.add(first, words));
        stretches.close();
        report.number("used", stretches.used);
        report.number("free_stretches", stretches.count);
        let free = stretches.listed.iter().map(|(first, end)| match end - first {
            1 => first.to_string(),
            _ => format!("{first} to {}", end - 1),
        });
        report.text("free", free.collect::<Vec<_>>().join(", "));
        Ok(report)
    }

    /// Walks a tree from its root; the words of each leaf go to `each`, with their first index.
    fn tree(
        &self,
        report: &mut Report,
        meta: &Meta,
        tree: &TreeOf,
        each: &mut dyn FnMut(u64, &[u64]),
    ) {
        let width = array::words_per_page(self.page_size);
        let (mut level, mut count) = (0_u8, tree.len.div_ceil(width).max(1));
        while count > 1 {
            count = count.div_ceil(width);
            level += 1;
        }
        report.number("words", tree.len);
        report.number("levels", u64::from(level) + 1);
        report.text("root", pointer_text(tree.root));
        let mut seen = BTreeSet::new();
        // Leaves in order: the last that is put on is taken first.
        let mut steps = vec![Step { pointer: tree.root, level, owner: 0 }];
        while let Some(step) = steps.pop() {
            if step.pointer == 0 {
                continue;
            }
            let Some((number, checksum)) = self.target(report, step.pointer) else { continue };
            // Each page once.
            if !seen.insert(number) {
                report.find(Place::Page(number), Fault::new(Promise::PageUse, 1, 2));
                continue;
            }
            let words = self.node(report, meta, tree, &step, (number, checksum));
            if step.level == 0 {
                each(step.owner, &words);
                continue;
            }
            let span = (0..step.level).fold(1_u64, |span, _| span.saturating_mul(width));
            let children = words.iter().enumerate().rev().map(|(i, &pointer)| Step {
                pointer,
                level: step.level - 1,
                owner: step.owner.saturating_add(span.saturating_mul(i as u64)),
            });
            steps.extend(children.filter(|step| step.pointer != 0));
        }
    }

    fn node(
        &self,
        report: &mut Report,
        meta: &Meta,
        tree: &TreeOf,
        step: &Step,
        (number, checksum): (u64, u32),
    ) -> Vec<u64> {
        let mut part = Report::new(format!("page {number}"));
        part.page = Some(number);
        let (page, read): (OwnedPage, _) = self.read_page(number);
        let is = Identity {
            page_number: number,
            file_tag: meta.parameters.file_tag(),
            kind: tree.kind,
            owner: step.owner,
            bucket_count: tree.bucket_count,
        };
        let place = Place::Page(number);
        let is_sound = part.expect(place, read)
            && part.expect(place, check_identity(page.bytes(), checksum, is))
            && part.expect(place, array::check_header(page.bytes(), step.level));
        let words: Vec<u64> = array::words(page.bytes()).collect();
        part.number("level", step.level.into());
        part.number("owner", step.owner);
        part.number("words_in_use", words.iter().filter(|word| **word != 0).count() as u64);
        report.children.push(part);
        // A damaged page is shown for itself; what it leads to is not followed.
        if is_sound { words } else { Vec::new() }
    }
}

/// Stretches of pages whose bit is 0.
#[derive(Default)]
struct Stretches {
    page_count: u64,
    used: u64,
    count: u64,
    listed: Vec<(u64, u64)>,
    open: Option<(u64, u64)>,
}

impl Stretches {
    fn add(&mut self, first_word: u64, words: &[u64]) {
        for (index, &word) in (first_word..).zip(words) {
            let first = index.saturating_mul(64);
            let end = first.saturating_add(64).min(self.page_count);
            for page in first..end {
                if word >> (page - first) & 1 == 1 {
                    self.used += 1;
                    continue;
                }
                match &mut self.open {
                    Some((_, end)) if *end == page => *end = page + 1,
                    _ => {
                        self.close();
                        self.open = Some((page, page + 1));
                    }
                }
            }
        }
    }

    fn close(&mut self) {
        if let Some(stretch) = self.open.take() {
            self.count += 1;
            if self.listed.len() < STRETCHES_MAX {
                self.listed.push(stretch);
            }
        }
    }
}
