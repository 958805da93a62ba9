//! The network side of the store.
//!
//! [`server`] takes connections and speaks the protocol; what a connection may take is in
//! [`limits`] and [`memory`]. [`copy`] brings whole trees from one store to another.

#![forbid(unsafe_code)]

pub mod copy;
pub mod limits;
pub mod memory;
pub mod server;
pub mod size;
