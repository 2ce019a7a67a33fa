//! A random life of a log, by seed: commits, background and durable writes, late syncs, rotations,
//! reuse, failing calls, power cuts, recoveries, power cuts in recoveries. After each cut the
//! commits redone are a prefix of those appended and hold all that were acknowledged.

use super::disk::{Disk, Fault, Rng, start};
use super::round_trip::redo;
use crate::error::{Error, Result};
use crate::log::sync::SyncTicket;
use crate::log::{Epoch, Log, LogFiles, LogStart, Lsn, remove_segments, survey, sync_existing};

const SEGMENT: u64 = 16 << 10;

/// A log, and what may be found of it after a power cut.
struct Life {
    disk: Disk,
    log: Log,
    ticket: Option<SyncTicket>,
    /// What the meta page says.
    start: LogStart,
    /// Payloads from `start` on.
    appended: Vec<Vec<u8>>,
    /// The last commit acknowledged.
    acknowledged: Lsn,
}

impl Life {
    fn begin(disk: Disk, start: LogStart) -> Result<Life> {
        let log = Log::create(disk.files(), start, SEGMENT)?;
        let acknowledged = log.durable_lsn();
        Ok(Life { disk, log, ticket: None, start, appended: Vec::new(), acknowledged })
    }

    fn settle(&mut self) -> Result<()> {
        if let Some(ticket) = self.ticket.take() {
            let synced = ticket.sync()?;
            self.log.synced(synced);
            self.acknowledged = self.acknowledged.max(synced.lsn);
        }
        Ok(())
    }

    fn step(&mut self, rng: &mut Rng) -> Result<()> {
        match rng.below(20) {
            0..8 => {
                let most = [200, 200, 200, 5_000, 40_000][rng.below(5) as usize];
                let len = rng.below(most) as usize;
                self.log.reserve(len as u64)?;
                let mut payload = rng.bytes(len);
                // Some payloads look like records that nobody wrote.
                if rng.below(3) == 0 {
                    payload.iter_mut().for_each(|byte| *byte &= 3);
                }
                let lsn = self.log.append(&payload);
                assert_eq!(lsn.0, self.start.lsn.0 + self.appended.len() as u64);
                self.appended.push(payload);
            }
            8..11 => assert!(self.log.write(false)?.is_none()),
            11..14 => {
                self.settle()?;
                self.ticket = self.log.write(true)?;
            }
            14..18 => self.settle()?,
            _ => {
                while {
                    self.settle()?;
                    self.ticket = self.log.write(true)?;
                    self.ticket.is_some()
                } {}
                let start = self.log.rotate()?;
                // Now and then the checkpoint does not get as far as its meta page.
                if rng.below(3) > 0 {
                    let applied = start.lsn.0 - self.start.lsn.0;
                    self.appended.drain(..applied as usize);
                    self.start = start;
                    self.log.recycle_before(start.segment)?.remove()?;
                }
            }
        }
        assert_eq!(self.log.durable_lsn().max(self.acknowledged), self.log.durable_lsn());
        Ok(())
    }

    /// What redo gives, checked against the model.
    fn check(&self, files: &LogFiles, what: &str) -> crate::log::LogEnd {
        let (found, end) = redo(files, self.start).unwrap_or_else(|e| panic!("{what}: {e}"));
        let least = (self.acknowledged.next().0 - self.start.lsn.0) as usize;
        let most = self.appended.len();
        let count = found.len();
        assert!(least <= count && count <= most, "{what}: {least} <= {count} <= {most}");
        for ((lsn, payload), (index, expected)) in
            found.iter().zip(self.appended.iter().enumerate())
        {
            assert_eq!(lsn.0, self.start.lsn.0 + index as u64, "{what}");
            assert!(payload == expected, "{what}: commit {lsn:?}");
        }
        end
    }

    /// What the layers above do after a crash, on what it left.
    fn recover(&self, disk: &Disk, rng: &mut Rng, depth: u64) -> Life {
        let files = disk.files();
        let end = self.check(&files, "after the cut");
        for leftover in survey(&files, self.start.epoch).unwrap() {
            let newer = leftover.header.is_some_and(|h| h.epoch.counter > self.start.epoch.counter);
            assert!(!(newer && leftover.has_record), "{leftover:?}");
        }
        sync_existing(&files, self.start).unwrap();
        let epoch = Epoch { counter: self.start.epoch.counter + 1, random: rng.next() };
        let start = LogStart { epoch, segment: end.last_segment + 1, lsn: end.next_lsn };
        let fresh = |disk: &Disk| -> Result<Life> {
            let used = self.start.segment..=end.last_segment;
            let all = survey(&disk.files(), self.start.epoch)?;
            let litter = all.iter().map(|l| l.number).filter(|n| !used.contains(n));
            remove_segments(&disk.files(), litter.collect::<Vec<_>>())?;
            Life::begin(disk.clone(), start)
        };
        if depth > 0 && rng.below(2) == 0 {
            // A power cut inside this recovery, before its meta page: the next sees the same.
            disk.fail_after(rng.below(12) as usize, Fault::Eio);
            drop(fresh(disk));
            disk.stop_failing();
            let again = disk.power_cut(rng);
            assert_eq!(self.check(&again.files(), "after a cut in recovery"), end);
            return self.recover(&again, rng, depth - 1);
        }
        let life = fresh(disk).unwrap();
        // The new meta page is durable: the old log goes, or, after a crash, does not.
        if rng.below(4) > 0 {
            remove_segments(&files, self.start.segment..=end.last_segment).unwrap();
        }
        life
    }
}

fn live(seed: u64, steps: usize) -> Lsn {
    let mut rng = Rng(seed);
    let mut life = Life::begin(Disk::default(), start()).unwrap();
    for _ in 0..steps {
        if rng.below(12) == 0 {
            let fault = if rng.below(3) == 0 { Fault::Full } else { Fault::Eio };
            life.disk.fail_after(rng.below(15) as usize, fault);
        }
        let failed = match life.step(&mut rng) {
            Ok(()) => false,
            Err(Error::StorageFull { .. }) => life.log.reserve(0).is_err(),
            Err(_) => true,
        };
        if failed || rng.below(15) == 0 {
            life.disk.stop_failing();
            // Sometimes the power stays on, and the cache shows more than is durable.
            let left = match rng.below(4) {
                0 => life.disk.copy(),
                _ => life.disk.power_cut(&mut rng),
            };
            life = life.recover(&left, &mut rng, 2);
        }
    }
    life.log.next_lsn()
}

#[test]
fn what_was_acknowledged_survives() {
    let mut commits = 0;
    for seed in 1..=250 {
        println!("seed {seed}");
        commits += live(seed * 0x9e37_79b9, 120).0;
    }
    assert!(commits > 3_000, "{commits}");
}
