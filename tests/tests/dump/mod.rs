//! The dump with the real programs: a server, a host that archives to it, and the mount.

mod days;
mod host;
mod json;
mod kill;
mod readers;
mod site;
