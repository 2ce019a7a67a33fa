//! Records that overflow where nobody foresaw it: a batch whose first records take the room that each
//! of the others was promised, beside a chain that stands on file and was already looked at. And a file
//! that shrinks by so much that its bitmap loses a leaf.
#![expect(clippy::unwrap_used, reason = "a test: whatever goes wrong must end it")]

use std::collections::BTreeMap;

use splitpoint::simulation::{Rng, SimulatedDisk};
use splitpoint::{Batch, Index, Options};

const PATH: &str = "/index";

/// The index is sound and holds just that, and every page of it was looked at.
fn compare(index: &Index, expected: &BTreeMap<Vec<u8>, Vec<u8>>, what: &str) {
    for (key, value) in expected {
        assert_eq!(index.get(key).unwrap().as_deref(), Some(value.as_slice()), "{what}");
    }
    assert_eq!(index.iter().unwrap().count(), expected.len(), "{what}");
    let report = index.check().unwrap();
    assert!(report.is_sound(), "{what}: {report}");
}

#[test]
fn a_batch_that_overflows_before_a_chain_on_file() {
    let mut overflow_pages = 0;
    for seed in 0..6 {
        let disk = SimulatedDisk::new(seed);
        let options = || Options::new().storage(&disk).manual().hash_seed(seed);
        let mut index = options().open(PATH).unwrap();
        let mut expected = BTreeMap::new();
        let mut rng = Rng::new(seed);
        for round in 0..24 {
            let mut batch = Batch::new();
            for n in 0..20 + rng.below(40) {
                let key = format!("key {round} {n}").into_bytes();
                let value = vec![b'v'; rng.below(300)];
                batch.insert(&key, &value);
                expected.insert(key, value);
            }
            index.commit(batch).unwrap();
            let what = format!("seed {seed}, round {round}");
            compare(&index, &expected, &what);
            index.checkpoint().unwrap();
            compare(&index, &expected, &what);
            overflow_pages += index.stats().unwrap().overflow_page_count;
            if round % 5 == 4 {
                index.close().unwrap();
                index = options().open(PATH).unwrap();
            }
        }
    }
    assert!(overflow_pages > 100, "{overflow_pages}");
}

#[test]
fn a_bitmap_that_loses_a_leaf() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let mut index = Options::new().open(&path).unwrap();
    index.insert("small", "value").unwrap();
    for round in 0..2_u8 {
        // A leaf is good for 126 MiB.
        for n in 0..130_u8 {
            index.insert([n], vec![round ^ n; 1 << 20]).unwrap();
        }
        index.checkpoint().unwrap();
        assert!(std::fs::metadata(&path).unwrap().len() > 130 << 20);
        (0..130_u8).for_each(|n| assert!(index.remove([n]).unwrap()));
        index.close().unwrap();
        assert!(std::fs::metadata(&path).unwrap().len() < 1 << 20);
        index = Options::new().open(&path).unwrap();
        assert_eq!(index.get("small").unwrap().as_deref(), Some(b"value".as_slice()));
        assert!(index.check().unwrap().is_sound());
    }
}
