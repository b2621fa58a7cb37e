//! `POST /control-service`: what is to become of a service is written down, and not waited for.

use std::sync::Arc;

use axum::{Json, extract::State};
use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::json;
use utoipa::ToSchema;

use super::view::missing;
use crate::{
    api::{docker_service::ServiceState, power::RESTARTED_AT},
    rest::{
        Done, Shim,
        access::{Caller, Segments},
        attempt,
        change::{self, Change},
        fault::Fault,
        keys::Scope,
        problem::{Detail, Invalid, Problem},
    },
};

/// What can be done with a service, in both languages.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "it describes the words, which are read from the table below")]
enum ServiceAction {
    Start,
    Encender,
    Shutdown,
    Apagar,
    Restart,
    Reiniciar,
    Delete,
    Eliminar,
}

/// What becomes of the service.
#[derive(Clone, Copy, Debug)]
enum Fate {
    State(ServiceState),
    Restarted,
    Gone,
}

/// The words of both languages.
const ACTIONS: [(&str, Fate); 8] = [
    ("start", Fate::State(ServiceState::Running)),
    ("encender", Fate::State(ServiceState::Running)),
    ("shutdown", Fate::State(ServiceState::Stopped)),
    ("apagar", Fate::State(ServiceState::Stopped)),
    ("restart", Fate::Restarted),
    ("reiniciar", Fate::Restarted),
    ("delete", Fate::Gone),
    ("eliminar", Fate::Gone),
];

/// Starts, stops, restarts or deletes a service
///
/// The answer says that it was taken note of. `restart` starts a service that does not run; `delete` removes its containers and its
/// volumes, with all that users and databases have in them.
#[utoipa::path(
    post,
    path = "/control-service/{service_id}/{action}",
    tag = "Docker services",
    params(
        ("service_id" = String, Path, description = "What the service is known by",
         example = "0b9c1e0a-5d5e-4a0c-9a53-3d2f0b1f6c11"),
        ("action" = inline(ServiceAction), Path, description = "What is to be done, in English or Spanish"),
    ),
    responses(
        (status = 200, description = "It is being done", body = Done),
        (status = 401, description = "The API key is missing or wrong", body = Detail),
        (status = 403, description = "The API key lacks the scope `services`", body = Detail),
        (status = 404, description = "There is no such service, or it is another user's", body = Detail),
        (status = 409, description = "The service was changed at the same time", body = Detail),
        (status = 422, description = "There is no such action", body = Invalid),
        (status = 429, description = "Too many requests", body = Detail),
        (status = 503, description = "The control plane does not answer", body = Detail),
    ),
)]
pub async fn control_service(
    State(shim): State<Arc<Shim>>,
    caller: Caller,
    Segments((service_id, action)): Segments<(String, String)>,
) -> Result<Json<Done>, Problem> {
    caller.needs(&[Scope::Services]).or_else(|why| caller.refused(&action, "", &service_id, why))?;
    let known = ACTIONS.iter().find(|(word, _)| *word == action);
    let Some((word, fate)) = known else {
        let words = ACTIONS.map(|(word, _)| word);
        return Err(Problem::fault(Fault::not_among(("path", "action"), &words, &action)));
    };
    let found = shim.services.with_uid(&service_id, |service| caller.sees(service)).ok_or_else(missing);
    let service = found.or_else(|why| caller.refused(word, "", &service_id, why))?;
    let change = match fate {
        Fate::State(state) => Change::Patch(json!({"metadata": {}, "spec": {"state": state}})),
        Fate::Restarted => Change::Patch(json!({
            "metadata": {"annotations": {RESTARTED_AT: Timestamp::now().to_string()}},
            "spec": {"state": ServiceState::Running},
        })),
        Fate::Gone => Change::Delete,
    };
    let done = change::write(&shim, &*service, change, missing).await;
    let user = service.annotations().get(attempt::USERID).map(String::as_str).unwrap_or_default();
    caller.log(word, user, &format!("{} ({service_id})", service.name_any()), &done);
    done.map(|()| Json(Done::default()))
}
