//! The store as its callers see it, on real and simulated disks.

#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation, reason = "tests")]

mod basics;
mod collisions;
mod concurrent;
mod crashes;
mod damage;
mod faults;
mod gate;
mod golden;
mod model;
mod read_only;
mod recovery_rows;
mod reports;
mod roots_crashes;
mod support;
