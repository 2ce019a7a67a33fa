//! `get`, `put`, `del`, `count` and `scan`.

use crate::support::{Place, Random, to_pairs};

#[test]
fn values_are_printed_as_they_are() {
    let place = Place::new();
    place.ok(&["create", "a"]);
    let value = b"\x00line\nline\xff\r\n";
    assert_eq!(place.feed(&["put", "a", "k", "-"], value).code, 0);
    assert_eq!(place.ok(&["get", "a", "k"]), value);
    assert_eq!(place.ok(&["get", "a", "--hex", "k"]), b"006c696e650a6c696e65ff0d0a\n");
    assert_eq!(place.ok(&["get", "a", "--hex-key", "6b"]), value);
    place.ok(&["put", "a", "--hex-key", "00ff", "--hex", "cafe"]);
    assert_eq!(place.ok(&["get", "a", "--hex-key", "00ff"]), b"\xca\xfe");
    place.ok(&["put", "a", "", ""]);
    assert_eq!(place.ok(&["get", "a", ""]), b"");
    place.ok(&["put", "a", "dash", "-v"]);
    place.ok(&["put", "a", "--", "-k", "--json"]);
    assert_eq!(place.ok(&["get", "a", "dash"]), b"-v");
    assert_eq!(place.ok(&["get", "a", "--", "-k"]), b"--json");
    assert_eq!(place.ok(&["count", "a"]), b"5\n");
}

#[test]
fn put_and_del_say_in_json_what_they_did() {
    let place = Place::new();
    place.ok(&["create", "a"]);
    assert_eq!(place.run(&["put", "a", "k", "1", "--json"]).json()["new"], true);
    assert_eq!(place.run(&["put", "a", "k", "2", "--json"]).json()["new"], false);
    assert_eq!(place.run(&["del", "a", "k", "--json"]).json()["removed"], true);
    let ran = place.run(&["del", "a", "k", "--json"]);
    assert_eq!((ran.code, &ran.json()["removed"]), (1, &false.into()));
}

#[test]
fn keys_come_from_standard_input_as_scan_prints_them() {
    let place = Place::new();
    let content = Random(11).content(200, false);
    place.feed(&["load", "a", "--format", "pairs"], &to_pairs(&content));
    let scanned = place.ok(&["scan", "a"]);
    let mut keys = Vec::new();
    for line in scanned.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        keys.extend_from_slice(line.split(|&byte| byte == b'\t').next().unwrap());
        keys.push(b'\n');
    }
    for from in ["-", "--stdin"] {
        let got = place.feed(&["get", "a", from], &keys);
        assert_eq!(got.code, 0, "{}", got.err);
        assert!(got.out == scanned);
    }
    // Those lines are a table, too.
    let table = [b"k\tv\n", scanned.as_slice()].concat();
    assert_eq!(place.feed(&["load", "b", "--format", "tsv"], &table).code, 0);
    assert!(place.content("b") == content);
}

#[test]
fn scans_go_on_at_their_cursor() {
    let place = Place::new();
    let mut text = "k\tv\n".to_owned();
    for number in 0..100 {
        text.push_str(&format!("{}{number}\t{number}\n", if number % 3 == 0 { "a" } else { "b" }));
    }
    place.feed(&["load", "a", "--format", "tsv"], text.as_bytes());
    let all = place.run(&["scan", "a"]);
    assert_eq!(all.err, "");
    let (mut paged, mut from) = (String::new(), None::<String>);
    let mut pages = 0;
    loop {
        let mut args = vec!["scan", "a", "--limit", "30"];
        if let Some(cursor) = &from {
            args.extend(["--from", cursor]);
        }
        let ran = place.run(&args);
        paged.push_str(ran.text());
        pages += 1;
        match ran.err.trim().rsplit_once("--from ") {
            Some((_, cursor)) => from = Some(cursor.to_owned()),
            None => break,
        }
    }
    assert_eq!(paged, all.text());
    assert_eq!(pages, 4);
    let some = place.run(&["scan", "a", "--prefix", "a"]);
    assert_eq!(some.text().lines().count(), 34);
    assert!(some.text().lines().all(|line| line.starts_with('a')));
}

#[test]
fn large_values_and_keys_come_back() {
    let place = Place::new();
    place.ok(&["create", "a"]);
    let mut random = Random(3);
    let value: Vec<u8> = (0..3_000_000).map(|_| u8::try_from(random.below(256)).unwrap()).collect();
    assert_eq!(place.feed(&["put", "a", "big", "-"], &value).code, 0);
    assert!(place.ok(&["get", "a", "big"]) == value);
    let key = "k".repeat(65_535);
    place.ok(&["put", "a", &key, "v"]);
    assert_eq!(place.ok(&["get", "a", &key]), b"v");
    let longer = "k".repeat(65_536);
    place.run(&["put", "a", &longer, "v"]).fails(4, "65536 bytes is too large");
    place.run(&["get", "a", &longer]).fails(4, "65536 bytes is too large");
    for format in ["tsv", "pairs"] {
        let text = place.ok(&["export", "a", "--format", format]);
        assert_eq!(place.feed(&["load", format, "--format", format], &text).code, 0);
        assert!(place.content(format) == place.content("a"));
    }
}
