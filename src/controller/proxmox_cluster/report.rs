//! What the status of a cluster says: a pure function of the spec and the inventory.

use jiff::Timestamp;

use super::{fleet_of, nodes};
use crate::{
    api::{
        ProxmoxCluster,
        conditions::{self, READY, Verdict},
        proxmox_cluster::ProxmoxClusterStatus,
    },
    controller::{hold, policy, secret::Problem},
    proxmox::{
        inventory::{SiteError, Snapshot},
        plan::Reason,
        rights::Missing,
    },
};

/// False when anybody could stand between the operator and Proxmox.
const TLS_VERIFIED: &str = "TLSVerified";

/// False when the credentials lack a right.
const RIGHTS_SUFFICIENT: &str = "RightsSufficient";
/// False when no node has a template for an operating system of the spec.
const TEMPLATES_FOUND: &str = "TemplatesFound";

/// What there is to report of a cluster that is being asked.
pub struct Seen<'a> {
    /// What the inventory knows.
    pub snapshot: &'a Snapshot,
    /// Rights that the credentials lack.
    pub missing: &'a [Missing],
    /// Whose rights they are.
    pub account: &'a str,
    /// Machines that hold the cluster, if it is being deleted.
    pub users: &'a [String],
}

/// The status of a cluster that nobody looked at yet.
pub fn unobserved() -> ProxmoxClusterStatus {
    ProxmoxClusterStatus { observed_generation: -1, ..ProxmoxClusterStatus::default() }
}

/// The status of a cluster that cannot be connected to.
pub fn refused(cluster: &ProxmoxCluster, problem: &Problem, users: &[String], now: Timestamp) -> ProxmoxClusterStatus {
    let (verdict, reason) = in_use(users).unwrap_or_else(|| problem.judged());
    let mut status = cluster.status.clone().unwrap_or_default();
    finish(cluster, &mut status, &verdict, &reason, now);
    status
}

/// The status of a cluster that is being asked.
pub fn status(cluster: &ProxmoxCluster, seen: &Seen<'_>, now: Timestamp) -> ProxmoxClusterStatus {
    let Seen { snapshot, missing, account, users } = seen;
    let mut status = cluster.status.clone().unwrap_or_default();
    let fleet = fleet_of(&cluster.spec);
    let nodes = nodes::statuses(cluster, fleet.as_ref().ok(), snapshot, now);
    let online = nodes.iter().filter(|node| node.online).count();
    status.version = snapshot.sites().find_map(|(_, site)| site.version.clone()).or(status.version);
    status.nodes_ready = Some(format!("{online}/{}", nodes.len()));
    status.running_clones = Some(nodes.iter().filter_map(|node| node.running_clones).sum());
    status.templates = nodes::templates(&cluster.spec, &nodes);
    status.nodes = nodes;
    let wrong = policy::validate(&cluster.spec).err().or(fleet.err());
    let (verdict, reason) = match wrong {
        Some(error) => (Verdict::Stalled, Reason::new("InvalidSpec", error)),
        None => judge(snapshot, missing, online, cluster.spec.nodes.len()),
    };
    let (verdict, reason) = in_use(users).unwrap_or((verdict, reason));
    finish(cluster, &mut status, &verdict, &reason, now);
    let lacking = (!missing.is_empty()).then(|| {
        let commands: Vec<_> = missing.iter().map(|missing| missing.command(account)).collect();
        let told = format!("{}; as root on a node of Proxmox: {}", lacks(account, missing), commands.join("; "));
        Reason::new("RightsMissing", told)
    });
    set_if_false(cluster, &mut status, RIGHTS_SUFFICIENT, lacking, now);
    // What is not reachable may have them.
    let all_seen = snapshot.sites().all(|(_, site)| site.is_current() && site.marks_complete());
    let absent: Vec<_> =
        status.templates.iter().filter(|known| known.nodes == 0 && all_seen).map(|known| known.os.clone()).collect();
    let absent = (!absent.is_empty())
        .then(|| Reason::new("NoTemplate", format!("no node has the template for {}", absent.join(", "))));
    set_if_false(cluster, &mut status, TEMPLATES_FOUND, absent, now);
    status
}

fn lacks(account: &str, missing: &[Missing]) -> String {
    let missing: Vec<_> = missing.iter().map(Missing::to_string).collect();
    format!("{account} lacks {}", missing.join("; "))
}

/// A cluster that is being deleted stays while machines are on it.
fn in_use(users: &[String]) -> Option<(Verdict, Reason)> {
    let one = users.len() == 1;
    let (count, verb) =
        (users.len(), if one { "ProxmoxVM that is on it goes" } else { "ProxmoxVMs that are on it go" });
    let message = format!("it is deleted when the {count} {verb}: {}", hold::some(users));
    (!users.is_empty()).then(|| (Verdict::Reconciling, Reason::new("InUse", message)))
}

/// Puts a condition there while it is false.
fn set_if_false(
    cluster: &ProxmoxCluster,
    status: &mut ProxmoxClusterStatus,
    kind: &str,
    why: Option<Reason>,
    now: Timestamp,
) {
    let generation = cluster.metadata.generation.unwrap_or_default();
    let why = why.map(|Reason { word, message }| (word, message));
    conditions::set_while_false(&mut status.conditions, kind, why, generation, now);
}

/// Whether the cluster can be used.
pub fn is_ready(status: &ProxmoxClusterStatus) -> bool {
    status.conditions.iter().any(|condition| condition.type_ == READY && condition.status == "True")
}

/// Some node that answers is enough: the others are told of by name.
fn judge(snapshot: &Snapshot, missing: &[Missing], online: usize, all: usize) -> (Verdict, Reason) {
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
        None if missing.iter().any(|missing| !missing.required.is_empty()) => {
            let needed: Vec<_> = missing.iter().filter(|missing| !missing.required.is_empty()).collect();
            let needed: Vec<_> =
                needed.iter().map(|missing| format!("{} on {}", missing.required.join(", "), missing.path)).collect();
            let message = format!("the credentials lack {}; see the condition {RIGHTS_SUFFICIENT}", needed.join("; "));
            (Verdict::Reconciling, Reason::new("RightsMissing", message))
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
    let insecure = tls.into_iter().any(|tls| tls.insecure_skip_verify == Some(true)).then(|| {
        let message =
            "insecureSkipVerify accepts any certificate: whoever is on the network path can read the credentials";
        Reason::new("InsecureSkipVerify", message)
    });
    set_if_false(cluster, status, TLS_VERIFIED, insecure, now);
}
