//! Meta pages: the four slots, each in a 4 KiB block of its own, that open the file.
//!
//! ```text
//! OFFSET SIZE NAME
//!      0   16 magic
//!     16    4 checksum              CRC-32 of the bytes from 20 to 4096
//!     20    4 version               of the format
//!     24   16 file_id               random
//!     40    8 generation            of the checkpoint; the greatest whole one is the newest
//!     48    4 page_size             bytes
//!     52    4 flags                 bit 0: closed clean, there is no log
//!     56    8 hash_seed
//!     64    8 hash_fingerprint
//!     72    8 key_size              bytes + 1, or 0 for any
//!     80    8 value_size            bytes + 1, or 0 for any
//!     88    8 page_count            pages that the file has at least
//!     96    8 free_page_count
//!    104    8 record_count
//!    112    8 record_len            bytes of all records in bucket and overflow pages
//!    120    8 overflow_page_count
//!    128    8 value_page_count
//!    136    8 bucket_count          of the layout
//!    144    8 bucket_root           pointer to the directory of buckets
//!    152    8 run_root              pointer to the directory of overflow chains
//!    160    8 next_bucket_count     of the layout that a sweep moves to, or 0
//!    168    8 next_bucket_root
//!    176    8 next_run_root
//!    184    8 splitpoint            hashes below it live in the next layout
//!    192    8 bitmap_root           pointer to the bitmap of used pages
//!    200    8 log_epoch_counter     the log that redo begins with
//!    208    8 log_epoch_random
//!    216    8 log_segment
//!    224    8 log_lsn               the first commit that is not in this checkpoint
//!    232    4 metadata_len          bytes of the user's metadata
//!    236    4 inline_max            bytes of the longest record that stands in a page as a whole
//!    240    8 value_len             bytes of all live records in the value area
//!    248    8 value_end             pages from this one on are no value pages
//!    256    8 value_root            pointer to the counts of live grains
//!    264 2808 reserved              zero
//!   3072 1024 metadata
//! ```
//!
//! Knows nothing of files: which slot is newest is decided above.

use super::shape::Shape;
use super::{get_u32, get_u64, put, put_u32, put_u64};
use crate::checksum::crc32;
use crate::error::{Fault, Promise};
use crate::hash::hash_fingerprint;
use crate::layout::{BUCKET_COUNT_MAX, Layout};

/// Bytes of one slot.
pub(crate) const META_SIZE: usize = 4096;
/// How many slots.
pub(crate) const META_SLOTS: usize = 4;
/// The version that this program writes, and the newest that it reads.
pub(crate) const VERSION: u32 = 0;
/// The first bytes of the file.
pub(crate) const MAGIC: [u8; 16] = *b"splitpoint hash\n";
/// The most bytes of metadata.
pub(crate) const METADATA_LEN_MAX: usize = 1024;

const CHECKSUM: usize = 16;
const RESERVED: usize = 264;
const METADATA: usize = 3072;
const FLAG_CLEAN: u32 = 1;

/// A layout and where its directories are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SideMeta {
    pub(crate) layout: Layout,
    pub(crate) bucket_root: u64,
    pub(crate) run_root: u64,
}

/// What a record, a page or a table amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) record_count: u64,
    pub(crate) record_len: u64,
    pub(crate) overflow_page_count: u64,
    /// Pages with a live byte of the value area.
    pub(crate) value_page_count: u64,
    /// Bytes of large records in the value area.
    pub(crate) value_len: u64,
}

/// Where redo begins, as the log layer's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct LogPosition {
    pub(crate) epoch_counter: u64,
    pub(crate) epoch_random: u64,
    pub(crate) segment: u64,
    pub(crate) lsn: u64,
}

/// What never changes in a file's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileParameters {
    pub(crate) file_id: [u8; 16],
    pub(crate) page_size: usize,
    pub(crate) hash_seed: u64,
    pub(crate) key_size: Option<usize>,
    pub(crate) value_size: Option<usize>,
    /// The longest record that stands in a page as a whole, in bytes there.
    pub(crate) inline_max: usize,
}

/// Where the counts of live grains are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ValueMeta {
    /// Pages from this one on are no value pages.
    pub(crate) end: u64,
    pub(crate) root: u64,
}

impl FileParameters {
    /// The part of the id that every page bears.
    pub(crate) fn file_tag(&self) -> u64 {
        get_u64(&self.file_id, 0)
    }

    /// The shape of the pages with records.
    pub(crate) fn shape(&self) -> Shape {
        Shape::new(self.page_size, self.inline_max, self.key_size, self.value_size)
    }
}

/// A meta page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) parameters: FileParameters,
    pub(crate) generation: u64,
    pub(crate) clean: bool,
    pub(crate) page_count: u64,
    pub(crate) free_page_count: u64,
    pub(crate) counts: Counts,
    pub(crate) current: SideMeta,
    pub(crate) next: Option<SideMeta>,
    pub(crate) splitpoint: u64,
    pub(crate) bitmap_root: u64,
    pub(crate) values: ValueMeta,
    pub(crate) log: LogPosition,
    pub(crate) metadata: Vec<u8>,
}

impl Meta {
    /// The bytes of a slot.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut page = vec![0; META_SIZE];
        let size_field = |size: Option<usize>| size.map_or(0, |size| size as u64 + 1);
        let page_size = u32::try_from(self.parameters.page_size).expect("at most 64 KiB");
        let metadata_len = u32::try_from(self.metadata.len()).expect("at most 1 KiB");
        assert!(self.metadata.len() <= METADATA_LEN_MAX);
        put(&mut page, 0, &MAGIC);
        put_u32(&mut page, 20, VERSION);
        put(&mut page, 24, &self.parameters.file_id);
        put_u64(&mut page, 40, self.generation);
        put_u32(&mut page, 48, page_size);
        put_u32(&mut page, 52, if self.clean { FLAG_CLEAN } else { 0 });
        let none = SideMeta { layout: Layout { bucket_count: 0 }, bucket_root: 0, run_root: 0 };
        let next = self.next.unwrap_or(none);
        let fields = [
            self.parameters.hash_seed,
            hash_fingerprint(self.parameters.hash_seed),
            size_field(self.parameters.key_size),
            size_field(self.parameters.value_size),
            self.page_count,
            self.free_page_count,
            self.counts.record_count,
            self.counts.record_len,
            self.counts.overflow_page_count,
            self.counts.value_page_count,
            self.current.layout.bucket_count,
            self.current.bucket_root,
            self.current.run_root,
            next.layout.bucket_count,
            next.bucket_root,
            next.run_root,
            self.splitpoint,
            self.bitmap_root,
            self.log.epoch_counter,
            self.log.epoch_random,
            self.log.segment,
            self.log.lsn,
        ];
        for (i, field) in fields.into_iter().enumerate() {
            put_u64(&mut page, 56 + 8 * i, field);
        }
        put_u32(&mut page, 232, metadata_len);
        let inline_max = u32::try_from(self.parameters.inline_max).expect("less than a page");
        put_u32(&mut page, 236, inline_max);
        for (i, field) in
            [self.counts.value_len, self.values.end, self.values.root].into_iter().enumerate()
        {
            put_u64(&mut page, 240 + 8 * i, field);
        }
        put(&mut page, METADATA, &self.metadata);
        let checksum = checksum(&page);
        put_u32(&mut page, CHECKSUM, checksum);
        page
    }

    /// Reads a slot that [`is_whole`]; what a checksum cannot prove is checked here.
    pub(crate) fn decode(page: &[u8]) -> Result<Meta, Fault> {
        let field = |offset: usize| get_u64(page, offset);
        let wrong = |offset: usize, expected: u64| {
            Err(Fault::new(Promise::MetaField, expected, field(offset)))
        };
        let page_size = get_u32(page, 48) as usize;
        if !is_page_size(page_size) {
            return Err(Fault::new(Promise::MetaField, 4096, page_size as u64));
        }
        let flags = get_u32(page, 52);
        Fault::expect(Promise::Reserved, 0, u64::from(flags & !FLAG_CLEAN))?;
        let hash_seed = field(56);
        Fault::expect(Promise::HashFingerprint, hash_fingerprint(hash_seed), field(64))?;
        if field(72) > 65_536 {
            return wrong(72, 65_536);
        }
        if field(80) > u64::from(u32::MAX) + 1 {
            return wrong(80, u64::from(u32::MAX) + 1);
        }
        for offset in [136, 160] {
            if field(offset) > BUCKET_COUNT_MAX || (offset == 136 && field(offset) == 0) {
                return wrong(offset, BUCKET_COUNT_MAX);
            }
        }
        if field(160) == 0 {
            for offset in [168, 176, 184] {
                Fault::expect(Promise::MetaField, 0, field(offset))?;
            }
        }
        if field(88) > super::pointer::PAGE_COUNT_MAX {
            return wrong(88, super::pointer::PAGE_COUNT_MAX);
        }
        // Generation, epoch, segment and LSN are counted on from here, and must not overflow.
        for offset in [40, 200, 216, 224] {
            if field(offset) >= u64::MAX / 2 {
                return wrong(offset, u64::MAX / 2);
            }
        }
        if field(224) == 0 {
            return wrong(224, 1);
        }
        if field(248) > field(88) {
            return wrong(248, field(88));
        }
        let inline_max = get_u32(page, 236) as usize;
        if !(INLINE_MAX_MIN..=inline_max_of(page_size)).contains(&inline_max) {
            let max = inline_max_of(page_size) as u64;
            return Err(Fault::new(Promise::MetaField, max, inline_max as u64));
        }
        let metadata_len = get_u32(page, 232) as usize;
        let reserved = page.get(RESERVED..METADATA).unwrap_or_default();
        let metadata = page.get(METADATA..METADATA + metadata_len.min(METADATA_LEN_MAX));
        let unused = page.get(METADATA + metadata_len.min(METADATA_LEN_MAX)..).unwrap_or_default();
        if metadata_len > METADATA_LEN_MAX {
            return Err(Fault::new(Promise::MetaField, 1024, metadata_len as u64));
        }
        if let Some(&byte) = reserved.iter().chain(unused).find(|&&byte| byte != 0) {
            return Err(Fault::new(Promise::Reserved, 0, byte.into()));
        }
        let size_of = |offset: usize| field(offset).checked_sub(1).and_then(|s| s.try_into().ok());
        let side = |offset: usize| SideMeta {
            layout: Layout { bucket_count: field(offset) },
            bucket_root: field(offset + 8),
            run_root: field(offset + 16),
        };
        Ok(Meta {
            parameters: FileParameters {
                file_id: page.get(24..).and_then(|b| b.first_chunk()).copied().unwrap_or_default(),
                page_size,
                hash_seed,
                key_size: size_of(72),
                value_size: size_of(80),
                inline_max,
            },
            generation: field(40),
            clean: flags & FLAG_CLEAN != 0,
            page_count: field(88),
            free_page_count: field(96),
            counts: Counts {
                record_count: field(104),
                record_len: field(112),
                overflow_page_count: field(120),
                value_page_count: field(128),
                value_len: field(240),
            },
            current: side(136),
            next: (field(160) != 0).then(|| side(160)),
            splitpoint: field(184),
            bitmap_root: field(192),
            values: ValueMeta { end: field(248), root: field(256) },
            log: LogPosition {
                epoch_counter: field(200),
                epoch_random: field(208),
                segment: field(216),
                lsn: field(224),
            },
            metadata: metadata.unwrap_or_default().to_vec(),
        })
    }
}

fn checksum(page: &[u8]) -> u32 {
    crc32(0, page.get(CHECKSUM + 4..).unwrap_or_default())
}

/// Whether a slot opens with the magic.
pub(crate) fn has_magic(page: &[u8]) -> bool {
    page.starts_with(&MAGIC)
}

/// The version that a slot states.
pub(crate) fn version(page: &[u8]) -> u32 {
    get_u32(page, 20)
}

/// Whether a slot's checksum is that of its bytes; what it found and what it expected, if not.
pub(crate) fn check_whole(page: &[u8]) -> Result<(), Fault> {
    let found = get_u32(page, CHECKSUM).into();
    Fault::expect(Promise::PageChecksum, checksum(page).into(), found)
}

/// Whether a page may have this size: a power of two from 4 to 64 KiB.
pub(crate) fn is_page_size(size: usize) -> bool {
    size.is_power_of_two() && (super::PAGE_SIZE_MIN..=super::PAGE_SIZE_MAX).contains(&size)
}

/// The least that a file's `inline_max` can be, in bytes.
pub(crate) const INLINE_MAX_MIN: usize = 64;
/// What it is unless asked otherwise: from there on packing saves a fifth of the space and costs
/// little time.
pub(crate) const INLINE_MAX_USUAL: usize = 496;

/// The most that a file's `inline_max` can be: a page holds four such records at least.
pub(crate) fn inline_max_of(page_size: usize) -> usize {
    (page_size - super::HEADER_SIZE) / 4 - super::LINE_SIZE / 4
}

/// The first page that is not of the meta pages'.
pub(crate) fn first_page(page_size: usize) -> u64 {
    ((META_SIZE * META_SLOTS).div_ceil(page_size)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::pointer::PAGE_COUNT_MAX;

    fn sample() -> Meta {
        let side = SideMeta { layout: Layout::new(100), bucket_root: 1, run_root: 2 };
        Meta {
            parameters: FileParameters {
                file_id: *b"0123456789abcdef",
                page_size: 8192,
                hash_seed: 7,
                key_size: Some(0),
                value_size: None,
                inline_max: 500,
            },
            generation: 9,
            clean: true,
            page_count: 1000,
            free_page_count: 10,
            counts: Counts {
                record_count: 1,
                record_len: 2,
                overflow_page_count: 3,
                value_page_count: 4,
                value_len: 5,
            },
            current: side,
            next: Some(SideMeta { layout: Layout::new(125), bucket_root: 3, run_root: 4 }),
            splitpoint: 1 << 40,
            bitmap_root: 5,
            values: ValueMeta { end: 900, root: 6 },
            log: LogPosition { epoch_counter: 1, epoch_random: 2, segment: 3, lsn: 4 },
            metadata: b"mine".to_vec(),
        }
    }

    #[test]
    fn survives_the_round_trip() {
        let page = sample().encode();
        check_whole(&page).unwrap();
        assert_eq!(Meta::decode(&page), Ok(sample()));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let page = sample().encode();
        for bit in 0..page.len() * 8 {
            let mut damaged = page.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(!has_magic(&damaged) || check_whole(&damaged).is_err(), "bit {bit}");
        }
    }

    /// What decoding says of the sample with another field.
    fn with_field(offset: usize, value: u64) -> Result<Meta, Fault> {
        let mut page = sample().encode();
        put_u64(&mut page, offset, value);
        let sum = checksum(&page);
        put_u32(&mut page, CHECKSUM, sum);
        Meta::decode(&page)
    }

    #[test]
    fn the_greatest_value_of_each_field_is_allowed_and_the_next_refused() {
        let counted = (u64::MAX / 2 - 1, u64::MAX / 2);
        for (offset, (greatest, stated)) in [
            (72, (65_536, 65_536)),
            (80, (1 << 32, 1 << 32)),
            (136, (BUCKET_COUNT_MAX, BUCKET_COUNT_MAX)),
            (160, (BUCKET_COUNT_MAX, BUCKET_COUNT_MAX)),
            (88, (PAGE_COUNT_MAX, PAGE_COUNT_MAX)),
            (40, counted),
            (200, counted),
            (216, counted),
            (224, counted),
            (248, (1000, 1000)),
        ] {
            assert!(with_field(offset, greatest).is_ok(), "{greatest} at {offset}");
            let fault = Fault::new(Promise::MetaField, stated, greatest + 1);
            assert_eq!(with_field(offset, greatest + 1), Err(fault), "at {offset}");
        }
        assert_eq!(version(&sample().encode()), VERSION);
    }

    #[test]
    fn the_longest_metadata_is_allowed_and_a_longer_refused() {
        let full = Meta { metadata: vec![7; METADATA_LEN_MAX], ..sample() };
        let mut page = full.encode();
        assert_eq!(Meta::decode(&page), Ok(full));
        put_u32(&mut page, 232, 1025);
        assert_eq!(Meta::decode(&page), Err(Fault::new(Promise::MetaField, 1024, 1025)));
    }

    #[test]
    fn a_right_checksum_proves_nothing() {
        for (offset, value) in [
            (48, 0),
            (48, 1),
            (48, 6000),
            (64, 0),
            (72, 1 << 60),
            (88, 1 << 40),
            (136, 0),
            (136, 1 << 63),
            (40, u64::MAX),
            (200, u64::MAX),
            (216, u64::MAX),
            (224, u64::MAX),
            (224, 0),
            (236, 63),
            (236, 1 << 20),
            (248, 1001),
            (264, 1),
            (3072 + 4, 1),
        ] {
            let mut page = sample().encode();
            if [48, 236].contains(&offset) {
                put_u32(&mut page, offset, value as u32);
            } else {
                put_u64(&mut page, offset, value);
            }
            let sum = checksum(&page);
            put_u32(&mut page, CHECKSUM, sum);
            check_whole(&page).unwrap();
            assert!(Meta::decode(&page).is_err(), "{value} at {offset}");
        }
    }
}
