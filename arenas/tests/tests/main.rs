//! The store as its callers see it, on real and simulated disks.

#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation, reason = "tests")]

mod basics;
mod crashes;
mod reports;
mod support;
