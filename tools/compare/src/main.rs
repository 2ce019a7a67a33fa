//! splitpoint beside other stores: one command, one table. See README.md in this folder.

mod args;
mod child;
mod data;
mod goals;
mod machine;
mod report;
mod result;
mod store;
mod stores;
#[cfg(test)]
mod tests;
mod work;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use args::Args;
use machine::Machine;
use report::Choice;
use result::{Report, Run, StoreInfo};
use store::{Kind, Result};
use work::{SUITES, Task, WORKS};

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let done = match words.next().as_deref() {
        Some("run") => args::parse(words).and_then(|args| run(&args)),
        Some("table") => args::parse(words).and_then(|args| table(&args)),
        Some("goals") => args::parse(words).and_then(|args| {
            print!("{}", goals::markdown(&merged(&args.files)?));
            Ok(())
        }),
        Some("list") => {
            list();
            Ok(())
        }
        Some("child") => words
            .next()
            .ok_or_else(|| "no task".into())
            .and_then(|task| Ok(serde_json::from_str(&task)?))
            .and_then(work::run),
        _ => {
            print!("{}", args::HELP);
            return ExitCode::FAILURE;
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn list() {
    for (suite, text) in SUITES {
        println!("{suite}: {text}");
        for work in WORKS.iter().filter(|work| work.suite == *suite) {
            println!("  {:<22} {:<6} {}", work.name, work.unit, work.text);
        }
    }
    println!("stores:");
    for kind in stores::all() {
        println!("  {:<22} {}\n  {:22} {}", kind.name, (kind.version)(), "", kind.settings);
    }
}

/// Rounds, in each all suites, in each all stores: whatever else the machine does in a minute
/// hits all stores alike.
fn run(args: &Args) -> Result<()> {
    let kinds: Vec<Kind> = stores::all()
        .into_iter()
        .filter(|kind| args.stores.is_empty() || args.stores.iter().any(|name| name == kind.name))
        .collect();
    fs::create_dir_all(&args.folder)?;
    let folder = args.folder.canonicalize()?;
    let out = args.out.clone().unwrap_or_else(|| {
        PathBuf::from(format!("compare-{}.json", machine::now().replace([' ', ':'], "-")))
    });
    let mut report = Report::default();
    for kind in &kinds {
        let (version, settings) = ((kind.version)(), kind.settings.to_owned());
        let info = StoreInfo { version, settings, crash_safe: kind.crash_safe };
        report.stores.insert(kind.name.to_owned(), info);
    }
    let mut run = Run {
        date: machine::now(),
        command: format!("compare {}", std::env::args().skip(1).collect::<Vec<_>>().join(" ")),
        seconds: 0,
        records: args.records,
        load_before: machine::load_average(),
        load_after: String::new(),
        machine: Machine::of(&folder),
    };
    let started = Instant::now();
    for round in args.first_round..args.first_round + args.rounds {
        for (suite, _) in SUITES {
            // Who comes first is the first to touch memory that a virtual machine has not had before.
            let first = usize::try_from(round.saturating_sub(1))? % kinds.len().max(1);
            for kind in kinds.iter().cycle().skip(first).take(kinds.len()) {
                one(args, &folder, suite, kind, round, &mut report)?;
                // Each time, so that a run that is stopped has given something.
                run.seconds = started.elapsed().as_secs();
                run.load_after = machine::load_average();
                report.runs = vec![run.clone()];
                fs::write(&out, serde_json::to_string_pretty(&report)?)?;
            }
        }
    }
    let _ = fs::remove_dir(&folder);
    print!("{}", report::markdown(&report, &Choice { whole: true, ..Choice::default() }));
    eprintln!("written: {}", out.display());
    Ok(())
}

/// One suite for one store in one round, in a process and a folder of its own.
fn one(
    args: &Args,
    folder: &std::path::Path,
    suite: &str,
    kind: &Kind,
    round: u64,
    report: &mut Report,
) -> Result<()> {
    let wanted = |name: &str| args.works.is_empty() || args.works.iter().any(|work| work == name);
    let works = WORKS.iter().filter(|work| work.suite == suite && wanted(work.name));
    let works: Vec<String> = works.map(|work| work.name.to_owned()).collect();
    if works.is_empty() {
        return Ok(());
    }
    let own = folder.join(format!("{suite}-{}", kind.name.replace(' ', "-")));
    let _ = fs::remove_dir_all(&own);
    fs::create_dir_all(&own)?;
    let task = Task {
        suite: suite.to_owned(),
        store: kind.name.to_owned(),
        folder: own.clone(),
        records: args.records,
        works: works.clone(),
        quick: args.quick,
        round,
        drop_caches: args.drop_caches,
        memory: None,
    };
    let started = Instant::now();
    let mut lines = Vec::new();
    let failure = child::run(&task, |line| lines.push(line))?;
    report.take(kind.name, args.records, lines);
    if let Some(why) = &failure {
        report.fail(kind.name, args.records, &works, why);
    }
    let taken = started.elapsed().as_secs_f64();
    eprintln!(
        "round {round} {suite:<9} {:<12} {taken:6.1} s {}",
        kind.name,
        failure.unwrap_or_default()
    );
    fs::remove_dir_all(&own)?;
    Ok(())
}

fn merged(files: &[PathBuf]) -> Result<Report> {
    let mut report = Report::default();
    for file in files {
        let text =
            fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
        report.merge(serde_json::from_str(&text)?);
    }
    if report.rows.is_empty() { Err("no file with results".into()) } else { Ok(report) }
}

fn table(args: &Args) -> Result<()> {
    let report = merged(&args.files)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(());
    }
    let mut choice =
        Choice { works: args.works.clone(), stores: args.stores.clone(), whole: !args.readme };
    if args.readme && choice.works.is_empty() {
        choice.works = report::README_WORKS.iter().map(|name| (*name).to_owned()).collect();
    }
    print!("{}", report::markdown(&report, &choice));
    Ok(())
}
