//! Weaves the mutants of `cargo mutants --list --json` into copies of the files that they change: each
//! place asks at run time which mutant is on, so all of them are built at once.
//!
//! usage: splitpoint-weave LIST.json FROM TO [SKIPPED]
//!
//! Files are read below FROM and written below TO; SKIPPED names a file with the numbers of mutants
//! to leave out, since woven they do not compile. Mutants are numbered from 1, as listed. What is
//! woven is told on the output, a number a line.

mod weave;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::path::Path;

use serde_json::Value;
use weave::{At, Places};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [list, from, to, skipped @ ..] = arguments.as_slice() else {
        return Err("usage: splitpoint-weave LIST.json FROM TO [SKIPPED]".into());
    };
    let skipped = match skipped {
        [path, ..] => fs::read_to_string(path)?.split_whitespace().map(str::parse).collect(),
        [] => Ok(BTreeSet::new()),
    }?;
    let list: Vec<Value> = serde_json::from_str(&fs::read_to_string(list)?)?;
    for (file, places) in by_file(&list, &skipped)? {
        let source = fs::read_to_string(Path::new(from).join(file))?;
        let woven = weave::weave(&source, places)?;
        fs::write(Path::new(to).join(file), woven.source)?;
        woven.mutants.iter().for_each(|number| println!("{number}"));
    }
    Ok(())
}

/// What is to be changed where, of each file.
fn by_file<'m>(
    list: &'m [Value],
    skipped: &BTreeSet<usize>,
) -> Result<BTreeMap<&'m str, Places<'m>>, Box<dyn Error>> {
    let text = |value: &'m Value| value.as_str().ok_or("not a list of mutants");
    let mut files: BTreeMap<&str, Places> = BTreeMap::new();
    for (number, mutant) in (1..).zip(list) {
        let places = files.entry(text(&mutant["file"])?).or_default();
        let at = place(&mutant["span"]["start"])?;
        if skipped.contains(&number) {
            continue;
        }
        let change = (number, text(&mutant["replacement"])?);
        match text(&mutant["genre"])? {
            "BinaryOperator" => places.operators.entry(at).or_default().push(change),
            "UnaryOperator" => places.signs.entry(at).or_default().push(change),
            "MatchArmGuard" => places.guards.entry(at).or_default().push(change),
            "MatchArm" => places.arms.entry(at).or_default().push(change),
            "FnValue" => {
                let end = place(&mutant["function"]["span"]["end"])?;
                places.functions.entry(end).or_default().push(change);
            }
            _ => {}
        }
    }
    Ok(files)
}

/// Line from 1, column from 0.
fn place(value: &Value) -> Result<At, Box<dyn Error>> {
    let number = |name: &str| value[name].as_u64().and_then(|n| usize::try_from(n).ok());
    match (number("line"), number("column").and_then(|column| column.checked_sub(1))) {
        (Some(line), Some(column)) => Ok((line, column)),
        _ => Err("a mutant without its place".into()),
    }
}
