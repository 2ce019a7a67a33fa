//! The cells of a column as bytes: text and binary as they are; numbers as text, or as their
//! little-endian bytes; lists of numbers as the bytes of their elements. Knows nothing of rows.

use std::io::Write;
use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowTemporalType, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type,
};
use arrow_array::types::{Float16Type, Float32Type, Float64Type};
use arrow_array::{
    Array, ArrayRef, PrimitiveArray, downcast_integer_array, downcast_temporal_array,
};
use arrow_buffer::{ArrowNativeType, Buffer, NullBuffer};
use arrow_schema::DataType;

use super::is_number;
use crate::formats::Numbers;

/// How long a column's cells are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    Fixed,
    Any,
}

/// Whether a column of this type can be used, and how long its cells are.
pub(super) fn width(data_type: &DataType, numbers: Numbers) -> Result<Width, String> {
    let is_raw = numbers == Numbers::Raw;
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Ok(Width::Any),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Ok(Width::Any),
        DataType::FixedSizeBinary(_) => Ok(Width::Fixed),
        DataType::Dictionary(_, of) => width(of, numbers),
        DataType::FixedSizeList(of, _) if is_number(of.data_type()) => match is_raw {
            true => Ok(Width::Fixed),
            false => Err(no_text(data_type)),
        },
        DataType::List(of) | DataType::LargeList(of) if is_number(of.data_type()) => match is_raw {
            true => Ok(Width::Any),
            false => Err(no_text(data_type)),
        },
        DataType::Interval(_)
        | DataType::Duration(_)
        | DataType::Time32(_)
        | DataType::Time64(_)
            if !is_raw =>
        {
            Err(no_text(data_type))
        }
        _ if is_number(data_type) => Ok(if is_raw { Width::Fixed } else { Width::Any }),
        _ => Err(format!(
            "is {data_type}, which is neither text, bytes, numbers nor lists of numbers; choose \
             other columns with --key and --value"
        )),
    }
}

fn no_text(data_type: &DataType) -> String {
    format!(
        "is {data_type}, which has no text form here; --numbers raw stores its bytes, --value \
         chooses other columns"
    )
}

/// The cells of a column in a batch.
pub(super) struct Cells {
    array: ArrayRef,
    nulls: Option<NullBuffer>,
    form: Form,
}

/// How a cell becomes bytes.
enum Form {
    /// What the array has.
    Bytes,
    /// The bytes of numbers.
    Raw(Raw),
    /// The bytes of the elements of a list.
    List(Raw),
    /// The text of numbers.
    Text,
    /// That of the cell that a key names. It is looked up when a row is written: all rows at once
    /// would take many times the batch's memory if a long value stands in many of them.
    Dictionary { keys: ArrayRef, values: Box<Cells> },
}

/// The bytes of numbers.
struct Raw {
    bytes: Buffer,
    width: usize,
    nulls: Option<NullBuffer>,
}

impl Raw {
    fn of(array: &dyn Array) -> Result<Raw, String> {
        let nulls = array.nulls().cloned();
        if let Some(flags) = array.as_boolean_opt() {
            let bytes = flags.values().iter().map(u8::from).collect::<Vec<u8>>();
            return Ok(Raw { bytes: Buffer::from_vec(bytes), width: 1, nulls });
        }
        let width = array.data_type().primitive_width().ok_or("has no width")?;
        let data = array.to_data();
        let buffer = data.buffers().first().ok_or("has no bytes")?;
        let bytes = buffer.slice_with_length(data.offset() * width, data.len() * width);
        Ok(Raw { bytes, width, nulls })
    }

    /// Appends the numbers of a range.
    fn write(&self, range: Range<usize>, to: &mut Vec<u8>) -> Result<(), String> {
        if let Some(nulls) = &self.nulls {
            let null = range.clone().position(|place| nulls.is_null(place));
            if let Some(place) = null {
                return Err(format!("element {} of the list is null", place + 1));
            }
        }
        let bytes = self.bytes.get(range.start * self.width..range.end * self.width);
        let bytes = bytes.ok_or("the list is longer than its elements")?;
        let start = to.len();
        to.extend_from_slice(bytes);
        if cfg!(target_endian = "big") {
            let written = to.get_mut(start..).unwrap_or_default();
            written.chunks_mut(self.width.max(1)).for_each(<[u8]>::reverse);
        }
        Ok(())
    }
}

impl Cells {
    pub(super) fn of(array: &ArrayRef, numbers: Numbers) -> Result<Cells, String> {
        width(array.data_type(), numbers)?;
        let form = match array.data_type() {
            DataType::Dictionary(..) => {
                let dictionary = array.as_any_dictionary();
                let keys = dictionary.keys().slice(0, array.len());
                Form::Dictionary {
                    keys,
                    values: Box::new(Cells::of(dictionary.values(), numbers)?),
                }
            }
            DataType::List(_) => Form::List(Raw::of(array.as_list::<i32>().values())?),
            DataType::LargeList(_) => Form::List(Raw::of(array.as_list::<i64>().values())?),
            DataType::FixedSizeList(..) => {
                Form::List(Raw::of(array.as_fixed_size_list().values())?)
            }
            of if is_number(of) && numbers == Numbers::Raw => Form::Raw(Raw::of(array)?),
            of if is_number(of) => Form::Text,
            _ => Form::Bytes,
        };
        Ok(Cells { nulls: array.logical_nulls(), form, array: ArrayRef::clone(array) })
    }

    /// Appends a cell; `false` if it is null.
    pub(super) fn write(&self, row: usize, to: &mut Vec<u8>) -> Result<bool, String> {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            return Ok(false);
        }
        match &self.form {
            Form::Bytes => to.extend_from_slice(self.bytes(row)),
            Form::Raw(raw) => raw.write(row..row + 1, to)?,
            Form::List(raw) => raw.write(self.range(row)?, to)?,
            Form::Text => self.text(row, to)?,
            Form::Dictionary { keys, values } => {
                let key = key(keys, row).filter(|key| *key < values.array.len());
                return values.write(key.ok_or("a key that its dictionary has not")?, to);
            }
        }
        Ok(true)
    }

    fn bytes(&self, row: usize) -> &[u8] {
        match self.array.data_type() {
            DataType::Utf8 => self.array.as_string::<i32>().value(row).as_bytes(),
            DataType::LargeUtf8 => self.array.as_string::<i64>().value(row).as_bytes(),
            DataType::Utf8View => self.array.as_string_view().value(row).as_bytes(),
            DataType::Binary => self.array.as_binary::<i32>().value(row),
            DataType::LargeBinary => self.array.as_binary::<i64>().value(row),
            DataType::BinaryView => self.array.as_binary_view().value(row),
            _ => self.array.as_fixed_size_binary().value(row),
        }
    }

    /// The elements of a list.
    fn range(&self, row: usize) -> Result<Range<usize>, String> {
        fn of<O: Copy + TryInto<usize>>(offsets: &[O], row: usize) -> Option<Range<usize>> {
            let (start, end) = (*offsets.get(row)?, *offsets.get(row + 1)?);
            Some(start.try_into().ok()?..end.try_into().ok()?)
        }
        let range = match self.array.data_type() {
            DataType::List(_) => of(self.array.as_list::<i32>().value_offsets(), row),
            DataType::LargeList(_) => of(self.array.as_list::<i64>().value_offsets(), row),
            _ => {
                let len = usize::try_from(self.array.as_fixed_size_list().value_length()).ok();
                len.map(|len| row * len..(row + 1) * len)
            }
        };
        range.ok_or_else(|| "the list is damaged".to_owned())
    }

    /// The text of a number, as the same table has it in csv.
    fn text(&self, row: usize, to: &mut Vec<u8>) -> Result<(), String> {
        let array = self.array.as_ref();
        match array.data_type() {
            DataType::Boolean => put(to, array.as_boolean().value(row)),
            DataType::Float16 => {
                put_float(to, array.as_primitive::<Float16Type>().value(row).to_f32())
            }
            DataType::Float32 => put_float(to, array.as_primitive::<Float32Type>().value(row)),
            DataType::Float64 => put_float(to, array.as_primitive::<Float64Type>().value(row)),
            DataType::Decimal32(..) => {
                put(to, array.as_primitive::<Decimal32Type>().value_as_string(row));
            }
            DataType::Decimal64(..) => {
                put(to, array.as_primitive::<Decimal64Type>().value_as_string(row));
            }
            DataType::Decimal128(..) => {
                put(to, array.as_primitive::<Decimal128Type>().value_as_string(row));
            }
            DataType::Decimal256(..) => {
                put(to, array.as_primitive::<Decimal256Type>().value_as_string(row));
            }
            _ if array.data_type().is_temporal() => return moment(array, row, to),
            _ => downcast_integer_array!(
                array => put(to, array.value(row)),
                other => return Err(no_text(other))
            ),
        }
        Ok(())
    }
}

/// The key of a row, as a place in the dictionary.
fn key(keys: &ArrayRef, row: usize) -> Option<usize> {
    let keys = keys.as_ref();
    downcast_integer_array!(
        keys => keys.value(row).to_usize(),
        _ => None
    )
}

fn put(to: &mut Vec<u8>, what: impl std::fmt::Display) {
    let _ = write!(to, "{what}");
}

/// The shortest text that is the same number when it is read again.
fn put_float(to: &mut Vec<u8>, number: impl std::fmt::Debug) {
    let _ = write!(to, "{number:?}");
}

/// A date, or a date and a time: `2024-05-01`, `2024-05-01T12:30:00.250`, with a `Z` behind it if
/// the column says in which zone its moments are shown (they are counted in UTC).
fn moment(array: &dyn Array, row: usize, to: &mut Vec<u8>) -> Result<(), String> {
    fn of<T: ArrowTemporalType>(
        array: &PrimitiveArray<T>,
        row: usize,
        to: &mut Vec<u8>,
    ) -> Option<()>
    where
        i64: From<T::Native>,
    {
        let at = array.value_as_datetime(row)?;
        match array.data_type() {
            DataType::Date32 => put(to, at.date()),
            _ => put_float(to, at),
        }
        Some(())
    }
    let written = downcast_temporal_array!(
        array => of(array, row, to),
        _ => None
    );
    written.ok_or("a date that has no text; --numbers raw stores its bytes")?;
    if matches!(array.data_type(), DataType::Timestamp(_, Some(_))) {
        to.push(b'Z');
    }
    Ok(())
}
