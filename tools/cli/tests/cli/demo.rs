//! The demo, small.

use crate::support::Place;

#[test]
fn the_demo_loses_nothing_and_cleans_up() {
    let place = Place::new();
    let ran = place.run(&["demo", "--users", "2000", "--in", "."]);
    let text = ran.text();
    for words in
        ["1. load", "2. serve", "3. count", "4. crash", "SIGKILL", "stat:", "Nothing lost."]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert_eq!(std::fs::read_dir(place.path("")).unwrap().count(), 0);
}

#[test]
fn a_kept_demo_can_be_looked_at() {
    let place = Place::new();
    let ran = place.run(&["demo", "--users", "1000", "--in", ".", "--keep"]);
    let folder = ran.text().split(&[' ', ','][..]).nth(1).unwrap().to_owned();
    let file = format!("{folder}/users.sp");
    let value = place.ok(&["get", &file, "user:0000000999"]);
    assert_eq!(value.len(), 80);
    place.ok(&["check", &file]);
}
