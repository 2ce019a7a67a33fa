//! `stat`, `dump`, `explain`, `check`, `metrics`: on sound, damaged and open files.

use std::io::Read;
use std::process::Stdio;

use serde_json::Value;
use splitpoint::Index;

use crate::support::Place;

/// An index with overflow and large values, closed.
fn filled() -> Place {
    let place = Place::new();
    let row = |n: u32| format!("key {n}\t{}\n", "x".repeat(20 + n as usize % 300));
    let mut text: String = (0..20_000).map(row).collect();
    text.push_str(&format!("large\t{}\n", "y".repeat(50_000)));
    let ran = place.feed(&["load", "a", "--format", "tsv"], format!("k\tv\n{text}").as_bytes());
    assert_eq!(ran.code, 0, "{ran:?}");
    place
}

fn sum(shares: &Value) -> u64 {
    shares.as_object().unwrap().values().map(|bytes| bytes.as_u64().unwrap()).sum()
}

/// The first field of this name in a report.
fn field<'v>(report: &'v Value, name: &str) -> Option<&'v Value> {
    let fields = report["fields"].as_array().unwrap();
    let own = fields.iter().find(|field| field["name"] == name).map(|field| &field["value"]);
    own.or_else(|| report["parts"].as_array().unwrap().iter().find_map(|part| field(part, name)))
}

fn damage(place: &Place, at: u64) {
    let at = usize::try_from(at).unwrap();
    let mut bytes = std::fs::read(place.path("a")).unwrap();
    bytes[at] ^= 1;
    std::fs::write(place.path("a"), bytes).unwrap();
}

/// A bucket page.
fn bucket_page(place: &Place) -> u64 {
    let bucket = place.run(&["dump", "a", "bucket", "3", "--json"]).json();
    // In one of the two layouts, if a sweep runs.
    let layouts = bucket["parts"].as_array().unwrap().iter();
    let mut parts = layouts.flat_map(|layout| layout["parts"].as_array().unwrap());
    let page = parts.find(|part| field(part, "cell_count").is_some()).unwrap();
    field(page, "page_number").unwrap().as_u64().unwrap()
}

#[test]
fn stat_adds_up_on_sound_and_damaged_files() {
    let place = filled();
    let check = |is_sound: bool| {
        let ran = place.run(&["stat", "a", "--json"]);
        assert_eq!(ran.code, i32::from(!is_sound), "{ran:?}");
        let stat = ran.json();
        let file_len = std::fs::metadata(place.path("a")).unwrap().len();
        assert_eq!((sum(&stat["pages"]), &stat["file_len"]), (file_len, &file_len.into()));
        let of = |name: &str| stat["pages"][name].as_u64().unwrap();
        let inside = of("bucket_pages") + of("overflow_pages") + of("value_pages");
        assert_eq!(sum(&stat["contents"]), inside);
        stat
    };
    let stat = check(true);
    assert_eq!((&stat["record_count"], &stat["large_record_count"]), (&20_001.into(), &1.into()));
    assert!(stat["overflow_record_count"].as_u64().unwrap() > 0);
    let text = String::from_utf8(place.ok(&["stat", "a"])).unwrap();
    for words in ["20,001", "bucket pages", "tags and slots", "by chance", "Advice: ", "│"] {
        assert!(text.contains(words), "no {words} in {text}");
    }
    assert!(!text.contains('\x1b'), "colours are for terminals");
    let page = bucket_page(&place);
    damage(&place, page * 4096 + 4000);
    let stat = check(false);
    assert_eq!(stat["pages"]["unproven_pages"], 4096);
    assert_eq!(stat["findings"][0]["page"], page);
    let ran = place.run(&["stat", "a"]);
    assert!(ran.code == 1 && String::from_utf8_lossy(&ran.out).contains("1 findings"), "{ran:?}");
}

#[test]
fn every_part_is_dumped_with_and_without_its_bytes() {
    let place = filled();
    let page = bucket_page(&place).to_string();
    let large = place.run(&["dump", "a", "key", "large", "--json"]).json();
    let value = field(&large, "page").unwrap().to_string();
    for (subject, words) in [
        (&["meta"][..], "log_epoch_random"),
        (&["directory"], "words_in_use"),
        (&["bitmap"], "free_stretches"),
        (&["page", &page], "heap_start"),
        (&["bucket", "3"], "directory of buckets"),
        (&["overflow", "0"], "in the current layout"),
        (&["value", &value], "slot_in_page"),
        (&["log"], "closed clean"),
        (&["key", "key 7"], "home_cell"),
    ] {
        let args = [&["dump", "a"][..], subject].concat();
        let text = String::from_utf8(place.ok(&args)).unwrap();
        assert!(text.contains(words), "{subject:?}: no {words} in {text}");
        let report = place.run(&[&args[..], &["--json"]].concat()).json();
        assert_eq!(report["damage"], serde_json::json!([]), "{subject:?}");
        let hex = place.run(&[&args[..], &["--json", "--hex"]].concat()).json();
        for view in hex["bytes"].as_array().unwrap() {
            let spans = view["spans"].as_array().unwrap();
            let len: u64 = spans.iter().map(|span| span["len"].as_u64().unwrap()).sum();
            assert_eq!(view["len"], len);
        }
        place.ok(&[&args[..], &["--hex"]].concat());
    }
    let text = String::from_utf8(place.ok(&["dump", "a", "page", &page, "--hex"])).unwrap();
    for words in ["  |H", "H header", "page_number: ", "tag: 0x", "heap_start: ", "record of cell"]
    {
        assert!(text.contains(words), "no {words} in {text}");
    }
    place.run(&["dump", "a", "bucket", "99999999"]).fails(2, "is not below the bucket count");
    place.run(&["dump", "a", "log", "7"]).fails(2, "no log segment 7");
    // A damaged page is decoded, and what it breaks is stated.
    damage(&place, page.parse::<u64>().unwrap() * 4096 + 4000);
    let ran = place.run(&["dump", "a", "page", &page, "--hex"]);
    let text = String::from_utf8_lossy(&ran.out);
    assert!(ran.code == 1 && text.contains("! damage, page") && text.contains("heap_start: "));
}

#[test]
fn explain_tells_the_way_and_says_what_get_says() {
    let place = filled();
    for n in (0..21_000).step_by(501) {
        let key = format!("key {n}");
        let explained = place.run(&["explain", "a", &key, "--json"]);
        let got = place.run(&["get", "a", &key]);
        assert_eq!(explained.code, got.code, "{key}");
        let expected = if got.code == 0 { "found" } else { "absent" };
        assert_eq!(field(&explained.json(), "result").unwrap(), expected);
    }
    let text = String::from_utf8(place.ok(&["explain", "a", "key 7"])).unwrap();
    for words in ["hash ", "splitpoint", "directory", "home cell", "equal", "cache lines", "found"]
    {
        assert!(text.contains(words), "no {words} in {text}");
    }
    // Once a large record was found whatever its value had become.
    let large = place.run(&["explain", "a", "large", "--json"]).json();
    assert_eq!(field(&large, "value_pages_read").unwrap(), 13);
    let page = field(&large, "page").unwrap().as_u64().unwrap();
    damage(&place, page * 4096 + 30_000);
    let ran = place.run(&["explain", "a", "large"]);
    let text = String::from_utf8_lossy(&ran.out);
    assert!(ran.code == 1 && text.contains("damaged") && text.contains("large record"), "{ran:?}");
}

#[test]
fn check_lists_findings_with_place_promise_severity_and_next_step() {
    let place = filled();
    let text = String::from_utf8(place.ok(&["check", "a"])).unwrap();
    assert!(text.contains(": sound; ") && text.contains(" a second"), "{text}");
    let text = String::from_utf8(place.ok(&["check", "a", "--quick"])).unwrap();
    assert!(text.contains("the structure is sound"), "{text}");
    let page = bucket_page(&place);
    damage(&place, page * 4096 + 4000);
    let ran = place.run(&["check", "a", "--json"]);
    let report = ran.json();
    assert_eq!((ran.code, &report["sound"]), (1, &false.into()));
    let finding = &report["findings"][0];
    assert_eq!((&finding["page"], &finding["severity"]), (&page.into(), &"damage".into()));
    assert_eq!(finding["promise"], "PageChecksum");
    assert!(finding["next_step"].as_str().unwrap().contains("backup"));
    let ran = place.run(&["check", "a"]);
    let words = format!("damage, page {page}: broken promise: the checksum");
    assert!(ran.code == 1 && String::from_utf8_lossy(&ran.out).contains(&words), "{ran:?}");
    // Structure is not harmed by it.
    place.ok(&["check", "a", "--quick"]);
    let mut bytes = std::fs::read(place.path("a")).unwrap();
    bytes[..16_384].fill(0);
    std::fs::write(place.path("a"), bytes).unwrap();
    let ran = place.run(&["check", "a"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let text = String::from_utf8_lossy(&ran.out);
    let all = (0..4).all(|slot| text.contains(&format!("damage, meta page {slot}: ")));
    assert!(all && text.contains("without a meta page nothing can be said"), "{text}");
}

#[test]
fn an_open_file_is_looked_into_without_a_lock() {
    let place = filled();
    let index = Index::open(place.path("a")).unwrap();
    for n in 0..100 {
        index.insert(format!("new {n}"), "value").unwrap();
    }
    // Locked for all who read it as an index.
    place.run(&["count", "a"]).fails(3, "locked");
    place.ok(&["stat", "a"]);
    let check = String::from_utf8(place.ok(&["check", "a"])).unwrap();
    assert!(check.contains("100 commits with 100 operations in the log"), "{check}");
    let log = String::from_utf8(place.ok(&["dump", "a", "log"])).unwrap();
    for words in ["needed", "durable_lsn", "insert", "new 99", "end of the log", "1: last of"] {
        assert!(log.contains(words), "no {words} in {log}");
    }
    let key = place.run(&["explain", "a", "new 5"]);
    assert!(String::from_utf8_lossy(&key.out).contains("not read; there may be later"), "{key:?}");
    index.checkpoint().unwrap();
    place.ok(&["explain", "a", "new 5"]);
    place.ok(&["dump", "a", "log", "--hex"]);
    index.close().unwrap();
    place.ok(&["check", "a"]);
}

#[test]
fn metrics_are_lines_that_prometheus_reads() {
    let place = filled();
    let text = String::from_utf8(place.ok(&["metrics", "a", "--format", "prometheus"])).unwrap();
    let mut values = 0;
    for line in text.lines() {
        if line.starts_with('#') {
            let words: Vec<&str> = line.split(' ').take(3).collect();
            assert!(matches!(words[1], "HELP" | "TYPE") && words[2].starts_with("splitpoint_"));
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("splitpoint_") && name.contains("{file=\"a\""), "{line}");
        value.parse::<f64>().unwrap();
        values += 1;
    }
    assert!(values > 25, "{text}");
    assert!(text.contains("\nsplitpoint_records{file=\"a\"} 20001\n"), "{text}");
    assert_eq!(place.run(&["metrics", "a", "--json"]).json()["record_count"], 20_001);
}

#[test]
fn a_reader_that_leaves_a_dump_is_no_failure() {
    let place = filled();
    for args in [&["dump", "a", "directory", "--hex"][..], &["dump", "a", "bucket", "0", "--json"]]
    {
        let mut child = place
            .command(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_exact(&mut [0; 10]).unwrap();
        drop(stdout);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
    }
}
