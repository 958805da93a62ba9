//! The records of an arena file besides its clumps, and the scanner that finds them all.
//!
//! An arena is a [`ArenaHeader`], then clumps, marks and gaps one after another. A sealed one goes
//! on with a table of contents and ends with a [`Footer`] (docs/store-format.md).

mod footer;
mod gap;
mod header;
mod mark;
mod scan;
mod toc;

pub use footer::{FOOTER_SIZE, Footer};
pub use gap::{GAP_HEADER_SIZE, Gap};
pub use header::{ARENA_HEADER_SIZE, ArenaHeader, FORMAT_VERSION, HeaderError};
pub use mark::{MARK_SIZE, Mark};
pub use scan::{Found, Record, Scanner};
pub use toc::{TOC_PAGE_ENTRIES, TOC_PAGE_SIZE, TocEntry, TocPage, toc_pages};
