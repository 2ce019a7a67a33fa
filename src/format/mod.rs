//! Proof that FORMAT.md and the code agree: its tables are read and compared with what the code
//! encodes and decodes, its hex lines with the golden files, and those with what the code writes.
//!
//! Tests only. A table is a block of lines under the words OFFSET SIZE NAME, or BIT COUNT NAME,
//! and bears the name of the heading above it.

mod golden;
mod tables;

const DOCUMENT: &str = include_str!("../../FORMAT.md");

/// A line of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// In bytes; in bits where the table says BIT.
    pub(crate) offset: usize,
    pub(crate) size: usize,
    pub(crate) name: &'static str,
}

impl Row {
    pub(crate) fn range(&self) -> std::ops::Range<usize> {
        self.offset..self.offset + self.size
    }
}

/// The rows of the table under a heading.
pub(crate) fn table(heading: &str) -> Vec<Row> {
    let is_it = |line: &str| line.starts_with('#') && line.trim_matches(['#', ' ']) == heading;
    let mut lines = DOCUMENT.lines().skip_while(|line| !is_it(line));
    assert!(lines.next().is_some(), "FORMAT.md has no heading {heading:?}");
    let mut words = lines
        .take_while(|line| !line.starts_with('#'))
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let is_head = |line: &Vec<&str>| {
        matches!(line.as_slice(), ["OFFSET", "SIZE", "NAME", ..] | ["BIT", "COUNT", "NAME", ..])
    };
    assert!(words.any(|line| is_head(&line)), "no table under {heading:?}");
    let rows: Vec<Row> = words
        .take_while(|line| line.first() != Some(&"```"))
        .map(|line| Row {
            offset: line[0].parse().expect("an offset"),
            size: line[1].parse().expect("a size"),
            name: line[2],
        })
        .collect();
    assert!(!rows.is_empty(), "the table under {heading:?} is empty");
    rows
}

/// Checks that the rows cover `size` bytes without gap or overlap.
pub(crate) fn check_cover(heading: &str, size: usize) {
    let mut end = 0;
    for row in table(heading) {
        assert_eq!(row.offset, end, "{heading}: {}", row.name);
        end = row.range().end;
    }
    assert_eq!(end, size, "{heading}");
}

/// A number whose bytes differ from one another and from zero.
pub(crate) const MARK: u64 = 0x8877_6655_4433_2211;

/// Checks one row against two encodings that differ in its field only: the second has the low
/// bytes of [`MARK`] there. All other bytes are the same but those of the rows in `follow`, which
/// depend on every byte or on this field.
pub(crate) fn check_field(rows: &[Row], name: &str, follow: &[&str], base: &[u8], marked: &[u8]) {
    check_bytes(rows, name, follow, base, (marked, &MARK.to_le_bytes()));
}

/// As [`check_field`], with the bytes that the second encoding begins with there.
pub(crate) fn check_bytes(
    rows: &[Row],
    name: &str,
    follow: &[&str],
    base: &[u8],
    (marked, mark): (&[u8], &[u8]),
) {
    let find = |name: &str| rows.iter().find(|row| row.name == name).expect("a row of the table");
    let row = find(name);
    assert_eq!(base.len(), marked.len());
    assert_eq!(marked[row.range()], mark[..row.size], "{name}: another place or size");
    for at in 0..base.len() {
        let expected =
            row.range().contains(&at) || follow.iter().any(|name| find(name).range().contains(&at));
        assert!(expected || base[at] == marked[at], "{name}: byte {at} changed too");
    }
}

/// The lines of hex in the document: offset and bytes, of the block that follows these words.
pub(crate) fn hex_lines(after: &str) -> Vec<(usize, Vec<u8>)> {
    let lines = DOCUMENT.lines().skip_while(|line| !line.contains(after));
    let block = lines.skip_while(|line| !line.starts_with("```")).skip(1);
    let lines: Vec<_> = block
        .take_while(|line| !line.starts_with("```"))
        .filter_map(|line| {
            let (offset, rest) = line.split_at_checked(6)?;
            let offset = usize::from_str_radix(offset, 16).ok()?;
            let rest = rest.split("  ").find(|part| !part.is_empty()).unwrap_or_default();
            let bytes = rest.split_whitespace().map(|byte| u8::from_str_radix(byte, 16));
            Some((offset, bytes.collect::<Result<_, _>>().expect("bytes in hex")))
        })
        .collect();
    assert!(!lines.is_empty(), "no hex lines after {after:?}");
    lines
}
