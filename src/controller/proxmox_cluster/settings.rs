//! From the spec and its Secret to the sites of an inventory.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use sha2::{Digest, Sha256};

use crate::{
    api::proxmox_cluster::{self, ProxmoxClusterSpec, Tls},
    controller::{fleet::Connection, secret::Problem},
    proxmox::{
        client::{Client, Credentials, Endpoint, Observer, SecretString, Settings, Timeouts, Trust},
        inventory::{Node, Site},
        plan::Reason,
    },
};

fn invalid(field: &str, error: impl std::fmt::Display) -> Problem {
    Problem::Stall(Reason::new("InvalidSpec", format!("{field}: {error}")))
}

/// Tells whether the settings are those that an inventory runs with. No secret can be read from it.
pub fn fingerprint(spec: &ProxmoxClusterSpec, secret: &Secret) -> String {
    // Cordons and templates are no business of an inventory, which would begin anew.
    let nodes = spec.nodes.iter().map(|node| {
        let proxmox_cluster::Node { name, proxmox_name, endpoint, tls, cordoned: _, templates: _ } = node;
        (name, proxmox_name, endpoint, tls)
    });
    let connection = (&spec.endpoints, &spec.tls, nodes.collect::<Vec<_>>());
    let mut hash = Sha256::new();
    hash.update(serde_json::to_vec(&connection).unwrap_or_default());
    hash.update(serde_json::to_vec(&secret.data).unwrap_or_default());
    hex::encode(hash.finalize())
}

/// All that it takes to connect to a cluster.
pub fn connection(spec: &ProxmoxClusterSpec, secret: &Secret, observer: &Observer) -> Result<Connection, Problem> {
    let credentials = credentials(secret)?;
    let account = match &credentials {
        Credentials::Token { id, .. } => id.clone(),
        Credentials::Password { user, .. } => user.clone(),
    };
    Ok(Connection { sites: sites(spec, &credentials, observer)?, account, fingerprint: fingerprint(spec, secret) })
}

/// The sites: the cluster behind the endpoints, and each stand-alone host.
fn sites(spec: &ProxmoxClusterSpec, credentials: &Credentials, observer: &Observer) -> Result<Vec<Site>, Problem> {
    let mut sites = Vec::new();
    let mut members = Vec::new();
    for (index, node) in spec.nodes.iter().enumerate() {
        let described = Node {
            name: node.name.clone(),
            proxmox_name: node.proxmox_name.clone().unwrap_or_else(|| node.name.clone()),
        };
        let Some(endpoint) = &node.endpoint else {
            members.push(described);
            continue;
        };
        let field = format!("spec.nodes[{index}]");
        let endpoint: Endpoint = endpoint.parse().map_err(|error| invalid(&format!("{field}.endpoint"), error))?;
        let tls = node.tls.as_ref().or(spec.tls.as_ref());
        let client = client(vec![endpoint], credentials, tls, &field, observer)?;
        sites.push(Site { client, nodes: vec![described], stand_alone: true });
    }
    if !members.is_empty() {
        let endpoints: Vec<Endpoint> = spec
            .endpoints
            .iter()
            .enumerate()
            .map(|(index, endpoint)| {
                endpoint.parse().map_err(|error| invalid(&format!("spec.endpoints[{index}]"), error))
            })
            .collect::<Result<_, _>>()?;
        let client = client(endpoints, credentials, spec.tls.as_ref(), "spec", observer)?;
        sites.insert(0, Site { client, nodes: members, stand_alone: false });
    }
    Ok(sites)
}

fn client(
    endpoints: Vec<Endpoint>,
    credentials: &Credentials,
    tls: Option<&Tls>,
    field: &str,
    observer: &Observer,
) -> Result<Arc<Client>, Problem> {
    let settings = Settings {
        endpoints,
        credentials: credentials.clone(),
        trust: trust(tls, field)?,
        timeouts: Timeouts::default(),
    };
    let client = Client::new(settings).map_err(|error| invalid(&format!("{field}.tls"), error))?;
    Ok(Arc::new(client.observed(observer.clone())))
}

fn trust(tls: Option<&Tls>, field: &str) -> Result<Trust, Problem> {
    let Some(Tls { ca_bundle, fingerprints, insecure_skip_verify }) = tls else { return Ok(Trust::System) };
    if *insecure_skip_verify == Some(true) {
        return Ok(Trust::Insecure);
    }
    if !fingerprints.is_empty() {
        let parsed = fingerprints.iter().map(|fingerprint| {
            fingerprint.parse().map_err(|error| invalid(&format!("{field}.tls.fingerprints"), error))
        });
        return Ok(Trust::Fingerprints(parsed.collect::<Result<_, _>>()?));
    }
    Ok(ca_bundle.clone().map_or(Trust::System, Trust::Bundle))
}

fn credentials(secret: &Secret) -> Result<Credentials, Problem> {
    let texts: BTreeMap<&str, String> = secret
        .data
        .iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.as_str(), String::from_utf8(value.0.clone()).ok()?.trim().to_owned())))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    let get = |key: &str| texts.get(key).cloned();
    match (get("tokenId"), get("tokenSecret"), get("username"), get("password")) {
        (Some(id), Some(secret), ..) => Ok(Credentials::Token { id, secret: SecretString::from(secret) }),
        (_, _, Some(user), Some(password)) => {
            Ok(Credentials::Password { user, password: SecretString::from(password) })
        }
        _ => Err(Problem::Wait(Reason::new(
            "InvalidSecret",
            format!(
                "spec.credentials.secretRef: Secret {} needs the keys tokenId and tokenSecret, or username and password",
                secret.name_any()
            ),
        ))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_inventory_begins_anew_for_another_connection_only() {
        let with = |change: serde_json::Value| {
            let mut spec = json!({
                "endpoints": ["https://10.0.0.1:8006"],
                "credentials": {"secretRef": {"name": "proxmox"}},
                "nodes": [{"name": "sv1"}],
            });
            json_patch::merge(&mut spec, &change);
            fingerprint(&serde_json::from_value(spec).unwrap(), &Secret::default())
        };
        let before = with(json!({}));
        for (change, same) in [
            (json!({"nodes": [{"name": "sv1", "cordoned": true}]}), true),
            (json!({"nodes": [{"name": "sv1", "templates": [{"os": "DEBIAN12", "vmid": 9000}]}]}), true),
            (json!({"reserve": {"memory": "1Gi"}}), true),
            (json!({"nodes": [{"name": "sv1", "proxmoxName": "pve"}]}), false),
            (json!({"nodes": [{"name": "sv1"}, {"name": "sv2"}]}), false),
            (json!({"endpoints": ["https://10.0.0.2:8006"]}), false),
        ] {
            assert_eq!(with(change.clone()) == before, same, "{change}");
        }
    }
}
