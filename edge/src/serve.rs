//! The HTTP listener: hyper with limits of its own, and TLS when configured.
//!
//! It bounds what a client can hold before any handler runs: connections, the time for a TLS handshake and for the
//! headers, the size of the headers.

use crate::stop::Stop;
use axum::{Router, extract::ConnectInfo};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;

/// Connections at once: three per person of a large school (WebSocket, page, a second device).
const CONNECTIONS_MAX: usize = 8_192;
/// A TLS handshake or a request's headers may take this long; slower ones hold a connection for nothing.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
const HEADERS_MAX: Duration = Duration::from_secs(15);
/// Bytes of a request's headers, and of what is read ahead.
const BUFFER_LEN_MAX: usize = 64 * 1024;
const HEADERS_COUNT_MAX: usize = 64;
/// After the order to stop, answers under way get this long.
const DRAIN_MAX: Duration = Duration::from_secs(3);
/// Wait after an accept that failed for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until the order to stop, then lets answers finish for a moment.
pub async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, router: Router, mut stop: Stop) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.ordered() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (router, tls, stop) = (router.clone(), tls.clone(), stop.clone());
        tokio::spawn(async move {
            connection(stream, peer, tls, router, stop).await;
            drop(place);
        });
    }
    drop(listener);
    let all = CONNECTIONS_MAX as u32;
    let _ = tokio::time::timeout(DRAIN_MAX, places.acquire_many(all)).await;
}

async fn connection(stream: TcpStream, peer: SocketAddr, tls: Option<TlsAcceptor>, router: Router, stop: Stop) {
    // Small answers and events must not wait for more.
    let _ = stream.set_nodelay(true);
    match tls {
        None => speak_http(stream, peer, router, stop).await,
        Some(tls) => match tokio::time::timeout(HANDSHAKE_MAX, tls.accept(stream)).await {
            Ok(Ok(stream)) => speak_http(stream, peer, router, stop).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
        },
    }
}

async fn speak_http(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    router: Router,
    mut stop: Stop,
) {
    let service = tower_service_of(router, peer);
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_MAX)
        .max_buf_size(BUFFER_LEN_MAX)
        .max_headers(HEADERS_COUNT_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(served);
    let ended = tokio::select! {
        ended = &mut served => ended,
        () = stop.ordered() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection ended");
    }
}

type HyperRequest = hyper::Request<hyper::body::Incoming>;

fn tower_service_of(
    router: Router,
    peer: SocketAddr,
) -> impl hyper::service::Service<
    HyperRequest,
    Response = axum::response::Response,
    Error = std::convert::Infallible,
    Future: Send,
> {
    let service = TowerToHyperService::new(router);
    hyper::service::service_fn(move |mut request: HyperRequest| {
        request.extensions_mut().insert(ConnectInfo(peer));
        hyper::service::Service::call(&service, request)
    })
}

/// Reads certificate and key for HTTPS.
pub fn tls_acceptor(tls: &crate::config::Tls) -> anyhow::Result<TlsAcceptor> {
    use anyhow::Context as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
    let chain = CertificateDer::pem_file_iter(&tls.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("tls.cert: cannot read {}", tls.cert.display()))?;
    let key = PrivateKeyDer::from_pem_file(&tls.key)
        .with_context(|| format!("tls.key: cannot read {}", tls.key.display()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("tls: certificate and key do not fit each other")?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
