//! TLS 1.3 with certificates at both ends; at an open door, and there alone, the caller may come without one.

use super::{OpenDoor, QuicError};
use crate::identity::{Identity, provider};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::{
    RootCertStore,
    client::{Resumption, danger::ServerCertVerifier},
    pki_types::CertificateDer,
    server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
    version::TLS13,
};
use std::sync::Arc;

fn tls_error(e: impl std::fmt::Display) -> QuicError {
    QuicError::Tls(e.to_string())
}

pub(super) fn roots(ca: &CertificateDer<'static>) -> Result<Arc<RootCertStore>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.clone())?;
    Ok(Arc::new(roots))
}

/// Shows the CA's certificate too, but only to those who ask for the open door: they know no more than its fingerprint.
#[derive(Debug)]
struct Chains {
    own: Arc<CertifiedKey>,
    with_ca: Arc<CertifiedKey>,
    open: OpenDoor,
}

impl ResolvesServerCert for Chains {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let is_open = hello.alpn().is_some_and(|mut alpns| alpns.any(|alpn| alpn == self.open));
        Some(if is_open { self.with_ca.clone() } else { self.own.clone() })
    }
}

/// Accepts the given ALPNs, from peers with a certificate of the same CA; with an open door, also from strangers, whom
/// [`super::Handshake`] lets in nowhere else.
pub(super) fn server(
    identity: &Identity,
    alpns: &[&[u8]],
    open: Option<OpenDoor>,
) -> Result<Arc<QuicServerConfig>, QuicError> {
    let mut verifier =
        WebPkiClientVerifier::builder_with_provider(roots(identity.ca()).map_err(tls_error)?, provider());
    if open.is_some() {
        verifier = verifier.allow_unauthenticated();
    }
    let builder = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(tls_error)?
        .with_client_cert_verifier(verifier.build().map_err(tls_error)?);
    let mut config = match open {
        None => builder.with_single_cert(identity.chain(), identity.key()).map_err(tls_error)?,
        Some(open) => {
            let key = provider().key_provider.load_private_key(identity.key()).map_err(tls_error)?;
            let with_ca = identity.chain().into_iter().chain([identity.ca().clone()]).collect();
            let own = Arc::new(CertifiedKey::new(identity.chain(), key.clone()));
            builder.with_cert_resolver(Arc::new(Chains {
                own,
                with_ca: Arc::new(CertifiedKey::new(with_ca, key)),
                open,
            }))
        }
    };
    config.alpn_protocols = alpns.iter().copied().chain(open).map(<[u8]>::to_vec).collect();
    // Every connection proves itself anew: no tickets, no early data.
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(Arc::new(QuicServerConfig::try_from(config).map_err(tls_error)?))
}

/// Dials with one ALPN; the name of the server is checked by the handshake.
pub(super) fn client(identity: &Identity, alpn: &[u8]) -> Result<Arc<QuicClientConfig>, QuicError> {
    let config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(tls_error)?
        .with_root_certificates(roots(identity.ca()).map_err(tls_error)?)
        .with_client_auth_cert(identity.chain(), identity.key())
        .map_err(tls_error)?;
    finish(config, alpn)
}

/// Dials without a certificate; the verifier decides who may answer.
pub(super) fn stranger(verifier: Arc<dyn ServerCertVerifier>, alpn: &[u8]) -> Result<Arc<QuicClientConfig>, QuicError> {
    let config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(tls_error)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    finish(config, alpn)
}

fn finish(mut config: rustls::ClientConfig, alpn: &[u8]) -> Result<Arc<QuicClientConfig>, QuicError> {
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(Arc::new(QuicClientConfig::try_from(config).map_err(tls_error)?))
}
