//! The readers on bytes that nobody wrote: what they find must not depend on how the input arrives,
//! and no input may panic, hang, or make a record over the limits.

use std::io::BufReader;

use super::{Choice, Encoding, Format, Reading, Record, Step, source};

/// What a reader found, to its end.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    steps: Vec<(u64, Result<Record, String>)>,
    end: Result<(), String>,
}

const RECORD_MAX: usize = 64;

fn read(format: Format, encoding: Encoding, bytes: &[u8], buffer_size: usize) -> Found {
    let input =
        Box::new(BufReader::with_capacity(buffer_size, std::io::Cursor::new(bytes.to_vec())));
    let reading = Reading { format, encoding, columns: Choice::default(), record_max: RECORD_MAX };
    let mut found = Found { steps: Vec::new(), end: Ok(()) };
    let mut source = match source(input, &reading) {
        Ok(source) => source,
        Err(why) => return Found { end: Err(why), ..found },
    };
    loop {
        let mut record = Record::default();
        let step = source.next(&mut record);
        let place = source.place();
        match step {
            Ok(Step::Record) => found.steps.push((place, Ok(record))),
            Ok(Step::Bad(why)) => found.steps.push((place, Err(why))),
            Ok(Step::End) => return found,
            Err(why) => return Found { end: Err(why), ..found },
        }
    }
}

/// Pieces that mean something to a reader, in random order.
fn input(seed: u64, format: Format) -> Vec<u8> {
    const PIECES: [&[u8]; 28] = [
        b"a",
        b"b\n",
        b"\n",
        b"\r\n",
        b"\r",
        b"\t",
        b",",
        b"\"",
        b"\"\"",
        b"\\",
        b"\\n",
        b"\\x4",
        b"41",
        b"{\"key\":\"",
        b"\",\"value\":\"",
        b"\"}\n",
        b"\xff",
        b"\0\0\0",
        b"\x01\0\0\0",
        b"\x02\0\0\0",
        b"\xff\xff\xff\x7f",
        b"YQ==",
        b"wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww",
        b"1\t2\n",
        b"{\"key\":\"4142\",\"value\":\"41\"}\n",
        b"\x01\0\0\0\x02\0\0\0abc",
        b"4142,\"41\"\n",
        b"41\t42\n",
    ];
    let mut state = seed;
    let mut below = |limit: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % limit
    };
    let mut bytes = match format {
        Format::Tsv => b"k\tv\n".to_vec(),
        Format::Csv => b"k,v\n".to_vec(),
        _ => Vec::new(),
    };
    for _ in 0..below(20) {
        bytes.extend_from_slice(PIECES[below(PIECES.len())]);
    }
    bytes
}

#[test]
fn what_is_found_does_not_depend_on_how_the_input_arrives() {
    for format in [Format::Tsv, Format::Csv, Format::Jsonl, Format::Pairs] {
        let mut record_count = 0;
        for encoding in [Encoding::Utf8, Encoding::Hex, Encoding::Base64] {
            for seed in 0..2_000 {
                let bytes = input(seed, format);
                let whole = read(format, encoding, &bytes, 4096);
                for buffer_size in [1, 2, 3, 7] {
                    let parts = read(format, encoding, &bytes, buffer_size);
                    assert_eq!(
                        parts,
                        whole,
                        "{format:?} {encoding:?} seed {seed}: {}",
                        bytes.escape_ascii()
                    );
                }
                for (_, record) in &whole.steps {
                    let Ok(record) = record else { continue };
                    record_count += 1;
                    let len = record.key.len() + record.value.len();
                    assert!(len <= RECORD_MAX, "{format:?} seed {seed}: {len}");
                }
                let places: Vec<u64> = whole.steps.iter().map(|(place, _)| *place).collect();
                assert!(places.is_sorted_by(|a, b| a < b), "{format:?} seed {seed}: {places:?}");
            }
        }
        // Most of it is rubbish, but not all.
        assert!(record_count > 200, "{format:?}: {record_count}");
    }
}
