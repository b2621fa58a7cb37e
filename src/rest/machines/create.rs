//! `POST /vm`: a machine is made, and its number told as soon as Proxmox holds it.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Request, State},
};
use http::StatusCode;
use kube::{Api, ResourceExt};
use tokio::time::Instant;

use super::{
    object,
    request::{VmForm, Wanted},
    view::{Vm, is_held, is_ready, is_stalled, view},
};
use crate::{
    api::ProxmoxVM,
    rest::{
        Shim,
        access::Caller,
        attempt::Attempt,
        form,
        keys::Scope,
        making::Making,
        patience,
        problem::{Detail, Invalid, Problem},
    },
};

/// Makes a machine
///
/// The answer comes as soon as Proxmox holds the machine's number, while it is still being made; with `wait`, when it
/// runs, or that time is over. Nothing is left behind by a request that is answered otherwise, unless it carries an
/// idempotency key: then the same request goes on where the one before ended.
#[utoipa::path(
    post,
    path = "/vm",
    tag = "Virtual machines",
    params(
        ("wait" = Option<i64>, Query, description = "So many seconds the answer waits for the machine to run", minimum = 0,
         maximum = 600),
        ("Idempotency-Key" = Option<String>, Header, description = "A key of the client's own for this request: it can be \
         sent again, and there is one machine, as long as the machine is there", min_length = 1, max_length = 255,
         pattern = "^[!-~]+$"),
    ),
    request_body(content(
        (VmForm = "application/x-www-form-urlencoded"),
        (VmForm = "multipart/form-data"),
    )),
    responses(
        (status = 201, description = "The machine is there, or being made", body = Vm),
        (status = 400, description = "The body cannot be read, or the cluster refuses the machine", body = Detail),
        (status = 401, description = "The API key is missing or wrong", body = Detail),
        (status = 403, description = "The API key lacks the scope `vms`, or is bound to another user", body = Detail),
        (status = 408, description = "The body does not come", body = Detail),
        (status = 409, description = "The user has a machine of this name", body = Detail),
        (status = 413, description = "The body is too large", body = Detail),
        (status = 422, description = "The form does not validate", body = Invalid),
        (status = 429, description = "Too many requests", body = Detail),
        (status = 503, description = "The control plane does not answer, or no node has room; nothing is made",
         body = Detail),
    ),
)]
pub async fn create_vm(
    State(shim): State<Arc<Shim>>,
    caller: Caller,
    request: Request,
) -> Result<(StatusCode, Json<Vm>), Problem> {
    caller.needs(&[Scope::Vms]).or_else(|why| caller.refused("create", "", "", why))?;
    let mut faults = Vec::new();
    let mut note = |fault| faults.push(fault);
    let wait = patience::wait(request.uri().query()).map_err(&mut note).unwrap_or_default();
    let headers = request.headers().clone();
    let key = patience::idempotency_key(&headers).map_err(&mut note).unwrap_or_default();
    let form = form::read(request).await?;
    let known = shim.systems();
    if known.is_empty() {
        return Err(Problem::unavailable("No ProxmoxCluster has a template yet"));
    }
    let wanted = Wanted::read(&form, &known, faults)?;
    caller.reach(&wanted.userid).or_else(|why| caller.refused("create", &wanted.userid, &wanted.vm_name, why))?;
    let cluster = shim.cluster_for(&wanted.os)?;
    let attempt =
        object::attempt(&wanted, &cluster, key).map_err(|error| Problem::unavailable(format!("A defect: {error}")))?;
    // It comes to its end even if the client goes away: what was begun is finished or taken back.
    let (userid, vm_name) = (wanted.userid.clone(), wanted.vm_name.clone());
    let made = tokio::spawn(make(shim, wanted, attempt, Duration::from_secs(wait))).await;
    let made = made.unwrap_or_else(|_| Err(Problem::unavailable("It did not come to an end")));
    caller.log("create", &userid, &vm_name, &made);
    Ok((StatusCode::CREATED, Json(made?)))
}

async fn make(shim: Arc<Shim>, wanted: Wanted, attempt: Attempt<ProxmoxVM>, wait: Duration) -> Result<Vm, Problem> {
    let namespace = shim.places.namespace(&shim, &wanted.userid).await?;
    let api = Api::<ProxmoxVM>::namespaced(shim.client.clone(), &namespace);
    let making = Making { shim: &shim, api, seen: &shim.machines, attempt, word: "VM", called: &wanted.vm_name };
    let begun = Instant::now();
    let vm = making.create().await?;
    let vm = making.held(vm, begun + shim.settings.rest_vmid_wait).await?;
    let vm = making.ready(vm, begun + wait).await;
    view(&vm).ok_or_else(|| Problem::unavailable("The VM lost its number; ask for it again"))
}

/// A machine that is being made.
type MakingVm<'a> = Making<'a, ProxmoxVM>;

impl MakingVm<'_> {
    /// Waits until Proxmox holds the machine's number; what does not come to it in time is taken back.
    async fn held(&self, mut vm: ProxmoxVM, until: Instant) -> Result<ProxmoxVM, Problem> {
        let mut follow = self.follow(&vm);
        loop {
            let seen = follow.borrow_and_update().clone();
            if let Some(seen) = seen.filter(|seen| seen.uid() == vm.uid()) {
                vm = (*seen).clone();
            }
            if vm.metadata.deletion_timestamp.is_some() {
                return Err(Problem::conflict("The VM was deleted while it was being made"));
            }
            if is_held(&vm) {
                return Ok(vm);
            }
            if !is_stalled(&vm) && self.changes(&mut follow, until, &self.shim.closed).await {
                continue;
            }
            let Some(newer) = self.give_up(&vm).await? else { return Err(refusal(&vm)) };
            vm = newer;
        }
    }

    /// Takes back what does not come to anything; what has changed meanwhile is looked at again.
    async fn give_up(&self, vm: &ProxmoxVM) -> Result<Option<ProxmoxVM>, Problem> {
        if self.attempt.selector.is_some() && !is_stalled(vm) {
            // The client asks again, and it goes on.
            return Ok(None);
        }
        self.remove(vm).await
    }

    /// Waits until it runs, cannot, or the time is over.
    async fn ready(&self, mut vm: ProxmoxVM, until: Instant) -> ProxmoxVM {
        let mut follow = self.follow(&vm);
        while !is_ready(&vm) && !is_stalled(&vm) {
            if !self.changes(&mut follow, until, &self.shim.closing).await {
                break;
            }
            match follow.borrow_and_update().clone() {
                Some(seen) if seen.uid() == vm.uid() => vm = (*seen).clone(),
                // It is gone: what was known last is told.
                _ => break,
            }
        }
        vm
    }
}

/// Why a machine did not get a number.
fn refusal(vm: &ProxmoxVM) -> Problem {
    let message = vm.status.as_ref().and_then(|status| status.message.clone());
    if is_stalled(vm) {
        let why = message.unwrap_or_else(|| "the VM cannot be made".to_owned());
        Problem::Told(StatusCode::BAD_REQUEST, why)
    } else {
        let why = message.unwrap_or_else(|| "the controller has not looked at it yet".to_owned());
        Problem::unavailable(format!("The VM could not be made in time: {why}"))
    }
}
