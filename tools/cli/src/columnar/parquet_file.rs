//! A Parquet file: its footer, and the chosen columns in batches. Knows nothing of cells.

use std::fs::File as Handle;
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::RecordBatch;
use arrow_schema::Schema;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::basic::Type;
use parquet::file::metadata::ColumnChunkMetaData;

use super::Batches;

/// Bytes of a batch, about, and rows at most.
const BATCH_LEN: u64 = 4 << 20;
const BATCH_ROWS_MAX: u64 = 8192;
/// What a text is taken for if the footer does not say how long they are when decoded: a few bytes
/// of a page may stand for a long one, so the page's length says nothing. It makes batches of 64
/// rows, which costs little for short texts, and keeps long ones within the limit.
const UNKNOWN_LEN: u64 = 64 << 10;

/// A file whose footer has been read.
pub(super) struct File {
    builder: ParquetRecordBatchReaderBuilder<Handle>,
    len: u64,
    read: Arc<AtomicU64>,
}

impl File {
    pub(super) fn open(mut file: Handle, read: Arc<AtomicU64>) -> Result<File, String> {
        let len = file.metadata().map_err(|error| error.to_string())?.len();
        check_frame(&mut file, len).map_err(|error| error.to_string())??;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file);
        let builder = builder.map_err(|error| format!("damaged: {error}"))?;
        Ok(File { builder, len, read })
    }

    pub(super) fn schema(&self) -> Arc<Schema> {
        Arc::clone(self.builder.schema())
    }

    /// The batches, of these columns only, of `batch_max` bytes at most as far as the footer tells.
    pub(super) fn batches(self, mut chosen: Vec<usize>, batch_max: u64) -> Result<Reader, String> {
        chosen.sort_unstable();
        let File { builder, len, read } = self;
        let mask = ProjectionMask::roots(builder.parquet_schema(), chosen);
        let (mut mean, mut rows) = (1_u64, 0_u64);
        for group in builder.metadata().row_groups() {
            let in_group = u64::try_from(group.num_rows()).unwrap_or(0);
            rows = rows.saturating_add(in_group);
            let used = group.columns().iter().enumerate();
            let used = used.filter(|(leaf, _)| mask.leaf_included(*leaf));
            let bytes = used.map(|(_, column)| decoded_len(column, in_group));
            let bytes = bytes.fold(0, u64::saturating_add);
            // A batch is of the rows of one group, about: each group counts for itself.
            mean = mean.max(bytes / in_group.max(1) + 1);
        }
        let batch_rows = (BATCH_LEN.min(batch_max) / mean).clamp(1, BATCH_ROWS_MAX);
        let batch_rows = usize::try_from(batch_rows).unwrap_or(1);
        let reader = builder.with_projection(mask).with_batch_size(batch_rows).build();
        let reader = reader.map_err(|error| format!("damaged: {error}"))?;
        Ok(Reader { reader, len, rows, done: 0, read })
    }
}

/// The bytes that a column of a row group takes in batches, as far as the footer tells.
fn decoded_len(column: &ColumnChunkMetaData, rows: u64) -> u64 {
    let number = |number: i64| u64::try_from(number).unwrap_or(0);
    let count = number(column.num_values());
    let decoded = match column.column_type() {
        Type::BYTE_ARRAY => match column.unencoded_byte_array_data_bytes() {
            Some(len) => number(len).saturating_add(count.saturating_mul(4)),
            None => rows.saturating_mul(UNKNOWN_LEN),
        },
        Type::FIXED_LEN_BYTE_ARRAY => {
            count.saturating_mul(number(column.column_descr().type_length().into()))
        }
        Type::BOOLEAN => count,
        Type::INT32 | Type::FLOAT => count.saturating_mul(4),
        Type::INT64 | Type::DOUBLE => count.saturating_mul(8),
        Type::INT96 => count.saturating_mul(12),
    };
    decoded.max(number(column.uncompressed_size()))
}

/// The batches of a file.
pub(super) struct Reader {
    reader: ParquetRecordBatchReader,
    len: u64,
    rows: u64,
    done: u64,
    read: Arc<AtomicU64>,
}

impl Batches for Reader {
    fn next(&mut self) -> Result<Option<RecordBatch>, String> {
        let Some(batch) = self.reader.next() else {
            if self.done != self.rows {
                return Err(format!(
                    "damaged: it ends after {} rows, its footer has {}",
                    self.done, self.rows
                ));
            }
            return Ok(None);
        };
        let batch = batch.map_err(|error| format!("damaged: {error}"))?;
        self.done += batch.num_rows() as u64;
        let used = u128::from(self.len) * u128::from(self.done) / u128::from(self.rows.max(1));
        self.read.store(u64::try_from(used).unwrap_or(self.len), Ordering::Relaxed);
        Ok(Some(batch))
    }
}

/// The first and last bytes say what it is.
fn check_frame(file: &mut Handle, len: u64) -> std::io::Result<Result<(), String>> {
    let mut start = [0; 4];
    let mut end = [0; 4];
    if len < 12 {
        return Ok(Err("not a Parquet file: it has fewer than 12 bytes".to_owned()));
    }
    file.read_exact(&mut start)?;
    file.seek(SeekFrom::End(-4))?;
    file.read_exact(&mut end)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(match (&start, &end) {
        (b"PARE", _) | (_, b"PARE") => {
            Err("an encrypted Parquet file, which cannot be read here".to_owned())
        }
        (b"PAR1", b"PAR1") => Ok(()),
        (b"PAR1", _) => Err("a Parquet file that is cut off: it does not end with PAR1".to_owned()),
        _ => Err("not a Parquet file: it does not begin with PAR1".to_owned()),
    })
}
