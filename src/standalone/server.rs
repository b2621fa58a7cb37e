//! The API for the outside: TLS, a bearer token, and a kubeconfig file for kubectl.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header;
use rustls::ServerConfig;
use serde_json::json;
use subtle::ConstantTimeEq as _;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::certificates::{Authority, CertificateError};
use super::private;
use super::status::ApiError;

const TOKEN: &str = "token";

/// How long requests may take to end after the shutdown; watches end at once.
const GRACE: Duration = Duration::from_secs(5);

/// What anybody may ask, as on any cluster.
const OPEN: &[&str] = &["/healthz", "/livez", "/readyz", "/version"];

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot use {}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    #[error("cannot write the kubeconfig: {0}")]
    Kubeconfig(String),
}

/// A server that runs until the control plane ends.
#[derive(Debug)]
pub struct Serving {
    address: SocketAddr,
    kubeconfig: PathBuf,
    task: JoinHandle<io::Result<()>>,
}

impl Serving {
    /// Where it listens; the port is a real one even if 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The file that `kubectl --kubeconfig` takes.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// The server could not go on.
    pub async fn ended(self) -> io::Result<()> {
        self.task.await.map_err(io::Error::other)?
    }
}

/// Serves `router` to those who have the token, which is kept in `directory` with the certificates.
pub async fn serve(
    router: Router,
    directory: &Path,
    listen: SocketAddr,
    kubeconfig: &Path,
    shutdown: CancellationToken,
) -> Result<Serving, ServeError> {
    tokio::fs::create_dir_all(directory)
        .await
        .map_err(|source| ServeError::File { path: directory.to_owned(), source })?;
    let token = token(&directory.join(TOKEN))?;
    let authority = Authority::open(directory)?;
    let certificate = authority.issue(listen.ip())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificate.chain, certificate.key)?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];

    let cannot_listen = |source| ServeError::Listen { address: listen, source };
    let listener = std::net::TcpListener::bind(listen).map_err(cannot_listen)?;
    listener.set_nonblocking(true).map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    let handle = Handle::new();
    let server = axum_server::from_tcp_rustls(listener, RustlsConfig::from_config(Arc::new(tls)))
        .map_err(cannot_listen)?
        .handle(handle.clone());
    let text = kubeconfig_text(address, authority.certificate(), &token)?;
    private::write(kubeconfig, text.as_bytes())
        .map_err(|source| ServeError::File { path: kubeconfig.to_owned(), source })?;
    let guarded = router.layer(from_fn_with_state(Arc::<str>::from(token), authenticate));
    let task = tokio::spawn(async move {
        let served = server.serve(guarded.into_make_service());
        tokio::pin!(served);
        tokio::select! {
            ended = &mut served => return ended,
            () = shutdown.cancelled() => handle.graceful_shutdown(Some(GRACE)),
        }
        served.await
    });
    Ok(Serving { address, kubeconfig: kubeconfig.to_owned(), task })
}

async fn authenticate(State(token): State<Arc<str>>, request: Request, next: Next) -> Response {
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .unwrap_or_default();
    let known = bool::from(given.as_bytes().ct_eq(token.as_bytes()));
    if known || OPEN.contains(&request.uri().path()) {
        next.run(request).await
    } else {
        ApiError::unauthorized().into_response()
    }
}

/// The token of this data directory, made at the first start.
fn token(path: &Path) -> Result<String, ServeError> {
    let failed = |source| ServeError::File { path: path.to_owned(), source };
    match std::fs::read_to_string(path) {
        Ok(token) if !token.trim().is_empty() => return Ok(token.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let token = hex::encode(rand::random::<[u8; 32]>());
    private::write(path, token.as_bytes()).map_err(failed)?;
    Ok(token)
}

fn kubeconfig_text(address: SocketAddr, authority: &str, token: &str) -> Result<String, ServeError> {
    const NAME: &str = "cloudfaster";
    // One listens on "any" address, but connects to a real one.
    let host = match address.ip() {
        ip if ip.is_unspecified() && ip.is_ipv4() => [127, 0, 0, 1].into(),
        ip if ip.is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let server = SocketAddr::new(host, address.port());
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": NAME,
            "cluster": {
                "server": format!("https://{server}"),
                "certificate-authority-data": STANDARD.encode(authority),
            },
        }],
        "users": [{ "name": NAME, "user": { "token": token } }],
        "contexts": [{
            "name": NAME,
            "context": { "cluster": NAME, "user": NAME, "namespace": "default" },
        }],
        "current-context": NAME,
    });
    serde_saphyr::to_string(&config).map_err(|error| ServeError::Kubeconfig(error.to_string()))
}
