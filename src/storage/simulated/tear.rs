//! A write that the power cut met: which of its sectors are old, new or arbitrary (F2, F3).
//!
//! Knows nothing of files, only of one content and one write.

use super::choice::Fate;
use super::content::{BLOCK_SIZE, Content, SECTOR_SIZE, each_block};
use super::rng::Rng;

/// Stores what is left of a write.
pub(super) fn write(content: &mut Content, offset: u64, bytes: &[u8], fate: Fate) {
    let (seed, garbage, strict) = match fate {
        Fate::Absent => return,
        Fate::Whole => return content.write(offset, bytes),
        Fate::Torn(seed) => (seed, false, false),
        Fate::Garbage(seed) => (seed, true, false),
        Fate::Block(seed) => (seed, true, true),
    };
    let mut rng = Rng::new(seed);
    let mut rest = bytes;
    for (block, range) in each_block(offset, bytes.len()) {
        let (part, after) = rest.split_at(range.len());
        rest = after;
        let old = content.block(block).copied().unwrap_or([0; BLOCK_SIZE]);
        let mut new = old;
        if let Some(target) = new.get_mut(range.clone()) {
            target.copy_from_slice(part);
        }
        let target = content.block_mut(block);
        if strict && rng.one_in(2) {
            arbitrary(target, &mut rng);
            continue;
        }
        let sectors = target.chunks_mut(SECTOR_SIZE);
        let (olds, news) = (old.chunks(SECTOR_SIZE), new.chunks(SECTOR_SIZE));
        for (index, (sector, (old, new))) in sectors.zip(olds.zip(news)).enumerate() {
            let start = index * SECTOR_SIZE;
            let touched = start < range.end && range.start < start + SECTOR_SIZE;
            if !touched && !strict {
                continue;
            }
            match rng.below(if garbage { 3 } else { 2 }) {
                0 => sector.copy_from_slice(old),
                1 => sector.copy_from_slice(new),
                _ => arbitrary(sector, &mut rng),
            }
        }
    }
}

/// Arbitrary bytes: noise, but also what a parser takes more easily for good.
fn arbitrary(bytes: &mut [u8], rng: &mut Rng) {
    match rng.below(4) {
        0 => bytes.fill(0),
        1 => bytes.fill(0xff),
        2 => {
            let place = rng.below(bytes.len());
            let bit = 1 << rng.below(8);
            if let Some(byte) = bytes.get_mut(place) {
                *byte ^= bit;
            }
        }
        _ => rng.fill(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For each of 200 seeds, which bytes of three blocks of 1 a torn write of 2 changed.
    fn outcomes(fate: impl Fn(u64) -> Fate, offset: u64, len: usize) -> Vec<Vec<u8>> {
        let outcome = |seed| {
            let mut content = Content::of_bytes(&[1; 3 * BLOCK_SIZE]);
            write(&mut content, offset, &vec![2; len], fate(seed));
            content.to_bytes()
        };
        (0..200).map(outcome).collect()
    }

    #[test]
    fn torn_sectors_are_old_or_new() {
        let outcomes = outcomes(Fate::Torn, 4096, 4096);
        for bytes in &outcomes {
            for sector in bytes.chunks(SECTOR_SIZE) {
                assert!(sector == [1; SECTOR_SIZE] || sector == [2; SECTOR_SIZE]);
            }
            assert_eq!(bytes[..4096], [1; 4096]);
            assert_eq!(bytes[8192..], [1; 4096]);
        }
        for sector in 8..16 {
            assert!(outcomes.iter().any(|bytes| bytes[sector * SECTOR_SIZE] == 1));
            assert!(outcomes.iter().any(|bytes| bytes[sector * SECTOR_SIZE] == 2));
        }
    }

    #[test]
    fn garbage_stays_within_the_touched_sectors() {
        let outcomes = outcomes(Fate::Garbage, 5000, 100);
        for bytes in &outcomes {
            assert_eq!(bytes[..4608], [1; 4608]);
            assert_eq!(bytes[5120..], [1; 7168]);
        }
        // Bytes around the write, in its sector, are damaged too.
        assert!(outcomes.iter().any(|bytes| bytes[4608] != 1));
    }

    #[test]
    fn a_strict_tear_stays_within_the_touched_blocks() {
        let outcomes = outcomes(Fate::Block, 5000, 100);
        for bytes in &outcomes {
            assert_eq!(bytes[..4096], [1; 4096]);
            assert_eq!(bytes[8192..], [1; 4096]);
        }
        assert!(outcomes.iter().any(|bytes| bytes[4096] != 1));
        assert!(outcomes.iter().any(|bytes| bytes[8191] != 1));
    }

    #[test]
    fn a_seed_always_tears_alike() {
        assert_eq!(outcomes(Fate::Block, 100, 9000), outcomes(Fate::Block, 100, 9000));
    }
}
