//! Lines that are not records: named by number, stopped at or passed over.

use crate::support::Place;

/// Format, input with one bad place after two good records and before one more, and the message.
const CASES: [(&str, &[u8], &str); 20] = [
    ("tsv", b"k\tv\na\t1\nb\t2\nx\nc\t3\n", "line 4: 1 columns, the header has 2"),
    ("tsv", b"k\tv\na\t1\nb\t2\nx\ty\tz\nc\t3\n", "line 4: 3 columns, the header has 2"),
    ("tsv", b"k\tv\na\t1\nb\t2\n\nc\t3\n", "line 4: 1 columns"),
    ("tsv", b"k\tv\na\t1\nb\t2\nx\t\\q\nc\t3\n", "line 4: column 2: unknown escape \\q"),
    ("tsv", b"k\tv\na\t1\nb\t2\nx\\x4\t1\nc\t3\n", "line 4: column 1: \\x needs two"),
    ("csv", b"k,v\na,\"1\n\"\nb,2\nx\nc,3\n", "line 5: 1 columns, the header has 2"),
    ("csv", b"k,v\na,1\nb,2\nx,\"y\"z\nc,3\n", "line 4: text after a closing quote"),
    ("csv", b"k,v\na,1\nb,2\nx,5\" pipe\nc,3\n", "line 4: a quote within a field"),
    ("csv", b"k,v\na,1\nb,2\nx,y\rz\nc,3\n", "line 4: a carriage return outside quotes"),
    ("csv", b"k,v\na,1\nb,2\nx,\xff\nc,3\n", "line 4: column 2: not UTF-8 at byte 0"),
    ("csv:hex", b"k,v\n61,31\n62,32\n63,3\n63,33\n", "line 4: column 2: not hexadecimal"),
    ("csv:base64", b"k,v\nYQ==,MQ==\nYg==,Mg==\nYw,\nYw==,Mw==\n", "line 4: column 1: not base64"),
    ("jsonl", J1, "line 3: not {\"key\""),
    ("jsonl", J2, "unknown field"),
    ("jsonl", J3, "missing field `value`"),
    ("jsonl", J4, "duplicate field `key`"),
    ("jsonl", J5, "invalid type: integer"),
    ("jsonl", J6, "line 3: not {\"key\""),
    ("jsonl:hex", J7, "line 3: the key is not hexadecimal"),
    ("pairs", P1, "record 3: at byte 20: a key of 65536"),
];

const J1: &[u8] = b"{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":\"b\",\"value\":\"2\"}\n{\"key\"\n{\"key\":\"c\",\"value\":\"3\"}\n";
const J2: &[u8] = b"{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":\"b\",\"value\":\"2\"}\n{\"key\":\"x\",\"value\":\"\",\"z\":1}\n{\"key\":\"c\",\"value\":\"3\"}\n";
const J3: &[u8] = b"{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":\"b\",\"value\":\"2\"}\n{\"key\":\"x\"}\n{\"key\":\"c\",\"value\":\"3\"}\n";
const J4: &[u8] = b"{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":\"b\",\"value\":\"2\"}\n{\"key\":\"x\",\"key\":\"y\",\"value\":\"\"}\n{\"key\":\"c\",\"value\":\"3\"}\n";
const J5: &[u8] = b"{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":\"b\",\"value\":\"2\"}\n{\"key\":\"x\",\"value\":7}\n{\"key\":\"c\",\"value\":\"3\"}\n";
const J6: &[u8] = b"{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":\"b\",\"value\":\"2\"}\n{\"key\":\"\\ud800\",\"value\":\"\"}\n{\"key\":\"c\",\"value\":\"3\"}\n";
const J7: &[u8] = b"{\"key\":\"61\",\"value\":\"31\"}\n{\"key\":\"62\",\"value\":\"32\"}\n{\"key\":\"x\",\"value\":\"\"}\n{\"key\":\"63\",\"value\":\"33\"}\n";
const P1: &[u8] = b"\x01\0\0\0\x01\0\0\0a1\x01\0\0\0\x01\0\0\0b2\0\0\x01\0\0\0\0\0";

fn args<'a>(format: &'a str, index: &'a str) -> Vec<&'a str> {
    let (format, encoding) = format.split_once(':').unwrap_or((format, ""));
    let mut args = vec!["load", index, "--format", format];
    if !encoding.is_empty() {
        args.extend(["--encoding", encoding]);
    }
    args
}

/// The input of a case, with the key of the oversized pair appended.
fn input(format: &str, text: &[u8]) -> Vec<u8> {
    let mut bytes = text.to_vec();
    if format == "pairs" {
        bytes.resize(bytes.len() + 65_536, b'x');
        bytes.extend_from_slice(b"\x01\0\0\0\x01\0\0\0c3");
    }
    bytes
}

#[test]
fn a_bad_line_stops_the_load_and_what_came_before_is_in() {
    for (format, text, words) in CASES {
        let place = Place::new();
        let ran = place.feed(&args(format, "a"), &input(format, text));
        ran.fails(4, words);
        assert!(ran.err.contains("; 2 records of standard input are in a"), "{ran:?}");
        let content = place.content("a");
        assert_eq!(content.len(), 2);
        assert!(content.contains_key(&b"b"[..]));
    }
}

#[test]
fn skip_bad_goes_on_and_lists() {
    for (format, text, words) in CASES {
        let place = Place::new();
        let mut args = args(format, "a");
        args.push("--skip-bad");
        let ran = place.feed(&args, &input(format, text));
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.err.contains(words) && ran.err.contains("passed over"), "{ran:?}");
        let content = place.content("a");
        assert_eq!(content.len(), 3);
        assert_eq!(content[&b"c"[..]], b"3");
    }
}

#[test]
fn the_list_of_bad_lines_is_capped() {
    let place = Place::new();
    let text = format!("k\tv\n{}a\t1\n", "bad\n".repeat(100));
    let ran = place.feed(&["load", "a", "--format", "tsv", "--skip-bad"], text.as_bytes());
    assert_eq!(ran.err.lines().count(), 21, "{ran:?}");
    assert!(ran.text().contains("100 bad lines passed over"), "{ran:?}");
}

#[test]
fn records_that_the_index_cannot_hold_are_named_too() {
    let place = Place::new();
    place.ok(&["create", "fixed", "--key-size", "2", "--value-size", "1"]);
    let text = b"k\tv\naa\t1\nbb\t2\nccc\t3\ndd\t44\nee\t5\n";
    let load = ["load", "fixed", "--format", "tsv"];
    let ran = place.feed(&load, text);
    ran.fails(4, "line 4: a key of 3 bytes");
    assert!(ran.err.contains("; 2 records"), "{ran:?}");
    let ran = place.feed(&[&load[..], &["--skip-bad"]].concat(), text);
    assert!(ran.err.contains("line 5: a value of 2 bytes"), "{ran:?}");
    assert!(ran.text().contains("loaded 3 records"), "{ran:?}");
    let long = format!("k\tv\na\t1\n{}\t2\nb\t3\n", "x".repeat(65_536));
    let ran = place.feed(&["load", "long", "--format", "tsv"], long.as_bytes());
    ran.fails(4, "line 3: a key of 65536 bytes is too large");
}

#[test]
fn lines_over_the_limit_are_bad_lines() {
    let place = Place::new();
    let long = "x".repeat(300_000);
    let tsv = format!("k\tv\na\t1\nx\t{long}\nb\t2\n");
    let csv = format!("k,v\na,1\nx,{long}\nb,2\n");
    let jsonl = "{\"key\":\"a\",\"value\":\"1\"}\n".to_owned()
        + &format!("{{\"key\":\"x\",\"value\":\"{long}\"}}\n")
        + "{\"key\":\"b\",\"value\":\"2\"}\n";
    for (format, text) in [("tsv", &tsv), ("csv", &csv), ("jsonl", &jsonl)] {
        let limit = ["load", format, "--format", format, "--record-max", "1000"];
        place.feed(&limit, text.as_bytes()).fails(4, "longer than");
        let ran = place.feed(&[&limit[..], &["--skip-bad"]].concat(), text.as_bytes());
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(place.content(format).len(), 2);
    }
    let open = format!("k,v\na,1\nx,\"{long}\nb,2\n");
    let args = ["load", "q", "--format", "csv", "--record-max", "1000", "--skip-bad"];
    place.feed(&args, open.as_bytes()).fails(4, "is a quote left open?");
}

#[test]
fn an_input_that_ends_within_a_record_is_an_error_even_with_skip_bad() {
    let place = Place::new();
    let whole = b"\x01\0\0\0\x01\0\0\0a1";
    for cut in 1..10 {
        let mut bytes = whole.to_vec();
        bytes.extend_from_slice(&whole[..cut]);
        let ran = place.feed(&["load", "p", "--format", "pairs", "--skip-bad"], &bytes);
        ran.fails(4, "record 2 at byte 10: the input ends within it; 1 records");
    }
    // A claim of 8 GiB is no reason to ask for so much memory.
    let ran = place.feed(&["load", "p", "--format", "pairs"], &[0xff; 20]);
    ran.fails(4, "the input ends within it");
    let ran = place.feed(&["load", "c", "--format", "csv", "--skip-bad"], b"k,v\na,1\nb,\"2\n");
    ran.fails(4, "line 3: the input ends within quotes");
    assert_eq!(place.ok(&["count", "c"]), b"1\n");
}
