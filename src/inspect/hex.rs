//! Bytes under their names, for those who draw a hex dump.

use super::Inspector;
use super::meta::FIELDS;
use super::page::stated_kind;
use crate::error::{Error, Result};
use crate::log::trace::SEGMENT_FIELDS;
use crate::log::{Epoch, trace};
use crate::page::meta::{META_SIZE, first_page};
use crate::page::spans::{Cover, Part, Span, number, spans};

/// Bytes of a file and what they are.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HexView {
    /// What it is: `page 12`.
    pub name: String,
    /// Where in the file it begins.
    pub offset: u64,
    /// The bytes; fewer than a page where the file ends.
    pub bytes: Vec<u8>,
    /// What they are: one span after another, to the end.
    pub spans: Vec<Span>,
}

impl Inspector {
    /// The bytes of a page and their names, as far as its header tells them.
    pub fn hex(&self, page: u64) -> HexView {
        let offset = page.saturating_mul(self.page_size as u64);
        let (owned, _) = self.read_page(page);
        let left = self.file_len.saturating_sub(offset);
        let len = usize::try_from(left).unwrap_or(self.page_size).min(self.page_size);
        let bytes = owned.bytes().get(..len).unwrap_or_default().to_vec();
        let spans = if page < first_page(self.page_size) {
            meta_spans(&bytes)
        } else {
            match stated_kind(page, &owned).filter(|_| len == self.page_size) {
                Some(kind) => spans(&bytes, owned.view(), kind),
                None => Cover::new(len).finish(Part::Value, "bytes of a value page or of none"),
            }
        };
        HexView { name: format!("page {page}"), offset, bytes, spans }
    }

    /// The bytes of a log segment up to where its records end, and their names.
    ///
    /// # Errors
    /// That no meta page tells whose log it is, that there is no such segment, or that it cannot
    /// be read.
    pub fn hex_segment(&self, segment: u64) -> Result<HexView> {
        /// More is not shown: a segment may have 2 GiB.
        const LEN_MAX: u64 = 1 << 20;
        let meta = self.usable_meta()?;
        let files = self.log_files(meta);
        let epoch = Epoch { counter: meta.log.epoch_counter, random: meta.log.epoch_random };
        let mut records = Vec::new();
        let traced = trace::trace(&files, epoch, segment, &mut |offset, record, _| {
            records.push((offset, record.len));
            offset < LEN_MAX
        })?;
        let Some(traced) = traced else {
            return Err(Error::InvalidOption {
                option: "segment",
                reason: format!("there is no log segment {segment} beside the file"),
            });
        };
        let end = traced.end.min(traced.file_len).min(LEN_MAX);
        let bytes = trace::bytes(&files, segment, end)?;
        let mut cover = Cover::new(bytes.len());
        for (name, offset, size) in SEGMENT_FIELDS {
            let part = if name == "rest" { Part::Empty } else { Part::Header };
            cover.to(offset + size, part, name, field(&bytes, offset, size));
        }
        for (offset, len) in records {
            let Ok(offset) = usize::try_from(offset) else { break };
            cover.to(offset, Part::Free, "skipped", "");
            for (name, at, size) in trace::RECORD_FIELDS {
                let at = offset + at;
                cover.to(at + size, Part::Header, name, field(&bytes, at, size));
            }
            let end = usize::try_from(len).map_or(bytes.len(), |len| at_most(offset, len));
            cover.to(end, Part::Record, "payload", "");
        }
        let spans = cover.finish(Part::Free, "behind the last record");
        Ok(HexView { name: format!("log segment {segment}"), offset: 0, bytes, spans })
    }
}

fn at_most(offset: usize, len: usize) -> usize {
    offset.saturating_add(trace::RECORD_HEADER_LEN).saturating_add(len)
}

/// A field's number; nothing for those that are longer than a word.
fn field(bytes: &[u8], offset: usize, size: usize) -> String {
    if size > 8 { String::new() } else { number(bytes, offset, size) }
}

fn meta_spans(bytes: &[u8]) -> Vec<Span> {
    let mut cover = Cover::new(bytes.len());
    for start in (0..bytes.len().min(4 * META_SIZE)).step_by(META_SIZE) {
        cover.to(start + 16, Part::Header, "magic", "");
        for (name, offset, size, _) in FIELDS {
            let at = start + offset;
            // The one field that is no number stands between two of them.
            cover.to(at, Part::Header, "file_id", "");
            if name == "reserved" {
                cover.to(start + 3072, Part::Empty, name, "");
            } else {
                cover.to(at + size, Part::Header, name, number(bytes, at, size));
            }
        }
        cover.to(start + META_SIZE, Part::Value, "metadata", "");
    }
    cover.finish(Part::Free, "behind the meta pages")
}
