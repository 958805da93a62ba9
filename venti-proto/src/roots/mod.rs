//! Roots that the server owns: who archived what, when, and under which score.
//!
//! A score that only the client knows is lost with the client. So a client tells the server of
//! every archive it has made ([`NewRoot`]); the server adds its own time and the place in the
//! chain and keeps it for ever ([`RootRecord`]). Nothing is ever changed or removed. Records are
//! numbered from 0 without gaps; docs/roots.md has their bytes.

mod codec;
mod dump_name;
mod log;
mod memory;
mod name;
mod named;
mod record;

/// The version of docs/dump-json.md, which every line of JSON about roots and dumps names.
pub const JSON_SCHEMA: u32 = 1;

pub use codec::RecordError;
pub use dump_name::{DumpName, ParseDumpNameError};
pub use log::{
    MAX_PAGE, RootAnswer, RootLog, RootLogError, RootPage, RootQuery, RootRequest, RootWatch,
};
pub use memory::MemoryRootLog;
pub use name::{ArchiveName, ArchiveSource, HostName, NameError};
pub use named::each_named;
pub use record::{Completeness, NewRoot, RootRecord, Seal};
