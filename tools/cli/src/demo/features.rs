//! The demo's data: users and their features, computed from the user's number alone, so that every
//! value can be checked without keeping it. Knows nothing of the index.

/// Features of a user.
const FEATURE_COUNT: u64 = 20;

/// Bytes of a value: 20 floats.
pub(super) const VALUE_SIZE: usize = 80;

/// Bytes of a key: `user:` and ten digits.
pub(super) const KEY_SIZE: usize = 15;

/// The key of a user.
pub(super) fn key(user: u64) -> [u8; KEY_SIZE] {
    let mut key = *b"user:0000000000";
    let mut rest = user;
    for digit in key.iter_mut().rev().take(10) {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
    key
}

/// The features of a user: 20 little-endian floats between 0 and 1.
pub(super) fn value(user: u64) -> [u8; VALUE_SIZE] {
    let mut value = [0; VALUE_SIZE];
    let (floats, _) = value.as_chunks_mut::<4>();
    for (feature, float) in (0..FEATURE_COUNT).zip(floats) {
        let bits = mix(user * FEATURE_COUNT + feature) >> 40;
        *float = (bits as f32 / (1 << 24) as f32).to_le_bytes();
    }
    value
}

/// SplitMix64: number to number, well mixed.
pub(super) fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_differ_and_repeat() {
        assert_eq!(&key(1234567), b"user:0001234567");
        assert_eq!(value(7), value(7));
        assert_ne!(value(7), value(8));
        for float in value(7).as_chunks::<4>().0 {
            assert!((0.0..1.0).contains(&f32::from_le_bytes(*float)));
        }
    }
}
