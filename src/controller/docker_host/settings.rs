//! From the spec and its Secrets to the settings of an engine's client.

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use secrecy::SecretString;
use sha2::{Digest, Sha256};

use crate::{
    api::docker_host::DockerHostSpec,
    controller::secret::{Problem, text},
    docker::engine::{Access, Address, Identity, Limits, Settings, Ssh, Tls},
    reason::Reason,
};

/// Tells whether the settings are those that a host is talked to with. No secret can be read from it.
pub fn fingerprint(spec: &DockerHostSpec, credentials: Option<&Secret>, registries: &[Secret]) -> String {
    let mut hash = Sha256::new();
    hash.update(serde_json::to_vec(&(&spec.endpoint, spec.insecure_plaintext)).unwrap_or_default());
    for secret in credentials.into_iter().chain(registries) {
        hash.update(serde_json::to_vec(&(secret.name_any(), &secret.data)).unwrap_or_default());
    }
    hex::encode(hash.finalize())
}

/// How the engine is reached.
///
/// # Errors
/// What of the spec or its Secret cannot work.
pub fn settings(spec: &DockerHostSpec, secret: Option<&Secret>) -> Result<Settings, Problem> {
    let invalid = |message: String| Problem::Stall(Reason::new("InvalidSpec", message));
    let address: Address = spec.endpoint.parse().map_err(|error| invalid(format!("spec.endpoint: {error}")))?;
    let access = match (&address, secret) {
        (Address::Unix(_), _) => Access::Local,
        (Address::Tcp(_), _) if spec.insecure_plaintext == Some(true) => Access::Unencrypted,
        (Address::Tcp(_), Some(secret)) => Access::Tls(tls(secret)?),
        (Address::Ssh { .. }, Some(secret)) => Access::Ssh(ssh(secret)?),
        (Address::Tcp(_) | Address::Ssh { .. }, None) => {
            return Err(invalid("spec.credentials: an engine behind tcp:// or ssh:// needs credentials".to_owned()));
        }
    };
    Ok(Settings { address, access, limits: Limits::default() })
}

/// One of several names of a key of the Secret with the credentials.
fn key(secret: &Secret, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| text(secret, name)).filter(|value| !value.trim().is_empty())
}

fn needed(secret: &Secret, names: &[&str]) -> Result<String, Problem> {
    key(secret, names).ok_or_else(|| {
        let message =
            format!("spec.credentials.secretRef: Secret {} needs the key {}", secret.name_any(), names.join(" or "));
        Problem::Wait(Reason::new("InvalidSecret", message))
    })
}

fn tls(secret: &Secret) -> Result<Tls, Problem> {
    let ca = needed(secret, &["ca.pem", "ca.crt"])?;
    let certificate = needed(secret, &["cert.pem", "tls.crt"])?;
    let key = SecretString::from(needed(secret, &["key.pem", "tls.key"])?);
    Ok(Tls { ca: Some(ca), client: Some(Identity { certificate, key }) })
}

fn ssh(secret: &Secret) -> Result<Ssh, Problem> {
    Ok(Ssh {
        private_key: SecretString::from(needed(secret, &["ssh-privatekey"])?),
        passphrase: key(secret, &["passphrase"]).map(SecretString::from),
        known_hosts: needed(secret, &["known_hosts"])?,
    })
}
