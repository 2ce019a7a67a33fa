//! TSV: a header, then columns between tabs; any bytes, escaped. Knows nothing of encodings.

use std::io::{BufRead, Write};

use super::lines::{Line, Lines};
use super::{Record, SinkError, Source, Step, mark, not_a_row};
use crate::columns::{Choice, Columns, Places};
use crate::escape;

/// Reads TSV.
pub(super) struct Reader<R> {
    lines: Lines<R>,
    line: Vec<u8>,
    fields: Vec<Vec<u8>>,
    columns: Columns,
    places: Places,
    record_max: usize,
}

impl<R: BufRead> Reader<R> {
    /// Reads the header.
    pub(super) fn new(input: R, choice: &Choice, record_max: usize) -> Result<Self, String> {
        let mut lines = Lines::new(input, record_max);
        let mut line = Vec::new();
        match lines.read(&mut line).map_err(|error| error.to_string())? {
            Line::End => return Err("empty; a header line with column names is needed".to_owned()),
            Line::TooLong => return Err(format!("the header has more than {record_max} bytes")),
            Line::Whole => {}
        }
        let mut header = Vec::new();
        split(&line, &mut header).map_err(|why| format!("line 1: {why}"))?;
        let (columns, places) = Columns::from_header(header, choice)?;
        Ok(Reader { lines, line, fields: Vec::new(), columns, places, record_max })
    }
}

/// Takes a line apart.
fn split(line: &[u8], fields: &mut Vec<Vec<u8>>) -> Result<(), String> {
    fields.clear();
    // Counted first: a line of nothing but tabs would take many times its own memory.
    if memchr::memchr_iter(b'\t', line).count() >= super::COLUMN_COUNT_MAX {
        return Err(format!("more than {} columns", super::COLUMN_COUNT_MAX));
    }
    for escaped in line.split(|&byte| byte == b'\t') {
        let mut field = Vec::new();
        escape::decode(escaped, &mut field)
            .map_err(|why| format!("column {}: {why}", fields.len() + 1))?;
        fields.push(field);
    }
    Ok(())
}

impl<R: BufRead + Send> Source for Reader<R> {
    fn columns(&self) -> Option<&Columns> {
        Some(&self.columns)
    }

    fn unit(&self) -> &'static str {
        "line"
    }

    fn place(&self) -> u64 {
        self.lines.number()
    }

    fn next(&mut self, record: &mut Record) -> Result<Step, String> {
        match self.lines.read(&mut self.line).map_err(|error| error.to_string())? {
            Line::End => return Ok(Step::End),
            Line::TooLong => {
                return Ok(Step::Bad(format!("longer than {} bytes", self.record_max)));
            }
            Line::Whole => {}
        }
        if let Err(why) = split(&self.line, &mut self.fields) {
            return Ok(Step::Bad(why));
        }
        Ok(assemble(&mut self.fields, &self.places, record))
    }
}

/// Makes a record of a row, whose fields are used up.
pub(super) fn assemble(fields: &mut [Vec<u8>], places: &Places, record: &mut Record) -> Step {
    if fields.len() != places.count {
        return Step::Bad(format!("{} columns, the header has {}", fields.len(), places.count));
    }
    record.key = fields.get_mut(places.key).map(std::mem::take).unwrap_or_default();
    record.value.clear();
    let field = |place: &usize| fields.get(*place).map_or(&[][..], Vec::as_slice);
    Columns::join(places.values.iter().map(field), &mut record.value);
    Step::Record
}

/// Writes TSV.
pub(super) struct Writer<'a> {
    output: &'a mut dyn Write,
    columns: Columns,
    line: Vec<u8>,
}

impl<'a> Writer<'a> {
    /// Writes the header.
    pub(super) fn new(output: &'a mut dyn Write, columns: Columns) -> Result<Self, SinkError> {
        let mut line = Vec::new();
        escape::encode(columns.key.as_bytes(), &mut line);
        for name in &columns.values {
            line.push(b'\t');
            escape::encode(name.as_bytes(), &mut line);
        }
        line.push(b'\n');
        mark(&mut line);
        output.write_all(&line)?;
        Ok(Writer { output, columns, line })
    }
}

impl super::Sink for Writer<'_> {
    fn write(&mut self, key: &[u8], value: &[u8]) -> Result<(), SinkError> {
        let fields = self.columns.split(value).ok_or_else(|| not_a_row(&self.columns))?;
        self.line.clear();
        escape::encode(key, &mut self.line);
        for field in fields {
            self.line.push(b'\t');
            escape::encode(&field, &mut self.line);
        }
        self.line.push(b'\n');
        Ok(self.output.write_all(&self.line)?)
    }
}
