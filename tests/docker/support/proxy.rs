//! A proxy before the engine that counts the requests that change something, and can die at any of them.

use std::{
    convert::Infallible,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use cloudfaster::docker::engine::{Access, Address, Engine, Limits, Settings};
use http_body_util::BodyExt;
use hyper::{Method, Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::engine::settings;

/// When a proxy dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    Never,
    /// At the request of this number, from 0, which does not reach the engine.
    Before(usize),
    /// At the request of this number, which the engine answers.
    After(usize),
}

/// A proxy before the engine.
pub struct Proxy {
    folder: TempDir,
    state: Arc<State>,
    _stop: DropGuard,
}

struct State {
    upstream: PathBuf,
    death: Death,
    written: AtomicUsize,
    dead: AtomicBool,
    /// Methods and paths of the requests that change something.
    requests: Mutex<Vec<String>>,
}

impl Proxy {
    /// One that dies then.
    pub fn start(death: Death) -> Self {
        let Address::Unix(upstream) = settings().address else {
            panic!("the tests of convergence need an engine behind a unix socket (DOCKER_HOST)")
        };
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("docker.sock")).unwrap();
        let state = Arc::new(State {
            upstream,
            death,
            written: AtomicUsize::new(0),
            dead: AtomicBool::new(false),
            requests: Mutex::default(),
        });
        let stop = CancellationToken::new();
        let accepting = state.clone();
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = accepting.clone();
                let answer = service_fn(move |request| answer(state.clone(), request));
                tokio::spawn(async move {
                    let connection = hyper::server::conn::http1::Builder::new();
                    // One that breaks off is what a death is.
                    let _ = connection.serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        }));
        Self { folder, state, _stop: stop.drop_guard() }
    }

    /// A client of the engine through this proxy.
    pub fn engine(&self) -> Engine {
        let address = Address::Unix(self.folder.path().join("docker.sock"));
        Engine::new(&Settings { address, access: Access::Local, limits: Limits::default() }).unwrap()
    }

    pub fn is_dead(&self) -> bool {
        self.state.dead.load(Ordering::SeqCst)
    }

    /// The requests so far that change something.
    pub fn written(&self) -> Vec<String> {
        self.state.requests.lock().clone()
    }
}

#[derive(Debug)]
struct Dead;

impl std::fmt::Display for Dead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the proxy is dead")
    }
}

impl std::error::Error for Dead {}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Incoming>, Dead> {
    if state.dead.load(Ordering::SeqCst) {
        return Err(Dead);
    }
    let writes = !matches!(*request.method(), Method::GET | Method::HEAD);
    let number = if writes { state.written.fetch_add(1, Ordering::SeqCst) } else { usize::MAX };
    if writes {
        state.requests.lock().push(format!("{} {}", request.method(), request.uri().path()));
    }
    if state.death == Death::Before(number) {
        state.dead.store(true, Ordering::SeqCst);
        return Err(Dead);
    }
    let answer = forward(&state, request).await;
    if state.death == Death::After(number) {
        state.dead.store(true, Ordering::SeqCst);
        return Err(Dead);
    }
    Ok(answer)
}

async fn forward(state: &State, request: Request<Incoming>) -> Response<Incoming> {
    let stream = UnixStream::connect(&state.upstream).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = request.map(|body| body.map_err(|error| -> Infallible { panic!("a request broke off: {error}") }));
    sender.send_request(request).await.unwrap()
}
