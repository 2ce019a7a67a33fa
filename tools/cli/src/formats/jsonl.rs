//! JSON lines: `{"key": "…", "value": "…"}`, one a line. Knows nothing of columns.

use std::borrow::Cow;
use std::io::{BufRead, Write};

use serde::{Deserialize, Serialize};

use super::lines::{Line, Lines};
use super::{Encoding, Record, SinkError, Source, Step};
use crate::columns::Columns;

/// One line. Lengths in text are up to four times those of the bytes, and are bounded as such.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow)]
    value: Cow<'a, str>,
}

/// Reads JSON lines. Blank lines are passed over.
pub(super) struct Reader<R> {
    lines: Lines<R>,
    line: Vec<u8>,
    encoding: Encoding,
    record_max: usize,
}

impl<R: BufRead> Reader<R> {
    pub(super) fn new(input: R, encoding: Encoding, record_max: usize) -> Self {
        Reader { lines: Lines::new(input, record_max), line: Vec::new(), encoding, record_max }
    }

    fn parse(&self, record: &mut Record) -> Result<(), String> {
        let entry: Entry<'_> = serde_json::from_slice(&self.line).map_err(|error| {
            // The line's number is known to who reads them; this one has but one.
            let error = error.to_string().replace(" at line 1 column", " at column");
            format!("not {{\"key\": \"…\", \"value\": \"…\"}}: {error}")
        })?;
        let decode = |text: &str, name: &str| match self.encoding.decode(text.as_bytes()) {
            Ok(bytes) => Ok(bytes.into_owned()),
            Err(why) => Err(format!("the {name} is {why}")),
        };
        record.key = decode(&entry.key, "key")?;
        record.value = decode(&entry.value, "value")?;
        Ok(())
    }
}

impl<R: BufRead + Send> Source for Reader<R> {
    fn columns(&self) -> Option<&Columns> {
        None
    }

    fn unit(&self) -> &'static str {
        "line"
    }

    fn place(&self) -> u64 {
        self.lines.number()
    }

    fn next(&mut self, record: &mut Record) -> Result<Step, String> {
        loop {
            match self.lines.read(&mut self.line).map_err(|error| error.to_string())? {
                Line::End => return Ok(Step::End),
                Line::TooLong => {
                    return Ok(Step::Bad(format!("longer than {} bytes", self.record_max)));
                }
                Line::Whole if self.line.iter().all(u8::is_ascii_whitespace) => {}
                Line::Whole => {
                    return Ok(match self.parse(record) {
                        Ok(()) => Step::Record,
                        Err(why) => Step::Bad(why),
                    });
                }
            }
        }
    }
}

/// Writes JSON lines.
pub(super) struct Writer<'a> {
    output: &'a mut dyn Write,
    encoding: Encoding,
}

impl<'a> Writer<'a> {
    pub(super) fn new(output: &'a mut dyn Write, encoding: Encoding) -> Self {
        Writer { output, encoding }
    }
}

impl super::Sink for Writer<'_> {
    fn write(&mut self, key: &[u8], value: &[u8]) -> Result<(), SinkError> {
        let wrong = |name| move |why| SinkError::Record(format!("the {name} is {why}"));
        let key = self.encoding.encode(key).map_err(wrong("key"))?;
        let value = self.encoding.encode(value).map_err(wrong("value"))?;
        let entry = Entry { key, value };
        serde_json::to_writer(&mut *self.output, &entry).map_err(std::io::Error::from)?;
        Ok(self.output.write_all(b"\n")?)
    }
}
