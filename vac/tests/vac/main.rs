//! The crate's wide tests: golden archives, round trips, hostile archives.

#![expect(clippy::unwrap_used, clippy::panic, reason = "these are tests throughout")]

mod builder;
mod chosen;
mod delete;
mod directories;
mod exact;
mod golden;
mod hostile;
mod killed;
mod links;
mod medium;
mod mutated;
mod program;
mod root;
mod round_trip;
mod signals;
mod support;
mod tar;
mod target;
mod zeros;
