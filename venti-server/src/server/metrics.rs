//! Counters of the server, in the text format of OpenMetrics.
//!
//! Counted once a batch, never once a message. Those of the store are read when asked for.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use serde::Serialize;

/// What the server counts since it started.
#[derive(Debug, Default)]
pub struct Metrics {
    pub(crate) connections: Counter,
    pub(crate) open_connections: Gauge,
    pub(crate) refused_connections: Counter,
    pub(crate) broken_connections: Counter,
    pub(crate) writes: Counter,
    pub(crate) written: Counter,
    pub(crate) reads: Counter,
    pub(crate) read: Counter,
    pub(crate) probes: Counter,
    pub(crate) syncs: Counter,
    pub(crate) errors: Counter,
    registry: Registry,
}

/// The same numbers for a status page or a script.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Snapshot {
    /// Connections since the start.
    pub connections: u64,
    /// Connections open now.
    pub open_connections: i64,
    /// Connections closed at once because there were too many.
    pub refused_connections: u64,
    /// Connections closed because the client broke the protocol or a limit.
    pub broken_connections: u64,
    /// Blocks that clients wrote, stored before or not.
    pub writes: u64,
    /// Bytes of these.
    pub written_bytes: u64,
    /// Blocks that clients read.
    pub reads: u64,
    /// Bytes of these.
    pub read_bytes: u64,
    /// Questions whether a block is there.
    pub probes: u64,
    /// Syncs acknowledged.
    pub syncs: u64,
    /// Requests answered with an error.
    pub errors: u64,
}

impl Metrics {
    /// Counters at zero.
    #[must_use]
    pub fn new() -> Metrics {
        let mut metrics = Metrics::default();
        let mut registry = Registry::with_prefix("venti");
        let counters: [(&str, &str, &Counter<u64, AtomicU64>); 8] = [
            ("connections", "Connections accepted", &metrics.connections),
            ("connections_refused", "Connections over the limit", &metrics.refused_connections),
            ("connections_broken", "Connections closed for cause", &metrics.broken_connections),
            ("writes", "Blocks written by clients", &metrics.writes),
            ("reads", "Blocks read by clients", &metrics.reads),
            ("probes", "Reads with count 0", &metrics.probes),
            ("syncs", "Syncs acknowledged", &metrics.syncs),
            ("errors", "Requests answered with an error", &metrics.errors),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        for (name, help, counter) in [
            ("written", "Data of blocks written", &metrics.written),
            ("read", "Data of blocks read", &metrics.read),
        ] {
            registry.register_with_unit(name, help, Unit::Bytes, counter.clone());
        }
        let open = metrics.open_connections.clone();
        registry.register("connections_open", "Connections open now", open);
        metrics.registry = registry;
        metrics
    }

    /// All counters as OpenMetrics text, without the line that ends it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text.truncate(text.trim_end().strip_suffix("# EOF").map_or(text.len(), str::len));
        text
    }

    /// The numbers now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            connections: self.connections.get(),
            open_connections: self.open_connections.get(),
            refused_connections: self.refused_connections.get(),
            broken_connections: self.broken_connections.get(),
            writes: self.writes.get(),
            written_bytes: self.written.get(),
            reads: self.reads.get(),
            read_bytes: self.read.get(),
            probes: self.probes.get(),
            syncs: self.syncs.get(),
            errors: self.errors.get(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_show_in_the_text_and_in_the_snapshot() {
        let metrics = Metrics::new();
        metrics.writes.inc_by(3);
        metrics.written.inc_by(24_576);
        metrics.open_connections.inc();
        let text = metrics.text();
        for line in
            ["venti_writes_total 3", "venti_written_bytes_total 24576", "venti_connections_open 1"]
        {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        assert!(!text.contains("# EOF"));
        assert_eq!(metrics.snapshot().written_bytes, 24_576);
    }
}
