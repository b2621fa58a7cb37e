//! The same controller against a Proxmox that nobody of this project wrote: fakepve, which holds every request against
//! Proxmox's own API schema.

use std::{path::PathBuf, process::Stdio, time::Duration};

use cloudfaster::proxmox::identity;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, ResourceExt, api::PostParams};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::support::{
    Lab, cluster, open_tenants,
    recorder::{Exchange, Recorder},
    small,
};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHVYy5KqQJ7o7gxDIxf1q9Jq0m8qm0p7y0cXl0x0Y0aB a/b+c@d";

/// Where it is installed; the set-up script puts it into the user's cache folder.
fn program() -> PathBuf {
    let cache = || {
        let home = || PathBuf::from(std::env::var_os("HOME").expect("HOME")).join(".cache");
        std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from)
    };
    let path =
        std::env::var_os("FAKEPVE").map_or_else(|| cache().join("cloudfaster/fakepve/bin/fakepve"), PathBuf::from);
    assert!(
        path.exists(),
        "fakepve is missing: there is no {}; `make setup` installs it, FAKEPVE names another",
        path.display()
    );
    path
}

/// A machine that was there before.
const OLD: u64 = 705;
/// The notes of the machine that was there before.
const NOTES: &str = "Ask Alice";

/// A node `pve1` with a template and a machine of somebody's.
fn guests() -> Value {
    json!({"guests": [{
        "vmid": 9000, "name": "debian12", "status": "stopped", "template": true,
        "config": {
            "template": 1, "scsi0": "local-lvm:base-9000-disk-0,size=2G",
            "ide2": "local-lvm:vm-9000-cloudinit,media=cdrom", "boot": "order=scsi0", "memory": "512", "cores": 1,
            "net0": "virtio=BC:24:11:94:10:4A,bridge=vmbr0", "agent": "1",
        },
    }, {
        "vmid": OLD, "name": "old-shop", "status": "stopped",
        "config": {
            "scsi0": "local-lvm:vm-705-disk-0,size=2G", "boot": "order=scsi0", "memory": "512", "cores": 2,
            "net0": "virtio=BC:24:11:94:10:4B,bridge=vmbr0", "description": NOTES, "tags": "legacy",
        },
    }]})
}

async fn started(folder: &std::path::Path) -> (Child, String) {
    let file = folder.join("guests.json");
    std::fs::write(&file, guests().to_string()).unwrap();
    let mut child = Command::new(program())
        .arg(&file)
        .args(["--host", "127.0.0.1", "--port", "0", "--time-scale", "0"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = timeout(Duration::from_secs(60), lines.next_line()).await.expect("it starts in time").unwrap().unwrap();
    (child, line[line.find("https://").expect(&line)..].trim().to_owned())
}

/// A change that came, as its parameters.
fn parameters(exchange: &Exchange) -> Vec<(String, String)> {
    form_urlencoded::parse(exchange.request.as_bytes()).into_owned().collect()
}

fn changes(recorder: &Recorder) -> Vec<Exchange> {
    let is_change = |exchange: &Exchange| exchange.method != "GET" && !exchange.path.contains("/access/ticket");
    recorder.seen().into_iter().filter(is_change).collect()
}

fn describe(lab: &Lab, recorder: &Recorder) -> String {
    let seen: Vec<String> = recorder
        .seen()
        .iter()
        .filter(|exchange| exchange.method != "GET" || exchange.status >= 400)
        .map(|exchange| format!("{} {} {} {}", exchange.method, exchange.path, exchange.status, exchange.answer))
        .collect();
    format!("{}\n{}", seen.join("\n"), lab.describe())
}

/// The last config of a VM that fakepve told.
fn config(recorder: &Recorder, vmid: impl std::fmt::Display) -> Value {
    let path = format!("/nodes/pve1/qemu/{vmid}/config");
    let told =
        |exchange: &Exchange| exchange.method == "GET" && exchange.path.contains(&path) && exchange.status == 200;
    let last = recorder.seen().into_iter().rev().find(told).expect("its config was read");
    serde_json::from_str::<Value>(&last.answer).unwrap()["data"].clone()
}

fn text(config: &Value, key: &str) -> String {
    config[key].as_str().map_or_else(|| config[key].to_string(), str::to_owned)
}

/// A controller that speaks with fakepve, through what writes down all that is said.
struct Stage {
    lab: Lab,
    recorder: Recorder,
    child: Child,
    _folder: tempfile::TempDir,
}

impl Stage {
    async fn set() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut lab = Lab::bare(small(1)).await;
        let (child, url) = started(folder.path()).await;
        let recorder = Recorder::start(&url).await;
        let login =
            json!({"metadata": {"name": "proxmox"}, "stringData": {"username": "root@pam", "password": "secret"}});
        lab.create_in::<Secret>("cloudfaster-system", login).await;
        let password = json!({"metadata": {"name": "login"}, "stringData": {"password": "a b&c=d+e%f"}});
        lab.create_in::<Secret>("shop", password).await;
        let mut main = cluster(&["pve1".to_owned()]);
        main.spec.endpoints = vec![recorder.url.clone()];
        main.spec.tls = Some(serde_json::from_value(json!({"fingerprints": [recorder.fingerprint]})).unwrap());
        main.spec.tenants = serde_json::from_value(open_tenants()).unwrap();
        let allow = main.spec.tenants[0].allow.as_mut().unwrap();
        allow.pools = vec!["*".to_owned()];
        allow.adoption = serde_json::from_value(json!([{"from": OLD, "to": OLD}])).unwrap();
        for pool in ["shop", "shop2"] {
            recorder.add_pool(pool).await;
        }
        lab.clusters().create(&PostParams::default(), &main).await.unwrap();
        lab.start();
        Self { lab, recorder, child, _folder: folder }
    }

    /// Nothing was said that Proxmox's schema does not allow.
    async fn end(mut self) {
        let refused = |exchange: &Exchange| matches!(exchange.status, 400 | 401 | 403 | 501);
        let refused: Vec<Exchange> = self.recorder.seen().into_iter().filter(refused).collect();
        assert!(refused.is_empty(), "{refused:#?}");
        self.child.start_kill().unwrap();
        self.child.wait().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_fakepve_takes_every_request_and_has_the_machine_as_the_spec_says() {
    let stage = Stage::set().await;
    let Stage { lab, recorder, .. } = &stage;
    let cloud_init = json!({
        "user": "deploy",
        "passwordSecretRef": {"name": "login", "key": "password"},
        "sshKeys": [KEY],
        "addresses": [{
            "nic": "net1", "ipv4": "192.0.2.10/24", "gateway4": "192.0.2.1",
            "ipv6": "2001:db8::10/64", "gateway6": "2001:db8::1",
        }],
        "dnsServers": ["192.0.2.53", "2001:db8::53"],
        "searchDomain": "example.com",
    });
    // It takes every resize and changes nothing, so the disk stays as the template's.
    lab.machine(
        "one",
        json!({"cores": 3, "memory": "1536Mi", "disk": {"size": "2Gi"}, "cloudInit": cloud_init, "pool": "shop"}),
    )
    .await;
    lab.until_ready(&["one"]).await;

    let vm = lab.get("one").unwrap();
    let vmid = vm.status.as_ref().unwrap().vmid.unwrap();
    let told = config(recorder, vmid);
    for (key, value) in [("name", "one"), ("cores", "3"), ("memory", "1536"), ("ciuser", "deploy")] {
        assert_eq!(text(&told, key), value, "{key}\n{}", describe(lab, recorder));
    }
    assert_eq!(percent_decode_str(&text(&told, "sshkeys")).decode_utf8().unwrap().trim(), KEY);
    assert!(text(&told, "tags").split(';').any(|tag| tag == "cloudfaster"), "{told}");
    assert!(text(&told, "scsi0").contains("size=2G"), "{told}");
    let maps: Api<ConfigMap> = Api::namespaced(lab.client.clone(), "cloudfaster-system");
    let installation = maps.get("cloudfaster-installation").await.unwrap().data.unwrap()["id"].clone();
    let uid = vm.uid().unwrap();
    for part in [installation.as_str(), "shop", "one", uid.as_str(), &vmid.to_string()] {
        assert!(text(&told, "description").contains(part), "{part} is not in {told}");
    }
    let uuid = identity::smbios_uuid(&installation, &uid, u32::try_from(vmid).unwrap()).to_string();
    assert!(text(&told, "smbios1").contains(&uuid), "{told}");
    let set: Vec<(String, String)> = changes(recorder).iter().flat_map(parameters).collect();
    let password = set.iter().find(|(key, _)| key == "cipassword").map(|(_, value)| value.as_str());
    assert!(password.is_some_and(|hash| hash.starts_with("$6$")), "{set:?}");
    let paths: Vec<String> = changes(recorder).into_iter().map(|exchange| exchange.path).collect();
    assert!(
        paths.first().unwrap().ends_with("/clone") && paths.last().unwrap().ends_with("/status/start"),
        "{paths:?}"
    );

    let spec = json!({
        "cores": 4, "sockets": 2, "cpuType": "x86-64-v2-AES", "memory": "2Gi", "description": "# Web\näöü", "tags": ["web"],
        "onBoot": true, "protection": true,
        "nics": [
            {"name": "net0", "bridge": "vmbr0", "vlan": 7, "firewall": true, "model": "e1000"},
            {"name": "net1", "bridge": "vmbr0", "mac": "bc:24:11:00:00:09"},
        ],
        "disks": [{"name": "data", "size": "1536Mi", "discard": true, "ssd": true, "backup": false}],
        "pool": "shop2",
    });
    // It shows no pending values as if they were in force, as the real one does: what changes is told of one that stands still.
    lab.change("one", json!({"powerState": "Stopped"})).await;
    lab.change("one", spec).await;
    let disk = text(&config(recorder, vmid), "scsi1");
    for option in ["local-lvm:", "serial=data", "discard=on", "ssd=1", "backup=0"] {
        assert!(disk.contains(option), "{option} is not in {disk}");
    }
    lab.change("one", json!({"nics": [{"name": "net0", "bridge": "vmbr0", "vlan": 0}]})).await;
    lab.change("one", json!({"protection": false, "disks": null})).await;
    assert!(config(recorder, vmid)["scsi1"].is_null(), "{}", describe(lab, recorder));
    lab.change("one", json!({"protection": true})).await;
    for state in ["Paused", "Stopped", "Running"] {
        let shutdown = json!({"timeoutSeconds": 60, "forceAfterTimeout": true});
        lab.change("one", json!({"powerState": state, "shutdown": shutdown})).await;
    }
    let told = config(recorder, vmid);
    for (key, value) in
        [("cores", "4"), ("sockets", "2"), ("cpu", "x86-64-v2-AES"), ("onboot", "1"), ("protection", "1")]
    {
        assert_eq!(text(&told, key), value, "{key}\n{}", describe(lab, recorder));
    }
    assert!(text(&told, "net0").starts_with("e1000=BC:24:11:"), "{told}");
    lab.change("one", json!({"protection": false})).await;

    lab.delete("one").await;
    lab.until_gone(&["one"]).await;
    let destroyed = changes(recorder).into_iter().any(|exchange| {
        exchange.method == "DELETE" && exchange.path.contains(&format!("/qemu/{vmid}?")) && exchange.status == 200
    });
    assert!(destroyed, "{}", describe(lab, recorder));
    let listed = recorder.vms().await;
    assert_eq!(listed, [9000, OLD], "only what was there before is left\n{}", describe(lab, recorder));
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_fakepve_has_an_adopted_machine_with_a_mark_more_and_gets_it_back_as_it_was() {
    let stage = Stage::set().await;
    let Stage { lab, recorder, .. } = &stage;
    let object = json!({
        "apiVersion": "cloudfaster.app/v1alpha1",
        "kind": "ProxmoxVM",
        "metadata": {"name": "old-shop", "namespace": "shop"},
        "spec": {
            "clusterRef": {"name": "main"}, "adopt": {"node": "pve1", "vmid": OLD, "dryRun": true}, "cores": 4, "pool": "shop",
            "deletionPolicy": "Retain",
        },
    });
    lab.machines().create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
    let adoption = |lab: &Lab| lab.get("old-shop").and_then(|vm| vm.status).and_then(|status| status.adoption);
    lab.until("it shows what would be changed", |lab| adoption(lab).is_some()).await;
    let fields: Vec<String> = adoption(lab).unwrap().differences.into_iter().map(|it| it.field).collect();
    assert_eq!(fields, ["cores", "pool"], "{}", describe(lab, recorder));
    assert!(changes(recorder).iter().all(|exchange| !exchange.path.contains(&format!("/qemu/{OLD}"))));

    lab.change("old-shop", json!({"adopt": {"dryRun": false}})).await;
    let told = config(recorder, OLD);
    assert_eq!(text(&told, "cores"), "4", "{}", describe(lab, recorder));
    assert!(text(&told, "description").starts_with(NOTES) && text(&told, "description") != NOTES, "{told}");
    for (key, value) in [("memory", "512"), ("tags", "legacy"), ("net0", "virtio=BC:24:11:94:10:4B,bridge=vmbr0")] {
        assert_eq!(text(&told, key), value, "{key}\n{}", describe(lab, recorder));
    }

    lab.delete("old-shop").await;
    lab.until_gone(&["old-shop"]).await;
    let given_back: Vec<_> =
        changes(recorder).iter().flat_map(parameters).filter(|(key, _)| key == "description").collect();
    assert_eq!(given_back.last().map(|(_, notes)| notes.trim()), Some(NOTES), "{}", describe(lab, recorder));
    assert_eq!(recorder.vms().await, [9000, OLD], "it stays\n{}", describe(lab, recorder));
    stage.end().await;
}
