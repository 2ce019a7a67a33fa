//! The bytes of a data file, to be damaged: finds its pages, and seals checksums anew up to the
//! meta page, so that the damage is not found by a checksum. Written from the tables of the format,
//! not with the code under test.

/// Words of the meta page, by offset.
pub(crate) const PAGE_COUNT: usize = 88;
pub(crate) const BUCKET_COUNT: usize = 136;
pub(crate) const BUCKET_ROOT: usize = 144;
pub(crate) const RUN_ROOT: usize = 152;
pub(crate) const BITMAP_ROOT: usize = 192;
pub(crate) const VALUE_ROOT: usize = 256;
pub(crate) const LOG_SEGMENT: usize = 216;
/// Bytes of a meta page, and of a page of the sample.
pub(crate) const PAGE: usize = 4096;
/// Bytes of a page's header, and of a cell.
pub(crate) const HEADER: usize = 64;
/// Offset of the pointer to the next page of a chain.
pub(crate) const NEXT: usize = 48;

/// A data file.
#[derive(Clone)]
pub(crate) struct File(pub(crate) Vec<u8>);

/// The checksum of bytes that follow others with the checksum `before`.
pub(crate) fn crc(before: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(before);
    hasher.update(bytes);
    hasher.finalize()
}

/// The page number in a pointer.
pub(crate) fn page_of(pointer: u64) -> usize {
    (pointer & ((1 << 30) - 1)) as usize
}

/// A pointer, of a form: 0 as it stands in files.
pub(crate) fn pointer(form: u64, page: usize, checksum: u32) -> u64 {
    form << 62 | u64::from(checksum) << 30 | page as u64
}

impl File {
    pub(crate) fn get(&self, offset: usize) -> u64 {
        u64::from_le_bytes(self.0[offset..offset + 8].try_into().unwrap())
    }

    pub(crate) fn get32(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.0[offset..offset + 4].try_into().unwrap())
    }

    pub(crate) fn put(&mut self, offset: usize, value: u64) {
        self.0[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn put32(&mut self, offset: usize, value: u32) {
        self.0[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
    }

    /// Where the newest meta page begins.
    pub(crate) fn meta(&self) -> usize {
        (0..4).map(|slot| slot * PAGE).max_by_key(|&at| self.get(at + 40)).unwrap()
    }

    /// Changes a word of the newest meta page, and seals it.
    pub(crate) fn set_meta(&mut self, offset: usize, value: u64) {
        let at = self.meta();
        self.put(at + offset, value);
        self.seal_meta(at);
    }

    pub(crate) fn seal_meta(&mut self, at: usize) {
        let checksum = crc32fast::hash(&self.0[at + 20..at + PAGE]);
        self.put32(at + 16, checksum);
    }

    /// The words of the tree under a root, by index, empty ones left out; and its leaves.
    fn tree(&self, pointer: u64, words: &mut Vec<(u64, u64)>, leaves: &mut Vec<usize>) {
        if pointer == 0 {
            return;
        }
        let at = page_of(pointer) * PAGE;
        let level = self.0[at + 5];
        if level == 0 {
            leaves.push(at);
        }
        for i in 0..(PAGE - HEADER) / 8 {
            let word = self.get(at + HEADER + 8 * i);
            if word != 0 && level == 0 {
                words.push((self.get(at + 32) + i as u64, word));
            } else if level > 0 {
                self.tree(word, words, leaves);
            }
        }
    }

    /// Index and byte offset of the page of each entry of a directory.
    pub(crate) fn entries(&self, root: usize) -> Vec<(u64, usize)> {
        let (mut words, mut leaves) = (Vec::new(), Vec::new());
        self.tree(self.get(self.meta() + root), &mut words, &mut leaves);
        words.into_iter().map(|(index, word)| (index, page_of(word) * PAGE)).collect()
    }

    /// Byte offset of the first leaf of a tree.
    pub(crate) fn leaf(&self, root: usize) -> usize {
        let (mut words, mut leaves) = (Vec::new(), Vec::new());
        self.tree(self.get(self.meta() + root), &mut words, &mut leaves);
        leaves[0]
    }

    /// The bucket page with the most records.
    pub(crate) fn bucket(&self) -> usize {
        let pages = self.entries(BUCKET_ROOT).into_iter().map(|(_, at)| at);
        pages.max_by_key(|&at| self.get(at) >> 48).unwrap()
    }

    /// The first page of an overflow chain.
    pub(crate) fn overflow(&self) -> usize {
        self.entries(RUN_ROOT)[0].1
    }

    /// The slots in use of a bucket page: offset of the slot, offset of the record.
    pub(crate) fn slots(&self, page: usize) -> Vec<(usize, usize)> {
        let cells = usize::from(self.0[page + 5]);
        let lanes = (0..cells * 16).filter(|lane| lane % 16 != 0);
        let slots = lanes.map(|lane| page + HEADER + 4 * lane);
        slots
            .map(|slot| (slot, (self.get32(slot) >> 16) as usize))
            .filter(|(_, offset)| *offset != 0)
            .map(|(slot, offset)| (slot, page + offset))
            .collect()
    }

    /// Offsets of large records' stand-ins.
    pub(crate) fn large(&self) -> Vec<usize> {
        let pages = [BUCKET_ROOT, RUN_ROOT].map(|root| self.entries(root)).concat();
        let slots = pages.into_iter().flat_map(|(_, page)| self.slots(page));
        slots.map(|(_, record)| record).filter(|&record| self.0[record] == 0xfe).collect()
    }

    /// Where the value of a large record begins, in grains of 64 bytes.
    pub(crate) fn place(&self, large: usize) -> u64 {
        self.get(large + 7) & ((1 << 40) - 1)
    }

    pub(crate) fn set_place(&mut self, large: usize, place: u64) {
        self.0[large + 7..large + 12].copy_from_slice(&place.to_le_bytes()[..5]);
    }

    /// Where the count of a page stands in the value map, two bytes.
    pub(crate) fn count(&self, page: usize) -> usize {
        self.leaf(VALUE_ROOT) + HEADER + 2 * page
    }

    /// Seals everything that the newest meta page reaches.
    pub(crate) fn seal(&mut self) {
        let meta = self.meta();
        for root in [BUCKET_ROOT, RUN_ROOT, BITMAP_ROOT, VALUE_ROOT] {
            let is_data = [BITMAP_ROOT, VALUE_ROOT].contains(&root);
            let sealed = self.seal_tree(self.get(meta + root), is_data, 9);
            self.put(meta + root, sealed);
        }
        self.seal_meta(meta);
    }

    fn seal_tree(&mut self, old: u64, is_data: bool, depth: usize) -> u64 {
        let at = page_of(old) * PAGE;
        if old == 0 || old >> 62 != 0 || at + PAGE > self.0.len() || depth == 0 {
            return old;
        }
        let level = self.0[at + 5];
        for i in 0..(PAGE - HEADER) / 8 {
            let offset = at + HEADER + 8 * i;
            let word = self.get(offset);
            let sealed = match level {
                0 if is_data => word,
                0 => self.seal_chain(word, 9),
                _ => self.seal_tree(word, is_data, depth - 1),
            };
            self.put(offset, sealed);
        }
        self.seal_page(at)
    }

    fn seal_chain(&mut self, old: u64, depth: usize) -> u64 {
        let at = page_of(old) * PAGE;
        if old == 0 || old >> 62 != 0 || at + PAGE > self.0.len() || depth == 0 {
            return old;
        }
        let next = self.get(at + NEXT);
        // Neither a circle nor a meta page is followed.
        if page_of(next) * PAGE != at && page_of(next) >= 4 {
            let next = self.seal_chain(next, depth - 1);
            self.put(at + NEXT, next);
        }
        self.seal_page(at)
    }

    /// Seals a page; gives the pointer to it.
    pub(crate) fn seal_page(&mut self, at: usize) -> u64 {
        let checksum = crc32fast::hash(&self.0[at + 4..at + PAGE]);
        self.put32(at, checksum);
        pointer(0, at / PAGE, checksum)
    }

    /// Lets the first run's entry lead to this page, and seals what is above the chain.
    pub(crate) fn set_chain(&mut self, word: u64) {
        let (leaf, old) = (self.leaf(RUN_ROOT), self.overflow() / PAGE);
        let mut entries = (leaf + HEADER..leaf + PAGE).step_by(8);
        let entry = entries.find(|&e| page_of(self.get(e)) == old).unwrap();
        self.put(entry, word);
        let root = self.seal_page(leaf);
        self.set_meta(RUN_ROOT, root);
    }

    /// Adds a copy of a page behind the last one.
    pub(crate) fn push_copy(&mut self, at: usize) -> usize {
        let new = self.0.len();
        self.0.extend_from_within(at..at + PAGE);
        self.put(new + 8, (new / PAGE) as u64);
        new
    }

    /// Chooses the four bytes at `free` such that the page's checksum is `wanted`: a page can
    /// then hold a pointer to itself.
    pub(crate) fn forge(&mut self, at: usize, free: usize, wanted: u32) {
        let mut with = |patch: u32| {
            self.put32(free, patch);
            crc32fast::hash(&self.0[at + 4..at + PAGE])
        };
        // The checksum is linear: the patch is a sum of single bits, by Gauss's elimination.
        let zero = with(0);
        let mut rows: Vec<(u32, u32)> = Vec::new();
        for bit in 0..32 {
            let (mut change, mut patch) = (with(1 << bit) ^ zero, 1_u32 << bit);
            for &(other, bits) in &rows {
                if change >> other.ilog2() & 1 == 1 {
                    (change, patch) = (change ^ other, patch ^ bits);
                }
            }
            rows.push((change, patch));
        }
        let (mut rest, mut patch) = (wanted ^ zero, 0);
        for (change, bits) in rows {
            if rest >> change.ilog2() & 1 == 1 {
                (rest, patch) = (rest ^ change, patch ^ bits);
            }
        }
        assert_eq!(with(patch), wanted);
        self.put32(at, wanted);
    }
}
