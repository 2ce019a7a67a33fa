//! Tests of the log against a small disk of their own, which knows what a power cut could leave.

#![expect(clippy::cast_possible_truncation, reason = "the numbers of these tests are small")]

mod crash;
mod damage;
mod disk;
mod edges;
mod format;
mod look_alike;
mod rescue;
mod round_trip;
