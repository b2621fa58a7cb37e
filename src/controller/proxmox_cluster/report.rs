//! What the status of a cluster says: a pure function of the spec and the inventory.

use jiff::Timestamp;

use super::settings::Problem;
use crate::{
    api::{
        ProxmoxCluster,
        conditions::{self, READY, Verdict},
        proxmox_cluster::{Node, NodeStatus, ProxmoxClusterStatus, Template},
    },
    controller::{policy, proxmox_vm::to_second},
    proxmox::{
        inventory::{Reach, SiteError, Snapshot},
        plan::Reason,
    },
};

/// False when anybody could stand between the operator and Proxmox.
const TLS_VERIFIED: &str = "TLSVerified";

/// The status of a cluster that cannot be connected to.
pub fn refused(cluster: &ProxmoxCluster, problem: &Problem, now: Timestamp) -> ProxmoxClusterStatus {
    let (verdict, reason) = match problem {
        Problem::Wait(reason) => (Verdict::Reconciling, reason),
        Problem::Stall(reason) => (Verdict::Stalled, reason),
    };
    let mut status = cluster.status.clone().unwrap_or_default();
    finish(cluster, &mut status, &verdict, reason, now);
    status
}

/// The status of a cluster that is being asked.
pub fn status(cluster: &ProxmoxCluster, snapshot: &Snapshot, now: Timestamp) -> ProxmoxClusterStatus {
    let mut status = cluster.status.clone().unwrap_or_default();
    let nodes: Vec<NodeStatus> =
        cluster.spec.nodes.iter().map(|node| node_status(cluster, snapshot, node, now)).collect();
    let online = nodes.iter().filter(|node| node.online).count();
    status.version = snapshot.sites().find_map(|(_, site)| site.version.clone()).or(status.version);
    status.nodes_ready = Some(format!("{online}/{}", nodes.len()));
    status.nodes = nodes;
    let (verdict, reason) = match policy::validate(&cluster.spec) {
        Ok(()) => judge(snapshot, online, cluster.spec.nodes.len()),
        Err(error) => (Verdict::Stalled, Reason::new("InvalidSpec", error)),
    };
    finish(cluster, &mut status, &verdict, &reason, now);
    status
}

/// Whether the cluster can be used.
pub fn is_ready(status: &ProxmoxClusterStatus) -> bool {
    status.conditions.iter().any(|condition| condition.type_ == READY && condition.status == "True")
}

/// Some node that answers is enough: the others are told of by name.
fn judge(snapshot: &Snapshot, online: usize, all: usize) -> (Verdict, Reason) {
    if snapshot.sites().any(|(_, site)| !site.was_asked()) {
        return (Verdict::Reconciling, Reason::new("Connecting", "Proxmox is being asked for the first time"));
    }
    let trouble = snapshot.sites().find_map(|(_, site)| site.error.as_ref());
    match trouble {
        Some(error) if online == 0 => (Verdict::Reconciling, of_site(error)),
        Some(error) => {
            let reason = of_site(error);
            (
                Verdict::Ready,
                Reason::new("PartlyAvailable", format!("{online} of {all} nodes are online; {}", reason.message)),
            )
        }
        None if snapshot.sites().all(|(_, site)| !site.quorate) => {
            (Verdict::Reconciling, Reason::new("NoQuorum", "the cluster has no quorum: nothing can be changed in it"))
        }
        None if online == 0 => (Verdict::Reconciling, Reason::new("NodesOffline", "no node is online")),
        None => (Verdict::Ready, Reason::new("Available", format!("{online} of {all} nodes are online"))),
    }
}

fn of_site(error: &SiteError) -> Reason {
    let word = match error {
        SiteError::Auth(_) => "Unauthorized",
        SiteError::Fingerprint(_) | SiteError::Certificate(_) => "CertificateNotTrusted",
        SiteError::Unreachable(_) => "Unreachable",
        SiteError::Mismatch(_) => "DifferentClusters",
        SiteError::Other(_) => "ProxmoxError",
    };
    Reason::new(word, error.to_string())
}

fn node_status(cluster: &ProxmoxCluster, snapshot: &Snapshot, node: &Node, now: Timestamp) -> NodeStatus {
    let state = snapshot.node(&node.name);
    let (online, message) = match state.map(|state| (&state.reach, &state.last_error)) {
        None => (false, Some("not asked yet".to_owned())),
        Some((Reach::Online, error)) => (true, error.clone()),
        Some((Reach::Offline, _)) => (false, Some("offline".to_owned())),
        Some((Reach::Unknown(why), _)) => (false, Some(why.clone())),
    };
    let mut templates: Vec<String> = cluster
        .spec
        .templates
        .iter()
        .filter(|template| node.templates.iter().all(|own| own.os != template.os))
        .chain(&node.templates)
        .filter(|template| is_there(snapshot, &node.name, template))
        .map(|template| template.os.clone())
        .collect();
    templates.sort();
    let known = cluster.status.iter().flat_map(|status| &status.nodes).find(|known| known.name == node.name);
    let since = match known {
        Some(known) if known.online == online && known.message == message => known.since.clone(),
        _ => Some(to_second(now)),
    };
    NodeStatus { name: node.name.clone(), online, templates, message, since }
}

fn is_there(snapshot: &Snapshot, node: &str, template: &Template) -> bool {
    let Template { os: _, vmid, name, tag } = template;
    snapshot.templates(node).any(|(id, entry)| match (vmid, name, tag) {
        (Some(vmid), ..) => i64::from(id) == *vmid,
        (_, Some(name), _) => entry.exact_name() == Some(name),
        (_, _, Some(tag)) => entry.tags.contains(&tag.to_lowercase()),
        (None, None, None) => false,
    })
}

fn finish(
    cluster: &ProxmoxCluster,
    status: &mut ProxmoxClusterStatus,
    verdict: &Verdict,
    reason: &Reason,
    now: Timestamp,
) {
    let generation = cluster.metadata.generation.unwrap_or_default();
    status.observed_generation = generation;
    conditions::set_verdict(&mut status.conditions, verdict, &reason.word, &reason.message, generation, now);
    let tls = cluster.spec.nodes.iter().map(|node| node.tls.as_ref()).chain([cluster.spec.tls.as_ref()]).flatten();
    if tls.into_iter().any(|tls| tls.insecure_skip_verify == Some(true)) {
        let message =
            "insecureSkipVerify accepts any certificate: whoever is on the network path can read the credentials";
        let condition = conditions::condition(TLS_VERIFIED, "False", "InsecureSkipVerify", message, generation, now);
        conditions::set_condition(&mut status.conditions, condition);
    } else {
        conditions::remove_condition(&mut status.conditions, TLS_VERIFIED);
    }
}
