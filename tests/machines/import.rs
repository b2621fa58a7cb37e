//! `cloudfaster import`: what it writes adopts the machines, and changes nothing of them.

use std::{collections::BTreeMap, path::Path, process::Output};

use cloudfaster::{
    api::ProxmoxVM,
    proxmox::identity::Mark,
    simulator::{ContainerSpec, GuestSpec, Scenario, VmView},
};
use futures::future::join_all;
use kube::{ResourceExt, api::PostParams};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{Lab, small};

/// Old machines of all kinds on two nodes.
fn scenario() -> Scenario {
    let mut scenario = small(2);
    let old = |vmid: u32, name: &str, node: &str| GuestSpec::new(vmid, name, node).disk("local-lvm", 3);
    let tuned = old(500, "Old_Shop", "pve1")
        .tags("legacy;cloudfaster-like;web")
        .with("description", "Ask Alice\n\nbefore you touch it")
        .with("sockets", "2")
        .with("cpu", "x86-64-v2-AES,flags=+aes")
        .with("net1", "e1000=BC:24:11:00:00:77,bridge=vmbr1,tag=12,firewall=1,rate=10")
        .with("onboot", "1")
        .with("protection", "1");
    let mark = Mark {
        installation: "other".into(),
        namespace: "bank".into(),
        name: "vault".into(),
        uid: "1".into(),
        vmid: 505,
    };
    scenario.vms = vec![
        GuestSpec { running: true, cores: 3, memory_mib: 3000, ..tuned },
        old(501, "old-shop", "pve2"),
        old(502, "", "pve2").with("net0", "virtio=BC:24:11:00:00:78"),
        old(505, "vault", "pve1").with("description", &mark.line()),
        old(700, "far", "pve1"),
    ];
    scenario.templates.push(old(503, "old-base", "pve1"));
    scenario.containers = vec![ContainerSpec { vmid: 504, name: "box".to_owned(), node: "pve1".to_owned() }];
    scenario
}

fn open(networks: Value) -> Value {
    json!({"spec": {"tenants": [{
        "namespaceSelector": {"matchLabels": {"cloudfaster.app/tenant": "true"}},
        "allow": {"adoption": [{"from": 500, "to": 599}], "networks": networks},
    }]}})
}

/// A laboratory whose tenants may adopt, without a controller, and how others reach it.
struct Site {
    lab: Lab,
    folder: tempfile::TempDir,
    _serving: cloudfaster::standalone::Serving,
    kubeconfig: std::path::PathBuf,
}

impl Site {
    async fn new() -> Self {
        let lab = Lab::bare(scenario()).await;
        lab.connect().await;
        let bridges = json!([{"bridge": "vmbr0"}, {"bridge": "vmbr1", "vlans": [{"from": 12, "to": 12}]}]);
        lab.patch_cluster(open(bridges)).await;
        let folder = tempfile::tempdir().unwrap();
        let (_serving, kubeconfig) = lab.serve(folder.path()).await;
        Self { lab, folder, _serving, kubeconfig }
    }

    async fn import(&self, more: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cloudfaster"));
        command.args(["import", "--cluster", "main", "--namespace", "shop", "--kubeconfig"]).arg(&self.kubeconfig);
        command.args(more).kill_on_drop(true).output().await.unwrap()
    }

    /// The objects that it printed, and what it said beside.
    async fn imported(&self, more: &[&str]) -> (Vec<ProxmoxVM>, String) {
        let Output { status, stdout, stderr } = self.import(more).await;
        let said = String::from_utf8(stderr).unwrap();
        assert!(status.success(), "{said}");
        let text = String::from_utf8(stdout).unwrap();
        let objects = if text.is_empty() { Vec::new() } else { serde_saphyr::from_multiple(&text).unwrap() };
        (objects, said)
    }

    fn requests(&self) -> Vec<String> {
        let writes = self.lab.simulator.requests().into_iter().filter(|request| request.method != "GET");
        writes.map(|request| format!("{} {}", request.method, request.path)).collect()
    }
}

fn named(objects: &[ProxmoxVM]) -> BTreeMap<String, i64> {
    objects.iter().map(|vm| (vm.name_any(), vm.spec.adopt.as_ref().unwrap().vmid)).collect()
}

fn without_notes(vm: &VmView) -> BTreeMap<String, String> {
    let mut config = vm.config.clone();
    config.remove("description");
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_imported_is_adopted_and_nothing_but_a_mark_is_changed() {
    let mut site = Site::new().await;
    let before = site.lab.simulator.vms();
    let (objects, said) = site.imported(&["--vmid", "500-599"]).await;
    assert_eq!(named(&objects), [("old-shop-500", 500), ("old-shop-501", 501), ("vm-502", 502)].map(owned).into());
    for (what, why) in [
        ("VM 503 (old-base) on pve1", "is a template"),
        ("VM 505 (vault) on pve1", "bears the mark of bank/vault of installation other"),
        ("VM 502 (VM 502) on pve2", "net0 are on no bridge"),
        ("VM 500 (Old_Shop) on pve1", "spec.tags is left out"),
        ("3 machines", "to adopt"),
    ] {
        assert!(said.lines().any(|line| line.starts_with(what) && line.contains(why)), "{what}: {why}\n{said}");
    }
    assert!(!said.contains("504") && !said.contains("700"), "containers and what was not asked for: {said}");
    let shop = serde_json::to_value(&objects[0]).unwrap();
    let spec = json!({
        "clusterRef": {"name": "main"}, "adopt": {"node": "pve1", "vmid": 500, "dryRun": false},
        "cores": 3, "sockets": 2, "cpuType": "x86-64-v2-AES", "memory": "3000Mi", "disk": {"size": "3Gi"},
        "nics": [
            {"name": "net0", "bridge": "vmbr0", "model": "virtio"},
            {"name": "net1", "bridge": "vmbr1", "model": "e1000", "vlan": 12, "firewall": true},
        ],
        "description": "Ask Alice\n\nbefore you touch it", "onBoot": true, "protection": true,
        "powerState": "Running", "deletionPolicy": "Retain",
        "clone": "Full", "rebootPolicy": "Never", "whenMissing": "Stall",
    });
    assert_eq!(shop["spec"], spec);

    site.lab.start();
    let machines = site.lab.machines();
    let params = PostParams::default();
    for made in join_all(objects.iter().map(|object| machines.create(&params, object))).await {
        made.unwrap();
    }
    site.lab.until_ready(&["old-shop-500", "old-shop-501", "vm-502"]).await;
    let after = site.lab.simulator.vms();
    for (before, after) in before.iter().zip(&after) {
        assert_eq!((without_notes(before), before.running), (without_notes(after), after.running));
        assert!(after.pending.is_empty(), "{after:?}");
    }
    let mut writes = site.requests();
    writes.sort();
    let marks = [("pve1", 500), ("pve2", 501), ("pve2", 502)]
        .map(|(node, vmid)| format!("PUT /nodes/{node}/qemu/{vmid}/config"));
    assert_eq!(writes, marks, "a mark each");
    // They are managed now.
    let (again, said) = site.imported(&["--vmid", "500-599"]).await;
    assert!(again.is_empty(), "{again:?}");
    assert!(
        said.contains("VM 500 (Old_Shop) on pve1 is left out: it is the machine of ProxmoxVM shop/old-shop-500"),
        "{said}"
    );
}

fn owned((name, vmid): (&str, i64)) -> (String, i64) {
    (name.to_owned(), vmid)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_imported_to_look_first_shows_no_differences() {
    let mut site = Site::new().await;
    let before = site.lab.simulator.vms();
    let (objects, _) = site.imported(&["--vmid", "500-599", "--dry-run-first"]).await;
    site.lab.start();
    for object in &objects {
        site.lab.machines().create(&PostParams::default(), object).await.unwrap();
    }
    for object in &objects {
        let name = object.name_any();
        let looked = |lab: &Lab| lab.get(&name).and_then(|vm| vm.status?.adoption);
        site.lab.until(&format!("{name} was looked at"), |lab| looked(lab).is_some()).await;
        assert_eq!(looked(&site.lab).unwrap().differences, [], "{name}");
    }
    assert_eq!((site.lab.simulator.vms(), site.requests()), (before, Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_cluster_does_not_allow_is_left_out_or_told() {
    let site = Site::new().await;
    site.lab.patch_cluster(open(json!([]))).await;
    let (objects, said) = site.imported(&["--name", "Old_*"]).await;
    assert_eq!(named(&objects), [("old-shop", 500)].map(owned).into());
    assert!(objects[0].spec.nics.is_empty());
    assert!(said.contains("VM 500 (Old_Shop) on pve1: spec.nics is left out, which leaves it as it is"), "{said}");
    let (objects, said) = site.imported(&["--name", "far"]).await;
    assert_eq!(named(&objects), [("far", 700)].map(owned).into());
    assert!(said.contains("will not be adopted as long as ProxmoxCluster main refuses it"), "{said}");
    let others = json!([{"namespaceSelector": {"matchLabels": {"other": "true"}}}]);
    site.lab.patch_cluster(json!({"spec": {"tenants": others}})).await;
    let (_, said) = site.imported(&["--name", "far"]).await;
    assert!(said.contains("ProxmoxCluster main does not admit the namespace shop"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_filter_decides_and_each_manifest_has_a_file_of_its_own() {
    let site = Site::new().await;
    for (filter, expected) in [
        (["--node", "pve2"], vec!["old-shop", "vm-502"]),
        (["--tag", "legacy"], vec!["old-shop"]),
        (["--name", "?ar"], vec!["far"]),
        (["--vmid", "501"], vec!["old-shop"]),
        (["--pool", "none"], vec![]),
    ] {
        let (objects, said) = site.imported(&filter).await;
        assert_eq!(named(&objects).into_keys().collect::<Vec<_>>(), expected, "{filter:?}: {said}");
    }
    let folder = site.folder.path().join("manifests");
    std::fs::create_dir(&folder).unwrap();
    let directory = ["--vmid", "700", "--directory", folder.to_str().unwrap()];
    let (printed, _) = site.imported(&directory).await;
    assert!(printed.is_empty());
    let text = std::fs::read_to_string(Path::new(&folder).join("far.yaml")).unwrap();
    assert!(text.contains("deletionPolicy: Retain") && !text.contains("status:"), "{text}");
    // What was edited since is not lost.
    let again = site.import(&directory).await;
    assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("far.yaml"), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_said_with_its_name() {
    let site = Site::new().await;
    let command = |cluster: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cloudfaster"));
        command.args(["import", "--cluster", cluster, "--namespace", "shop", "--kubeconfig"]).arg(&site.kubeconfig);
        command.kill_on_drop(true);
        command
    };
    let output = command("nowhere").output().await.unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no ProxmoxCluster nowhere"), "{output:?}");
    let output = command("main").args(["--vmid", "9-x"]).output().await.unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("is no VMID"), "{output:?}");
}
