//! Where the pages of a file are makes no difference to what is in it.
#![expect(clippy::unwrap_used, reason = "a test: whatever goes wrong must end it")]

use std::path::Path;

use splitpoint::{Error, Index, Options, Residence};

const COUNT: u32 = 5_000;

fn key(n: u32) -> Vec<u8> {
    format!("key {n}").into_bytes()
}

/// Most are short, some stand in value pages, and some of these in many.
fn value(n: u32) -> Vec<u8> {
    let len = match n % 100 {
        0 => 300_000,
        1..5 => 3_000,
        _ => n as usize % 200,
    };
    n.to_le_bytes().iter().copied().cycle().take(len).collect()
}

fn fill(path: &Path) {
    let index = Index::open(path).unwrap();
    let mut batch = splitpoint::Batch::new();
    for n in 0..COUNT {
        batch.insert(key(n), value(n));
    }
    index.commit(batch).unwrap();
    index.close().unwrap();
}

fn open(path: &Path, residence: Residence) -> Option<Index> {
    match Options::new().read_only(true).residence(residence).open(path) {
        Err(Error::Io { source, .. }) if residence == Residence::HugePages => {
            assert_eq!(source.kind(), std::io::ErrorKind::Unsupported, "{source}");
            None
        }
        opened => Some(opened.unwrap()),
    }
}

fn compare(index: &Index) {
    let keys: Vec<Vec<u8>> = (0..COUNT + 10).map(key).collect();
    let expected = |n: usize| u32::try_from(n).ok().filter(|n| *n < COUNT).map(value);
    index.get_many_with(&keys, |n, found| assert_eq!(found, expected(n).as_deref())).unwrap();
    for (n, found) in index.get_many(&keys).unwrap().iter().enumerate() {
        assert_eq!(found.as_deref(), expected(n).as_deref());
        assert_eq!(index.get(key(u32::try_from(n).unwrap())).unwrap().as_deref(), found.as_deref());
    }
    assert_eq!(index.iter().unwrap().map(Result::unwrap).count(), COUNT as usize);
}

#[test]
fn every_residence_gives_the_same_answers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    fill(&path);
    for residence in [Residence::Mapped, Residence::Prefetched, Residence::HugePages] {
        let Some(index) = open(&path, residence) else { continue };
        compare(&index);
        assert!(index.check().unwrap().is_sound());
        index.close().unwrap();
    }
    // Pages that were fetched ahead are no copy: the file may be written to.
    let index = Options::new().residence(Residence::Prefetched).open(&path).unwrap();
    index.insert("new", [7; 100_000]).unwrap();
    index.checkpoint().unwrap();
    assert_eq!(index.get("new").unwrap().unwrap(), [7; 100_000]);
    assert!(index.remove("new").unwrap());
    compare(&index);
    index.close().unwrap();
}

/// Another program that cuts the file off ends a process that has it mapped; not one with a copy.
#[test]
fn a_copy_in_huge_pages_needs_the_file_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    fill(&path);
    let Some(index) = open(&path, Residence::HugePages) else { return };
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(4096).unwrap();
    compare(&index);
    index.close().unwrap();
}
