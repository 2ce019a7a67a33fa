//! What only looks like a record is none, and is not summed.
//!
//! A search for a later record (L4) looks at every eighth byte. It once summed whatever had the
//! fields of a header, up to a budget: values full of such fields, each with the length of the rest
//! of the segment, used that up, and a log that a crash had torn was refused as damaged. Now a
//! header bears a check of its own under the segment's salt, and what fails it is not summed.

use super::disk::{Disk, start};
use super::round_trip::{commit, flush, redo};
use crate::checksum::crc32;
use crate::error::{Error, Promise};
use crate::log::reader::Reader;
use crate::log::record::{self, HEADER_LEN, Kind, Record, Salt};
use crate::log::rescue::rescue;
use crate::log::{Log, Lsn, survey};

const SEGMENT: u64 = 256 << 10;
/// Where the second commit's record stands, and with it the end of the torn log.
const SECOND: usize = 8192;

/// Headers, one after another, as they could stand from `at` on: each of a record up to the
/// segment's end, of a later commit, before which all is durable.
fn headers(at: u64, end: u64, finish: impl Fn(&mut [u8])) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (index, at) in (at..end).step_by(HEADER_LEN).enumerate() {
        let lsn = 4 + index as u64 % 100;
        let len = u32::try_from(SEGMENT - at).unwrap() - HEADER_LEN as u32;
        let kind = if index % 2 == 0 { Kind::Last } else { Kind::Part };
        let from = bytes.len();
        let (lsn, durable_lsn) = (Lsn(lsn), Lsn(lsn - 1));
        Record { len, lsn, durable_lsn, fragment: 0, kind }.encode(&mut bytes);
        finish(&mut bytes[from..]);
    }
    bytes
}

/// A durable commit, and one that fills the rest of the segment with what looks like headers.
fn written(finish: impl Fn(&mut [u8])) -> Disk {
    let disk = Disk::default();
    let mut log = Log::create(disk.files(), start(), SEGMENT).unwrap();
    commit(&mut log, b"acknowledged");
    flush(&mut log);
    let at = (SECOND + HEADER_LEN) as u64;
    let payload = headers(at, SEGMENT - 64, finish);
    commit(&mut log, &payload);
    flush(&mut log);
    assert_eq!(redo(&disk.files(), start()).unwrap().0.len(), 2);
    disk
}

fn path() -> std::path::PathBuf {
    Disk::default().files().segment_path(1)
}

fn salt() -> Salt {
    Salt::new(&Disk::default().files().file_id, start().epoch, 1)
}

#[test]
fn a_torn_log_of_values_that_look_like_headers_is_no_damage() {
    let other = Salt::new(&[1; 16], start().epoch, 1);
    // As a program would write them; and as they stand in another log.
    check_torn(&written(|_| ()));
    check_torn(&written(|bytes| record::seal(bytes, other)));
}

fn check_torn(disk: &Disk) {
    for tear in [
        |bytes: &mut Vec<u8>| bytes[SECOND..SECOND + 4096].fill(0),
        |bytes: &mut Vec<u8>| bytes[SECOND..SECOND + 512].fill(0xa5),
        |bytes: &mut Vec<u8>| bytes[SECOND + 4096..SECOND + 8192].fill(0),
        |bytes: &mut Vec<u8>| bytes.truncate(SEGMENT as usize - 4096),
    ] {
        let disk = disk.copy();
        disk.edit(&path(), tear);
        let (found, end) = redo(&disk.files(), start()).unwrap();
        assert_eq!((found.len(), end.next_lsn), (1, Lsn(2)));
        assert!(survey(&disk.files(), start().epoch).unwrap()[0].has_record);
        // What a rescue finds behind it is the padding of the same write, not a look-alike.
        let gaps = rescue(&disk.files(), Some(start()), &mut |_, _| Ok(())).unwrap();
        assert!(gaps.iter().all(|gap| gap.fault.found == 3), "{gaps:?}");
        // Whatever a search takes: at most the torn record itself is summed.
        let mut reader = reader(&disk);
        let no_padding = |record: &Record| record.lsn != Lsn(3);
        assert_eq!(reader.find(&disk.files(), SECOND as u64, &no_padding).unwrap(), None);
        assert!(reader.summed < SEGMENT, "{} bytes", reader.summed);
    }
}

fn reader(disk: &Disk) -> Reader {
    let mut reader = Reader::open(&disk.files(), 1).unwrap().unwrap();
    reader.header().unwrap().unwrap().unwrap();
    reader.set_salt(salt());
    reader
}

#[test]
fn a_search_for_what_bears_the_right_sums_is_bounded() {
    // Only who knows the salt writes such: each header is right, and no record is.
    let disk = written(|_| ());
    disk.edit(&path(), |bytes| {
        for at in (SECOND..bytes.len() - HEADER_LEN).step_by(HEADER_LEN) {
            record::seal(&mut bytes[at..at + HEADER_LEN], salt());
        }
    });
    let mut reader = reader(&disk);
    let error = reader.find(&disk.files(), SECOND as u64, &|_| true).unwrap_err();
    assert!(matches!(&error, Error::Corruption(c) if c.promise == Promise::LogRecord), "{error}");
    assert!((16 * SEGMENT..17 * SEGMENT).contains(&reader.summed), "{} bytes", reader.summed);
    // Without a salt nothing is a header.
    let mut unsalted = Reader::open(&disk.files(), 1).unwrap().unwrap();
    assert_eq!(unsalted.find(&disk.files(), 0, &|_| true).unwrap(), None);
    assert_eq!(unsalted.summed, 0);
}

/// Three durable commits.
fn three() -> (Disk, usize) {
    let disk = Disk::default();
    let mut log = Log::create(disk.files(), start(), SEGMENT).unwrap();
    for payload in [b"one", b"two", b"six"] {
        commit(&mut log, payload);
        flush(&mut log);
    }
    (disk, SECOND + 4096)
}

#[test]
fn a_flipped_bit_of_a_header_ends_the_log() {
    let (disk, last) = three();
    let whole = disk.edit(&path(), |bytes| bytes.clone());
    for bit in 0..HEADER_LEN * 8 {
        let at = last + bit / 8;
        disk.edit(&path(), |bytes| bytes[at] ^= 1 << (bit % 8));
        assert_eq!(redo(&disk.files(), start()).unwrap().0.len(), 2, "bit {bit}");
        // All but the record's own sum are seen without a look at the payload.
        let header = disk.edit(&path(), |bytes| bytes[last..last + HEADER_LEN].to_vec());
        assert_eq!(Record::decode(&header, salt()).is_some(), bit < 32, "bit {bit}");
        disk.edit(&path(), |bytes| bytes.clone_from(&whole));
    }
    assert_eq!(redo(&disk.files(), start()).unwrap().0.len(), 3);
}

#[test]
fn a_right_sum_behind_a_header_that_is_wrong_makes_no_record() {
    let (disk, last) = three();
    let whole = disk.edit(&path(), |bytes| bytes.clone());
    let seed = crc32(0, &whole[16..56]);
    for bit in 32..HEADER_LEN * 8 {
        disk.edit(&path(), |bytes| {
            bytes[last + bit / 8] ^= 1 << (bit % 8);
            let sum = crc32(seed, &bytes[last + 4..last + HEADER_LEN + 3]);
            bytes[last..last + 4].copy_from_slice(&sum.to_le_bytes());
            assert!(record::verifies(&bytes[last..last + HEADER_LEN + 3], salt()));
        });
        assert_eq!(reader(&disk).record_at(last as u64).unwrap(), None, "bit {bit}");
        assert_eq!(redo(&disk.files(), start()).unwrap().0.len(), 2, "bit {bit}");
        disk.edit(&path(), |bytes| bytes.clone_from(&whole));
    }
    assert!(reader(&disk).record_at(last as u64).unwrap().is_some());
}

#[test]
fn the_sum_of_a_record_knows_every_bit_of_its_header() {
    // It goes on with the header's own sum and the bytes that this covers. Whatever changes in
    // those 25 bytes and their sum may cancel 24 bits of it, but here takes none: the changes of
    // single bits span all 32 dimensions. Behind the bytes, the sum would leave eight.
    let sealed = |bit: Option<usize>| {
        let mut bytes = [0; HEADER_LEN];
        bit.into_iter().for_each(|bit| bytes[7 + bit / 8] ^= 1 << (bit % 8));
        record::seal(&mut bytes, salt());
        u32::from_le_bytes(*bytes.first_chunk().unwrap())
    };
    let mut basis = [0_u32; 32];
    for bit in 0..25 * 8 {
        let mut change = sealed(Some(bit)) ^ sealed(None);
        while change != 0 {
            let place = &mut basis[change.ilog2() as usize];
            if *place == 0 {
                *place = change;
            }
            change ^= *place;
        }
    }
    assert!(basis.iter().all(|change| *change != 0), "{basis:x?}");
}
