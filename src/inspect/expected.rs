//! What chance would give: how full buckets and how long chains are when keys fall at random.
//!
//! Records fall into buckets as a Poisson distribution has it. A run's chain holds what its 16
//! buckets have beyond what their pages take; a page is taken to hold as many records of average
//! length as fit. Knows nothing of files.

use std::collections::BTreeMap;

use crate::layout::RUN_BUCKETS;

/// Values further from the mean than this many standard deviations are not looked at.
const SIGMAS: f64 = 12.0;
/// The most values of a distribution.
const LEN_MAX: usize = 1 << 16;
/// The most records beyond a page's capacity that are told apart.
const EXCESS_MAX: usize = 600;

/// The probabilities of 0, 1, 2, … events where `mean` are expected.
pub(super) fn poisson(mean: f64) -> Vec<f64> {
    let end = mean + SIGMAS * mean.sqrt() + SIGMAS;
    let mut logarithm = -mean;
    let mut chances = Vec::new();
    while (chances.len() as f64) <= end && chances.len() < LEN_MAX {
        chances.push(logarithm.exp());
        logarithm += mean.ln() - (chances.len() as f64).ln();
    }
    chances
}

/// The probabilities of chains of 0, 1, 2, … pages, where a bucket has `mean` records on average
/// and a page takes `capacity`.
pub(super) fn chain_lens(mean: f64, capacity: u64) -> Vec<f64> {
    let records = poisson(mean);
    let capacity = usize::try_from(capacity).unwrap_or(LEN_MAX).max(1);
    let within: f64 = records.iter().take(capacity + 1).sum();
    let mut excess = vec![within];
    excess.extend(records.iter().skip(capacity + 1).take(EXCESS_MAX));
    let mut summed = 1;
    while summed < RUN_BUCKETS {
        excess = sum_of_two(&excess);
        summed *= 2;
    }
    let mut lens = vec![0.0; excess.len().div_ceil(capacity) + 1];
    for (records, chance) in excess.iter().enumerate() {
        if let Some(sum) = lens.get_mut(records.div_ceil(capacity)) {
            *sum += chance;
        }
    }
    lens
}

/// The distribution of the sum of two that are distributed so.
fn sum_of_two(one: &[f64]) -> Vec<f64> {
    /// Chances below this do not matter; it keeps the work small.
    const NOTHING: f64 = 1e-12;
    let mut sum = vec![0.0; 2 * one.len()];
    for (i, a) in one.iter().enumerate().filter(|(_, chance)| **chance > NOTHING) {
        for (to, b) in sum.iter_mut().skip(i).zip(one) {
            *to += a * b;
        }
    }
    while sum.len() > 1 && sum.last().is_some_and(|chance| *chance < NOTHING) {
        sum.pop();
    }
    sum
}

/// Adds `count` draws of a distribution to expected counts.
pub(super) fn add(to: &mut BTreeMap<u64, f64>, chances: &[f64], count: u64) {
    for (value, chance) in chances.iter().enumerate() {
        *to.entry(value as u64).or_default() += chance * count as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::{chain_lens, poisson};

    #[test]
    fn chances_sum_to_one_and_have_their_mean() {
        for mean in [0.0, 0.5, 7.0, 33.3, 900.0, 5000.0] {
            let chances = poisson(mean);
            let sum: f64 = chances.iter().sum();
            let found: f64 = chances.iter().enumerate().map(|(i, p)| i as f64 * p).sum();
            assert!((sum - 1.0).abs() < 1e-6, "{mean}: {sum}");
            assert!((found - mean).abs() < 1e-3 * mean.max(1.0), "{mean}: {found}");
        }
        // By hand: e^-2 2^3 / 3!.
        assert!((poisson(2.0)[3] - 0.180_447).abs() < 1e-6);
    }

    #[test]
    fn chains_grow_with_the_load() {
        for (mean, capacity) in [(30.0, 40), (40.0, 40), (60.0, 40), (1000.0, 1100)] {
            let sum: f64 = chain_lens(mean, capacity).iter().sum();
            assert!((sum - 1.0).abs() < 1e-3, "{mean}: {sum}");
        }
        let mean_len = |mean| -> f64 {
            chain_lens(mean, 40).iter().enumerate().map(|(len, p)| len as f64 * p).sum()
        };
        assert!(mean_len(20.0) < 0.05 && mean_len(36.0) < mean_len(40.0));
        // Each bucket has 20 too many on average: 16 × 20 records in pages of 40.
        assert!((mean_len(60.0) - 8.5).abs() < 0.6, "{}", mean_len(60.0));
    }
}
