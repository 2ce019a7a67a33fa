//! The check of a whole file, its log included, beside a writer if there is one.

use super::Inspector;
use crate::error::{Corruption, Error, Fault, Place, Promise, Result};
use crate::log::{self, Epoch, LogFiles, LogStart, Lsn};
use crate::page::meta::Meta;
use crate::table::check::{CheckReport, Extent, Finding, check_as};
use crate::table::operation::Operation;

/// How often the log is read before a finding in it is believed: a writer may be writing there.
const LOG_LOOKS: usize = 3;

impl Inspector {
    /// Checks everything that the newest meta page reaches, and the log behind it. `progress` is
    /// called with the number of pages done and of all pages; all cores read and check.
    ///
    /// Without any meta page the report names the four of them, and says nothing of the rest.
    ///
    /// # Errors
    /// That the file cannot be read, or is of a later version. What is wrong with it is in the
    /// report.
    pub fn check(&self, mut progress: impl FnMut(u64, u64)) -> Result<CheckReport> {
        self.check_as(Extent::Whole, &mut progress)
    }

    /// Checks the structure only: the meta pages, the bitmap, the directories and where they lead,
    /// and the log. Bucket, overflow and value pages are not read.
    ///
    /// # Errors
    /// As [`Inspector::check`].
    pub fn check_quick(&self, mut progress: impl FnMut(u64, u64)) -> Result<CheckReport> {
        self.check_as(Extent::Quick, &mut progress)
    }

    fn check_as(&self, extent: Extent, progress: &mut dyn FnMut(u64, u64)) -> Result<CheckReport> {
        let look = |inspector: &Inspector| {
            let Some(meta) = inspector.known_meta()? else { return Ok(inspector.check_slots()) };
            let path = &inspector.path;
            let (mut report, _) = check_as(&*inspector.file, path, meta, extent, progress)?;
            inspector.check_log(meta, &mut report)?;
            Ok(report)
        };
        let (mut report, is_overtaken) = self.steadily(CheckReport::is_sound, look)?;
        if is_overtaken {
            report.overtake();
        }
        Ok(report)
    }

    /// The report on a file that no meta page speaks for.
    fn check_slots(&self) -> CheckReport {
        let mut report = CheckReport::new(&self.path, 0, self.page_limit());
        for (slot, bytes) in (0..).zip(&self.slots) {
            if let Err(fault) = super::meta::check_slot(bytes) {
                report.add(Finding::new(Place::MetaPage(slot), fault));
            }
        }
        report.is_complete = false;
        report.unproven_page_count =
            self.page_limit().saturating_sub(crate::page::meta::first_page(self.page_size));
        report
    }

    pub(super) fn log_files(&self, meta: &Meta) -> LogFiles {
        let path = self.storage.canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let (storage, file_id) = (self.storage.clone(), meta.parameters.file_id);
        LogFiles { storage, path, file_id }
    }

    /// Reads the log as a recovery does. A finding counts if it is there again.
    fn check_log(&self, meta: &Meta, report: &mut CheckReport) -> Result<()> {
        let mut before = None;
        for _ in 0..LOG_LOOKS {
            let (mut commits, mut operations) = (0, 0);
            let redo = &mut |_, payload: &[u8]| {
                commits += 1;
                operations +=
                    count_operations(payload).map_err(|f| f.at(&self.path, Place::File))?;
                Ok(())
            };
            match self.read_log(meta, redo) {
                Ok(()) => {
                    report.log_commit_count = commits;
                    report.log_operation_count = operations;
                    return Ok(());
                }
                Err(Error::Corruption(found)) if before.as_ref() == Some(&found) => {
                    let Corruption { place, promise, expected, found, .. } = *found;
                    report.add(Finding::new(place, Fault { promise, expected, found }));
                    return Ok(());
                }
                Err(Error::Corruption(found)) => before = Some(found),
                Err(error) => return Err(error),
            }
        }
        // Another one each time: a writer is at work there.
        Ok(())
    }

    /// Hands every whole commit of the log behind a checkpoint to `redo`; an error is what recovery
    /// would end with.
    pub(super) fn read_log(
        &self,
        meta: &Meta,
        redo: &mut dyn FnMut(Lsn, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let files = self.log_files(meta);
        let epoch = Epoch { counter: meta.log.epoch_counter, random: meta.log.epoch_random };
        for leftover in log::survey(&files, epoch)? {
            let counter = leftover.header.map_or(0, |header| header.epoch.counter);
            if counter > epoch.counter && leftover.has_record {
                let fault = Fault::new(Promise::LogOwner, epoch.counter, counter);
                return Err(
                    fault.at(&self.path, Place::Log { segment: leftover.number, offset: 0 })
                );
            }
        }
        if !meta.clean {
            let (segment, lsn) = (meta.log.segment, Lsn(meta.log.lsn));
            log::read(&files, LogStart { epoch, segment, lsn }, redo)?;
        }
        Ok(())
    }
}

/// The operations of a commit.
fn count_operations(mut payload: &[u8]) -> std::result::Result<u64, Fault> {
    let mut count = 0;
    while !payload.is_empty() {
        (_, payload) = Operation::decode(payload)?;
        count += 1;
    }
    Ok(count)
}
