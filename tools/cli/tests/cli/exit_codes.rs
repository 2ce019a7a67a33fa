//! Each exit code, and the words that come with it.

use crate::support::Place;

#[test]
fn usage_is_2() {
    let place = Place::new();
    place.ok(&["create", "a"]);
    for args in [
        &[][..],
        &["nonsense"],
        &["get", "a"],
        &["get", "a", "--hex-key", "zz"],
        &["load", "a", "x.unknown"],
        &["load", "a"],
        &["load", "a", "x.tsv", "--encoding", "hex"],
        &["load", "a", "x.jsonl", "--key", "id"],
        &["load", "a", "x.tsv", "--batch", "0"],
        &["export", "a"],
        &["scan", "a", "--from", "nonsense"],
        &["count", "a", "--wait", "-1"],
        &["dump", "a", "page", "x"],
        &["dump", "a", "nonsense"],
        &["explain", "a"],
        &["metrics", "a", "--format", "nonsense"],
    ] {
        let ran = place.run(args);
        assert_eq!(ran.code, 2, "{args:?}: {ran:?}");
        assert!(ran.out.is_empty(), "{args:?}: {ran:?}");
        // Without any argument it is the help that is printed.
        let begin = if args.is_empty() { "Look up" } else { "splitpoint: " };
        assert!(ran.err.starts_with(begin), "{args:?}: {ran:?}");
    }
}

#[test]
fn what_cannot_be_opened_is_3() {
    let place = Place::new();
    place.write("text", "this is not an index, but it is long enough to be looked at");
    std::fs::create_dir(place.path("folder")).unwrap();
    for verb in [
        &["count"][..],
        &["get"],
        &["scan"],
        &["stat"],
        &["check"],
        &["metrics"],
        &["explain"],
        &["put"],
        &["del"],
    ] {
        for (file, words) in
            [("none", "No such file"), ("text", "not a splitpoint"), ("folder", "folder")]
        {
            let mut args = [verb, &[file]].concat();
            match verb[0] {
                "put" => args.extend(["k", "v"]),
                "get" | "del" | "explain" => args.push("k"),
                _ => {}
            }
            place.run(&args).fails(3, words);
        }
    }
    assert!(!place.path("none").exists());
    place.run(&["count", "none"]).fails(3, "`splitpoint create` makes a new index");
    place.run(&["load", "a", "none.tsv"]).fails(3, "none.tsv");
    assert!(!place.path("a").exists());
    place.ok(&["create", "a"]);
    place.run(&["create", "a"]).fails(3, "exists already");
    place.run(&["export", "a", "text", "--format", "tsv"]).fails(3, "exists already");
    assert!(place.ok(&["count", "a"]) == b"0\n");
}

#[test]
fn absent_keys_are_1() {
    let place = Place::new();
    place.ok(&["create", "a"]);
    place.ok(&["put", "a", "k", "v"]);
    place.run(&["get", "a", "nope"]).fails(1, "no key \"nope\"");
    let ran = place.run(&["get", "a", "nope", "k"]);
    assert_eq!((ran.code, ran.out.as_slice()), (1, &b"k\tv\n"[..]));
    place.run(&["del", "a", "nope", "k"]).fails(1, "no key \"nope\"");
    assert_eq!(place.ok(&["count", "a"]), b"0\n");
}

#[test]
fn help_teaches() {
    let place = Place::new();
    let verbs = [
        "create",
        "load",
        "get",
        "put",
        "del",
        "count",
        "scan",
        "export",
        "stat",
        "check",
        "dump",
        "explain",
        "metrics",
        "demo",
        "salvage",
        "report",
        "backup",
        "diff",
        "corrupt",
        "completions",
        "man",
    ];
    let top = String::from_utf8(place.ok(&["--help"])).unwrap();
    assert!(top.contains("Exit codes:"));
    for verb in verbs {
        assert!(top.contains(&format!("\n  {verb} ")), "{verb}");
        let help = String::from_utf8(place.ok(&["help", verb])).unwrap();
        assert!(
            help.contains("Example") && help.contains(&format!("splitpoint {verb} ")),
            "{verb}"
        );
    }
    let formats = String::from_utf8(place.ok(&["help", "formats"])).unwrap();
    let again = String::from_utf8(place.ok(&["formats"])).unwrap();
    for format in ["tsv ", "csv ", "jsonl ", "pairs "] {
        assert!(formats.contains(&format!("\n{format}")), "{format}");
        assert!(again.contains(&format!("\n{format}")), "{format}");
    }
    assert!(!top.contains("demo-writer"));
    for text in [&top, &formats] {
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }
}
