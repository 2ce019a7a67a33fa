//! The anagrams in a list of words: a bulk load that groups words by their sorted letters.
//!
//! `cargo run --release --example group -- INDEX < WORDS`
#![allow(clippy::disallowed_methods, dead_code, reason = "it writes to standard output")]

use std::error::Error;
use std::io::{BufRead, Write};
use std::path::Path;

use splitpoint::{Index, Options};

/// The letters of a word, sorted.
fn letters(word: &str) -> String {
    let mut letters: Vec<char> = word.to_lowercase().chars().collect();
    letters.sort_unstable();
    letters.into_iter().collect()
}

/// Groups the words, one on each line; a group is its words with spaces between, as they came.
pub(crate) fn group(words: impl BufRead, path: &Path) -> Result<Index, Box<dyn Error>> {
    let loader = Options::new().bulk_load(path)?.replace()?;
    let mut loader = loader.merge_with(|group, word| {
        group.push(b' ');
        group.extend_from_slice(word);
    })?;
    for word in words.lines() {
        let word = word?;
        loader.insert(letters(&word), word)?;
    }
    Ok(loader.finish()?)
}

/// Writes the groups of more than one word.
pub(crate) fn print(index: &Index, mut to: impl Write) -> Result<(), Box<dyn Error>> {
    for record in index.iter()? {
        let (_, group) = record?;
        if group.contains(&b' ') {
            to.write_all(&[&group, &b"\n"[..]].concat())?;
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("group INDEX < WORDS")?;
    let index = group(std::io::stdin().lock(), Path::new(&path))?;
    print(&index, std::io::BufWriter::new(std::io::stdout().lock()))?;
    Ok(index.close()?)
}
