//! Sending a request and reading its answer: endpoints, retries, time limits, and what went wrong.

use std::{
    collections::BTreeMap,
    io,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use backon::{ExponentialBuilder, Retryable};
use http::{HeaderMap, header};
use hyper::ext::ReasonPhrase;
use reqwest::{Method, Response, StatusCode};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{ApiError, Client, Endpoint, Error, Result, Timeouts, exchange, form::Params, tls::FingerprintMismatch};

/// Proxmox closes a connection that idles for 5 s (`PVE::APIServer::AnyEvent`); ours go before.
pub(super) const IDLE: Duration = Duration::from_secs(3);

/// A write goes over a connection only that was in use just now: one that is closed while it idles would leave the effect
/// unknown.
pub(super) const FRESH: Duration = Duration::from_secs(1);

/// Where tickets come from.
pub(super) const LOGIN: &str = "/access/ticket";

/// How often a read is repeated when its connection broke.
const RETRIES: usize = 2;

/// A client whose connections are used again for so long.
pub(super) fn http_client(tls: rustls::ClientConfig, timeouts: &Timeouts, idle: Duration) -> Result<reqwest::Client> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .http1_only()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(timeouts.connect)
        .pool_idle_timeout(idle)
        .pool_max_idle_per_host(16)
        .user_agent(concat!("cloudfaster/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| Error::Settings(format!("the HTTP client cannot be set up: {error}")))
}

/// A request, not yet addressed to an endpoint.
pub(super) struct Outgoing<'a> {
    pub method: Method,
    pub path: &'a str,
    pub params: Params,
}

impl Outgoing<'_> {
    /// As errors name it: without parameters, which may be secret.
    pub fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    fn is_read(&self) -> bool {
        self.method == Method::GET
    }
}

/// What Proxmox wraps every answer in.
#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
}

/// What a refusal's body holds, if it has one.
#[derive(Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    errors: Option<BTreeMap<String, Value>>,
}

impl Client {
    /// A read, repeated when its connection breaks.
    pub(super) async fn read<T: DeserializeOwned>(&self, path: &str, params: Params) -> Result<T> {
        let request = Outgoing { method: Method::GET, path, params };
        repeated(|| self.authenticated(&request)).await
    }

    /// A read of this very endpoint, not repeated.
    pub(super) async fn read_at<T: DeserializeOwned>(&self, endpoint: &Endpoint, path: &str) -> Result<T> {
        let request = Outgoing { method: Method::GET, path, params: Params::new() };
        let proof = self.prove(&request.method, None).await?;
        self.exchange(endpoint, &request, &proof.headers).await
    }

    /// A write, sent once at most: only a refused ticket, which proves that nothing was done, is followed by
    /// another attempt.
    pub(super) async fn write<T: DeserializeOwned>(&self, method: Method, path: &str, params: Params) -> Result<T> {
        let request = Outgoing { method, path, params };
        self.authenticated(&request).await
    }

    async fn authenticated<T: DeserializeOwned>(&self, request: &Outgoing<'_>) -> Result<T> {
        let proof = self.prove(&request.method, None).await?;
        match self.send(request, &proof.headers).await {
            Err(error) if self.may_renew(&error) => {
                let proof = self.prove(&request.method, Some(&proof)).await?;
                self.send(request, &proof.headers).await
            }
            outcome => outcome,
        }
    }

    /// Sends to the endpoint that worked last, and to the others as long as there is no connection.
    pub(super) async fn send<T: DeserializeOwned>(&self, request: &Outgoing<'_>, proof: &HeaderMap) -> Result<T> {
        let preferred = self.current.load(Ordering::Relaxed);
        let mut first_error = None;
        for step in 0..self.endpoints.len() {
            let at = (preferred + step) % self.endpoints.len();
            let Some(endpoint) = self.endpoints.get(at) else {
                continue;
            };
            match self.exchange(endpoint, request, proof).await {
                Err(error) if is_no_connection(&error) => {
                    // A certificate that is wrong tells more than a host that is down.
                    let tells_more = !matches!(error, Error::Unreachable { .. })
                        && matches!(first_error, Some(Error::Unreachable { .. }));
                    if first_error.is_none() || tells_more {
                        first_error = Some(error);
                    }
                }
                outcome => {
                    if at != preferred {
                        tracing::warn!(%endpoint, "another Proxmox endpoint is used from now on");
                        self.current.store(at, Ordering::Relaxed);
                    }
                    if matches!(outcome, Err(Error::Timeout { .. } | Error::ReplyLost { .. })) {
                        self.switch_endpoint();
                    }
                    return outcome;
                }
            }
        }
        Err(first_error.unwrap_or_else(|| Error::Settings("no endpoint is given".to_owned())))
    }

    /// Makes the next endpoint the preferred one: this one answers, but not usefully (it has no quorum, say).
    pub fn switch_endpoint(&self) {
        let count = self.endpoints.len();
        if count > 1 {
            let at = self.current.load(Ordering::Relaxed);
            self.current.store((at + 1) % count, Ordering::Relaxed);
        }
    }

    /// One request, one answer, and whoever observes is told.
    async fn exchange<T: DeserializeOwned>(
        &self,
        endpoint: &Endpoint,
        request: &Outgoing<'_>,
        proof: &HeaderMap,
    ) -> Result<T> {
        let begun = Instant::now();
        let answer = self.ask(endpoint, request, proof).await;
        if let Some(observer) = &self.observer {
            exchange::tell(observer, request.method.as_str(), request.path, &answer, begun.elapsed());
        }
        answer
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        endpoint: &Endpoint,
        request: &Outgoing<'_>,
        proof: &HeaderMap,
    ) -> Result<T> {
        let encoded = request.params.encode();
        let in_query = matches!(request.method, Method::GET | Method::DELETE);
        let url = endpoint.url(request.path, if in_query { &encoded } else { "" });
        let (client, limit) =
            if request.is_read() { (&self.reads, self.timeouts.read) } else { (&self.writes, self.timeouts.write) };
        let mut builder = client.request(request.method.clone(), url).headers(proof.clone()).timeout(limit);
        if !in_query {
            builder = builder.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(encoded);
        }
        let failed = |error| transport_error(endpoint, request, limit, error);
        let response = builder.send().await.map_err(failed)?;
        let status = response.status();
        let reason = reason_phrase(&response);
        // The text of a refusal may be in the head alone; a body that breaks off costs nothing then.
        let body = match response.bytes().await {
            Ok(body) => body,
            Err(_) if status.as_u16() >= 400 && !reason.is_empty() => Default::default(),
            Err(error) => return Err(failed(error)),
        };
        if !status.is_success() {
            return Err(refusal(request, status, reason, &body).into());
        }
        serde_json::from_slice::<Envelope<T>>(&body).map(|envelope| envelope.data).map_err(|error| Error::Decode {
            request: request.name(),
            // The parser quotes what it does not like, which a login's answer must not be.
            reason: match request.path {
                LOGIN => "it is no ticket".to_owned(),
                _ => error.to_string(),
            },
        })
    }
}

/// Repeats what has no effect in Proxmox when its connection broke.
pub(super) async fn repeated<T, F: Future<Output = Result<T>>>(send: impl FnMut() -> F) -> Result<T> {
    let pauses =
        ExponentialBuilder::default().with_min_delay(Duration::from_millis(50)).with_max_times(RETRIES).with_jitter();
    send.retry(pauses).when(|error| matches!(error, Error::ReplyLost { .. })).await
}

impl From<ApiError> for Error {
    fn from(refusal: ApiError) -> Self {
        Self::Api(Box::new(refusal))
    }
}

/// Whether no connection came about, so that another endpoint can be tried.
fn is_no_connection(error: &Error) -> bool {
    matches!(error, Error::Unreachable { .. } | Error::Fingerprint { .. } | Error::Certificate { .. })
}

/// Before pve-http-server 5.2 a refusal's text is nowhere but here.
fn reason_phrase(response: &Response) -> String {
    response
        .extensions()
        .get::<ReasonPhrase>()
        .map(|reason| String::from_utf8_lossy(reason.as_bytes()).trim().to_owned())
        .unwrap_or_default()
}

fn refusal(request: &Outgoing<'_>, status: StatusCode, reason: String, body: &[u8]) -> ApiError {
    let Refusal { message, errors } = serde_json::from_slice(body).unwrap_or_default();
    let message = message.map(|text| text.trim().to_owned());
    let text = message
        .filter(|text| !text.is_empty())
        .or_else(|| Some(reason).filter(|text| !text.is_empty()))
        .or_else(|| status.canonical_reason().map(str::to_owned))
        .unwrap_or_default();
    let fields = errors
        .unwrap_or_default()
        .into_iter()
        .map(|(field, text)| {
            let text = match text {
                // Proxmox repeats what it does not like.
                _ if field.contains("password") => "is not accepted".to_owned(),
                Value::String(text) => text.trim().to_owned(),
                other => other.to_string(),
            };
            (field, text)
        })
        .collect();
    ApiError { request: request.name(), status: status.as_u16(), text, fields }
}

fn transport_error(endpoint: &Endpoint, request: &Outgoing<'_>, limit: Duration, error: reqwest::Error) -> Error {
    let error = error.without_url();
    let causes = Causes::of(&error);
    let endpoint = endpoint.to_string();
    if let Some(FingerprintMismatch { expected, got }) = causes.mismatch {
        Error::Fingerprint { endpoint, expected, got }
    } else if let Some(reason) = causes.certificate {
        Error::Certificate { endpoint, reason }
    } else if error.is_connect() {
        let reason = if error.is_timeout() { "no connection in time".to_owned() } else { causes.last };
        Error::Unreachable { endpoint, reason }
    } else if error.is_timeout() {
        Error::Timeout { request: request.name(), after: limit }
    } else if error.is_builder() {
        Error::Settings(format!("{} cannot be sent: {}", request.name(), causes.last))
    } else {
        Error::ReplyLost { request: request.name(), reason: causes.last }
    }
}

/// What is behind an error of the HTTP library.
#[derive(Default)]
struct Causes {
    mismatch: Option<FingerprintMismatch>,
    certificate: Option<String>,
    last: String,
}

impl Causes {
    fn of(error: &reqwest::Error) -> Self {
        let mut causes = Self::default();
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(cause) = next {
            causes.last = cause.to_string();
            if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
                causes.look_into(tls);
            }
            // An I/O error's source skips the error that it wraps.
            next = match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
                Some(wrapped) => Some(wrapped),
                None => cause.source(),
            };
        }
        causes
    }

    fn look_into(&mut self, error: &rustls::Error) {
        let rustls::Error::InvalidCertificate(problem) = error else {
            return;
        };
        self.certificate = Some(problem.to_string());
        if let rustls::CertificateError::Other(other) = problem {
            self.mismatch = other.0.downcast_ref::<FingerprintMismatch>().cloned();
        }
    }
}
