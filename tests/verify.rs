//! What `Verify` promises of bytes that rot in a file while it is open.
#![expect(clippy::unwrap_used, reason = "a test: whatever goes wrong must end it")]

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};

use splitpoint::{Error, Index, Options, Place, Verify};

const VERIFIES: [Verify; 3] = [Verify::Always, Verify::OnFirstTouch, Verify::Never];

type Answer = Result<Vec<u8>, Error>;

/// What two looks at a value give, if one byte of it changes in the file between them.
fn looks(verify: Verify, len: usize, look: impl Fn(&Index) -> Answer) -> [Answer; 2] {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    let index = Index::open(&path).unwrap();
    index.insert("key", vec![7; len]).unwrap();
    index.close().unwrap();
    let index = Options::new().verify(verify).read_only(true).open(&path).unwrap();
    let first = look(&index);
    let bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(64).position(|bytes| bytes == [7; 64]).unwrap();
    let mut file = OpenOptions::new().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(at as u64)).unwrap();
    file.write_all(&[8]).unwrap();
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
    let bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(100).position(|bytes| bytes == [7; 100]).unwrap();
    let mut file = OpenOptions::new().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(at as u64)).unwrap();
    file.write_all(&[8]).unwrap();
    let changed = index.insert("another key", "value");
    let Err(Error::Corruption(corruption)) = changed else { panic!("{changed:?}") };
    assert_eq!(corruption.place, Place::Page(at as u64 / 4096));
    assert!(index.get("another key").unwrap().is_none());
    let restored = file.seek(SeekFrom::Start(at as u64)).and_then(|_| file.write_all(&[7]));
    restored.unwrap();
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
