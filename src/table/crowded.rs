//! Many small keys of one bucket, as anyone who knows the seed can choose them: more than the slots
//! that a page can have. The sweep that moves such a bucket puts what does not fit into overflow.

use std::path::Path;
use std::sync::Arc;

use super::{Table, get};
use crate::hash::hash;
use crate::layout::Layout;
use crate::page::meta::{FileParameters, LogPosition};
use crate::pager::{self, Access, Reading, Residence, Verify};
use crate::storage::memory::MemoryStorage;
use crate::storage::{OpenMode, Storage, StorageFile};

const SEED: u64 = 1;

fn table(page_size: usize) -> Table {
    let path = Path::new("/index");
    let storage = MemoryStorage::new(4 << 20);
    let file: Arc<dyn StorageFile> = storage.open(path, OpenMode::CreateNew).unwrap();
    let file_id = [7; 16];
    let parameters =
        FileParameters { file_id, page_size, hash_seed: SEED, key_size: None, value_size: None };
    let log = LogPosition { epoch_counter: 1, epoch_random: 1, segment: 1, lsn: 1 };
    pager::create(&*file, path, parameters, Layout::new(1), log).unwrap();
    let pages = pager::read_meta(&*file, path).unwrap();
    let reading = Reading {
        access: Access::Mapped,
        verify: Verify::OnFirstTouch,
        read_only: false,
        residence: Residence::Mapped,
    };
    Table::new(pager::open(file, path, pages, reading).unwrap().pager)
}

#[test]
#[cfg_attr(miri, ignore = "too much work")]
fn a_bucket_of_more_records_than_a_page_has_slots_is_moved() {
    for (page_size, count) in [(4096, 2500), (8192, 4500), (16384, 4500)] {
        let mut table = table(page_size);
        let keys = (0_u32..).map(|i| [b"k".as_slice(), &i.to_le_bytes()].concat());
        let keys: Vec<Vec<u8>> =
            keys.filter(|key| hash(key, SEED) >> 56 == 0).take(count).collect();
        for key in &keys {
            let hash = hash(key, SEED);
            let prepared = table.prepare_insert(hash, key, b"").unwrap();
            assert!(table.apply_insert(hash, key, b"", &prepared));
        }
        table.settle().unwrap();
        let shared = table.shared();
        let pin = shared.epoch.pin();
        for key in &keys {
            assert!(get::get(shared, &pin, key).unwrap().is_some(), "page size {page_size}");
        }
    }
}
