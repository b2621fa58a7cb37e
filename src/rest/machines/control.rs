//! `POST /control-vm`: what is to become of a machine is written down, and not waited for.

use std::{num::IntErrorKind, sync::Arc};

use axum::{Json, extract::State};
use http::StatusCode;
use kube::ResourceExt;
use serde_json::json;
use utoipa::ToSchema;

use super::view::missing;
use crate::{
    api::power::PowerState,
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

/// What can be done with a machine, in both languages.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "it describes the words, which are read from the table below")]
enum Action {
    Start,
    Encender,
    Shutdown,
    Apagar,
    Pause,
    Pausar,
    Delete,
    Eliminar,
}

/// What becomes of the machine.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Power(PowerState),
    Gone,
}

/// The words of both languages.
const ACTIONS: [(&str, Fate); 8] = [
    ("start", Fate::Power(PowerState::Running)),
    ("encender", Fate::Power(PowerState::Running)),
    ("shutdown", Fate::Power(PowerState::Stopped)),
    ("apagar", Fate::Power(PowerState::Stopped)),
    ("pause", Fate::Power(PowerState::Paused)),
    ("pausar", Fate::Power(PowerState::Paused)),
    ("delete", Fate::Gone),
    ("eliminar", Fate::Gone),
];

/// Starts, shuts down, pauses or deletes a machine
///
/// The answer says that it was taken note of. `shutdown` asks the guest to shut down cleanly; `delete` stops the machine
/// hard, and removes it with its disks.
#[utoipa::path(
    post,
    path = "/control-vm/{vm_id}/{action}",
    tag = "Virtual machines",
    params(
        ("vm_id" = i64, Path, description = "The machine's number", example = 1003),
        ("action" = inline(Action), Path, description = "What is to be done, in English or Spanish"),
    ),
    responses(
        (status = 200, description = "It is being done", body = Done),
        (status = 400, description = "The machine's number is none", body = Detail),
        (status = 401, description = "The API key is missing or wrong", body = Detail),
        (status = 403, description = "The API key lacks the scope `vms`", body = Detail),
        (status = 404, description = "There is no such machine, or it is another user's", body = Detail),
        (status = 409, description = "The machine was changed at the same time", body = Detail),
        (status = 422, description = "There is no such action", body = Invalid),
        (status = 429, description = "Too many requests", body = Detail),
        (status = 503, description = "The control plane does not answer", body = Detail),
    ),
)]
pub async fn control_vm(
    State(shim): State<Arc<Shim>>,
    caller: Caller,
    Segments((vm_id, action)): Segments<(String, String)>,
) -> Result<Json<Done>, Problem> {
    caller.needs(&[Scope::Vms]).or_else(|why| caller.refused(&action, "", &vm_id, why))?;
    let known = ACTIONS.iter().find(|(word, _)| *word == action);
    let Some((word, fate)) = known else {
        let words = ACTIONS.map(|(word, _)| word);
        return Err(Problem::fault(Fault::not_among(("path", "action"), &words, &action)));
    };
    let vmid = number(&vm_id)?;
    let found = shim.machines.with_vmid(vmid, |vm| caller.sees(vm)).ok_or_else(missing);
    let vm = found.or_else(|why| caller.refused(word, "", &vm_id, why))?;
    let change = match fate {
        Fate::Power(state) => Change::Patch(json!({"metadata": {}, "spec": {"powerState": state}})),
        Fate::Gone => Change::Delete,
    };
    let done = change::write(&shim, &*vm, change, missing).await;
    let user = vm.annotations().get(attempt::USERID).map(String::as_str).unwrap_or_default();
    caller.log(word, user, &format!("{} ({vmid})", vm.name_any()), &done);
    done.map(|()| Json(Done::default()))
}

/// The number of a machine. One that no machine can have is one all the same.
fn number(text: &str) -> Result<i64, Problem> {
    let no_number = || Problem::Told(StatusCode::BAD_REQUEST, "VM ID must be an integer".to_owned());
    text.parse::<i64>().map_err(|error| match error.kind() {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => missing(),
        _ => no_number(),
    })
}
