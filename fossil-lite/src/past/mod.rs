//! Files as they were: finding one in a dump, all of its versions, and getting it back.

mod compare;
mod extract;
mod find;
mod followed;
mod history;
mod history_cache;
mod inside;
mod keeper;
mod kinds;
mod meant;
mod names;
mod namespace;
mod process;
mod renames;
mod resolve;

pub use compare::{Side, SideVersion, show_difference};
pub use extract::{Extracted, Purpose, Tell, extract, is_unchanged};
pub use find::{Found, Missing, Nearest, find};
pub use followed::{Asked, followed_history};
pub use history::{History, Sighting, Snapshot, Version, history, kind_name};
pub use history_cache::HistoryCache;
pub use inside::{HostPaths, inside};
pub use meant::meant;
pub use names::DumpNames;
pub use namespace::enter_if_asked;
pub use process::{Ended, run_in_past};
pub use resolve::resolve;
