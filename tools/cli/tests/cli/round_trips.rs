//! What goes in comes out, byte for byte, through every format.

use crate::support::{Content, Place, Random, to_pairs};

/// Formats and encodings that carry any bytes; the last two carry text only.
const WAYS: [(&str, Option<&str>, bool); 8] = [
    ("tsv", None, false),
    ("pairs", None, false),
    ("csv", Some("hex"), false),
    ("csv", Some("base64"), false),
    ("jsonl", Some("hex"), false),
    ("jsonl", Some("base64"), false),
    ("csv", Some("utf8"), true),
    ("jsonl", None, true),
];

fn args<'a>(verb: &[&'a str], format: &'a str, encoding: Option<&'a str>) -> Vec<&'a str> {
    let mut args = verb.to_vec();
    args.extend(["--format", format]);
    if let Some(encoding) = encoding {
        args.extend(["--encoding", encoding]);
    }
    args
}

#[test]
fn export_then_load_is_identical_in_every_format() {
    for seed in 0..6 {
        for is_text in [false, true] {
            let content = Random(seed).content(300, is_text);
            let place = Place::new();
            let loaded = place.feed(&["load", "a", "--format", "pairs"], &to_pairs(&content));
            assert_eq!(loaded.code, 0, "{loaded:?}");
            assert!(place.content("a") == content, "seed {seed}: pairs");
            for (number, (format, encoding, needs_text)) in WAYS.into_iter().enumerate() {
                if needs_text && !is_text {
                    continue;
                }
                let text = place.ok(&args(&["export", "a"], format, encoding));
                let copy = format!("copy{number}");
                let loaded = place.feed(&args(&["load", &copy], format, encoding), &text);
                assert_eq!(loaded.code, 0, "seed {seed}, {format} {encoding:?}: {loaded:?}");
                assert!(place.content(&copy) == content, "seed {seed}, {format} {encoding:?}");
                let again = place.ok(&args(&["export", &copy], format, encoding));
                assert_eq!(sorted(&again, format), sorted(&text, format));
            }
        }
    }
}

/// Records in the order of their bytes: two indexes have two seeds, and so two orders.
fn sorted(text: &[u8], format: &str) -> Vec<Vec<u8>> {
    if format == "pairs" {
        return Vec::new();
    }
    let mut lines: Vec<Vec<u8>> = text.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    lines.sort();
    lines
}

/// A table as the `csv` crate writes it, in our columns.
fn table(random: &mut Random, columns: u64, rows: u64) -> (Vec<Vec<Vec<u8>>>, Vec<u8>) {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record((0..columns).map(|column| format!("c {column}"))).unwrap();
    let mut table: Vec<Vec<Vec<u8>>> = Vec::new();
    for row in 0..rows {
        let mut fields: Vec<Vec<u8>> = (0..columns).map(|_| random.hostile(true)).collect();
        fields[0].extend_from_slice(format!("{row}").as_bytes());
        writer.write_record(&fields).unwrap();
        table.push(fields);
    }
    (table, writer.into_inner().unwrap())
}

#[test]
fn csv_of_several_columns_agrees_with_the_csv_crate() {
    for seed in 0..8 {
        let columns = 1 + seed % 5;
        let (mut table, text) = table(&mut Random(seed), columns, 200);
        let place = Place::new();
        place.write("t.csv", &text);
        place.ok(&["load", "a", "t.csv", "--batch", "7"]);
        let exported = place.ok(&["export", "a", "--format", "csv"]);
        let mut reader = csv::Reader::from_reader(exported.as_slice());
        let header: Vec<_> = reader.headers().unwrap().iter().map(str::to_owned).collect();
        assert_eq!(header, (0..columns).map(|column| format!("c {column}")).collect::<Vec<_>>());
        let mut back: Vec<Vec<Vec<u8>>> = reader
            .byte_records()
            .map(|row| row.unwrap().iter().map(<[u8]>::to_vec).collect())
            .collect();
        table.sort();
        back.sort();
        assert!(table == back, "seed {seed}");
    }
}

#[test]
fn columns_come_back_through_tsv_and_csv_with_the_key_first() {
    let place = Place::new();
    place.write("t.tsv", "v\tname\td\\t\n1.3\tzlib\tlibc\\ta\\x00b\n5\tbash\t\n");
    place.ok(&["load", "a", "t.tsv", "--key", "name"]);
    assert_eq!(place.ok(&["get", "a", "zlib"]), b"1.3\tlibc\\ta\0b");
    let tsv = place.ok(&["export", "a", "--format", "tsv"]);
    let mut lines: Vec<_> = tsv.split(|&byte| byte == b'\n').collect();
    assert_eq!(lines.remove(0), b"name\tv\td\\t");
    lines.sort();
    assert_eq!(lines, [&b""[..], b"bash\t5\t", b"zlib\t1.3\tlibc\\ta\0b"]);
    place.ok(&["export", "a", "copy.csv"]);
    place.ok(&["load", "b", "copy.csv"]);
    assert_eq!(place.content("a"), place.content("b"));
    place.ok(&["export", "b", "copy.tsv"]);
    place.ok(&["load", "c", "copy.tsv"]);
    assert_eq!(place.content("a"), place.content("c"));
}

#[test]
fn a_table_of_keys_alone_is_a_set() {
    let place = Place::new();
    place.write("t.csv", "k\n\"\"\na\n\"b,\"\n");
    place.write("t.tsv", "k\n\na\nb,\n");
    let expected: Content =
        [&b""[..], b"a", b"b,"].into_iter().map(|key| (key.to_vec(), Vec::new())).collect();
    for name in ["t.csv", "t.tsv"] {
        let index = format!("{name}.sp");
        place.ok(&["load", &index, name]);
        assert_eq!(place.content(&index), expected);
        let format = name.strip_prefix("t.").unwrap();
        let text = place.ok(&["export", &index, "--format", format]);
        let copy = format!("{name}.copy");
        assert_eq!(place.feed(&["load", &copy, "--format", format], &text).code, 0);
        assert_eq!(place.content(&copy), expected);
    }
}

#[test]
fn line_ends_and_byte_order_marks_of_other_systems_are_understood() {
    let place = Place::new();
    let expected: Content = [(b"a".to_vec(), b"1".to_vec()), (b"b".to_vec(), b"2".to_vec())].into();
    let inputs = [
        ("tsv", "\u{feff}k\tv\r\na\t1\r\nb\t2"),
        ("csv", "\u{feff}k,v\r\na,1\r\nb,2"),
        ("csv", "k,v\n\"a\",\"1\"\nb,2\r\n"),
        ("jsonl", "{\"key\":\"a\",\"value\":\"1\"}\r\n\r\n {\"value\":\"2\",\"key\":\"b\"} "),
    ];
    for (number, (format, text)) in inputs.into_iter().enumerate() {
        let index = format!("{number}");
        let ran = place.feed(&["load", &index, "--format", format], text.as_bytes());
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(place.content(&index), expected, "{text:?}");
    }
}
