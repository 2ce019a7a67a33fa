//! Iteration in hash order, and cursors that survive resizes and restarts.

use std::fmt;
use std::str::FromStr;

use super::Index;
use crate::hash::hash_fingerprint;
use crate::table::scan::{Entry, bucket_from};
use crate::{Error, Result};

/// A place in a scan: the hash of the next record. Good for as long as the index lives, across
/// resizes and restarts; an index with another seed refuses it.
///
/// ```
/// let text = "0123456789abcdef-8000000000000000";
/// let cursor: splitpoint::Cursor = text.parse().unwrap();
/// assert_eq!(cursor.to_string(), text);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    fingerprint: u64,
    /// `None` at the end.
    next: Option<u64>,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.next {
            Some(next) => write!(f, "{:016x}-{next:016x}", self.fingerprint),
            None => write!(f, "{:016x}-end", self.fingerprint),
        }
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Cursor> {
        let parse = || {
            let (fingerprint, next) = text.split_once('-')?;
            let fingerprint = u64::from_str_radix(fingerprint, 16).ok()?;
            let next = match next {
                "end" => None,
                hash => Some(u64::from_str_radix(hash, 16).ok()?),
            };
            Some(Cursor { fingerprint, next })
        };
        parse().ok_or(Error::ForeignCursor)
    }
}

/// All records of an index, in the order of their keys' hashes.
///
/// A key that is there from the beginning to the end of the scan is yielded exactly once; one that
/// comes or goes meanwhile, perhaps. Nobody waits for a scan. After an error it ends, unless
/// [`Iter::skip_damaged`] was called.
pub struct Iter<'a> {
    index: &'a Index,
    entries: std::vec::IntoIter<Entry>,
    /// Where the next bucket begins.
    next: Option<u64>,
    /// The hash of the next record not yet yielded.
    place: Option<u64>,
    failed: bool,
    /// What was damaged in the last bucket, if damage does not end the scan.
    damage: Option<Vec<Error>>,
}

impl<'a> Iter<'a> {
    pub(super) fn new(index: &'a Index, cursor: Option<Cursor>) -> Result<Iter<'a>> {
        let first = match cursor {
            None => Some(0),
            Some(cursor) if cursor.fingerprint == fingerprint(index) => cursor.next,
            Some(_) => return Err(Error::ForeignCursor),
        };
        let entries = Vec::new().into_iter();
        Ok(Iter { index, entries, next: first, place: first, failed: false, damage: None })
    }

    /// The same scan, which goes on after damage: an [`Error::Corruption`] is yielded for each page
    /// or record that cannot be read, then what is left. A damaged overflow page comes up once for
    /// each bucket that it belongs to.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let index = splitpoint::Index::open(folder.path().join("file"))?;
    /// let (sound, damaged): (Vec<_>, Vec<_>) =
    ///     index.iter()?.skip_damaged().partition(Result::is_ok);
    /// # index.close()?; Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn skip_damaged(mut self) -> Iter<'a> {
        self.damage = Some(Vec::new());
        self
    }

    /// Where to go on: a scan from this cursor yields what this one has not yet yielded. Records
    /// with equal hashes are never split: if some were yielded, they all come again.
    pub fn cursor(&self) -> Cursor {
        let upcoming = self.entries.as_slice().first().map(|entry| entry.0);
        Cursor { fingerprint: fingerprint(self.index), next: upcoming.or(self.place) }
    }
}

fn fingerprint(index: &Index) -> u64 {
    hash_fingerprint(index.shared().parameters.hash_seed)
}

impl Iterator for Iter<'_> {
    type Item = Result<(Vec<u8>, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(error) = self.damage.as_mut().and_then(Vec::pop) {
                return Some(Err(error));
            }
            if let Some((_, key, value)) = self.entries.next() {
                return Some(Ok((key, value)));
            }
            if self.failed {
                return None;
            }
            let first = self.next?;
            let bucket = bucket_from(self.index.shared(), first, self.damage.as_mut());
            match bucket {
                Ok((entries, next)) => {
                    self.entries = entries.into_iter();
                    self.next = next;
                    self.place = next;
                }
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
    }
}

impl fmt::Debug for Iter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").field("cursor", &self.cursor()).finish_non_exhaustive()
    }
}
