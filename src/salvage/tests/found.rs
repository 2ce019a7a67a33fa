//! What a check says of each damage: it names every page that can be reached and is not what it was,
//! and none that is. What it cannot look at, it says.

use std::collections::BTreeSet;
use std::path::Path;

use super::{CorruptKind, CorruptReport, Sample, sample};
use crate::error::{Error, Place, Promise};
use crate::inspect::Inspector;
use crate::storage::OpenMode;
use crate::table::check::{CheckReport, Finding, Severity};

/// The least that is known as the beginning of an index file.
const MAGIC_LEN: u64 = 16;

impl Sample {
    fn check_copy(&self) -> Result<CheckReport, Error> {
        let inspector = Inspector::open_on(self.storage.clone(), "/copy".as_ref())?;
        inspector.check(|_, _| ())
    }

    /// A check finds every change of a byte that can be reached, and names its page.
    pub(super) fn expect_found(&self, done: &CorruptReport) {
        let report = match self.check_copy() {
            Ok(report) => report,
            Err(Error::NotAnIndex { .. })
                if done.kind == CorruptKind::Truncate && done.offset < MAGIC_LEN =>
            {
                return;
            }
            Err(error) => panic!("{done:?}: {error}"),
        };
        let changed = self.changed();
        let named: BTreeSet<String> =
            report.findings.iter().map(|finding| finding.place.to_string()).collect();
        let is_reached = |page: &u64| *page < 4 || self.used.contains_key(page);
        if done.kind == CorruptKind::Truncate && changed.iter().any(is_reached) {
            let is_told = report.findings.iter().any(|finding| {
                (finding.place, finding.promise) == (Place::File, Promise::FileLength)
                    && finding.found == done.offset
            });
            assert!(is_told, "{done:?}: where it ends is not told: {report}");
        }
        for &page in &changed {
            // "The file ends at this byte" names all behind it.
            let is_cut = done.kind == CorruptKind::Truncate && page >= done.offset / 4096;
            if !is_cut {
                self.expect_named(done, page, (&changed, &named), &report);
            }
        }
        self.expect_no_other(done, &changed, &report);
    }

    fn expect_named(
        &self,
        done: &CorruptReport,
        page: u64,
        (changed, named): (&BTreeSet<u64>, &BTreeSet<String>),
        report: &CheckReport,
    ) {
        let Some(parts) = self.used.get(&page) else {
            let slot = format!("meta page {page}");
            assert!(page >= 4 || named.contains(&slot), "{done:?}: no {slot} among {named:?}");
            return;
        };
        let copy = super::read_all(&*self.storage, "/copy");
        for part in parts.iter().filter(|part| self.differs(&copy, &part.range)) {
            // A value is proven by its record alone. Where that is lost as well, the page of the
            // record is named, and of the value's that nothing can be said.
            let is_told = part.slot_page.is_some_and(|slot_page| {
                let is_lost = changed.contains(&slot_page);
                is_lost
                    && named.contains(&format!("page {slot_page}"))
                    && report.unproven.iter().any(|pages| pages.contains(&page))
            });
            let is_named = named.contains(&part.named);
            assert!(is_named || is_told, "{done:?}: no {} among {named:?}", part.named);
        }
    }

    /// Nothing is said against what is as it was.
    fn expect_no_other(&self, done: &CorruptReport, changed: &BTreeSet<u64>, report: &CheckReport) {
        let is_hit = changed.iter().any(|page| *page < 4 || self.used.contains_key(page));
        if !is_hit && done.kind == CorruptKind::Truncate {
            // It is too short, even if only free pages are missing.
            let is_length = |finding: &Finding| finding.promise == Promise::FileLength;
            assert!(report.findings.iter().all(is_length), "{done:?}: {report}");
            return;
        }
        assert!(is_hit || report.findings.is_empty() && report.is_sound(), "{done:?}: {report}");
        // With another meta page it is another state; and pointers lead behind the end of a file
        // that was cut.
        if changed.iter().any(|page| *page < 4) || done.kind == CorruptKind::Truncate {
            return;
        }
        for finding in &report.findings {
            let is_of_changed = match finding.place {
                Place::Page(page) => changed.contains(&page),
                Place::Pages { first, last } => (first..=last).any(|page| changed.contains(&page)),
                _ => false,
            };
            assert!(is_of_changed, "{done:?}: {finding}, of {changed:?}");
        }
    }

    /// A sector of the log is not what it was. Each commit was acknowledged when its write was
    /// durable; so all but the last had been when another was begun, and damage to them is found.
    /// Of the last nobody can tell whether its sync came to an end: it is a torn tail. Padding that
    /// ends a segment says nothing that is not said by what comes next: nothing is lost with it.
    pub(super) fn expect_torn(&self, done: &CorruptReport) {
        let [Place::Log { segment, .. }] = done.places[..] else { panic!("{done:?}") };
        let report = self.check_copy().unwrap();
        let all = self.writes.len() as u64;
        assert!(all > 5);
        let of_segment = || (1..).zip(&self.writes).filter(|(_, write)| write.segment == segment);
        let hit = of_segment().find(|(_, write)| write.blocks.contains(&done.offset));
        let is_end = |commit| of_segment().last().is_some_and(|(last, _)| last == commit);
        match hit {
            Some((commit, write)) if done.offset >= write.record_end && is_end(commit) => {
                assert!(report.is_sound(), "{done:?}: {report}");
                assert_eq!(report.log_commit_count, all, "{done:?}");
            }
            Some((commit, _)) if commit == all => {
                assert!(report.is_sound(), "{done:?}: {report}");
                assert_eq!(report.log_commit_count, all - 1, "{done:?}");
            }
            Some((_, write)) => {
                let is_named = report.findings.iter().any(|finding| match finding.place {
                    Place::Log { segment, offset } => {
                        finding.severity == Severity::Damage
                            && segment == write.segment
                            && write.blocks.contains(&offset)
                    }
                    _ => false,
                });
                let writes = &self.writes;
                let count = report.log_commit_count;
                assert!(
                    is_named && report.findings.len() == 1,
                    "{done:?}, {write:?} of {writes:?}: {count} commits, {report}"
                );
            }
            // What an older life of the segment left.
            None => {
                assert!(report.is_sound(), "{done:?}: {report}");
                assert_eq!(report.log_commit_count, all, "{done:?}");
            }
        }
    }
}

#[test]
fn without_any_meta_page_a_check_names_all_four() {
    for closed in [true, false] {
        let sample = sample(closed);
        let file = sample.storage.open(Path::new("/copy"), OpenMode::CreateNew).unwrap();
        file.write_all_at(&sample.bytes, 0).unwrap();
        file.write_all_at(&[0; 16_384], 0).unwrap();
        let report = sample.check_copy().unwrap();
        let places = report.findings.iter().map(|finding| finding.place);
        assert!(places.eq((0..4).map(Place::MetaPage)), "{report}");
        assert!(!report.is_sound() && !report.is_complete);
        assert_eq!(report.unproven_page_count, sample.bytes.len() as u64 / 4096 - 4);
    }
}

/// Every directory page is lost, and behind them one bucket page, one overflow page and one value.
#[test]
fn damage_behind_a_lost_directory_is_named() {
    for closed in [true, false] {
        let sample = sample(closed);
        let mut bytes = sample.bytes.clone();
        let kind = |page: u64| sample.bytes[page as usize * 4096 + 4];
        let directories: Vec<u64> =
            sample.trees.iter().copied().filter(|page| kind(*page) == 2).collect();
        let of_kind = |wanted: u8| sample.used.keys().copied().find(|page| kind(*page) == wanted);
        let slot_pages = sample.used.values().flatten().filter(|part| part.slot_page.is_some());
        let (bucket, overflow) = (of_kind(4).unwrap(), of_kind(5).unwrap());
        let mut values = slot_pages.filter(|part| {
            let slot_page = part.slot_page.unwrap();
            slot_page != bucket && slot_page != overflow
        });
        let value = values.next().unwrap();
        assert!(directories.len() > 1);
        for page in directories.iter().chain([&bucket, &overflow]) {
            bytes[*page as usize * 4096 + 100] ^= 1;
        }
        bytes[value.range.start] ^= 1;
        let file = sample.storage.open(Path::new("/copy"), OpenMode::CreateNew).unwrap();
        file.write_all_at(&bytes, 0).unwrap();
        let report = sample.check_copy().unwrap();
        let named: BTreeSet<String> =
            report.findings.iter().map(|finding| finding.place.to_string()).collect();
        let pages = directories.iter().copied().chain([bucket, overflow]);
        let mut expected: BTreeSet<String> = pages.map(|page| format!("page {page}")).collect();
        expected.insert(value.named.clone());
        // What the log says of a file without it is another matter: the copy has none.
        let of_pages = |name: &&String| name.starts_with("page");
        assert_eq!(named.iter().filter(of_pages).cloned().collect::<BTreeSet<_>>(), expected);
        // All other records were looked at: those of two pages are missing.
        assert!(report.record_count + 60 > sample.pages.len() as u64, "{report}");
    }
}
