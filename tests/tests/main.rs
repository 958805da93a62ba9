//! System tests: whole programs, real files, golden data, crashes and faults.
//!
//! One binary, since linking is most of what a test binary costs. Long suites run here too, at a
//! size set by the environment: CONTRIBUTING.md lists them.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

mod dump;
mod examples;
mod faults;
mod hosts;
mod kill;
mod tidy;
mod units;
