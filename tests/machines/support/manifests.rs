//! Objects as the tests apply them, and scenarios with small disks.

use cloudfaster::{
    api::{ProxmoxCluster, ProxmoxVM},
    simulator::{ClockMode, GuestSpec, NodeSpec, Scenario, StorageKind, StorageSpec},
};
use serde_json::{Value, json};

/// The simulated time passes so many times as fast.
pub const PACE: f64 = 40.0;

/// `pve1`, `pve2`, … in one cluster, each with a template `debian12` of a GiB on its own storage.
pub fn small(nodes: u32) -> Scenario {
    let names: Vec<String> = (1..=nodes).map(|number| format!("pve{number}")).collect();
    let mut scenario = Scenario::empty(&names.iter().map(String::as_str).collect::<Vec<_>>());
    scenario.nodes = names.iter().map(|name| NodeSpec::new(name)).collect();
    scenario.storages = vec![StorageSpec::new("local-lvm", StorageKind::LvmThin, 500)];
    scenario.templates = names
        .iter()
        .zip(9001..)
        .map(|(node, vmid)| GuestSpec::new(vmid, "debian12", node).disk("local-lvm", 1).tags("template"))
        .collect();
    scenario.clock = ClockMode::Scaled(PACE);
    scenario
}

/// A cluster object for a scenario, its endpoint still open.
pub fn cluster(nodes: &[String]) -> ProxmoxCluster {
    let nodes: Vec<Value> = nodes.iter().map(|name| json!({"name": name})).collect();
    read(json!({
        "apiVersion": "cloudfaster.app/v1alpha1",
        "kind": "ProxmoxCluster",
        "metadata": {"name": "main"},
        "spec": {
            "endpoints": ["https://127.0.0.1:1"],
            "credentials": {"secretRef": {"name": "proxmox"}},
            "nodes": nodes,
            "templates": [{"os": "DEBIAN12", "name": "debian12"}],
            "vmidRanges": [{"os": "DEBIAN12", "from": 1000, "to": 1999}],
            "reserve": {"memory": "1Gi", "storage": "1Gi"},
            "tenants": [{"namespaceSelector": {"matchLabels": {"cloudfaster.app/tenant": "true"}}}],
        },
    }))
}

/// The tenant's entry with networks and addresses of its own choice, which are closed otherwise.
pub fn open_tenants() -> Value {
    json!([{
        "namespaceSelector": {"matchLabels": {"cloudfaster.app/tenant": "true"}},
        "allow": {
            "networks": [{"bridge": "vmbr*"}, {"bridge": "vmbr*", "vlans": [{"from": 1, "to": 4094}]}],
            "macPrefixes": ["BC:24:11"],
            "addresses": ["0.0.0.0/0", "::/0"],
        },
    }])
}

/// A small machine that needs every call of the creation, with `spec` laid over it.
pub fn machine(name: &str, spec: Value) -> ProxmoxVM {
    let mut object = json!({
        "apiVersion": "cloudfaster.app/v1alpha1",
        "kind": "ProxmoxVM",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {
            "clusterRef": {"name": "main"},
            "os": "DEBIAN12",
            "cores": 2,
            "memory": "2Gi",
            "disk": {"size": "2Gi"},
            "cloudInit": {"user": "deploy"},
        },
    });
    json_patch::merge(&mut object["spec"], &spec);
    read(object)
}

fn read<K: serde::de::DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).expect("a manifest of the tests")
}
