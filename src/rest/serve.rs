//! Listening: plainly behind a proxy, or over TLS with a certificate that may change.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum_server::{Handle, tls_rustls::RustlsConfig};
use hyper_util::rt::TokioTimer;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Settings, Shim, docs};

/// How long requests may take to end after the shutdown.
const GRACE: Duration = Duration::from_secs(10);
/// How long a client may take to send the head of a request.
const HEAD: Duration = Duration::from_secs(15);
/// How often it is looked whether the certificate has changed.
const LOOK: Duration = Duration::from_secs(5);

/// Why the shim does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken, or not ours.
    #[error("--rest-listen: cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error("--rest-tls-cert {}, --rest-tls-key {}: {source}", certificate.display(), key.display())]
    Certificate {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It could not go on.
    #[error("the REST listener ended: {0}")]
    Ended(#[from] io::Error),
    /// A cache is kept no more.
    #[error("a watch of the REST shim ended")]
    Watch,
}

/// A certificate, and the files that it comes from.
#[derive(Clone)]
struct Certificate {
    config: RustlsConfig,
    certificate: PathBuf,
    key: PathBuf,
}

/// Where the shim listens.
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Certificate>,
}

impl Listener {
    /// Listens on an address; with port 0, on any free one.
    ///
    /// # Errors
    /// When the address cannot be had, or the certificate cannot be used.
    pub async fn bind(address: SocketAddr, settings: &Settings) -> Result<Self, ServeError> {
        let refused = |source| ServeError::Listen { address, source };
        let listener = TcpListener::bind(address).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let tls = match (&settings.rest_tls_cert, &settings.rest_tls_key) {
            (Some(certificate), Some(key)) => Some(Certificate::read(certificate, key).await?),
            _ => None,
        };
        Ok(Self { listener, address, tls })
    }

    /// The URL on which it is reached from this machine.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let address = match self.address.ip() {
            ip if ip.is_unspecified() => SocketAddr::from(([127, 0, 0, 1], self.address.port())),
            _ => self.address,
        };
        format!("{scheme}://{address}")
    }

    /// Serves until `shutdown`; requests that are under way are answered.
    pub(super) async fn serve(self, shim: Arc<Shim>, shutdown: CancellationToken) -> Result<(), ServeError> {
        let Self { listener, address, tls } = self;
        tracing::info!(%address, tls = tls.is_some(), "the REST API is served");
        let service = docs::router(shim).into_make_service_with_connect_info::<SocketAddr>();
        let handle = Handle::new();
        let served = async {
            match &tls {
                None => {
                    let mut server = axum_server::from_tcp(listener)?.handle(handle.clone());
                    server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
                    server.serve(service).await
                }
                Some(tls) => {
                    let server = axum_server::from_tcp_rustls(listener, tls.config.clone())?;
                    let mut server = server.handle(handle.clone());
                    server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
                    server.serve(service).await
                }
            }
        };
        let watched = async {
            match &tls {
                Some(tls) => tls.follow().await,
                None => std::future::pending().await,
            }
        };
        let ended = async {
            shutdown.cancelled().await;
            handle.graceful_shutdown(Some(GRACE));
            std::future::pending::<()>().await;
        };
        tokio::select! {
            served = served => Ok(served?),
            () = watched => Ok(()),
            () = ended => Ok(()),
        }
    }
}

impl Certificate {
    async fn read(certificate: &Path, key: &Path) -> Result<Self, ServeError> {
        let config = RustlsConfig::from_pem_file(certificate, key).await;
        let (certificate, key) = (certificate.to_owned(), key.to_owned());
        match config {
            Ok(config) => Ok(Self { config, certificate, key }),
            Err(source) => Err(ServeError::Certificate { certificate, key, source }),
        }
    }

    /// Takes the new certificate when the files have changed. One that cannot be used leaves the old one.
    async fn follow(&self) {
        let mut known = self.changed();
        loop {
            sleep(LOOK).await;
            let now = self.changed();
            if now == known {
                continue;
            }
            match self.config.reload_from_pem_file(&self.certificate, &self.key).await {
                Ok(()) => {
                    known = now;
                    tracing::info!(certificate = %self.certificate.display(), "the certificate has changed and is used");
                }
                Err(error) => {
                    tracing::warn!(%error, "the certificate has changed and cannot be used; the old one stays")
                }
            }
        }
    }

    fn changed(&self) -> [Option<SystemTime>; 2] {
        [&self.certificate, &self.key].map(|file| std::fs::metadata(file).and_then(|data| data.modified()).ok())
    }
}
