//! The listener for probes and for Prometheus.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use axum::{
    Router,
    extract::{Query, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Deserialize;
use tokio::net::TcpListener;

use super::{Telemetry, health::Report};

/// The listener cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("--health-listen: {address} cannot be listened on: {source}")]
pub struct ListenError {
    address: SocketAddr,
    source: io::Error,
}

/// Serves `/livez`, `/readyz` and `/metrics` for as long as it is polled.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
}

impl Server {
    /// Listens; nothing is answered yet.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        let bound = match TcpListener::bind(address).await {
            // A machine without IPv6 has all its addresses here.
            Err(_) if address.is_ipv6() && address.ip().is_unspecified() => {
                TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
            }
            bound => bound,
        };
        let listener = bound.map_err(|source| ListenError { address, source })?;
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, "health and metrics are served");
        }
        Ok(Self { listener })
    }

    /// Answers until it is dropped.
    ///
    /// # Errors
    /// When the listener breaks.
    pub async fn serve(self, telemetry: Telemetry) -> io::Result<()> {
        axum::serve(self.listener, router(telemetry)).await
    }
}

fn router(telemetry: Telemetry) -> Router {
    Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(telemetry)
}

/// As Kubernetes has it: `?verbose` lists what was asked.
#[derive(Deserialize)]
struct Wish {
    verbose: Option<String>,
}

async fn live(State(telemetry): State<Telemetry>, Query(wish): Query<Wish>) -> Response {
    probe(&telemetry.health.live(), &wish)
}

async fn ready(State(telemetry): State<Telemetry>, Query(wish): Query<Wish>) -> Response {
    probe(&telemetry.health.ready(), &wish)
}

fn probe(report: &Report, wish: &Wish) -> Response {
    match (report.is_good(), &wish.verbose) {
        (true, None) => "ok".into_response(),
        (true, Some(_)) => report.to_string().into_response(),
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, report.to_string()).into_response(),
    }
}

async fn metrics(State(telemetry): State<Telemetry>) -> Response {
    match telemetry.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, super::metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
