//! The tests of this crate that look at it from outside, in one binary.

#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod busy_mount;
#[cfg(test)]
mod copy_back;
#[cfg(test)]
mod counting;
#[cfg(test)]
mod fuse_mount;
#[cfg(test)]
mod history;
#[cfg(test)]
mod in_the_past;
#[cfg(test)]
mod kinds;
#[cfg(test)]
mod little_tree;
#[cfg(test)]
mod machine;
#[cfg(test)]
mod mounted_below;
#[cfg(test)]
mod p9_clients;
#[cfg(test)]
mod p9_dump;
#[cfg(test)]
mod p9_messages;
#[cfg(test)]
mod p9_transcripts;
#[cfg(test)]
mod parts_of_hosts;
#[cfg(test)]
mod permissions;
#[cfg(test)]
mod programs;
#[cfg(test)]
mod renames;
#[cfg(test)]
mod round_trips;
#[cfg(test)]
mod services;
#[cfg(test)]
mod unreadable;
#[cfg(test)]
mod upward_names;
#[cfg(test)]
mod walks;
#[cfg(test)]
mod words;
#[cfg(test)]
mod world;
#[cfg(test)]
mod yesterday;
