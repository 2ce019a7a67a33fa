//! What is printed: JSON that parses, pipes that close, files that appear whole.

use std::io::Read;
use std::process::Stdio;

use serde_json::Value;

use crate::support::{Place, Random, to_pairs};

fn filled() -> Place {
    let place = Place::new();
    let content = Random(5).content(2_000, false);
    place.feed(&["load", "a", "--format", "pairs"], &to_pairs(&content));
    place
}

#[test]
fn json_parses() {
    let place = filled();
    let count = place.run(&["count", "a", "--json"]).json()["count"].as_u64().unwrap();
    assert_eq!(place.run(&["stat", "a", "--json"]).json()["record_count"], count);
    let check = place.run(&["check", "a", "--json"]).json();
    assert_eq!((&check["sound"], &check["record_count"]), (&true.into(), &count.into()));
    assert_eq!(place.run(&["create", "b", "--json"]).json()["created"], "b");
    let scan = place.ok(&["scan", "a", "--json"]);
    let rows: Vec<Value> = serde_json::Deserializer::from_slice(&scan)
        .into_iter::<Value>()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(rows.len() as u64, count);
    for row in rows.iter().take(100) {
        let (key, is_hex) = match &row["key"] {
            Value::String(text) => (text.clone(), false),
            _ => (row["key_hex"].as_str().unwrap().to_owned(), true),
        };
        if key.contains('\0') {
            continue; // No argument can carry it.
        }
        let mut args = vec!["get", "a", "--json"];
        args.extend(is_hex.then_some("--hex-key"));
        args.extend(["--", key.as_str()]);
        if key == "-" {
            continue; // That is standard input.
        }
        let got = place.run(&args).json();
        assert_eq!(got["found"], true);
        assert_eq!((&got["value"], &got["value_hex"]), (&row["value"], &row["value_hex"]));
    }
    let absent = place.run(&["get", "a", "not there", "--json"]);
    assert_eq!((absent.code, &absent.json()["found"]), (1, &false.into()));
    assert_eq!(absent.err, "");
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let place = Place::new();
    let text: String = (0..200_000).map(|n| format!("{n}\tvalue {n}\n")).collect();
    place.feed(&["load", "a", "--format", "tsv"], format!("k\tv\n{text}").as_bytes());
    for args in [&["export", "a", "--format", "tsv"][..], &["scan", "a"], &["scan", "a", "--json"]]
    {
        let mut child = place
            .command(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut some = [0; 100];
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_exact(&mut some).unwrap();
        drop(stdout);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
    }
}

#[test]
fn an_export_to_a_file_appears_only_when_it_is_whole() {
    let place = filled();
    // Not UTF-8 somewhere: fails in the middle.
    place.run(&["export", "a", "out.csv"]).fails(4, "--encoding hex or --encoding base64");
    assert!(!place.path("out.csv").exists());
    place.ok(&["export", "a", "out.csv", "--encoding", "hex"]);
    place.ok(&["load", "b", "out.csv", "--encoding", "hex"]);
    assert!(place.content("a") == place.content("b"));
    let left: Vec<_> = std::fs::read_dir(place.path("")).unwrap().collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_a_failure() {
    let place = filled();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = place
        .command(&["export", "a", "--format", "tsv"])
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write to standard output"));
}
