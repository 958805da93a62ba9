//! The start of a connection.

use std::io::{self, IoSlice};
use std::time::Instant;

use super::shared::is_timeout;
use super::{ClientOptions, ConnectError, Transport};
use crate::Version;
use crate::session::ClientHandshake;

/// Exchanges version lines and the hello. Also returns what the server sent after them.
pub(super) fn greet(
    transport: &dyn Transport,
    address: &str,
    options: &ClientOptions,
) -> Result<(Version, Vec<u8>), ConnectError> {
    let address = || address.to_owned();
    let failed = |source| match transport.tls_error(&source) {
        Some(source) => ConnectError::Tls { address: address(), source: Box::new(source) },
        None => ConnectError::Hello { address: address(), source },
    };
    let (mut input, mut output, mut piece) = (Vec::new(), Vec::new(), [0; 2048]);
    let start = Instant::now();
    transport.set_timeouts(options.connect_timeout, options.connect_timeout).map_err(failed)?;
    let mut handshake = ClientHandshake::new(&options.user, &options.versions, &mut output);
    loop {
        while !output.is_empty() {
            match transport.write_vectored(&[IoSlice::new(&output)]) {
                Ok(sent) => drop(output.drain(..sent)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
        match transport.read(&mut piece) {
            Ok(0) => return Err(failed(io::ErrorKind::UnexpectedEof.into())),
            Ok(read) => input.extend_from_slice(&piece[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if is_timeout(&error) => return Err(failed(io::ErrorKind::TimedOut.into())),
            Err(error) => return Err(failed(error)),
        }
        let mut rest = &input[..];
        let greeted = handshake
            .receive(&mut rest, &mut output)
            .map_err(|source| ConnectError::Session { address: address(), source })?;
        input.drain(..input.len() - rest.len());
        if let Some(version) = greeted {
            return Ok((version, input));
        }
        if start.elapsed() > options.connect_timeout {
            return Err(failed(io::ErrorKind::TimedOut.into()));
        }
    }
}
