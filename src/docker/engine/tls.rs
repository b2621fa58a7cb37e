//! Which engines are believed over TLS, and who we are to them.

use rustls::{
    ClientConfig,
    pki_types::{PrivateKeyDer, pem::PemObject},
};
use rustls_platform_verifier::BuilderVerifierExt;
use secrecy::ExposeSecret;

use crate::tls;

use super::{Error, Identity, Result, Tls};

pub(super) fn config(access: &Tls) -> Result<ClientConfig> {
    let unusable = |error: rustls::Error| Error::Invalid(format!("TLS cannot be set up: {error}"));
    let Tls { ca, client } = access;
    let builder = tls::client().map_err(unusable)?;
    let builder = match ca {
        Some(pem) => {
            let authorities = tls::authorities(pem)
                .map_err(|problem| Error::Invalid(format!("the CA certificate is not usable: {problem}")))?;
            builder.with_root_certificates(authorities)
        }
        None => builder.with_platform_verifier().map_err(unusable)?,
    };
    let Some(Identity { certificate, key }) = client else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = tls::certificates(certificate)
        .map_err(|problem| Error::Invalid(format!("the client certificate is not usable: {problem}")))?;
    let key = PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes())
        .map_err(|_| Error::Invalid("the client's key is not usable: it is no private key in PEM".to_owned()))?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|error| Error::Invalid(format!("the client certificate and its key do not fit together: {error}")))
}
