//! A git server over HTTP: git's own, behind a server that counts, asks for passwords, and misbehaves on demand.

use std::{
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use axum_server::tls_rustls::RustlsConfig;
use base64::{Engine, engine::general_purpose::STANDARD};
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::repository::command;

/// What was asked of a server.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub authorization: Option<String>,
    /// Bytes of the answer.
    pub answered: usize,
}

/// How a server behaves.
#[derive(Clone, Debug, Default)]
pub struct Manners {
    /// Who is let in.
    pub password: Option<(String, String)>,
    /// Requests whose path begins with the first are sent to the second with the rest.
    pub redirect: Option<(String, String)>,
    /// Answers to fetches end after so many bytes.
    pub dies_after: Option<usize>,
    /// Every answer is this.
    pub status: Option<u16>,
    /// Answers to fetches never begin.
    pub silent: bool,
    /// Only the oldest version of the protocol is spoken.
    pub old: bool,
}

pub struct Server {
    pub address: SocketAddr,
    pub manners: Arc<Mutex<Manners>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    scheme: &'static str,
    task: JoinHandle<()>,
}

#[derive(Clone)]
struct Shared {
    root: PathBuf,
    manners: Arc<Mutex<Manners>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Serves the repositories in a folder, on loopback.
    pub async fn start(root: &Path) -> Self {
        Self::listen(root, None).await
    }

    pub async fn start_tls(root: &Path, certificate: String, key: String) -> Self {
        let config = RustlsConfig::from_pem(certificate.into_bytes(), key.into_bytes()).await.unwrap();
        Self::listen(root, Some(config)).await
    }

    async fn listen(root: &Path, tls: Option<RustlsConfig>) -> Self {
        let manners = Arc::new(Mutex::new(Manners::default()));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let shared = Shared { root: root.join("served"), manners: manners.clone(), asked: asked.clone() };
        let router = Router::new().fallback(answer).with_state(shared);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let task = tokio::spawn(async move {
            let service = router.into_make_service();
            match tls {
                Some(tls) => axum_server::from_tcp_rustls(listener, tls).unwrap().serve(service).await.unwrap(),
                None => axum_server::from_tcp(listener).unwrap().serve(service).await.unwrap(),
            }
        });
        Self { address, manners, asked, scheme, task }
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}://127.0.0.1:{}/{path}", self.scheme, self.address.port())
    }

    pub fn behave(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut self.manners.lock());
    }

    /// What was asked since this was called the last time.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(shared): State<Shared>, request: Request) -> Response {
    let manners = shared.manners.lock().clone();
    let (parts, body) = request.into_parts();
    let authorization = parts.headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
    let at = {
        let mut asked = shared.asked.lock();
        let (method, path) = (parts.method.to_string(), parts.uri.to_string());
        asked.push(Asked { method, path, authorization: authorization.clone(), answered: 0 });
        asked.len() - 1
    };
    if let Some(status) = manners.status {
        return StatusCode::from_u16(status).unwrap().into_response();
    }
    if let Some((from, to)) = &manners.redirect
        && let Some(rest) = parts.uri.to_string().strip_prefix(from.as_str())
    {
        return (StatusCode::FOUND, [(header::LOCATION, format!("{to}{rest}"))]).into_response();
    }
    if let Some((user, password)) = &manners.password {
        let expected = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        if authorization.as_deref() != Some(&expected) {
            return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic realm=\"git\"")]).into_response();
        }
    }
    let path = percent_decode_str(parts.uri.path()).decode_utf8().unwrap().into_owned();
    let plain = shared.root.join(path.trim_start_matches('/'));
    if plain.is_file() && !path.contains(".git/") {
        return std::fs::read(plain).unwrap().into_response();
    }
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let fetches = path.ends_with("/git-upload-pack") && body.windows(5).any(|bytes| bytes == b"want ");
    if fetches && manners.silent {
        std::future::pending::<()>().await;
    }
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let root = shared.root.clone();
    let method = parts.method.to_string();
    let run = spawn_blocking(move || backend(&root, &method, &path, &query, &parts.headers, &body, manners.old));
    let (status, headers, content) = run.await.unwrap();
    if let Some(asked) = shared.asked.lock().get_mut(at) {
        asked.answered = content.len();
    }
    let body = match manners.dies_after {
        Some(bytes) if fetches => {
            let begin = Bytes::copy_from_slice(&content[..bytes.min(content.len())]);
            let pieces = [Ok(begin), Err(std::io::Error::other("it dies"))];
            Body::from_stream(futures::stream::iter(pieces))
        }
        _ => Body::from(content),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Runs git's own server for one request.
fn backend(
    root: &Path,
    method: &str,
    path: &str,
    query: &str,
    headers: &HeaderMap,
    body: &[u8],
    old: bool,
) -> (StatusCode, HeaderMap, Vec<u8>) {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    let mut command = command("git");
    command.arg("http-backend").env("GIT_PROJECT_ROOT", root).env("GIT_HTTP_EXPORT_ALL", "1");
    command.env("REQUEST_METHOD", method).env("PATH_INFO", path).env("QUERY_STRING", query);
    command.env("CONTENT_TYPE", text("content-type")).env("REMOTE_ADDR", "127.0.0.1");
    command.env("CONTENT_LENGTH", body.len().to_string());
    if !old {
        command.env("GIT_PROTOCOL", text("git-protocol"));
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let sent = body.to_vec();
    let feeder = std::thread::spawn(move || input.write_all(&sent).ok());
    let output = child.wait_with_output().unwrap().stdout;
    feeder.join().unwrap();
    let end = output.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap_or(output.len());
    let mut status = StatusCode::OK;
    let mut answer = HeaderMap::new();
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        let Some((name, value)) = line.split_once(": ") else { continue };
        if name == "Status" {
            status = value.split(' ').next().unwrap().parse().unwrap();
        } else {
            answer.insert(header::HeaderName::try_from(name).unwrap(), value.parse().unwrap());
        }
    }
    (status, answer, output.get(end + 4..).unwrap_or_default().to_vec())
}
