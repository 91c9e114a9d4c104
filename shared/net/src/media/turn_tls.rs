//! TURN over TLS: the listener, the handshakes and the certificate. A connection whose handshake is done goes to the worker, which
//! owns it from then on (`streams`); so handshakes, which cost a millisecond, never hold up packets.
//!
//! What it must not do: let anybody who says nothing, or says it slowly, hold more than a place for a few seconds.

use super::{
    config,
    streams::Arrived,
    worker::{Command, Commands},
};
use crate::bind::{self, BindError};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};
use tokio_rustls::TlsAcceptor;

/// Handshakes under way: 30 kB each.
const HANDSHAKES_MAX: usize = 256;
/// Time for one.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// The files are read anew when this has passed: certificates are renewed while the process runs.
const RELOAD_EVERY: Duration = Duration::from_mins(1);
/// Wait after an accept that failed for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, thiserror::Error)]
pub enum TurnTlsError {
    #[error("turn_tls: cannot read {0}: {1}")]
    File(String, String),
    #[error("turn_tls: certificate and key do not fit: {0}")]
    Certificate(#[from] rustls::Error),
    #[error(transparent)]
    Bind(#[from] BindError),
}

/// Bound, and ready to serve.
pub(super) struct TurnTls {
    listener: TcpListener,
    addr: SocketAddr,
    certificate: Certificate,
}

impl TurnTls {
    pub fn bind(config: &config::TurnTls) -> Result<Self, TurnTlsError> {
        let certificate = Certificate::load(config)?;
        let listener = bind::tcp(config.listen, "turn_tls")?;
        let addr = listener.local_addr().map_err(|error| BindError::new(config.listen, "tcp", "turn_tls", error))?;
        Ok(Self { listener, addr, certificate })
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until `stop` turns true.
    pub async fn serve(mut self, worker: Commands, mut stop: watch::Receiver<bool>) {
        let places = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        loop {
            let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let (acceptor, worker) = (self.certificate.acceptor(), worker.clone());
                    tokio::spawn(async move {
                        let handshake = tokio::time::timeout(HANDSHAKE_MAX, shake_hands(acceptor, stream, peer));
                        match handshake.await {
                            Ok(Ok(arrived)) => hand_over(arrived, &worker),
                            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                            Err(_) => {}
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

async fn shake_hands(acceptor: TlsAcceptor, stream: TcpStream, peer: SocketAddr) -> io::Result<Arrived> {
    let _ = stream.set_nodelay(true);
    let (stream, tls) = acceptor.accept(stream).await?.into_inner();
    Ok(Arrived { socket: stream.into_std()?, peer, tls: Some(Box::new(tls)) })
}

/// A worker that is so far behind takes no new connections; the browser tries again.
fn hand_over(arrived: Arrived, worker: &Commands) {
    if worker.try_send(Command::Stream(arrived)).is_err() {
        tracing::debug!("a TURN connection was refused: the worker is behind");
    }
}

/// As it stands in the files.
struct Certificate {
    config: config::TurnTls,
    acceptor: TlsAcceptor,
    read_at: Instant,
}

impl Certificate {
    fn load(config: &config::TurnTls) -> Result<Self, TurnTlsError> {
        Ok(Self { config: config.clone(), acceptor: read(config)?, read_at: Instant::now() })
    }

    /// What cannot be read now stays as it was.
    fn acceptor(&mut self) -> TlsAcceptor {
        if self.read_at.elapsed() >= RELOAD_EVERY {
            self.read_at = Instant::now();
            match read(&self.config) {
                Ok(acceptor) => self.acceptor = acceptor,
                Err(error) => tracing::warn!(%error, "the former certificate is used on"),
            }
        }
        self.acceptor.clone()
    }
}

fn read(config: &config::TurnTls) -> Result<TlsAcceptor, TurnTlsError> {
    let failed =
        |path: &Path, error: &dyn std::fmt::Display| TurnTlsError::File(path.display().to_string(), error.to_string());
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&config.cert)
        .and_then(Iterator::collect)
        .map_err(|error| failed(&config.cert, &error))?;
    let key = PrivateKeyDer::from_pem_file(&config.key).map_err(|error| failed(&config.key, &error))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(server)))
}
