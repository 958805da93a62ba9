//! What there is to say about a server and its store in figures: for status pages, and for clients
//! that ask (docs/protocol.md, "stats").

use serde_json::{Value, json};
use venti_proto::message::MAX_STATS_SIZE;

use crate::server::buffers::HeldBudget;
use crate::server::engine::Engine;
use crate::server::metrics::Metrics;

/// Everything.
pub(crate) fn figures(engine: &dyn Engine, metrics: &Metrics, held: &HeldBudget) -> Value {
    json!({
        "server": metrics.snapshot(),
        "held_bytes": held.used(),
        "store": engine.stats(),
    })
}

/// The figures as a message has them. Of a store with very many findings the last are left out,
/// and counted.
pub(crate) fn in_message(mut figures: Value) -> Vec<u8> {
    loop {
        let json = figures.to_string().into_bytes();
        if json.len() <= MAX_STATS_SIZE {
            return json;
        }
        let store = &mut figures["store"];
        let Some(findings) = store["findings"].as_array_mut().filter(|list| !list.is_empty())
        else {
            return b"{}".to_vec();
        };
        let dropped = findings.len().div_ceil(2);
        findings.truncate(findings.len() - dropped);
        let before = store["findings_left_out"].as_u64().unwrap_or(0);
        store["findings_left_out"] = json!(before + dropped as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_that_do_not_fit_are_left_out_and_counted() {
        let small = json!({ "store": { "blocks": 7, "findings": ["one"] } });
        assert_eq!(in_message(small.clone()), small.to_string().into_bytes());
        let findings: Vec<String> = (0..5000).map(|n| format!("finding {n:30}")).collect();
        let many = json!({ "store": { "blocks": 7, "findings": findings } });
        let json = in_message(many);
        assert!(json.len() <= MAX_STATS_SIZE);
        let kept: Value = serde_json::from_slice(&json).unwrap();
        let (left, out) = (&kept["store"]["findings"], &kept["store"]["findings_left_out"]);
        let left = left.as_array().unwrap();
        assert!(!left.is_empty());
        assert_eq!(left[0], findings[0]);
        assert_eq!(left.len() as u64 + out.as_u64().unwrap(), 5000);
    }
}
