//! The tool's text formats: what is found does not depend on how the input arrives, no record is
//! over the limit, and what was read can be written and read again.

use std::io::{BufReader, Cursor};

use crate::columns::{Choice, Columns};
use crate::formats::{Encoding, Format, Reading, Record, SinkError, Step, sink, source};

const RECORD_MAX: usize = 96;

/// What a reader found, to its end.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    columns: Option<Columns>,
    steps: Vec<(u64, Result<Record, String>)>,
    end: Result<(), String>,
}

/// The first byte chooses format and encoding, the second the size of the buffer.
pub(crate) fn run(data: &[u8]) {
    let Some((&[how, buffer_size], text)) = data.split_first_chunk::<2>() else { return };
    let format = match how % 4 {
        0 => Format::Tsv,
        1 => Format::Csv,
        2 => Format::Jsonl,
        _ => Format::Pairs,
    };
    let encoding = match how / 4 % 3 {
        0 => Encoding::Utf8,
        1 => Encoding::Hex,
        _ => Encoding::Base64,
    };
    let key = (how >= 128).then(|| "k".to_owned());
    let whole = read(format, encoding, key.clone(), text, 1 << 16);
    let parts = read(format, encoding, key, text, 1 + usize::from(buffer_size % 32));
    assert_eq!(whole, parts, "it does not depend on how the input arrives");
    let places = whole.steps.iter().map(|(place, _)| *place);
    assert!(places.is_sorted_by(|a, b| a < b), "places rise");
    let records: Vec<&Record> = whole.steps.iter().flat_map(|(_, step)| step).collect();
    // Escapes may make a value of several columns longer than the text that it was read from.
    let most = if format.has_header() { 2 * RECORD_MAX } else { RECORD_MAX };
    assert!(records.iter().all(|record| record.key.len() + record.value.len() <= most));
    if let Some(columns) = &whole.columns
        && let Ok(metadata) = columns.to_metadata()
    {
        assert_eq!(Columns::from_metadata(&metadata).as_ref(), Some(columns));
    }
    for to in [Format::Tsv, Format::Csv, Format::Jsonl, Format::Pairs] {
        write_and_read(to, encoding, whole.columns.as_ref(), &records);
    }
    let _ = Columns::from_metadata(text);
}

fn read(
    format: Format,
    encoding: Encoding,
    key_column: Option<String>,
    text: &[u8],
    buffer_size: usize,
) -> Found {
    read_to(format, encoding, key_column, text, buffer_size, RECORD_MAX)
}

fn read_to(
    format: Format,
    encoding: Encoding,
    key_column: Option<String>,
    text: &[u8],
    buffer_size: usize,
    record_max: usize,
) -> Found {
    let input = Box::new(BufReader::with_capacity(buffer_size, Cursor::new(text.to_vec())));
    let columns = Choice { key: key_column, values: None };
    let reading = Reading { format, encoding, columns, record_max };
    let mut found = Found { columns: None, steps: Vec::new(), end: Ok(()) };
    let mut source = match source(input, &reading) {
        Ok(source) => source,
        Err(why) => return Found { end: Err(why), ..found },
    };
    found.columns = source.columns().cloned();
    loop {
        let mut record = Record::default();
        let step = source.next(&mut record);
        let place = source.place();
        match step {
            Ok(Step::Record) => found.steps.push((place, Ok(record))),
            Ok(Step::Bad(why)) => found.steps.push((place, Err(why))),
            Ok(Step::End) => return found,
            Err(why) => return Found { end: Err(why), ..found },
        }
    }
}

/// Writes records in a format, and reads them again as they were.
fn write_and_read(to: Format, encoding: Encoding, columns: Option<&Columns>, records: &[&Record]) {
    let columns = columns.cloned().unwrap_or_else(Columns::unnamed);
    let key = columns.key.clone();
    let mut output = Vec::new();
    let mut written = Vec::new();
    {
        let Ok(mut sink) = sink(&mut output, to, encoding, columns) else { return };
        for record in records {
            match sink.write(&record.key, &record.value) {
                Ok(()) => written.push(*record),
                Err(SinkError::Record(_)) => {}
                Err(SinkError::Io(error)) => panic!("writing to memory: {error}"),
            }
        }
    }
    let key = to.has_header().then_some(key);
    let again = read_to(to, encoding, key, &output, 1 << 16, 1 << 20);
    assert_eq!(again.end, Ok(()), "what was written can be read: {}", output.escape_ascii());
    let again: Vec<&Record> = again.steps.iter().map(|(_, step)| step.as_ref().unwrap()).collect();
    assert_eq!(again, written, "{to:?}: {}", output.escape_ascii());
}
