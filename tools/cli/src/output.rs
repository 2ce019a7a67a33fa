//! Standard output: buffered, and quiet when its reader leaves. Knows nothing of records.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use serde_json::{Map, Value, json};

use crate::failure::{Answer, Failure, Outcome};

/// The tool's answer on standard output.
pub(crate) struct Output {
    writer: BufWriter<StdoutLock<'static>>,
    terminal: bool,
}

impl Output {
    /// Standard output.
    pub(crate) fn new() -> Output {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        Output { writer: BufWriter::with_capacity(64 * 1024, stdout.lock()), terminal }
    }

    /// Whether a person is looking.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Writes bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.writer.write_all(bytes).map_err(|error| failed(&error))
    }

    /// Writes a line of text.
    pub(crate) fn line(&mut self, text: impl AsRef<[u8]>) -> Result<(), Failure> {
        self.bytes(text.as_ref())?;
        self.bytes(b"\n")
    }

    /// Writes a JSON value on one line.
    pub(crate) fn json(&mut self, value: &Value) -> Result<(), Failure> {
        self.line(value.to_string())
    }

    /// Writes a JSON value over several lines, for facts that people read as well.
    pub(crate) fn json_pretty(&mut self, value: &Value) -> Result<(), Failure> {
        self.line(format!("{value:#}"))
    }

    /// Shows what was written so far.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.writer.flush().map_err(|error| failed(&error))
    }

    /// Writes what is left; without this call an error at the end would be lost.
    pub(crate) fn finish(mut self, answer: Answer) -> Outcome {
        self.flush()?;
        Ok(answer)
    }
}

fn failed(error: &io::Error) -> Failure {
    Failure::output("standard output", error)
}

/// Puts bytes into a JSON object: as text under `name` if they are UTF-8 and text is wanted, else in
/// hexadecimal under `name_hex`.
pub(crate) fn put_bytes(object: &mut Map<String, Value>, name: &str, bytes: &[u8], text: bool) {
    match std::str::from_utf8(bytes) {
        Ok(words) if text => object.insert(name.to_owned(), json!(words)),
        _ => object.insert(format!("{name}_hex"), json!(hex::encode(bytes))),
    };
}
