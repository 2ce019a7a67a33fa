//! How many buckets a new file gets: arithmetic over how many records fall into a bucket by chance,
//! and what overflow that makes.
//!
//! The pages of buckets are as full as asked, or as the cost says: the fewest pages of which no more
//! than a small share of the records stands in overflow. Knows nothing of files.

use super::build::Pages;
use super::partition::Sizes;
use crate::layout::{BUCKET_COUNT_MAX, Layout, RUN_BUCKETS};
use crate::page::edit::suitable_cell_count;
use crate::page::shape::Shape;
use crate::page::{HEADER_SIZE, LINE_SIZE};

/// The share of the records that may stand in overflow by the layout that is chosen.
const OVERFLOW_MAX: f64 = 0.045;

/// What there is to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Amount {
    pub(super) records: u64,
    /// Bytes that the records take in pages, and the sum of their squares.
    pub(super) len: u64,
    pub(super) len_squares: f64,
}

impl Amount {
    /// One more record.
    #[inline]
    pub(super) fn add(&mut self, len: usize) {
        self.records += 1;
        self.len += len as u64;
        self.len_squares += (len * len) as f64;
    }

    /// As of `factor` times as many records.
    #[allow(clippy::cast_possible_truncation, reason = "an estimate")]
    pub(super) fn scaled(self, factor: f64) -> Amount {
        Amount {
            records: (self.records as f64 * factor) as u64,
            len: (self.len as f64 * factor) as u64,
            len_squares: self.len_squares * factor,
        }
    }
}

/// Records of an average length that fit a page.
fn capacity(pages: &Pages, average: usize) -> f64 {
    if let Shape::Fixed(fixed) = pages.shape {
        return fixed.capacity as f64;
    }
    // A page of which something is left over has the cells of an average one.
    let cells = suitable_cell_count(pages.size, 1, average);
    let room = pages.size - HEADER_SIZE - cells * LINE_SIZE;
    (room / average.max(1)).max(1) as f64
}

/// What a bucket of an average load has in overflow: records, and pages for each bucket.
fn overflow(mean: f64, spread: f64, capacity: f64) -> (f64, f64) {
    let deviation = (mean * spread).sqrt().max(0.5);
    let (mut sum, mut excess, mut squares) = (0.0, 0.0, 0.0);
    let steps = 200;
    for step in 0..=steps {
        let z = (f64::from(step) / f64::from(steps) - 0.5) * 12.0;
        let weight = (-z * z / 2.0).exp();
        let over = (mean + z * deviation - capacity).max(0.0);
        sum += weight;
        excess += weight * over;
        squares += weight * over * over;
    }
    let (excess, squares) = (excess / sum, squares / sum);
    let run = RUN_BUCKETS as f64;
    let run_mean = excess * run;
    let run_deviation = ((squares - excess * excess) * run).sqrt().max(1e-9);
    // The chance that a run needs a further page, summed over the pages.
    let mut pages =
        if run_mean > 0.0 { (run_mean / capacity).min((-run_mean).exp_m1().abs()) } else { 0.0 };
    if run_mean > 0.5 {
        pages = 0.0;
        let mut full = 0.5;
        while full < run_mean + 6.0 * run_deviation {
            let z = (full - run_mean) / run_deviation;
            pages += 1.0 / (1.0 + (1.702 * z).exp());
            full += capacity;
        }
    }
    (excess, pages / run)
}

/// The layout for an amount, its bucket count a multiple of 16 × `pieces`. `fill` is the load of an
/// average bucket in percent of what a page holds.
#[allow(clippy::cast_possible_truncation, reason = "an estimate")]
pub(super) fn layout(amount: &Amount, pages: &Pages, fill: Option<u32>, pieces: u64) -> Layout {
    if amount.records == 0 {
        return Layout::new(1);
    }
    let records = amount.records as f64;
    let average = amount.len as f64 / records;
    let capacity = capacity(pages, average.ceil() as usize);
    // How much more than the records' number their lengths spread a bucket's load.
    let spread = (amount.len_squares / records / (average * average)).max(1.0);
    let mean = match fill {
        Some(percent) => capacity * f64::from(percent) / 100.0,
        None => best_mean(spread, capacity),
    };
    let buckets = (records / mean).ceil() as u64;
    let step = RUN_BUCKETS * pieces;
    if pieces == 1 {
        return Layout::new(buckets);
    }
    Layout::new(buckets.next_multiple_of(step).min(BUCKET_COUNT_MAX / step * step))
}

/// The load of an average bucket that takes the fewest pages.
fn best_mean(spread: f64, capacity: f64) -> f64 {
    let mut best = (f64::MAX, capacity / 2.0);
    for per_mille in (500..=1200).step_by(2) {
        let mean = capacity * f64::from(per_mille) / 1000.0;
        let (excess, pages) = overflow(mean, spread, capacity);
        let cost = (1.0 + pages) / mean;
        if excess <= mean * OVERFLOW_MAX && cost < best.0 {
            best = (cost, mean);
        }
    }
    best.1
}

/// Into how many pieces, as a power of two, hash space is cut for an amount that is loaded as `len`
/// bytes, or in the end as `left` if keys come more than once.
pub(super) fn piece_bits(
    amount: &Amount,
    (len, left): (u64, u64),
    page_size: usize,
    sizes: &Sizes,
) -> u32 {
    // So many buckets to a piece that a multiple of the pieces is near any count; fewer, if the
    // pieces would be too large to load at once.
    const BUCKETS_MIN: u64 = 4096;
    const BUCKETS_MIN_IF_LARGE: u64 = 256;
    let buckets = amount.len / (page_size as u64) + 1;
    let bits = |pieces: u64| pieces.max(1).next_power_of_two().ilog2();
    let below = |pieces: u64| pieces.max(1).ilog2();
    let by_buckets = below(buckets / BUCKETS_MIN).min(sizes.partition_bits);
    let of_len = |len: u64| bits(len / sizes.piece_len_max.max(1) + 1);
    let by_len = of_len(len).min(below(buckets / BUCKETS_MIN_IF_LARGE));
    by_buckets.max(by_len).max(of_len(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_suits_the_amount() {
        for (records, len, page_size) in [
            (0, 10, 4096),
            (1, 10, 4096),
            (1_000, 57, 4096),
            (10_000_000, 57, 4096),
            (1_000_000, 300, 65536),
        ] {
            let amount =
                Amount { records, len: records * len, len_squares: (records * len * len) as f64 };
            let pages = Pages { size: page_size, inline_max: 496, shape: Shape::General };
            let layout = layout(&amount, &pages, None, 1);
            let bytes = layout.bucket_count as f64 * page_size as f64;
            let ratio = bytes / (records * len).max(1) as f64;
            assert!(
                layout.bucket_count == 1 || (0.9..1.5).contains(&ratio),
                "{records}: {layout:?}"
            );
        }
    }

    #[test]
    fn a_layout_of_pieces_is_made_of_whole_runs_of_each() {
        let amount = Amount { records: 1_000_000, len: 57_000_000, len_squares: 3.3e9 };
        let pages = Pages { size: 4096, inline_max: 496, shape: Shape::General };
        for count in [1, 2, 8, 64] {
            let layout = layout(&amount, &pages, Some(90), count);
            assert!(count == 1 || layout.bucket_count.is_multiple_of(16 * count));
        }
    }
}
