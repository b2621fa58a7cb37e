//! A proxy before the engine that counts the requests that change something, and can die at any of them.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use cloudfaster::docker::engine::{Access, Address, Engine, Limits, Settings};
use hyper::{Method, Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::{
    net::{UnixListener, UnixStream},
    sync::watch,
};
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
    /// It does not: only every so many of the engine's answers one is lost.
    OfReplies(usize),
}

/// A proxy before the engine.
pub struct Proxy {
    folder: TempDir,
    life: Arc<Mutex<Arc<Life>>>,
    _stop: DropGuard,
}

/// A proxy from its start to its death. What was connected to it then stays dead when the next one begins.
pub struct Life {
    upstream: PathBuf,
    death: Death,
    dead: watch::Sender<bool>,
    /// Methods and paths of the requests that change something.
    requests: Mutex<Vec<String>>,
}

impl Proxy {
    /// One that dies then.
    pub fn start(death: Death) -> Self {
        let Address::Unix(upstream) = settings().address else {
            panic!("these tests need an engine behind a unix socket (DOCKER_HOST)")
        };
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("docker.sock")).unwrap();
        let life = Arc::new(Mutex::new(Life::new(upstream, death)));
        let stop = CancellationToken::new();
        let living = life.clone();
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let life = living.lock().clone();
                let answer = service_fn(move |request| answer(life.clone(), request));
                tokio::spawn(async move {
                    let connection = hyper::server::conn::http1::Builder::new();
                    // One that breaks off is what a death is.
                    let _ = connection.serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        }));
        Self { folder, life, _stop: stop.drop_guard() }
    }

    /// Begins another life in the place of this one, which ends.
    pub fn begin(&self, death: Death) -> Arc<Life> {
        let mut life = self.life.lock();
        life.die();
        *life = Life::new(life.upstream.clone(), death);
        life.clone()
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    /// A client of the engine through this proxy.
    pub fn engine(&self) -> Engine {
        let address = Address::Unix(self.socket());
        Engine::new(&Settings { address, access: Access::Local, limits: Limits::default() }).unwrap()
    }

    pub fn is_dead(&self) -> bool {
        self.life.lock().is_dead()
    }

    /// The requests so far that change something.
    pub fn written(&self) -> Vec<String> {
        self.life.lock().written()
    }
}

impl Life {
    fn new(upstream: PathBuf, death: Death) -> Arc<Self> {
        Arc::new(Self { upstream, death, dead: watch::Sender::new(false), requests: Mutex::default() })
    }

    pub fn die(&self) {
        self.dead.send_replace(true);
    }

    pub fn is_dead(&self) -> bool {
        *self.dead.borrow()
    }

    /// Waits for its death.
    pub async fn died(&self) {
        let _ = self.dead.subscribe().wait_for(|dead| *dead).await;
    }

    pub fn written(&self) -> Vec<String> {
        self.requests.lock().clone()
    }

    /// The number of a request that changes something.
    fn count(&self, request: &Request<Incoming>) -> Option<usize> {
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            return None;
        }
        let mut requests = self.requests.lock();
        requests.push(format!("{} {}", request.method(), request.uri().path()));
        Some(requests.len() - 1)
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

async fn answer(life: Arc<Life>, request: Request<Incoming>) -> Result<Response<Incoming>, Dead> {
    if life.is_dead() {
        return Err(Dead);
    }
    let number = life.count(&request);
    if number.is_some_and(|number| life.death == Death::Before(number)) {
        life.die();
        return Err(Dead);
    }
    let answer = forward(&life.upstream, request).await;
    if number.is_some_and(|number| life.death == Death::After(number)) {
        life.die();
    }
    let lost = matches!((life.death, number), (Death::OfReplies(every), Some(number)) if number % every == every - 1);
    if life.is_dead() || lost {
        return Err(Dead);
    }
    answer.map_err(|_| Dead)
}

async fn forward(upstream: &Path, request: Request<Incoming>) -> hyper::Result<Response<Incoming>> {
    let stream = UnixStream::connect(upstream).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    sender.send_request(request).await
}
