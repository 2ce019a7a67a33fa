//! Results: lines from the processes, and the file of JSON that runs are kept in and merged from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::machine::Machine;

/// What a process reports.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    Row { work: String, value: f64 },
    Skip { work: String, why: String },
}

impl Line {
    pub fn print(&self) {
        if let Ok(text) = serde_json::to_string(self) {
            println!("{text}");
        }
    }
}

/// One or more runs.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Report {
    pub runs: Vec<Run>,
    pub stores: BTreeMap<String, StoreInfo>,
    pub rows: Vec<Row>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    pub date: String,
    pub command: String,
    pub seconds: u64,
    pub records: u64,
    pub load_before: String,
    pub load_after: String,
    pub machine: Machine,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoreInfo {
    pub version: String,
    pub settings: String,
    pub crash_safe: bool,
}

/// One work for one store: a value for each round, or why there is none.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    pub work: String,
    pub store: String,
    /// Of the table suite; another size is another row.
    pub records: u64,
    pub unit: String,
    pub values: Vec<f64>,
    pub why_not: Option<String>,
}

impl Row {
    pub fn median(&self) -> Option<f64> {
        let mut sorted = self.values.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let (low, high) =
            (sorted.get(sorted.len().checked_sub(1)? / 2)?, sorted.get(sorted.len() / 2)?);
        Some((low + high) / 2.0)
    }
}

impl Report {
    fn row(&mut self, work: &str, store: &str, records: u64) -> &mut Row {
        let same = |row: &Row| row.work == work && row.store == store && row.records == records;
        let place = self.rows.iter().position(same).unwrap_or_else(|| {
            let unit = crate::work::find(work).map_or("", |work| work.unit).to_owned();
            let (work, store) = (work.to_owned(), store.to_owned());
            self.rows.push(Row { work, store, records, unit, values: Vec::new(), why_not: None });
            self.rows.len() - 1
        });
        &mut self.rows[place]
    }

    /// Takes what a process reported in one round. A work that reports twice means its last.
    pub fn take(&mut self, store: &str, records: u64, lines: Vec<Line>) {
        let mut last = BTreeMap::new();
        for line in lines {
            match line {
                Line::Row { work, value } => drop(last.insert(work, value)),
                Line::Skip { work, why } => self.row(&work, store, records).why_not = Some(why),
            }
        }
        for (work, value) in last {
            self.row(&work, store, records).values.push(value);
        }
    }

    /// Says why works that were wanted gave nothing.
    pub fn fail(&mut self, store: &str, records: u64, works: &[String], why: &str) {
        for work in works {
            let row = self.row(work, store, records);
            if row.why_not.is_none() {
                row.why_not = Some(why.to_owned());
            }
        }
    }

    /// Adds the rounds of another report.
    pub fn merge(&mut self, other: Report) {
        self.runs.extend(other.runs);
        self.stores.extend(other.stores);
        for row in other.rows {
            let mine = self.row(&row.work, &row.store, row.records);
            mine.values.extend(row.values);
            mine.why_not = mine.why_not.take().or(row.why_not);
        }
    }

    /// The median of a work for a store, in the largest size that was run.
    pub fn median(&self, work: &str, store: &str) -> Option<f64> {
        let rows = self.rows.iter().filter(|row| row.work == work && row.store == store);
        rows.filter(|row| !row.values.is_empty()).max_by_key(|row| row.records)?.median()
    }
}

#[cfg(test)]
mod tests {
    use super::{Line, Report};

    fn line(value: f64) -> Vec<Line> {
        vec![Line::Row { work: "load".to_owned(), value }]
    }

    #[test]
    fn merged_reports_have_the_rounds_of_both() {
        let (mut a, mut b) = (Report::default(), Report::default());
        a.take("x", 10, line(1.0));
        b.take("x", 10, line(3.0));
        b.take("x", 10, line(5.0));
        a.merge(b);
        assert_eq!(a.median("load", "x"), Some(3.0));
        assert_eq!(a.rows.len(), 1);
    }

    #[test]
    fn another_size_is_another_row() {
        let mut report = Report::default();
        report.take("x", 10, line(1.0));
        report.take("x", 20, line(2.0));
        assert_eq!(report.rows.len(), 2);
        assert_eq!(report.median("load", "x"), Some(2.0));
    }

    #[test]
    fn a_failure_is_told_and_hides_no_value() {
        let mut report = Report::default();
        report.take("x", 10, line(1.0));
        report.fail("x", 10, &["load".to_owned(), "disk".to_owned()], "broke");
        assert_eq!(report.median("load", "x"), Some(1.0));
        assert_eq!(report.rows[1].why_not.as_deref(), Some("broke"));
    }
}
