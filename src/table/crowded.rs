//! Many small keys of one bucket, as anyone who knows the seed can choose them: more than the slots
//! that a page can have. The sweep that moves such a bucket puts what does not fit into overflow.

use std::path::Path;
use std::sync::Arc;

use super::{Table, get};
use crate::hash::hash;
use crate::layout::Layout;
use crate::page::bucket::has_room;
use crate::page::meta::{FileParameters, LogPosition};
use crate::page::record_count;
use crate::pager::{self, Access, Reading, Residence, Verify};
use crate::storage::memory::MemoryStorage;
use crate::storage::{OpenMode, Storage, StorageFile};

const SEED: u64 = 1;

fn table(page_size: usize) -> Table {
    let path = Path::new("/index");
    let storage = MemoryStorage::new(4 << 20);
    let file: Arc<dyn StorageFile> = storage.open(path, OpenMode::CreateNew).unwrap();
    let file_id = [7; 16];
    let parameters = FileParameters {
        file_id,
        page_size,
        hash_seed: SEED,
        key_size: None,
        value_size: None,
        inline_max: 496,
    };
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
        table.settle(usize::MAX).unwrap();
        let shared = table.shared();
        let pin = shared.epoch.pin();
        for key in &keys {
            assert!(get::get(shared, &pin, key).unwrap().is_some(), "page size {page_size}");
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "too much work")]
fn full_pages_of_a_chain_come_first_and_empty_ones_go() {
    let mut table = table(4096);
    let keys = (0_u32..).map(|i| [b"k".as_slice(), &i.to_le_bytes()].concat());
    let keys: Vec<Vec<u8>> = keys.filter(|key| hash(key, SEED) >> 56 == 0).take(1500).collect();
    // Of every chain: the records of each page, and whether one more would have room in it.
    let chains = |table: &Table| -> Vec<Vec<(usize, bool)>> {
        let shared = table.shared();
        let state = table.pager.state().clone();
        let sides = [Some(&state.current), state.next.as_ref()].into_iter().flatten();
        let look = |frame: u32| {
            let page = table.pager.view(frame);
            (record_count(page), has_room(page, &shared.shape, 7))
        };
        sides
            .flat_map(|side| (0..side.layout.run_count()).map(move |run| (side, run)))
            .map(|(side, run)| table.pager.chain_frames(side, run).into_iter().map(look).collect())
            .collect()
    };
    let mut longest = 0;
    for key in &keys {
        let hash = hash(key, SEED);
        let prepared = table.prepare_insert(hash, key, b"").unwrap();
        assert!(table.apply_insert(hash, key, b"", &prepared));
        for chain in chains(&table) {
            longest = longest.max(chain.len());
            let (_, full) = chain.split_last().map_or((None, &[][..]), |(l, full)| (Some(l), full));
            assert!(full.iter().all(|(records, has_room)| *records >= 200 || !has_room));
        }
    }
    assert!(longest >= 3, "{longest}");
    let mut unlinked = 0;
    for key in &keys {
        let before = chains(&table).concat().len();
        let hash = hash(key, SEED);
        table.prepare_remove(hash, key).unwrap();
        assert!(table.apply_remove(hash, key));
        unlinked += before.saturating_sub(chains(&table).concat().len());
        assert!(chains(&table).concat().iter().all(|(records, _)| *records > 0));
    }
    assert!(unlinked > 0);
}
