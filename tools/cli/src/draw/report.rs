//! Reports of the library as text and as JSON.

use serde_json::{Value as Json, json};
use splitpoint::inspect::{Report, Value};
use splitpoint::{Finding, Place, Severity};

use super::{Paint, Style, padded};

/// A report in lines, its parts indented, its broken promises after each.
pub(crate) fn lines(report: &Report, paint: Paint) -> String {
    let mut text = String::new();
    write(report, paint, 0, &mut text);
    text
}

fn write(report: &Report, paint: Paint, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    text.push_str(&format!("{indent}{}\n", paint.text(Style::Bold, &report.name)));
    let width = report.fields.iter().map(|field| field.name.len()).max().unwrap_or_default();
    for field in &report.fields {
        let name = paint.text(Style::Cyan, &padded(field.name, width));
        text.push_str(&format!("{indent}  {name}  {}\n", field.value));
    }
    if report.is_overtaken {
        let words = "! a writer moved on at each look; look again when it rests";
        text.push_str(&format!("{indent}  {}\n", paint.text(Style::Yellow, words)));
    }
    for finding in &report.findings {
        text.push_str(&format!("{indent}  {}\n", found(finding, paint)));
    }
    report.children.iter().for_each(|child| write(child, paint, depth + 1, text));
}

fn found(finding: &Finding, paint: Paint) -> String {
    let style = match finding.severity {
        Severity::Notice => Style::Yellow,
        _ => Style::Red,
    };
    paint.text(style, &format!("! {finding}"))
}

/// The report as JSON: fields by name, parts and findings as lists.
pub(crate) fn to_json(report: &Report) -> Json {
    let fields = report.fields.iter().map(|field| {
        let value = match &field.value {
            Value::Number(number) => json!(number),
            other => json!(other.to_string()),
        };
        json!({ "name": field.name, "value": value })
    });
    json!({
        "name": report.name,
        "fields": fields.collect::<Vec<_>>(),
        "damage": report.findings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "overtaken": report.is_overtaken,
        "parts": report.children.iter().map(to_json).collect::<Vec<_>>(),
    })
}

/// A finding as JSON.
pub(crate) fn finding_to_json(finding: &Finding) -> Json {
    let (pages, slot) = match finding.place {
        Place::Page(page) => (Some((page, page)), None),
        Place::Pages { first, last } => (Some((first, last)), None),
        Place::MetaPage(slot) => (None, Some(slot)),
        _ => (None, None),
    };
    let log = match finding.place {
        Place::Log { segment, offset } => Some((segment, offset)),
        _ => None,
    };
    json!({
        "severity": severity(finding.severity),
        "place": finding.place.to_string(),
        "page": pages.map(|(first, _)| first),
        "last_page": pages.map(|(_, last)| last),
        "meta_page": slot,
        "log_segment": log.map(|(segment, _)| segment),
        "log_offset": log.map(|(_, offset)| offset),
        "promise": format!("{:?}", finding.promise),
        "words": finding.promise.to_string(),
        "expected": finding.expected,
        "found": finding.found,
        "next_step": finding.next_step(),
    })
}

/// A severity as one word.
pub(crate) fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Notice => "notice",
        _ => "damage",
    }
}
