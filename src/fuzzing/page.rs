//! One page of bytes: the checks of its structure, a search for every record that it holds, and
//! the dump.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use super::{make_file, take};
use crate::hash::hash;
use crate::inspect::Inspector;
use crate::page::bucket::{self, Found, KeyMatch};
use crate::page::edit::fits;
use crate::page::meta::{self, META_SIZE, META_SLOTS, Meta};
use crate::page::record::{LargeRecord, Record};
use crate::page::shape::Shape;
use crate::page::trace::trace;
use crate::page::usage::usage;
use crate::page::{OwnedPage, array, cell_count, put_u32, record_count, seal};
use crate::storage::memory::MemoryStorage;

/// The page's number in the file that is dumped: the first behind the meta pages.
const NUMBER: usize = 4;
const TAG: u64 = 7;

struct Key<'k>(&'k [u8]);

impl KeyMatch for Key<'_> {
    type Error = Infallible;

    fn matches_inline(&self, key: &[u8]) -> bool {
        key == self.0
    }

    fn matches_large(&self, _: &LargeRecord) -> Result<bool, Infallible> {
        Ok(true)
    }
}

/// The first byte says what is done to the bytes after it: a page of 4 KiB, zeros where they end.
/// Three times in four it gets its number and checksum; a number from 0 to 3 makes it a meta page.
///
/// # Panics
/// If a page that passes the checks of its structure does not hold what it says.
pub fn page(mut data: &[u8]) {
    let [how] = take(&mut data);
    let mut page = OwnedPage::new(META_SIZE);
    for (to, from) in page.bytes_mut().iter_mut().zip(data) {
        *to = *from;
    }
    if how & 3 != 0 {
        seal(page.bytes_mut(), NUMBER as u64, TAG, 1);
    }
    cells(&page);
    words(&page, how);
    dump(&page, how);
    let mut slot = page.bytes().to_vec();
    if how & 12 != 0 {
        slot.splice(..meta::MAGIC.len(), meta::MAGIC);
        let sum = crate::checksum::crc32(0, slot.get(20..).unwrap_or_default());
        put_u32(&mut slot, 16, sum);
    }
    meta_page(&slot);
}

/// As a bucket page.
fn cells(page: &OwnedPage) {
    let view = page.view();
    let slots = bucket::slots(view).count();
    let records: Result<Vec<_>, _> = bucket::records(view).collect();
    let tidy = bucket::check_tidy(view).is_ok();
    let _ = (tidy, bucket::has_overflow(view));
    for key in [&b""[..], b"key 1", b"another"] {
        let cells = cell_count(view);
        let shape = Shape::of(view).unwrap_or(Shape::General);
        let Ok(found) = bucket::find(view, &shape, cells, hash(key, TAG), &Key(key));
        if let Found::Record(place, record) = found {
            assert_eq!(bucket::record_at(view, &shape, place), Some(record));
        }
    }
    if bucket::check_structure(view).is_err() {
        return;
    }
    assert_eq!(usage(view).sum(), META_SIZE, "every byte is for something");
    let records = records.expect("a page with sound structure has records only");
    assert_eq!((records.len(), slots), (record_count(view), slots));
    let shape = Shape::of(view).expect("a page with sound structure has a shape");
    let len: usize = records.iter().map(|(_, _, record)| shape.record_len(record)).sum();
    assert!(fits(META_SIZE, &shape, records.len(), len), "it can be made anew");
    let mut copy = OwnedPage::new(META_SIZE);
    assert!(copy.frame(0, META_SIZE).copy_from(view), "it can be copied");
    let copied: Result<Vec<_>, _> = bucket::records(copy.view()).collect();
    assert_eq!(copied.as_ref(), Ok(&records), "a copy has the same records");
    for (place, tag, record) in records {
        let (key, hash) = match (record.key_in_page(), record) {
            (None, Record::Large(large, _)) => (&b""[..], large.hash),
            (key, _) => (key.unwrap_or_default(), hash(key.unwrap_or_default(), TAG)),
        };
        if bucket::is_reachable(view, place, tag, hash) {
            let Ok(found) = bucket::find(view, &shape, cell_count(view), hash, &Key(key));
            assert!(matches!(found, Found::Record(..)), "a record that is reachable is found");
            let Ok(traced) = trace(view, hash, &Key(key));
            assert!(traced.found().is_some(), "and the way to it is shown");
        }
        let _ = bucket::admits_overflow(view, hash);
        let bytes = record.with_parts(|parts| parts.concat());
        assert_eq!(Record::decode(&bytes), Some(record), "a record survives the round trip");
    }
}

/// As a page of words.
fn words(page: &OwnedPage, level: u8) {
    let _ = array::check_header(page.bytes(), level);
    assert_eq!(array::words(page.bytes()).count() as u64, array::words_per_page(META_SIZE));
}

/// What a dump of it says, under meta pages that are none.
fn dump(page: &OwnedPage, how: u8) {
    let mut file = vec![0; META_SIZE * META_SLOTS];
    if how & 16 != 0 {
        file.splice(..meta::MAGIC.len(), meta::MAGIC);
    }
    file.extend_from_slice(page.bytes());
    let path = Path::new("/file");
    let storage = Arc::new(MemoryStorage::new(file.len()));
    make_file(&*storage, path, &file);
    let Ok(inspector) = Inspector::open_on(storage, path) else { return };
    for number in 0..=NUMBER as u64 {
        let report = inspector.page(number).expect("a page is always shown");
        assert!(!report.to_string().is_empty());
    }
    let _ = (inspector.bucket(0), inspector.meta(), inspector.key(b"key"));
}

/// As a meta page.
fn meta_page(slot: &[u8]) {
    if !meta::has_magic(slot) || meta::check_whole(slot).is_err() || meta::version(slot) != 0 {
        return;
    }
    if let Ok(decoded) = Meta::decode(slot) {
        let again = decoded.encode();
        assert_eq!(Meta::decode(&again), Ok(decoded), "a meta page survives the round trip");
        assert!(again == slot, "every byte of a meta page means something");
    }
}
