//! A small HTTPS server that answers as told: status, reason phrase and body, or not at all.

use std::{collections::VecDeque, convert::Infallible, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use cloudfaster::proxmox::client::{Client, Credentials, Endpoint, Fingerprint, Settings, Timeouts, Trust};
use http::{HeaderMap, Method, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, ext::ReasonPhrase, service::service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::{net::TcpListener, sync::Notify};
use tokio_rustls::TlsAcceptor;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: String,
    /// Which connection it came on.
    pub connection: usize,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

/// What the server does with a request.
#[derive(Clone, Debug)]
pub enum Reply {
    Answer {
        status: u16,
        reason: String,
        body: String,
    },
    /// The connection ends without an answer.
    Lost,
    /// The connection ends within the answer.
    CutOff,
    /// Nothing happens.
    Hang,
}

impl Reply {
    pub fn data(data: impl Into<Value>) -> Self {
        let body = serde_json::json!({"data": data.into()}).to_string();
        Self::Answer { status: 200, reason: "OK".to_owned(), body }
    }

    pub fn refusal(status: u16, reason: &str, body: &str) -> Self {
        Self::Answer { status, reason: reason.to_owned(), body: body.to_owned() }
    }
}

type Handler = dyn Fn(&Seen) -> Reply + Send + Sync;

/// A running server; it stops when dropped.
pub struct PveServer {
    pub address: SocketAddr,
    pub fingerprint: Fingerprint,
    /// The certificate, signed by itself, for `localhost` and `127.0.0.1`.
    pub pem: String,
    shared: Arc<Shared>,
    accepting: tokio::task::JoinHandle<()>,
}

struct Shared {
    handler: Box<Handler>,
    seen: Mutex<Vec<Seen>>,
    connections: Mutex<usize>,
    arrived: Notify,
}

impl PveServer {
    /// Answers by a function of the request.
    pub async fn start(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let certified = rcgen::generate_simple_self_signed(["localhost".into(), "127.0.0.1".into()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der());
        let tls = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key.unwrap())
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            handler: Box::new(handler),
            seen: Mutex::default(),
            connections: Mutex::default(),
            arrived: Notify::new(),
        });
        let accepting = tokio::spawn(accept(listener, TlsAcceptor::from(Arc::new(tls)), shared.clone()));
        Self {
            address,
            fingerprint: Fingerprint::of(certified.cert.der()),
            pem: certified.cert.pem(),
            shared,
            accepting,
        }
    }

    /// Answers one reply after the other.
    pub async fn script(replies: impl IntoIterator<Item = Reply>) -> Self {
        let replies = Mutex::new(replies.into_iter().collect::<VecDeque<_>>());
        Self::start(move |seen| {
            replies
                .lock()
                .pop_front()
                .unwrap_or_else(|| Reply::refusal(500, &format!("nothing is planned for {}", seen.path), ""))
        })
        .await
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().clone()
    }

    /// How many connections got through the TLS handshake.
    pub fn connections(&self) -> usize {
        *self.shared.connections.lock()
    }

    pub fn endpoint(&self) -> Endpoint {
        format!("https://{}", self.address).parse().unwrap()
    }

    /// A client with a token and this server's fingerprint.
    pub fn client(&self) -> Client {
        Client::new(self.settings()).unwrap()
    }

    pub fn settings(&self) -> Settings {
        Settings {
            endpoints: vec![self.endpoint()],
            credentials: Credentials::Token { id: "op@pve!full".to_owned(), secret: "s3cr3t".into() },
            trust: Trust::Fingerprints(vec![self.fingerprint]),
            timeouts: Timeouts::default(),
        }
    }
}

impl Drop for PveServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, shared) = (tls.clone(), shared.clone());
        connections.spawn(async move {
            let Ok(stream) = tls.accept(stream).await else {
                return;
            };
            let number = {
                let mut connections = shared.connections.lock();
                *connections += 1;
                *connections
            };
            let service = service_fn(|request| answer(request, number, shared.clone()));
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the connection is given up")]
struct GivenUp;

type Body = http_body_util::combinators::BoxBody<Bytes, GivenUp>;

async fn answer(
    request: http::Request<Incoming>,
    connection: usize,
    shared: Arc<Shared>,
) -> Result<Response<Body>, GivenUp> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| GivenUp)?.to_bytes();
    let seen = Seen {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
        connection,
    };
    let reply = (shared.handler)(&seen);
    shared.seen.lock().push(seen);
    shared.arrived.notify_waiters();
    let (status, reason, body) = match reply {
        Reply::Answer { status, reason, body } => (status, reason, body),
        Reply::Lost => return Err(GivenUp),
        Reply::Hang => std::future::pending().await,
        Reply::CutOff => {
            let started =
                Full::new(Bytes::from_static(b"{\"data\":")).map_err(|never: Infallible| match never {}).boxed();
            let mut response = Response::new(started);
            // Promises more than comes.
            response.headers_mut().insert(header::CONTENT_LENGTH, 4096.into());
            return Ok(response);
        }
    };
    let body = Full::new(Bytes::from(body)).map_err(|never: Infallible| match never {}).boxed();
    let mut response = Response::builder().status(StatusCode::from_u16(status).unwrap());
    if status >= 400 {
        // As Proxmox does.
        response = response.header(header::CONNECTION, "close");
    }
    let mut response = response.body(body).unwrap();
    let reason = ReasonPhrase::try_from(reason.into_bytes()).unwrap();
    response.extensions_mut().insert(reason);
    Ok(response)
}

impl PveServer {
    /// Waits until this many requests have arrived.
    pub async fn wait_for_requests(&self, count: usize) {
        loop {
            let arrived = self.shared.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            if self.shared.seen.lock().len() >= count {
                return;
            }
            arrived.await;
        }
    }
}
