//! `check`: is every page and record sound?

use serde_json::json;
use splitpoint::CheckReport;
use splitpoint::inspect::Inspector;

use crate::failure::{Answer, Context, Failure, Outcome};
use crate::human;
use crate::output::Output;
use crate::target::Target;

/// The arguments of `check`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// Print the findings and the counts as one JSON object.
    #[arg(long)]
    json: bool,
}

impl From<&CheckReport> for Report {
    fn from(report: &CheckReport) -> Report {
        Report {
            page_count: Some(report.page_count),
            record_count: Some(report.record_count),
            findings: report.findings.iter().map(ToString::to_string).collect(),
            with_log: None,
        }
    }
}

/// What was found, whether or not the file could be opened at all.
#[derive(Default)]
struct Report {
    page_count: Option<u64>,
    record_count: Option<u64>,
    findings: Vec<String>,
    /// Records with what the log holds, if it holds more than the pages.
    with_log: Option<u64>,
}

impl Args {
    /// Reads the whole file; the answer is no if something is wrong with it.
    pub(crate) fn run(self) -> Outcome {
        let report = self.report()?;
        let mut output = Output::new();
        let sound = report.findings.is_empty();
        if self.json {
            output.json_pretty(&json!({
                "file": self.target.path().to_string_lossy(),
                "sound": sound,
                "page_count": report.page_count,
                "record_count": report.record_count,
                "record_count_with_log": report.with_log,
                "findings": report.findings,
            }))?;
        } else {
            for finding in &report.findings {
                output.line(finding)?;
            }
            output.line(self.summary(&report))?;
        }
        output.finish(if sound { Answer::Yes } else { Answer::No })
    }

    fn report(&self) -> Result<Report, Failure> {
        let path = self.target.path();
        let index = match self.target.try_read() {
            // Damage that is met while opening is what a check is for: all of it.
            Err(splitpoint::Error::Corruption(corruption)) => {
                let inspector = Inspector::open(path).opening(path)?;
                let mut report = match inspector.check(|_, _| ()) {
                    Ok(report) => Report::from(&report),
                    Err(splitpoint::Error::Corruption(_)) => Report::default(),
                    Err(error) => return Err(Failure::working(path, &error)),
                };
                if report.findings.is_empty() {
                    report.findings.push(corruption.to_string());
                }
                return Ok(report);
            }
            opened => opened.opening(path)?,
        };
        let mut report = Report::from(&index.check().working(path)?);
        report.with_log = Some(index.len()).filter(|len| Some(*len) != report.record_count);
        Ok(report)
    }

    fn with_log_words(&self, report: &Report) -> String {
        report.with_log.map_or_else(String::new, |records| {
            let records = human::count(records);
            format!(
                "; the log that a crash left was redone without damage and makes it {records} \
                 records: its pages are checked after the next open for writing"
            )
        })
    }

    fn summary(&self, report: &Report) -> String {
        let path = self.target.path().display();
        match (report.page_count, report.record_count) {
            (Some(pages), Some(records)) => {
                let (pages, records) = (human::count(pages), human::count(records));
                let verdict = match report.findings.len() {
                    0 => "sound".to_owned(),
                    1 => "1 finding".to_owned(),
                    many => format!("{many} findings"),
                };
                let log = self.with_log_words(report);
                format!("{path}: {verdict}; {pages} pages, {records} records read{log}")
            }
            _ => format!("{path}: too damaged to be opened"),
        }
    }
}
