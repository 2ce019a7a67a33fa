//! The formats of `load` and `export`: TSV, CSV, JSON lines and pairs. A [`Source`] reads records,
//! a [`Sink`] writes them, both one at a time. Parquet and Arrow are only named here. Knows nothing
//! of the index.

mod csv;
mod encoding;
mod jsonl;
pub(crate) mod lines;
mod pairs;
#[cfg(test)]
mod tests;
mod tsv;

use std::io::{BufRead, Cursor, Read as _, Write};
use std::path::Path;

use clap::ValueEnum;

use crate::columns::{Choice, Columns};
use crate::failure::Failure;
pub(crate) use encoding::Encoding;

/// A format by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns between tabs, under a header; escapes \t \n \r \\ \xHH.
    Tsv,
    /// RFC 4180, under a header.
    Csv,
    /// {"key": "…", "value": "…"} on each line.
    Jsonl,
    /// Little-endian u32 key length, u32 value length, the bytes.
    Pairs,
    /// Apache Parquet; `load` only.
    Parquet,
    /// Apache Arrow IPC, a file or a stream; `load` only.
    Arrow,
}

/// What numbers become (Parquet, Arrow).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Numbers {
    /// Text, as the same table has it in csv.
    #[default]
    Text,
    /// Their little-endian bytes; of a list, those of its elements.
    Raw,
}

/// The longest key that an index takes, in bytes.
pub(crate) const KEY_LEN_MAX: u32 = 65_535;

/// The most columns of a table, the key's included; their names must fit the metadata anyway.
const COLUMN_COUNT_MAX: usize = 1024;

/// One record on its way.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

/// What a [`Source`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A record, now in the caller's hands.
    Record,
    /// Something that is not a record, and why; the next one can be read.
    Bad(String),
    /// The end of the input.
    End,
}

/// Reads records.
pub(crate) trait Source: Send {
    /// The columns, if the format has a header.
    fn columns(&self) -> Option<&Columns>;
    /// What the places are: `line` or `record`.
    fn unit(&self) -> &'static str;
    /// The place of the last record, from 1.
    fn place(&self) -> u64;
    /// Reads the next record over `record`. An error is the end: nothing after it can be read.
    fn next(&mut self, record: &mut Record) -> Result<Step, String>;
}

/// Writes records.
pub(crate) trait Sink {
    /// Writes one record.
    fn write(&mut self, key: &[u8], value: &[u8]) -> Result<(), SinkError>;
}

/// Why a record was not written.
#[derive(Debug)]
pub(crate) enum SinkError {
    /// The output failed.
    Io(std::io::Error),
    /// The record has no place in this format, and what to do.
    Record(String),
}

impl From<std::io::Error> for SinkError {
    fn from(error: std::io::Error) -> SinkError {
        SinkError::Io(error)
    }
}

/// How to read: the format and what goes with it.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) format: Format,
    pub(crate) encoding: Encoding,
    pub(crate) columns: Choice,
    /// The longest line or record in bytes; a longer one is bad, and never held in memory.
    pub(crate) record_max: usize,
}

/// Chooses the format: the one asked for, else the one that the file's name ends in.
pub(crate) fn choose(asked: Option<Format>, path: Option<&Path>) -> Result<Format, Failure> {
    if let Some(format) = asked {
        return Ok(format);
    }
    let extension = path.and_then(Path::extension).and_then(|extension| extension.to_str());
    match extension.map(str::to_ascii_lowercase).as_deref() {
        Some("tsv" | "tab") => Ok(Format::Tsv),
        Some("csv") => Ok(Format::Csv),
        Some("jsonl" | "ndjson") => Ok(Format::Jsonl),
        Some("pairs") => Ok(Format::Pairs),
        Some("parquet" | "pq") => Ok(Format::Parquet),
        Some("arrow" | "arrows" | "feather") => Ok(Format::Arrow),
        _ => Err(Failure::Usage(
            "the format cannot be told from the name; say --format tsv, csv, jsonl or pairs (or, \
             to load, parquet or arrow)"
                .to_owned(),
        )),
    }
}

/// Settles the encoding, which only CSV and JSON lines have.
pub(crate) fn choose_encoding(
    format: Format,
    asked: Option<Encoding>,
) -> Result<Encoding, Failure> {
    match (format, asked) {
        (Format::Csv | Format::Jsonl, asked) => Ok(asked.unwrap_or(Encoding::Utf8)),
        (_, Some(_)) => Err(Failure::Usage(
            "--encoding is for csv and jsonl; the others carry any bytes as they are".to_owned(),
        )),
        (_, None) => Ok(Encoding::Utf8),
    }
}

impl Format {
    /// Whether it has columns, and a header that names them.
    pub(crate) fn has_header(self) -> bool {
        matches!(self, Format::Tsv | Format::Csv)
    }

    /// Whether it is read in batches of columns.
    pub(crate) fn is_columnar(self) -> bool {
        matches!(self, Format::Parquet | Format::Arrow)
    }
}

/// What some programs write before a text in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Passes a byte order mark over.
fn unmarked(mut input: Box<dyn BufRead + Send>) -> Result<Box<dyn BufRead + Send>, String> {
    let mut head = Vec::new();
    let read = input.by_ref().take(BYTE_ORDER_MARK.len() as u64).read_to_end(&mut head);
    read.map_err(|error| error.to_string())?;
    if head == BYTE_ORDER_MARK {
        head.clear();
    }
    Ok(Box::new(Cursor::new(head).chain(input)))
}

/// A text that itself begins with a byte order mark needs one before it, which readers pass over.
fn mark(text: &mut Vec<u8>) {
    if text.starts_with(BYTE_ORDER_MARK) {
        text.splice(..0, BYTE_ORDER_MARK.iter().copied());
    }
}

/// Opens a source; of a format with a header, the header is read now.
pub(crate) fn source(
    input: Box<dyn BufRead + Send>,
    reading: &Reading,
) -> Result<Box<dyn Source>, String> {
    let choice = &reading.columns;
    let (encoding, record_max) = (reading.encoding, reading.record_max);
    Ok(match reading.format {
        Format::Tsv => Box::new(tsv::Reader::new(unmarked(input)?, choice, record_max)?),
        Format::Csv => Box::new(csv::Source::new(unmarked(input)?, choice, encoding, record_max)?),
        Format::Jsonl => Box::new(jsonl::Reader::new(input, encoding, record_max)),
        Format::Pairs => Box::new(pairs::Reader::new(input, record_max)),
        Format::Parquet | Format::Arrow => return Err("it is not read line by line".to_owned()),
    })
}

/// Opens a sink; of a format with a header, the header is written now.
pub(crate) fn sink<'a>(
    output: &'a mut dyn Write,
    format: Format,
    encoding: Encoding,
    columns: Columns,
) -> Result<Box<dyn Sink + 'a>, SinkError> {
    Ok(match format {
        Format::Tsv => Box::new(tsv::Writer::new(output, columns)?),
        Format::Csv => Box::new(csv::Sink::new(output, columns, encoding)?),
        Format::Jsonl => Box::new(jsonl::Writer::new(output, encoding)),
        Format::Pairs => Box::new(pairs::Writer::new(output)),
        Format::Parquet | Format::Arrow => {
            return Err(SinkError::Record(
                "parquet and arrow can be loaded, not written; export to tsv, csv, jsonl or pairs"
                    .to_owned(),
            ));
        }
    })
}

/// What to do with a value that is not a row of the index's columns.
pub(crate) fn not_a_row(columns: &Columns) -> SinkError {
    SinkError::Record(format!(
        "the value is not made of the {} value columns that the index's metadata name; \
         export it with --format jsonl or --format pairs, which take values as they are",
        columns.values.len()
    ))
}
