//! The status pages: `/` for people, `/metrics` for Prometheus, `/healthz` for a load balancer,
//! `/stats.json` for scripts. Nothing here changes anything.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::server::buffers::HeldBudget;
use crate::server::engine::Engine;
use crate::server::metrics::Metrics;
use crate::server::shutdown::{Phase, Shutdown};
use crate::server::status;

/// What the pages show.
#[derive(Clone)]
pub(crate) struct Status {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) held: Arc<HeldBudget>,
    pub(crate) shutdown: Shutdown,
}

impl Status {
    fn all(&self) -> Value {
        status::figures(&*self.engine, &self.metrics, &self.held)
    }
}

/// Serves the pages until the task is dropped: while the server drains, `/healthz` says so.
pub(crate) async fn serve(listener: TcpListener, status: Status) {
    let pages = Router::new()
        .route("/", get(page))
        .route("/metrics", get(metrics))
        .route("/healthz", get(health))
        .route("/stats.json", get(stats))
        .with_state(status);
    if let Err(error) = axum::serve(listener, pages).await {
        tracing::warn!(%error, "status pages ended");
    }
}

async fn page(State(status): State<Status>) -> Html<String> {
    let mut rows = String::new();
    push_rows(&mut rows, "", &status.all());
    Html(format!(
        "<!DOCTYPE html><title>venti</title><h1>venti {}</h1><table>{rows}</table>",
        env!("CARGO_PKG_VERSION")
    ))
}

/// One table row a number or text, named by its path in the value.
fn push_rows(rows: &mut String, name: &str, value: &Value) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                let name = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
                push_rows(rows, &name, value);
            }
        }
        other => {
            let text = other.as_str().map_or_else(|| other.to_string(), str::to_owned);
            let text = text.replace('&', "&amp;").replace('<', "&lt;");
            let _ = writeln!(rows, "<tr><td>{name}<td align=right>{text}");
        }
    }
}

async fn metrics(State(status): State<Status>) -> impl IntoResponse {
    let mut text = status.metrics.text();
    push_gauges(&mut text, "venti_store", &status.engine.stats());
    text.push_str("# EOF\n");
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
}

/// Every number of the store's statistics as a gauge.
fn push_gauges(text: &mut String, name: &str, value: &Value) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                push_gauges(text, &format!("{name}_{field}"), value);
            }
        }
        Value::Number(number) => {
            let _ = writeln!(text, "# TYPE {name} gauge\n{name} {number}");
        }
        _ => {}
    }
}

async fn health(State(status): State<Status>) -> (StatusCode, &'static str) {
    if status.shutdown.phase() == Phase::Running {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    }
}

async fn stats(State(status): State<Status>) -> Json<Value> {
    Json(status.all())
}
