//! A table that people have: the machine's own Debian packages, with descriptions over many lines.

use std::collections::BTreeMap;
use std::process::Command;

use crate::support::Place;

/// Name → description and dependencies, as `dpkg-query` tells them.
fn packages() -> Option<BTreeMap<String, [String; 2]>> {
    let format = "${binary:Package}\u{1}${Description}\u{1}${Depends}\u{2}";
    let output = Command::new("dpkg-query").args(["-W", "-f", format]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut packages = BTreeMap::new();
    for entry in text.split_terminator('\u{2}') {
        let mut fields = entry.split('\u{1}').map(str::to_owned);
        let (name, description, depends) = (fields.next()?, fields.next()?, fields.next()?);
        packages.insert(name, [description, depends]);
    }
    (!packages.is_empty()).then_some(packages)
}

/// TSV's escapes, written here once more, independently.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r")
}

#[test]
fn the_package_list_loads_reads_back_and_exports_identically() {
    let Some(packages) = packages() else {
        eprintln!("skipped: no dpkg-query on this machine");
        return;
    };
    let mut table = "depends\tname\tdescription\n".to_owned();
    for (name, [description, depends]) in &packages {
        let fields = [depends, name, description].map(|field| escaped(field));
        table.push_str(&fields.join("\t"));
        table.push('\n');
    }
    let place = Place::new();
    place.write("packages.tsv", &table);
    let ran = place.run(&["load", "a", "packages.tsv", "--key", "name", "--json"]);
    assert_eq!(ran.json()["count"], packages.len());
    let names: String = packages.keys().map(|name| format!("{}\n", escaped(name))).collect();
    let got = place.feed(&["get", "a", "--stdin", "--json"], names.as_bytes());
    assert_eq!(got.text().lines().count(), packages.len());
    for (line, (name, [description, depends])) in got.text().lines().zip(&packages) {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(row["key"], *name);
        assert_eq!(row["value"], format!("{}\t{}", escaped(depends), escaped(description)));
    }
    for name in ["copy.tsv", "copy.csv", "copy.jsonl", "copy.pairs"] {
        place.ok(&["export", "a", name]);
        let index = format!("{name}.sp");
        place.ok(&["load", &index, name]);
        assert!(place.content("a") == place.content(&index), "{name}");
    }
}
