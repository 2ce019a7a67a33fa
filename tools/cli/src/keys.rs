//! Keys and values as the command line gives them. Knows nothing of the index.

use std::ffi::OsStr;
use std::io::BufRead;

use crate::escape;
use crate::failure::Failure;
use crate::formats::lines::{Line, Lines};

/// The longest line of keys on standard input: 65,535 bytes, each written as `\xHH`.
const KEY_LINE_MAX: usize = 4 * 65_535;

/// One argument, as text or in hexadecimal.
pub(crate) fn from_argument(argument: &OsStr, is_hex: bool) -> Result<Vec<u8>, Failure> {
    // On Unix these are the very bytes that were typed, UTF-8 or not.
    let bytes = argument.as_encoded_bytes();
    if !is_hex {
        return Ok(bytes.to_vec());
    }
    hex::decode(bytes).map_err(|error| {
        Failure::Usage(format!("{} is not hexadecimal: {error}", escape::shown(bytes)))
    })
}

/// Calls `each` with every line of `input`: escaped as in TSV, or in hexadecimal.
pub(crate) fn from_lines(
    input: impl BufRead,
    is_hex: bool,
    mut each: impl FnMut(Vec<u8>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut lines = Lines::new(input, KEY_LINE_MAX);
    let mut line = Vec::new();
    loop {
        let read = lines.read(&mut line);
        let number = lines.number();
        let bad = |why: String| Failure::Work(format!("standard input, line {number}: {why}"));
        match read.map_err(|error| bad(error.to_string()))? {
            Line::End => return Ok(()),
            Line::TooLong => return Err(bad(format!("longer than {KEY_LINE_MAX} bytes"))),
            Line::Whole => {}
        }
        let mut key = Vec::with_capacity(line.len());
        if is_hex {
            key = hex::decode(&line).map_err(|error| bad(format!("not hexadecimal: {error}")))?;
        } else {
            escape::decode(&line, &mut key).map_err(bad)?;
        }
        each(key)?;
    }
}

/// Hexadecimal text from elsewhere than the arguments.
pub(crate) fn hex_text(text: &[u8]) -> Result<Vec<u8>, Failure> {
    hex::decode(text)
        .map_err(|error| Failure::Work(format!("the value is not hexadecimal: {error}")))
}
