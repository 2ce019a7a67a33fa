//! Checksums made right again behind damage: of large records, pages, the pointers to them, meta
//! pages, segments and their records. Written from the tables of the format, for any bytes.

use std::collections::HashSet;

use super::pack::Files;

pub(crate) const PAGE: usize = 4096;
const HEADER: usize = 64;
const NEXT: usize = 48;
/// The roots in a meta page: buckets, runs, those of the next layout, the bitmap, the value map.
pub(crate) const ROOTS: [usize; 6] = [144, 152, 168, 176, 192, 256];
/// Those of trees whose words are no pointers.
const DATA: [usize; 2] = [192, 256];

pub(crate) fn get(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).map_or(0, |b| u64::from_le_bytes(b.try_into().unwrap()))
}

pub(crate) fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

/// Where the newest meta page begins.
pub(crate) fn meta(data: &[u8]) -> usize {
    (0..4).map(|slot| slot * PAGE).max_by_key(|&at| get(data, at + 40)).unwrap()
}

pub(crate) fn page_of(pointer: u64) -> usize {
    (pointer & ((1 << 30) - 1)) as usize
}

struct Sealer<'f> {
    data: &'f mut [u8],
    seen: HashSet<usize>,
    /// Whether pages get their numbers and the file's tag as well.
    numbers: bool,
    tag: u64,
}

/// Seals all that the newest meta page reaches, and the log.
pub(crate) fn seal(files: &mut Files, numbers: bool) {
    let at = meta(&files.data);
    if at + PAGE <= files.data.len() {
        let tag = get(&files.data, at + 24);
        let mut sealer = Sealer { data: &mut files.data, seen: HashSet::new(), numbers, tag };
        for root in ROOTS {
            let old = get(sealer.data, at + root);
            let sealed = sealer.tree(old, DATA.contains(&root), 4);
            put(sealer.data, at + root, &sealed.to_le_bytes());
        }
        let sum = crc32fast::hash(&files.data[at + 20..at + PAGE]);
        put(&mut files.data, at + 16, &sum.to_le_bytes());
    }
    files.log.iter_mut().for_each(|(_, segment)| seal_segment(segment));
}

impl Sealer<'_> {
    /// The page's place, unless it is none, or was sealed before.
    fn place(&mut self, pointer: u64) -> Option<usize> {
        let at = page_of(pointer) * PAGE;
        let is_page = pointer != 0 && pointer >> 62 == 0 && at + PAGE <= self.data.len();
        (is_page && at >= 4 * PAGE).then_some(at)
    }

    fn tree(&mut self, old: u64, is_data: bool, depth: usize) -> u64 {
        let Some(at) = self.place(old) else { return old };
        if depth > 0 && self.seen.insert(at) {
            let level = self.data[at + 5];
            for offset in (at + HEADER..at + PAGE).step_by(8) {
                let word = get(self.data, offset);
                let sealed = match level {
                    0 if is_data => word,
                    0 => self.chain(word, 9),
                    _ => self.tree(word, is_data, depth - 1),
                };
                put(self.data, offset, &sealed.to_le_bytes());
            }
        }
        self.page(at)
    }

    fn chain(&mut self, old: u64, depth: usize) -> u64 {
        let Some(at) = self.place(old) else { return old };
        if depth > 0 && self.seen.insert(at) {
            let next = self.chain(get(self.data, at + NEXT), depth - 1);
            put(self.data, at + NEXT, &next.to_le_bytes());
            self.large_records(at);
        }
        self.page(at)
    }

    fn large_records(&mut self, at: usize) {
        let lanes = usize::from(self.data[at + 5]) * 16;
        for lane in (0..lanes).filter(|lane| lane % 16 != 0) {
            let slot = at + HEADER + 4 * lane;
            let record = at + (get(self.data, slot) as usize >> 16 & 0xffff);
            if record + 16 > at + PAGE || self.data.get(record) != Some(&0xfe) {
                continue;
            }
            let key_len = get(self.data, record + 1) & 0xffff;
            let value_len = get(self.data, record + 3) & 0xffff_ffff;
            let place = get(self.data, record + 7) & ((1 << 40) - 1);
            let start = place as usize * 64;
            let behind = if key_len > 253 { key_len } else { 0 };
            let end = start + (value_len + behind) as usize;
            if let Some(bytes) = self.data.get(start..end) {
                let sum = crc32fast::hash(bytes);
                put(self.data, record + 12, &sum.to_le_bytes());
            }
        }
    }

    fn page(&mut self, at: usize) -> u64 {
        if self.numbers {
            put(self.data, at + 8, &((at / PAGE) as u64).to_le_bytes());
            put(self.data, at + 16, &self.tag.to_le_bytes());
        }
        let sum = crc32fast::hash(&self.data[at + 4..at + PAGE]);
        put(self.data, at, &sum.to_le_bytes());
        u64::from(sum) << 30 | (at / PAGE) as u64
    }
}

/// The header and every record that its fields allow.
fn seal_segment(segment: &mut [u8]) {
    if segment.len() < PAGE {
        return;
    }
    let sum = crc32fast::hash(&segment[4..PAGE]);
    put(segment, 0, &sum.to_le_bytes());
    let salt = crc32fast::hash(&segment[16..56]);
    let mut at = PAGE;
    while at + 32 <= segment.len() {
        if PAGE - at % PAGE < 32 {
            at = at.next_multiple_of(PAGE);
            continue;
        }
        let len = (get(segment, at + 8) & 0xffff_ffff) as usize;
        let end = at + 32 + len;
        if get(segment, at + 16) == 0 || end > segment.len() {
            at += 8;
            continue;
        }
        // The header's own sum first: that of the record covers it.
        let sum = crc(salt, &segment[at + 7..at + 32]).to_le_bytes();
        put(segment, at + 4, &sum[..3]);
        let sum = crc(salt, &segment[at + 4..end]);
        put(segment, at, &sum.to_le_bytes());
        at = end.next_multiple_of(8);
    }
}

fn crc(salt: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(salt);
    hasher.update(bytes);
    hasher.finalize()
}
