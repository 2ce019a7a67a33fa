//! Lines of bytes, each held only up to a limit. Knows nothing of what they mean.

use std::io::{self, BufRead};

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A line, without its end.
    Whole,
    /// A line over the limit; it was passed over.
    TooLong,
    /// The end of the input.
    End,
}

/// Reads lines that end in `\n` or `\r\n`.
pub(crate) struct Lines<R> {
    input: R,
    number: u64,
    len_max: usize,
}

impl<R: BufRead> Lines<R> {
    /// Reads from `input`; a line may have `len_max` bytes.
    pub(crate) fn new(input: R, len_max: usize) -> Lines<R> {
        Lines { input, number: 0, len_max }
    }

    /// The number of the last line, from 1.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Reads the next line over `line`.
    pub(crate) fn read(&mut self, line: &mut Vec<u8>) -> io::Result<Line> {
        line.clear();
        let mut too_long = false;
        let mut started = false;
        loop {
            let buffer = match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                buffer => buffer?,
            };
            if buffer.is_empty() && !started {
                return Ok(Line::End);
            }
            if !started {
                started = true;
                self.number += 1;
            }
            let end = memchr::memchr(b'\n', buffer);
            let part = end.map_or(buffer, |end| buffer.get(..end).unwrap_or_default());
            // One more byte than the limit may be a `\r` that does not count.
            too_long |= line.len() + part.len() > self.len_max + 1;
            if !too_long {
                line.extend_from_slice(part);
            }
            let ended = end.is_some() || buffer.is_empty();
            let used = part.len() + usize::from(end.is_some());
            self.input.consume(used);
            if ended {
                if end.is_some() && line.last() == Some(&b'\r') {
                    line.pop();
                }
                let fits = !too_long && line.len() <= self.len_max;
                return Ok(if fits { Line::Whole } else { Line::TooLong });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    fn all(text: &str, len_max: usize, buffer_size: usize) -> Vec<Option<String>> {
        let mut lines = Lines::new(BufReader::with_capacity(buffer_size, text.as_bytes()), len_max);
        let (mut out, mut line) = (Vec::new(), Vec::new());
        loop {
            match lines.read(&mut line).unwrap() {
                Line::End => return out,
                Line::TooLong => out.push(None),
                Line::Whole => out.push(Some(String::from_utf8(line.clone()).unwrap())),
            }
        }
    }

    #[test]
    fn lines_end_in_three_ways_and_long_ones_are_passed_over() {
        for buffer_size in 1..20 {
            let some = |text: &str| Some(text.to_owned());
            assert_eq!(all("", 4, buffer_size), []);
            assert_eq!(all("\n\r\n", 4, buffer_size), [some(""), some("")]);
            assert_eq!(
                all("a\r\nb\rc\nd\r", 4, buffer_size),
                [some("a"), some("b\rc"), some("d\r")]
            );
            let long = all("abcd\nabcde\nabcd\r\nabcdef\r\nx", 4, buffer_size);
            assert_eq!(long, [some("abcd"), None, some("abcd"), None, some("x")]);
        }
    }
}
