//! Which page is to be believed for each hash: hash space, cut into the pieces of those who came
//! first. Knows nothing of pages.

use std::collections::BTreeMap;

/// One more than the greatest hash.
pub(super) const END: u128 = 1 << 64;

/// Pieces of hash space, each with whom it belongs to.
#[derive(Debug)]
pub(super) struct Cover<T> {
    /// By the first hash: the end, and the holder.
    pieces: BTreeMap<u128, (u128, T)>,
}

impl<T: Copy> Cover<T> {
    pub(super) fn new() -> Cover<T> {
        Cover { pieces: BTreeMap::new() }
    }

    /// Gives `holder` what is free of a stretch; `false` if nothing was.
    pub(super) fn add(&mut self, first: u128, end: u128, holder: T) -> bool {
        let mut taken: Vec<(u128, u128)> = Vec::new();
        let before =
            self.pieces.range(..=first).next_back().map(|(&start, &(end, _))| (start, end));
        taken.extend(before.filter(|&(_, before_end)| before_end > first));
        taken.extend(
            self.pieces
                .range(first..end)
                .map(|(&start, &(end, _))| (start, end))
                .filter(|piece| Some(*piece) != before),
        );
        let mut at = first;
        let mut has_any = false;
        for (start, piece_end) in taken {
            if at < start {
                self.pieces.insert(at, (start, holder));
                has_any = true;
            }
            at = at.max(piece_end);
        }
        if at < end {
            self.pieces.insert(at, (end, holder));
            has_any = true;
        }
        has_any
    }

    /// Who has this hash.
    pub(super) fn get(&self, hash: u64) -> Option<T> {
        let hash = u128::from(hash);
        let (_, &(end, holder)) = self.pieces.range(..=hash).next_back()?;
        (hash < end).then_some(holder)
    }
}

#[cfg(test)]
mod tests {
    use super::{Cover, END};

    #[test]
    fn who_comes_first_keeps_what_it_has() {
        let mut cover = Cover::new();
        assert!(cover.add(10, 20, 'a'));
        assert!(cover.add(30, 40, 'b'));
        assert!(!cover.add(12, 18, 'x') && !cover.add(10, 20, 'x'));
        assert!(cover.add(5, 35, 'c'));
        assert!(cover.add(0, END, 'd'));
        let expected = [(0, 'd'), (4, 'd'), (5, 'c'), (9, 'c'), (10, 'a'), (19, 'a'), (20, 'c')];
        for (hash, holder) in expected {
            assert_eq!(cover.get(hash), Some(holder), "{hash}");
        }
        for (hash, holder) in [(29, 'c'), (30, 'b'), (39, 'b'), (40, 'd'), (u64::MAX, 'd')] {
            assert_eq!(cover.get(hash), Some(holder), "{hash}");
        }
        assert_eq!(Cover::<char>::new().get(3), None);
    }
}
