//! The columns of a table: which is the key, how several make one value, and how their names are
//! kept in the index's metadata. Knows nothing of files and formats.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::escape;

/// What an index keeps of its user's own.
const METADATA_MAX: usize = 1024;

/// Which columns of a table are used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Choice {
    /// The key; the first if it is not given.
    pub(crate) key: Option<String>,
    /// The values, in this order; all the others if none are given.
    pub(crate) values: Option<Vec<String>>,
}

/// Where in a row they stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places {
    pub(crate) key: usize,
    pub(crate) values: Vec<usize>,
    /// Columns of a whole row.
    pub(crate) count: usize,
}

/// The names of a table's columns, the key's first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Columns {
    /// The key column.
    pub(crate) key: String,
    /// The value columns, in order; one is the value as it is, none is an empty value.
    pub(crate) values: Vec<String>,
}

/// The metadata as it stands in the index.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    columns: Columns,
}

impl Columns {
    /// What a table without names of its own is called.
    pub(crate) fn unnamed() -> Columns {
        Columns { key: "key".to_owned(), values: vec!["value".to_owned()] }
    }

    /// Reads a header; also returns where in it the chosen columns stand.
    pub(crate) fn from_header(
        header: Vec<Vec<u8>>,
        choice: &Choice,
    ) -> Result<(Columns, Places), String> {
        let mut names = Vec::with_capacity(header.len());
        for name in header {
            let name = String::from_utf8(name).map_err(|error| {
                format!("the column name {} is not UTF-8", escape::shown(error.as_bytes()))
            })?;
            if names.contains(&name) {
                return Err(format!("two columns are named {name:?}"));
            }
            names.push(name);
        }
        if names.is_empty() {
            return Err("the header has no columns".to_owned());
        }
        let place_of = |wanted: &String| {
            names.iter().position(|name| name == wanted).ok_or_else(|| {
                format!("no column is named {wanted:?}; the header has {}", names.join(", "))
            })
        };
        let key = choice.key.as_ref().map_or(Ok(0), place_of)?;
        let mut values = Vec::new();
        match &choice.values {
            None => values.extend((0..names.len()).filter(|place| *place != key)),
            Some(wanted) => {
                for name in wanted {
                    let place = place_of(name)?;
                    if place == key || values.contains(&place) {
                        return Err(format!("column {name:?} is used twice"));
                    }
                    values.push(place);
                }
            }
        }
        let places = Places { key, values, count: names.len() };
        let name = |place: &usize| names.get(*place).cloned().unwrap_or_default();
        let columns =
            Columns { key: name(&places.key), values: places.values.iter().map(name).collect() };
        Ok((columns, places))
    }

    /// The names as an index keeps them.
    pub(crate) fn to_metadata(&self) -> Result<Vec<u8>, String> {
        let bytes = serde_json::to_vec(&Metadata { columns: self.clone() })
            .map_err(|error| error.to_string())?;
        if bytes.len() > METADATA_MAX {
            return Err(format!(
                "the column names take {} bytes in the index's metadata, which holds \
                 {METADATA_MAX}; shorten the header",
                bytes.len()
            ));
        }
        Ok(bytes)
    }

    /// The names that an index keeps, if its metadata are such.
    pub(crate) fn from_metadata(metadata: &[u8]) -> Option<Columns> {
        serde_json::from_slice::<Metadata>(metadata).ok().map(|metadata| metadata.columns)
    }

    /// Makes the value of a row: one column as it is, several escaped as in TSV and joined by tabs.
    pub(crate) fn join<'a>(fields: impl ExactSizeIterator<Item = &'a [u8]>, value: &mut Vec<u8>) {
        let single = fields.len() == 1;
        for (index, field) in fields.enumerate() {
            if single {
                value.extend_from_slice(field);
                return;
            }
            if index > 0 {
                value.push(b'\t');
            }
            escape::encode(field, value);
        }
    }

    /// Takes a value apart again, or nothing if [`Columns::join`] did not make it: then it would not
    /// come back byte for byte.
    pub(crate) fn split<'a>(&self, value: &'a [u8]) -> Option<Vec<Cow<'a, [u8]>>> {
        match self.values.len() {
            0 => return value.is_empty().then(Vec::new),
            1 => return Some(vec![Cow::Borrowed(value)]),
            _ => {}
        }
        let mut fields = Vec::with_capacity(self.values.len());
        for escaped in value.split(|&byte| byte == b'\t') {
            // A value of nothing but tabs must not take many times its own memory.
            if fields.len() == self.values.len() {
                return None;
            }
            fields.push(unescape(escaped)?);
        }
        (fields.len() == self.values.len()).then_some(fields)
    }
}

/// What a field of a row means, if it is spelled as [`escape::encode`] spells it.
fn unescape(escaped: &[u8]) -> Option<Cow<'_, [u8]>> {
    if !escaped.iter().any(|byte| matches!(byte, b'\\' | b'\r' | b'\n')) {
        return Some(Cow::Borrowed(escaped));
    }
    let (mut field, mut again) = (Vec::new(), Vec::new());
    escape::decode(escaped, &mut field).ok()?;
    escape::encode(&field, &mut again);
    (again == escaped).then_some(Cow::Owned(field))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(count: usize) -> Columns {
        Columns { key: "k".into(), values: (0..count).map(|n| n.to_string()).collect() }
    }

    #[test]
    fn rows_come_back_and_other_values_are_refused() {
        let row: [&[u8]; 3] = [b"a\tb", b"", b"\\x00\n\xff"];
        let mut value = Vec::new();
        Columns::join(row.into_iter(), &mut value);
        assert_eq!(value, b"a\\tb\t\t\\\\x00\\n\xff");
        assert_eq!(columns(3).split(&value).unwrap(), row);
        for wrong in [&b"a\tb"[..], b"a\tb\tc\td", b"\\x41\tb\tc", b"\\\tb\tc", b"a\nb\tb\tc"] {
            assert_eq!(columns(3).split(wrong), None);
        }
        assert_eq!(columns(1).split(b"a\tb").unwrap(), [&b"a\tb"[..]]);
        assert_eq!(columns(0).split(b"").unwrap(), Vec::<Cow<'_, [u8]>>::new());
        assert_eq!(columns(0).split(b"x"), None);
    }

    #[test]
    fn metadata_come_back_and_foreign_ones_are_left_alone() {
        let metadata = columns(3).to_metadata().unwrap();
        assert_eq!(Columns::from_metadata(&metadata), Some(columns(3)));
        assert!(Columns::from_metadata(b"").is_none());
        assert!(Columns::from_metadata(b"{\"offset\":3}").is_none());
        assert!(columns(400).to_metadata().is_err());
    }
}
