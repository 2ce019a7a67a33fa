//! The records that benchmarks of 16 + 100 bytes use. Knows no index.

/// The value of every record.
pub(crate) const VALUE: [u8; 100] = [7; 100];

/// Spreads numbers without order.
pub(crate) fn mix(i: u64) -> u64 {
    let a = i.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let b = (a ^ a >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    b ^ b >> 32
}

/// The key of a record.
pub(crate) fn key(i: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&mix(i).to_le_bytes());
    key[8..].copy_from_slice(&i.to_le_bytes());
    key
}
