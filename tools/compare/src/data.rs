//! What is stored and asked: keys, values and the checksum by which every value read is checked.
//! Knows no store.
//!
//! The words of a value sum to `check_of(record)`, whatever its version. So a reader proves with
//! one addition a word that it read every byte of a right value, and the sum over all lookups is
//! known beforehand.

/// How long keys and values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub key: usize,
    pub value: usize,
}

impl Shape {
    pub fn payload(self) -> u64 {
        (self.key + self.value) as u64
    }
}

/// Records from here on are in no table: what a miss asks for.
pub const ABSENT: u64 = 1 << 40;

/// A bijection that mixes all bits.
pub fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The number that `mix` made this word from.
pub fn unmix(x: u64) -> u64 {
    let x = (x ^ (x >> 31) ^ (x >> 62)).wrapping_mul(0x3196_42b2_d24d_8ec3);
    let x = (x ^ (x >> 27) ^ (x >> 54)).wrapping_mul(0x96de_1b17_3f11_9089);
    (x ^ (x >> 30) ^ (x >> 60)).wrapping_sub(0x9e37_79b9_7f4a_7c15)
}

/// What the words of each value of this record sum to.
pub fn check_of(record: u64) -> u64 {
    mix(record ^ 0x005e_ed0f_c0de)
}

/// The sum of a value's words, the last one filled with zeros.
#[inline]
pub fn fold(value: &[u8]) -> u64 {
    let (words, tail) = value.as_chunks::<8>();
    let mut sum = words.iter().fold(0_u64, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)));
    if !tail.is_empty() {
        let mut word = [0; 8];
        word[..tail.len()].copy_from_slice(tail);
        sum = sum.wrapping_add(u64::from_le_bytes(word));
    }
    sum
}

pub fn write_key(record: u64, out: &mut [u8]) {
    let mut word = mix(record);
    for chunk in out.chunks_mut(8) {
        chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
        word = mix(word);
    }
}

/// Bytes that no compressor shortens, at least 8 of them.
pub fn write_value(record: u64, version: u64, out: &mut [u8]) {
    let mut word = mix(record ^ version.rotate_left(32) ^ 0x7a1e);
    for chunk in out[8..].chunks_mut(8) {
        word = word.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        chunk.copy_from_slice(&(word ^ (word >> 29)).to_le_bytes()[..chunk.len()]);
    }
    out[..8].fill(0);
    let first = check_of(record).wrapping_sub(fold(out));
    out[..8].copy_from_slice(&first.to_le_bytes());
}

/// Keys of one length, one after another.
#[derive(Debug, Clone, Copy)]
pub struct Keys<'a> {
    pub bytes: &'a [u8],
    pub width: usize,
}

impl<'a> Keys<'a> {
    pub fn iter(self) -> std::slice::ChunksExact<'a, u8> {
        self.bytes.chunks_exact(self.width)
    }
}

/// Lookups to be made: the keys, and what the values found must sum to.
#[derive(Debug, Default)]
pub struct Probes {
    bytes: Vec<u8>,
    width: usize,
    pub records: Vec<u64>,
}

impl Probes {
    pub fn new(shape: Shape, records: Vec<u64>) -> Probes {
        let mut bytes = vec![0; records.len() * shape.key];
        for (record, out) in records.iter().zip(bytes.chunks_exact_mut(shape.key)) {
            write_key(*record, out);
        }
        Probes { bytes, width: shape.key, records }
    }

    /// `count` records drawn from `first .. first + records`, with repetition.
    pub fn random(shape: Shape, seed: u64, count: u64, first: u64, records: u64) -> Probes {
        let draw = |i| first + mix(mix(seed) ^ i) % records;
        Probes::new(shape, (0..count).map(draw).collect())
    }

    pub fn keys(&self) -> Keys<'_> {
        Keys { bytes: &self.bytes, width: self.width }
    }

    /// What the values of all must sum to.
    pub fn sum(&self) -> u64 {
        self.records.iter().fold(0, |sum, record| sum.wrapping_add(check_of(*record)))
    }

    pub fn len(&self) -> u64 {
        self.records.len() as u64
    }
}

/// Records to be written.
#[derive(Debug)]
pub struct Batch {
    shape: Shape,
    keys: Vec<u8>,
    values: Vec<u8>,
}

impl Batch {
    pub fn new(shape: Shape) -> Batch {
        Batch { shape, keys: Vec::new(), values: Vec::new() }
    }

    pub fn fill(&mut self, records: impl Iterator<Item = u64>, version: u64) -> &Batch {
        self.keys.clear();
        self.values.clear();
        for record in records {
            let (key, value) = (self.keys.len(), self.values.len());
            self.keys.resize(key + self.shape.key, 0);
            self.values.resize(value + self.shape.value, 0);
            write_key(record, &mut self.keys[key..]);
            write_value(record, version, &mut self.values[value..]);
        }
        self
    }

    pub fn len(&self) -> usize {
        self.keys.len() / self.shape.key
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        self.keys.chunks_exact(self.shape.key).zip(self.values.chunks_exact(self.shape.value))
    }
}

/// `0 .. count` in an order that looks random: each number once.
pub fn shuffled(count: u64, seed: u64) -> Vec<u64> {
    let mut order: Vec<u64> = (0..count).collect();
    for i in (1..order.len()).rev() {
        let j = mix(mix(seed) ^ i as u64) % (i as u64 + 1);
        order.swap(i, j as usize);
    }
    order
}

/// YCSB's scrambled zipfian draw: few records are asked for most often, and they lie anywhere.
#[derive(Debug)]
pub struct Zipf {
    records: u64,
    theta: f64,
    zeta: f64,
    eta: f64,
}

impl Zipf {
    pub fn new(records: u64, theta: f64) -> Zipf {
        let zeta = |n: u64| (1..=n).map(|i| (i as f64).powf(-theta)).sum::<f64>();
        let all = zeta(records);
        let eta = (1.0 - (2.0 / records as f64).powf(1.0 - theta)) / (1.0 - zeta(2) / all);
        Zipf { records, theta, zeta: all, eta }
    }

    /// The record that this uniform random word stands for.
    pub fn draw(&self, word: u64) -> u64 {
        let u = (word >> 11) as f64 / (1_u64 << 53) as f64;
        let uz = u * self.zeta;
        let rank = if uz < 1.0 {
            0
        } else if uz < 1.0 + 0.5_f64.powf(self.theta) {
            1
        } else {
            (self.records as f64 * (self.eta * u - self.eta + 1.0).powf(1.0 / (1.0 - self.theta)))
                as u64
        };
        mix(rank) % self.records
    }
}

#[cfg(test)]
mod tests {
    use super::{Probes, Shape, Zipf, check_of, fold, mix, shuffled, unmix, write_value};

    #[test]
    fn every_version_of_a_value_sums_to_the_check_of_its_record() {
        for len in [8, 40, 100, 150, 3072] {
            for version in 0..3 {
                let mut value = vec![0; len];
                write_value(17, version, &mut value);
                assert_eq!(fold(&value), check_of(17), "{len} bytes, version {version}");
            }
        }
    }

    #[test]
    fn a_wrong_byte_changes_the_sum() {
        let mut value = vec![0; 100];
        write_value(17, 0, &mut value);
        value[99] ^= 1;
        assert_ne!(fold(&value), check_of(17));
    }

    #[test]
    fn mixing_can_be_undone() {
        for i in [0, 1, 17, u64::MAX, 1 << 40] {
            assert_eq!(unmix(mix(i)), i);
        }
    }

    #[test]
    fn the_order_has_each_record_once() {
        let mut order = shuffled(1000, 3);
        assert_ne!(order[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        order.sort_unstable();
        assert!(order.iter().copied().eq(0..1000));
    }

    #[test]
    fn the_hottest_record_is_drawn_as_often_as_zipf_says() {
        let zipf = Zipf::new(1000, 0.99);
        let hot = mix(0) % 1000;
        let hits = (0..100_000).filter(|i| zipf.draw(mix(*i)) == hot).count();
        let expected = 100_000.0 / (1..=1000).map(|i| f64::from(i).powf(-0.99)).sum::<f64>();
        assert!((hits as f64 - expected).abs() < expected * 0.1, "{hits}, not {expected}");
    }

    #[test]
    fn probes_stay_within_their_records() {
        let probes = Probes::random(Shape { key: 16, value: 8 }, 1, 500, 100, 50);
        assert!(probes.records.iter().all(|record| (100..150).contains(record)));
        assert_eq!(probes.keys().iter().count(), 500);
    }
}
