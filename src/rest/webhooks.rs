//! `POST /webhooks`: a forge tells that a repository has changed. It has no API key, but shares a secret with the service.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Json,
    extract::{ConnectInfo, Request, State},
};
use futures::StreamExt;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use ring::hmac;
use serde_json::json;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::time::{Duration, timeout};

use super::{
    Done, Shim,
    access::Segments,
    change::{self, Change},
    limits,
    problem::{Detail, Problem},
    services::missing,
};
use crate::api::{DockerService, docker_service::FETCH_AT};

/// The key of the Secret that is shared with the forge.
const KEY: &str = "webhook-secret";
/// The shortest secret that opens anything.
const LEAST: usize = 16;
/// The largest body.
const MOST_BYTES: usize = 5 << 20;
/// How long it may take to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// GitHub's, Gitea's and Forgejo's header, and Bitbucket's.
const SIGNATURES: [&str; 2] = ["x-hub-signature-256", "x-hub-signature"];
/// How their value begins.
const SIGNED: &str = "sha256=";
/// GitLab's.
const TOKEN: &str = "x-gitlab-token";

/// Has a service fetch its repository
///
/// Forges call this when something was pushed. The secret that they share is in the Secret that the service's `source.git.secretRef`
/// names, under the key `webhook-secret`.
#[utoipa::path(
    post,
    path = "/webhooks/{namespace}/{service}",
    tag = "Docker services",
    security(()),
    params(
        ("namespace" = String, Path, description = "The namespace of the service", example = "cloudfaster-users"),
        ("service" = String, Path, description = "The name of the service's object", example = "shop-0123456789ab"),
        ("X-Hub-Signature-256" = Option<String>, Header, description = "The body's HMAC with SHA-256, by GitHub, Gitea and Forgejo"),
        ("X-Hub-Signature" = Option<String>, Header, description = "The same by Bitbucket"),
        ("X-Gitlab-Token" = Option<String>, Header, description = "The secret itself, by GitLab"),
    ),
    responses(
        (status = 202, description = "The repository is looked at", body = Done),
        (status = 400, description = "The body cannot be read", body = Detail),
        (status = 403, description = "The signature or the token is missing or wrong", body = Detail),
        (status = 404, description = "There is no such service, or it shares no secret with a forge", body = Detail),
        (status = 408, description = "The body does not come", body = Detail),
        (status = 409, description = "The service was changed at the same time", body = Detail),
        (status = 413, description = "The body is larger than 5 MiB", body = Detail),
        (status = 429, description = "Too many requests with wrong signatures", body = Detail),
        (status = 503, description = "The control plane does not answer", body = Detail),
    ),
)]
pub async fn receive(
    State(shim): State<Arc<Shim>>,
    Segments(name): Segments<(String, String)>,
    request: Request,
) -> Result<(StatusCode, Json<Done>), Problem> {
    shim.filled()?;
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    let origin = peer.map(|peer| limits::origin(peer, request.headers(), &shim.settings.rest_trusted_proxy));
    let done = hear(&shim, &name, request).await;
    // Whoever guesses is slowed down, at names as well as at secrets.
    if let (Err(Problem::Told(StatusCode::FORBIDDEN | StatusCode::NOT_FOUND, _)), Some(origin)) = (&done, origin) {
        shim.limits.wrong(origin).await?;
    }
    done?;
    Ok((StatusCode::ACCEPTED, Json(Done::default())))
}

async fn hear(shim: &Shim, name: &(String, String), request: Request) -> Result<(), Problem> {
    let service = shim.services.named(name).ok_or_else(missing)?;
    let secret = shared(shim, &service).await?.ok_or_else(missing)?;
    let (parts, body) = request.into_parts();
    let mut signature = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &secret));
    let reading = async {
        let (mut pieces, mut left) = (body.into_data_stream(), MOST_BYTES);
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|_| told(StatusCode::BAD_REQUEST, "The body cannot be read"))?;
            left = left.checked_sub(piece.len()).ok_or_else(|| {
                told(StatusCode::PAYLOAD_TOO_LARGE, &format!("The body is larger than {MOST_BYTES} bytes"))
            })?;
            signature.update(&piece);
        }
        Ok::<_, Problem>(signature.sign())
    };
    let late = |_| told(StatusCode::REQUEST_TIMEOUT, "The body did not come in time");
    let signed = timeout(PATIENCE, reading).await.map_err(late)??;
    if !is_right(&parts.headers, signed.as_ref(), &secret) {
        return Err(Problem::forbidden("The signature or the token is missing or wrong"));
    }
    let now = Timestamp::now().to_string();
    let patch = json!({"metadata": {"annotations": {FETCH_AT: now}}});
    let done = change::write(shim, &*service, Change::Patch(patch), missing).await;
    let outcome = done.as_ref().map_or_else(Problem::outcome, |()| "done");
    tracing::info!(namespace = name.0, object = name.1, outcome, "a forge tells of a change");
    done
}

fn told(status: StatusCode, why: &str) -> Problem {
    Problem::Told(status, why.to_owned())
}

/// The secret that a service shares with a forge, if there is one.
async fn shared(shim: &Shim, service: &DockerService) -> Result<Option<Vec<u8>>, Problem> {
    let git = service.spec.source.as_ref().and_then(|source| source.git.as_ref());
    let Some(reference) = git.and_then(|git| git.secret_ref.as_ref()) else { return Ok(None) };
    let namespace = service.namespace().unwrap_or_default();
    let secrets = Api::<Secret>::namespaced(shim.client.clone(), &namespace);
    let found = match shim.ask(secrets.get_opt(&reference.name)).await {
        Err(kube::Error::Api(status)) if status.is_forbidden() => None,
        found => found?,
    };
    let secret = found.and_then(|found| found.data?.remove(KEY)).map(|value| value.0);
    Ok(secret.map(|secret| secret.trim_ascii().to_vec()).filter(|secret| secret.len() >= LEAST))
}

/// Whether a forge has signed with the secret, or shown it.
fn is_right(headers: &HeaderMap, signed: &[u8], secret: &[u8]) -> bool {
    let signature = SIGNATURES.iter().find_map(|name| headers.get(*name)?.to_str().ok()?.strip_prefix(SIGNED));
    if let Some(given) = signature.and_then(|signature| hex::decode(signature).ok()) {
        return given.ct_eq(signed).into();
    }
    // Their hashes, so that the time that it takes does not tell how long the secret is.
    let token = headers.get(TOKEN).map(|token| Sha256::digest(token.as_bytes()));
    token.is_some_and(|token| token.ct_eq(&Sha256::digest(secret)).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forge_is_known_by_its_signature_or_its_token() {
        let secret = b"It's a Secret to Everybody";
        // From GitHub's documentation.
        let right = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let signed = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), b"Hello, World!");
        let sha256 = format!("sha256={right}");
        let wrong = format!("sha256={}", right.replace('7', "8"));
        for (header, value, expected) in [
            ("x-hub-signature-256", sha256.as_str(), true),
            ("x-hub-signature", &sha256, true),
            ("x-hub-signature-256", &wrong, false),
            ("x-hub-signature-256", right, false),
            ("x-hub-signature", "sha1=757107ea0eb2509fc211221cce984b8a37570b6d", false),
            ("x-hub-signature-256", "sha256=", false),
            ("x-hub-signature-256", "sha256=757107", false),
            ("x-gitlab-token", "It's a Secret to Everybody", true),
            ("x-gitlab-token", "It's a Secret", false),
            ("x-other", "It's a Secret to Everybody", false),
        ] {
            let headers = HeaderMap::from_iter([(header.parse().unwrap(), value.parse().unwrap())]);
            assert_eq!(is_right(&headers, signed.as_ref(), secret), expected, "{header}: {value}");
        }
    }
}
