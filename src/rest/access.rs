//! Who calls, and what he may.

use std::{net::SocketAddr, sync::Arc};

use axum::extract::{ConnectInfo, FromRequestParts, Path};
use http::{StatusCode, request::Parts};
use jiff::Timestamp;
use kube::ResourceExt;
use serde::de::DeserializeOwned;

use super::{
    Shim,
    keys::{ApiKey, Refusal, Scope},
    limits, names,
    problem::Problem,
};
use crate::api;

/// The header with the key.
pub const HEADER: &str = "x-api-key";

/// What stands in the path. An address that cannot be understood is none.
pub struct Segments<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Shim>> for Segments<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shim: &Arc<Shim>) -> Result<Self, Problem> {
        let Path(segments) = Path::from_request_parts(parts, shim)
            .await
            .map_err(|_| Problem::Told(StatusCode::NOT_FOUND, "Not Found".to_owned()))?;
        Ok(Self(segments))
    }
}

/// Whoever calls, with a key that is right.
pub struct Caller {
    key: Arc<ApiKey>,
}

impl Caller {
    /// Whether the key is good for any of this.
    ///
    /// # Errors
    /// When it is not.
    pub fn needs(&self, scopes: &[Scope]) -> Result<(), Problem> {
        if self.key.may(scopes) {
            return Ok(());
        }
        let scopes: Vec<String> = scopes.iter().map(Scope::to_string).collect();
        Err(Problem::forbidden(format!("API Key lacks the scope {}", scopes.join(" or "))))
    }

    /// Whether the key reaches what is a user's.
    pub fn reaches(&self, userid: &str) -> bool {
        self.key.user.as_deref().is_none_or(|bound| bound == userid)
    }

    /// Makes sure that the key reaches what is a user's.
    ///
    /// # Errors
    /// When it does not.
    pub fn reach(&self, userid: &str) -> Result<(), Problem> {
        if self.reaches(userid) { Ok(()) } else { Err(Problem::forbidden("API Key is bound to another user")) }
    }

    /// Whether the key reaches an object.
    pub fn sees(&self, object: &impl ResourceExt) -> bool {
        match &self.key.user {
            None => true,
            Some(bound) => object.labels().get(api::USER) == Some(&names::user(bound)),
        }
    }

    /// Logs a change that comes to nothing, for that reason.
    ///
    /// # Errors
    /// That reason, always.
    pub fn refused<T>(&self, change: &str, user: &str, object: &str, why: Problem) -> Result<T, Problem> {
        let refused = Err(why);
        self.log(change, user, object, &refused);
        refused
    }

    /// Logs what became of a change.
    pub fn log<T>(&self, change: &str, user: &str, object: &str, done: &Result<T, Problem>) {
        let outcome = done.as_ref().map_or_else(Problem::outcome, |_| "done");
        tracing::info!(key = self.key.id, owner = self.key.owner, user, object, change, outcome, "asked for a change");
    }
}

impl FromRequestParts<Arc<Shim>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shim: &Arc<Shim>) -> Result<Self, Problem> {
        shim.filled()?;
        let given = parts.headers.get(HEADER).filter(|value| !value.is_empty());
        let found = match given {
            Some(value) => {
                // What is no text is no key.
                let found = value.to_str().map_err(|_| Refusal::Unknown);
                found.and_then(|text| shim.keys.find(text, Timestamp::now())).map_err(Some)
            }
            None => Err(None),
        };
        let key = match found {
            Ok(key) => key,
            Err(refusal) => {
                shim.telemetry.metrics.rest_refused(match refusal {
                    None => "missing",
                    Some(Refusal::Unknown) => "unknown",
                    Some(Refusal::Expired) => "expired",
                });
                let peer = ConnectInfo::<SocketAddr>::from_request_parts(parts, shim).await;
                if let Ok(ConnectInfo(peer)) = peer {
                    let proxies = &shim.settings.rest_trusted_proxy;
                    shim.limits.wrong(limits::origin(peer.ip(), &parts.headers, proxies)).await?;
                }
                let told = match refusal {
                    None => "API Key header is missing",
                    Some(_) => "Invalid or expired API Key",
                };
                return Err(Problem::Told(StatusCode::UNAUTHORIZED, told.to_owned()));
            }
        };
        shim.limits.key(&key.id)?;
        Ok(Self { key })
    }
}
