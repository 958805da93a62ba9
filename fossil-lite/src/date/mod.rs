//! Days of dumps: the ways in which people say which one they mean.
//!
//! A day begins and ends in the server's time zone, whoever asks and from wherever; the log of
//! roots knows only UTC. Nothing here reads a clock: "today" comes in from outside.

mod when;

pub use when::{DateError, Numbered, When};
