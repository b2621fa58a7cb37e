//! A machine as old clients know it.

use std::sync::Arc;

use axum::{Json, extract::State};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use utoipa::ToSchema;

use super::{index::current, object};
use crate::{
    api::{
        ProxmoxVM, Size,
        conditions::{READY, STALLED},
        power::PowerState,
        proxmox_vm::{Phase, ProxmoxVMStatus, Shape, Stage},
    },
    rest::{
        Shim,
        access::{Caller, Segments},
        attempt,
        keys::Scope,
        problem::{Detail, Problem},
    },
};

/// A machine.
#[derive(Debug, Serialize, ToSchema)]
pub struct Vm {
    /// The machine's number in Proxmox.
    #[schema(example = "1003")]
    pub vm_id: String,
    /// What was asked for.
    pub info: Info,
    /// Where it stands.
    pub status: Status,
}

/// What was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub struct Info {
    /// The user whose machine it is.
    #[schema(example = "7")]
    pub userid: String,
    /// Its name; what is none of `A-Z`, `a-z`, `0-9` and `-` was replaced by `-`.
    #[schema(example = "web")]
    pub vm_name: String,
    /// The operating system.
    #[schema(example = "UBUNTU24_SERVER")]
    pub os: String,
    /// Size of the disk in GB.
    #[schema(example = 40)]
    pub disksize: i64,
    /// CPU cores.
    #[schema(example = 2)]
    pub cores: i64,
    /// Memory in MB.
    #[schema(example = 2048)]
    pub memory: i64,
    /// The public SSH keys that reach it.
    pub ssh_pub_key: Option<String>,
}

/// Where a machine stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is being made.
    Creating,
    /// It runs.
    Enabled,
    /// It does not run.
    Disabled,
    /// It cannot be made or kept as it was asked for.
    Error,
}

/// A machine as clients see it; nothing before it has a number.
pub fn view(vm: &ProxmoxVM) -> Option<Vm> {
    let vm_id = current(vm)?.to_string();
    let spec = &vm.spec;
    let keys = spec.cloud_init.as_ref().map(|cloud_init| cloud_init.ssh_keys.join("\n")).unwrap_or_default();
    let said = |name: &str| vm.annotations().get(name).cloned();
    // Of an adopted machine the spec may say nothing, and what was seen counts.
    let Shape { cores, memory, disk, power_state: _ } = spec.shape();
    let seen = vm.status.as_ref();
    let memory = memory.or(seen.and_then(|status| status.memory));
    let disk = disk.map(|disk| disk.size).or(seen.and_then(|status| status.disk_size));
    let info = Info {
        userid: said(attempt::USERID).unwrap_or_default(),
        vm_name: said(object::VM_NAME).unwrap_or_else(|| vm.name_any()),
        os: spec.os.clone().unwrap_or_default(),
        disksize: disk.map_or(0, |size| size.mebibytes() / 1024),
        cores: cores.or(seen.and_then(|status| status.cores)).unwrap_or(0),
        memory: memory.map_or(0, Size::mebibytes),
        ssh_pub_key: Some(keys).filter(|keys| !keys.is_empty()),
    };
    Some(Vm { vm_id, info, status: status(vm) })
}

/// Where a machine stands, in the old words.
pub fn status(vm: &ProxmoxVM) -> Status {
    let Some(status) = &vm.status else { return Status::Creating };
    if is_stalled(vm) {
        return Status::Error;
    }
    let established = status.intent.as_ref().is_some_and(|intent| intent.stage == Stage::Established);
    match status.power_state {
        _ if !established => Status::Creating,
        Some(PowerState::Running) => Status::Enabled,
        Some(PowerState::Stopped | PowerState::Paused) => Status::Disabled,
        // It was not looked at since; what was said last holds.
        None if holds(status, READY) && status.phase == Some(Phase::Running) => Status::Enabled,
        None => Status::Disabled,
    }
}

/// Whether nothing happens until a person changes something, as far as its present spec is concerned.
pub fn is_stalled(vm: &ProxmoxVM) -> bool {
    vm.status.as_ref().is_some_and(|status| is_current(vm, status) && holds(status, STALLED))
}

/// Whether it is as its present spec says.
pub fn is_ready(vm: &ProxmoxVM) -> bool {
    vm.status.as_ref().is_some_and(|status| is_current(vm, status) && holds(status, READY))
}

fn is_current(vm: &ProxmoxVM, status: &ProxmoxVMStatus) -> bool {
    Some(status.observed_generation) == vm.meta().generation
}

fn holds(status: &ProxmoxVMStatus, kind: &str) -> bool {
    status.conditions.iter().any(|condition| condition.type_ == kind && condition.status == "True")
}

/// Whether Proxmox holds the VMID that the status names: the call that clones was answered, and the number is given to
/// nobody else from then on.
pub fn is_held(vm: &ProxmoxVM) -> bool {
    let Some(status) = &vm.status else { return false };
    let Some(intent) = &status.intent else { return false };
    match intent.stage {
        // While it is cloned, its task is awaited; then it is configured.
        Stage::Creating => status.task.is_some() || status.phase == Some(Phase::Configuring),
        Stage::Adopting | Stage::Starting | Stage::Established => true,
        Stage::Abandoning => false,
    }
}

/// Shows a machine
///
/// The status is `creating` while the machine is being made, `enabled` while it runs, `disabled` while it does not, and
/// `error` when it cannot be made or kept as it was asked for.
#[utoipa::path(
    get,
    path = "/vm/{vm_id}",
    tag = "Virtual machines",
    params(("vm_id" = String, Path, description = "The machine's number", example = "1003")),
    responses(
        (status = 200, description = "The machine", body = Vm),
        (status = 401, description = "The API key is missing or wrong", body = Detail),
        (status = 403, description = "The API key lacks the scope `read` or `vms`", body = Detail),
        (status = 404, description = "There is no such machine, or it is another user's", body = Detail),
        (status = 429, description = "Too many requests", body = Detail),
        (status = 503, description = "The control plane does not answer", body = Detail),
    ),
)]
pub async fn get_vm(
    State(shim): State<Arc<Shim>>,
    caller: Caller,
    Segments(vm_id): Segments<String>,
) -> Result<Json<Vm>, Problem> {
    caller.needs(&[Scope::Read, Scope::Vms])?;
    let vmid = vm_id.parse().map_err(|_| missing())?;
    let vm = shim.machines.with_vmid(vmid, |vm| caller.sees(vm)).ok_or_else(missing)?;
    view(&vm).map(Json).ok_or_else(missing)
}

/// There is no such machine, as far as the caller is concerned.
pub fn missing() -> Problem {
    Problem::not_found("VM")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn machine(status: Value) -> ProxmoxVM {
        serde_json::from_value(json!({
            "apiVersion": "cloudfaster.app/v1alpha1",
            "kind": "ProxmoxVM",
            "metadata": {"name": "web", "namespace": "tenants", "generation": 2},
            "spec": {"clusterRef": {"name": "main"}, "os": "DEBIAN12"},
            "status": status,
        }))
        .unwrap()
    }

    fn told(stage: &str, power: Option<&str>, condition: &str, generation: i64) -> ProxmoxVM {
        let time = "2026-01-01T00:00:00Z";
        machine(json!({
            "observedGeneration": generation,
            "vmid": 1000,
            "powerState": power,
            "intent": {"node": "sv1", "vmid": 1000, "attempt": 1, "stage": stage, "since": time},
            "conditions": [
                {"type": condition, "status": "True", "reason": "x", "message": "", "lastTransitionTime": time},
            ],
        }))
    }

    #[test]
    fn the_old_words_say_where_a_machine_stands() {
        for (stage, power, condition, generation, expected) in [
            ("Creating", None, "Reconciling", 2, Status::Creating),
            ("Starting", Some("Stopped"), "Reconciling", 2, Status::Creating),
            ("Abandoning", None, "Reconciling", 2, Status::Creating),
            ("Established", Some("Running"), "Ready", 2, Status::Enabled),
            ("Established", Some("Stopped"), "Ready", 2, Status::Disabled),
            ("Established", Some("Paused"), "Ready", 2, Status::Disabled),
            ("Established", Some("Running"), "Reconciling", 2, Status::Enabled),
            ("Established", Some("Running"), "Stalled", 2, Status::Error),
            ("Established", Some("Running"), "Stalled", 1, Status::Enabled),
            ("Creating", None, "Stalled", 2, Status::Error),
        ] {
            let vm = told(stage, power, condition, generation);
            assert_eq!(status(&vm), expected, "{stage} {power:?} {condition} {generation}");
        }
        assert_eq!(status(&machine(Value::Null)), Status::Creating);
        assert_eq!(status(&machine(json!({"observedGeneration": -1}))), Status::Creating);
    }

    #[test]
    fn a_vmid_is_held_from_the_moment_that_proxmox_clones() {
        let with = |field: &str, value: Value| {
            let mut object = serde_json::to_value(told("Creating", None, "Reconciling", 2)).unwrap();
            object["status"][field] = value;
            serde_json::from_value::<ProxmoxVM>(object).unwrap()
        };
        assert!(!is_held(&with("phase", json!("Cloning"))), "it waits for its turn");
        let upid = "UPID:pve1:00000001:00000001:00000001:qmclone:9000:root@pam:";
        assert!(is_held(&with("task", json!({"upid": upid, "node": "sv1", "action": "Clone"}))));
        assert!(is_held(&with("phase", json!("Configuring"))));
        assert!(is_held(&told("Starting", None, "Reconciling", 2)));
        assert!(!is_held(&told("Abandoning", None, "Reconciling", 2)));
        assert!(!is_held(&machine(Value::Null)));
    }
}
