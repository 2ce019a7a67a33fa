//! `report`, `completions`, `man`.

use crate::support::{Place, Random, to_pairs};

#[test]
fn a_report_is_one_page_that_asks_for_nothing() {
    let place = Place::new();
    let content = Random(3).content(3_000, false);
    place.feed(&["load", "<a>&", "--format", "pairs"], &to_pairs(&content));
    place.ok(&["report", "<a>&", "-o", "a.html"]);
    let page = std::fs::read_to_string(place.path("a.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("<h1>&lt;a&gt;&amp;</h1>"));
    for part in ["Space by use", "How full buckets are", "How long chains are", "Map of the file"] {
        assert!(page.contains(&format!("<h2>{part}</h2>")), "{part}");
    }
    for part in ["Splitpoint", "Log"] {
        assert!(page.contains(&format!("<h2>{part}</h2>")), "{part}");
    }
    assert_eq!(page.matches("<svg").count(), 6);
    for outside in ["http:", "https:", "<script", "@import", "url(", "<link", "NaN"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("nothing is lost") && !page.contains("What is lost"));
    place.run(&["report", "<a>&", "-o", "a.html"]).fails(3, "exists already");
    let again = place.ok(&["report", "<a>&", "-o", "-"]);
    assert!(again == page.into_bytes());
}

#[test]
fn a_report_of_a_damaged_file_shows_it() {
    let place = Place::new();
    let content = Random(3).content(3_000, false);
    place.feed(&["load", "a", "--format", "pairs"], &to_pairs(&content));
    let mut lost = 0;
    for seed in 0..12 {
        let (copy, seed) = (format!("a{seed}"), seed.to_string());
        place.ok(&["corrupt", "a", "--kind", "zero", "--seed", &seed, "--yes", "--output", &copy]);
        let page = String::from_utf8(place.ok(&["report", &copy, "-o", "-"])).unwrap();
        lost += usize::from(page.contains("<h2>What is lost</h2>"));
    }
    assert!(lost > 0);
    place.write("text", "this is not an index, but it is long enough to be looked at");
    place.run(&["report", "text", "-o", "-"]).fails(3, "not a splitpoint");
    place.run(&["report", "none", "-o", "-"]).fails(3, "No such file");
    place.run(&["report", "a"]).fails(2, "--output");
}

#[test]
fn shells_and_manuals_know_every_verb() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = String::from_utf8(place.ok(&["completions", shell])).unwrap();
        for verb in ["salvage", "backup", "skip-damaged"] {
            assert!(script.contains(verb), "{shell}: {verb}");
        }
    }
    let page = String::from_utf8(place.ok(&["man"])).unwrap();
    assert!(page.contains(".TH splitpoint 1") && page.contains("salvage"), "{page}");
    let page = String::from_utf8(place.ok(&["man", "export"])).unwrap();
    assert!(page.contains("skip\\-damaged"), "{page}");
    place.run(&["man", "nonsense"]).fails(2, "no verb");
    place.run(&["completions", "nonsense"]).fails(2, "nonsense");
}
