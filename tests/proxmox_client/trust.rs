//! Which servers are believed.

use cloudfaster::proxmox::client::{Client, Error, Fingerprint, Result, Trust};
use serde_json::json;

use crate::server::{PveServer, Reply};

async fn server() -> PveServer {
    PveServer::start(|_| Reply::data(json!({"version": "9.2.11"}))).await
}

async fn ask(server: &PveServer, trust: Trust) -> Result<()> {
    let mut settings = server.settings();
    settings.trust = trust;
    Client::new(settings)?.version().await.map(drop)
}

#[tokio::test]
async fn the_pinned_certificate_is_believed() {
    let server = server().await;
    let shown = server.fingerprint.to_string().to_lowercase();
    let pinned: Fingerprint = shown.parse().unwrap();
    ask(&server, Trust::Fingerprints(vec![pinned])).await.unwrap();
}

#[tokio::test]
async fn another_certificate_is_refused_and_nothing_is_sent() {
    let server = server().await;
    let pinned = Fingerprint::of(b"another");
    let error = ask(&server, Trust::Fingerprints(vec![pinned])).await;
    match error.unwrap_err() {
        error @ Error::Fingerprint { .. } => {
            assert!(error.certainly_no_effect());
            let shown = error.to_string();
            assert!(shown.contains(&server.fingerprint.to_string()), "{shown}");
            assert!(shown.contains(&pinned.to_string()), "{shown}");
        }
        other => panic!("{other:?}"),
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_bundle_believes_what_it_signed_and_nothing_else() {
    let (server, other) = (server().await, server().await);
    ask(&server, Trust::Bundle(server.pem.clone())).await.unwrap();
    let error = ask(&server, Trust::Bundle(other.pem.clone())).await;
    assert!(matches!(error, Err(Error::Certificate { .. })), "{error:?}");
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn a_bundle_without_certificates_is_refused() {
    let server = server().await;
    for pem in ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let error = ask(&server, Trust::Bundle(pem.to_owned())).await;
        assert!(matches!(error, Err(Error::Settings(_))), "{pem:?} {error:?}");
    }
}

#[tokio::test]
async fn the_system_does_not_believe_a_self_signed_certificate() {
    let server = server().await;
    let error = ask(&server, Trust::System).await;
    assert!(matches!(error, Err(Error::Certificate { .. } | Error::Settings(_))), "{error:?}");
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn anything_is_believed_only_when_asked_for() {
    let server = server().await;
    ask(&server, Trust::Insecure).await.unwrap();
}

#[tokio::test]
async fn plain_http_needs_verification_to_be_off() {
    let server = server().await;
    let mut settings = server.settings();
    settings.endpoints = vec!["http://127.0.0.1:8006".parse().unwrap()];
    assert!(matches!(Client::new(settings.clone()), Err(Error::Settings(_))));
    settings.trust = Trust::Insecure;
    assert!(Client::new(settings).is_ok());
}
