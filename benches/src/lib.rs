//! What the benchmark programs share: seeded blocks, bounds of the machine, measured processes,
//! tables.
//!
//! `venti-load` puts a Venti server under load and holds every figure against what the processor,
//! the loopback device and the disk allow. `side-by-side` runs whole programs, ours and others,
//! on one tree in one run. Results and the commands that made them are in RESULTS.md.

pub mod blocks;
pub mod bounds;
pub mod process;
pub mod random;
pub mod remove;
pub mod table;
