//! Batches: changes that are made together or not at all.

use crate::table::operation::Operation;

/// Changes to be committed as one: after a crash all of them are there or none.
///
/// They apply in the order in which they were added, so a later one wins. A batch may be larger
/// than memory budget and log budget allow for the time between two checkpoints; it is held in
/// memory once as it is built, so a few megabytes are a good size. Readers beside the commit may
/// see some of its changes before others.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let index = splitpoint::Index::open(folder.path().join("file"))?;
/// let mut batch = splitpoint::Batch::new();
/// batch.insert("a", "1").insert("b", "2").remove("c");
/// index.commit(batch)?;
/// assert_eq!(index.len(), 2);
/// # index.close()?; Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Batch {
    changes: Vec<Change>,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Change {
    kind: Kind,
    start: usize,
    key_len: usize,
    value_len: usize,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Insert,
    Remove,
    SetMetadata,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Batch {
        Batch::default()
    }

    fn add(&mut self, kind: Kind, key: &[u8], value: &[u8]) -> &mut Batch {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.changes.push(Change { kind, start, key_len: key.len(), value_len: value.len() });
        self
    }

    /// Adds an insert, or an update if the key is there by then. Lengths are checked at the commit.
    pub fn insert(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> &mut Batch {
        self.add(Kind::Insert, key.as_ref(), value.as_ref())
    }

    /// Adds a removal; a key that is not there by then is no error.
    pub fn remove(&mut self, key: impl AsRef<[u8]>) -> &mut Batch {
        self.add(Kind::Remove, key.as_ref(), &[])
    }

    /// Adds a change of the user's metadata, at most 1 KiB.
    pub fn set_metadata(&mut self, metadata: impl AsRef<[u8]>) -> &mut Batch {
        self.add(Kind::SetMetadata, &[], metadata.as_ref())
    }

    /// How many changes it holds.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Bytes of all keys and values in it.
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets all changes and keeps the memory.
    pub fn clear(&mut self) {
        self.changes.clear();
        self.bytes.clear();
    }

    /// Adds an operation as the log has it.
    pub(crate) fn push(&mut self, operation: Operation<'_>) {
        match operation {
            Operation::Insert { key, value } => self.insert(key, value),
            Operation::Remove { key } => self.remove(key),
            Operation::SetMetadata { metadata } => self.set_metadata(metadata),
        };
    }

    pub(crate) fn operations(&self) -> impl Iterator<Item = Operation<'_>> {
        self.changes.iter().map(|change| {
            let Change { kind, start, key_len, value_len } = *change;
            let bytes = |from: usize, len| self.bytes.get(from..from + len).unwrap_or_default();
            let (key, value) = (bytes(start, key_len), bytes(start + key_len, value_len));
            match kind {
                Kind::Insert => Operation::Insert { key, value },
                Kind::Remove => Operation::Remove { key },
                Kind::SetMetadata => Operation::SetMetadata { metadata: value },
            }
        })
    }
}
