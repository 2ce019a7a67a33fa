//! Reports: what a dump shows, as a tree of named fields that a tool can print or turn into
//! another notation. Knows nothing of files.

use std::fmt;

use crate::Finding;
use crate::error::{Fault, Place};

/// The value of a [`Field`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// A count, a length, a number of something; shown in decimal.
    Number(u64),
    /// A checksum, hash or pointer; shown in hexadecimal.
    Bits(u64),
    /// Words, or bytes escaped as by [`escape`].
    Text(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Number(number) => write!(f, "{number}"),
            Value::Bits(bits) => write!(f, "{bits:#x}"),
            Value::Text(text) => f.write_str(text),
        }
    }
}

/// One line of a [`Report`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Field {
    /// The name that the format has for it.
    pub name: &'static str,
    /// What stands there.
    pub value: Value,
}

/// A part of a file, decoded as far as it can be, and what is wrong with it.
///
/// `Display` is the dump: a heading, a line for each field, the parts indented, and after each its
/// broken promises.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// What it is: `page 12`, `slot 3`.
    pub name: String,
    /// Its fields, in the order of the format.
    pub fields: Vec<Field>,
    /// Its parts.
    pub children: Vec<Report>,
    /// The promises that it breaks.
    pub findings: Vec<Finding>,
    /// The page that it is about as a whole, if it is: [`Inspector::hex`](super::Inspector::hex)
    /// shows its bytes.
    pub page: Option<u64>,
    /// Whether a writer moved on at each look, so that what is here may be of several moments. No
    /// finding is claimed then.
    pub is_overtaken: bool,
}

impl Report {
    pub(super) fn new(name: impl Into<String>) -> Report {
        Report { name: name.into(), ..Report::default() }
    }

    pub(super) fn number(&mut self, name: &'static str, value: u64) {
        self.fields.push(Field { name, value: Value::Number(value) });
    }

    pub(super) fn bits(&mut self, name: &'static str, value: u64) {
        self.fields.push(Field { name, value: Value::Bits(value) });
    }

    pub(super) fn text(&mut self, name: &'static str, value: impl Into<String>) {
        self.fields.push(Field { name, value: Value::Text(value.into()) });
    }

    pub(super) fn find(&mut self, place: Place, fault: Fault) {
        self.findings.push(Finding::new(place, fault));
    }

    pub(super) fn expect(&mut self, place: Place, result: Result<(), Fault>) -> bool {
        if let Err(fault) = result {
            self.find(place, fault);
            return false;
        }
        true
    }

    /// Takes back what was found, in all parts.
    pub(super) fn forget_findings(&mut self) {
        self.findings.clear();
        self.children.iter_mut().for_each(Report::forget_findings);
    }

    /// Whether no promise is broken, in no part.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty() && self.children.iter().all(Report::is_sound)
    }

    /// The value of the first field of this name, here or in a part.
    pub fn field(&self, name: &str) -> Option<&Value> {
        let here = self.fields.iter().find(|field| field.name == name).map(|field| &field.value);
        here.or_else(|| self.children.iter().find_map(|child| child.field(name)))
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        writeln!(f, "{:1$}{2}", "", depth * 2, self.name)?;
        let indent = depth * 2 + 2;
        let width = self.fields.iter().map(|field| field.name.len()).max().unwrap_or_default();
        for Field { name, value } in &self.fields {
            writeln!(f, "{:indent$}{name:width$}  {value}", "")?;
        }
        if self.is_overtaken {
            writeln!(
                f,
                "{:indent$}! a writer moved on at each look; look again when it rests",
                ""
            )?;
        }
        for finding in &self.findings {
            writeln!(f, "{:indent$}! {finding}", "")?;
        }
        // Not deeper than the report's maker nests it: a handful.
        self.children.iter().try_for_each(|child| child.write(f, depth + 1))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

/// Bytes as text that no terminal takes for a command: printable ASCII as it is, all else as
/// `\n`, `\r`, `\t`, `\\`, `\"` or `\xHH`.
///
/// ```
/// assert_eq!(splitpoint::inspect::escape(b"a\x1b[2J\n"), "a\\x1b[2J\\n");
/// ```
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            b'\\' => text.push_str("\\\\"),
            b'"' => text.push_str("\\\""),
            b' '..=b'~' => text.push(byte.into()),
            _ => {
                text.push_str("\\x");
                for digit in [byte >> 4, byte & 15] {
                    text.extend(char::from_digit(digit.into(), 16));
                }
            }
        }
    }
    text
}

/// As [`escape`], of the first bytes only if there are many.
pub(super) fn escape_start(bytes: &[u8]) -> String {
    const SHOWN_MAX: usize = 256;
    match bytes.get(..SHOWN_MAX) {
        Some(start) if bytes.len() > SHOWN_MAX => {
            format!("\"{}\" and {} bytes more", escape(start), bytes.len() - SHOWN_MAX)
        }
        _ => format!("\"{}\"", escape(bytes)),
    }
}
