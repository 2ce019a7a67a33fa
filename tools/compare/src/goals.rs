//! The goals of the project, each a ratio of two medians of one report, and whether they are met.

use std::fmt::Write as _;

use crate::result::Report;

const OWN: &str = "splitpoint";
const LMDB: &str = "LMDB";
const MAP: &str = "std HashMap";

/// `left / right`, which must be at least (or at most) something.
struct Goal {
    text: &'static str,
    left: (&'static str, &'static str),
    right: Option<(&'static str, &'static str)>,
    bound: Bound,
}

enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

use Bound::{AtLeast, AtMost};

const fn beats(
    text: &'static str,
    peer: (&'static str, &'static str),
    work: &'static str,
    by: f64,
) -> Goal {
    Goal { text, left: peer, right: Some((work, OWN)), bound: AtLeast(by) }
}

const fn at_most(text: &'static str, work: &'static str, most: f64) -> Goal {
    Goal { text, left: (work, OWN), right: None, bound: AtMost(most) }
}

const GOALS: &[Goal] = &[
    beats("hits, 1 thread, to LMDB", ("hits-1", LMDB), "hits-1", 5.0),
    beats("hits, 1 thread, to redb", ("hits-1", "redb"), "hits-1", 8.0),
    beats("hits, 1 thread, to tkrzw", ("hits-1", "tkrzw"), "hits-1", 3.0),
    beats("hits, 1 thread, to HashMap", ("hits-1", MAP), "hits-1", 1.3),
    beats("get_many of 100 to HashMap's single gets", ("hits-1", MAP), "many-100", 3.0),
    beats("get_many of 100 to LMDB", ("many-100", LMDB), "many-100", 12.0),
    beats("misses to LMDB", ("misses-1", LMDB), "misses-1", 8.0),
    beats("misses to tkrzw", ("misses-1", "tkrzw"), "misses-1", 3.0),
    beats("2 reader threads to 1", ("hits-1", OWN), "hits-2", 1.8),
    beats("reader beside a writer to alone", ("beside-alone", OWN), "beside-reader", 0.8),
    beats("load to LMDB", ("load", LMDB), "load", 6.0),
    beats("load to fjall", ("load", "fjall"), "load", 3.0),
    beats("load to tkrzw", ("load", "tkrzw"), "load", 1.0),
    beats("durable single inserts to bare append", ("durable-1", "append"), "durable-1", 0.9),
    beats("8 threads of them to 1", ("durable-1", OWN), "durable-8", 4.0),
    at_most("bytes on disk, 16 + 100, a record", "disk", 1.30 * 116.0),
    at_most("bytes on disk, 8 + 8, a record", "small-disk", 24.0),
    at_most("page reads, cold hit, bytes", "cold-hit-bytes", 1.05 * 4096.0),
    at_most("page reads, cold miss, bytes", "cold-miss-bytes", 1.02 * 4096.0),
    at_most("page reads, limited hit, bytes", "limited-hit-bytes", 1.05 * 4096.0),
    at_most("page reads, limited miss, bytes", "limited-miss-bytes", 1.02 * 4096.0),
    beats("cold get_many of 100 to cold gets", ("cold-hit", OWN), "cold-many-100", 5.0),
    at_most("open after clean close, ms (10,000,000 records)", "open-clean", 20.0),
    beats("3 KiB get to HashMap", ("embed-hit", MAP), "embed-hit", 0.8),
    beats("3 KiB get to LMDB", ("embed-hit", LMDB), "embed-hit", 1.5),
    beats("1,000 x 3 KiB to memcpy", ("embed-many", "memcpy"), "embed-many", 0.6),
    at_most("bytes on disk, 3 KiB, a byte of payload", "embed-disk", 1.05),
    at_most("the same after random overwrites", "embed-disk-updated", 1.25),
    at_most("bytes written a byte of 3 KiB overwrites", "embed-write-bytes", 4.5),
    // Of its bucket's page and of one or two of the value's: nothing is in memory here.
    at_most("bytes read, cold get of 3 KiB", "embed-cold-bytes", 4096.0 + 8192.0),
];

/// Works that splitpoint must do better than every crash-safe peer, by this factor.
const FIRST: &[(&str, f64)] = &[("durable-batch", 1.0), ("ycsb-b", 3.0), ("ycsb-a", 3.0)];

pub fn markdown(report: &Report) -> String {
    let mut out = "| goal | wanted | measured | met |\n|---|--:|--:|---|\n".to_owned();
    for goal in GOALS {
        let left = report.median(goal.left.0, goal.left.1);
        let right = goal.right.map_or(Some(1.0), |(work, store)| report.median(work, store));
        let value = left.zip(right).map(|(left, right)| left / right);
        let (wanted, met) = match goal.bound {
            AtLeast(least) => (format!("≥ {least:.2}"), value.map(|value| value >= least)),
            AtMost(most) => (format!("≤ {most:.2}"), value.map(|value| value <= most)),
        };
        line(&mut out, goal.text, &wanted, value, met);
    }
    for (work, by) in FIRST {
        let peers =
            report.stores.iter().filter(|(name, info)| info.crash_safe && !name.starts_with(OWN));
        let best = peers.filter_map(|(name, _)| report.median(work, name)).min_by(f64::total_cmp);
        let value = best.zip(report.median(work, OWN)).map(|(best, own)| best / own);
        let text = format!("{work} to the best crash-safe peer");
        line(&mut out, &text, &format!("≥ {by:.2}"), value, value.map(|value| value >= *by));
    }
    out
}

fn line(out: &mut String, text: &str, wanted: &str, value: Option<f64>, met: Option<bool>) {
    let value = value.map_or("not measured".to_owned(), |value| format!("{value:.2}"));
    let met = met.map_or("?", |met| if met { "yes" } else { "no" });
    let _ = writeln!(out, "| {text} | {wanted} | {value} | {met} |");
}

#[cfg(test)]
mod tests {
    use super::{FIRST, GOALS};

    #[test]
    fn goals_name_works_that_exist() {
        let sides = GOALS.iter().flat_map(|goal| [Some(goal.left), goal.right]).flatten();
        for work in sides.map(|(work, _)| work).chain(FIRST.iter().map(|(work, _)| *work)) {
            assert!(crate::work::find(work).is_some(), "{work}");
        }
    }
}
