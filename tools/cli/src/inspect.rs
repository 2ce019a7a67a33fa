//! What stands on the pages of a file, sound or damaged: the library's page views, asked for by
//! what the user named. Knows nothing of arguments and printing.

use std::path::Path;

use serde_json::{Value as Json, json};
use splitpoint::inspect::{Inspector, Report, Value};

use crate::failure::{Context, Failure};

/// What to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The four meta pages.
    Meta,
    /// A page, by its number.
    Page(u64),
    /// A bucket: its page, and its share of the overflow.
    Bucket(u64),
    /// The place of a key.
    Key(Vec<u8>),
}

/// Looks, without a lock and without writing.
pub(crate) fn view(path: &Path, subject: &Subject) -> Result<Report, Failure> {
    let inspector = Inspector::open(path).opening(path)?;
    match subject {
        Subject::Meta => inspector.meta(),
        Subject::Page(number) => inspector.page(*number),
        Subject::Bucket(number) => inspector.bucket(*number),
        Subject::Key(key) => inspector.key(key),
    }
    .working(path)
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
        "parts": report.children.iter().map(to_json).collect::<Vec<_>>(),
    })
}
