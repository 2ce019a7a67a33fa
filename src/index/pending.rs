//! Commits that are in the log and not yet in the table, and the newest value of each of their keys.
//!
//! Batches are most often applied before a writer asks what a key's newest value is: keys are listed
//! only then.
//! Knows nothing of pages, nor how a commit becomes durable.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;

use crate::log::Lsn;
use crate::table::Prepared;
use crate::table::operation::Operation;

const JUST_ENCODED: &str = "a payload that was just encoded";

/// In the order of their LSNs, which follow on one another.
#[derive(Debug, Default)]
pub(super) struct Pending {
    commits: VecDeque<Commit>,
    /// The keys of all commits but the last `unlisted`.
    keys: HashMap<Vec<u8>, Newest>,
    unlisted: usize,
}

#[derive(Debug)]
pub(super) struct Commit {
    pub(super) lsn: Lsn,
    /// All operations, encoded.
    pub(super) payload: Vec<u8>,
    /// One for each operation.
    pub(super) steps: Vec<Step>,
}

/// A prepared operation.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Insert { hash: u64, prepared: Prepared },
    Remove { hash: u64 },
    SetMetadata,
}

/// What the last pending change of a key made of it.
#[derive(Debug)]
struct Newest {
    lsn: Lsn,
    /// Where its value stands in that commit's payload; `None` if the key is removed.
    value: Option<Range<usize>>,
}

impl Step {
    /// The hash of its key; of none, any.
    pub(super) fn hash(&self) -> u64 {
        match *self {
            Step::Insert { hash, .. } | Step::Remove { hash } => hash,
            Step::SetMetadata => 0,
        }
    }
}

impl Pending {
    pub(super) fn push(&mut self, commit: Commit) {
        self.commits.push_back(commit);
        self.unlisted += 1;
    }

    /// Takes the oldest commit, unless it comes after `lsn`.
    pub(super) fn pop_until(&mut self, lsn: Lsn) -> Option<Commit> {
        self.commits.front().filter(|commit| commit.lsn <= lsn)?;
        let is_listed = self.commits.len() > self.unlisted;
        let commit = self.commits.pop_front()?;
        if is_listed {
            commit.each_key(|key, _| {
                if self.keys.get(key).is_some_and(|newest| newest.lsn <= commit.lsn) {
                    self.keys.remove(key);
                }
            });
        } else {
            self.unlisted -= 1;
        }
        Some(commit)
    }

    /// The commit that changed a key last, and the value that it gave it, if it did not remove it.
    pub(super) fn newest(&mut self, key: &[u8]) -> Option<(Lsn, Option<&[u8]>)> {
        let oldest = self.commits.front()?.lsn;
        let listed = self.commits.len() - std::mem::take(&mut self.unlisted);
        for commit in self.commits.range(listed..) {
            commit.each_key(|key, value| {
                self.keys.insert(key.to_vec(), Newest { lsn: commit.lsn, value });
            });
        }
        let newest = self.keys.get(key)?;
        let commit = self.commits.get(usize::try_from(newest.lsn.0 - oldest.0).ok()?);
        let payload = &commit.expect("pending commits follow on one another").payload;
        Some((newest.lsn, newest.value.clone().and_then(|range| payload.get(range))))
    }
}

impl Commit {
    pub(super) fn operations(&self) -> impl Iterator<Item = Operation<'_>> {
        let mut rest = self.payload.as_slice();
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let (operation, after) = Operation::decode(rest).expect(JUST_ENCODED);
            rest = after;
            Some(operation)
        })
    }

    /// Its keys in order, and where in the payload their values stand; no place for one that is
    /// removed.
    fn each_key(&self, mut each: impl FnMut(&[u8], Option<Range<usize>>)) {
        let mut end = 0;
        for operation in self.operations() {
            end += operation.len();
            match operation {
                Operation::Insert { key, value } => each(key, Some(end - value.len()..end)),
                Operation::Remove { key } => each(key, None),
                Operation::SetMetadata { .. } => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(pending: &mut Pending, lsn: u64, operations: &[Operation<'_>]) {
        let mut payload = Vec::new();
        operations.iter().for_each(|operation| operation.encode(&mut payload));
        let steps = vec![Step::SetMetadata; operations.len()];
        pending.push(Commit { lsn: Lsn(lsn), payload, steps });
    }

    #[test]
    fn the_newest_commit_of_a_key_is_found_whenever_it_is_asked_for() {
        let insert = |key, value| Operation::Insert { key, value };
        let a = |value| insert(b"a", value);
        let mut pending = Pending::default();
        assert_eq!(pending.newest(b"a"), None);
        push(&mut pending, 7, &[a(b"1"), insert(b"b", b"22"), a(b"333")]);
        push(&mut pending, 8, &[Operation::SetMetadata { metadata: b"a" }]);
        assert_eq!(pending.newest(b"a"), Some((Lsn(7), Some(&b"333"[..]))));
        assert_eq!(pending.newest(b"b"), Some((Lsn(7), Some(&b"22"[..]))));
        // These are not listed yet when the first goes.
        push(&mut pending, 9, &[Operation::Remove { key: b"b" }]);
        push(&mut pending, 10, &[a(b"4"), insert(b"c", b"")]);
        assert!(pending.pop_until(Lsn(6)).is_none());
        assert_eq!(pending.pop_until(Lsn(9)).unwrap().lsn, Lsn(7));
        assert_eq!(pending.newest(b"b"), Some((Lsn(9), None)));
        assert_eq!(pending.newest(b"a"), Some((Lsn(10), Some(&b"4"[..]))));
        assert_eq!(pending.newest(b"c"), Some((Lsn(10), Some(&b""[..]))));
        assert_eq!(pending.newest(b"d"), None);
        push(&mut pending, 11, &[insert(b"d", b"5")]);
        for lsn in [8, 9] {
            assert_eq!(pending.pop_until(Lsn(9)).unwrap().lsn, Lsn(lsn));
        }
        assert!(pending.pop_until(Lsn(9)).is_none());
        assert_eq!(pending.newest(b"b"), None, "applied");
        assert_eq!(pending.newest(b"d"), Some((Lsn(11), Some(&b"5"[..]))));
        // One that was never listed goes as it came.
        push(&mut pending, 12, &[a(b"6")]);
        for lsn in [10, 11, 12] {
            let commit = pending.pop_until(Lsn(12)).unwrap();
            assert_eq!((commit.lsn, commit.operations().count()), (Lsn(lsn), commit.steps.len()));
        }
        assert_eq!(pending.newest(b"a"), None);
        assert!(pending.keys.is_empty());
    }
}
