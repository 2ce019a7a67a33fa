//! The one hash function: xxh3-64 with a seed that the file stores.
//!
//! How the 64 bits are spent: a bucket comes from the top ([`crate::layout`]), the tag of a slot
//! from bits 0–15, the cell within a page from bits 16–31, the bit of an overflow filter from
//! bits 32–35. Knows nothing of pages.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The hash of `key` under `seed`.
#[inline]
pub(crate) fn hash(key: &[u8], seed: u64) -> u64 {
    xxh3_64_with_seed(key, seed)
}

/// Proof of which hash function made a file: what it gives for a fixed text. A file whose
/// fingerprint differs was made by another function and would look empty; it is refused instead.
pub(crate) fn hash_fingerprint(seed: u64) -> u64 {
    hash(b"splitpoint hash fingerprint", seed)
}

#[cfg(test)]
mod tests {
    use super::{hash, hash_fingerprint};

    #[test]
    fn output_is_stable() {
        // From the reference implementation's published test vectors.
        assert_eq!(hash(b"", 0), 0x2d06_8005_38d3_94c2);
        assert_ne!(hash(b"a", 0), hash(b"a", 1));
        assert_ne!(hash_fingerprint(1), hash_fingerprint(2));
    }
}
