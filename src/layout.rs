//! Layouts: which bucket a hash belongs to. One number is stored, the rest is arithmetic.
//!
//! A bucket is a range of hashes, not a mask (D5): bucket `b` of `n` holds the hashes `h` with
//! ⌊h × n / 2⁶⁴⌋ = b. So buckets, pages of the directory and a scan are all in hash order, and
//! any bucket count will do. Growth by moving a splitpoint is Litwin's (linear hashing, 1980), its
//! small steps are Larson's (partial expansions, 1980). Knows nothing of pages.

/// Buckets that share one overflow chain.
pub(crate) const RUN_BUCKETS: u64 = 16;

/// The greatest bucket count: page numbers have 30 bits.
pub(crate) const BUCKET_COUNT_MAX: u64 = 1 << 30;

/// A number of buckets, at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) bucket_count: u64,
}

impl Layout {
    /// The layout of `bucket_count` buckets, or of the nearest possible count.
    pub(crate) fn new(bucket_count: u64) -> Layout {
        Layout { bucket_count: bucket_count.clamp(1, BUCKET_COUNT_MAX) }
    }

    /// The bucket of a hash.
    #[inline]
    pub(crate) fn bucket_of(self, hash: u64) -> u64 {
        // The high half of the product is below bucket_count, so it fits.
        ((u128::from(hash) * u128::from(self.bucket_count)) >> 64) as u64
    }

    /// The run of a bucket.
    #[inline]
    pub(crate) fn run_of(bucket: u64) -> u64 {
        bucket / RUN_BUCKETS
    }

    /// How many runs there are.
    pub(crate) fn run_count(self) -> u64 {
        self.bucket_count.div_ceil(RUN_BUCKETS)
    }

    /// The first hash of a bucket; `None` for the bucket count itself, whose first hash would be
    /// 2⁶⁴.
    pub(crate) fn first_hash(self, bucket: u64) -> Option<u64> {
        if bucket >= self.bucket_count {
            return None;
        }
        let start = (u128::from(bucket) << 64).div_ceil(u128::from(self.bucket_count));
        u64::try_from(start).ok()
    }

    /// The buckets of a run.
    pub(crate) fn buckets_of_run(self, run: u64) -> std::ops::Range<u64> {
        let start = (run * RUN_BUCKETS).min(self.bucket_count);
        start..(start + RUN_BUCKETS).min(self.bucket_count)
    }
}

#[cfg(test)]
mod tests {
    use super::Layout;

    #[test]
    fn first_hash_is_where_a_bucket_begins() {
        for count in [1, 2, 3, 7, 16, 1000, 12_345, 1 << 30] {
            let layout = Layout::new(count);
            for bucket in [0, 1, count / 3, count / 2, count - 1].into_iter().filter(|&b| b < count)
            {
                let first = layout.first_hash(bucket).unwrap();
                assert_eq!(layout.bucket_of(first), bucket, "{bucket} of {count}");
                if first > 0 {
                    assert_eq!(layout.bucket_of(first - 1) + 1, bucket, "{bucket} of {count}");
                }
            }
            assert_eq!(layout.first_hash(count), None);
            assert_eq!(layout.bucket_of(u64::MAX), count - 1);
        }
    }

    #[test]
    fn moving_the_splitpoint_by_a_run_moves_that_runs_hashes_and_no_others() {
        let (old, new) = (Layout::new(100), Layout::new(125));
        let place = |splitpoint: Option<u64>, hash: u64| match splitpoint {
            Some(s) if hash >= s => (0, old.bucket_of(hash)),
            _ => (1, new.bucket_of(hash)),
        };
        for run in 0..old.run_count() {
            let before = old.first_hash(old.buckets_of_run(run).start);
            let after = old.first_hash(old.buckets_of_run(run).end);
            for i in 0..10_000_u64 {
                let hash = i * (u64::MAX / 10_000);
                let moved = place(before, hash) != place(after, hash);
                let in_run = Layout::run_of(old.bucket_of(hash)) == run;
                assert_eq!(moved, in_run, "hash {hash:#x}, run {run}");
            }
        }
    }

    #[test]
    fn runs_cover_all_buckets_once() {
        let layout = Layout::new(100);
        let all: Vec<u64> =
            (0..layout.run_count()).flat_map(|r| layout.buckets_of_run(r)).collect();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
    }
}
