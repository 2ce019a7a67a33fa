//! The table in Markdown.

use std::fmt::Write as _;

use crate::result::{Report, Row};
use crate::stores;
use crate::work::{WORKS, Work};

/// Which rows and columns.
#[derive(Debug, Default)]
pub struct Choice {
    pub works: Vec<String>,
    pub stores: Vec<String>,
    /// Settings, machine and notes too.
    pub whole: bool,
}

/// The rows of README's table.
pub const README_WORKS: &[&str] = &[
    "hits-1",
    "misses-1",
    "many-100",
    "hits-2",
    "features-p50",
    "features-p999",
    "ycsb-b",
    "ycsb-a",
    "load",
    "durable-batch",
    "durable-1",
    "durable-8",
    "stall-max",
    "cold-hit",
    "cold-hit-bytes",
    "cold-many-100",
    "disk",
    "update-bytes",
    "open-killed",
    "embed-hit",
    "embed-many",
    "embed-disk",
];

/// A number with three digits that count, and commas.
pub fn number(value: f64) -> String {
    if value < 10.0 {
        return format!("{value:.2}");
    }
    if value < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The columns: in the order of the stores, as far as the report has them.
fn columns(report: &Report, choice: &Choice) -> Vec<String> {
    let known = stores::all().into_iter().map(|kind| kind.name.to_owned());
    let mut names: Vec<String> = known.filter(|name| report.stores.contains_key(name)).collect();
    // Stores that this build lacks, from another's file.
    let others = report.stores.keys().filter(|name| !names.contains(name));
    names.extend(others.cloned().collect::<Vec<_>>());
    names.retain(|name| choice.stores.is_empty() || choice.stores.contains(name));
    names
}

fn sizes(report: &Report, work: &Work) -> Vec<u64> {
    let rows = report.rows.iter().filter(|row| row.work == work.name);
    let mut sizes: Vec<u64> = rows.map(|row| row.records).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

fn cell(row: Option<&Row>, base: Option<f64>, first: bool) -> String {
    match (row.and_then(Row::median), base) {
        (None, _) => "–".to_owned(),
        (Some(value), Some(base)) if !first && base > 0.0 => {
            format!("{} ({:.2})", number(value), value / base)
        }
        (Some(value), _) => number(value),
    }
}

pub fn markdown(report: &Report, choice: &Choice) -> String {
    let mut out = String::new();
    let columns = columns(report, choice);
    let several = WORKS.iter().any(|work| sizes(report, work).len() > 1);
    let _ = writeln!(out, "| work | unit | {} |", columns.join(" | "));
    let _ = writeln!(out, "|---|---|{}", "--:|".repeat(columns.len()));
    for work in WORKS {
        if !choice.works.is_empty() && !choice.works.iter().any(|name| name == work.name) {
            continue;
        }
        for size in sizes(report, work) {
            let rows: Vec<&Row> = report
                .rows
                .iter()
                .filter(|row| row.work == work.name && row.records == size)
                .collect();
            let of = |store: &str| rows.iter().copied().find(|row| row.store == store);
            let base = of(stores::all()[0].name).and_then(Row::median);
            if rows.iter().all(|row| row.values.is_empty()) {
                continue;
            }
            let name = if several {
                format!("{}, N {}", work.name, number(size as f64))
            } else {
                work.name.to_owned()
            };
            let cells: Vec<String> = columns
                .iter()
                .map(|store| cell(of(store), base, *store == stores::all()[0].name))
                .collect();
            let unit = work.unit.replace("us", "µs");
            let _ = writeln!(out, "| {name} | {unit} | {} |", cells.join(" | "));
        }
    }
    let _ = writeln!(
        out,
        "\nMedians of {}; less is better in every row; in brackets, times splitpoint's. –: not \
         possible or not run.",
        rounds(report)
    );
    runs(&mut out, report);
    if choice.whole {
        notes(&mut out, report);
    }
    out
}

fn rounds(report: &Report) -> String {
    let counts =
        report.rows.iter().filter(|row| !row.values.is_empty()).map(|row| row.values.len());
    let (least, most) = counts.fold((usize::MAX, 0), |(a, b), n| (a.min(n), b.max(n)));
    match (least, most) {
        (1, 1) => "1 round".to_owned(),
        (least, most) if least >= most => format!("{most} rounds"),
        (least, most) => format!("{least} to {most} rounds"),
    }
}

fn runs(out: &mut String, report: &Report) {
    let mut machines: Vec<_> = report.runs.iter().map(|run| &run.machine).collect();
    machines.dedup();
    for machine in machines {
        let _ = writeln!(
            out,
            "\nMachine: {} CPUs ({}), {} MiB of memory, Linux {}, {}, read-ahead {} KiB, {}.",
            machine.cpus,
            machine.cpu,
            number(machine.memory_mib as f64),
            machine.kernel,
            machine.file_system,
            machine.read_ahead_kib,
            machine.rustc
        );
    }
    let _ = writeln!(out);
    for run in &report.runs {
        let _ = writeln!(
            out,
            "- {}, {} s, load average {} before and {} after: `{}`",
            run.date, run.seconds, run.load_before, run.load_after, run.command
        );
    }
}

fn notes(out: &mut String, report: &Report) {
    let _ = writeln!(out, "\n## Rows\n");
    for work in WORKS.iter().filter(|work| !sizes(report, work).is_empty()) {
        let _ = writeln!(out, "- {} ({}): {}", work.name, work.unit.replace("us", "µs"), work.text);
    }
    let _ = writeln!(out, "\n## Stores\n");
    for (name, info) in &report.stores {
        let safe = if info.crash_safe { "crash-safe" } else { "not crash-safe" };
        let _ = writeln!(out, "- {name} ({}; {safe}): {}", info.version, info.settings);
    }
    let _ = writeln!(out, "\n## Why a cell is empty\n");
    let mut reasons = std::collections::BTreeMap::<(&str, &str), Vec<&str>>::new();
    for row in report.rows.iter().filter(|row| row.values.is_empty()) {
        let why = row.why_not.as_deref().unwrap_or("not run");
        reasons.entry((&row.store, why)).or_default().push(&row.work);
    }
    for ((store, why), works) in reasons {
        let _ = writeln!(out, "- {store}: {why}: {}", works.join(", "));
    }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_are_short_and_have_commas() {
        let texts = [0.5, 9.876, 47.26, 187.4, 1248.0, 1_234_567.0].map(number);
        assert_eq!(texts, ["0.50", "9.88", "47.3", "187", "1,248", "1,234,567"]);
    }
}
