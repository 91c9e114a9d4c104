//! What all clients of a run share: crypto provider, certificate, DTLS settings. A certificate of its own for each client
//! would cost the generator, not the node.

use anyhow::Context as _;
use rtc_crypto::{HashAlgorithm, RTCCrypto, RTCCryptoProvider, providers::AwsLcRsProvider};
use rtc_dtls::{
    config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig},
    crypto::Certificate,
    extension::extension_use_srtp::SrtpProtectionProfile,
};
use std::{fmt::Write as _, sync::Arc, time::Duration};

/// Between flights, as browsers have it at first.
const FLIGHT_INTERVAL: Duration = Duration::from_millis(100);

pub struct Kit {
    provider: Arc<dyn RTCCryptoProvider>,
    pub(super) dtls: Arc<HandshakeConfig>,
    /// For who waits for the other end to begin.
    pub(super) dtls_passive: Arc<HandshakeConfig>,
    pub(super) fingerprint: String,
}

impl Kit {
    pub fn new() -> anyhow::Result<Arc<Self>> {
        let provider: Arc<dyn RTCCryptoProvider> = Arc::new(AwsLcRsProvider::default());
        let certificate = Certificate::generate_self_signed(vec!["bench".to_owned()], provider.crypto())?;
        let der = certificate.certificate.first().context("a certificate")?.to_vec();
        let config = |profiles| {
            ConfigBuilder::default()
                .with_crypto_provider(provider.clone())
                .with_certificates(vec![certificate.clone()])
                .with_srtp_protection_profiles(profiles)
                // The fingerprint is compared instead (RFC 8122).
                .with_insecure_skip_verify(true)
                .with_client_auth(ClientAuthType::RequireAnyClientCert)
                .with_extended_master_secret(ExtendedMasterSecretType::Require)
                .with_flight_interval(FLIGHT_INTERVAL)
        };
        // Chromium's order: the slow one first. The node must choose the other.
        let (slow, fast) =
            (SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80, SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm);
        let dtls = Arc::new(config(vec![slow, fast]).build(true, None)?);
        let dtls_passive = Arc::new(config(vec![fast]).build(false, None)?);
        let mut kit = Self { provider: provider.clone(), dtls, dtls_passive, fingerprint: String::new() };
        kit.fingerprint = kit.fingerprint_of(&der)?;
        Ok(Arc::new(kit))
    }

    pub(super) fn crypto(&self) -> &dyn RTCCrypto {
        self.provider.crypto()
    }

    /// As it stands in SDP: upper-case hexadecimal pairs.
    pub(super) fn fingerprint_of(&self, der: &[u8]) -> anyhow::Result<String> {
        let digest = self.provider.crypto().hash(HashAlgorithm::Sha256, der)?;
        let mut text = String::new();
        for byte in &digest[..] {
            let _ = write!(text, "{}{byte:02X}", if text.is_empty() { "" } else { ":" });
        }
        Ok(text)
    }
}
