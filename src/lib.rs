//! A persistent hash index in one file: bytes to bytes, about one page read per lookup at any size,
//! and nothing that was acknowledged is ever lost.
//!
//! [`Index`] is the handle: [`Index::open`], [`Index::get`], [`Index::insert`], [`Index::remove`],
//! [`Index::update`], [`Index::commit`] of a [`Batch`], [`Index::iter`], [`Index::close`].
//! [`Options`] has everything that can be chosen, with the reason for each default. All errors are
//! one [`Error`]; damage of the file is a [`Corruption`] in it, which a program can match on.
//!
//! ```
//! # let folder = tempfile::tempdir()?;
//! use splitpoint::{Batch, Index};
//!
//! let index = Index::open(folder.path().join("features"))?;
//! let mut batch = Batch::new();
//! for user in 0..1_000_u32 {
//!     batch.insert(user.to_le_bytes(), [1.0_f32.to_le_bytes(); 4].as_flattened());
//! }
//! index.commit(batch)?; // all of it or nothing, and durable when it returns
//!
//! let keys: Vec<[u8; 4]> = (0..100_u32).map(u32::to_le_bytes).collect();
//! let mut found = 0;
//! index.get_many_with(&keys, |_, value| found += usize::from(value.is_some()))?;
//! assert_eq!(found, 100);
//! index.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Limits
//! Keys up to 65,535 bytes, values up to 4 GiB − 1; 2³⁰ pages, that is a file of 4 TiB with pages
//! of 4 KiB and 64 TiB with pages of 64 KiB; 2³⁰ buckets. One process has the file open for
//! writing, and no other opens it meanwhile; `inspect` and `Index::backup_file` read it all the same.
//!
//! # Features
//! `simulation`: a simulated disk that loses what a power cut may lose, for crash tests of code
//! that embeds an index; see `splitpoint::simulation`.

#![cfg_attr(
    test,
    allow(clippy::cast_possible_truncation, reason = "tests cut numbers down on purpose")
)]

mod bulk;
mod checksum;
mod error;
#[cfg(test)]
mod format;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod hash;
mod index;
pub mod inspect;
mod layout;
mod log;
#[cfg(feature = "mutants")]
#[doc(hidden)]
pub mod mutant;
#[cfg(not(feature = "mutants"))]
#[expect(unreachable_pub, reason = "with the feature it is the face of the module")]
mod mutant;
mod page;
mod pager;
pub mod salvage;
mod storage;
mod table;

pub use bulk::{BulkLoader, BulkPhase, BulkProgress};
pub use error::{Corruption, Error, Place, Promise, Result};
pub use pager::{Access, Residence, Verify};
pub use table::check::{CheckReport, Finding, Severity};

#[cfg(feature = "simulation")]
pub mod simulation {
    //! A simulated disk that knows what a power cut may leave, for tests of crash safety.
    //!
    //! ```
    //! use splitpoint::simulation::{SimulatedDisk, Volume};
    //!
    //! let disk = SimulatedDisk::new(1);
    //! disk.set_live_bytes("/file", b"durable");
    //! for image in disk.crash_images(disk.call_count(), 1, &Volume::default()) {
    //!     let booted = SimulatedDisk::from_image(&image, 2);
    //!     assert_eq!(booted.live_bytes("/file").as_deref(), Some(&b"durable"[..]));
    //! }
    //! ```
    pub use crate::storage::simulated::{
        CallKind, Choice, CrashImages, Fate, Fault, FaultPlan, Image, Rng, SimulatedDisk, Volume,
    };
}
pub use index::{
    Batch, Cursor, Difference, Durability, HotBackup, Index, Iter, Options, Reader, Stats, Value,
};
pub use log::Lsn;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
