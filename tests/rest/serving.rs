//! How it is served: over TLS with a certificate that changes, and to whose pages.

use std::path::Path;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use reqwest::{
    Certificate, Method,
    header::{ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN, ORIGIN},
    tls::TlsInfo,
};

use crate::support::{Shim, Site, settings, until};

/// A certificate of its own in these files; as the client trusts it.
fn certificate(folder: &Path) -> (Certificate, Vec<u8>) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(folder.join("tls.key"), signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("tls.crt"), cert.pem()).unwrap();
    (Certificate::from_pem(cert.pem().as_bytes()).unwrap(), cert.der().to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_changes_is_used_without_a_restart() {
    let site = Site::bare(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let (first, _) = certificate(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (cert, key) = (file("tls.crt"), file("tls.key"));
    let shim =
        Shim::start(site.lab.client.clone(), settings(&["--rest-tls-cert", &cert, "--rest-tls-key", &key])).await;
    assert!(shim.url.starts_with("https://"), "{}", shim.url);
    let served = async |trusted: &Certificate| {
        let client = reqwest::Client::builder().tls_certs_only([trusted.clone()]).tls_info(true).build().unwrap();
        let answer = client.get(format!("{}/heartbeat", shim.url)).send().await.ok()?;
        answer.extensions().get::<TlsInfo>()?.peer_certificate().map(<[u8]>::to_vec)
    };
    assert!(served(&first).await.is_some());
    let (second, bytes) = certificate(folder.path());
    until(async || served(&second).await.is_some_and(|served| served == bytes)).await;

    // One that cannot be used leaves the old one; at the start it is told with its file.
    std::fs::write(folder.path().join("tls.crt"), "nonsense").unwrap();
    assert!(served(&second).await.is_some());
    let wrong = settings(&["--rest-tls-cert", &cert, "--rest-tls-key", &key]);
    let refused = cloudfaster::rest::Listener::bind(crate::laboratory::lab::LISTEN, &wrong).await;
    let told = refused.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(told.contains("--rest-tls-cert") && told.contains(&cert), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_others_may_use_it_if_they_are_named_and_only_then() {
    let closed = Site::bare(&[]).await;
    let open =
        Shim::start(closed.lab.client.clone(), settings(&["--rest-cors-origin=https://panel.example.com"])).await;
    let allowed = async |url: &str, origin: &str| {
        let request = reqwest::Client::new().request(Method::OPTIONS, format!("{url}/vm"));
        let request = request.header(ORIGIN, origin).header("access-control-request-method", "POST");
        let answer = request.header("access-control-request-headers", "x-api-key").send().await.unwrap();
        let headers = answer.headers();
        (headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN), headers.get(ACCESS_CONTROL_ALLOW_HEADERS).cloned())
    };
    let (origin, headers) = allowed(&open.url, "https://panel.example.com").await;
    assert!(origin && headers.unwrap().to_str().unwrap().contains("x-api-key"));
    assert!(!allowed(&open.url, "https://elsewhere.example.com").await.0);
    assert!(!allowed(&closed.shim.url, "https://panel.example.com").await.0);
}
