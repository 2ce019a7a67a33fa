//! The manual's examples, tried.

use crate::support::{Content, Place};

const MANUAL: &str = include_str!("../../README.md");

/// The example that follows the paragraph of a format.
fn example(format: &str) -> &'static str {
    let (_, rest) = MANUAL.split_once(&format!("\n**{format}**")).unwrap();
    let (_, rest) = rest.split_once("\n```text\n").unwrap();
    rest.split_once("```").unwrap().0
}

fn content(key: &str, value: &str) -> Content {
    [(key.into(), value.into())].into()
}

#[test]
fn the_examples_of_the_formats_load_as_they_say() {
    let place = Place::new();
    let expected = [
        ("tsv", content("zlib1g", "1.3.1\tlibc6 (>= 2.14)")),
        ("csv", content("zlib1g", "1.3.1\tlibc6 (>= 2.14), base")),
        ("jsonl", content("zlib1g", "1.3.1")),
    ];
    for (format, content) in expected {
        let ran = place.feed(&["load", format, "--format", format], example(format).as_bytes());
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(place.content(format), content);
        let again = place.ok(&["export", format, "--format", format]);
        assert_eq!(String::from_utf8(again).unwrap().replace("\r\n", "\n"), example(format));
    }
    let (digits, _) = example("pairs").split_once("      ").unwrap();
    let bytes: Vec<u8> =
        digits.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    assert_eq!(place.feed(&["load", "pairs", "--format", "pairs"], &bytes).code, 0);
    assert_eq!(place.content("pairs"), content("zlib1g", "1.3.1"));
    assert_eq!(place.ok(&["export", "pairs", "--format", "pairs"]), bytes);
}

#[test]
fn every_verb_and_exit_code_is_in_the_manual() {
    let place = Place::new();
    let help = String::from_utf8(place.ok(&["--help"])).unwrap();
    let (_, rest) = help.split_once("Commands:\n").unwrap();
    let (verbs, _) = rest.split_once("\n\n").unwrap();
    let mut verb_count = 0;
    for verb in verbs.lines().filter_map(|line| line.split_whitespace().next()) {
        if verb != "help" && verb != "formats" {
            assert!(
                MANUAL.contains(&format!("\n| `{verb} "))
                    || MANUAL.contains(&format!("\n| `{verb}`")),
                "{verb}"
            );
            verb_count += 1;
        }
    }
    assert_eq!(verb_count, 22);
    let (_, codes) = help.split_once("Exit codes:\n").unwrap();
    for code in 0..5 {
        assert!(codes.contains(&format!("  {code}  ")));
        assert!(MANUAL.contains(&format!("\n| {code} | ")));
    }
}

/// clap fits what it writes to the terminal; what is written out by hand must fit by itself.
#[test]
fn no_line_of_the_help_is_longer_than_a_hundred_columns() {
    let place = Place::new();
    let help = String::from_utf8(place.ok(&["--help"])).unwrap();
    let (_, rest) = help.split_once("Commands:\n").unwrap();
    let (verbs, _) = rest.split_once("\n\n").unwrap();
    for verb in verbs.lines().filter_map(|line| line.split_whitespace().next()) {
        let args = match verb {
            "help" => &["help"][..],
            // Printed as it stands, not by clap.
            "formats" => &["formats"],
            _ => &["help", verb],
        };
        for line in String::from_utf8(place.ok(args)).unwrap().lines() {
            assert!(line.chars().count() <= 100, "{verb}: {line}");
        }
    }
}
