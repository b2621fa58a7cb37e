//! The client of the Proxmox VE API: how to reach a site, and every call we make to it.
//!
//! Reads are repeated on a fresh connection when the old one broke; a write never is, and its error
//! says whether it can have had an effect ([`Error::certainly_no_effect`]).

mod auth;
mod calls;
mod error;
mod exchange;
mod form;
pub mod phrases;
mod requests;
mod settings;
mod tls;
mod transport;

use std::{fmt, sync::atomic::AtomicUsize};

pub use calls::ConfigView;
pub use error::{ApiError, Error};
pub use exchange::{Exchange, Observer};
pub use form::encode_ssh_keys;
pub use requests::{CloneRequest, ConfigChange, Destroy, Shutdown};
pub use secrecy::SecretString;
pub use settings::{
    Credentials, Endpoint, Fingerprint, InvalidEndpoint, InvalidFingerprint, Settings, Timeouts, Trust,
};

pub type Result<T> = std::result::Result<T, Error>;

/// A client of one *site*: a Proxmox cluster behind one or several endpoints, or a stand-alone host.
pub struct Client {
    endpoints: Vec<Endpoint>,
    /// The endpoint that worked last.
    current: AtomicUsize,
    auth: auth::Auth,
    timeouts: Timeouts,
    /// Keeps connections, as long as Proxmox does.
    reads: reqwest::Client,
    /// Keeps connections for a moment.
    writes: reqwest::Client,
    /// Told of each exchange.
    observer: Option<Observer>,
}

impl Client {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Settings`] when something about the settings cannot work.
    pub fn new(settings: Settings) -> Result<Self> {
        let Settings { endpoints, credentials, trust, timeouts } = settings;
        if endpoints.is_empty() {
            return Err(Error::Settings("no endpoint is given".to_owned()));
        }
        if !matches!(trust, Trust::Insecure)
            && let Some(plain) = endpoints.iter().find(|endpoint| !endpoint.is_https())
        {
            return Err(Error::Settings(format!("{plain} is not https, which needs verification to be off")));
        }
        let tls = tls::config(&trust)?;
        Ok(Self {
            current: AtomicUsize::new(0),
            auth: auth::Auth::new(credentials)?,
            reads: transport::http_client(tls.clone(), &timeouts, transport::IDLE)?,
            writes: transport::http_client(tls, &timeouts, transport::FRESH)?,
            endpoints,
            timeouts,
            observer: None,
        })
    }

    /// The same client, which tells of each exchange.
    #[must_use]
    pub fn observed(self, observer: Observer) -> Self {
        Self { observer: Some(observer), ..self }
    }

    /// Where this client looks, in order of preference.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    fn endpoint_names(&self) -> String {
        let names: Vec<_> = self.endpoints.iter().map(Endpoint::to_string).collect();
        names.join(" or ")
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Client").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}
