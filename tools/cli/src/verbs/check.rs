//! `check`: is every page and record sound?

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;
use splitpoint::inspect::Inspector;
use splitpoint::{CheckReport, Severity};

use crate::draw::progress::Progress;
use crate::draw::report::finding_to_json;
use crate::draw::{Paint, Style};
use crate::failure::{Answer, Context, Failure, Outcome};
use crate::human;
use crate::output::Output;

/// The arguments of `check`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The index file; it may be damaged, or open in another process.
    file: PathBuf,
    /// Check the structure only: meta pages, bitmap, directories, log.
    #[arg(long)]
    quick: bool,
    /// Print the findings and the counts as one JSON object.
    #[arg(long)]
    json: bool,
}

/// What was found, whether or not there was a meta page to begin with.
struct Checked {
    report: Option<CheckReport>,
    /// Why there is no report.
    hopeless: Option<String>,
    took: Duration,
}

impl Args {
    /// Reads the whole file; the answer is no if something is wrong with it.
    pub(crate) fn run(self) -> Outcome {
        let checked = self.check()?;
        if checked.report.as_ref().is_some_and(|report| report.is_overtaken) {
            return Err(Failure::Work(format!(
                "{}: a writer moved on each time that it was read, so nothing can be said; check \
                 it when the writer rests, or check a backup of it",
                self.file.display()
            )));
        }
        let is_sound = checked.report.as_ref().is_some_and(CheckReport::is_sound);
        let mut output = Output::new();
        if self.json {
            self.print_json(&checked, &mut output)?;
        } else {
            self.print(&checked, &mut output)?;
        }
        output.finish(if is_sound { Answer::Yes } else { Answer::No })
    }

    fn check(&self) -> Result<Checked, Failure> {
        let started = Instant::now();
        let inspector = Inspector::open(&self.file).opening(&self.file)?;
        let progress = Progress::new();
        let show = |done, all| progress.show(done, all);
        let result = if self.quick { inspector.check_quick(show) } else { inspector.check(show) };
        drop(progress);
        let took = started.elapsed();
        match result {
            Ok(report) => Ok(Checked { report: Some(report), hopeless: None, took }),
            // Without any meta page: as damaged as can be.
            Err(splitpoint::Error::Corruption(corruption)) => {
                Ok(Checked { report: None, hopeless: Some(corruption.to_string()), took })
            }
            Err(error) => Err(Failure::working(&self.file, &error)),
        }
    }

    fn print(&self, checked: &Checked, output: &mut Output) -> Result<(), Failure> {
        let paint = Paint::of_stdout();
        let path = self.file.display();
        let Some(report) = &checked.report else {
            let words = checked.hopeless.as_deref().unwrap_or_default();
            output.line(paint.text(Style::Red, words))?;
            return output.line(format!("{path}: too damaged to be checked"));
        };
        for finding in &report.findings {
            let style = match finding.severity {
                Severity::Notice => Style::Yellow,
                _ => Style::Red,
            };
            output.line(paint.text(style, &finding.to_string()))?;
        }
        if report.findings_left_out > 0 {
            output.line(format!("and {} more", human::count(report.findings_left_out)))?;
        }
        output.line(format!("{path}: {}", summary(report, self.quick)))?;
        if !report.is_complete && !self.quick {
            output.line("what only damaged pages lead to could not be looked at")?;
        }
        output.line(rate(report, checked.took))
    }

    fn print_json(&self, checked: &Checked, output: &mut Output) -> Result<(), Failure> {
        let report = checked.report.as_ref();
        let findings = report.map(|report| &report.findings);
        let findings: Vec<_> = findings.into_iter().flatten().map(finding_to_json).collect();
        output.json_pretty(&json!({
            "file": self.file.to_string_lossy(),
            "sound": report.is_some_and(CheckReport::is_sound),
            "complete": report.is_some_and(|report| report.is_complete),
            "quick": self.quick,
            "generation": report.map(|report| report.generation),
            "page_count": report.map(|report| report.page_count),
            "reached_page_count": report.map(|report| report.reached_page_count),
            "record_count": report.map(|report| report.record_count),
            "log_commit_count": report.map(|report| report.log_commit_count),
            "log_operation_count": report.map(|report| report.log_operation_count),
            "finding_count": report.map_or(1, CheckReport::finding_count),
            "findings": findings,
            "hopeless": checked.hopeless,
            "bytes_read": report.map(|report| report.bytes_read),
            "seconds": checked.took.as_secs_f64(),
        }))
    }
}

fn summary(report: &CheckReport, quick: bool) -> String {
    let verdict = match (report.finding_count(), report.is_sound()) {
        (0, _) if quick => "the structure is sound".to_owned(),
        (0, _) => "sound".to_owned(),
        (count, true) => format!("sound, with {count} notices of what a crash may leave"),
        (1, false) => "1 finding".to_owned(),
        (many, false) => format!("{} findings", human::count(many)),
    };
    let pages = human::count(report.page_count);
    let records = match quick {
        true => "records not read".to_owned(),
        false => format!("{} records read", human::count(report.record_count)),
    };
    let log = match report.log_commit_count {
        0 => String::new(),
        commits => format!(
            "; behind it {} commits with {} operations in the log, without damage",
            human::count(commits),
            human::count(report.log_operation_count)
        ),
    };
    format!("{verdict}; {pages} pages, {records}{log}")
}

fn rate(report: &CheckReport, took: Duration) -> String {
    let bytes = human::bytes(report.bytes_read);
    let nanos = took.as_nanos().max(1);
    let each = u128::from(report.bytes_read) * 1_000_000_000 / nanos;
    let each = human::bytes(u64::try_from(each).unwrap_or(u64::MAX));
    format!("{bytes} in {}, {each} a second", human::duration(took))
}
