//! Stands between the controller and a Proxmox that keeps no log, and notes each request with its answer.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::Response,
};
use axum_server::tls_rustls::RustlsConfig;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// A request and its answer.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub method: String,
    pub path: String,
    pub request: String,
    pub status: u16,
    pub answer: String,
}

/// A running recorder; its listener ends with the test's runtime.
pub struct Recorder {
    pub url: String,
    pub fingerprint: String,
    shared: Arc<Shared>,
}

struct Shared {
    target: String,
    client: reqwest::Client,
    seen: Mutex<Vec<Exchange>>,
}

impl Recorder {
    /// Passes everything on to `target`.
    pub async fn start(target: &str) -> Self {
        // Its certificate was made a moment ago, by a child of the test, on this machine.
        let client = reqwest::Client::builder().danger_accept_invalid_certs(true).build().unwrap();
        let shared = Arc::new(Shared { target: target.to_owned(), client, seen: Mutex::default() });
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let der = made.cert.der().to_vec();
        let fingerprint: Vec<String> = Sha256::digest(&der).iter().map(|byte| format!("{byte:02X}")).collect();
        let tls = RustlsConfig::from_der(vec![der], made.signing_key.serialize_der()).await.unwrap();
        let listener = std::net::TcpListener::bind(super::lab::LISTEN).unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(pass).with_state(shared.clone());
        tokio::spawn(axum_server::from_tcp_rustls(listener, tls).unwrap().serve(router.into_make_service()));
        Self { url, fingerprint: fingerprint.join(":"), shared }
    }

    /// The VMIDs that the other side lists, asked as `root@pam` and not noted.
    pub async fn vms(&self) -> Vec<u64> {
        let list = self.ask(reqwest::Method::GET, "/cluster/resources?type=vm", "").await;
        list["data"].as_array().unwrap().iter().filter_map(|entry| entry["vmid"].as_u64()).collect()
    }

    /// Makes a pool, as `root@pam` and not noted.
    pub async fn add_pool(&self, name: &str) {
        let answer = self.ask(reqwest::Method::POST, "/pools", &format!("poolid={name}")).await;
        assert!(answer["data"].is_null(), "{answer}");
    }

    /// Asks the other side as `root@pam`.
    async fn ask(&self, method: reqwest::Method, path: &str, form: &str) -> Value {
        let Shared { target, client, .. } = &*self.shared;
        let url = |path: &str| format!("{target}/api2/json{path}");
        let kind = (http::header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let login = client.post(url("/access/ticket")).header(&kind.0, kind.1);
        let login = login.body("username=root%40pam&password=secret").send().await.unwrap();
        let login: Value = serde_json::from_slice(&login.bytes().await.unwrap()).unwrap();
        let word = |key: &str| login["data"][key].as_str().unwrap().to_owned();
        let request = client.request(method, url(path)).header("Cookie", format!("PVEAuthCookie={}", word("ticket")));
        let request = request.header("CSRFPreventionToken", word("CSRFPreventionToken")).header(&kind.0, kind.1);
        let answer = request.body(form.to_owned()).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }

    /// What passed so far.
    pub fn seen(&self) -> Vec<Exchange> {
        self.shared.seen.lock().clone()
    }
}

async fn pass(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let url = format!("{}{}", shared.target, parts.uri);
    let mut headers = parts.headers;
    headers.remove(http::header::HOST);
    let answer = shared.client.request(parts.method.clone(), url).headers(headers).body(body.clone()).send().await;
    let answer = http::Response::from(answer.expect("the other side answers"));
    let (head, answered) = answer.into_parts();
    let answered = answered.collect().await.unwrap().to_bytes();
    shared.seen.lock().push(Exchange {
        method: parts.method.to_string(),
        path: parts.uri.to_string(),
        request: String::from_utf8_lossy(&body).into_owned(),
        status: head.status.as_u16(),
        answer: String::from_utf8_lossy(&answered).into_owned(),
    });
    // The head has the reason phrase among its extensions, where Proxmox says what is wrong.
    Response::from_parts(head, Body::from(answered))
}
