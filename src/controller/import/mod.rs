//! `cloudfaster import`: manifests that adopt the machines which a Proxmox cluster has already. It reads, and changes
//! nothing.

mod filter;
mod manifest;
mod names;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    path::PathBuf,
    sync::Arc,
};

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{Api, Client, ResourceExt, api::ListParams};

pub use self::filter::Filter;
use self::{
    manifest::{Found, Manifest},
    names::Names,
};
use super::{describe, policy, proxmox_cluster, unresolved::not_admitted};
use crate::{
    api::{
        ProxmoxCluster, ProxmoxVM,
        proxmox_vm::{DeletionPolicy, ProxmoxVMSpec},
        tenant::Tenant,
    },
    proxmox::{
        client::{self, ConfigView, Observer},
        identity::Mark,
        inventory::Site,
        wire::{Resource, Vmid},
    },
};

/// Machines that are asked at the same time: each costs its node fifty milliseconds.
const AT_ONCE: usize = 4;

/// What is to be imported, and how.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The ProxmoxCluster that has the machines.
    #[arg(long)]
    pub cluster: String,
    /// The namespace of the objects.
    #[arg(long, short)]
    pub namespace: String,
    #[command(flatten)]
    pub filter: Filter,
    /// The objects only look first (spec.adopt.dryRun): each shows what would be changed, and changes nothing.
    #[arg(long)]
    pub dry_run_first: bool,
    /// What becomes of a machine when its object is deleted: Retain, Delete or Orphan.
    #[arg(long, value_parser = deletion_policy, default_value = "Retain")]
    pub deletion_policy: DeletionPolicy,
    /// The folder to write into, a file for each; without it all are printed.
    #[arg(long)]
    pub directory: Option<PathBuf>,
    /// Namespace of the operator, where the Secret of the ProxmoxCluster lives.
    #[arg(long, env = "CLOUDFASTER_NAMESPACE", default_value = "cloudfaster-system")]
    pub operator_namespace: String,
}

fn deletion_policy(text: &str) -> Result<DeletionPolicy, String> {
    serde_json::from_value(serde_json::Value::from(text)).map_err(|_| "give Retain, Delete or Orphan".to_owned())
}

/// Why nothing, or not all, was imported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Kubernetes cannot be asked.
    #[error("Kubernetes: {}", describe(.0))]
    Kubernetes(#[from] kube::Error),
    /// There is no such cluster, or what it refers to is not there.
    #[error("{0}")]
    Missing(String),
    /// Proxmox cannot be asked.
    #[error("Proxmox: {0}")]
    Proxmox(#[from] client::Error),
    /// A manifest cannot be written.
    #[error("{0}: {1}")]
    Write(String, std::io::Error),
    /// A manifest cannot be put into words.
    #[error("a manifest cannot be written: {0}")]
    Yaml(#[from] serde_saphyr::ser::Error),
    /// Some machines could not be read.
    #[error("{0} machines could not be read")]
    Unread(usize),
}

/// What is known before a machine is looked at.
struct Ground {
    cluster: ProxmoxCluster,
    /// The entry of the cluster's tenants that decides for the namespace.
    tenant: Option<Tenant>,
    /// The VMIDs that objects have, each with the node by our name and the object.
    managed: Vec<(String, Vmid, String)>,
    /// The names of objects that the namespace has.
    names: BTreeSet<String>,
}

/// Writes the manifests to `out` or into the folder, and to `notes` what was left out and why.
///
/// # Errors
/// What could not be read or written.
pub async fn run(args: &Args, client: Client, out: &mut impl Write, notes: &mut impl Write) -> Result<(), Error> {
    let ground = ground(args, &client).await?;
    let mut say =
        |text: String| writeln!(notes, "{text}").map_err(|error| Error::Write("standard error".into(), error));
    let mut found = Vec::new();
    let mut unread = 0_usize;
    for site in sites(args, &client, &ground.cluster).await? {
        for sighting in look(args, &site, &ground).await? {
            match sighting {
                Sighting::Found(machine) => found.push(*machine),
                Sighting::Skipped(what, why) => say(format!("{what} is left out: {why}"))?,
                Sighting::Unread(what, why) => {
                    unread = unread.saturating_add(1);
                    say(format!("{what} cannot be read: {why}"))?;
                }
            }
        }
    }
    found.sort_by_key(|machine| (machine.vmid, machine.node.clone()));
    let names = Names::new(&found, &ground.names);
    for machine in &found {
        let Manifest { object, left_out, refused } = manifest::of(args, machine, names.of(machine), |vm| {
            let tenant = ground.tenant.as_ref()?;
            policy::check(&ground.cluster.spec, tenant, &policy::Request::from(vm))
        });
        let what = machine.to_string();
        for (field, why) in left_out {
            say(format!("{what}: spec.{field} is left out, which leaves it as it is: {why}"))?;
        }
        if let Some(why) = refused {
            say(format!("{what} will not be adopted as long as ProxmoxCluster {} refuses it: {why}", args.cluster))?;
        }
        write(args, &object, out)?;
    }
    if ground.tenant.is_none() && !found.is_empty() {
        say(not_admitted("ProxmoxCluster", &args.cluster, &args.namespace))?;
    }
    say(format!("{} machines to adopt", found.len()))?;
    if unread > 0 { Err(Error::Unread(unread)) } else { Ok(()) }
}

async fn ground(args: &Args, client: &Client) -> Result<Ground, Error> {
    let Args { cluster: name, namespace, .. } = args;
    let found = Api::<ProxmoxCluster>::all(client.clone()).get_opt(name).await?;
    let cluster = found.ok_or_else(|| Error::Missing(format!("there is no ProxmoxCluster {name}")))?;
    let labels = Api::<Namespace>::all(client.clone()).get_opt(namespace).await?;
    let labels = labels.ok_or_else(|| Error::Missing(format!("there is no namespace {namespace}")))?;
    let tenant = policy::tenant_of(&cluster.spec.tenants, labels.labels())
        .map_err(|error| Error::Missing(format!("ProxmoxCluster {name}: {error}")))?
        .cloned();
    let objects = Api::<ProxmoxVM>::all(client.clone()).list(&ListParams::default()).await?.items;
    let of_namespace = objects.iter().filter(|vm| vm.namespace().as_ref() == Some(namespace));
    let names = of_namespace.map(ResourceExt::name_any).collect();
    let of_cluster = objects.iter().filter(|vm| vm.spec.cluster_ref.name == *name);
    Ok(Ground { tenant, managed: of_cluster.flat_map(held).collect(), names, cluster })
}

/// The machines that an object has or wants.
fn held(vm: &ProxmoxVM) -> Vec<(String, Vmid, String)> {
    let ProxmoxVMSpec { adopt, .. } = &vm.spec;
    let wanted = adopt.as_ref().map(|adopt| (adopt.node.clone(), adopt.vmid));
    let status = vm.status.as_ref();
    let has = status.and_then(|status| Some((status.node.clone()?, status.vmid?)));
    let leftovers = status.into_iter().flat_map(|status| &status.leftovers).map(|left| (left.node.clone(), left.vmid));
    let name = format!("{}/{}", vm.namespace().unwrap_or_default(), vm.name_any());
    let all = wanted.into_iter().chain(has).chain(leftovers);
    all.filter_map(|(node, vmid)| Some((node, Vmid::try_from(vmid).ok()?, name.clone()))).collect()
}

/// The sites of the cluster, as the controller reaches them.
async fn sites(args: &Args, client: &Client, cluster: &ProxmoxCluster) -> Result<Vec<Site>, Error> {
    let Args { operator_namespace: namespace, .. } = args;
    let name = &cluster.spec.credentials.secret_ref.name;
    let secret = Api::<Secret>::namespaced(client.clone(), namespace).get_opt(name).await?;
    let secret =
        secret.ok_or_else(|| Error::Missing(format!("there is no Secret {name} in the namespace {namespace}")))?;
    let observer: Observer = Arc::new(|_| {});
    let connection = proxmox_cluster::connection(&cluster.spec, &secret, &observer);
    let refused = |why: String| Error::Missing(format!("ProxmoxCluster {}: {why}", args.cluster));
    Ok(connection.map_err(|problem| refused(problem.reason().message))?.sites)
}

/// What a machine turned out to be.
enum Sighting {
    Found(Box<Found>),
    /// Which one, and why.
    Skipped(String, String),
    Unread(String, String),
}

/// The machines of a site that the filter lets through.
async fn look(args: &Args, site: &Site, ground: &Ground) -> Result<Vec<Sighting>, Error> {
    let status = site.client.cluster_status().await?;
    if !status.quorate {
        return Err(Error::Missing("the Proxmox cluster has no quorum: what it tells may be old".to_owned()));
    }
    let ours: BTreeMap<&str, &str> =
        site.nodes.iter().map(|node| (node.proxmox_name.as_str(), node.name.as_str())).collect();
    let machines = site.client.resources().await?.into_iter().filter(|resource| resource.kind == "qemu");
    let wanted = machines.filter_map(|resource| {
        let node = ours.get(resource.node.as_str()).copied();
        args.filter.lets_through(&resource, node).then_some((resource, node))
    });
    let looks = stream::iter(wanted.map(|(resource, node)| async move { sight(site, ground, resource, node).await }));
    Ok(looks.buffered(AT_ONCE).collect().await)
}

async fn sight(site: &Site, ground: &Ground, resource: Resource, node: Option<&str>) -> Sighting {
    let Resource { vmid, name, node: proxmox_node, template, .. } = resource;
    let vmid = vmid.unwrap_or_default();
    let name = name.unwrap_or_default();
    let what = format!("VM {vmid} ({name}) on {}", node.unwrap_or(&proxmox_node));
    let skipped = |why: &str| Sighting::Skipped(what.clone(), why.to_owned());
    let Some(node) = node else { return skipped("the ProxmoxCluster does not name that node") };
    if template {
        return skipped("it is a template");
    }
    // The number is one machine's in the whole site, wherever it was moved to.
    let here = |other: &str| site.nodes.iter().any(|node| node.name == other);
    if let Some((.., object)) = ground.managed.iter().find(|(on, id, _)| *id == vmid && here(on)) {
        return skipped(&format!("it is the machine of ProxmoxVM {object}"));
    }
    let read = async {
        let config = site.client.vm_config(&proxmox_node, vmid, ConfigView::Pending).await?;
        let status = site.client.vm_status_current(&proxmox_node, vmid).await?;
        Ok::<_, client::Error>((config, status))
    };
    let (config, status) = match read.await {
        Ok(read) => read,
        Err(error) => return Sighting::Unread(what, error.to_string()),
    };
    if let Some(mark) = Mark::find(config.description()).all().iter().find(|mark| mark.vmid == vmid) {
        return skipped(&format!(
            "it bears the mark of {}/{} of installation {}",
            mark.namespace, mark.name, mark.installation
        ));
    }
    Sighting::Found(Box::new(Found {
        node: node.to_owned(),
        vmid,
        name: config.name().map_or(name, str::to_owned),
        running: status.is_running(),
        paused: status.is_paused(),
        config,
    }))
}

fn write(args: &Args, object: &ProxmoxVM, out: &mut impl Write) -> Result<(), Error> {
    let text = manifest::text(object)?;
    match &args.directory {
        None => write!(out, "{text}").map_err(|error| Error::Write("standard output".into(), error)),
        Some(directory) => {
            let path = directory.join(format!("{}.yaml", object.name_any()));
            // What somebody has written by hand is not lost.
            let file = std::fs::File::create_new(&path);
            file.and_then(|mut file| file.write_all(text.as_bytes()))
                .map_err(|error| Error::Write(path.display().to_string(), error))
        }
    }
}
