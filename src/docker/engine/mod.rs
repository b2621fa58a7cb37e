//! The client of the Docker Engine API: how to reach an engine, and every call we make to it.
//!
//! Calls take ids where there are ids: names can be another's by the time they are used. Removals of what is gone succeed.
//! No call is repeated here; what a failure means says [`outcome`].

mod archive;
mod build;
mod capacity;
mod containers;
mod error;
mod events;
mod exec;
mod images;
pub mod inventory;
pub(crate) mod known_hosts;
mod networks;
pub mod outcome;
mod phrases;
mod pull;
mod reference;
mod request;
mod settings;
mod ssh;
mod tls;
mod transport;
mod volumes;

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use bollard::Docker;
use futures::{Stream, StreamExt};
use tokio::time::timeout;

pub use archive::{Archive, Node};
pub use build::{Build, BuildProgress, Context};
pub use capacity::{ApiVersion, Capacity, OLDEST_API};
pub use containers::Removal;
pub use error::{Error, Refusal};
pub use exec::{Command, Executed};
pub use pull::{Credentials, PullProgress};
pub use reference::{InvalidReference, Reference};
pub use request::{Call, Request};
pub use settings::{Access, Address, HostPort, Identity, InvalidAddress, Limits, Settings, Ssh, Tls};

pub type Result<T> = std::result::Result<T, Error>;

/// A client of one engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    docker: Docker,
    events: events::Client,
    /// As errors name it.
    endpoint: Arc<str>,
    limits: Limits,
}

impl Engine {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Invalid`] when something about the settings cannot work.
    pub fn new(settings: &Settings) -> Result<Self> {
        let connector = transport::Connector::new(settings)?;
        Ok(Self {
            docker: transport::library(&connector)?,
            events: events::Client::new(connector),
            endpoint: settings.address.to_string().into(),
            limits: settings.limits,
        })
    }

    /// Where the engine is, as it was given.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The answer of a call, in time.
    async fn call<T>(
        &self,
        request: Request,
        limit: Duration,
        answer: impl Future<Output = std::result::Result<T, bollard::errors::Error>>,
    ) -> Result<T> {
        match timeout(limit, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Error::from_library(&self.endpoint, request, error)),
            Err(_) => Err(Error::Timeout { request, after: limit }),
        }
    }

    /// The next item of a stream that may be silent for so long.
    async fn next<T>(
        &self,
        request: &Request,
        limit: Duration,
        stream: &mut (impl Stream<Item = std::result::Result<T, bollard::errors::Error>> + Unpin),
    ) -> Result<Option<T>> {
        match timeout(limit, stream.next()).await {
            Ok(Some(Ok(item))) => Ok(Some(item)),
            Ok(Some(Err(error))) => Err(Error::from_library(&self.endpoint, request.clone(), error)),
            Ok(None) => Ok(None),
            Err(_) => Err(Error::Timeout { request: request.clone(), after: limit }),
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Engine").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// A filter as the engine takes it.
fn filter(key: &str, values: &[&str]) -> HashMap<String, Vec<String>> {
    HashMap::from([(key.to_owned(), values.iter().map(|value| (*value).to_owned()).collect())])
}

/// What is found, or nothing if it is not there.
fn if_found<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// A name or id that is to stand in a path.
///
/// # Errors
/// One that would make another path of it.
fn segment(request: &Request) -> Result<&str> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '-' | ':');
    let name = request.target.as_str();
    if name.is_empty() || name.starts_with('.') || !name.chars().all(allowed) {
        return Err(Error::Invalid(format!("{name:?} is no name or id (to {})", request.call.words())));
    }
    Ok(name)
}
