//! What the parent heard from a writer, and whether a file keeps what it promised: no acknowledged
//! commit is lost, what survives is a prefix of what was committed, and every record is as it must
//! be. Knows nothing of how the writer ended.

use std::collections::BTreeMap;

use splitpoint::Index;

use crate::message::Message;
use crate::workload::{self, THREADS};

/// What is known of one thread of the writer.
#[derive(Default)]
struct Thread {
    /// The state after `modelled` commits.
    model: BTreeMap<Vec<u8>, Vec<u8>>,
    modelled: u64,
    /// So many commits are acknowledged as durable, and so many have been made.
    acknowledged: u64,
    made: u64,
    /// The LSNs of commits that are told and not yet known to be in the file.
    lsns: Vec<(u64, u64)>,
}

/// Judges one file through all its lives.
pub(crate) struct Judge {
    seed: u64,
    threads: [Thread; THREADS],
    /// What the writer found when it had opened the file, as far as it has told.
    found: Vec<u64>,
    /// Commits that were acknowledged, in all lives.
    pub(crate) acknowledged: u64,
}

impl Judge {
    pub(crate) fn new(seed: u64) -> Judge {
        Judge { seed, threads: Default::default(), found: Vec::new(), acknowledged: 0 }
    }

    /// Another life begins.
    pub(crate) fn begin(&mut self) {
        self.found.clear();
    }

    /// Takes in what the writer tells.
    pub(crate) fn hear(&mut self, message: Message) -> Result<(), String> {
        let thread = match message {
            Message::Found { n, .. } => {
                self.found.push(n);
                if let Ok(found) = <[u64; THREADS]>::try_from(self.found.as_slice()) {
                    self.recovered(found)?;
                }
                return Ok(());
            }
            Message::Opened => return Ok(()),
            Message::Made { thread, .. } | Message::Durable { thread, .. } => thread,
        };
        let thread = self.threads.get_mut(thread).ok_or("a message of no thread")?;
        match message {
            Message::Made { n, lsn, .. } => {
                if n != thread.made + 1 {
                    return Err(format!("commit {n} was made after {}", thread.made));
                }
                thread.made = n;
                if lsn > 0 {
                    thread.lsns.push((n, lsn));
                }
            }
            Message::Durable { n, .. } => {
                self.acknowledged += n - thread.acknowledged;
                thread.acknowledged = n;
            }
            Message::Found { .. } | Message::Opened => {}
        }
        Ok(())
    }

    /// Checks what a recovery has shown: by that alone it is promised for ever.
    fn recovered(&mut self, found: [u64; THREADS]) -> Result<(), String> {
        let mut newest = 0;
        for (i, (thread, n)) in self.threads.iter().zip(found).enumerate() {
            let (least, most) = (thread.acknowledged, thread.made + 1);
            if n < least {
                let lost = least - n;
                return Err(format!("thread {i}: {lost} acknowledged commits lost after {n}"));
            }
            if n > most {
                return Err(format!("thread {i}: {n} commits, of which only {most} were begun"));
            }
            let here = thread.lsns.iter().filter(|(made, _)| *made <= n);
            newest = newest.max(here.map(|(_, lsn)| *lsn).max().unwrap_or(0));
        }
        for (i, (thread, n)) in self.threads.iter_mut().zip(found).enumerate() {
            let hole = thread.lsns.iter().find(|(made, lsn)| *made > n && *lsn < newest);
            if let Some((made, lsn)) = hole {
                return Err(format!(
                    "no prefix: commit {made} of thread {i} (LSN {lsn}) is gone, LSN {newest} is there"
                ));
            }
            (thread.acknowledged, thread.made) = (n, n);
            thread.lsns.clear();
        }
        Ok(())
    }

    /// Compares every record of the file with what must stand there, and has it checked.
    pub(crate) fn examine(&mut self, index: &Index) -> Result<(), String> {
        let words = |error: splitpoint::Error| error.to_string();
        let mut found = [0; THREADS];
        for (thread, found) in found.iter_mut().enumerate() {
            *found = workload::survived(index, thread).map_err(words)?;
        }
        self.recovered(found)?;
        let mut count = 0;
        for (i, (thread, n)) in self.threads.iter_mut().zip(found).enumerate() {
            while thread.modelled < n {
                thread.modelled += 1;
                workload::commit(self.seed, i, thread.modelled).apply(&mut thread.model);
            }
            if thread.modelled > n {
                return Err(format!("thread {i} fell back from {} to {n}", thread.modelled));
            }
            for (key, value) in &thread.model {
                let seen = index.get(key).map_err(words)?;
                if seen.as_deref() != Some(value) {
                    let name = key.escape_ascii();
                    return Err(format!("{name} is not as {n} commits of thread {i} leave it"));
                }
            }
            count += thread.model.len();
        }
        let mut scanned = 0;
        for record in index.iter().map_err(words)? {
            record.map_err(words)?;
            scanned += 1;
        }
        if scanned != count || index.len() != count as u64 {
            return Err(format!("{scanned} records, len {}, expected {count}", index.len()));
        }
        let report = index.check().map_err(words)?;
        if report.is_sound() { Ok(()) } else { Err(report.to_string()) }
    }
}
