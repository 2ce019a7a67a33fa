//! Apache Parquet and Arrow IPC: record batches, a row at a time. Knows nothing of the index.
//!
//! The crates that decode are asked for one batch at a time, of a few MiB (Parquet) or as it was
//! written (Arrow, within a limit). If they panic over damaged bytes, that is an error like others.

mod cells;
mod ipc;
mod parquet_file;

use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::Once;
use std::sync::atomic::AtomicU64;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Schema};

use self::cells::{Cells, Width};
use crate::columns::{Choice, Columns, Places};
use crate::formats::{Numbers, Record, Source, Step};

/// How columns become keys and values.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) columns: Choice,
    pub(crate) numbers: Numbers,
    /// What stands for a null in a value column; without it, a null is not a record.
    pub(crate) null: Option<String>,
    pub(crate) record_max: usize,
    /// The most bytes that a batch may take.
    pub(crate) batch_max: u64,
}

/// Opens a Parquet file; `read` hears how much of it has been used, in bytes.
pub(crate) fn parquet(
    file: std::fs::File,
    reading: &Reading,
    read: Arc<AtomicU64>,
) -> Result<Box<dyn Source>, String> {
    guarded(|| {
        let file = parquet_file::File::open(file, read)?;
        let schema = file.schema();
        let (rows, chosen) = Rows::new(&schema, reading)?;
        Ok(Box::new(rows.of(Box::new(file.batches(chosen, reading.batch_max)?))) as Box<dyn Source>)
    })
}

/// Opens Arrow IPC: a stream, or a file, which is a stream in a frame. `tail` is the last bytes of
/// a file, and its length.
pub(crate) fn arrow(
    input: Box<dyn Read + Send>,
    tail: Option<([u8; 10], u64)>,
    reading: &Reading,
) -> Result<Box<dyn Source>, String> {
    guarded(|| {
        let stream = ipc::Stream::open(input, tail, reading.batch_max)?;
        let schema = stream.schema();
        let (rows, _) = Rows::new(&schema, reading)?;
        Ok(Box::new(rows.of(Box::new(stream))) as Box<dyn Source>)
    })
}

/// Gives batches.
trait Batches: Send {
    /// The next one, or nothing at the end.
    fn next(&mut self) -> Result<Option<RecordBatch>, String>;
}

/// How the bytes of several value columns are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// As in every table: one as it is, several escaped as in TSV and joined by tabs.
    Joined,
    /// One behind another: each has a fixed size.
    Packed,
}

/// Rows of batches as records.
struct Rows {
    batches: Option<Box<dyn Batches>>,
    key: String,
    values: Vec<String>,
    /// As the index's metadata have them.
    columns: Columns,
    layout: Layout,
    reading: Reading,
    /// The batch at hand, and its next row.
    batch: Option<Batch>,
    row: usize,
    place: u64,
    /// The bytes of each value column, kept for their memory.
    fields: Vec<Vec<u8>>,
}

/// The columns of a batch that are used.
struct Batch {
    len: usize,
    key: Cells,
    values: Vec<Cells>,
}

impl Rows {
    /// Chooses the columns, and says which of the schema they are.
    fn new(schema: &Schema, reading: &Reading) -> Result<(Rows, Vec<usize>), String> {
        let header = schema.fields().iter().map(|field| field.name().clone().into_bytes());
        let (mut columns, Places { key, values, .. }) =
            Columns::from_header(header.collect(), &reading.columns)?;
        let mut widths = Vec::new();
        for &place in std::iter::once(&key).chain(&values) {
            let field = schema.field(place);
            let width = cells::width(field.data_type(), reading.numbers);
            widths.push(width.map_err(|why| format!("column {:?} {why}", field.name()))?);
        }
        let (name, names) = (columns.key.clone(), columns.values.clone());
        let is_packed = reading.numbers == Numbers::Raw && values.len() > 1;
        if is_packed {
            let loose = widths.iter().skip(1).position(|width| *width == Width::Any);
            if let Some(loose) = loose.and_then(|at| names.get(at)) {
                return Err(format!(
                    "column {loose:?} has values of any length; with --numbers raw several columns \
                     stand one behind another, so each must have a fixed size: choose one with \
                     --value, or leave out --numbers raw"
                ));
            }
            columns.values = vec![names.join("+")];
        }
        let rows = Rows {
            batches: None,
            key: name,
            fields: vec![Vec::new(); names.len()],
            values: names,
            columns,
            layout: if is_packed { Layout::Packed } else { Layout::Joined },
            reading: reading.clone(),
            batch: None,
            row: 0,
            place: 0,
        };
        Ok((rows, std::iter::once(key).chain(values).collect()))
    }

    fn of(self, batches: Box<dyn Batches>) -> Rows {
        Rows { batches: Some(batches), ..self }
    }

    /// Goes on to the next batch that has a row; `false` at the end.
    fn advance(&mut self) -> Result<bool, String> {
        while self.batch.as_ref().is_none_or(|batch| self.row >= batch.len) {
            self.batch = None;
            let Some(batches) = &mut self.batches else { return Ok(false) };
            let numbers = self.reading.numbers;
            let found = guarded(|| {
                let Some(batch) = batches.next()? else { return Ok(None) };
                let cells = |name: &String| {
                    let array = batch.column_by_name(name);
                    let array = array.ok_or_else(|| format!("a batch without column {name:?}"))?;
                    Cells::of(array, numbers).map_err(|why| format!("column {name:?} {why}"))
                };
                let values = self.values.iter().map(cells).collect::<Result<_, String>>()?;
                Ok(Some(Batch { len: batch.num_rows(), key: cells(&self.key)?, values }))
            });
            match found {
                Ok(Some(batch)) => (self.batch, self.row) = (Some(batch), 0),
                Ok(None) => self.batches = None,
                Err(why) => {
                    // Whatever panicked is not asked again.
                    self.batches = None;
                    return Err(format!("after row {}: {why}", self.place));
                }
            }
        }
        Ok(true)
    }

    /// The record of a row, or why there is none.
    fn record(&mut self, row: usize, record: &mut Record) -> Result<(), String> {
        let Some(batch) = &self.batch else { return Ok(()) };
        record.key.clear();
        record.value.clear();
        let key = &self.key;
        match batch.key.write(row, &mut record.key) {
            Ok(true) => {}
            Ok(false) => return Err(format!("the key, column {key:?}, is null")),
            Err(why) => return Err(format!("column {key:?}: {why}")),
        }
        let columns = batch.values.iter().zip(&self.values).zip(&mut self.fields);
        for ((cells, name), field) in columns {
            field.clear();
            match (cells.write(row, field), &self.reading.null) {
                (Ok(true), _) => {}
                (Ok(false), Some(null)) => field.extend_from_slice(null.as_bytes()),
                (Ok(false), None) => {
                    return Err(match self.reading.numbers {
                        Numbers::Text => format!(
                            "column {name:?} is null; --null TEXT says what is to stand for it"
                        ),
                        Numbers::Raw => format!("column {name:?} is null"),
                    });
                }
                (Err(why), _) => return Err(format!("column {name:?}: {why}")),
            }
        }
        match self.layout {
            Layout::Joined => {
                Columns::join(self.fields.iter().map(Vec::as_slice), &mut record.value);
            }
            Layout::Packed => {
                self.fields.iter().for_each(|field| record.value.extend_from_slice(field));
            }
        }
        let len = record.key.len() + record.value.len();
        match len > self.reading.record_max {
            true => Err(format!("{len} bytes, more than a record may have (--record-max)")),
            false => Ok(()),
        }
    }
}

impl Source for Rows {
    fn columns(&self) -> Option<&Columns> {
        Some(&self.columns)
    }

    fn unit(&self) -> &'static str {
        "row"
    }

    fn place(&self) -> u64 {
        self.place
    }

    fn next(&mut self, record: &mut Record) -> Result<Step, String> {
        if !self.advance()? {
            return Ok(Step::End);
        }
        let row = self.row;
        self.row += 1;
        self.place += 1;
        Ok(match self.record(row, record) {
            Ok(()) => Step::Record,
            Err(why) => Step::Bad(why),
        })
    }
}

/// Whether values of this type are numbers, which stand as text or as bytes.
fn is_number(data_type: &DataType) -> bool {
    data_type.is_primitive() || *data_type == DataType::Boolean
}

thread_local! {
    /// Whether a panic of this thread is an answer to damaged bytes.
    static IS_GUARDED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Runs what decodes; a panic becomes an error, and nothing else is printed about it.
fn guarded<T>(run: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !IS_GUARDED.get() {
                usual(panic);
            }
        }));
    });
    let before = IS_GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    IS_GUARDED.set(before);
    result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("damaged: {}", text.unwrap_or("it cannot be decoded")))
    })
}
