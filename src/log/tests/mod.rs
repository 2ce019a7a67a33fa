//! Tests of the log against a small disk of their own, which knows what a power cut could leave.

mod crash;
mod damage;
mod disk;
mod round_trip;
