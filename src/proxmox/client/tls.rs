//! Which server certificates are believed.

use std::sync::Arc;

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use rustls_platform_verifier::BuilderVerifierExt;

use crate::tls;

use super::{Error, Fingerprint, Result, Trust};

/// The certificate is another than the pinned one.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the certificate has the fingerprint {got}")]
pub(super) struct FingerprintMismatch {
    pub expected: Vec<Fingerprint>,
    pub got: Fingerprint,
}

pub(super) fn config(trust: &Trust) -> Result<ClientConfig> {
    let provider = tls::provider();
    let builder = tls::client().map_err(unusable)?;
    Ok(match trust {
        Trust::System => builder.with_platform_verifier().map_err(unusable)?.with_no_client_auth(),
        Trust::Bundle(pem) => {
            let authorities = tls::authorities(pem)
                .map_err(|problem| Error::Settings(format!("the CA bundle is not usable: {problem}")))?;
            builder.with_root_certificates(authorities).with_no_client_auth()
        }
        Trust::Fingerprints(pinned) if pinned.is_empty() => {
            return Err(Error::Settings("no fingerprint is given".to_owned()));
        }
        Trust::Fingerprints(pinned) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier { pinned: Some(pinned.clone()), provider }))
            .with_no_client_auth(),
        Trust::Insecure => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier { pinned: None, provider }))
            .with_no_client_auth(),
    })
}

fn unusable(error: rustls::Error) -> Error {
    Error::Settings(format!("TLS cannot be set up: {error}"))
}

/// Believes pinned certificates only, or any. Either way the server must prove that it has the
/// certificate's key: a certificate is public, so showing it proves nothing.
#[derive(Debug)]
struct Verifier {
    pinned: Option<Vec<Fingerprint>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let got = Fingerprint::of(end_entity);
        match &self.pinned {
            Some(expected) if !expected.contains(&got) => {
                let mismatch = FingerprintMismatch { expected: expected.clone(), got };
                Err(CertificateError::Other(OtherError(Arc::new(mismatch))).into())
            }
            Some(_) | None => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
