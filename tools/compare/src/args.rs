//! The command line.

use std::path::PathBuf;

use crate::store::Result;
use crate::stores;
use crate::work::{SUITES, WORKS};

pub const HELP: &str = "\
compare run [OPTIONS]                  measure, write JSON, print the table
compare table [OPTIONS] FILE...        merge files of JSON, print the table
compare goals FILE...                  merge files, print each goal and whether it is met
compare list                           suites, works and stores

options of run
  --records N      records of the table suite; other suites take a part of it (default 2,000,000)
  --rounds N       rounds (default 3)
  --first-round N  number of the first round, which chooses its keys (default 1)
  --work A,B       works or suites (default all)
  --stores A,B     stores by name (default all that were built)
  --not A,B        all stores but these
  --dir FOLDER     where the stores are put; emptied afterwards (default ./compare-scratch)
  --out FILE       where the JSON goes (default compare-DATE.json)
  --quick          50,000 records and 1 round, unless given; short spans: ends in a minute or two
  --drop-caches    before cold reads drop the whole system's caches, not the files' alone

options of table
  --work A,B --stores A,B   these rows and columns only
  --readme                  README's rows, and nothing of settings
  --json                    the merged JSON instead
";

#[derive(Debug)]
pub struct Args {
    pub records: u64,
    pub rounds: u64,
    pub first_round: u64,
    /// Names of works, suites resolved; empty for all.
    pub works: Vec<String>,
    pub stores: Vec<String>,
    pub folder: PathBuf,
    pub out: Option<PathBuf>,
    pub quick: bool,
    pub drop_caches: bool,
    pub readme: bool,
    pub json: bool,
    pub files: Vec<PathBuf>,
}

pub fn parse(words: impl Iterator<Item = String>) -> Result<Args> {
    let (mut records, mut rounds, mut not) = (None, None, Vec::new());
    let mut args = Args {
        records: 0,
        rounds: 0,
        first_round: 1,
        works: Vec::new(),
        stores: Vec::new(),
        folder: PathBuf::from("compare-scratch"),
        out: None,
        quick: false,
        drop_caches: false,
        readme: false,
        json: false,
        files: Vec::new(),
    };
    let mut words = words;
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        let count = |text: String| text.replace([',', '_'], "").parse::<u64>();
        match word.as_str() {
            "--records" => records = Some(count(value()?)?),
            "--rounds" => rounds = Some(count(value()?)?),
            "--first-round" => args.first_round = count(value()?)?,
            "--work" => args.works = works(&value()?)?,
            "--stores" => args.stores = names(&value()?)?,
            "--not" => not = names(&value()?)?,
            "--dir" => args.folder = PathBuf::from(value()?),
            "--out" => args.out = Some(PathBuf::from(value()?)),
            "--quick" => args.quick = true,
            "--drop-caches" => args.drop_caches = true,
            "--readme" => args.readme = true,
            "--json" => args.json = true,
            _ if word.starts_with("--") => return Err(format!("no option {word}\n{HELP}").into()),
            _ => args.files.push(PathBuf::from(word)),
        }
    }
    args.records = records.unwrap_or(if args.quick { 50_000 } else { 2_000_000 });
    args.rounds = rounds.unwrap_or(if args.quick { 1 } else { 3 });
    if args.stores.is_empty() && !not.is_empty() {
        args.stores = stores::all().iter().map(|kind| kind.name.to_owned()).collect();
    }
    args.stores.retain(|name| !not.contains(name));
    Ok(args)
}

fn works(list: &str) -> Result<Vec<String>> {
    let mut chosen = Vec::new();
    for name in list.split(',') {
        let found = WORKS.iter().filter(|work| work.name == name || work.suite == name);
        let before = chosen.len();
        chosen.extend(found.map(|work| work.name.to_owned()));
        if chosen.len() == before {
            let suites: Vec<&str> = SUITES.iter().map(|(suite, _)| *suite).collect();
            return Err(format!("no work {name:?}; suites: {}", suites.join(", ")).into());
        }
    }
    Ok(chosen)
}

/// Names of stores; case and spaces do not matter.
fn names(list: &str) -> Result<Vec<String>> {
    let plain = |name: &str| name.to_lowercase().replace([' ', '-'], "");
    let all = stores::all();
    list.split(',')
        .map(|name| match all.iter().find(|kind| plain(kind.name) == plain(name)) {
            Some(kind) => Ok(kind.name.to_owned()),
            None => {
                let known: Vec<&str> = all.iter().map(|kind| kind.name).collect();
                Err(format!("no store {name:?} in this build; there are: {}", known.join(", "))
                    .into())
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::parse;

    fn words(line: &str) -> impl Iterator<Item = String> {
        line.split(' ').map(str::to_owned).collect::<Vec<_>>().into_iter()
    }

    #[test]
    fn a_suite_stands_for_its_works() {
        let args = parse(words("--work small,hits-1 --stores lmdb,std-hashmap --quick")).unwrap();
        assert_eq!(args.works.len(), 6);
        assert_eq!(args.stores, ["LMDB", "std HashMap"]);
        assert_eq!((args.records, args.rounds), (50_000, 1));
    }

    #[test]
    fn unknown_names_are_errors() {
        assert!(parse(words("--work nothing")).is_err());
        assert!(parse(words("--stores nothing")).is_err());
        assert!(parse(words("--nothing")).is_err());
    }
}
