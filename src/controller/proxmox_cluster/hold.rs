//! What may not go while it is used: the cluster while machines are on it, and the Secret with its credentials.

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt, api::ListParams, core::DeserializeGuard};

use crate::{
    api::{ProxmoxCluster, ProxmoxVM},
    controller::finalizer::{is_held, release},
};

/// So many users are told by name.
const NAMED: usize = 5;

/// The machines that hold a cluster: those that have, or may have, something in Proxmox.
///
/// # Errors
/// What the API server answers.
pub async fn users(client: &Client, cluster: &str) -> Result<Vec<String>, kube::Error> {
    let machines = Api::<DeserializeGuard<ProxmoxVM>>::all(client.clone()).list(&ListParams::default()).await?;
    let held =
        machines.into_iter().filter_map(|vm| vm.0.ok()).filter(|vm| vm.spec.cluster_ref.name == cluster && is_held(vm));
    Ok(held.map(|vm| format!("{}/{}", vm.namespace().unwrap_or_default(), vm.name_any())).collect())
}

/// Lets the Secrets go that a cluster held and does not use any more, unless another cluster uses them.
///
/// # Errors
/// What the API server answers.
pub async fn release_secrets(
    client: &Client,
    namespace: &str,
    cluster: &ProxmoxCluster,
    names: &[String],
) -> Result<(), kube::Error> {
    if names.is_empty() {
        return Ok(());
    }
    let clusters = Api::<DeserializeGuard<ProxmoxCluster>>::all(client.clone()).list(&ListParams::default()).await?;
    let others: Vec<ProxmoxCluster> = clusters
        .into_iter()
        .filter_map(|other| other.0.ok())
        .filter(|other| other.name_any() != cluster.name_any())
        .collect();
    let secrets = Api::<Secret>::namespaced(client.clone(), namespace);
    for name in names {
        let used = others.iter().any(|other| {
            let held = other.status.iter().flat_map(|status| &status.held_secrets);
            other.spec.credentials.secret_ref.name == *name || held.into_iter().any(|held| held == name)
        });
        if !used && let Some(secret) = secrets.get_opt(name).await? {
            release(&secrets, &secret).await?;
        }
    }
    Ok(())
}

/// A few names, and how many more there are.
pub fn some(names: &[String]) -> String {
    let named: Vec<_> = names.iter().take(NAMED).map(String::as_str).collect();
    match names.len().saturating_sub(NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}
