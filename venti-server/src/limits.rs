//! What one client, and all clients together, may take of the server: on by default.
//!
//! Every limit is a flag with its default in the help, because a limit that nobody knows of is
//! found by whoever it stops. Times are given as `10s`, `5m` or `1h30m`. The size of a message is
//! limited by the protocol itself.

use std::time::Duration;

use crate::size::Size;

/// The limits of a server, as flags of `venti serve`.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Connections at once; more are closed at once
    #[arg(long, value_name = "COUNT", default_value_t = 1024)]
    pub max_connections: usize,

    /// Requests of one connection that may wait for their reply
    #[arg(long, value_name = "COUNT", default_value_t = 256,
          value_parser = clap::value_parser!(u16).range(1..=256))]
    pub max_requests: u16,

    /// Bytes of replies that one connection may have waiting
    #[arg(long, value_name = "SIZE", default_value = "512k", value_parser = reply_size)]
    pub max_reply_bytes: Size,

    /// Time to say hello after connecting
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub hello_timeout: Duration,

    /// Time for one message to arrive whole, or for a reply to be taken
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub frame_timeout: Duration,

    /// Time a connection may stay silent
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration)]
    pub idle_timeout: Duration,

    /// Time for connections to finish after SIGTERM
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_connections: 1024,
            max_requests: 256,
            max_reply_bytes: Size(512 << 10),
            hello_timeout: Duration::from_secs(10),
            frame_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(600),
            drain_timeout: Duration::from_secs(30),
        }
    }
}

/// Reads a time of more than nothing.
///
/// # Errors
/// What is wrong with the text, for the usage message.
pub fn duration(text: &str) -> Result<Duration, String> {
    let signed: jiff::SignedDuration =
        text.parse().map_err(|error| format!("{error}; expected a time such as 30s or 10m"))?;
    match Duration::try_from(signed) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(format!("{text} is not more than nothing")),
    }
}

fn reply_size(text: &str) -> Result<Size, String> {
    let size: Size = text.parse().map_err(|error| format!("{error}"))?;
    if ((64 << 10)..=(64 << 20)).contains(&size.0) {
        Ok(size)
    } else {
        Err("waiting replies may have from 64k to 64m".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_nothing_is_refused() {
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("50ms"), Ok(Duration::from_millis(50)));
        for wrong in ["0s", "-5s", "soon", ""] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
