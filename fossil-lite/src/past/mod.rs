//! Files as they were: finding one in a dump, all of its versions, and getting it back.

mod extract;
mod find;
mod followed;
mod history;
mod history_cache;
mod process;
mod renames;
mod resolve;

pub use extract::{extract, same_content};
pub use find::{Found, Missing, find};
pub use followed::{Asked, followed_history};
pub use history::{History, Snapshot, Version, history};
pub use history_cache::HistoryCache;
pub use process::run_in_past;
pub use resolve::resolve;
