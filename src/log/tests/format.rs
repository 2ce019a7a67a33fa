//! The tables of the log in FORMAT.md are what the code encodes and decodes.

use crate::checksum::crc32;
use crate::format::{MARK, check_bytes, check_cover, check_field, table};
use crate::log::record::{self, Kind, Record, Salt};
use crate::log::segment::{self, Header};
use crate::log::{Epoch, Lsn};

fn header() -> Header {
    let epoch = Epoch { counter: 0, random: 0 };
    let (first_lsn, first_fragment) = (Lsn(0), 0);
    Header { file_id: [0; 16], epoch, segment: 0, first_lsn, first_fragment, segment_size: 0 }
}

#[test]
fn segment_header() {
    let rows = table("Segment header");
    check_cover("Segment header", segment::HEADER_SIZE as usize);
    let base = header().encode();
    for row in &rows {
        let (at, mut marked) = (row.range(), header());
        match row.name {
            "checksum" => assert_eq!(base[at], crc32(0, &base[4..]).to_le_bytes()),
            "version" => assert_eq!(base[at], segment::version_supported().to_le_bytes()),
            "magic" => assert_eq!(base[at], *b"SPLITWAL"),
            "file_id" => {
                marked.file_id = *b"0123456789abcdef";
                let marked = (&marked.encode()[..], &b"0123456789abcdef"[..]);
                check_bytes(&rows, row.name, &["checksum"], &base, marked);
            }
            "reserved" | "rest" => assert!(base[at].iter().all(|byte| *byte == 0)),
            name => {
                match name {
                    "epoch_counter" => marked.epoch.counter = MARK,
                    "epoch_random" => marked.epoch.random = MARK,
                    "segment" => marked.segment = MARK,
                    "first_lsn" => marked.first_lsn = Lsn(MARK),
                    "first_fragment" => marked.first_fragment = MARK as u32,
                    "segment_size" => marked.segment_size = MARK,
                    _ => panic!("the code knows no {name}"),
                }
                check_field(&rows, name, &["checksum"], &base, &marked.encode());
            }
        }
    }
}

#[test]
fn log_record() {
    let rows = table("Log record");
    check_cover("Log record", record::HEADER_LEN);
    let salt = Salt::new(&[0; 16], Epoch { counter: 0, random: 0 }, 0);
    let encode = |record: Record| {
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        record::seal(&mut bytes, salt);
        bytes
    };
    // No commit is known to be durable before it is appended.
    let mut own = Vec::new();
    Record { len: 0, lsn: Lsn(7), durable_lsn: Lsn(7), fragment: 0, kind: Kind::Part }
        .encode(&mut own);
    assert_eq!(Record::fields(&own), None);
    let zero = Record { len: 0, lsn: Lsn(0), durable_lsn: Lsn(0), fragment: 0, kind: Kind::Part };
    let base = encode(zero);
    for row in &rows {
        let mut marked = zero;
        match row.name {
            "crc" | "header_crc" => continue,
            "len" => marked.len = MARK as u32,
            "lsn" => marked.lsn = Lsn(MARK),
            "durable_lsn" => marked.durable_lsn = Lsn(MARK),
            "fragment" => marked.fragment = MARK as u32,
            "kind" => {
                for (kind, byte) in [(Kind::Part, 0), (Kind::Last, 1), (Kind::Padding, 2)] {
                    assert_eq!(encode(Record { kind, ..zero })[row.range()], [byte]);
                }
                continue;
            }
            name => panic!("the code knows no {name}"),
        }
        check_field(&rows, row.name, &["crc", "header_crc"], &base, &encode(marked));
    }
}

#[test]
fn a_record_and_its_header_are_summed_after_bytes_16_to_55_of_the_segment() {
    let epoch = Epoch { counter: 3, random: MARK };
    let file_id = *b"0123456789abcdef";
    let block = Header { file_id, epoch, segment: 9, ..header() }.encode();
    let mut bytes = Vec::new();
    let kind = Kind::Last;
    Record { len: 3, lsn: Lsn(2), durable_lsn: Lsn(1), fragment: 0, kind }.encode(&mut bytes);
    bytes.extend_from_slice(b"abc");
    record::seal(&mut bytes, Salt::new(&file_id, epoch, 9));
    let summed = [&block[16..56], &bytes[4..]].concat();
    assert_eq!(bytes[..4], crc32(0, &summed).to_le_bytes());
    let summed = [&block[16..56], &bytes[7..32]].concat();
    assert_eq!(bytes[4..7], crc32(0, &summed).to_le_bytes()[..3]);
}
