//! A persistent hash index in one file.

#![cfg_attr(
    test,
    allow(clippy::cast_possible_truncation, reason = "tests cut numbers down on purpose")
)]

mod checksum;
mod error;
#[cfg(test)]
mod format;
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
mod storage;
mod table;

pub use error::{Corruption, Error, Place, Promise, Result};
pub use pager::{Access, Verify};
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
pub use index::{Batch, Cursor, Durability, Index, Iter, Options, Stats, Value};
pub use log::Lsn;
