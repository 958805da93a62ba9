//! The blocking client against a good server and against every bad one that we can think of.

#![cfg(feature = "client")]

#[cfg(test)]
mod connecting;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod serving;
#[cfg(test)]
mod support;
#[cfg(test)]
mod writes;
