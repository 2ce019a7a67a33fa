//! What `Verify` promises of bytes that rot in a file while it is open.
#![expect(clippy::unwrap_used, reason = "a test: whatever goes wrong must end it")]

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};

use splitpoint::{Error, Index, Options, Place, Verify};

const VERIFIES: [Verify; 3] = [Verify::Always, Verify::OnFirstTouch, Verify::Never];

type Answer = Result<Vec<u8>, Error>;

/// Changes a byte of the file, the first of these bytes, to another; gives its page.
fn rot(path: &std::path::Path, bytes: &[u8], to: u8) -> u64 {
    let all = std::fs::read(path).unwrap();
    let at = all.windows(bytes.len()).position(|found| found == bytes).unwrap() as u64;
    let mut file = OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at)).and_then(|_| file.write_all(&[to])).unwrap();
    at / 4096
}

/// What two looks at a value give, if one byte of it changes in the file between them.
fn looks(verify: Verify, len: usize, look: impl Fn(&Index) -> Answer) -> [Answer; 2] {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    let index = Index::open(&path).unwrap();
    index.insert("key", vec![7; len]).unwrap();
    index.close().unwrap();
    let index = Options::new().verify(verify).read_only(true).open(&path).unwrap();
    let first = look(&index);
    rot(&path, &[7; 64], 8);
    [first, look(&index)]
}

fn get(index: &Index) -> Answer {
    Ok(index.get("key")?.unwrap().to_vec())
}

fn get_many(index: &Index) -> Answer {
    Ok(index.get_many(&["key"])?.pop().unwrap().unwrap().to_vec())
}

/// A page that rotted after it was looked at was copied by the writer, and the copy got a checksum that
/// said it was right.
#[test]
fn what_rotted_is_not_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    let index = Index::open(&path).unwrap();
    index.insert("key", [7; 100]).unwrap();
    index.checkpoint().unwrap();
    assert_eq!(*index.get("key").unwrap().unwrap(), [7; 100]);
    let page = rot(&path, &[7; 100], 8);
    let changed = index.insert("another key", "value");
    let Err(Error::Corruption(corruption)) = changed else { panic!("{changed:?}") };
    assert_eq!(corruption.place, Place::Page(page));
    assert!(index.get("another key").unwrap().is_none());
    rot(&path, &[&[8], &[7; 99][..]].concat(), 7);
    index.insert("another key", "value").unwrap();
    assert!(index.check().unwrap().is_sound());
}

#[test]
fn each_touch_is_checked_or_the_first_or_none() {
    // In a page, and in the value area.
    for len in [100, 3000] {
        let whole = vec![7; len];
        let rotten = [&[8], &whole[1..]].concat();
        for look in [get, get_many] {
            for verify in [Verify::OnFirstTouch, Verify::Never] {
                let [first, second] = looks(verify, len, look);
                assert_eq!((first.unwrap(), second.unwrap()), (whole.clone(), rotten.clone()));
            }
            let [first, second] = looks(Verify::Always, len, look);
            assert_eq!(first.unwrap(), whole);
            assert!(matches!(second, Err(Error::Corruption(_))), "{len}: {second:?}");
        }
    }
}

/// As above, but it has rotted before anyone looks.
#[test]
fn the_first_touch_finds_what_has_rotted_by_then() {
    for (len, verify) in
        [100, 3000].into_iter().flat_map(|len| VERIFIES.map(|verify| (len, verify)))
    {
        for look in [get, get_many] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("index");
            let index = Index::open(&path).unwrap();
            index.insert("key", vec![7; len]).unwrap();
            index.close().unwrap();
            let mut bytes = std::fs::read(&path).unwrap();
            let at = bytes.windows(64).position(|bytes| bytes == [7; 64]).unwrap();
            bytes[at + 1] = 8;
            std::fs::write(&path, &bytes).unwrap();
            let index = Options::new().verify(verify).open(&path).unwrap();
            let (first, second) = (look(&index), look(&index));
            if verify == Verify::Never {
                assert_eq!(first.unwrap(), second.unwrap());
            } else {
                assert!(matches!(first, Err(Error::Corruption(_))), "{len}: {first:?}");
                assert!(matches!(second, Err(Error::Corruption(_))), "{len}: {second:?}");
            }
        }
    }
}

/// A look for a large value's key read all of the value, from the device if need be.
#[test]
fn whether_a_key_is_there_is_told_without_its_value() {
    let contains = |index: &Index| Ok(vec![index.contains_key("key")?.into()]);
    for verify in VERIFIES {
        let [first, second] = looks(verify, 3000, contains);
        assert_eq!((first.unwrap(), second.unwrap()), (vec![1], vec![1]));
    }
    let [_, second] = looks(Verify::Always, 3000, get);
    assert!(matches!(second, Err(Error::Corruption(_))));
}

/// A large value that had rotted could not be overwritten or removed: whether the key is there was
/// found out by reading all of the value.
#[test]
fn a_large_value_that_rotted_can_be_overwritten_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    let index = Index::open(&path).unwrap();
    index.insert("overwritten", [7; 3000]).unwrap();
    index.insert("removed", [9; 3000]).unwrap();
    index.close().unwrap();
    rot(&path, &[7; 3000], 8);
    rot(&path, &[9; 3000], 8);
    let index = Index::open(&path).unwrap();
    assert!(matches!(index.get("overwritten"), Err(Error::Corruption(_))));
    assert!(!index.insert("overwritten", "new").unwrap());
    assert!(index.remove("removed").unwrap());
    assert_eq!(*index.get("overwritten").unwrap().unwrap(), *b"new");
    assert_eq!(index.len(), 1);
    index.checkpoint().unwrap();
    assert!(index.check().unwrap().is_sound());
    index.close().unwrap();
}

/// A damaged page that a checkpoint wanted to move, or a shrinking table to empty, ended it before it
/// had written anything; and the index could never be closed.
#[test]
fn a_damaged_page_keeps_nobody_from_writing_and_closing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    let value = |n: u32| n.to_le_bytes().repeat(25);
    let index = Options::new().hash_seed(7).open(&path).unwrap();
    (0..5000_u32).for_each(|n| _ = index.insert(n.to_le_bytes(), value(n)).unwrap());
    index.insert("large", vec![7; 100_000]).unwrap();
    index.close().unwrap();
    let damaged = rot(&path, &value(77), 8);
    let index = Index::open(&path).unwrap();
    let removed = (100..5000_u32).filter(|n| index.remove(n.to_le_bytes()).is_ok()).count();
    assert!(
        (4800..4900).contains(&removed),
        "{removed}: some are in the damaged page, or beside it"
    );
    index.checkpoint().unwrap();
    index.remove("large").unwrap();
    index.close().unwrap();
    assert!(!path.with_file_name("index-wal-0000000000000001").exists());
    let index = Index::open(&path).unwrap();
    for n in (0..100_u32).filter(|n| *n != 77) {
        match index.get(n.to_le_bytes()) {
            Ok(found) => assert_eq!(*found.unwrap(), *value(n)),
            Err(Error::Corruption(error)) => assert_eq!(error.place, Place::Page(damaged)),
            Err(error) => panic!("{error}"),
        }
    }
    index.close().unwrap();
}
