//! HTTPS in front of a [`Simulator`]: connections as Proxmox's own server keeps and closes them.

mod control;
mod http;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::{Error, Simulator};
use tls::Identity;

/// How long an idle connection stays open, and how many requests it serves.
const IDLE: Duration = Duration::from_secs(5);
const REQUESTS: u32 = 100;

/// What a listener offers.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    /// The node whose API it is; none for the cluster's common address.
    pub node: Option<String>,
    /// Whether the unguarded `/simulator` endpoint is there.
    pub control: bool,
}

/// A listener; it ends when it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    ca_pem: String,
    fingerprint: String,
    stop: CancellationToken,
    task: Option<tokio::task::JoinHandle<()>>,
}

impl Server {
    /// `https://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The certificate's SHA-256, as Proxmox shows it (`AA:BB:…`).
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The certificate of the authority that signed the server's, in PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Closes the listener and its connections, and waits until that is done.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            // It only ends by cancellation; a panic in it has been reported by the runtime.
            let _ = task.await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Simulator {
    /// Serves the cluster's API at one address, through whichever node is up.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn serve(&self, address: SocketAddr) -> Result<Server, Error> {
        self.listen(address, Options::default()).await
    }

    /// The same with the unguarded control endpoint below `/simulator`.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn serve_with_control(&self, address: SocketAddr) -> Result<Server, Error> {
        self.listen(address, Options { node: None, control: true }).await
    }

    /// One listener per node on free ports of the loopback address; those of a node that is down do not answer.
    ///
    /// # Errors
    /// When a port cannot be listened on.
    pub async fn serve_on_nodes(&self) -> Result<Vec<(String, Server)>, Error> {
        let mut servers = Vec::new();
        for node in self.nodes() {
            let options = Options { node: Some(node.clone()), control: false };
            servers.push((node, self.listen(SocketAddr::from(([127, 0, 0, 1], 0)), options).await?));
        }
        Ok(servers)
    }

    pub(super) async fn listen(&self, address: SocketAddr, options: Options) -> Result<Server, Error> {
        let identity = Identity::new()?;
        let failed = |source| Error::Io { what: format!("cannot listen on {address}"), source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let stop = CancellationToken::new();
        let acceptor = TlsAcceptor::from(Arc::clone(&identity.config));
        let task = tokio::spawn(accept(self.clone(), listener, acceptor, options, stop.clone()));
        Ok(Server { address, ca_pem: identity.ca_pem, fingerprint: identity.fingerprint, stop, task: Some(task) })
    }
}

async fn accept(
    simulator: Simulator,
    listener: TcpListener,
    acceptor: TlsAcceptor,
    options: Options,
    stop: CancellationToken,
) {
    let options = Arc::new(options);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            // Tasks go on when nobody asks.
            () = simulator.until_next_event() => {}
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(connection(simulator.clone(), stream, acceptor.clone(), Arc::clone(&options)));
                }
            }
        }
    }
}

async fn connection(simulator: Simulator, stream: TcpStream, acceptor: TlsAcceptor, options: Arc<Options>) {
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let served = AtomicU32::new(0);
    let service = service_fn(|request| {
        let last = served.fetch_add(1, Ordering::Relaxed) + 1 >= REQUESTS;
        http::respond(&simulator, &options, request, last)
    });
    // An error means that the client is gone, or that a fault closed the connection.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
