//! `backup` beside a writer, and `diff`.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use crate::support::Place;

fn table(rows: std::ops::Range<u32>, word: &str) -> Vec<u8> {
    let rows: String = rows.map(|row| format!("k{row}\t{word} {row}\n")).collect();
    format!("key\tvalue\n{rows}").into_bytes()
}

fn load(place: &Place, index: &str, input: &[u8]) {
    let ran = place.feed(&["load", index, "--format", "tsv"], input);
    assert_eq!(ran.code, 0, "{ran:?}");
}

#[test]
fn diff_tells_what_was_added_removed_and_changed() {
    let place = Place::new();
    load(&place, "a", &table(0..3_000, "old"));
    place.ok(&["backup", "a", "b"]);
    assert_eq!(place.ok(&["diff", "a", "b"]), b"0 added, 0 removed, 0 changed\n");
    place.ok(&["put", "b", "k5", "new"]);
    place.ok(&["put", "b", "fresh", "1"]);
    place.ok(&["del", "b", "k7"]);
    // Another seed, and other places for all of it.
    let tsv = place.ok(&["export", "b", "--format", "tsv"]);
    load(&place, "c", &tsv);
    for after in ["b", "c"] {
        let ran = place.run(&["diff", "a", after]);
        assert_eq!(ran.code, 1, "{ran:?}");
        let text = String::from_utf8(ran.out.clone()).unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.pop(), Some("1 added, 1 removed, 1 changed"));
        lines.sort_unstable();
        assert_eq!(lines, ["+ \"fresh\"", "- \"k7\"", "~ \"k5\""]);
        let ran = place.run(&["diff", "a", after, "--json"]);
        let rows: Vec<serde_json::Value> = serde_json::Deserializer::from_slice(&ran.out)
            .into_iter()
            .collect::<Result<_, _>>()
            .unwrap();
        let changed = rows.iter().find(|row| row["difference"] == "changed").unwrap();
        assert_eq!((&changed["before"], &changed["after"]), (&"old 5".into(), &"new".into()));
        assert_eq!(rows.last().unwrap()["added"], 1);
        let count = place.run(&["diff", "a", after, "--count"]);
        assert_eq!(
            (count.code, count.out.as_slice()),
            (1, &b"1 added, 1 removed, 1 changed\n"[..])
        );
    }
    assert_eq!(place.run(&["diff", "b", "c"]).code, 0);
    place.run(&["diff", "a", "none"]).fails(3, "No such file");
}

#[test]
fn a_backup_beside_a_writer_is_one_moment() {
    let place = Place::new();
    place.ok(&["create", "a"]);
    let mut child = place
        .command(&["load", "a", "--format", "pairs", "--batch", "10"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Ten keys a commit, all of one version: a copy that mixes moments has two versions in ten.
    let writer = std::thread::spawn(move || {
        for version in 0_u32.. {
            let mut batch = Vec::new();
            for key in 0_u32..10 {
                batch.extend_from_slice(&[4, 0, 0, 0, 4, 0, 0, 0]);
                batch.extend_from_slice(&(version / 4 % 500 * 10 + key).to_le_bytes());
                batch.extend_from_slice(&version.to_le_bytes());
            }
            if stdin.write_all(&batch).is_err() {
                return;
            }
        }
    });
    std::thread::sleep(std::time::Duration::from_millis(300));
    for copy in ["b", "c", "d"] {
        let ran = place.run(&["backup", "a", copy]);
        // A writer that is too fast is no fault, if it is said.
        if ran.code != 0 {
            ran.fails(4, "its writer was faster");
            assert!(!place.path(copy).exists());
            continue;
        }
        assert_eq!(place.run(&["check", copy]).code, 0);
        let content = place.content(copy);
        assert!(!content.is_empty() && content.len().is_multiple_of(10), "{}", content.len());
        let mut versions = std::collections::BTreeMap::new();
        for (key, value) in content {
            let key = u32::from_le_bytes(key.try_into().unwrap());
            assert_eq!(versions.entry(key / 10).or_insert_with(|| value.clone()), &value);
        }
    }
    child.kill().unwrap();
    writer.join().unwrap();
    let _ = child.wait();
    let _ = BufReader::new(child.stderr.take().unwrap()).lines().count();
    // What a crash left can be copied as well.
    place.ok(&["backup", "a", "after"]);
    assert_eq!(place.run(&["diff", "a", "after", "--count"]).code, 0);
    place.run(&["backup", "a", "after"]).fails(3, "exists already");
    place.run(&["backup", "none", "x"]).fails(3, "No such file");
}

/// An interrupted compaction left its unfinished file beside the index.
#[test]
#[cfg(unix)]
fn a_compaction_that_is_interrupted_leaves_the_file_as_it_is_and_nothing_else() {
    let place = Place::new();
    load(&place, "a", &table(0..200_000, "a value of some length, so that there is much to write"));
    for _ in 0..10 {
        let before = std::fs::read(place.path("a")).unwrap();
        let mut child = place
            .command(&["compact", "a", "--memory", "8"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while !place.path("a.splitpoint-new").exists() && child.try_wait().unwrap().is_none() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let id = child.id().to_string();
        let _ = std::process::Command::new("kill").args(["-INT", &id]).status().unwrap();
        let code = child.wait().unwrap().code();
        let names = std::fs::read_dir(place.path("")).unwrap().map(|entry| entry.unwrap());
        let names: Vec<_> = names.map(|entry| entry.file_name()).collect();
        assert_eq!(names, ["a"], "{code:?}");
        if code == Some(4) {
            assert!(std::fs::read(place.path("a")).unwrap() == before);
            return;
        }
        // It was faster than the signal.
        assert_eq!(code, Some(0));
    }
    panic!("it was never interrupted");
}
