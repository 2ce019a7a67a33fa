//! What this processor can do: compare all tags of a cell in one go, and have memory ready ahead.
//!
//! A search has few instructions between its two waits for memory, so that the processor begins the
//! next one meanwhile: so with vectors, where every processor of the kind has them.
//!
//! # Proof
//! 1. The functions of `x86` read no memory but their arguments. They ask for SSE2, and are compiled,
//!    and called, only where the target has it: the processor that runs any of this has it then.
//! 2. A prefetch of any address has no effect that a program can see.
//!
//! Knows nothing of what a tag means.
#![allow(unsafe_code, reason = "one of the modules that DESIGN.md names; the proof is above")]

/// Asks the processor to have the cache line at an address ready, whatever is there.
#[inline]
pub(crate) fn prefetch<T>(address: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: rule 2.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = address;
}

/// A bit for each of sixteen lanes of 32 bits whose lower half is the tag.
#[inline]
pub(super) fn lanes(words: &[u64; 8], tag: u16) -> u32 {
    #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
    // SAFETY: rule 1: the target has SSE2.
    return unsafe { x86::lanes(words, tag) };
    #[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
    words::lanes(words, tag)
}

/// A bit for each of 32 lanes of 16 bits that is the tag.
#[inline]
pub(super) fn tags(words: &[u64; 8], tag: u16) -> u32 {
    #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
    // SAFETY: rule 1: the target has SSE2.
    return unsafe { x86::tags(words, tag) };
    #[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
    words::tags(words, tag)
}

#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
#[allow(clippy::cast_sign_loss, clippy::cast_possible_wrap, reason = "only bits are meant")]
mod x86 {
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi16, _mm_cmpeq_epi32, _mm_movemask_epi8, _mm_packs_epi16,
        _mm_packs_epi32, _mm_set_epi64x, _mm_set1_epi16, _mm_set1_epi32, _mm_slli_epi32,
    };

    #[inline]
    #[target_feature(enable = "sse2")]
    fn vectors(words: &[u64; 8]) -> [__m128i; 4] {
        let [a, b, c, d, e, f, g, h] = words.map(|word| word as i64);
        [(a, b), (c, d), (e, f), (g, h)].map(|(low, high)| _mm_set_epi64x(high, low))
    }

    /// A bit for each of sixteen lanes of 32 bits whose lower half is the tag.
    #[inline]
    #[target_feature(enable = "sse2")]
    pub(crate) fn lanes(words: &[u64; 8], tag: u16) -> u32 {
        let wanted = _mm_set1_epi32((u32::from(tag) << 16) as i32);
        let [a, b, c, d] = vectors(words);
        let equal = |four| _mm_cmpeq_epi32(_mm_slli_epi32::<16>(four), wanted);
        let (a, b, c, d) = (equal(a), equal(b), equal(c), equal(d));
        let bytes = _mm_packs_epi16(_mm_packs_epi32(a, b), _mm_packs_epi32(c, d));
        _mm_movemask_epi8(bytes) as u32
    }

    /// A bit for each of 32 lanes of 16 bits that is the tag.
    #[inline]
    #[target_feature(enable = "sse2")]
    pub(crate) fn tags(words: &[u64; 8], tag: u16) -> u32 {
        let wanted = _mm_set1_epi16(tag as i16);
        let [a, b, c, d] = vectors(words).map(|eight| _mm_cmpeq_epi16(eight, wanted));
        let low = _mm_movemask_epi8(_mm_packs_epi16(a, b)) as u32;
        low | (_mm_movemask_epi8(_mm_packs_epi16(c, d)) as u32) << 16
    }
}

/// Two or four tags of a word at a time.
#[cfg(any(test, not(all(target_arch = "x86_64", target_feature = "sse2"))))]
mod words {
    /// A word with a tag's lowest bit in each of two lanes.
    const EACH_LANE: u64 = 0x0000_0001_0000_0001;
    /// The bits of the tags of both lanes of a word.
    const LANE_TAGS: u64 = EACH_LANE * 0xffff;
    /// A word with the lowest bit of each of four tags.
    const EACH_TAG: u64 = 0x0001_0001_0001_0001;
    /// All bits of four tags but their highest ones.
    const BELOW_HIGHEST: u64 = EACH_TAG * 0x7fff;
    /// Times this, the lowest bits of four tags come together in bits 48 to 51.
    const GATHER: u64 = 1 << 48 | 1 << 33 | 1 << 18 | 1 << 3;

    /// A bit for each of sixteen lanes of 32 bits whose lower half is the tag: a sum that leaves a
    /// tag's 16 bits says that they differ from the wanted.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "the lanes' bits are below 32")]
    pub(crate) fn lanes(words: &[u64; 8], tag: u16) -> u32 {
        let wanted = u64::from(tag) * EACH_LANE;
        let mut mask = 0;
        for (i, word) in words.iter().enumerate() {
            let differ = ((word ^ wanted) & LANE_TAGS) + LANE_TAGS;
            mask |= (!differ & EACH_LANE << 16) >> (16 - 2 * i);
        }
        (mask | mask >> 31) as u32 & 0xffff
    }

    /// A bit for each of 32 lanes of 16 bits that is the tag.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "four bits are left")]
    pub(crate) fn tags(words: &[u64; 8], tag: u16) -> u32 {
        let wanted = u64::from(tag) * EACH_TAG;
        let mut mask = 0;
        for (i, word) in words.iter().enumerate() {
            let other = word ^ wanted;
            let differ = ((other & BELOW_HIGHEST) + BELOW_HIGHEST) | other;
            let equal = !differ >> 15 & EACH_TAG;
            mask |= ((equal.wrapping_mul(GATHER) >> 48 & 0xf) as u32) << (4 * i);
        }
        mask
    }
}

#[cfg(test)]
mod tests {
    /// Words whose lanes are equal, nearly equal, and far from the tag.
    fn words(seed: u64, tag: u16) -> [u64; 8] {
        let mut state = seed;
        std::array::from_fn(|_| {
            let mut word = 0;
            for shift in [0, 16, 32, 48] {
                state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                let near = [tag, tag ^ 1, tag ^ 0x8000, tag.wrapping_add(1), (state >> 40) as u16];
                word |= u64::from(near[(state >> 33) as usize % near.len()]) << shift;
            }
            word
        })
    }

    #[test]
    fn a_line_compares_as_its_lanes_do() {
        for seed in 0..2000 {
            for tag in [0, 1, 0x7fff, 0x8000, 0xffff, seed as u16] {
                let words = words(seed, tag);
                let lane = |i: usize, bits: usize| (words[i * bits / 64] >> (i * bits % 64)) as u16;
                let bits = |count: usize, bits: usize| {
                    (0..count).filter(|&i| lane(i, bits) == tag).fold(0, |mask, i| mask | 1 << i)
                };
                for lanes in [super::lanes, super::words::lanes] {
                    assert_eq!(lanes(&words, tag), bits(16, 32), "{words:x?}, {tag:#x}");
                }
                for tags in [super::tags, super::words::tags] {
                    assert_eq!(tags(&words, tag), bits(32, 16), "{words:x?}, {tag:#x}");
                }
            }
        }
    }
}
