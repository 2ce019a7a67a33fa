//! Values of one length into the rows of a matrix: the call under a lookup of embeddings.

use super::{Index, value};
use crate::error::{Error, Result};
use crate::table::many::ValueUse;

impl Index {
    /// Copies the values of many keys into the rows of a matrix, one row of `row_len` bytes for
    /// each key, in the keys' order; returns how many were there. A key that is not there leaves a
    /// row of zeros, and `found` says so. This is the fastest way to gather values of one length:
    /// pages, records and values of many keys are on their way to the processor at once. Each value
    /// was current at some moment of the call; together they are no snapshot.
    ///
    /// Numbers are stored in the byte order that the writer chose. For a table of little-endian
    /// `f32`s:
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// const DIMENSIONS: usize = 4;
    /// let index = splitpoint::Index::open(folder.path().join("embeddings"))?;
    /// let vector = [0.5_f32, -1.0, 2.0, 0.25].map(f32::to_le_bytes);
    /// index.insert("item:1", vector.as_flattened())?;
    ///
    /// // One request: all its keys, one call. The buffers can be used again for the next.
    /// let keys = ["item:1", "item:2"];
    /// let mut rows = vec![0; keys.len() * DIMENSIONS * 4];
    /// let mut found = vec![false; keys.len()];
    /// let count = index.get_many_into(&keys, DIMENSIONS * 4, &mut rows, &mut found)?;
    /// assert_eq!((count, found), (1, vec![true, false]));
    ///
    /// let matrix: Vec<f32> = rows
    ///     .as_chunks::<4>().0
    ///     .iter()
    ///     .map(|bytes| f32::from_le_bytes(*bytes))
    ///     .collect();
    /// assert_eq!(matrix, [0.5, -1.0, 2.0, 0.25, 0.0, 0.0, 0.0, 0.0]);
    /// # index.close()?; Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::RowBuffer`] if `rows` has not `row_len` bytes for each key or `found` not a place
    /// for each; [`Error::RowSize`] for a value of another length, with the row; as [`Index::get`]
    /// for any of the keys. After an error `rows` and `found` have no meaning.
    pub fn get_many_into(
        &self,
        keys: &[impl AsRef<[u8]>],
        row_len: usize,
        rows: &mut [u8],
        found: &mut [bool],
    ) -> Result<usize> {
        self.check_keys(keys)?;
        check_buffer("rows", rows.len(), keys.len().checked_mul(row_len))?;
        check_buffer("found", found.len(), Some(keys.len()))?;
        let mut hits = 0;
        // Rows of no bytes are not chunks of anything.
        let mut rows = rows.chunks_exact_mut(row_len.max(1));
        let result = value::find_many(self.shared(), keys, ValueUse::Copy(row_len), |i, value| {
            let row = rows.next().unwrap_or_default();
            match value {
                Some(value) if value.len() == row.len() => row.copy_from_slice(value),
                Some(value) => {
                    let (len, expected) = (value.len() as u64, row_len as u64);
                    return Err(Error::RowSize { row: i, len, expected });
                }
                None => row.fill(0),
            }
            hits += usize::from(value.is_some());
            if let Some(found) = found.get_mut(i) {
                *found = value.is_some();
            }
            Ok(())
        });
        if result.is_ok() {
            self.inner().counters.note_gets(hits as u64, (keys.len() - hits) as u64);
        }
        result.map(|()| hits)
    }
}

fn check_buffer(buffer: &'static str, len: usize, expected: Option<usize>) -> Result<()> {
    if Some(len) == expected {
        return Ok(());
    }
    let expected = expected.map_or(u64::MAX, |expected| expected as u64);
    Err(Error::RowBuffer { buffer, len: len as u64, expected })
}
