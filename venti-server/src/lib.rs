//! The network side of the store: the server and its administration, behind the program `venti`.
//!
//! [`server`] takes connections and speaks the protocol; what a connection may take is in
//! [`limits`] and [`memory`]. [`copy`] brings whole trees from one store to another. The rest is
//! the command line: definitions in [`cli`], one module a command under [`commands`], failures
//! and exit codes in [`outcome`].

#![forbid(unsafe_code)]

mod block_name;
pub mod cli;
pub mod commands;
pub mod copy;
pub mod limits;
pub mod memory;
pub mod outcome;
mod place;
mod progress;
pub mod server;
pub mod size;
