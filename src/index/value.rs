//! Values as a lookup gives them.

use std::fmt;
use std::ops::Deref;

use crate::Result;
use crate::pager::{Held, PinnedBytes, Shared, ValueBytes};
use crate::table::get::{Hit, contains, get_as};
use crate::table::many::{ValueUse, get_many};

/// A value, where it stands: in the map of the file or in a page in memory. It is copied only
/// where the index reads without a map ([`Access::Pread`](crate::Access::Pread)).
///
/// It blocks nobody, however long it is held. What was replaced or removed since it was found stays
/// allocated meanwhile, outside the memory budget; [`Stats`](crate::Stats) shows how much and since
/// when. To keep a value, to pass it to another thread or across an `await`, copy it with
/// `to_vec()`.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// let index = splitpoint::Index::open(folder.path().join("file"))?;
/// index.insert("key", "value")?;
/// let value = index.get("key")?.expect("it was just inserted");
/// assert_eq!(&*value, b"value");
/// # drop(value); index.close()?; Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A large value (see [`Options::inline_max`](crate::Options::inline_max)) begins at a multiple of 64
/// bytes, in the file and, where it is mapped, in memory: a slice of numbers is a cast. A copy, or a
/// value that a read-only open took from the log, may begin anywhere, so look before:
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let index = splitpoint::Index::open(folder.path().join("file"))?;
/// let embedding: Vec<u8> = (0..768).flat_map(|i| (i as f32).to_le_bytes()).collect();
/// index.insert("word", &embedding)?;
/// let value = index.get("word")?.expect("it was just inserted");
/// // SAFETY: every four bytes are an f32, and `align_to` leaves out what is not aligned.
/// let (before, floats, after) = unsafe { value.align_to::<f32>() };
/// assert!(before.is_empty() && after.is_empty());
/// # #[cfg(target_endian = "little")]
/// assert_eq!(floats[767], 767.0);
/// # drop(value); index.close()?; Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Value<'a> {
    bytes: Bytes<'a>,
}

enum Bytes<'a> {
    Pinned(PinnedBytes<'a>),
    Copied(Vec<u8>),
}

impl Deref for Value<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Pinned(bytes) => bytes,
            Bytes::Copied(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for Value<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value(\"{}\")", self.escape_ascii())
    }
}

impl<T: AsRef<[u8]> + ?Sized> PartialEq<T> for Value<'_> {
    fn eq(&self, other: &T) -> bool {
        **self == *other.as_ref()
    }
}

/// Looks a key up and keeps the value pinned.
#[inline]
pub(super) fn find<'a>(shared: &'a Shared, key: &[u8]) -> Result<Option<Value<'a>>> {
    let found = shared.epoch.hold(|pin| {
        shared.check_open()?;
        get_as(shared, pin, key, Held::Pinned, held_apart)
    })?;
    Ok(found.map(|found| Value {
        bytes: match found {
            Ok(pinned) => Bytes::Pinned(pinned),
            Err(copied) => Bytes::Copied(copied),
        },
    }))
}

/// Looks a key up, and no further.
pub(super) fn is_there(shared: &Shared, key: &[u8]) -> Result<bool> {
    let pin = shared.epoch.pin();
    shared.check_open()?;
    contains(shared, &pin, key)
}

/// As `held`, out of the way of lookups that find their value in a page.
#[inline(never)]
fn held_apart(hit: Hit<'_>) -> Held<'_, Vec<u8>> {
    held(hit)
}

#[inline]
pub(super) fn held(hit: Hit<'_>) -> Held<'_, Vec<u8>> {
    match hit {
        Hit::Inline(value) => Held::Pinned(value),
        Hit::Copied(value) => Held::Owned(value),
        Hit::Large(ValueBytes::Mapped(bytes), len) => {
            Held::Pinned(bytes.get(..len).unwrap_or_default())
        }
        Hit::Large(ValueBytes::Owned(bytes), len) => {
            Held::Owned(bytes.get(..len).unwrap_or_default().to_vec())
        }
    }
}

/// Looks many keys up under one pin.
pub(super) fn find_many(
    shared: &Shared,
    keys: &[impl AsRef<[u8]>],
    values: ValueUse,
    mut found: impl FnMut(usize, Option<&[u8]>) -> Result<()>,
) -> Result<()> {
    let pin = shared.epoch.pin();
    shared.check_open()?;
    get_many(shared, &pin, keys, values, |i, hit| found(i, hit.as_deref()))
}

/// Looks many keys up and keeps the values pinned.
pub(super) fn keep_many<'a>(
    shared: &'a Shared,
    keys: &[impl AsRef<[u8]>],
) -> Result<Vec<Option<Value<'a>>>> {
    let mut values = Vec::with_capacity(keys.len());
    shared.epoch.hold_all(|pin, keep| {
        shared.check_open()?;
        get_many(shared, pin, keys, ValueUse::Keep, |_, hit| {
            values.push(hit.map(|hit| Value {
                bytes: match held(hit) {
                    Held::Pinned(bytes) => Bytes::Pinned(keep.keep(bytes)),
                    Held::Owned(bytes) => Bytes::Copied(bytes),
                },
            }));
            Ok(())
        })
    })?;
    Ok(values)
}
