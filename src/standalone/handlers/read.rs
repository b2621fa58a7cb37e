//! Get and list.

use std::sync::Arc;

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::view::View;
use super::{Query, Target};
use crate::standalone::json::set;
use crate::standalone::plane::Plane;
use crate::standalone::selectors::Selector;
use crate::standalone::status::ApiError;
use crate::standalone::store::{Name, Record, Snapshot};

pub fn get(
    plane: &Plane,
    target: &Target,
    name: &str,
    query: &Query,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let view = View::wanted(&target.kind, headers, query)?;
    let record = plane.store.get(&target.key(name)).ok_or_else(|| ApiError::not_found(&target.kind, name))?;
    Ok(view.respond(StatusCode::OK, view.object(&record), &[]))
}

/// Where the next page of a list starts. All pages show the same moment.
#[derive(Debug, Serialize, Deserialize)]
struct Continue {
    revision: u64,
    namespace: String,
    name: String,
}

impl Continue {
    fn encode(&self) -> Result<String, ApiError> {
        let json = serde_json::to_vec(self).map_err(ApiError::internal)?;
        Ok(URL_SAFE_NO_PAD.encode(json))
    }

    fn decode(text: &str) -> Result<Self, ApiError> {
        URL_SAFE_NO_PAD
            .decode(text)
            .ok()
            .and_then(|json| serde_json::from_slice(&json).ok())
            .ok_or_else(|| ApiError::bad_request("invalid continue token: continue key is not valid"))
    }
}

pub fn list(plane: &Plane, target: &Target, query: &Query, headers: &HeaderMap) -> Result<Response, ApiError> {
    let view = View::wanted(&target.kind, headers, query)?;
    query.check_list(false)?;
    query.number("timeoutSeconds")?;
    let selector = Selector::parse(&target.kind, query.text("labelSelector"), query.text("fieldSelector"))?;
    let (snapshot, after) = snapshot(plane, target, query)?;
    let limit = match query.number("limit")? {
        None => usize::MAX,
        Some(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
    };
    let mut matching = snapshot
        .objects
        .into_iter()
        .filter(|(name, _)| after.as_ref().is_none_or(|after| name >= after))
        .filter(|(_, record)| selector.matches(&record.value));
    let page: Vec<Arc<Record>> = matching.by_ref().take(limit).map(|(_, record)| record).collect();
    let mut metadata = json!({ "resourceVersion": snapshot.revision.to_string() });
    if let Some((next, _)) = matching.next() {
        let token = Continue { revision: snapshot.revision, namespace: next.namespace, name: next.name };
        set(&mut metadata, "continue", token.encode()?);
        if selector.is_empty() {
            set(&mut metadata, "remainingItemCount", matching.count() + 1);
        }
    }
    Ok(view.respond(StatusCode::OK, view.list(&page, &metadata), &[]))
}

/// The moment that a list shows, and the name at which its page starts.
fn snapshot(plane: &Plane, target: &Target, query: &Query) -> Result<(Snapshot, Option<Name>), ApiError> {
    let shelf = &target.kind.shelf;
    let namespace = target.namespace.as_deref();
    match query.text("continue") {
        "" => {}
        token => {
            let token = Continue::decode(token)?;
            let snapshot = plane
                .store
                .list_at(shelf, namespace, token.revision)
                .map_err(|_| ApiError::expired("The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter."))?;
            return Ok((snapshot, Some(Name::new(token.namespace, token.name))));
        }
    }
    let asked = query.revision()?;
    match query.text("resourceVersionMatch") {
        "Exact" => {
            let current = plane.store.revision();
            if asked > current {
                return Err(ApiError::revision_too_large(asked, current));
            }
            let snapshot =
                plane.store.list_at(shelf, namespace, asked).map_err(|error| ApiError::expired(error.to_string()))?;
            Ok((snapshot, None))
        }
        // NotOlderThan is what happens without it, too.
        _ => {
            let snapshot = plane.store.list(shelf, namespace);
            if asked > snapshot.revision {
                return Err(ApiError::revision_too_large(asked, snapshot.revision));
            }
            Ok((snapshot, None))
        }
    }
}
