//! The admin listener: `/metrics` (Prometheus), `/livez`, `/readyz` (200 or 503, JSON with reasons), `/status` (JSON).
//! Loopback only: it tells operators about schools, and has no login.

use super::metrics;
use crate::bind::{self, BindError};
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, task::JoinHandle};

/// How often histograms are tidied: they keep each sample until then.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Whether a node can do its work, and what hinders it. A box without its line is ready and says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    pub ready: bool,
    /// One short English sentence each; may be given when ready too (degraded).
    pub reasons: Vec<String>,
}

impl Readiness {
    pub fn ready() -> Self {
        Self { ready: true, reasons: Vec::new() }
    }

    pub fn not_ready(reason: impl Into<String>) -> Self {
        Self { ready: false, reasons: vec![reason.into()] }
    }

    /// Works, with something to say about it.
    pub fn degraded(reason: impl Into<String>) -> Self {
        Self { ready: true, reasons: vec![reason.into()] }
    }
}

/// Why there is no admin listener.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error("the admin listener must be on a loopback address, not on {0}")]
    NotLoopback(SocketAddr),
    #[error(transparent)]
    Bind(#[from] BindError),
}

/// A bound admin listener: its port is taken before the node says anything; it answers from [`Admin::serve`] on.
pub struct Admin {
    listener: TcpListener,
}

/// A serving admin listener; dropping it ends it.
pub struct Serving {
    pub addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Shared {
    ready: Box<dyn Fn() -> Readiness + Send + Sync>,
    status: Box<dyn Fn() -> serde_json::Value + Send + Sync>,
}

impl Admin {
    /// Takes the port (0: any free one) and starts recording metrics.
    pub fn bind(addr: SocketAddr) -> Result<Self, AdminError> {
        if !addr.ip().is_loopback() {
            return Err(AdminError::NotLoopback(addr));
        }
        let listener = bind::tcp(addr, "the admin listener")?;
        metrics::install();
        Ok(Self { listener })
    }

    /// Serves in a task. Both closures are called per request and must not block.
    pub fn serve(
        self,
        ready: impl Fn() -> Readiness + Send + Sync + 'static,
        status: impl Fn() -> serde_json::Value + Send + Sync + 'static,
    ) -> Serving {
        let addr = self.listener.local_addr().expect("a bound listener has an address");
        let app = router(Shared { ready: Box::new(ready), status: Box::new(status) });
        let task = tokio::spawn(async move {
            let upkeep = async {
                let mut every = tokio::time::interval(UPKEEP_EVERY);
                loop {
                    every.tick().await;
                    metrics::upkeep();
                }
            };
            tokio::select! {
                result = axum::serve(self.listener, app) => {
                    if let Err(error) = result {
                        tracing::error!("the admin listener ended: {error}");
                    }
                }
                () = upkeep => {}
            }
        });
        Serving { addr, task }
    }
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/status", get(|State(shared): State<Arc<Shared>>| async move { Json((shared.status)()) }))
        .route(
            "/metrics",
            get(|| async { ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics::render()) }),
        )
        .with_state(Arc::new(shared))
}

async fn readyz(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let readiness = (shared.ready)();
    let code = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(readiness))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    async fn get(addr: SocketAddr, path: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(addr).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn readiness_follows_the_node_and_gives_reasons() {
        let up = Arc::new(AtomicBool::new(false));
        let serving = {
            let up = up.clone();
            Admin::bind(ANY).unwrap().serve(
                move || {
                    if up.load(Ordering::Relaxed) { Readiness::ready() } else { Readiness::not_ready("no leader") }
                },
                || serde_json::json!({"kind": "core"}),
            )
        };
        let answer = get(serving.addr, "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.ends_with(r#"{"ready":false,"reasons":["no leader"]}"#), "{answer}");
        up.store(true, Ordering::Relaxed);
        assert!(get(serving.addr, "/readyz").await.starts_with("HTTP/1.1 200"));
        assert!(get(serving.addr, "/livez").await.starts_with("HTTP/1.1 200"));
        assert!(get(serving.addr, "/status").await.ends_with(r#"{"kind":"core"}"#));
    }

    #[tokio::test]
    async fn what_is_counted_is_rendered_with_the_process() {
        let serving = Admin::bind(ANY).unwrap().serve(Readiness::ready, || serde_json::Value::Null);
        ::metrics::counter!("schulhof_test_total").increment(3);
        ::metrics::histogram!("schulhof_test_seconds").record(0.004);
        let answer = get(serving.addr, "/metrics").await;
        assert!(answer.contains("\nschulhof_test_total 3\n"), "{answer}");
        assert!(answer.contains("schulhof_test_seconds_bucket{le=\"0.005\"} 1"), "{answer}");
        assert!(answer.contains("\nprocess_resident_memory_bytes "), "{answer}");
    }

    #[tokio::test]
    async fn a_taken_port_and_an_open_address_are_refused() {
        let serving = Admin::bind(ANY).unwrap().serve(Readiness::ready, || serde_json::Value::Null);
        let error = Admin::bind(serving.addr).map(|_| ()).unwrap_err().to_string();
        assert!(
            error.contains(&format!("{} (tcp) for the admin listener: address already in use", serving.addr)),
            "{error}"
        );
        assert!(matches!(Admin::bind("0.0.0.0:0".parse().unwrap()), Err(AdminError::NotLoopback(_))));
    }
}
