//! Values as a lookup gives them.

use std::fmt;
use std::ops::Deref;

use crate::Result;
use crate::pager::{Held, Pin, PinnedBytes, Shared, ValueBytes};
use crate::table::get::{Hit, get};

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
/// bytes, in the file and, where it is mapped, in memory: a slice of numbers is a cast. A copy may
/// begin anywhere, so look before:
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
        let hit = get(shared, pin, key)?;
        Ok::<_, crate::Error>(hit.map(held))
    })?;
    Ok(found.map(|found| Value {
        bytes: match found {
            Ok(pinned) => Bytes::Pinned(pinned),
            Err(copied) => Bytes::Copied(copied),
        },
    }))
}

#[inline]
fn held(hit: Hit<'_>) -> Held<'_, Vec<u8>> {
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

/// Keys whose pages are on their way to the cache together.
const GROUP: usize = 32;

/// Looks many keys up under one pin, in waves that hide the latency of memory: hashes and
/// directory entries of a group, then their pages, then the records.
pub(super) fn find_many(
    shared: &Shared,
    keys: &[impl AsRef<[u8]>],
    mut found: impl FnMut(usize, Option<&[u8]>) -> Result<()>,
) -> Result<()> {
    let pin = shared.epoch.pin();
    shared.check_open()?;
    let mut hashes = [0; GROUP];
    for (group, keys) in keys.chunks(GROUP).enumerate() {
        for (hash, key) in hashes.iter_mut().zip(keys) {
            *hash = crate::hash::hash(key.as_ref(), shared.parameters.hash_seed);
        }
        prefetch(shared, &pin, hashes.get(..keys.len()).unwrap_or_default());
        for (i, (key, &hash)) in keys.iter().zip(&hashes).enumerate() {
            let hit = crate::table::get::get_hashed(shared, &pin, key.as_ref(), hash)?;
            found(group * GROUP + i, hit.as_deref())?;
        }
    }
    Ok(())
}

/// Looks keys up one by one after letting the pages of a group come to the cache.
pub(super) fn prefetch_many<'k, K: AsRef<[u8]>, T>(
    shared: &Shared,
    keys: &'k [K],
    mut look: impl FnMut(&'k K) -> Result<T>,
) -> Result<Vec<T>> {
    let mut found = Vec::with_capacity(keys.len());
    let mut hashes = [0; GROUP];
    for keys in keys.chunks(GROUP) {
        for (hash, key) in hashes.iter_mut().zip(keys) {
            *hash = crate::hash::hash(key.as_ref(), shared.parameters.hash_seed);
        }
        let pin = shared.epoch.pin();
        prefetch(shared, &pin, hashes.get(..keys.len()).unwrap_or_default());
        for key in keys {
            found.push(look(key)?);
        }
    }
    Ok(found)
}

fn prefetch(shared: &Shared, pin: &Pin<'_>, hashes: &[u64]) {
    let state = shared.state.load(pin);
    for &hash in hashes {
        let (side, _) = state.side_of(hash);
        let word = side.load(crate::pager::Which::Buckets, side.layout.bucket_of(hash));
        shared.prefetch(pin, word, hash);
    }
}
