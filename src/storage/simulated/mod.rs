//! A simulated disk that knows what a power cut may leave.
//!
//! Every call has a number. The live view shows each call's effect at once; beside it the disk
//! keeps what is durable and what is not yet, by the failure model of DESIGN.md (F1 to F13). From
//! these it makes, for a power cut before any call of the past, the images that a disk may hold
//! then, and a new disk boots from each. Calls can be made to fail, too. All chance comes from the
//! seed, and there is no clock.
//!
//! | file | what |
//! |---|---|
//! | `rng` | chance from a seed |
//! | `content` | bytes in shared blocks |
//! | `choice` | which undecided operations a power cut leaves |
//! | `tear` | what is left of one write |
//! | `durable` | the failure model: durable, pending and lost |
//! | `image` | what a power cut left |
//! | `live`, `mirror` | what the running system sees, and maps |
//! | `fault`, `journal` | calls that fail; the list of calls |
//! | `disk`, `file` | the faces: for tests, and for the layers above |
//!
//! Knows nothing of pages, of logs or of what should survive.

mod choice;
mod content;
mod disk;
mod durable;
mod fault;
mod file;
mod image;
mod journal;
mod live;
mod mirror;
mod rng;
mod tear;
#[cfg(test)]
mod tests;

pub use choice::{Choice, Fate, Volume};
pub use disk::SimulatedDisk;
pub use fault::{Fault, FaultPlan};
pub use image::{CrashImages, Image};
pub use journal::CallKind;
pub use rng::Rng;
