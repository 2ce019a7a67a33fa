//! The table of rows: each is run, printed and counted.

use splitpoint::{Error, Promise};

use crate::examine::{Seen, examine};
use crate::file::File;
use crate::sample::Sample;

/// What a damaged file must come to. In every case there is no panic, no endless loop, no change
/// by reading, and memory is bounded.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expect {
    /// All is as if nothing had happened.
    Sound,
    /// Nothing that has the words of the format.
    NotAnIndex,
    /// A newer version.
    Version,
    /// Neither opens for reading nor for writing.
    Open(Promise),
    /// A lookup finds it, and `check` too.
    Touch(Promise),
    /// `check` finds it at least.
    Check(Promise),
    /// Nothing but what holds for all.
    Survive,
}

impl Expect {
    /// Whether it is so.
    pub(crate) fn holds(self, seen: &Seen, records: usize) -> bool {
        let both = |matches: &dyn Fn(&Error) -> bool| {
            [&seen.open, &seen.write].into_iter().all(|e| e.as_ref().is_some_and(matches))
        };
        let opens = seen.open.is_none() && seen.write.is_none();
        match self {
            Expect::Sound => {
                opens && seen.touched.is_empty() && seen.found.is_empty() && seen.scanned == records
            }
            Expect::NotAnIndex => both(&|error| matches!(error, Error::NotAnIndex { .. })),
            Expect::Version => both(&|error| matches!(error, Error::UnsupportedVersion { .. })),
            Expect::Open(promise) => both(
                &|error| matches!(error, Error::Corruption(corrupt) if corrupt.promise == promise),
            ),
            Expect::Touch(promise) => {
                opens && seen.touched.contains(&promise) && !seen.found.is_empty()
            }
            Expect::Check(promise) => opens && seen.found.contains(&promise),
            Expect::Survive => true,
        }
    }
}

/// A way to make a bad file.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) expect: Expect,
    pub(crate) damage: fn(&mut File),
}

/// What ran.
#[derive(Default)]
pub(crate) struct Table {
    pub(crate) passed: usize,
    pub(crate) skipped: usize,
    pub(crate) failed: Vec<String>,
    only: Option<String>,
}

impl Table {
    pub(crate) fn new(only: Option<String>) -> Table {
        Table { only, ..Table::default() }
    }

    /// A row whose files are a sample with damage.
    pub(crate) fn row(&mut self, group: &str, sample: &Sample, row: Row) {
        self.checked(group, row.name, || {
            let mut sample = sample.clone();
            (row.damage)(&mut sample.data);
            let seen = examine(&sample)?;
            says_more(&seen)?;
            match row.expect.holds(&seen, sample.keys.len()) {
                true => Ok(()),
                false => Err(format!("expected {:?}, saw {}", row.expect, short(&seen))),
            }
        });
    }

    /// Any other row.
    pub(crate) fn checked(
        &mut self,
        group: &str,
        name: &str,
        run: impl FnOnce() -> Result<(), String>,
    ) {
        let name = format!("{group}: {name}");
        if self.only.as_ref().is_some_and(|only| !name.contains(only)) {
            return;
        }
        crate::watch::begin(&name);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
        crate::watch::end();
        let result = result.unwrap_or_else(|_| Err("the row itself panicked".into()));
        match result {
            Ok(()) => {
                println!("{name} ... ok");
                self.passed += 1;
            }
            Err(words) => {
                println!("{name} ... FAILED: {words}");
                self.failed.push(name);
            }
        }
    }

    /// A row that this machine cannot run.
    pub(crate) fn skip(&mut self, group: &str, name: &str, reason: &str) {
        println!("{group}: {name} ... skipped: {reason}");
        self.skipped += 1;
    }
}

/// What was seen, without repetition.
fn short(seen: &Seen) -> String {
    let unique = |promises: &[Promise]| {
        let mut words: Vec<String> = promises.iter().map(|p| format!("{p:?}")).collect();
        words.sort();
        words.dedup();
        words.join(" ")
    };
    format!(
        "open {:?}, write {:?}, touched {}, found {}, scanned {}",
        seen.open,
        seen.write,
        unique(&seen.touched),
        unique(&seen.found),
        seen.scanned
    )
}

/// An error of opening names the file and says what to do next.
pub(crate) fn says_more(seen: &Seen) -> Result<(), String> {
    [&seen.open, &seen.write].into_iter().flatten().try_for_each(|error| named(error, "data"))
}

/// An error that names a file and, after a semicolon, the next step.
pub(crate) fn named(error: &Error, name: &str) -> Result<(), String> {
    let text = error.to_string();
    match text.contains(name) && text.contains("; ") {
        true => Ok(()),
        false => Err(format!("names no file or no next step: {text}")),
    }
}
