//! What an object refers to, and what its spec means: everything that is read from Kubernetes.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt};

use crate::{
    api::{
        ProxmoxCluster, ProxmoxVM,
        common::SecretKeyRef,
        power::{PowerState, RESTARTED_AT, Shutdown},
        proxmox_cluster::ProxmoxClusterSpec,
        proxmox_vm::{
            self, Adopt, CloneKind, CloudInit, DeletionPolicy, ProxmoxVMSpec, RebootPolicy, Shape, WhenMissing,
        },
    },
    controller::{
        Shared, finalizer,
        fleet::Fleet,
        policy::{self, Request},
        proxmox_cluster::fleet_of,
        secret,
        unresolved::{Ground, Unresolved, stall, wait},
    },
    proxmox::{
        plan::{
            self, Desired, MachineSpec, Owner, Place, PowerSpec, Reason, Recorded, ShutdownSpec, Source, TemplateRef,
            Terms,
        },
        restart,
        wire::Vmid,
    },
};

use super::{convert, spec};

/// What an object's reconcile works with.
pub struct World {
    /// Whose machine it is.
    pub owner: Owner,
    /// What is desired.
    pub desired: Desired,
    /// What was recorded.
    pub recorded: Recorded,
    /// How its cluster is reached.
    pub fleet: Arc<Fleet>,
}

impl From<spec::Invalid> for Unresolved {
    fn from(invalid: spec::Invalid) -> Self {
        stall("InvalidSpec", invalid.to_string())
    }
}

/// Resolves an object.
///
/// # Errors
/// Why there is nothing to do for it.
pub async fn resolve(shared: &Shared, vm: &ProxmoxVM) -> Result<World, Unresolved> {
    let held = finalizer::is_held(vm);
    let deleting = vm.metadata.deletion_timestamp.is_some();
    if deleting && !held {
        return Err(Unresolved::Nothing);
    }
    let adopted = vm.spec.adopt.is_some();
    let end = match vm.spec.deletion_policy {
        _ if !deleting => None,
        DeletionPolicy::Delete => Some(Desired::Gone { protection: vm.spec.protection, adopted }),
        DeletionPolicy::Retain => Some(Desired::LetGo { adopted }),
        DeletionPolicy::Orphan => return Err(Unresolved::Orphaned),
    };
    let recorded = recorded(vm, held)?;
    let cluster = cluster(shared, vm, deleting).await?;
    let desired = if let Some(end) = end {
        end
    } else if cluster.metadata.deletion_timestamp.is_some() && !held {
        let name = cluster.name_any();
        return Err(wait(
            "ClusterDeleting",
            format!("ProxmoxCluster {name} is being deleted and takes no new machines"),
        ));
    } else {
        let terms = terms(shared, vm, &cluster.spec).await?;
        Desired::Running { machine: machine(shared, vm).await?, fleet: laid_down(&cluster)?, terms }
    };
    let fleet = shared.fleets.get(&vm.spec.cluster_ref.name).map_err(|reason| {
        wait(&reason.word, format!("ProxmoxCluster {}: {}", vm.spec.cluster_ref.name, reason.message))
    })?;
    if fleet.inventory.snapshot().sites().any(|(_, site)| !site.was_asked()) {
        return Err(wait("ClusterNotReady", "Proxmox is being asked for the first time"));
    }
    Ok(World { owner: owner(shared, vm), desired, recorded, fleet })
}

/// Whose machine an object's is.
fn owner(shared: &Shared, vm: &ProxmoxVM) -> Owner {
    Owner {
        installation: shared.installation.clone(),
        namespace: vm.namespace().unwrap_or_default(),
        name: vm.name_any(),
        uid: vm.uid().unwrap_or_default(),
    }
}

/// What the status records. Before the finalizer is set nothing is made, so an object that has it has a record, or lost it.
fn recorded(vm: &ProxmoxVM, held: bool) -> Result<Recorded, Unresolved> {
    let status = vm.status.clone().unwrap_or_default();
    let mut recorded = convert::recorded(&status)
        .map_err(|error| stall("InvalidStatus", format!("the status was written by somebody else: {error}")))?;
    recorded.lost = is_lost(vm, held);
    Ok(recorded)
}

/// Whether there is no record where there must be one.
pub fn is_lost(vm: &ProxmoxVM, held: bool) -> bool {
    held && vm.status.as_ref().is_none_or(|status| status.phase.is_none())
}

async fn cluster(shared: &Shared, vm: &ProxmoxVM, deleting: bool) -> Result<ProxmoxCluster, Unresolved> {
    let name = &vm.spec.cluster_ref.name;
    let found = Api::<ProxmoxCluster>::all(shared.client.clone()).get_opt(name).await?;
    found.ok_or_else(|| {
        let what = if deleting {
            "; it is needed to remove the machine, so apply it again, or set spec.deletionPolicy to Orphan to leave the \
             machine as it is"
        } else {
            "; waiting until it is created"
        };
        wait("DependencyNotFound", format!("spec.clusterRef: there is no ProxmoxCluster {name}{what}"))
    })
}

/// The nodes and what the administrator laid down for them.
fn laid_down(cluster: &ProxmoxCluster) -> Result<plan::Fleet, Unresolved> {
    fleet_of(&cluster.spec)
        .map_err(|error| wait("InvalidCluster", format!("ProxmoxCluster {}: {error}", cluster.name_any())))
}

/// What the cluster's administrator says to the object: only namespaces that the cluster admits may use it.
async fn terms(shared: &Shared, vm: &ProxmoxVM, cluster: &ProxmoxClusterSpec) -> Result<Terms, Unresolved> {
    let name = &vm.spec.cluster_ref.name;
    let namespace = vm.namespace().unwrap_or_default();
    let ground = Ground { kind: "ProxmoxCluster", name, invalid: "InvalidCluster" };
    policy::validate(cluster).map_err(|error| ground.invalid(error))?;
    let tenant = ground.admits(&shared.client, &cluster.tenants, &namespace).await?;
    let request = Request::from(vm);
    let most = tenant.limits.as_ref().and_then(|limits| limits.machines);
    Ok(Terms {
        refusal: policy::check(cluster, tenant, &request)
            .map(|reason| Reason { message: format!("ProxmoxCluster {name}: {}", reason.message), ..reason }),
        most_machines: most.map(|most| usize::try_from(most).unwrap_or(0)),
        addresses: policy::addresses(&request),
    })
}

/// The machine that the spec asks for, Secrets included.
async fn machine(shared: &Shared, vm: &ProxmoxVM) -> Result<MachineSpec, Unresolved> {
    let ProxmoxVMSpec {
        cluster_ref: _,
        os,
        template,
        adopt,
        cores: _,
        memory: _,
        disk: _,
        disks,
        pool,
        clone,
        placement,
        cloud_init,
        power_state: _,
        shutdown,
        reboot_policy,
        sockets,
        cpu_type,
        nics,
        tags,
        description,
        on_boot,
        protection,
        deletion_policy: _,
        when_missing,
    } = &vm.spec;
    let Shape { cores, memory, disk, power_state } = vm.spec.shape();
    let cloud_init = match cloud_init {
        Some(cloud_init) => {
            Some(read_cloud_init(shared.client.clone(), &vm.namespace().unwrap_or_default(), cloud_init).await?)
        }
        None => None,
    };
    Ok(MachineSpec {
        name: vm.name_any(),
        source: source(os.as_deref(), template.as_ref(), adopt.as_ref())?,
        cores: cores.map(|cores| spec::count("spec.cores", cores)).transpose()?,
        memory_mib: memory.map(|memory| memory.mebibytes().unsigned_abs()),
        disk_bytes: disk.as_ref().map(|disk| disk.size.bytes().unsigned_abs()),
        storage: disk.and_then(|disk| disk.storage),
        disks: spec::disks(disks),
        pool: pool.clone(),
        linked: *clone == CloneKind::Linked,
        placement: placement.as_ref().map(convert::placement).unwrap_or_default(),
        cloud_init,
        power: power(vm, power_state, shutdown.as_ref(), *reboot_policy),
        sockets: sockets.map(|sockets| spec::count("spec.sockets", sockets)).transpose()?,
        cpu_type: cpu_type.clone(),
        nics: spec::nics(nics)?,
        on_boot: *on_boot,
        protection: *protection,
        description: spec::description(description.as_ref())?,
        tags: spec::tags(tags),
        recreate: *when_missing == WhenMissing::Recreate,
    })
}

/// What the machine is cloned from.
fn source(
    os: Option<&str>,
    template: Option<&proxmox_vm::TemplateRef>,
    adopt: Option<&Adopt>,
) -> Result<Source, Unresolved> {
    let number = |field: &str, vmid: i64| {
        Vmid::try_from(vmid).map_err(|_| stall("InvalidSpec", format!("{field}.vmid: {vmid} is no VMID")))
    };
    let named = |node: &Option<String>, template| Source::Template { template, node: node.clone() };
    match (os, template, adopt) {
        (Some(os), None, None) => Ok(Source::Os(os.to_owned())),
        (None, None, Some(Adopt { node, vmid, dry_run })) => {
            let place = Place { node: node.clone(), vmid: number("spec.adopt", *vmid)? };
            Ok(Source::Machine { place, dry_run: *dry_run })
        }
        (None, Some(proxmox_vm::TemplateRef { vmid: Some(vmid), name: None, node }), None) => {
            Ok(named(node, TemplateRef::Vmid(number("spec.template", *vmid)?)))
        }
        (None, Some(proxmox_vm::TemplateRef { vmid: None, name: Some(name), node }), None) => {
            Ok(named(node, TemplateRef::Name(name.clone())))
        }
        (None, Some(_), None) => Err(stall("InvalidSpec", "spec.template: give exactly one of vmid and name")),
        (None, None, None) | (Some(_), Some(_), _) | (Some(_), _, Some(_)) | (_, Some(_), Some(_)) => {
            Err(stall("InvalidSpec", "spec: give exactly one of os, template and adopt"))
        }
    }
}

fn power(vm: &ProxmoxVM, state: Option<PowerState>, shutdown: Option<&Shutdown>, reboot: RebootPolicy) -> PowerSpec {
    let Shutdown { timeout_seconds, force_after_timeout } = shutdown.cloned().unwrap_or_default();
    PowerSpec {
        state: state.map(convert::power),
        shutdown: ShutdownSpec {
            seconds: u32::try_from(timeout_seconds.max(1)).unwrap_or(u32::MAX),
            force: force_after_timeout,
        },
        restart: vm.annotations().get(RESTARTED_AT).map(|value| restart::value(value)),
        reboot: spec::reboots(reboot),
    }
}

async fn read_cloud_init(
    client: Client,
    namespace: &str,
    cloud_init: &CloudInit,
) -> Result<plan::CloudInit, Unresolved> {
    let CloudInit { user, password_secret_ref, ssh_keys, ssh_key_secret_refs, addresses, dns_servers, search_domain } =
        cloud_init;
    let api = Api::<Secret>::namespaced(client, namespace);
    let password = match password_secret_ref {
        Some(reference) => {
            let (text, version) = read_key(&api, reference, "spec.cloudInit.passwordSecretRef").await?;
            Some(plan::Password { text, version })
        }
        None => None,
    };
    let mut keys: Vec<String> = ssh_keys.iter().map(|key| key.trim().to_owned()).collect();
    for (index, reference) in ssh_key_secret_refs.iter().enumerate() {
        let field = format!("spec.cloudInit.sshKeySecretRefs[{index}]");
        let (text, _) = read_key(&api, reference, &field).await?;
        // Proxmox refuses comments and blank lines.
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        keys.extend(lines.map(str::to_owned));
    }
    Ok(plan::CloudInit {
        user: user.clone(),
        password,
        ssh_keys: keys,
        addresses: spec::addresses(addresses)?,
        dns_servers: spec::dns_servers(dns_servers)?,
        search_domain: search_domain.clone(),
    })
}

/// A text of a Secret, and which version of the Secret it is.
async fn read_key(api: &Api<Secret>, reference: &SecretKeyRef, field: &str) -> Result<(String, String), Unresolved> {
    Ok(secret::read_key(api, reference, field).await??)
}
