//! Damage on purpose, and what is left after it: `corrupt`, `salvage`, `export --skip-damaged`.

use crate::support::{Place, Random, to_pairs};

/// An index of some pages, with large values.
fn filled() -> Place {
    let place = Place::new();
    let mut content = Random(7).content(800, false);
    content.extend((0_u32..400).map(|i| (i.to_le_bytes().to_vec(), i.to_le_bytes().repeat(25))));
    let ran = place.feed(&["load", "a", "--format", "pairs"], &to_pairs(&content));
    assert_eq!(ran.code, 0, "{ran:?}");
    place
}

fn bytes(place: &Place, name: &str) -> Vec<u8> {
    std::fs::read(place.path(name)).unwrap()
}

#[test]
fn corrupt_asks_first_and_leaves_the_file_alone() {
    let place = filled();
    let before = bytes(&place, "a");
    place.run(&["corrupt", "a", "--kind", "zero"]).fails(2, "a damaged copy, a.zero-0");
    assert!(!place.path("a.zero-0").exists());
    place.run(&["corrupt", "a", "--kind", "nonsense", "--yes"]).fails(2, "nonsense");
    for kind in ["bitflip", "zero", "stale", "swap", "truncate"] {
        let args = ["corrupt", "a", "--kind", kind, "--seed", "5", "--yes", "--json"];
        let said = place.run(&args).json();
        let copy = said["copy"].as_str().unwrap().to_owned();
        assert_eq!(copy, format!("a.{kind}-5"));
        let damaged = bytes(&place, &copy);
        let at = usize::try_from(said["offset"].as_u64().unwrap()).unwrap();
        assert!(damaged.get(..at) == before.get(..at) && damaged != before, "{kind}");
        place.run(&args).fails(3, &format!("{copy} exists already"));
        // The same again, under another name.
        place.ok(&["corrupt", "a", "--kind", kind, "--seed", "5", "--yes", "--output", kind]);
        assert!(bytes(&place, kind) == damaged, "{kind}");
    }
    place.run(&["corrupt", "a", "--kind", "torn-log", "--yes"]).fails(2, "no log");
    assert!(bytes(&place, "a") == before);
    place.run(&["corrupt", "none", "--kind", "zero", "--yes"]).fails(3, "No such file");
}

#[test]
fn what_is_salvaged_is_sound_and_what_is_lost_is_told() {
    let place = filled();
    let content = place.content("a");
    let mut lost_any = 0;
    for kind in ["bitflip", "zero", "stale", "swap", "truncate"] {
        for seed in 1..6 {
            let (copy, new) = (&*format!("{kind}{seed}"), &*format!("{kind}{seed}.new"));
            let seed = seed.to_string();
            place.ok(&["corrupt", "a", "--kind", kind, "--seed", &seed, "--yes", "--output", copy]);
            let before = bytes(&place, copy);
            let ran = place.run(&["salvage", copy, new, "--json"]);
            assert_eq!(ran.code, 0, "{kind} {seed}: {ran:?}");
            let report = ran.json();
            assert!(bytes(&place, copy) == before);
            assert_eq!(place.run(&["check", new]).code, 0);
            let found = place.content(new);
            assert_eq!(report["record_count"], found.len());
            let right = found.iter().filter(|(key, value)| content.get(*key) == Some(value));
            let right = right.count();
            let is_whole = report["whole"] == true;
            assert!(!is_whole || right == content.len(), "{kind} {seed}: {report}");
            if right < content.len() {
                assert!(!report["losses"].as_array().unwrap().is_empty(), "{kind} {seed}");
                lost_any += 1;
            }
            let again = place.run(&["salvage", copy, new]);
            again.fails(3, &format!("{new} exists already"));
        }
    }
    assert!(lost_any > 3, "{lost_any}");
    let names: Vec<_> = std::fs::read_dir(place.path("")).unwrap().collect();
    assert_eq!(names.len(), 1 + 2 * 25, "{names:?}");
}

#[test]
fn a_sound_file_is_salvaged_whole() {
    let place = filled();
    let text = String::from_utf8(place.ok(&["salvage", "a", "b"])).unwrap();
    assert!(text.starts_with("nothing is lost\n"), "{text}");
    assert!(place.content("a") == place.content("b"));
    place.write("text", "this is not an index, but it is long enough to be looked at");
    place.run(&["salvage", "text", "c"]).fails(3, "not a splitpoint");
    place.run(&["salvage", "none", "c"]).fails(3, "No such file");
    let ran = place.run(&["salvage", "a", "no folder/c"]);
    ran.fails(3, "no folder");
    assert!(!ran.err.contains("splitpoint create"), "{ran:?}");
    assert!(!place.path("c").exists());
}

/// A copy with a page of records spoilt, so that it can be opened.
fn spoilt(place: &Place) -> u64 {
    for page in 4.. {
        let report = place.run(&["dump", "a", "page", &page.to_string(), "--json"]).json();
        let fields = report["fields"].as_array().unwrap();
        if fields.iter().any(|field| field["value"] == "bucket") {
            let mut bytes = bytes(place, "a");
            let at = usize::try_from(page).unwrap() * 4096 + 4090;
            bytes[at] ^= 1;
            place.write("spoilt", bytes);
            return page;
        }
    }
    unreachable!("an index has buckets")
}

#[test]
fn export_goes_on_after_damage_if_it_is_told_to() {
    let place = filled();
    let content = place.content("a");
    let page = spoilt(&place);
    let args = ["export", "spoilt", "--format", "pairs"];
    place.run(&args).fails(4, &format!("page {page}: broken promise: the checksum"));
    let ran = place.run(&[&args[..], &["--skip-damaged"]].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.err.contains(&format!("page {page}")) && ran.err.contains("passed over"),
        "{ran:?}"
    );
    let found = crate::support::from_pairs(&ran.out);
    assert!(found.len() < content.len() && found.len() > content.len() / 2, "{}", found.len());
    assert!(found.iter().all(|(key, value)| content.get(key) == Some(value)));
}

#[test]
#[cfg(unix)]
fn an_exported_file_is_for_whom_the_user_lets_read() {
    use std::os::unix::fs::PermissionsExt;
    let place = filled();
    place.ok(&["export", "a", "out.pairs"]);
    place.write("other", "");
    let mode = |name: &str| std::fs::metadata(place.path(name)).unwrap().permissions().mode();
    assert_eq!(mode("out.pairs"), mode("other"));
}
