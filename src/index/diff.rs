//! The difference between two indexes, record by record.
//!
//! Under one hash seed both are in the same order, and each is read once, side by side. Under two,
//! every key of the one is looked up in the other.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use super::{Index, Iter};
use crate::Result;
use crate::hash::hash;

/// A key that two indexes do not agree about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference<'d> {
    /// Only the second has it.
    Added {
        /// The key.
        key: &'d [u8],
        /// Its value.
        value: &'d [u8],
    },
    /// Only the first has it.
    Removed {
        /// The key.
        key: &'d [u8],
        /// Its value.
        value: &'d [u8],
    },
    /// They have different values for it.
    Changed {
        /// The key.
        key: &'d [u8],
        /// The first's value.
        before: &'d [u8],
        /// The second's.
        after: &'d [u8],
    },
}

type Item = (Vec<u8>, Vec<u8>);

impl Index {
    /// Calls `each` for every key that this index and `after` do not agree about; it may end the
    /// comparison. If both have the same hash seed (one is a copy of the other), each is read once
    /// in its order; else every key is looked up, which for large files takes far longer.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let index = splitpoint::Index::open(folder.path().join("file"))?;
    /// use splitpoint::Difference;
    /// use std::ops::ControlFlow;
    /// index.backup(folder.path().join("copy"))?;
    /// index.insert("key", "value")?;
    /// let copy = splitpoint::Index::open(folder.path().join("copy"))?;
    /// let mut added = 0;
    /// copy.diff(&index, |difference| {
    ///     added += usize::from(matches!(difference, Difference::Added { .. }));
    ///     ControlFlow::Continue(())
    /// })?;
    /// assert_eq!(added, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of reading either.
    pub fn diff(
        &self,
        after: &Index,
        mut each: impl FnMut(Difference<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let seed = self.shared().parameters.hash_seed;
        if seed == after.shared().parameters.hash_seed {
            return side_by_side(seed, self.iter()?, after.iter()?, &mut each);
        }
        for item in self.iter()? {
            let (key, before) = item?;
            let found = after.get(&key)?;
            let flow = match &found {
                None => each(Difference::Removed { key: &key, value: &before }),
                Some(after) if **after == *before => continue,
                Some(after) => each(Difference::Changed { key: &key, before: &before, after }),
            };
            if flow.is_break() {
                return Ok(());
            }
        }
        for item in after.iter()? {
            let (key, value) = item?;
            if !self.contains_key(&key)?
                && each(Difference::Added { key: &key, value: &value }).is_break()
            {
                return Ok(());
            }
        }
        Ok(())
    }
}

fn side_by_side(
    seed: u64,
    mut before: Iter<'_>,
    mut after: Iter<'_>,
    each: &mut dyn FnMut(Difference<'_>) -> ControlFlow<()>,
) -> Result<()> {
    let place = |item: &Item| hash(&item.0, seed);
    let (mut old, mut new) = (before.next().transpose()?, after.next().transpose()?);
    loop {
        let order = match (&old, &new) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => (place(a), &a.0).cmp(&(place(b), &b.0)),
        };
        let flow = match (&old, &new, order) {
            (Some((key, value)), _, Ordering::Less) => each(Difference::Removed { key, value }),
            (_, Some((key, value)), Ordering::Greater) => each(Difference::Added { key, value }),
            (Some((key, before)), Some((_, after)), _) if before != after => {
                each(Difference::Changed { key, before, after })
            }
            _ => ControlFlow::Continue(()),
        };
        if flow.is_break() {
            return Ok(());
        }
        if order != Ordering::Greater {
            old = before.next().transpose()?;
        }
        if order != Ordering::Less {
            new = after.next().transpose()?;
        }
    }
}
