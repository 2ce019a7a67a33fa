//! `load` beyond the formats: batches, repeated keys, columns that disagree, Ctrl-C.

use std::fmt::Write as _;
use std::io::Write as _;
#[cfg(unix)]
use std::process::Command;
use std::process::{Child, ChildStdin, Stdio};
use std::time::{Duration, Instant};

use crate::support::Place;

fn numbered(len: u32) -> String {
    let mut text = "id\tname\n".to_owned();
    for number in 0..len {
        writeln!(text, "{number}\tname {number}").unwrap();
    }
    text
}

#[test]
fn batches_of_any_size_give_the_same() {
    let place = Place::new();
    place.write("t.tsv", numbered(500));
    for batch in ["1", "7", "500", "501", "10000"] {
        place.ok(&["load", batch, "t.tsv", "--batch", batch]);
        assert_eq!(place.ok(&["count", batch]), b"500\n");
        assert_eq!(place.ok(&["get", batch, "499"]), b"name 499");
    }
}

#[test]
fn the_summary_counts_what_is_new_and_what_is_bad() {
    let place = Place::new();
    place.write("t.tsv", "k\tv\na\t1\nb\t2\na\t3\nbad\n");
    let ran = place.run(&["load", "a", "t.tsv", "--skip-bad", "--json"]);
    let json = ran.json();
    assert_eq!(json["loaded"], 3);
    assert_eq!(json["new"], 2);
    assert_eq!(json["bad"], 1);
    assert_eq!(json["count"], 2);
    assert_eq!(place.ok(&["get", "a", "a"]), b"3");
    let ran = place.run(&["load", "a", "t.tsv", "--skip-bad"]);
    assert!(ran.text().starts_with("loaded 3 records, 0 of them new keys"), "{ran:?}");
    assert!(ran.text().contains("1 bad line passed over"), "{ran:?}");
}

#[test]
fn other_columns_are_refused_and_nothing_changes() {
    let place = Place::new();
    place.write("one.tsv", "k\tv\na\t1\n");
    place.write("two.tsv", "k\tv\tw\nb\t1\t2\n");
    place.write("other.tsv", "id\ttext\nc\t3\n");
    place.ok(&["load", "a", "one.tsv"]);
    place.run(&["load", "a", "two.tsv"]).fails(4, "load it into an index of its own");
    assert_eq!(place.ok(&["count", "a"]), b"1\n");
    // One value column is the value as it is, whatever its name.
    place.ok(&["load", "a", "other.tsv"]);
    assert_eq!(place.ok(&["count", "a"]), b"2\n");
    assert!(place.ok(&["export", "a", "--format", "tsv"]).starts_with(b"k\tv\n"));
}

/// A load that failed at its first line left an empty index with the columns of that input, and the
/// corrected one was refused for having others.
#[test]
fn a_load_that_failed_at_once_does_not_keep_the_next_one_out() {
    let place = Place::new();
    place.write("bad.csv", "name;city\nbob;paris, france\n");
    place.write("good.csv", "name,city,size\nbob,paris,1\n");
    assert_eq!(place.run(&["load", "a", "bad.csv", "--key", "name;city"]).code, 4);
    place.ok(&["load", "a", "good.csv", "--key", "name", "--expected-len", "5000"]);
    assert!(place.ok(&["export", "a", "--format", "csv"]).starts_with(b"name,city,size"));
}

#[test]
fn values_that_are_no_rows_are_refused_where_there_are_columns() {
    let place = Place::new();
    place.write("two.tsv", "k\tv\tw\nb\t1\t2\n");
    place.ok(&["load", "a", "two.tsv"]);
    place.ok(&["put", "a", "loose", "no row"]);
    let ran = place.run(&["export", "a", "--format", "csv"]);
    ran.fails(4, "key \"loose\": the value is not made of the 2 value columns");
    place.ok(&["export", "a", "--format", "jsonl"]);
}

#[test]
fn header_faults_are_named_and_make_no_file() {
    let place = Place::new();
    let wide: String = (0..300).map(|column| format!("column{column},")).collect();
    let cases = [
        ("", "empty; a header"),
        ("a,a\n", "two columns are named \"a\""),
        ("a,b\n", "no column is named \"key\"; the header has a, b"),
        ("\"a,key\n", "the input ends within quotes"),
    ];
    for (text, words) in cases {
        let args = ["load", "a", "--format", "csv", "--key", "key"];
        place.feed(&args, text.as_bytes()).fails(4, words);
        assert!(!place.path("a").exists(), "{text}");
    }
    let args = ["load", "a", "--format", "csv"];
    place.feed(&args, format!("{wide}x\n").as_bytes()).fails(4, "shorten the header");
    place.feed(&args, b"\xff,b\n").fails(4, "not UTF-8");
}

/// A load that waits for more on its pipe; it has the file, and two batches of ten are on their way.
struct Waiting {
    child: Child,
    stdin: ChildStdin,
}

impl Waiting {
    fn start(place: &Place) -> Waiting {
        let mut child = place
            .command(&["load", "a", "--format", "tsv", "--batch", "10"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(numbered(25).as_bytes()).unwrap();
        let started = Instant::now();
        while !place.path("a").exists() && started.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_millis(500));
        Waiting { child, stdin }
    }
}

#[test]
#[cfg(unix)]
fn ctrl_c_says_how_many_records_are_in() {
    let place = Place::new();
    let Waiting { child, stdin } = Waiting::start(&place);
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(4), "{err}");
    assert!(err.contains("interrupted; 20 records of standard input are in a"), "{err}");
    assert_eq!(place.ok(&["count", "a"]), b"20\n");
}

#[test]
fn a_killed_load_leaves_whole_batches() {
    let place = Place::new();
    let Waiting { mut child, stdin } = Waiting::start(&place);
    child.kill().unwrap();
    child.wait().unwrap();
    drop(stdin);
    assert_eq!(place.ok(&["count", "a"]), b"20\n");
    place.ok(&["check", "a"]);
    assert_eq!(place.ok(&["get", "a", "19"]), b"name 19");
    assert!(place.ok(&["export", "a", "--format", "tsv"]).starts_with(b"id\tname\n"));
}

#[test]
fn a_file_in_use_is_refused_or_waited_for() {
    let place = Place::new();
    let Waiting { child, stdin } = Waiting::start(&place);
    for verb in [&["put", "a", "k", "v"][..], &["del", "a", "k"], &["load", "a", "t.tsv"]] {
        place.write("t.tsv", numbered(1));
        place
            .run(verb)
            .fails(3, "locked by another process; close it there and try again (with --wait");
    }
    let waiting = place
        .command(&["put", "a", "k", "v", "--wait", "30"])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(200));
    drop(stdin);
    assert!(child.wait_with_output().unwrap().status.success());
    let put = waiting.wait_with_output().unwrap();
    assert!(put.status.success(), "{}", put.stderr.escape_ascii());
    assert_eq!(place.ok(&["count", "a"]), b"26\n");
}

#[test]
fn a_bulk_load_of_several_inputs_is_what_one_load_after_the_other_is() {
    let place = Place::new();
    place.write("a.tsv", numbered(3_000));
    place.write("b.tsv", "id\tname\n7\tseven\n3001\tnew\n");
    place.write("c.csv", "id,name\n8,eight\n7,again\n");
    for input in ["a.tsv", "b.tsv", "c.csv"] {
        place.ok(&["load", "slow", input]);
    }
    let bulk = ["load", "fast", "a.tsv", "b.tsv", "c.csv", "--bulk", "--memory", "1", "--json"];
    let json = place.run(&bulk).json();
    assert_eq!((json["loaded"].clone(), json["count"].clone()), (3_004.into(), 3_001.into()));
    assert_eq!(json["duplicates"], 3);
    assert_eq!(place.content("fast"), place.content("slow"));
    place.ok(&["check", "fast"]);
    // Into what is there; then in its place.
    place.write("d.tsv", "id\tname\n7\tonce more\n");
    place.ok(&["load", "fast", "d.tsv", "--bulk", "--threads", "1", "--fill", "80"]);
    assert_eq!(place.ok(&["count", "fast"]), b"3001\n");
    assert_eq!(place.ok(&["get", "fast", "7"]), b"once more");
    assert!(place.ok(&["export", "fast", "--format", "tsv"]).starts_with(b"id\tname\n"));
    place.ok(&["load", "fast", "d.tsv", "--bulk", "--replace"]);
    assert_eq!(place.ok(&["count", "fast"]), b"1\n");
}

#[test]
fn a_bulk_load_that_fails_changes_nothing() {
    let place = Place::new();
    place.write("good.tsv", numbered(100));
    place.write("bad.tsv", "id\tname\nbad\n");
    place.write("other.tsv", "id\tname\tage\n1\t2\t3\n");
    place.ok(&["load", "a", "good.tsv"]);
    place.run(&["load", "a", "good.tsv", "bad.tsv", "--bulk"]).fails(4, "a is as it was");
    place.run(&["load", "a", "good.tsv", "other.tsv", "--bulk"]).fails(4, "other columns");
    place.run(&["load", "a", "good.tsv", "bad.tsv"]).fails(2, "--bulk");
    place.run(&["load", "a", "good.tsv", "--replace"]).fails(2, "--bulk");
    assert_eq!(place.ok(&["count", "a"]), b"100\n");
    let json = place.run(&["load", "a", "bad.tsv", "--bulk", "--skip-bad", "--json"]).json();
    assert_eq!(json["bad"], 1);
}

#[test]
fn compact_makes_the_file_small_and_keeps_its_records() {
    let place = Place::new();
    place.write("t.tsv", numbered(20_000));
    place.ok(&["load", "a", "t.tsv"]);
    let before = place.content("a");
    let json = place.run(&["compact", "a", "--json"]).json();
    assert_eq!(json["count"], 20_000);
    assert!(json["bytes"].as_u64().unwrap() <= json["bytes_before"].as_u64().unwrap());
    assert_eq!(place.content("a"), before);
    place.ok(&["check", "a"]);
    place.ok(&["compact", "a", "--fill", "50"]);
    assert_eq!(place.content("a"), before);
    place.run(&["compact", "nothing"]).fails(3, "nothing");
}
