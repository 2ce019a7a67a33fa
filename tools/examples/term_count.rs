//! How often each word stands in a text of any size: `sort | uniq -c` through a bulk load.
//!
//! `cargo run --release --example term_count -- INDEX < TEXT`
#![allow(clippy::disallowed_methods, dead_code, reason = "it writes to standard output")]

use std::error::Error;
use std::io::{BufRead, Write};
use std::path::Path;

use splitpoint::{Index, Options};

fn number(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Counts what white space separates.
pub(crate) fn count(text: impl BufRead, path: &Path) -> Result<Index, Box<dyn Error>> {
    let loader = Options::new().value_size(Some(8)).bulk_load(path)?.replace()?;
    let mut loader = loader.merge_with(|sum, more| {
        let new = number(sum) + number(more);
        sum.copy_from_slice(&new.to_le_bytes());
    })?;
    for line in text.split(b'\n') {
        for word in line?.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
            loader.insert(word, 1_u64.to_le_bytes())?;
        }
    }
    Ok(loader.finish()?)
}

/// Writes counts and words, as `uniq -c` does.
pub(crate) fn print(index: &Index, mut to: impl Write) -> Result<(), Box<dyn Error>> {
    for record in index.iter()? {
        let (word, count) = record?;
        write!(to, "{:7} ", number(&count))?;
        to.write_all(&[&word, &b"\n"[..]].concat())?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("term_count INDEX < TEXT")?;
    let index = count(std::io::stdin().lock(), Path::new(&path))?;
    print(&index, std::io::BufWriter::new(std::io::stdout().lock()))?;
    Ok(index.close()?)
}
