//! The layers of DESIGN.md, as a test: a file of `src` uses names of its own and of lower layers
//! only; `unsafe` stands in five files; every file says what it is; none is long without a reason.
//!
//! Modules under `#[cfg(test)]` may use what they test.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The layers, lowest first. A module may use those of its own layer and of the ones before.
const LAYERS: &[&[&str]] = &[
    &["error", "checksum", "mutant"],
    &["hash", "layout"],
    &["page"],
    &["storage"],
    &["log"],
    &["pager"],
    &["table"],
    &["index", "inspect", "bulk"],
    &["salvage"],
    &["fuzzing"],
];

/// The files with `unsafe` code. Each opens with the proof that it is sound.
const UNSAFE: &[&str] = &[
    "src/page/processor.rs",
    "src/page/view.rs",
    "src/pager/arena.rs",
    "src/pager/epoch.rs",
    "src/storage/map.rs",
];

/// The most lines of a file.
const LINES_MAX: usize = 500;

/// Longer files, each with its reason.
const LONGER: &[(&str, &str)] = &[];

/// A file of the sources.
struct Source {
    /// From the root of the project, with slashes.
    name: String,
    /// Its module's path: `["page", "view"]`.
    module: Vec<String>,
    text: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a folder of the project") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target" && name != "golden") {
                walk(&path, found);
            }
        } else {
            found.push(path);
        }
    }
    found.sort();
}

fn sources() -> Vec<Source> {
    let mut paths = Vec::new();
    walk(&root().join("src"), &mut paths);
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    paths.iter().map(|path| source(path)).collect()
}

fn source(path: &Path) -> Source {
    let relative = path.strip_prefix(root()).expect("below the root");
    let parts: Vec<String> =
        relative.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    let module = parts.iter().skip(1).map(|part| part.trim_end_matches(".rs").to_owned());
    let module = module.filter(|part| part != "mod" && part != "lib").collect();
    let text = std::fs::read_to_string(path).expect("UTF-8");
    Source { name: parts.join("/"), module, text }
}

/// The code of a file without comments and without what stands behind `#[cfg(test)]`; and the
/// names of the modules in files of their own that stand there.
fn code(text: &str) -> (String, BTreeSet<String>) {
    let (mut code, mut test_files) = (String::new(), BTreeSet::new());
    let mut is_test = false;
    let mut depth = None;
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or_default();
        if line.trim_start().starts_with("#[cfg(test)]") {
            is_test = true;
            continue;
        }
        if is_test && depth.is_none() && line.trim_start().starts_with("#[") {
            continue;
        }
        if is_test {
            let change = line.matches('{').count() as i64 - line.matches('}').count() as i64;
            let now = depth.unwrap_or(0) + change;
            depth = Some(now);
            let item = line.trim().trim_end_matches(';');
            if let Some((_, name)) = item.split_once("mod ").filter(|_| line.contains(';')) {
                test_files.insert(name.to_owned());
            }
            if now == 0 && (line.contains('}') || line.contains(';')) {
                (is_test, depth) = (false, None);
            }
            continue;
        }
        code.push_str(line);
        code.push('\n');
    }
    (code, test_files)
}

/// The files that are not under `#[cfg(test)]`, with their code.
fn checked_sources() -> Vec<(Source, String)> {
    let all = sources();
    let mut tests: BTreeSet<Vec<String>> = BTreeSet::new();
    for source in &all {
        for name in code(&source.text).1 {
            tests.insert(source.module.iter().cloned().chain([name]).collect());
        }
    }
    all.into_iter()
        .filter(|source| !tests.iter().any(|test| source.module.starts_with(test)))
        .map(|source| {
            let code = code(&source.text).0;
            (source, code)
        })
        .collect()
}

/// The first names of the paths that follow `prefix` in the code: one, or those in braces.
fn names_after<'c>(code: &'c str, prefix: &str) -> Vec<&'c str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut names = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        let before = code.get(..at).and_then(|code| code.chars().next_back());
        if before.is_some_and(|c| is_word(c) || c == ':' || c == '$') {
            continue;
        }
        let rest = code.get(at + prefix.len()..).unwrap_or_default();
        let Some(list) = rest.strip_prefix('{') else {
            names.push(rest.split(|c| !is_word(c)).next().unwrap_or_default());
            continue;
        };
        let mut depth = 0;
        let mut begins = true;
        for (i, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => begins = true,
                c if is_word(c) && begins => {
                    begins = false;
                    let name = list.get(i..).unwrap_or_default();
                    names.push(name.split(|c| !is_word(c)).next().unwrap_or_default());
                }
                _ => {}
            }
        }
    }
    names
}

/// The layer of each name that stands at the root of the crate: modules, and what `lib.rs` takes
/// out of them.
fn root_names() -> BTreeMap<String, usize> {
    let mut layers = BTreeMap::new();
    for (layer, modules) in LAYERS.iter().enumerate() {
        layers.extend(modules.iter().map(|module| ((*module).to_owned(), layer)));
    }
    let lib = code(&source(&root().join("src/lib.rs")).text).0;
    for (module, layer) in layers.clone() {
        for (at, prefix) in lib.match_indices(&format!("pub use {module}::")) {
            let list = lib.get(at + prefix.len()..).and_then(|rest| rest.split(';').next());
            let names = list.unwrap_or_default().split(|c: char| !c.is_alphanumeric() && c != '_');
            layers.extend(names.map(|name| (name.to_owned(), layer)));
        }
    }
    // What `simulation` shows is the storage layer's.
    layers.extend(layers.get("storage").map(|&layer| ("simulation".to_owned(), layer)));
    layers
}

/// The way from a module to the root of the crate.
fn to_root(module: &[String]) -> String {
    "super::".repeat(module.len())
}

#[test]
fn a_file_uses_lower_layers_only() {
    let layers = root_names();
    let mut faults = Vec::new();
    let mut used = 0;
    for (source, code) in checked_sources() {
        let Some(top) = source.module.first() else { continue };
        let Some(own) = layers.get(top) else {
            faults.push(format!("{} is in no layer", source.name));
            continue;
        };
        let mut names = names_after(&code, "crate::");
        names.extend(names_after(&code, &to_root(&source.module)));
        for name in names {
            match layers.get(name) {
                Some(layer) if layer <= own => used += 1,
                Some(_) => faults.push(format!("{} uses crate::{name}", source.name)),
                None => faults.push(format!("{}: crate::{name} is in no layer", source.name)),
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(used > 100, "the test sees what is used: {used}");
}

#[test]
fn unsafe_stands_in_the_named_files() {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for source in sources() {
        let code = source.text.lines().map(|line| line.split("//").next().unwrap_or_default());
        if code.flat_map(|line| line.split(|c| !is_word(c))).any(|word| word == "unsafe") {
            assert!(source.text.contains("\n//! # Proof\n"), "{} has no proof", source.name);
            found.push(source.name);
        }
    }
    assert_eq!(found, UNSAFE);
}

#[test]
fn every_file_opens_with_what_it_is() {
    for source in sources() {
        assert!(source.text.starts_with("//! "), "{}", source.name);
    }
}

#[test]
fn long_files_have_a_reason() {
    for source in sources() {
        let lines = source.text.lines().count();
        let reason = LONGER.iter().find(|(name, _)| *name == source.name);
        match reason {
            None => assert!(lines <= LINES_MAX, "{} has {lines} lines", source.name),
            Some(_) => assert!(lines > LINES_MAX, "{} needs no reason any more", source.name),
        }
    }
}

#[test]
fn nothing_names_one_machine() {
    let homes = ["/home/", "/root/", "/Users/", "/work/", "C:\\Users"];
    let mut paths = Vec::new();
    for dir in ["src", "tests", "tools", "fuzz"].map(|dir| root().join(dir)) {
        if dir.is_dir() {
            walk(&dir, &mut paths);
        }
    }
    for entry in std::fs::read_dir(root()).expect("the root") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|e| e == "md" || e == "toml" || e == "rs") {
            paths.push(path);
        }
    }
    let own = root().join("tests/layers.rs");
    for path in paths.iter().filter(|path| **path != own) {
        let Ok(text) = std::fs::read_to_string(path) else { continue };
        for home in homes {
            assert!(!text.contains(home), "{} names {home}", path.display());
        }
    }
}

#[test]
fn the_test_itself_sees() {
    let text = "use crate::{Error, log::{Lsn, x}};\n// crate::index\n#[cfg(test)]\nmod tests {\n    \
                use crate::table;\n}\n#[cfg(test)]\nmod more;\nfn f() { crate::pager::g() }\n";
    let (code, files) = code(text);
    assert_eq!(names_after(&code, "crate::"), ["Error", "log", "pager"]);
    assert_eq!(files, BTreeSet::from(["more".to_owned()]));
    assert_eq!(to_root(&["page".to_owned(), "view".to_owned()]).matches("super").count(), 2);
}
