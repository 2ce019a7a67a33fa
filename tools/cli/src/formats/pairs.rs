//! Pairs: little-endian u32 key length, u32 value length, the key, the value; again and again.
//! Knows nothing of columns and encodings.

use std::io::{self, BufRead, Read, Write};

use super::{Record, SinkError, Source, Step};
use crate::columns::Columns;

/// Reads pairs.
pub(super) struct Reader<R> {
    input: R,
    record_max: usize,
    number: u64,
    /// Where the last record began, in bytes.
    offset: u64,
    /// Where the next one does.
    next_offset: u64,
}

impl<R: BufRead> Reader<R> {
    pub(super) fn new(input: R, record_max: usize) -> Self {
        Reader { input, record_max, number: 0, offset: 0, next_offset: 0 }
    }

    /// Reads exactly `len` bytes. The buffer grows with what is there, not with what `len` claims.
    fn fill(&mut self, bytes: &mut Vec<u8>, len: u32) -> Result<(), String> {
        bytes.clear();
        let read = self.input.by_ref().take(u64::from(len)).read_to_end(bytes);
        self.whole(read.map(|read| read as u64), u64::from(len))
    }

    /// Passes over `len` bytes.
    fn skip(&mut self, len: u64) -> Result<(), String> {
        let read = io::copy(&mut self.input.by_ref().take(len), &mut io::sink());
        self.whole(read, len)
    }

    fn whole(&self, read: io::Result<u64>, len: u64) -> Result<(), String> {
        match read {
            Ok(read) if read == len => Ok(()),
            Ok(_) => Err(format!(
                "record {} at byte {}: the input ends within it",
                self.number, self.offset
            )),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl<R: BufRead + Send> Source for Reader<R> {
    fn columns(&self) -> Option<&Columns> {
        None
    }

    fn unit(&self) -> &'static str {
        "record"
    }

    fn place(&self) -> u64 {
        self.number
    }

    fn next(&mut self, record: &mut Record) -> Result<Step, String> {
        let mut head = Vec::with_capacity(8);
        let read = self.input.by_ref().take(8).read_to_end(&mut head);
        if read.as_ref().is_ok_and(|&read| read == 0) {
            return Ok(Step::End);
        }
        self.number += 1;
        self.offset = self.next_offset;
        self.whole(read.map(|read| read as u64), 8)?;
        let word = |at: usize| {
            let bytes = head.get(at..).and_then(|bytes| bytes.first_chunk());
            u32::from_le_bytes(bytes.copied().unwrap_or_default())
        };
        let (key_len, value_len) = (word(0), word(4));
        let len = u64::from(key_len) + u64::from(value_len);
        self.next_offset = self.offset + 8 + len;
        if key_len > super::KEY_LEN_MAX || len > self.record_max as u64 {
            self.skip(len)?;
            return Ok(Step::Bad(format!(
                "at byte {}: a key of {key_len} and a value of {value_len} bytes; a key may have \
                 {}, a record {} (--record-max)",
                self.offset,
                super::KEY_LEN_MAX,
                self.record_max
            )));
        }
        self.fill(&mut record.key, key_len)?;
        self.fill(&mut record.value, value_len)?;
        Ok(Step::Record)
    }
}

/// Writes pairs.
pub(super) struct Writer<'a> {
    output: &'a mut dyn Write,
}

impl<'a> Writer<'a> {
    pub(super) fn new(output: &'a mut dyn Write) -> Self {
        Writer { output }
    }
}

impl super::Sink for Writer<'_> {
    fn write(&mut self, key: &[u8], value: &[u8]) -> Result<(), SinkError> {
        for bytes in [key, value] {
            let len = u32::try_from(bytes.len())
                .map_err(|_| SinkError::Record(format!("{} bytes are too many", bytes.len())))?;
            self.output.write_all(&len.to_le_bytes())?;
        }
        self.output.write_all(key)?;
        Ok(self.output.write_all(value)?)
    }
}
