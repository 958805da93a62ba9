//! Conversations: recorded ones, written ones, and made-up ones.

#[cfg(test)]
mod golden;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod support;
#[cfg(test)]
mod transcripts;
