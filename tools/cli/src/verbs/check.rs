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

impl Args {
    /// Reads the whole file; the answer is no if something is wrong with it.
    pub(crate) fn run(self) -> Outcome {
        let (report, took) = self.check()?;
        if report.is_overtaken {
            return Err(Failure::Work(format!(
                "{}: a writer moved on each time that it was read, so nothing can be said; check \
                 it when the writer rests, or check a backup of it",
                self.file.display()
            )));
        }
        let mut output = Output::new();
        if self.json {
            self.print_json(&report, took, &mut output)?;
        } else {
            self.print(&report, took, &mut output)?;
        }
        output.finish(if report.is_sound() { Answer::Yes } else { Answer::No })
    }

    fn check(&self) -> Result<(CheckReport, Duration), Failure> {
        let started = Instant::now();
        let inspector = Inspector::open(&self.file).opening(&self.file)?;
        let progress = Progress::new();
        let show = |done, all| progress.show(done, all);
        let result = if self.quick { inspector.check_quick(show) } else { inspector.check(show) };
        drop(progress);
        match result {
            Ok(report) => Ok((report, started.elapsed())),
            Err(error) => Err(Failure::working(&self.file, &error)),
        }
    }

    fn print(
        &self,
        report: &CheckReport,
        took: Duration,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let paint = Paint::of_stdout();
        let path = self.file.display();
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
        if report.unproven_page_count > 0 {
            output.line(unproven(report))?;
        }
        output.line(rate(report, took))
    }

    fn print_json(
        &self,
        report: &CheckReport,
        took: Duration,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let findings: Vec<_> = report.findings.iter().map(finding_to_json).collect();
        let unproven = report.unproven.iter();
        let unproven: Vec<_> =
            unproven.map(|pages| json!({ "first": pages.start, "last": pages.end - 1 })).collect();
        output.json_pretty(&json!({
            "file": self.file.to_string_lossy(),
            "sound": report.is_sound(),
            "complete": report.is_complete,
            "quick": self.quick,
            "generation": report.generation,
            "page_count": report.page_count,
            "reached_page_count": report.reached_page_count,
            "unproven_page_count": report.unproven_page_count,
            "unproven": unproven,
            "record_count": report.record_count,
            "log_commit_count": report.log_commit_count,
            "log_operation_count": report.log_operation_count,
            "finding_count": report.finding_count(),
            "findings": findings,
            "bytes_read": report.bytes_read,
            "seconds": took.as_secs_f64(),
        }))
    }
}

/// The pages that only damaged ones lead to, the first of them by number.
fn unproven(report: &CheckReport) -> String {
    const SHOWN: usize = 8;
    if report.unproven.is_empty() {
        let pages = human::counted(report.unproven_page_count, "page");
        return format!("without a meta page nothing can be said of the other {pages}");
    }
    let stretches = report.unproven.iter().take(SHOWN).map(|pages| match pages.end - 1 {
        last if last == pages.start => last.to_string(),
        last => format!("{} to {last}", pages.start),
    });
    let mut list = stretches.collect::<Vec<_>>().join(", ");
    if report.unproven.len() > SHOWN {
        list.push_str(", ...");
    }
    let pages = human::counted(report.unproven_page_count, "page");
    format!("nothing can be said of {pages} in use, since only damage leads there: {list}")
}

fn summary(report: &CheckReport, quick: bool) -> String {
    let verdict = match (report.finding_count(), report.is_sound()) {
        (0, _) if quick => "the structure is sound".to_owned(),
        (0, _) => "sound".to_owned(),
        (count, true) => {
            format!("sound, with {} of what a crash may leave", human::counted(count, "notice"))
        }
        (many, false) => human::counted(many, "finding"),
    };
    let pages = human::counted(report.page_count, "page");
    let records = match quick {
        true => "records not read".to_owned(),
        false => format!("{} read", human::counted(report.record_count, "record")),
    };
    let log = match report.log_commit_count {
        0 => String::new(),
        commits => format!(
            "; behind it {} with {} in the log, without damage",
            human::counted(commits, "commit"),
            human::counted(report.log_operation_count, "operation")
        ),
    };
    format!("{verdict}; {pages}, {records}{log}")
}

fn rate(report: &CheckReport, took: Duration) -> String {
    let bytes = human::bytes(report.bytes_read);
    let nanos = took.as_nanos().max(1);
    let each = u128::from(report.bytes_read) * 1_000_000_000 / nanos;
    let each = human::bytes(u64::try_from(each).unwrap_or(u64::MAX));
    format!("{bytes} in {}, {each} a second", human::duration(took))
}
