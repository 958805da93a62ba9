//! 9P2000, the server's side, for file systems that nobody writes to.
//!
//! [`Tagged`] is a message with its bytes and its printed form. [`Session`] is one conversation
//! without input or output: a message goes in, and out come replies and [`Work`] to be done on
//! the file system, whose result goes in again; requests are therefore answered in whatever order
//! they finish. [`serve`] puts sessions on sockets.

mod field;
mod message;
mod serve;
mod session;
mod stat;
mod text;
mod work;

pub use field::{Cursor, DecodeError, Field};
pub use message::{FrameSizeError, HEADER_SIZE, Message, Tagged, body_size};
pub use serve::{Limits, ListenError, Listener, Peer, serve};
pub use session::{MIN_MSIZE, Session, Step, WorkId};
pub use stat::{Qid, Stat};
pub use text::{ParseTextError, Words};
pub use work::{Done, FileSystem, Opened, Work, perform};

/// `NOTAG`: the tag of Tversion.
pub const NO_TAG: u16 = u16::MAX;
/// `NOFID`: no fid.
pub const NO_FID: u32 = u32::MAX;
/// `MAXWELEM`: names in one walk.
pub const MAX_WALK: usize = 16;
/// The version that is spoken.
pub const VERSION: &str = "9P2000";
/// Bytes of a Tread or Rread besides the data, rounded up as the manual has it.
pub const IO_HEADER_SIZE: u32 = 24;
