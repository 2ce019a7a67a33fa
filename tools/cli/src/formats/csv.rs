//! CSV by RFC 4180, read strictly: a header, fields between commas, quotes doubled within quotes,
//! lines that end in `\r\n` or `\n`. Knows nothing of the index.

use std::io::{BufRead, Write};

use super::tsv::assemble;
use super::{COLUMN_COUNT_MAX, Encoding, Record, SinkError, Step, mark, not_a_row};
use crate::columns::{Choice, Columns, Places};

/// What stands between the bytes of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    FieldStart,
    Plain,
    Quoted,
    /// After a quote within quotes: the end of the field, or one half of a quote.
    QuoteSeen,
    /// After a `\r` outside quotes.
    ReturnSeen,
    /// After a mistake: the rest of the line is passed over.
    Lost,
}

/// Reads rows of fields.
struct Rows<R> {
    input: R,
    record_max: usize,
    /// The line on which the last row began.
    place: u64,
    /// Line ends read so far.
    line_count: u64,
}

/// What was read.
enum Row {
    Whole,
    Bad(&'static str),
    End,
}

/// One row while it is read.
struct Partial<'a> {
    fields: &'a mut Vec<Vec<u8>>,
    state: State,
    mistake: &'static str,
    len: usize,
}

impl Partial<'_> {
    /// Whether the row is within the limit. One that is not is passed over to its end, unless that
    /// cannot be told: then this is false, and there is nowhere to go on.
    fn fits(&mut self, record_max: usize) -> bool {
        if self.len > record_max && self.state != State::Lost {
            if self.in_quotes() {
                return false;
            }
            self.lose("longer than a record may be (--record-max)");
            self.fields.clear();
        }
        true
    }

    /// Takes one byte; true at the end of the row.
    fn take(&mut self, byte: u8) -> bool {
        self.len += 1;
        match (self.state, byte) {
            (State::Lost, b'\n') => return true,
            (State::Lost, _) => {}
            (State::Quoted, b'"') => self.state = State::QuoteSeen,
            (State::Quoted, _) => self.push(byte),
            (State::QuoteSeen, b'"') => {
                self.push(byte);
                self.state = State::Quoted;
            }
            (State::FieldStart, b'"') => self.state = State::Quoted,
            (_, b'\n') => return true,
            (State::ReturnSeen, _) => self.lose("a carriage return outside quotes"),
            (_, b',') if self.fields.len() >= COLUMN_COUNT_MAX => {
                self.lose("more columns than there may be (1,024)");
            }
            (_, b',') => {
                self.fields.push(Vec::new());
                self.state = State::FieldStart;
            }
            (_, b'\r') => self.state = State::ReturnSeen,
            (State::QuoteSeen, _) => {
                self.lose("text after a closing quote; a quote within quotes is doubled");
            }
            (State::Plain, b'"') => {
                self.lose("a quote within a field that is not quoted");
            }
            (State::FieldStart | State::Plain, _) => {
                self.push(byte);
                self.state = State::Plain;
            }
        }
        false
    }

    /// Whether a line end may be part of the field, so that it is no place to begin anew.
    fn in_quotes(&self) -> bool {
        matches!(self.state, State::Quoted | State::QuoteSeen)
    }

    fn push(&mut self, byte: u8) {
        if let Some(field) = self.fields.last_mut() {
            field.push(byte);
        }
    }

    fn lose(&mut self, mistake: &'static str) {
        self.mistake = mistake;
        self.state = State::Lost;
    }
}

impl<R: BufRead> Rows<R> {
    fn new(input: R, record_max: usize) -> Rows<R> {
        Rows { input, record_max, place: 0, line_count: 0 }
    }

    /// Reads the next row over `fields`.
    fn read(&mut self, fields: &mut Vec<Vec<u8>>) -> Result<Row, String> {
        fields.clear();
        fields.push(Vec::new());
        self.place = self.line_count + 1;
        let mut row = Partial { fields, state: State::FieldStart, mistake: "", len: 0 };
        loop {
            let buffer = match self.input.fill_buf() {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                buffer => buffer.map_err(|error| error.to_string())?,
            };
            if buffer.is_empty() {
                return self.ended(&row);
            }
            let mut used = 0;
            let mut done = false;
            for &byte in buffer {
                used += 1;
                self.line_count += u64::from(byte == b'\n');
                done = row.take(byte);
                if done || !row.fits(self.record_max) {
                    break;
                }
            }
            self.input.consume(used);
            if done {
                return Ok(if row.mistake.is_empty() { Row::Whole } else { Row::Bad(row.mistake) });
            }
            if !row.fits(self.record_max) {
                return Err(format!(
                    "line {}: a row of more than {} bytes; is a quote left open?",
                    self.place, self.record_max
                ));
            }
        }
    }

    /// The input is at its end.
    fn ended(&self, row: &Partial<'_>) -> Result<Row, String> {
        match row.state {
            State::Quoted => {
                Err(format!("line {}: the input ends within quotes that open here", self.place))
            }
            State::Lost => Ok(Row::Bad(row.mistake)),
            State::FieldStart if row.len == 0 => Ok(Row::End),
            _ => Ok(Row::Whole),
        }
    }
}

/// Reads CSV.
pub(super) struct Source<R> {
    rows: Rows<R>,
    fields: Vec<Vec<u8>>,
    columns: Columns,
    places: Places,
    encoding: Encoding,
}

impl<R: BufRead> Source<R> {
    /// Reads the header.
    pub(super) fn new(
        input: R,
        choice: &Choice,
        encoding: Encoding,
        record_max: usize,
    ) -> Result<Self, String> {
        let mut rows = Rows::new(input, record_max);
        let mut fields = Vec::new();
        match rows.read(&mut fields)? {
            Row::Whole => {}
            Row::Bad(why) => return Err(format!("line 1: {why}")),
            Row::End => return Err("empty; a header with column names is needed".to_owned()),
        }
        let (columns, places) = Columns::from_header(std::mem::take(&mut fields), choice)?;
        Ok(Source { rows, fields, columns, places, encoding })
    }
}

impl<R: BufRead + Send> super::Source for Source<R> {
    fn columns(&self) -> Option<&Columns> {
        Some(&self.columns)
    }

    fn unit(&self) -> &'static str {
        "line"
    }

    fn place(&self) -> u64 {
        self.rows.place
    }

    fn next(&mut self, record: &mut Record) -> Result<Step, String> {
        match self.rows.read(&mut self.fields)? {
            Row::Whole => {}
            Row::Bad(why) => return Ok(Step::Bad(why.to_owned())),
            Row::End => return Ok(Step::End),
        }
        for (index, field) in self.fields.iter_mut().enumerate() {
            match self.encoding.decode(field) {
                Err(why) => return Ok(Step::Bad(format!("column {}: {why}", index + 1))),
                Ok(std::borrow::Cow::Borrowed(_)) => {}
                Ok(std::borrow::Cow::Owned(bytes)) => *field = bytes,
            }
        }
        Ok(assemble(&mut self.fields, &self.places, record))
    }
}

/// Writes CSV.
pub(super) struct Sink<'a> {
    output: &'a mut dyn Write,
    columns: Columns,
    encoding: Encoding,
    line: Vec<u8>,
}

impl<'a> Sink<'a> {
    /// Writes the header.
    pub(super) fn new(
        output: &'a mut dyn Write,
        columns: Columns,
        encoding: Encoding,
    ) -> Result<Self, SinkError> {
        let mut sink = Sink { output, columns, encoding, line: Vec::new() };
        let names = std::iter::once(&sink.columns.key).chain(&sink.columns.values);
        for name in names {
            put(name, &mut sink.line);
        }
        mark(&mut sink.line);
        sink.end_row()?;
        Ok(sink)
    }

    /// Writes the row out: what stands in `line`, with the last comma turned into an end.
    fn end_row(&mut self) -> Result<(), SinkError> {
        self.line.pop();
        if self.line.is_empty() {
            // A lone empty field; a blank line would say the same but looks like nothing.
            self.line.extend_from_slice(b"\"\"");
        }
        self.line.extend_from_slice(b"\r\n");
        self.output.write_all(&self.line)?;
        self.line.clear();
        Ok(())
    }
}

/// Appends a field and a comma.
fn put(field: &str, line: &mut Vec<u8>) {
    if field.contains(['"', ',', '\r', '\n']) {
        line.push(b'"');
        for byte in field.bytes() {
            if byte == b'"' {
                line.push(b'"');
            }
            line.push(byte);
        }
        line.push(b'"');
    } else {
        line.extend_from_slice(field.as_bytes());
    }
    line.push(b',');
}

impl super::Sink for Sink<'_> {
    fn write(&mut self, key: &[u8], value: &[u8]) -> Result<(), SinkError> {
        let fields = self.columns.split(value).ok_or_else(|| not_a_row(&self.columns))?;
        self.line.clear();
        put(
            &self.encoding.encode(key).map_err(|e| SinkError::Record(format!("the key is {e}")))?,
            &mut self.line,
        );
        for (field, name) in fields.iter().zip(&self.columns.values) {
            let text = self.encoding.encode(field);
            put(
                &text.map_err(|e| SinkError::Record(format!("column {name} is {e}")))?,
                &mut self.line,
            );
        }
        self.end_row()
    }
}
