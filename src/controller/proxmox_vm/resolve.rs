//! What an object refers to, and what its spec means: everything that is read from Kubernetes.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api, Client, ResourceExt,
    api::ObjectMeta,
    core::{Selector, SelectorExt},
};

use crate::{
    api::{
        FINALIZER, ProxmoxCluster, ProxmoxVM,
        common::SecretKeyRef,
        power::{PowerState, RESTARTED_AT, Shutdown},
        proxmox_cluster::{ProxmoxClusterSpec, Template},
        proxmox_vm::{CloudInit, ProxmoxVMSpec, RebootPolicy},
    },
    controller::{Shared, fleet::Fleet},
    proxmox::{
        plan::{self, Desired, FleetNode, MachineSpec, Owner, PowerSpec, Reason, Recorded, ShutdownSpec, TemplateRef},
        restart,
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

/// What became of resolving.
pub enum Resolved {
    /// All that is needed is there.
    World(Box<World>),
    /// Something is not there yet.
    Waiting(Reason),
    /// It is not allowed or cannot be understood.
    Stalled(Reason),
    /// It is being deleted and nothing was ever made.
    Nothing,
}

/// Ends resolving early.
enum Stop {
    Resolved(Resolved),
    Kubernetes(kube::Error),
}

impl From<kube::Error> for Stop {
    fn from(error: kube::Error) -> Self {
        Self::Kubernetes(error)
    }
}

fn wait(word: &str, message: impl Into<String>) -> Stop {
    Stop::Resolved(Resolved::Waiting(Reason::new(word, message)))
}

fn stall(word: &str, message: impl Into<String>) -> Stop {
    Stop::Resolved(Resolved::Stalled(Reason::new(word, message)))
}

impl From<spec::Invalid> for Stop {
    fn from(invalid: spec::Invalid) -> Self {
        stall("InvalidSpec", invalid.to_string())
    }
}

/// Resolves an object.
///
/// # Errors
/// When Kubernetes cannot be asked.
pub async fn resolve(shared: &Shared, vm: &ProxmoxVM) -> Result<Resolved, kube::Error> {
    match try_resolve(shared, vm).await {
        Ok(world) => Ok(Resolved::World(Box::new(world))),
        Err(Stop::Resolved(resolved)) => Ok(resolved),
        Err(Stop::Kubernetes(error)) => Err(error),
    }
}

async fn try_resolve(shared: &Shared, vm: &ProxmoxVM) -> Result<World, Stop> {
    let held = is_held(vm);
    let deleting = vm.metadata.deletion_timestamp.is_some();
    if deleting && !held {
        return Err(Stop::Resolved(Resolved::Nothing));
    }
    let recorded = recorded(vm, held)?;
    let cluster = cluster(shared, vm, deleting).await?;
    let desired = if deleting {
        Desired::Gone { protection: vm.spec.protection }
    } else {
        admit(shared, vm, &cluster.spec).await?;
        Desired::Running { machine: machine(shared, vm).await?, fleet: fleet_of(&cluster.spec)? }
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
fn recorded(vm: &ProxmoxVM, held: bool) -> Result<Recorded, Stop> {
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

/// Whether the object is held until nothing of it is left.
pub fn is_held(vm: &ProxmoxVM) -> bool {
    vm.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
}

async fn cluster(shared: &Shared, vm: &ProxmoxVM, deleting: bool) -> Result<ProxmoxCluster, Stop> {
    let name = &vm.spec.cluster_ref.name;
    let found = Api::<ProxmoxCluster>::all(shared.client.clone()).get_opt(name).await?;
    found.ok_or_else(|| {
        let what = if deleting {
            "; it is needed to remove the machine, so apply it again"
        } else {
            "; waiting until it is created"
        };
        wait("DependencyNotFound", format!("spec.clusterRef: there is no ProxmoxCluster {name}{what}"))
    })
}

/// Only namespaces that the cluster admits may use it.
async fn admit(shared: &Shared, vm: &ProxmoxVM, cluster: &ProxmoxClusterSpec) -> Result<(), Stop> {
    let namespace = vm.namespace().unwrap_or_default();
    let labels = match Api::<Namespace>::all(shared.client.clone()).get_opt(&namespace).await? {
        Some(Namespace { metadata: ObjectMeta { labels, .. }, .. }) => labels.unwrap_or_default(),
        None => BTreeMap::new(),
    };
    for tenant in &cluster.tenants {
        let selector = Selector::try_from(tenant.namespace_selector.clone()).map_err(|error| {
            wait("InvalidCluster", format!("spec.tenants of ProxmoxCluster {}: {error}", vm.spec.cluster_ref.name))
        })?;
        if selector.matches(&labels) {
            return Ok(());
        }
    }
    Err(wait(
        "NamespaceNotAdmitted",
        format!(
            "ProxmoxCluster {} does not admit the namespace {namespace}; its administrator can add it to spec.tenants",
            vm.spec.cluster_ref.name
        ),
    ))
}

/// The nodes, with the templates that hold for each.
fn fleet_of(spec: &ProxmoxClusterSpec) -> Result<plan::Fleet, Stop> {
    let number = |vmid: i64| {
        u32::try_from(vmid).map_err(|_| wait("InvalidCluster", format!("{vmid} in the ProxmoxCluster is no VMID")))
    };
    let template = |template: &Template| match (template.vmid, &template.name, &template.tag) {
        (Some(vmid), ..) => number(vmid).map(TemplateRef::Vmid),
        (_, Some(name), _) => Ok(TemplateRef::Name(name.clone())),
        (_, _, Some(tag)) => Ok(TemplateRef::Tag(tag.to_lowercase())),
        (None, None, None) => Err(wait("InvalidCluster", format!("the template for {} is not said", template.os))),
    };
    let mut nodes = Vec::new();
    for node in &spec.nodes {
        let mut templates = BTreeMap::new();
        // The node's own come last and win.
        for each in spec.templates.iter().chain(&node.templates) {
            templates.insert(each.os.clone(), template(each)?);
        }
        nodes.push(FleetNode { name: node.name.clone(), cordoned: node.cordoned, templates });
    }
    let mut ranges = BTreeMap::new();
    for range in &spec.vmid_ranges {
        ranges.insert(range.os.clone(), (number(range.from)?, number(range.to)?));
    }
    let fallback = (number(spec.fallback_vmid_range.from)?, number(spec.fallback_vmid_range.to)?);
    let reserve = spec.reserve.clone().unwrap_or_default();
    Ok(plan::Fleet {
        nodes,
        ranges,
        fallback,
        reserve_memory: reserve.memory.map_or(0, |size| size.bytes().unsigned_abs()),
        reserve_storage: reserve.storage.map_or(0, |size| size.bytes().unsigned_abs()),
    })
}

/// The machine that the spec asks for, Secrets included.
async fn machine(shared: &Shared, vm: &ProxmoxVM) -> Result<MachineSpec, Stop> {
    let ProxmoxVMSpec {
        cluster_ref: _,
        os,
        cores,
        memory,
        disk,
        cloud_init,
        power_state,
        shutdown,
        reboot_policy,
        sockets,
        cpu_type,
        nics,
        tags,
        description,
        on_boot,
        protection,
    } = &vm.spec;
    let cloud_init = match cloud_init {
        Some(cloud_init) => {
            Some(read_cloud_init(shared.client.clone(), &vm.namespace().unwrap_or_default(), cloud_init).await?)
        }
        None => None,
    };
    Ok(MachineSpec {
        name: vm.name_any(),
        os: os.clone(),
        cores: spec::count("spec.cores", *cores)?,
        memory_mib: memory.mebibytes().unsigned_abs(),
        disk_bytes: disk.size.bytes().unsigned_abs(),
        cloud_init,
        power: power(vm, *power_state, shutdown.as_ref(), *reboot_policy),
        sockets: sockets.map(|sockets| spec::count("spec.sockets", sockets)).transpose()?,
        cpu_type: cpu_type.clone(),
        nics: spec::nics(nics)?,
        on_boot: *on_boot,
        protection: *protection,
        description: spec::description(description.as_ref())?,
        tags: spec::tags(tags),
    })
}

fn power(vm: &ProxmoxVM, state: PowerState, shutdown: Option<&Shutdown>, reboot: RebootPolicy) -> PowerSpec {
    let Shutdown { timeout_seconds, force_after_timeout } = shutdown.cloned().unwrap_or_default();
    PowerSpec {
        state: convert::power(state),
        shutdown: ShutdownSpec {
            seconds: u32::try_from(timeout_seconds.max(1)).unwrap_or(u32::MAX),
            force: force_after_timeout,
        },
        restart: vm.annotations().get(RESTARTED_AT).map(|value| restart::value(value)),
        reboot: spec::reboots(reboot),
    }
}

async fn read_cloud_init(client: Client, namespace: &str, cloud_init: &CloudInit) -> Result<plan::CloudInit, Stop> {
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
async fn read_key(api: &Api<Secret>, reference: &SecretKeyRef, field: &str) -> Result<(String, String), Stop> {
    let SecretKeyRef { name, key } = reference;
    let secret = api.get_opt(name).await?.ok_or_else(|| {
        wait("DependencyNotFound", format!("{field}: there is no Secret {name}; waiting until it is created"))
    })?;
    let version = format!("{}/{}", secret.uid().unwrap_or_default(), secret.resource_version().unwrap_or_default());
    let value = secret.data.unwrap_or_default().remove(key).ok_or_else(|| {
        wait("DependencyNotFound", format!("{field}: Secret {name} has no key {key}; waiting until it has"))
    })?;
    String::from_utf8(value.0)
        .map(|text| (text.trim_end_matches(['\n', '\r']).to_owned(), version))
        .map_err(|_| wait("InvalidSecret", format!("{field}: {key} of Secret {name} is no text")))
}
