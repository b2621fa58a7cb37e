//! What a change of each field of a spec does, as `docs/changes.md` says it.

use std::collections::BTreeSet;

use cloudfaster::{
    api::proxmox_vm::PendingChange,
    simulator::{Scenario, StorageKind, StorageSpec},
};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::support::{Lab, open_tenants, small};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHVYy5KqQJ7o7gxDIxf1q9Jq0m8qm0p7y0cXl0x0Y0aB a@b";

/// A spec that gives what its changes take for granted.
fn spec() -> Value {
    json!({
        "clusterRef": {"name": "main"},
        "os": "DEBIAN12",
        "cores": 2,
        "memory": "2Gi",
        "disk": {"size": "2Gi"},
        "disks": [{"name": "data", "size": "1Gi"}],
        "nics": [{"name": "net1", "bridge": "vmbr0"}],
        "cloudInit": {"user": "deploy", "addresses": [{"nic": "net0", "ipv4": "dhcp", "ipv6": "auto"}]},
        "pool": "shop",
    })
}

/// Another value for each row of the page, one after the other.
fn other_values() -> Vec<(&'static str, Value)> {
    vec![
        ("clusterRef", json!({"name": "other"})),
        ("os", json!("FEDORA")),
        ("template", json!({"vmid": 9001})),
        ("clone", json!("Linked")),
        ("placement.nodes", json!(["pve2"])),
        ("placement.policy", json!("MostFree")),
        ("placement.group", json!("web")),
        ("cores", json!(3)),
        ("sockets", json!(2)),
        ("cpuType", json!("host")),
        ("memory", json!("3Gi")),
        ("disk.size", json!("3Gi")),
        ("disk.storage", json!("slow")),
        ("disks[].size", json!("2Gi")),
        ("disks[].storage", json!("slow")),
        ("disks[].backup", json!(false)),
        ("disks[].discard", json!(true)),
        ("disks[].ssd", json!(true)),
        ("disks[].ioThread", json!(true)),
        ("disks[].removalPolicy", json!("Delete")),
        ("disks[].name", json!("logs")),
        ("pool", json!("shop2")),
        ("nics[].bridge", json!("vmbr1")),
        ("nics[].vlan", json!(7)),
        ("nics[].firewall", json!(true)),
        ("nics[].model", json!("e1000")),
        ("nics[].mac", json!("BC:24:11:00:00:09")),
        ("nics[].name", json!("net2")),
        ("cloudInit.user", json!("bob")),
        ("cloudInit.passwordSecretRef", json!({"name": "login", "key": "password"})),
        ("cloudInit.sshKeys", json!([KEY])),
        ("cloudInit.addresses[].ipv4", json!("192.0.2.10/24")),
        ("cloudInit.addresses[].gateway4", json!("192.0.2.1")),
        ("cloudInit.addresses[].ipv6", json!("2001:db8::10/64")),
        ("cloudInit.addresses[].gateway6", json!("2001:db8::1")),
        ("cloudInit.addresses[].nic", json!("net2")),
        ("cloudInit.dnsServers", json!(["192.0.2.53"])),
        ("cloudInit.searchDomain", json!("example.com")),
        // What is told of keys is only that they wait.
        ("", json!("boot")),
        ("cloudInit.sshKeySecretRefs", json!([{"name": "login", "key": "keys"}])),
        ("tags", json!(["web"])),
        ("description", json!("Ask Alice")),
        ("onBoot", json!(true)),
        ("protection", json!(true)),
        ("shutdown.timeoutSeconds", json!(60)),
        ("shutdown.forceAfterTimeout", json!(true)),
        ("deletionPolicy", json!("Retain")),
        ("whenMissing", json!("Recreate")),
        ("powerState", json!("Paused")),
        ("rebootPolicy", json!("WhenNeeded")),
    ]
}

/// Puts a value where a path says, the first item of a list.
fn put(object: &mut Value, path: &str, value: Value) {
    let mut at = object;
    for part in path.split('.') {
        let name = part.trim_end_matches("[]");
        at = &mut at[name];
        if name != part {
            at = &mut at[0];
        }
    }
    *at = value;
}

/// Field and what is said of its change.
fn rows() -> Vec<(String, String)> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/changes.md")).unwrap();
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let field = cells.get(1)?.strip_prefix('`')?.strip_suffix('`')?;
        Some((field.to_owned(), cells[2].to_owned()))
    };
    page.lines().filter_map(row).collect()
}

fn pending(lab: &Lab) -> Vec<PendingChange> {
    lab.get("one").and_then(|vm| vm.status).unwrap_or_default().pending_changes
}

/// What became of a change: refused, or what waits for the next boot more than before.
async fn change(lab: &Lab, before: &Value, after: &Value) -> Result<Vec<String>, String> {
    let old = pending(lab);
    // What is not there any more is taken away.
    let mut patch = after.clone();
    for key in before.as_object().unwrap().keys().filter(|key| after.get(key).is_none()) {
        patch[key] = Value::Null;
    }
    let patch = json!({"spec": patch});
    match lab.machines().patch("one", &PatchParams::default(), &Patch::Merge(&patch)).await {
        Err(kube::Error::Api(refusal)) => return Err(refusal.message.clone()),
        patched => drop(patched.unwrap()),
    }
    lab.change("one", json!({})).await;
    Ok(pending(lab).into_iter().filter(|change| !old.contains(change)).map(|change| change.key).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_each_field_does_what_the_page_says() {
    let mut scenario = Scenario { boot_seconds: 0, ..small(2) };
    scenario.storages.push(StorageSpec::new("slow", StorageKind::Dir, 100));
    scenario.pools = vec!["shop".to_owned(), "shop2".to_owned()];
    scenario.bridges.push("vmbr1".to_owned());
    let lab = Lab::new(scenario).await;
    let mut tenants = open_tenants();
    tenants[0]["allow"]["pools"] = json!(["*"]);
    tenants[0]["allow"]["storages"] = json!(["*"]);
    lab.patch_cluster(json!({"spec": {"tenants": tenants}})).await;
    let login = json!({"metadata": {"name": "login"}, "stringData": {"password": "secret", "keys": KEY}});
    lab.create_in::<Secret>("shop", login).await;
    let mut spec = spec();
    lab.machine("one", spec.clone()).await;
    lab.until_ready(&["one"]).await;
    let home = lab.vm_of("one").unwrap();

    let said = rows();
    let changed: BTreeSet<&str> =
        other_values().iter().map(|(field, _)| *field).filter(|field| !field.is_empty()).collect();
    // Those of an adopted machine are tried where one is adopted.
    let cloned = said.iter().map(|(field, _)| field.as_str()).filter(|field| !field.starts_with("adopt."));
    let documented: BTreeSet<&str> = cloned.collect();
    assert_eq!(changed, documented, "each row of the page is tried here");
    for (field, value) in other_values() {
        if field.is_empty() {
            for state in ["Stopped", "Running"] {
                lab.change("one", json!({"powerState": state})).await;
            }
            assert!(pending(&lab).is_empty(), "{}", lab.describe());
            continue;
        }
        let (_, said) = said.iter().find(|(row, _)| row == field).unwrap();
        let mut after = spec.clone();
        put(&mut after, field, value);
        if field == "template" {
            after.as_object_mut().unwrap().remove("os");
        }
        let came = change(&lab, &spec, &after).await;
        let vm = lab.vm_of("one").unwrap();
        assert_eq!((vm.vmid, &vm.node), (home.vmid, &home.node), "{field} moved the machine");
        match (said.split(';').next().unwrap(), came) {
            ("creation only", Err(refusal)) => assert!(refusal.contains("cannot be changed"), "{field}: {refusal}"),
            ("creation only", Ok(waiting)) => {
                assert!(field.starts_with("placement."), "{field} is accepted");
                assert_eq!(waiting, [""; 0], "{field}");
                spec = after;
            }
            ("at once", Ok(waiting)) => {
                assert_eq!(waiting, [""; 0], "{field} waits for a boot\n{}", lab.describe());
                spec = after;
            }
            ("at the next boot", Ok(waiting)) => {
                assert!(!waiting.is_empty(), "{field} does not wait for a boot\n{}", lab.describe());
                spec = after;
            }
            (said, came) => panic!("{field} is said to apply {said}, and came to {came:?}"),
        }
    }
}
