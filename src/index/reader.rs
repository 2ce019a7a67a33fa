//! Many lookups, one after another, under one pin. Knows nothing of how a key is found.

use std::borrow::Cow;
use std::fmt;

use super::value::held;
use super::{Index, Inner};
use crate::error::Result;
use crate::pager::{Held, Pin};
use crate::table::get::{Hit, contains, get_as};

/// Looks keys up one after another, under one pin: the fastest way to look up single keys, by a
/// thread that does so again and again. Made by [`Index::reader`].
///
/// It is no snapshot: each lookup sees what was committed before it. It takes no lock. A value is
/// borrowed from the reader until its next lookup; whoever needs several at a time has
/// [`Index::get_many_with`] and [`Index::get`].
///
/// What was replaced or removed since its last lookups, the last 1,024 at most, stays allocated, in
/// memory, outside its budget, and in the file, and a file that is closed stays locked;
/// [`Stats`](crate::Stats) shows how much is held and since when. So a thread that pauses, writes or
/// closes calls [`Reader::renew`] before, or drops its reader; neither lets go of anything while the same
/// thread holds another reader or a [`Value`](crate::Value). Its lookups are counted in the statistics
/// at each renewal.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// let index = splitpoint::Index::open(folder.path().join("features"))?;
/// index.insert("user:17", "blue")?;
/// let mut reader = index.reader()?;
/// assert_eq!(reader.get("user:17")?.as_deref(), Some(&b"blue"[..]));
/// index.insert("user:17", "green")?;
/// assert_eq!(reader.get("user:17")?.as_deref(), Some(&b"green"[..]));
/// # drop(reader); index.close()?; Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Reader<'a> {
    inner: &'a Inner,
    pin: Pin<'a>,
    /// Lookups until the pin is renewed.
    left: u32,
    hits: u64,
    misses: u64,
}

/// Lookups under one pin, at most.
const LOOKUPS: u32 = 1024;

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
        Ok(Reader { inner, pin, left: LOOKUPS, hits: 0, misses: 0 })
    }
}

impl Reader<'_> {
    /// The value of a key: where it stands, or a copy where the index reads without a map
    /// ([`Access::Pread`](crate::Access::Pread)).
    ///
    /// # Errors
    /// As [`Index::get`].
    #[inline]
    pub fn get(&mut self, key: impl AsRef<[u8]>) -> Result<Option<Cow<'_, [u8]>>> {
        let (key, shared) = (key.as_ref(), &*self.inner.shared);
        self.begin(key)?;
        let found = get_as(shared, &self.pin, key, Cow::Borrowed, value)?;
        let counter = if found.is_some() { &mut self.hits } else { &mut self.misses };
        *counter += 1;
        Ok(found)
    }

    /// Whether a key is there. A large value is not read, so nothing is said of damage to it.
    ///
    /// # Errors
    /// As [`Index::get`].
    #[inline]
    pub fn contains_key(&mut self, key: impl AsRef<[u8]>) -> Result<bool> {
        let key = key.as_ref();
        self.begin(key)?;
        let found = contains(&self.inner.shared, &self.pin, key)?;
        let counter = if found { &mut self.hits } else { &mut self.misses };
        *counter += 1;
        Ok(found)
    }

    /// Lets go of all that was replaced or removed so far. Every 1,024th lookup does so by itself.
    #[inline(never)]
    pub fn renew(&mut self) {
        self.count();
        self.left = LOOKUPS;
        self.pin.renew();
    }

    #[inline]
    fn begin(&mut self, key: &[u8]) -> Result<()> {
        self.left -= 1;
        if self.left == 0 {
            self.renew();
        }
        crate::table::check_key(&self.inner.shared, key)?;
        self.inner.shared.check_open()
    }

    fn count(&mut self) {
        let (hits, misses) = (std::mem::take(&mut self.hits), std::mem::take(&mut self.misses));
        self.inner.counters.note_gets(hits, misses);
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.count();
    }
}

#[inline(never)]
fn value(hit: Hit<'_>) -> Cow<'_, [u8]> {
    match held(hit) {
        Held::Pinned(value) => Cow::Borrowed(value),
        Held::Owned(value) => Cow::Owned(value),
    }
}
