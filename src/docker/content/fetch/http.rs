//! HTTP to places that tenants name: addresses are checked, redirects are followed with care, sizes and times end.

use std::{net::IpAddr, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use reqwest::{Method, Response, StatusCode, Url, redirect};
use rustls::ClientConfig;
use rustls_platform_verifier::Verifier;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::{
    fs::File,
    io::{AsyncSeekExt, AsyncWriteExt},
    time::timeout,
};

use crate::tls;

use super::{
    Error, Forbidden, Networks, Result, Times,
    address::Resolver,
    error::{cause, chain},
};

/// How often a request is sent elsewhere.
const REDIRECTS: usize = 5;

/// A name and a password, or a token in place of the password.
#[derive(Clone, Debug)]
pub struct Basic {
    /// Whose password it is.
    pub user: String,
    /// The password.
    pub password: SecretString,
}

/// A client that talks to whoever it may.
#[derive(Clone, Debug)]
pub struct Client {
    client: reqwest::Client,
    networks: Arc<Networks>,
    times: Times,
}

/// A file that was downloaded. It is gone when this is dropped.
#[derive(Debug)]
pub struct Downloaded {
    /// At its begin.
    pub file: std::fs::File,
    /// In bytes.
    pub size: u64,
    /// Its SHA-256, in hexadecimal.
    pub digest: String,
}

impl Basic {
    /// Tells these credentials from all others. No secret can be read from it.
    pub fn fingerprint(&self) -> String {
        let Self { user, password } = self;
        hex::encode(
            Sha256::new().chain_update(user).chain_update([0]).chain_update(password.expose_secret()).finalize(),
        )
    }
}

/// What is asked for.
pub(super) struct Outgoing<'a> {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Who we are, for one server.
    pub credentials: Option<&'a Credentials>,
    /// Whether a redirect is followed.
    pub follow: bool,
}

/// Credentials and the server that gets them, which no other one does.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    origin: String,
    header: HeaderValue,
}

impl Credentials {
    pub(super) fn new(basic: &Basic, url: &Url) -> Result<Self> {
        let Basic { user, password } = basic;
        if user.contains(':') {
            return Err(Error::Invalid("the name of the user holds a colon".to_owned()));
        }
        let pair = STANDARD.encode(format!("{user}:{}", password.expose_secret()));
        let mut header = HeaderValue::try_from(format!("Basic {pair}"))
            .map_err(|_| Error::Invalid("the credentials do not fit into a header".to_owned()))?;
        header.set_sensitive(true);
        Ok(Self { origin: origin(url), header })
    }
}

impl Client {
    /// A client that believes the authorities of the operating system, and one more.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the authority (PEM) is none.
    pub fn new(networks: &Networks, ca: Option<&str>, times: Times) -> Result<Self> {
        let extra = ca.map(tls::certificates).transpose();
        let extra = extra.map_err(|problem| Error::Invalid(format!("the CA certificate is not usable: {problem}")))?;
        let unusable = |error: rustls::Error| Error::Invalid(format!("TLS cannot be set up: {error}"));
        let verifier = Verifier::new_with_extra_roots(extra.unwrap_or_default(), tls::provider()).map_err(unusable)?;
        let config: ClientConfig = tls::client()
            .map_err(unusable)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        let networks = Arc::new(networks.clone());
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(config)
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .connect_timeout(times.connect)
            .dns_resolver(Resolver(networks.clone()))
            .user_agent(concat!("git/cloudfaster-", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Error::Invalid(format!("the HTTP client cannot be set up: {}", chain(&error))))?;
        Ok(Self { client, networks, times })
    }

    /// Downloads a file of at most so many bytes. Unless no SHA-256 is expected, the file has it.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn download(
        &self,
        url: &Url,
        expected: Option<&str>,
        credentials: Option<&Basic>,
        most: u64,
    ) -> Result<Downloaded> {
        let total = self.times.total;
        let late = || Error::Timeout { host: host(url), what: "the download did not end", after: total };
        timeout(total, self.download_file(url, expected, credentials, most)).await.unwrap_or_else(|_| Err(late()))
    }

    async fn download_file(
        &self,
        url: &Url,
        expected: Option<&str>,
        credentials: Option<&Basic>,
        most: u64,
    ) -> Result<Downloaded> {
        let credentials = credentials.map(|basic| Credentials::new(basic, url)).transpose()?;
        let request = Outgoing {
            method: Method::GET,
            url: url.clone(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            credentials: credentials.as_ref(),
            follow: true,
        };
        let mut response = self.send(request).await?;
        let large = || Error::TooLarge { what: shown(url), limit: most, unit: "bytes" };
        if response.content_length().is_some_and(|length| length > most) {
            return Err(large());
        }
        let mut file = File::from_std(tempfile::tempfile().map_err(Error::Storage)?);
        let mut hash = Sha256::new();
        let mut size: u64 = 0;
        while let Some(piece) = self.piece(&mut response).await? {
            size = size.saturating_add(piece.len() as u64);
            if size > most {
                return Err(large());
            }
            hash.update(&piece);
            file.write_all(&piece).await.map_err(Error::Storage)?;
        }
        file.flush().await.map_err(Error::Storage)?;
        file.rewind().await.map_err(Error::Storage)?;
        let digest = hex::encode(hash.finalize());
        match expected {
            Some(expected) if !expected.eq_ignore_ascii_case(&digest) => {
                Err(Error::Digest { url: shown(url), expected: expected.to_owned(), got: digest })
            }
            Some(_) | None => Ok(Downloaded { file: file.into_std().await, size, digest }),
        }
    }

    /// Sends a request, to wherever it is redirected.
    pub(super) async fn send(&self, request: Outgoing<'_>) -> Result<Response> {
        let Outgoing { method, mut url, headers, body, credentials, follow } = request;
        for _ in 0..=REDIRECTS {
            self.check(&url)?;
            let mut headers = headers.clone();
            let credentials = credentials.filter(|credentials| credentials.origin == origin(&url));
            if let Some(credentials) = credentials {
                headers.insert(header::AUTHORIZATION, credentials.header.clone());
            }
            let sent = self.client.request(method.clone(), url.clone()).headers(headers).body(body.clone()).send();
            let response = timeout(self.times.idle, sent)
                .await
                .map_err(|_| self.silent(&url))?
                .map_err(|error| self.broken(&url, &error))?;
            if !response.status().is_redirection() {
                return judge(response, credentials.is_some());
            }
            let next = next(&url, &response)?;
            if !follow {
                let reason = "only the first request may be redirected";
                return Err(Error::Redirect { host: host(&url), to: shown(&next), reason });
            }
            url = next;
        }
        Err(Error::Redirect { host: host(&url), to: shown(&url), reason: "there are too many redirects" })
    }

    /// The next bytes of an answer.
    pub(super) async fn piece(&self, response: &mut Response) -> Result<Option<Bytes>> {
        let piece = timeout(self.times.idle, response.chunk()).await;
        let url = response.url();
        piece.map_err(|_| self.silent(url))?.map_err(|error| self.broken(url, &error))
    }

    /// Judges addresses that are written in the URL: the resolver is not asked about them.
    fn check(&self, url: &Url) -> Result<()> {
        let written = url.host_str().unwrap_or_default();
        let address = written.trim_start_matches('[').trim_end_matches(']');
        match address.parse::<IpAddr>() {
            Ok(address) => Ok(self.networks.check(written, address)?),
            Err(_) => Ok(()),
        }
    }

    fn silent(&self, url: &Url) -> Error {
        Error::Timeout { host: host(url), what: "it sends nothing", after: self.times.idle }
    }

    fn broken(&self, url: &Url, error: &reqwest::Error) -> Error {
        let host = host(url);
        if let Some(forbidden) = cause::<Forbidden>(error) {
            return forbidden.clone().into();
        }
        if let Some(rustls::Error::InvalidCertificate(problem)) = cause::<rustls::Error>(error) {
            return Error::NotTrusted { host, reason: format!("its certificate is not valid: {problem:?}") };
        }
        if error.is_timeout() {
            return Error::Timeout { host, what: "no connection", after: self.times.connect };
        }
        let causes = std::error::Error::source(error).map_or_else(|| error.to_string(), chain);
        Error::Unreachable { host, reason: causes }
    }
}

/// What an answer means that is no redirect.
fn judge(response: Response, with_credentials: bool) -> Result<Response> {
    let status = response.status();
    let url = response.url();
    let refused = |reason: &str| Err(Error::NotAdmitted { host: host(url), reason: reason.to_owned() });
    match status {
        status if status.is_success() => Ok(response),
        StatusCode::UNAUTHORIZED if with_credentials => {
            refused("the user or the password (or token) in the Secret is wrong")
        }
        StatusCode::UNAUTHORIZED => {
            refused("it wants credentials, which a Secret can give; some servers say so of what does not exist")
        }
        StatusCode::FORBIDDEN if with_credentials => {
            refused("the credentials in the Secret do not give access to this")
        }
        StatusCode::FORBIDDEN => refused("it is not public; a Secret can give credentials"),
        StatusCode::NOT_FOUND | StatusCode::GONE => {
            let hint = if with_credentials { "" } else { ", or it is not public: a Secret can give credentials" };
            Err(Error::NotFound { url: shown(url), hint })
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
            Err(Error::Busy { host: host(url), status: status.as_u16() })
        }
        status if status.is_server_error() => Err(Error::Busy { host: host(url), status: status.as_u16() }),
        status => Err(Error::Protocol { host: host(url), reason: format!("HTTP status {status}") }),
    }
}

/// Where an answer redirects to.
fn next(url: &Url, response: &Response) -> Result<Url> {
    let to = response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
    let next = to.and_then(|to| url.join(to).ok()).ok_or_else(|| Error::Protocol {
        host: host(url),
        reason: format!("HTTP status {} without a place to go to", response.status()),
    })?;
    let refuse = |reason| Err(Error::Redirect { host: host(url), to: shown(&next), reason });
    match next.scheme() {
        _ if next.host_str().is_none() => refuse("it names no host"),
        _ if !next.username().is_empty() || next.password().is_some() => refuse("it holds credentials"),
        "https" => Ok(next),
        "http" if url.scheme() == "http" => Ok(next),
        "http" => refuse("it is not encrypted"),
        _ => refuse("it is not HTTP"),
    }
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// The host of a URL, with the port if it is not the usual one.
pub(super) fn host(url: &Url) -> String {
    let name = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"))
}

/// A URL as it may be told: what is in a query may be secret.
pub(super) fn shown(url: &Url) -> String {
    format!("{}://{}{}", url.scheme(), host(url), url.path())
}
