//! The meta pages, slot by slot, every field under its name in the format.

use super::report::{Report, Value, escape};
use super::{Field, Inspector};
use crate::error::{Fault, Place, Promise, Result};
use crate::log::survey;
use crate::page::meta::{
    MAGIC, META_SIZE, METADATA_LEN_MAX, Meta, VERSION, check_whole, has_magic, version,
};
use crate::page::{get_u32, get_u64};

/// The fields of four and eight bytes, as the table at the head of `page::meta` has them; `true`
/// for those that are shown as bits.
pub(super) const FIELDS: [(&str, usize, usize, bool); 33] = [
    ("checksum", 16, 4, true),
    ("version", 20, 4, false),
    ("generation", 40, 8, false),
    ("page_size", 48, 4, false),
    ("flags", 52, 4, true),
    ("hash_seed", 56, 8, true),
    ("hash_fingerprint", 64, 8, true),
    ("key_size", 72, 8, false),
    ("value_size", 80, 8, false),
    ("page_count", 88, 8, false),
    ("free_page_count", 96, 8, false),
    ("record_count", 104, 8, false),
    ("record_len", 112, 8, false),
    ("overflow_page_count", 120, 8, false),
    ("value_page_count", 128, 8, false),
    ("bucket_count", 136, 8, false),
    ("bucket_root", 144, 8, true),
    ("run_root", 152, 8, true),
    ("next_bucket_count", 160, 8, false),
    ("next_bucket_root", 168, 8, true),
    ("next_run_root", 176, 8, true),
    ("splitpoint", 184, 8, true),
    ("bitmap_root", 192, 8, true),
    ("log_epoch_counter", 200, 8, false),
    ("log_epoch_random", 208, 8, true),
    ("log_segment", 216, 8, false),
    ("log_lsn", 224, 8, false),
    ("metadata_len", 232, 4, false),
    ("inline_max", 236, 4, false),
    ("value_len", 240, 8, false),
    ("value_end", 248, 8, false),
    ("value_root", 256, 8, true),
    // Not a field: where the reserved bytes begin, of which the first is shown.
    ("reserved", 264, 4, true),
];

/// The newest meta page that is whole; if none is, the newest that decodes.
pub(super) fn choose(slots: &[Vec<u8>]) -> Option<Meta> {
    let decoded =
        slots.iter().filter(|slot| has_magic(slot) && (0..=VERSION).contains(&version(slot)));
    let candidates = decoded.filter_map(|slot| {
        let meta = Meta::decode(slot).ok()?;
        Some((check_whole(slot).is_ok(), meta.generation, meta))
    });
    candidates.max_by_key(|(is_whole, generation, _)| (*is_whole, *generation)).map(|(_, _, m)| m)
}

/// What is wrong with a slot by itself.
pub(super) fn check_slot(bytes: &[u8]) -> std::result::Result<Meta, Fault> {
    if !has_magic(bytes) {
        return Err(Fault::new(Promise::MetaPage, get_u64(&MAGIC, 0), get_u64(bytes, 0)));
    }
    check_whole(bytes)?;
    Fault::expect(Promise::MetaField, VERSION.into(), version(bytes).into())?;
    Meta::decode(bytes)
}

impl Inspector {
    /// The four meta pages, which of them counts, what is wrong with each, and whether a log is
    /// needed.
    ///
    /// # Errors
    /// None today.
    pub fn meta(&self) -> Result<Report> {
        self.report(|inspector| Ok(inspector.meta_now()))
    }

    fn meta_now(&self) -> Report {
        let mut report = Report::new(format!("meta pages of {}", self.path.display()));
        report.number("file_len", self.file_len);
        match &self.meta {
            Some(meta) => {
                report.number("newest_generation", meta.generation);
                let needed = meta.page_count.saturating_mul(self.page_size as u64);
                let is_long_enough = self.file_len >= needed;
                let fault = Fault::new(Promise::FileLength, needed, self.file_len);
                report.expect(Place::File, if is_long_enough { Ok(()) } else { Err(fault) });
            }
            None => report.find(Place::File, Fault::new(Promise::MetaPage, 1, 0)),
        }
        for slot in 0..self.slots.len() {
            report.children.push(self.slot(slot));
        }
        report.children.extend(self.meta.as_ref().map(|meta| self.log_in_folder(meta)));
        report
    }

    pub(super) fn slot(&self, slot: usize) -> Report {
        let mut report = Report::new(format!("slot {slot}"));
        report.page = Some((slot * META_SIZE / self.page_size) as u64);
        let bytes = self.slots.get(slot).map(Vec::as_slice).unwrap_or_default();
        let generation = self.meta.as_ref().map(|meta| meta.generation);
        if bytes.iter().all(|&byte| byte == 0) {
            report.text("state", "never written");
            // As long as there are fewer generations than slots.
            if generation.is_none_or(|generation| generation < self.slots.len() as u64) {
                return report;
            }
        }
        let place = Place::MetaPage(u8::try_from(slot).unwrap_or(u8::MAX));
        match check_slot(bytes) {
            Ok(meta) if Some(meta.generation) == generation => report.text("state", "newest"),
            Ok(_) => report.text("state", "older"),
            Err(fault) => {
                report.text("state", "damaged");
                report.find(place, fault);
            }
        }
        report.text("magic", escape(bytes.get(..MAGIC.len()).unwrap_or_default()));
        let file_id = bytes.get(24..40).unwrap_or_default();
        report.text("file_id", file_id.iter().map(|b| format!("{b:02x}")).collect::<String>());
        for (name, offset, size, as_bits) in FIELDS {
            let number =
                if size == 4 { get_u32(bytes, offset).into() } else { get_u64(bytes, offset) };
            let value = if as_bits { Value::Bits(number) } else { Value::Number(number) };
            report.fields.push(Field { name, value });
        }
        let len = usize::try_from(get_u32(bytes, 232)).unwrap_or_default().min(METADATA_LEN_MAX);
        report.text("metadata", escape(bytes.get(3072..3072 + len).unwrap_or_default()));
        report
    }

    /// The log that the newest meta page asks for, and what lies in the folder.
    fn log_in_folder(&self, meta: &Meta) -> Report {
        let mut report = Report::new("log");
        let state = if meta.clean {
            "not needed: the file was closed clean"
        } else {
            "needed: the file is open in another process, or was not closed; changes since the \
             last checkpoint are in the log only"
        };
        report.text("state", state);
        let files = self.log_files(meta);
        let epoch =
            crate::log::Epoch { counter: meta.log.epoch_counter, random: meta.log.epoch_random };
        match survey(&files, epoch) {
            Ok(segments) => {
                let is_there = segments.iter().any(|s| s.number == meta.log.segment);
                if !meta.clean && !is_there {
                    let fault = Fault::new(Promise::LogPresent, meta.log.segment, 0);
                    report.find(Place::File, fault);
                }
                for segment in segments {
                    let mut part = Report::new(format!("segment {}", segment.number));
                    if let Some(header) = segment.header {
                        part.number("epoch_counter", header.epoch.counter);
                        part.bits("epoch_random", header.epoch.random);
                        part.number("first_lsn", header.first_lsn.0);
                    } else {
                        part.text("header", "none that is whole");
                    }
                    part.text("records", if segment.has_record { "some" } else { "none" });
                    report.children.push(part);
                }
            }
            Err(error) => report.text("segments", error.to_string()),
        }
        report
    }
}
