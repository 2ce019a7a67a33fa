//! Many lookups, one after another, under one pin.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use super::{Index, Inner};
use crate::error::Result;
use crate::pager::{Pin, ValueBytes};
use crate::table::get::{Hit, contains, get_as};

/// Looks keys up one after another, under one pin: the fastest way to look up single keys, by a
/// thread that does so again and again. Made by [`Index::reader`].
///
/// It is no snapshot: each lookup sees what was committed before it. It takes no lock and delays no
/// writer. But what is replaced or removed stays allocated, outside the memory budget, until the
/// reader is renewed or dropped; [`Stats`](crate::Stats) shows how much and since when. So call
/// [`Reader::renew`] every few thousand lookups or whenever the thread pauses, and keep none for longer
/// than that beside a busy writer.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// let index = splitpoint::Index::open(folder.path().join("features"))?;
/// index.insert("user:17", "blue")?;
/// let mut reader = index.reader()?;
/// assert_eq!(reader.get("user:17")?.as_deref(), Some(&b"blue"[..]));
/// index.insert("user:17", "green")?;
/// assert_eq!(reader.get("user:17")?.as_deref(), Some(&b"green"[..]));
/// reader.renew();
/// # drop(reader); index.close()?; Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Reader<'a> {
    inner: &'a Inner,
    pin: Pin<'a>,
    hits: Cell<u64>,
    misses: Cell<u64>,
}

impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("path", &self.inner.shared.path).finish_non_exhaustive()
    }
}

impl Index {
    /// A reader, for a thread that looks up many keys one after another.
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed).
    pub fn reader(&self) -> Result<Reader<'_>> {
        let inner = &**self.inner();
        let pin = inner.shared.epoch.pin();
        inner.shared.check_open()?;
        Ok(Reader { inner, pin, hits: Cell::new(0), misses: Cell::new(0) })
    }
}

impl Reader<'_> {
    /// The value of a key: where it stands, or a copy where the index reads without a map
    /// ([`Access::Pread`](crate::Access::Pread)).
    ///
    /// # Errors
    /// As [`Index::get`].
    #[inline]
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Cow<'_, [u8]>>> {
        let (key, shared) = (key.as_ref(), &*self.inner.shared);
        crate::table::check_key(shared, key)?;
        shared.check_open()?;
        let found = get_as(shared, &self.pin, key, Cow::Borrowed, value)?;
        self.note(found.is_some());
        Ok(found)
    }

    /// Whether a key is there. A large value is not read, so nothing is said of damage to it.
    ///
    /// # Errors
    /// As [`Index::get`].
    #[inline]
    pub fn contains_key(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        let (key, shared) = (key.as_ref(), &*self.inner.shared);
        crate::table::check_key(shared, key)?;
        shared.check_open()?;
        let found = contains(shared, &self.pin, key)?;
        self.note(found);
        Ok(found)
    }

    /// Lets go of all that was replaced or removed so far. Values found before are borrowed from the
    /// reader, so none is left by now.
    pub fn renew(&mut self) {
        self.count();
        self.pin.renew();
    }

    #[inline]
    fn note(&self, is_hit: bool) {
        let counter = if is_hit { &self.hits } else { &self.misses };
        counter.set(counter.get() + 1);
    }

    fn count(&self) {
        self.inner.counters.note_gets(self.hits.take(), self.misses.take());
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.count();
    }
}

#[inline(never)]
fn value(hit: Hit<'_>) -> Cow<'_, [u8]> {
    match hit {
        Hit::Inline(value) => Cow::Borrowed(value),
        Hit::Copied(value) => Cow::Owned(value),
        Hit::Large(ValueBytes::Mapped(bytes), len) => {
            Cow::Borrowed(bytes.get(..len).unwrap_or_default())
        }
        Hit::Large(ValueBytes::Owned(bytes), len) => {
            Cow::Owned(bytes.get(..len).unwrap_or_default().to_vec())
        }
    }
}
