//! Damaged logs beside a data file that was killed, and strange ones beside one that was closed.

use splitpoint::{Error, Promise as P};

use crate::examine::{Seen, examine};
use crate::file::{PAGE, crc};
use crate::sample::Sample;
use crate::table::{Expect, Table, named};

type Log = Vec<(String, Vec<u8>)>;
type Damage = fn(&mut Log);

/// Offsets in a segment's header.
const VERSION: usize = 4;
const FILE_ID: usize = 16;
const EPOCH: usize = 32;
const NUMBER: usize = 48;
const FIRST_LSN: usize = 56;
const SIZE: usize = 72;

fn put(log: &mut Log, offset: usize, bytes: &[u8]) {
    log[0].1[offset..offset + bytes.len()].copy_from_slice(bytes);
}

/// Changes a field of the header of the first segment and seals it.
fn header(log: &mut Log, offset: usize, bytes: &[u8]) {
    put(log, offset, bytes);
    let sum = crc(0, &log[0].1[4..PAGE]);
    put(log, 0, &sum.to_le_bytes());
}

/// Offsets in a record: fields of its header, and its payload: kind, key length, value length, key,
/// value.
const HEADER_CRC: usize = 4;
const KIND: usize = 7;
const LEN: usize = 8;
const FRAGMENT: usize = 12;
const LSN: usize = 16;
const PAYLOAD: usize = 32;

/// The records of the first segment: offset, payload length, kind.
fn records(log: &Log) -> Vec<(usize, usize, u8)> {
    let bytes = &log[0].1;
    let get32 = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let salt = salt(bytes);
    let mut records = Vec::new();
    let mut at = PAGE;
    while at + 32 <= bytes.len() {
        if PAGE - at % PAGE < 32 {
            at = at.next_multiple_of(PAGE);
            continue;
        }
        let (len, kind) = (get32(at + LEN) as usize, bytes[at + KIND]);
        let end = (at + PAYLOAD + len).min(bytes.len());
        // Behind the end there may be what a recycled segment held before.
        if get32(at) != crc(salt, &bytes[at + HEADER_CRC..end]) {
            break;
        }
        records.push((at, len, kind));
        at = (at + PAYLOAD + len).next_multiple_of(8);
    }
    records
}

/// The nth record that is a commit.
fn commit(log: &Log, n: usize) -> (usize, usize) {
    let (at, len, _) = records(log).into_iter().filter(|record| record.2 == 1).nth(n).unwrap();
    (at, len)
}

/// Seals a record with the salt of its segment: its header, then all of it.
fn seal(log: &mut Log, at: usize) {
    seal_header(log, at);
    let bytes = &mut log[0].1;
    let len = u32::from_le_bytes(bytes[at + LEN..at + LEN + 4].try_into().unwrap()) as usize;
    let sum = crc(salt(bytes), &bytes[at + HEADER_CRC..at + PAYLOAD + len]);
    bytes[at..at + 4].copy_from_slice(&sum.to_le_bytes());
}

fn seal_header(log: &mut Log, at: usize) {
    let bytes = &mut log[0].1;
    let sum = crc(salt(bytes), &bytes[at + KIND..at + PAYLOAD]).to_le_bytes();
    bytes[at + HEADER_CRC..at + KIND].copy_from_slice(&sum[..3]);
}

fn salt(segment: &[u8]) -> u32 {
    crc(0, &segment[FILE_ID..NUMBER + 8])
}

/// Changes bytes of the nth commit, by offset from its record, and seals it.
fn operation(log: &mut Log, n: usize, offset: usize, bytes: &[u8]) {
    let (at, _) = commit(log, n);
    put(log, at + offset, bytes);
    seal(log, at);
}

fn cases() -> Vec<(&'static str, Expect, Damage)> {
    use Expect::{Open, Sound, Survive, Version};
    vec![
        ("undamaged", Survive, |_| ()),
        ("missing", Open(P::LogPresent), Vec::clear),
        ("length 0", Open(P::LogPresent), |log| log[0].1.clear()),
        ("shorter than its header", Open(P::LogPresent), |log| log[0].1.truncate(100)),
        ("its header alone", Survive, |log| log[0].1.truncate(PAGE)),
        ("an unaligned length", Survive, |log| {
            let len = log[0].1.len() - 4001;
            log[0].1.truncate(len);
        }),
        ("a byte longer", Survive, |log| log[0].1.push(7)),
        ("a bad sum of the header", Open(P::LogStart), |log| put(log, 100, &[1])),
        ("another magic", Open(P::LogStart), |log| header(log, 8, b"SOMETHIN")),
        ("version from the future", Version, |log| header(log, VERSION, &[9])),
        ("version from the past", Version, |log| header(log, VERSION, &[1])),
        ("another file's", Open(P::LogOwner), |log| header(log, FILE_ID, &[1; 16])),
        ("an older epoch", Open(P::LogOwner), |log| header(log, EPOCH, &0_u64.to_le_bytes())),
        ("a newer epoch", Open(P::LogOwner), |log| header(log, EPOCH, &99_u64.to_le_bytes())),
        ("another life of the same epoch", Open(P::LogOwner), |log| {
            header(log, EPOCH + 8, &[0x5a; 8]);
        }),
        ("another number than its name", Open(P::LogStart), |log| {
            header(log, NUMBER, &77_u64.to_le_bytes());
        }),
        ("a gap before its first commit", Open(P::LogStart), |log| {
            header(log, FIRST_LSN, &1_000_000_u64.to_le_bytes());
        }),
        ("a first commit at MAX", Open(P::LogStart), |log| header(log, FIRST_LSN, &[0xff; 8])),
        ("a segment size of 0", Open(P::LogStart), |log| header(log, SIZE, &[0; 8])),
        ("a segment size of MAX", Open(P::LogStart), |log| header(log, SIZE, &[0xff; 8])),
        ("reserved bytes", Open(P::LogStart), |log| header(log, 4000, &[1])),
        ("a bad record with acknowledged ones after it", Open(P::LogRecord), |log| {
            let at = commit(log, 5).0 + 40;
            let old = log[0].1[at];
            put(log, at, &[old ^ 1]);
        }),
        ("zeros instead of a record with others after it", Open(P::LogRecord), |log| {
            let (at, len) = commit(log, 5);
            put(log, at, &vec![0; 32 + len]);
        }),
        ("a torn last record", Survive, |log| {
            let last = records(log).into_iter().filter(|record| record.2 == 1).count() - 1;
            let at = commit(log, last).0;
            put(log, at, &[1, 2, 3]);
        }),
        ("an LSN twice", Open(P::LogRecord), |log| {
            let lsn: [u8; 8] = {
                let at = commit(log, 3).0 + LSN;
                log[0].1[at..at + 8].try_into().unwrap()
            };
            operation(log, 4, LSN, &lsn);
        }),
        ("an LSN that goes back", Open(P::LogRecord), |log| {
            operation(log, 4, LSN, &1_u64.to_le_bytes());
        }),
        ("an LSN that jumps", Open(P::LogRecord), |log| {
            operation(log, 4, LSN, &(u64::MAX - 1).to_le_bytes());
        }),
        ("a record as long as nothing is", Open(P::LogRecord), |log| {
            let at = commit(log, 4).0;
            put(log, at + LEN, &u32::MAX.to_le_bytes());
        }),
        (
            "a record as long as nothing is, with a right sum of its header",
            Open(P::LogRecord),
            |log| {
                let at = commit(log, 4).0;
                put(log, at + LEN, &u32::MAX.to_le_bytes());
                seal_header(log, at);
            },
        ),
        ("an unknown kind", Open(P::LogRecord), |log| operation(log, 4, KIND, &[9])),
        ("a bad sum of a header in a record with a right one", Open(P::LogRecord), |log| {
            let (at, len) = commit(log, 4);
            let old = log[0].1[at + HEADER_CRC];
            put(log, at + HEADER_CRC, &[old ^ 1]);
            let bytes = &log[0].1;
            let sum = crc(salt(bytes), &bytes[at + HEADER_CRC..at + PAYLOAD + len]);
            put(log, at, &sum.to_le_bytes());
        }),
        ("a chain that begins in its middle", Open(P::LogRecord), |log| {
            operation(log, 4, FRAGMENT, &[1]);
        }),
        ("a right sum over an unknown operation", Open(P::LogOperation), |log| {
            operation(log, 4, PAYLOAD, &[77]);
        }),
        ("a right sum over a key beyond its record", Open(P::LogOperation), |log| {
            operation(log, 4, PAYLOAD + 1, &[0xff, 0xff]);
        }),
        ("a right sum over a value of 4 GiB", Open(P::LogOperation), |log| {
            operation(log, 4, PAYLOAD + 3, &[0xff; 4]);
        }),
        ("more operations than it says", Open(P::LogOperation), |log| {
            // A shorter value: what is left is read as an operation.
            let (at, len) = commit(log, 9);
            let value_len = (len - 7 - 10) as u32;
            put(log, at + PAYLOAD + 3, &(value_len / 2).to_le_bytes());
            seal(log, at);
        }),
        ("a removal with a value", Open(P::LogOperation), |log| {
            operation(log, 4, PAYLOAD, &[2]);
        }),
        ("metadata with a key", Open(P::LogOperation), |log| {
            operation(log, 4, PAYLOAD, &[3]);
        }),
        ("two logs: the next segment of another life", Survive, |log| {
            let mut next = log[0].clone();
            next.0 = next_name(&next.0);
            log.push(next);
            header(&mut log[1..].to_vec(), EPOCH + 8, &[1; 8]);
        }),
        ("a newer log of this file", Open(P::LogOwner), |log| {
            let mut newer = vec![log[0].clone()];
            newer[0].0 = next_name(&newer[0].0);
            let number: u64 =
                1 + u64::from_le_bytes(newer[0].1[NUMBER..NUMBER + 8].try_into().unwrap());
            header(&mut newer, NUMBER, &number.to_le_bytes());
            header(&mut newer, EPOCH, &1_000_u64.to_le_bytes());
            for record in records(log) {
                seal(&mut newer, record.0);
            }
            log.extend(newer);
        }),
        ("the last possible segment beside it", Survive, |log| {
            log.push(("data-wal-ffffffffffffffff".into(), vec![0; PAGE]));
        }),
        ("a segment of 64 MiB of zeros beside it", Survive, |log| {
            let name = next_name(&log[0].0);
            log.push((name, vec![0; 64 << 20]));
        }),
        ("a segment full of what looks like records", Sound, |log| {
            let next = headers_only(log);
            log.push(next);
        }),
        ("a segment full of headers with right sums", Open(P::LogRecord), |log| {
            let mut next = vec![headers_only(log)];
            // The salt is that of the number in its name; it has no header itself.
            let mut identity = log[0].1[..PAGE].to_vec();
            let number = 1 + u64::from_le_bytes(identity[NUMBER..NUMBER + 8].try_into().unwrap());
            identity[NUMBER..NUMBER + 8].copy_from_slice(&number.to_le_bytes());
            next[0].1[..PAGE].copy_from_slice(&identity);
            (PAGE..next[0].1.len()).step_by(32).for_each(|at| seal_header(&mut next, at));
            next[0].1[..PAGE].fill(0);
            log.append(&mut next);
        }),
    ]
}

/// A segment after the log's of headers without sums: each of a record of half its length.
fn headers_only(log: &Log) -> (String, Vec<u8>) {
    let mut record = [0; PAYLOAD];
    record[LEN..LEN + 4].copy_from_slice(&(1_u32 << 19).to_le_bytes());
    record[LSN..LSN + 8].copy_from_slice(&(1_u64 << 40).to_le_bytes());
    record[LSN + 8..PAYLOAD].copy_from_slice(&((1_u64 << 40) - 1).to_le_bytes());
    record[KIND] = 1;
    (next_name(&log[0].0), record.repeat(1 << 15))
}

fn next_name(name: &str) -> String {
    let (stem, digits) = name.split_at(name.len() - 16);
    format!("{stem}{:016x}", u64::from_str_radix(digits, 16).unwrap() + 1)
}

pub(crate) fn run(table: &mut Table) {
    let killed = Sample::killed();
    for (name, expect, damage) in cases() {
        table.checked("log", name, || {
            let mut sample = killed.clone();
            damage(&mut sample.log);
            let seen = examine(&sample)?;
            for error in [&seen.open, &seen.write].into_iter().flatten() {
                named(error, "data")?;
            }
            as_expected(expect, &seen, &sample)
        });
    }
    let closed = Sample::closed();
    for (name, expect, damage) in cases() {
        // Beside a closed file a log of its own past is litter, and nothing is lost with it.
        let sound = Expect::Survive;
        let expect = if name == "a newer log of this file" { expect } else { sound };
        table.checked("log of a closed file", name, || {
            let mut sample = closed.clone();
            sample.log.clone_from(&killed.log);
            damage(&mut sample.log);
            let seen = examine(&sample)?;
            if seen.open.is_none() && seen.scanned != sample.keys.len() {
                return Err(format!("{} records", seen.scanned));
            }
            as_expected(if seen.open.is_some() { expect } else { sound }, &seen, &sample)
        });
    }
}

fn as_expected(expect: Expect, seen: &Seen, sample: &Sample) -> Result<(), String> {
    let words = || format!("expected {expect:?}, saw {seen:?}");
    match expect {
        Expect::Survive if seen.open.is_some() => {
            // Allowed is only damage, in words of its own.
            match &seen.open {
                Some(Error::Corruption(_)) => Ok(()),
                _ => Err(words()),
            }
        }
        Expect::Survive if !seen.touched.is_empty() || !seen.found.is_empty() => Err(words()),
        _ if expect.holds(seen, sample.keys.len()) => Ok(()),
        _ => Err(words()),
    }
}
