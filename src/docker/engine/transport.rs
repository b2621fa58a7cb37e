//! The way to an engine: one connector for sockets, TCP, TLS and SSH, all from memory.
//!
//! The library's own transports take files, trust the system's authorities in any case, and enter by SSH through a
//! program; this one does none of that.

use std::{
    future::Future,
    io,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bollard::{BollardRequest, Docker};
use http::{Method, Uri};
use hyper::rt::ReadBufCursor;
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connected, Connection},
    },
    rt::{TokioExecutor, TokioIo},
};
use rustls::{AlertDescription, pki_types::ServerName};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tower::Service;

use super::{
    Access, Address, Error, HostPort, Result, Settings,
    ssh::{self, Tunnel},
    tls,
};

/// How long a connection is quiet before it is asked whether the other side is still there.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// How long the library waits; each call has a limit of its own here.
const NO_LIMIT: u64 = 365 * 86_400;
/// What the requests' addresses begin with; where they go is the connector's business.
pub(super) const BASE: &str = "http://engine";

/// A client of the library's whose requests go by this connector.
pub(super) fn library(connector: &Connector) -> Result<Docker> {
    let reads = Client::builder(TokioExecutor::new()).build(connector.clone());
    // A connection for each change: one that is closed while it idles would leave the change's effect unknown.
    let writes = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector.clone());
    let transport = move |request: BollardRequest| {
        let client = if request.method() == Method::GET { reads.clone() } else { writes.clone() };
        async move { client.request(request).await.map_err(bollard::errors::Error::from) }
    };
    Docker::connect_with_custom_transport(transport, Some(BASE), NO_LIMIT, bollard::API_DEFAULT_VERSION)
        .map_err(|error| Error::Invalid(error.to_string()))
}

/// Why there is no connection.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum ConnectFailure {
    #[error("{0}")]
    Unreachable(String),
    #[error("{0}")]
    NotTrusted(String),
    #[error("{0}")]
    NotAdmitted(String),
}

impl ConnectFailure {
    pub(super) fn into_error(self, endpoint: &str) -> Error {
        let endpoint = endpoint.to_owned();
        match self {
            Self::Unreachable(reason) => Error::Unreachable { endpoint, reason },
            Self::NotTrusted(reason) => Error::NotTrusted { endpoint, reason },
            Self::NotAdmitted(reason) => Error::NotAdmitted { endpoint, reason },
        }
    }

    fn of_tls(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(problem) => Self::NotTrusted(problem.to_string()),
            other => Self::of_alert(other).unwrap_or_else(|| Self::Unreachable(format!("TLS fails: {other}"))),
        }
    }

    /// What the server says of our certificate.
    pub(super) fn of_alert(error: &rustls::Error) -> Option<Self> {
        let rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied,
        ) = error
        else {
            return None;
        };
        Some(Self::NotAdmitted(format!("it does not accept our client certificate ({error})")))
    }
}

/// Where to connect to, and how.
enum Way {
    Unix(PathBuf),
    Tcp(HostPort),
    Tls { at: HostPort, name: ServerName<'static>, connector: TlsConnector },
    Ssh(Tunnel),
}

impl Way {
    fn new(settings: &Settings) -> Result<Self> {
        let Settings { address, access, limits: _ } = settings;
        Ok(match (address, access) {
            (Address::Unix(path), Access::Local) => Self::Unix(path.clone()),
            (Address::Tcp(at), Access::Unencrypted) => Self::Tcp(at.clone()),
            (Address::Tcp(at), Access::Tls(access)) => {
                let name = ServerName::try_from(at.host.clone())
                    .map_err(|_| Error::Invalid(format!("{:?} is no name that a certificate can have", at.host)))?;
                let connector = TlsConnector::from(Arc::new(tls::config(access)?));
                Self::Tls { at: at.clone(), name, connector }
            }
            (Address::Ssh { user, at, socket }, Access::Ssh(access)) => {
                Self::Ssh(Tunnel::new(ssh::Entry::new(user, at, socket, access)?))
            }
            (Address::Unix(_), _) => return Err(Error::Invalid(format!("{address} takes no credentials"))),
            (Address::Tcp(_), _) => {
                return Err(Error::Invalid(format!(
                    "{address} needs TLS, or the explicit permission to do without encryption"
                )));
            }
            (Address::Ssh { .. }, _) => {
                return Err(Error::Invalid(format!("{address} needs a private key and the server's host keys")));
            }
        })
    }

    async fn go(&self) -> std::result::Result<Stream, ConnectFailure> {
        match self {
            Self::Unix(path) => match UnixStream::connect(path).await {
                Ok(stream) => Ok(Stream::new(stream)),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    Err(ConnectFailure::NotAdmitted("the rights on the socket forbid it".to_owned()))
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    Err(ConnectFailure::Unreachable("there is no such socket".to_owned()))
                }
                Err(error) => Err(ConnectFailure::Unreachable(error.to_string())),
            },
            Self::Tcp(at) => dial(at).await.map(Stream::new),
            Self::Tls { at, name, connector } => {
                let tcp = dial(at).await?;
                let tls = connector.connect(name.clone(), tcp).await;
                let tls = tls.map_err(|error| {
                    match error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>()) {
                        Some(cause) => ConnectFailure::of_tls(cause),
                        None => ConnectFailure::Unreachable(format!("TLS fails: {error}")),
                    }
                })?;
                Ok(Stream::new(tls))
            }
            Self::Ssh(tunnel) => tunnel.open().await.map(Stream::new),
        }
    }
}

/// A TCP connection that notices when the other side is gone.
pub(super) async fn dial(at: &HostPort) -> std::result::Result<TcpStream, ConnectFailure> {
    let unreachable = |error: io::Error| ConnectFailure::Unreachable(error.to_string());
    let stream = TcpStream::connect((at.host.as_str(), at.port)).await.map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive).map_err(unreachable)?;
    Ok(stream)
}

/// Connects to the one engine that it is made for.
#[derive(Clone)]
pub(super) struct Connector {
    way: Arc<Way>,
    limit: Duration,
}

impl Connector {
    pub(super) fn new(settings: &Settings) -> Result<Self> {
        Ok(Self { way: Arc::new(Way::new(settings)?), limit: settings.limits.connect })
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = ConnectFailure;
    type Future = Pin<Box<dyn Future<Output = std::result::Result<Stream, ConnectFailure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), ConnectFailure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { way, limit } = self.clone();
        Box::pin(async move {
            match timeout(limit, way.go()).await {
                Ok(stream) => stream,
                Err(_) => Err(ConnectFailure::Unreachable(format!("no connection within {} s", limit.as_secs()))),
            }
        })
    }
}

/// Bytes in both directions.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection, whatever it is made of.
pub(super) struct Stream(TokioIo<Box<dyn Duplex>>);

impl Stream {
    fn new(stream: impl Duplex + 'static) -> Self {
        Self(TokioIo::new(Box::new(stream)))
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl hyper::rt::Read for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl hyper::rt::Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
