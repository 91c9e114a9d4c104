//! Dialling before there is a certificate of one's own: all that is known of the other side is a pin of its CA.

use super::{Expected, HANDSHAKE_MAX, QuicError, endpoint, tls};
use crate::{
    enrol::Pin,
    identity::{Fingerprint, provider},
};
use rustls::{
    DigitallySignedStruct, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Takes whom the pinned CA has certified: the CA's certificate comes along in the server's chain.
#[derive(Debug)]
struct Pinned {
    pin: Pin,
    /// The server showed no CA that fits.
    foreign: AtomicBool,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(ca) = intermediates.iter().find(|shown| self.pin.fits(Fingerprint::of(shown))) else {
            self.foreign.store(true, Ordering::Relaxed);
            return Err(rustls::Error::General("the CA is not the pinned one".into()));
        };
        let verifier = WebPkiServerVerifier::builder_with_provider(tls::roots(&ca.clone().into_owned())?, provider())
            .build()
            .map_err(|e| rustls::Error::General(e.to_string()))?;
        verifier.verify_server_cert(certificate, &[], name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// An endpoint without an identity. It only dials, and only core nodes.
pub struct Stranger {
    inner: quinn::Endpoint,
    pin: Pin,
}

impl Stranger {
    /// Needs a tokio runtime.
    pub fn bind(listen: SocketAddr, pin: Pin) -> Result<Self, QuicError> {
        let fail = |source| QuicError::Bind { listen, source };
        let inner = quinn::Endpoint::client(listen).map_err(fail)?;
        Ok(Self { inner, pin })
    }

    /// Dials an open door. Fails when the answer is not from a core node of the pinned CA.
    pub async fn connect(&self, address: SocketAddr, alpn: &[u8]) -> Result<quinn::Connection, QuicError> {
        let expected = Expected::AnyCore;
        let fail = |detail: String| QuicError::Connect { address, expected: expected.to_string(), detail };
        let verifier = Arc::new(Pinned { pin: self.pin, foreign: AtomicBool::new(false) });
        let mut config = quinn::ClientConfig::new(tls::stranger(verifier.clone(), alpn)?);
        config.transport_config(Arc::new(endpoint::transport(0, false)));
        let connecting =
            self.inner.connect_with(config, address, &expected.dns_name()).map_err(|e| fail(e.to_string()))?;
        match tokio::time::timeout(HANDSHAKE_MAX, connecting).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(_)) if verifier.foreign.load(Ordering::Relaxed) => Err(QuicError::WrongCa { address }),
            Ok(Err(e)) => Err(fail(e.to_string())),
            Err(_) => Err(fail("no answer".into())),
        }
    }

    /// Closes all connections and waits until the peers have been told.
    pub async fn close(&self) {
        self.inner.close(0u32.into(), b"");
        self.inner.wait_idle().await;
    }
}
