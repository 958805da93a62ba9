//! Archives real trees into a store in memory and looks at every byte of what was made.

#![expect(clippy::unwrap_used, reason = "a test that can not go on fails")]

mod changes;
mod content;
mod dump;
mod golden;
#[path = "../vac/support.rs"]
mod golden_data;
mod losses;
mod merge;
mod selection;
mod support;
mod walkers;
