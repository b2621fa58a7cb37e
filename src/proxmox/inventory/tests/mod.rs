//! Tables for what a poll's answers become, and what is said to have changed. Here: how answers are made.

mod guests;
mod sites;
mod tasks;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::proxmox::{
    identity::{Mark, compose},
    wire::{ClusterStatus, Upid, VmConfig},
};

use super::{
    merge::{Answers, Configured},
    *,
};

const CLONE: &str = "UPID:pve1:00000193:0008C543:6B03CAC0:qmclone:9000:op@pve!full:";
const DESTROY: &str = "UPID:pve1:00000194:0008C544:6B03CAC1:qmdestroy:600:op@pve!full:";

fn nodes() -> Vec<Node> {
    [("sv1", "pve1"), ("sv2", "pve2")]
        .map(|(name, proxmox_name)| Node { name: name.to_owned(), proxmox_name: proxmox_name.to_owned() })
        .to_vec()
}

fn configured(nodes: &[Node]) -> Configured<'_> {
    Configured { id: SiteId(0), nodes, stand_alone: false }
}

fn cluster(name: &str, quorate: bool) -> ClusterStatus {
    serde_json::from_value(json!([
        {"type": "cluster", "name": name, "quorate": u8::from(quorate), "nodes": 2, "version": 2},
        {"type": "node", "name": "pve1", "ip": "10.99.0.1", "online": 1, "local": 1},
        {"type": "node", "name": "pve2", "ip": "10.99.0.2", "online": 1, "local": 0},
    ]))
    .unwrap()
}

fn answers(resources: Value, tasks: Value) -> Answers {
    let mut all = vec![
        json!({"type": "node", "node": "pve1", "status": "online", "maxmem": 1000, "mem": 100, "maxcpu": 8}),
        json!({"type": "node", "node": "pve2", "status": "online", "maxmem": 2000, "mem": 900, "maxcpu": 4}),
        json!({"type": "storage", "node": "pve1", "storage": "local", "status": "available",
            "maxdisk": 50, "disk": 20, "shared": 0, "content": "images,iso"}),
    ];
    all.extend(resources.as_array().unwrap().iter().cloned());
    Answers {
        at: Timestamp::from_second(1).unwrap(),
        status: cluster("lab", true),
        resources: serde_json::from_value(json!(all)).unwrap(),
        tasks: serde_json::from_value(tasks).unwrap(),
        version: Some("9.2.11".to_owned()),
        ..Answers::default()
    }
}

fn vm(vmid: u32, node: &str) -> Value {
    json!({"type": "qemu", "vmid": vmid, "node": node, "name": format!("vm{vmid}"), "status": "stopped",
        "maxmem": 300, "maxdisk": 10, "template": 0})
}

fn with(mut vm: Value, key: &str, value: impl Into<Value>) -> Value {
    vm[key] = value.into();
    vm
}

fn running(upid: &str) -> Value {
    json!({"upid": upid, "node": "pve1"})
}

fn ended(upid: &str, status: &str) -> Value {
    json!({"upid": upid, "node": "pve1", "status": status, "endtime": 1_795_410_598})
}

/// The state after a poll, from nothing.
fn first(resources: Value, tasks: Value) -> SiteState {
    let nodes = nodes();
    let site = configured(&nodes);
    SiteState::unknown(site).after(site, answers(resources, tasks))
}

fn then(state: &SiteState, resources: Value, tasks: Value) -> SiteState {
    state.after(configured(&nodes()), answers(resources, tasks))
}

fn mark(vmid: u32) -> Mark {
    Mark {
        installation: "prod".to_owned(),
        namespace: "shop".to_owned(),
        name: "web".to_owned(),
        uid: "u1".to_owned(),
        vmid,
    }
}

fn config(description: &str) -> VmConfig {
    VmConfig::from_iter([("description", description), ("memory", "2048")])
}

fn read(state: &SiteState, vmid: u32, description: &str) -> SiteState {
    state.with_configs(&[(vmid, config(description))])
}

fn upid(text: &str) -> Upid {
    text.parse().unwrap()
}
