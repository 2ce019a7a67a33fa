//! The one checksum of the file and of the log: CRC-32 (ISO-HDLC, as in zlib).
//!
//! Knows nothing of pages. A checksum field always stands *before* the bytes it covers, never
//! among them: the CRC of bytes that end in their own CRC is a constant.

/// The CRC-32 of `bytes`, continued from `seed` (0 to begin).
pub(crate) fn crc32(seed: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(bytes);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::crc32;

    #[test]
    fn is_the_crc_of_zlib() {
        assert_eq!(crc32(0, b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn continues_from_a_seed() {
        assert_eq!(crc32(crc32(0, b"1234"), b"56789"), crc32(0, b"123456789"));
    }
}
