//! The server over real sockets, and the program `venti` as a process.

#[cfg(test)]
mod administration;
#[cfg(test)]
mod authority;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod process;
#[cfg(test)]
mod program;
#[cfg(test)]
mod roots;
#[cfg(test)]
mod serving;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod tls_client;
