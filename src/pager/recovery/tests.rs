//! Tests of the four meta pages: which one counts, and what is said where none does.

use super::*;
use crate::error::Corruption;
use crate::pager::PageRun;
use crate::storage::memory::MemoryStorage;
use crate::storage::{OpenMode, Storage};

const PATH: &str = "/index";

fn empty_file() -> Arc<dyn StorageFile> {
    MemoryStorage::new(1 << 26).open(Path::new(PATH), OpenMode::CreateNew).unwrap()
}

fn parameters(page_size: usize) -> FileParameters {
    FileParameters {
        file_id: *b"a test's file id",
        page_size,
        hash_seed: 11,
        key_size: None,
        value_size: None,
        inline_max: 400,
    }
}

fn create_in(file: &dyn StorageFile, page_size: usize, bucket_count: u64) {
    let log = LogPosition { lsn: 1, ..LogPosition::default() };
    let layout = Layout::new(bucket_count);
    create(file, Path::new(PATH), parameters(page_size), layout, log).unwrap();
}

fn newest(file: &dyn StorageFile) -> Result<MetaPages> {
    read_meta(file, Path::new(PATH))
}

fn corruption(result: Result<MetaPages>) -> Corruption {
    match result {
        Err(Error::Corruption(corruption)) => *corruption,
        other => panic!("{other:?}"),
    }
}

/// A file whose slots hold meta pages of these generations; 0 is a slot that was never written.
fn file_of(generations: [u64; META_SLOTS]) -> Arc<dyn StorageFile> {
    let file = empty_file();
    create_in(&*file, 4096, 1);
    let mut meta = newest(&*file).unwrap().newest;
    for (slot, generation) in (0..).zip(generations) {
        meta.generation = generation;
        let page = if generation == 0 { vec![0; META_SIZE] } else { meta.encode() };
        file.write_all_at(&page, slot * META_SIZE as u64).unwrap();
    }
    file
}

#[test]
fn an_empty_index_has_the_pages_that_its_buckets_ask_for() {
    for (page_size, bucket_count, first_page, page_count) in [
        (4096, 1, 4, 4),
        (4096, 1024 + 4 * 64 - 1, 4, 4),
        (4096, 1024 + 4 * 64, 4, 5),
        (4096, 1024 + 1000 * 64 + 63, 4, 1001),
        (8192, 1024 + 63, 2, 2),
        (8192, 1024 + 128, 2, 3),
        (65536, 1, 1, 1),
        (65536, 1024 + 64, 1, 2),
    ] {
        let file = empty_file();
        create_in(&*file, page_size, bucket_count);
        assert_eq!(file.len().unwrap(), page_count * page_size as u64);
        let MetaPages { newest: meta, slots } = newest(&*file).unwrap();
        assert_eq!((meta.generation, slots), (2, [1, 2, 0, 0]), "two, as of any clean close");
        assert_eq!((meta.page_count, meta.free_page_count), (page_count, page_count - first_page));
        assert!(meta.clean && meta.current.layout.bucket_count == bucket_count);
        assert!(bucket_count <= bucket_count_max(page_count), "it must be possible to open it");
    }
}

#[test]
fn the_greatest_generation_counts() {
    for (generations, wanted) in [
        ([1, 2, 0, 0], 2),
        ([5, 6, 7, 4], 7),
        ([9, 6, 7, 8], 9),
        ([9, 10, 7, 8], 10),
        ([1, 0, 0, 0], 1),
        ([0, 0, 0, 3], 3),
        ([4, 4, 2, 3], 4),
        ([2, 3, 4, 4], 4),
    ] {
        let found = newest(&*file_of(generations)).unwrap();
        assert_eq!((found.newest.generation, found.slots), (wanted, generations));
    }
}

#[test]
fn two_contents_of_one_generation_are_an_error() {
    // Also where a greater one stands behind them: nobody wrote that.
    for (generations, slot) in [([4, 4, 2, 3], 1), ([3, 0, 4, 4], 3), ([4, 1, 4, 5], 2)] {
        let file = file_of(generations);
        let mut meta = newest(&*file).unwrap().newest;
        meta.generation = 4;
        meta.metadata = b"other".to_vec();
        file.write_all_at(&meta.encode(), slot * META_SIZE as u64).unwrap();
        let found = corruption(newest(&*file));
        assert_eq!(found.place, Place::MetaPage(u8::try_from(slot).unwrap()));
        assert_eq!((found.promise, found.expected, found.found), (Promise::MetaField, 4, 4));
    }
    // The same content twice is not.
    assert_eq!(newest(&*file_of([4, 4, 4, 4])).unwrap().slots, [4; 4]);
}

#[test]
fn a_slot_that_is_not_whole_counts_for_nothing() {
    for byte in [0, 3000] {
        // The first bytes of the words of the format, and something behind its checksum.
        let file = file_of([5, 6, 7, 8]);
        file.write_all_at(&[0xee], 3 * META_SIZE as u64 + byte).unwrap();
        let found = newest(&*file).unwrap();
        assert_eq!((found.newest.generation, found.slots), (7, [5, 6, 7, 0]));
        file.write_all_at(&[0xee], byte).unwrap();
        assert_eq!(newest(&*file).unwrap().slots, [0, 6, 7, 0]);
    }
    // The first that is bad is named where all are; a slot that was never written is not bad.
    let file = file_of([0, 6, 7, 0]);
    for slot in [1, 2] {
        file.write_all_at(&[0xee], slot * META_SIZE as u64 + 3000).unwrap();
    }
    let found = corruption(newest(&*file));
    assert_eq!((found.place, found.promise), (Place::MetaPage(1), Promise::PageChecksum));
}

#[test]
fn a_file_that_is_no_index_is_told_from_a_damaged_one() {
    let file = empty_file();
    assert!(matches!(newest(&*file), Err(Error::NotAnIndex { .. })), "empty");
    for len in [1, 4096, 1 << 14, 1 << 16] {
        file.set_len(len).unwrap();
        assert!(matches!(newest(&*file), Err(Error::NotAnIndex { .. })), "{len} zeros");
    }
    let whole = (META_SIZE * META_SLOTS) as u64;
    for len in [16, 4095, 4096, 4097, 3 * 4096, whole - 1] {
        let file = file_of([1, 2, 3, 4]);
        file.set_len(len).unwrap();
        let found = corruption(newest(&*file));
        assert_eq!((found.place, found.promise), (Place::File, Promise::FileLength));
        assert_eq!((found.expected, found.found), (whole, len));
    }
}

fn opened(page_size: usize, bucket_count: u64) -> Pager {
    let file = empty_file();
    create_in(&*file, page_size, bucket_count);
    let pages = newest(&*file).unwrap();
    let reading = Reading {
        access: Access::Mapped,
        verify: Verify::OnFirstTouch,
        read_only: false,
        residence: Residence::Mapped,
    };
    open(file, Path::new(PATH), pages, reading).unwrap().pager
}

#[test]
fn a_file_may_have_so_many_buckets() {
    assert_eq!([0, 1, 10].map(bucket_count_max), [1024, 1088, 1664]);
}

/// What lies behind the file's end is damage; that it cannot be read is not the system's fault.
#[test]
fn a_page_behind_the_end_is_no_error_of_the_system() {
    let shared = opened(4096, 1).shared;
    assert!(shared.read_page(3).is_ok());
    match shared.read_page(4) {
        Err(Error::Corruption(c)) => {
            let expected = (Promise::PageRange, Place::Page(4));
            assert_eq!((c.promise, c.place), expected);
            assert_eq!((c.expected, c.found), (4, 4));
        }
        other => panic!("{:?}", other.map(|_| ())),
    }
}

#[test]
fn a_chain_is_as_long_as_there_are_pages_at_most() {
    let mut pager = opened(4096, 1);
    let few = pager.shared.clone();
    let on_file = Pointer::Unchecked { page: 9, checksum: 1 }.encode();
    let place_of = |shared: &Shared, len, word| match shared.check_chain_len(len, word) {
        Ok(()) => None,
        Err(Error::Corruption(c)) => {
            assert_eq!((c.promise, c.found), (Promise::ChainLength, len as u64));
            Some(c.place)
        }
        Err(other) => panic!("{other:?}"),
    };
    // Usual lengths are not looked at, longer ones when they have doubled.
    for len in [1, 4, 128, 255, 257, 300, 511, 1000] {
        assert_eq!(place_of(&few, len, on_file), None, "{len}");
    }
    for len in [256, 512, 1 << 20] {
        assert_eq!(place_of(&few, len, on_file), Some(Place::Page(9)), "{len}");
        let frame = Pointer::Frame { frame: 1, cell_count: 3 }.encode();
        assert_eq!(place_of(&few, len, frame), Some(Place::File), "{len}");
    }
    few.space().allocate(252);
    assert_eq!(few.space().taken().len(), 256);
    assert_eq!(place_of(&few, 256, on_file), None);
    assert_eq!(place_of(&few, 512, on_file), Some(Place::Page(9)));
    // Pages in memory count as well.
    few.space().free(PageRun { first: 200, count: 56 });
    assert_eq!(place_of(&few, 256, on_file), Some(Place::Page(9)));
    for _ in 0..56 {
        pager.new_frame(|_| ());
    }
    assert_eq!(place_of(&few, 256, on_file), None);
}
