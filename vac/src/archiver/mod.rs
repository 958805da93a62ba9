//! The archiver: walks a tree, reads what has to be read, and writes an archive of it.
//!
//! One thread walks ([`walk`](crate::walk)) and writes down what it meets, some are ahead of it
//! and look up what it will meet next; several read the content, hash it and
//! give it to the store, each with its own batches; one puts the directories together. Work is
//! handed over by chunks of some hundred files. See [`archive`].

mod ahead;
mod assembler;
mod chosen;
mod chunk;
mod content;
mod describe;
mod dump;
mod error;
mod known;
mod merge;
mod old;
mod old_entry;
mod old_listing;
mod options;
mod pace;
mod progress;
mod reader;
mod resume;
mod run;
mod scan;
mod select;
mod settle;
mod sink;
mod sources;
mod stdin;
mod streams;
mod top;
mod verify;

pub use assembler::Checkpoints;
pub use chosen::Chosen;
pub use chunk::{Change, Failure};
pub use dump::DumpDay;
pub use error::{ArchiveError, Problem, ProblemKind};
pub use options::{BLOCK_SIZES, Exclusions, OldArchive, Options, Source, StreamSource, Trust};
pub use progress::{Counters, Counts, Progress};
pub use resume::{ResumeError, resume_from};
pub use run::{Observer, Outcome, archive};
