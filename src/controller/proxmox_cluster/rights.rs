//! Asks Proxmox what the credentials are allowed.

use std::time::{Duration, Instant};

use crate::{
    api::{proxmox_cluster::ProxmoxClusterSpec, tenant::Allow},
    controller::fleet::{Fleet, Rights},
    proxmox::rights::{self, Missing, Use},
};

/// How long an answer holds that nothing is missing; a call that is refused has it asked again at once.
const SUFFICIENT: Duration = Duration::from_secs(300);
/// How long another one holds.
const MISSING: Duration = Duration::from_secs(5);

/// What is missing, asked for when it was not asked for lately.
pub async fn missing(fleet: &Fleet, spec: &ProxmoxClusterSpec) -> Vec<Missing> {
    {
        let Rights { asked, missing } = &*fleet.rights.lock();
        let holds = if missing.is_empty() { SUFFICIENT } else { MISSING };
        if asked.is_some_and(|asked| asked.elapsed() < holds) {
            return missing.clone();
        }
    }
    let any = |opened: fn(&Allow) -> bool| spec.tenants.iter().filter_map(|tenant| tenant.allow.as_ref()).any(opened);
    let pools = any(|allow| !allow.pools.is_empty());
    let networks =
        any(|allow| !allow.networks.is_empty() || !allow.mac_prefixes.is_empty() || !allow.addresses.is_empty());
    let snapshot = fleet.inventory.snapshot();
    // Which rights there are depends on the version.
    if snapshot.sites().any(|(_, site)| !site.was_asked()) {
        return Vec::new();
    }
    let mut all: Vec<Missing> = Vec::new();
    for (client, (_, site)) in fleet.clients().iter().zip(snapshot.sites()) {
        // What cannot be asked says what it lacks on its own.
        if site.error.is_some() {
            continue;
        }
        let Ok(permissions) = client.permissions().await else { continue };
        let major = site.version.as_deref().and_then(|version| version.split('.').next()?.parse().ok());
        for found in rights::missing(&permissions, &Use { major, pools, networks }) {
            if !all.contains(&found) {
                all.push(found);
            }
        }
    }
    *fleet.rights.lock() = Rights { asked: Some(Instant::now()), missing: all.clone() };
    all
}
