//! TLS 1.3 with certificates at both ends.

use super::QuicError;
use crate::identity::{Identity, provider};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::{RootCertStore, client::Resumption, server::WebPkiClientVerifier, version::TLS13};
use std::sync::Arc;

fn tls_error(e: impl std::fmt::Display) -> QuicError {
    QuicError::Tls(e.to_string())
}

fn roots(identity: &Identity) -> Result<Arc<RootCertStore>, QuicError> {
    let mut roots = RootCertStore::empty();
    roots.add(identity.ca().clone()).map_err(tls_error)?;
    Ok(Arc::new(roots))
}

/// Accepts the given ALPNs, from peers with a certificate of the same CA.
pub(super) fn server(identity: &Identity, alpns: &[&[u8]]) -> Result<Arc<QuicServerConfig>, QuicError> {
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots(identity)?, provider()).build().map_err(tls_error)?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(tls_error)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.chain(), identity.key())
        .map_err(tls_error)?;
    config.alpn_protocols = alpns.iter().map(|alpn| alpn.to_vec()).collect();
    // Every connection proves itself anew: no tickets, no early data.
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(Arc::new(QuicServerConfig::try_from(config).map_err(tls_error)?))
}

/// Dials with one ALPN; the name of the server is checked by the handshake.
pub(super) fn client(identity: &Identity, alpn: &[u8]) -> Result<Arc<QuicClientConfig>, QuicError> {
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(tls_error)?
        .with_root_certificates(roots(identity)?)
        .with_client_auth_cert(identity.chain(), identity.key())
        .map_err(tls_error)?;
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(Arc::new(QuicClientConfig::try_from(config).map_err(tls_error)?))
}
