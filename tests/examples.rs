//! The examples do what they say: words are counted as `sort | uniq -c` counts them, and every
//! anagram is found.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

#[path = "../tools/examples/group.rs"]
mod group;
#[path = "../tools/examples/term_count.rs"]
mod term_count;

fn sorted(text: &[u8]) -> BTreeSet<Vec<u8>> {
    text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

#[cfg(unix)]
#[test]
fn words_are_counted_as_uniq_counts_them() {
    let text = [include_str!("../DESIGN.md"), include_str!("../FORMAT.md")].concat();
    let words: String = text.split_ascii_whitespace().map(|word| format!("{word}\n")).collect();
    let mut shell = Command::new("sh")
        .args(["-c", "LC_ALL=C sort | uniq -c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    shell.stdin.take().unwrap().write_all(words.as_bytes()).unwrap();
    let expected = shell.wait_with_output().unwrap().stdout;
    let folder = tempfile::tempdir().unwrap();
    let index = term_count::count(text.as_bytes(), &folder.path().join("counts")).unwrap();
    let mut found = Vec::new();
    term_count::print(&index, &mut found).unwrap();
    assert!(index.len() > 1_000);
    assert_eq!(sorted(&found), sorted(&expected));
}

#[test]
fn every_anagram_is_found() {
    let words = "listen\nsilent\nenlist\ngoogle\nelbow\nbelow\nélan\nlané\nunique\n";
    let folder = tempfile::tempdir().unwrap();
    let index = group::group(words.as_bytes(), &folder.path().join("groups")).unwrap();
    let mut found = Vec::new();
    group::print(&index, &mut found).unwrap();
    assert_eq!(sorted(&found), sorted("listen silent enlist\nelbow below\nélan lané\n".as_bytes()));
    // And of many words, as a map groups them.
    let words: Vec<String> = (0..5_000_u32).map(|n| (n * 7919 % 100_000).to_string()).collect();
    let mut expected: BTreeMap<Vec<u8>, Vec<&str>> = BTreeMap::new();
    for word in &words {
        let mut letters = word.clone().into_bytes();
        letters.sort_unstable();
        expected.entry(letters).or_default().push(word);
    }
    let path = folder.path().join("numbers");
    let index = group::group(words.join("\n").as_bytes(), &path).unwrap();
    assert_eq!(index.len(), expected.len() as u64);
    for (letters, group) in expected {
        assert_eq!(index.get(letters).unwrap().as_deref(), Some(group.join(" ").as_bytes()));
    }
}
