//! What can go wrong, in the words of a caller: [`Error`], and inside it [`Corruption`], which a
//! program can match on. Knows nothing of how the other layers work.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The result of every fallible call of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that a call can fail with.
///
/// A wrong argument, a wrong file and a failing disk are told apart, and each message names the
/// file and what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused: not found, no permission, a folder, a failing device.
    #[error("cannot {action} {}: {source}; {}", path.display(), next_step(source))]
    Io {
        /// What was being done, as a verb: `open`, `read`, `sync`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's own words.
        source: io::Error,
    },
    /// Another handle or process holds the file. Close it, or set
    /// [`Options::wait_for_lock`](crate::Options::wait_for_lock).
    #[error("{} is locked by another handle or process; close it there, or wait for it with Options::wait_for_lock", path.display())]
    Locked {
        /// The data file.
        path: PathBuf,
    },
    /// The file exists and is something else.
    #[error("{} is not a splitpoint file: {reason}; check the path, or give one that does not exist to create an index there", path.display())]
    NotAnIndex {
        /// The file.
        path: PathBuf,
        /// How one can tell.
        reason: String,
    },
    /// The file, or a segment of its log, is of another version of the format.
    #[error("{} has format version {found}, this program reads {supported}; use the splitpoint that wrote it", path.display())]
    UnsupportedVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version that this program reads.
        supported: u32,
    },
    /// An option asked for something else than what the file was created with.
    #[error("{}: option {option} asks for {asked}, the file was created with {found}; leave the option out to take the file's own", path.display())]
    OptionMismatch {
        /// The file.
        path: PathBuf,
        /// The name of the option, as in [`Options`](crate::Options).
        option: &'static str,
        /// What was asked for.
        asked: String,
        /// What the file has.
        found: String,
    },
    /// An option has a value that no file can have.
    #[error("option {option}: {reason}")]
    InvalidOption {
        /// The name of the option, as in [`Options`](crate::Options).
        option: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Bytes of the file are not what was written there.
    #[error(transparent)]
    Corruption(Box<Corruption>),
    /// No room on the disk (or a quota, or a limit on the file's size). Nothing was changed.
    #[error("no room for {}: {source}; free some space and try again", path.display())]
    StorageFull {
        /// The file that could not grow.
        path: PathBuf,
        /// The system's own words.
        source: io::Error,
    },
    /// The key is longer than 65,535 bytes.
    #[error("a key of {len} bytes is too large: at most {max}")]
    KeyTooLarge {
        /// Its length in bytes.
        len: u64,
        /// The longest possible.
        max: u64,
    },
    /// The value is longer than 4 GiB − 1.
    #[error("a value of {len} bytes is too large: at most {max}")]
    ValueTooLarge {
        /// Its length in bytes.
        len: u64,
        /// The longest possible.
        max: u64,
    },
    /// The user's metadata is longer than 1 KiB.
    #[error("metadata of {len} bytes is too large: at most {max}")]
    MetadataTooLarge {
        /// Its length in bytes.
        len: u64,
        /// The longest possible.
        max: u64,
    },
    /// The index holds keys of one fixed size, and this is not it.
    #[error("a key of {len} bytes, in an index of keys of {expected} bytes each")]
    KeySize {
        /// The length given, in bytes.
        len: u64,
        /// The index's key size, in bytes.
        expected: u64,
    },
    /// The index holds values of one fixed size, and this is not it.
    #[error("a value of {len} bytes, in an index of values of {expected} bytes each")]
    ValueSize {
        /// The length given, in bytes.
        len: u64,
        /// The index's value size, in bytes.
        expected: u64,
    },
    /// A buffer of [`Index::get_many_into`](crate::Index::get_many_into) does not fit its keys.
    #[error("`{buffer}` has {len} places and should have {expected}: one row for each key")]
    RowBuffer {
        /// Which of the two.
        buffer: &'static str,
        /// Its length: of `rows` in bytes, of `found` in keys.
        len: u64,
        /// The length that it should have.
        expected: u64,
    },
    /// A value does not fit the rows of [`Index::get_many_into`](crate::Index::get_many_into).
    #[error(
        "the value of the key at {row} has {len} bytes, its row {expected}; look that key up by itself, or ask for rows of the values' length"
    )]
    RowSize {
        /// The key's place among the keys.
        row: usize,
        /// The value's length in bytes.
        len: u64,
        /// The length of a row in bytes.
        expected: u64,
    },
    /// A cursor that this index did not make.
    #[error("the scan cursor was made by an index with another hash seed")]
    ForeignCursor,
    /// The handle was opened for reading only.
    #[error("{} is open for reading only", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// [`Index::close`](crate::Index::close) was called on this handle or a clone of it.
    #[error("the index is closed")]
    Closed,
    /// A write method was called inside the closure of [`Index::update`](crate::Index::update).
    #[error("an index cannot be written to inside its own update closure")]
    Reentrant,
    /// A function that the caller gave panicked, such as the one of
    /// [`BulkLoader::merge_with`](crate::BulkLoader::merge_with). Nothing was changed.
    #[error(
        "a function of the caller panicked: {reason}; nothing was changed, mend it and try again"
    )]
    Panicked {
        /// What the panic said.
        reason: String,
    },
    /// A bulk load was asked to stop, by what [`BulkLoader::stop_when`](crate::BulkLoader::stop_when)
    /// was given.
    #[error("{}: the load was stopped", path.display())]
    Stopped {
        /// The file, which is as it was.
        path: PathBuf,
    },
    /// An earlier write or sync failed, so the index refuses to write until it is opened anew:
    /// a second sync would report success for data that is gone. Reads go on.
    #[error("{} refuses writes since an earlier failure ({cause}); open it again to recover what is durable", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// The failure, in words.
        cause: String,
    },
}

/// `None` in the place of what is damaged: it stays as it is, which keeps nobody from writing what is
/// sound, or from closing the file.
pub(crate) fn unless_damaged<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Err(Error::Corruption(_)) => Ok(None),
        result => result.map(Some),
    }
}

/// What to do about an error of the operating system.
fn next_step(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "check the path, and that its folder exists",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "check who may read and write the file and its folder, or open it for reading only"
        }
        io::ErrorKind::AlreadyExists => "open it without creating it, or choose another path",
        io::ErrorKind::IsADirectory
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::InvalidFilename => "give the path of a regular file",
        io::ErrorKind::Unsupported => "open it without asking for that",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "free some space, and open it again"
        }
        io::ErrorKind::OutOfMemory => "close other programs, or read without a map",
        _ => "if it happens again, look at the system's messages about the disk",
    }
}

impl Error {
    /// An error of the operating system while doing `action` to `path`. A full disk is told apart.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Error {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Error::StorageFull { path, source },
            _ => Error::Io { action, path, source },
        }
    }

    /// The same of a write or sync after which nobody knows what is on the disk: that there was no
    /// room does not mean that nothing was changed.
    pub(crate) fn of_unknown_fate(self) -> Error {
        match self {
            Error::StorageFull { path, source } => Error::Io { action: "write", path, source },
            error => error,
        }
    }
}

impl From<Corruption> for Error {
    fn from(corruption: Corruption) -> Error {
        Error::Corruption(Box::new(corruption))
    }
}

/// One broken promise of the file: where, which, what was expected and what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Corruption {
    /// The data file or the log segment.
    pub file: PathBuf,
    /// Where in it.
    pub place: Place,
    /// What should hold and does not.
    pub promise: Promise,
    /// What should stand there.
    pub expected: u64,
    /// What stands there.
    pub found: u64,
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Corruption { file, place, promise, expected, found } = self;
        write!(
            f,
            "{}, {place}: broken promise: {promise} (expected {expected:#x}, found {found:#x}); restore a \
             backup, or save what is left with `splitpoint salvage`; `splitpoint check` tells what that is",
            file.display()
        )
    }
}

impl std::error::Error for Corruption {}

/// Where in a file a promise broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Place {
    /// The file as a whole.
    File,
    /// One of the four meta pages, by slot.
    MetaPage(u8),
    /// A page, by its number.
    Page(u64),
    /// Several pages in a row, which have one checksum: a value in more than one.
    Pages {
        /// The first one.
        first: u64,
        /// The last one.
        last: u64,
    },
    /// A byte of a log segment.
    Log {
        /// The segment's number.
        segment: u64,
        /// The offset in it, in bytes.
        offset: u64,
    },
}

impl Place {
    /// The pages from `first` to before `end`.
    pub(crate) fn pages(first: u64, end: u64) -> Place {
        match end.saturating_sub(1) {
            last if last > first => Place::Pages { first, last },
            _ => Place::Page(first),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File => write!(f, "the file"),
            Place::MetaPage(slot) => write!(f, "meta page {slot}"),
            Place::Page(page) => write!(f, "page {page}"),
            Place::Pages { first, last } => write!(f, "pages {first} to {last}"),
            Place::Log { segment, offset } => write!(f, "log segment {segment} at byte {offset}"),
        }
    }
}

/// The promises of FORMAT.md, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Promise {
    /// A page's checksum is that of its bytes.
    #[error("the checksum is that of the page's bytes")]
    PageChecksum,
    /// The checksum in a pointer is that of the page it points to.
    #[error("the pointer carries the page's checksum")]
    PointerChecksum,
    /// A page bears its own number.
    #[error("a page bears its own number")]
    PageNumber,
    /// A page bears its file's id.
    #[error("a page bears the id of its file")]
    FileId,
    /// A page is of the kind that its pointer says.
    #[error("a page is of the kind that is pointed to")]
    PageKind,
    /// A page bears the bucket, run or word index that it was reached by.
    #[error("a page bears the place that it was reached by")]
    PageOwner,
    /// A page was written by the checkpoint that reaches it, or by an earlier one.
    #[error("a page was written by this checkpoint or by an earlier one")]
    PageGeneration,
    /// The device gives the bytes of a page.
    #[error("the page can be read")]
    PageRead,
    /// The cells of a page fit it.
    #[error("the cells fit the page")]
    CellCount,
    /// A record lies within its page.
    #[error("a record lies within its page")]
    RecordBounds,
    /// A record's tag is that of its key's hash, and it stands in a cell that a search visits.
    #[error("a record stands where a search for its key looks")]
    RecordPlace,
    /// A record is in the bucket of its key's hash.
    #[error("a record is in the bucket of its key")]
    RecordBucket,
    /// Keys and values have the sizes that the file was created with, where it has fixed ones.
    #[error("keys and values have the sizes that the file was created with")]
    RecordSize,
    /// Entries of the directories that a sweep has left, or not yet reached, are empty.
    #[error("an entry that a sweep has left, or not yet reached, is empty")]
    SweptEntry,
    /// A key stands in one place only.
    #[error("a key stands in one place only")]
    DuplicateKey,
    /// Every record in overflow has its filter bit set in its bucket page.
    #[error("the overflow filter admits every record in overflow")]
    OverflowFilter,
    /// A page number lies within the file.
    #[error("a page number lies within the file")]
    PageRange,
    /// A chain of overflow pages ends.
    #[error("a chain of overflow pages ends")]
    ChainLength,
    /// Every page is reachable once or free.
    #[error("every page is reachable once or free")]
    PageUse,
    /// The file is as long as its meta page says, or longer.
    #[error("the file is at least as long as its meta page says")]
    FileLength,
    /// At least one meta page is whole.
    #[error("one of the four meta pages is whole")]
    MetaPage,
    /// The fields of a meta page agree with one another.
    #[error("the fields of the meta page agree")]
    MetaField,
    /// Reserved bytes are zero.
    #[error("reserved bytes are zero")]
    Reserved,
    /// The counts of the meta page are those of the pages.
    #[error("the counts of the meta page are those of the pages")]
    Count,
    /// The bytes of a large record have the checksum that its slot carries.
    #[error("a large record has the checksum that its slot carries")]
    ValueChecksum,
    /// No two values share bytes of the value area.
    #[error("no two values share a byte")]
    ValueOverlap,
    /// A page of the value area has as many live grains as its count says.
    #[error("a value page has as many live grains as its count says")]
    LiveCount,
    /// The hash function is the one that the file was made with.
    #[error("the hash function is the one that made the file")]
    HashFingerprint,
    /// The log that the meta page names is there.
    #[error("the log that the meta page names is there")]
    LogPresent,
    /// The log begins at the commit that the meta page names.
    #[error("the log begins where the checkpoint ends")]
    LogStart,
    /// The log belongs to this file and epoch.
    #[error("the log belongs to this file and this epoch")]
    LogOwner,
    /// A record of the log that was acknowledged as durable is whole.
    #[error("an acknowledged record of the log is whole")]
    LogRecord,
    /// The operations of a commit decode.
    #[error("the operations of a commit decode")]
    LogOperation,
}

/// A broken promise as a lower layer sees it, before anyone has said in which file and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) promise: Promise,
    pub(crate) expected: u64,
    pub(crate) found: u64,
}

impl Fault {
    /// Names the promise, what should stand there and what does.
    pub(crate) fn new(promise: Promise, expected: u64, found: u64) -> Fault {
        Fault { promise, expected, found }
    }

    /// `Ok` if `found` is what was expected.
    pub(crate) fn expect(
        promise: Promise,
        expected: u64,
        found: u64,
    ) -> std::result::Result<(), Fault> {
        if expected == found { Ok(()) } else { Err(Fault { promise, expected, found }) }
    }

    /// Says where it was found.
    pub(crate) fn at(self, file: &Path, place: Place) -> Error {
        let Fault { promise, expected, found } = self;
        Corruption { file: file.to_owned(), place, promise, expected, found }.into()
    }
}

#[cfg(test)]
mod tests {
    use super::Place;

    /// A record of a hostile page may be empty and begin at 0.
    #[test]
    fn the_place_of_no_pages_is_the_first() {
        assert_eq!(Place::pages(0, 0), Place::Page(0));
        assert_eq!(Place::pages(7, 7), Place::Page(7));
        assert_eq!(Place::pages(7, 8), Place::Page(7));
        assert_eq!(Place::pages(7, 9), Place::Pages { first: 7, last: 8 });
    }
}
