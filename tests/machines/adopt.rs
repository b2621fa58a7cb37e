//! Machines that were there before their object: looked at, taken over as they are, and left alone where they are others'.

use std::collections::BTreeMap;

use cloudfaster::{
    api::{
        ProxmoxVM,
        proxmox_vm::{Phase, ProxmoxVMStatus},
    },
    proxmox::identity::Mark,
    simulator::{ContainerSpec, GuestSpec, Scenario, VmView},
};
use futures::future::join_all;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, api::PostParams};
use serde_json::{Value, json};

use crate::support::{Call, Crash, Lab, is_ready, reason, small};

const NOTES: &str = "Ask Alice\n\nbefore you touch it";

/// Two nodes with old machines: 500 runs, 501 is off, 502 is a template, 503 a container.
fn scenario() -> Scenario {
    let mut scenario = small(2);
    let old = |vmid: u32, name: &str| {
        let mut guest =
            GuestSpec::new(vmid, name, "pve1").disk("local-lvm", 3).tags("legacy").with("description", NOTES);
        (guest.cores, guest.memory_mib) = (4, 3072);
        guest
    };
    scenario.vms = vec![GuestSpec { running: true, ..old(500, "old-shop") }, old(501, "old-db")];
    scenario.templates.push(old(502, "old-base"));
    scenario.containers = vec![ContainerSpec { vmid: 503, name: "box".to_owned(), node: "pve1".to_owned() }];
    scenario
}

fn allow_adoption() -> Value {
    json!({"spec": {"tenants": [{
        "namespaceSelector": {"matchLabels": {"cloudfaster.app/tenant": "true"}},
        "allow": {"adoption": [{"from": 500, "to": 599}]},
    }]}})
}

/// The cluster lets its tenants adopt, and a controller runs.
async fn lab() -> Lab {
    let mut lab = Lab::bare(scenario()).await;
    lab.connect().await;
    lab.patch_cluster(allow_adoption()).await;
    lab.start();
    lab
}

/// An object that adopts a machine and names of it what `spec` says.
fn adopting(name: &str, vmid: i64, spec: Value) -> ProxmoxVM {
    let mut object = json!({
        "apiVersion": "cloudfaster.app/v1alpha1",
        "kind": "ProxmoxVM",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"clusterRef": {"name": "main"}, "adopt": {"node": "pve1", "vmid": vmid}},
    });
    json_patch::merge(&mut object["spec"], &spec);
    serde_json::from_value(object).unwrap()
}

async fn adopt(lab: &Lab, name: &str, vmid: i64, spec: Value) {
    lab.machines().create(&PostParams::default(), &adopting(name, vmid, spec)).await.unwrap();
}

fn status(lab: &Lab, name: &str) -> ProxmoxVMStatus {
    lab.get(name).and_then(|vm| vm.status).unwrap_or_default()
}

fn told(lab: &Lab, name: &str) -> (String, String) {
    reason(&status(lab, name).conditions)
}

async fn until_told(lab: &Lab, name: &str, word: &str) -> String {
    lab.until(&format!("{name} says {word}"), |lab| told(lab, name).0 == word).await;
    told(lab, name).1
}

fn vm(lab: &Lab, vmid: u32) -> VmView {
    lab.simulator.vm(vmid).unwrap_or_else(|| panic!("VM {vmid} is gone\n{}", lab.describe()))
}

fn without_notes(vm: &VmView) -> BTreeMap<String, String> {
    let mut config = vm.config.clone();
    config.remove("description");
    config
}

/// It is as it was, but for a mark in its notes.
fn assert_only_marked(lab: &Lab, before: &VmView) {
    let after = vm(lab, before.vmid);
    assert_eq!(without_notes(&after), without_notes(before));
    assert_eq!((after.running, after.paused, &after.node), (before.running, before.paused, &before.node));
    assert!(after.pending.is_empty(), "{after:?}");
    let notes = &after.config["description"];
    assert!(notes.starts_with(NOTES) && notes.contains("cloudfaster.app/mark"), "{notes}");
}

fn writes(lab: &Lab) -> Vec<String> {
    let requests = lab.simulator.requests().into_iter().filter(|request| request.method != "GET");
    requests.map(|request| format!("{} {}", request.method, request.path)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_becomes_an_objects_and_stays_as_it_is_in_all_that_the_spec_does_not_name() {
    let lab = lab().await;
    let (shop, db) = (vm(&lab, 500), vm(&lab, 501));
    adopt(&lab, "shop", 500, json!({})).await;
    // Whatever node of the cluster it is on.
    adopt(&lab, "db", 501, json!({"adopt": {"node": "pve2"}, "cores": 4, "memory": "3Gi", "disk": {"size": "3Gi"}}))
        .await;
    lab.until_ready(&["shop", "db"]).await;
    assert_only_marked(&lab, &shop);
    assert_only_marked(&lab, &db);
    let written = ["PUT /nodes/pve1/qemu/500/config", "PUT /nodes/pve1/qemu/501/config"];
    let mut writes = writes(&lab);
    writes.sort();
    assert_eq!(writes, written);
    let now = status(&lab, "db");
    assert_eq!((now.node.as_deref(), now.vmid, now.phase), (Some("pve1"), Some(501), Some(Phase::Stopped)));
    assert_eq!((now.cores, now.memory.map(|size| size.to_string())), (Some(4), Some("3Gi".to_owned())));
    assert_eq!(status(&lab, "shop").phase, Some(Phase::Running));
    let events = lab.events("shop").await;
    assert!(events.iter().any(|event| event.reason == "Running" && event.note.contains("VM 500")), "{events:?}");
    // From now on it is kept as the spec says.
    lab.change("db", json!({"powerState": "Running", "memory": "2Gi"})).await;
    assert_eq!((vm(&lab, 501).running, vm(&lab, 501).config["memory"].as_str()), (true, "2048"));
    lab.simulator.set_running(501, false).unwrap();
    lab.until("it is started again", |lab| vm(lab, 501).running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_be_changed_is_shown_first_and_nothing_is_done() {
    let lab = lab().await;
    let before = vm(&lab, 500);
    let spec = json!({
        "adopt": {"dryRun": true}, "cores": 2, "memory": "3Gi", "disk": {"size": "4Gi"}, "tags": ["web"],
        "description": "for Bob", "powerState": "Stopped", "onBoot": true,
    });
    adopt(&lab, "shop", 500, spec).await;
    let message = until_told(&lab, "shop", "DryRun").await;
    let changes = "VM 500 on pve1 would be changed: cores 4 → 2, description Ask Alice";
    assert!(
        message.starts_with(changes) && message.ends_with("set spec.adopt.dryRun to false to adopt it"),
        "{message}"
    );
    let now = status(&lab, "shop");
    assert!(now.conditions.iter().any(|it| it.type_ == "Stalled" && it.status == "True"));
    assert_eq!((now.phase, now.intent, now.vmid), (Some(Phase::Pending), None, None));
    let preview = now.adoption.unwrap();
    assert_eq!((preview.node.as_str(), preview.vmid), ("pve1", 500));
    let shown: Vec<_> = preview
        .differences
        .iter()
        .map(|it| {
            (it.field.as_str(), it.present.as_deref().unwrap_or_default(), it.desired.as_deref().unwrap_or_default())
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("cores", "4", "2"),
            ("description", NOTES, "for Bob"),
            ("disk.size", "3Gi", "4Gi"),
            ("onBoot", "false", "true"),
            ("powerState", "Running", "Stopped"),
            ("tags", "legacy", "legacy, web"),
        ]
    );
    assert_eq!((vm(&lab, 500), writes(&lab)), (before, Vec::new()), "nothing at all was done");
    assert!(lab.get("shop").unwrap().metadata.finalizers.is_none(), "nothing holds the object");

    lab.change("shop", json!({"adopt": {"dryRun": false}})).await;
    let after = vm(&lab, 500);
    let is = |key: &str| after.config.get(key).cloned().unwrap_or_default();
    assert_eq!((is("cores"), is("onboot"), after.running), ("2".to_owned(), "1".to_owned(), false));
    assert!(
        is("scsi0").contains("size=4G") && is("tags").contains("web") && is("tags").contains("legacy"),
        "{after:?}"
    );
    assert!(is("description").starts_with("for Bob"), "{after:?}");
    assert_eq!(status(&lab, "shop").adoption, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_only_looked_goes_at_once_and_one_that_adopted_can_give_back_what_it_got() {
    let lab = lab().await;
    let before = vm(&lab, 500);
    adopt(&lab, "shop", 500, json!({"adopt": {"dryRun": true}})).await;
    let message = until_told(&lab, "shop", "DryRun").await;
    assert!(message.starts_with("VM 500 on pve1 is as the spec says"), "{message}");
    lab.delete("shop").await;
    lab.until_gone(&["shop"]).await;
    adopt(&lab, "shop", 500, json!({"deletionPolicy": "Retain"})).await;
    lab.until_ready(&["shop"]).await;
    lab.delete("shop").await;
    lab.until_gone(&["shop"]).await;
    let after = vm(&lab, 500);
    assert_eq!((&after.config, after.running), (&before.config, true), "{}", lab.describe());
    // Deleted with the machine, if that is what the spec says.
    adopt(&lab, "shop", 500, json!({})).await;
    lab.until_ready(&["shop"]).await;
    lab.delete("shop").await;
    lab.until_gone(&["shop"]).await;
    assert!(lab.simulator.vm(500).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_to_be_had_is_refused_and_untouched() {
    let lab = lab().await;
    lab.machine("ours", json!({})).await;
    lab.until_ready(&["ours"]).await;
    let mark = Mark {
        installation: "other".into(),
        namespace: "shop".into(),
        name: "theirs".into(),
        uid: "1".into(),
        vmid: 501,
    };
    lab.simulator.edit_description(501, &mark.line()).unwrap();
    let ours = lab.vm_of("ours").unwrap().vmid;
    lab.patch_cluster(json!({"spec": {"tenants": [{
        "namespaceSelector": {"matchLabels": {"cloudfaster.app/tenant": "true"}},
        "allow": {"adoption": [{"from": 500, "to": 2000}]},
    }]}}))
    .await;
    lab.simulator.forget_requests();
    let before = lab.simulator.vms();
    for (name, vmid, word, says) in [
        ("marked", 501, "AdoptionRefused", "bears the mark of another object"),
        ("template", 502, "AdoptionRefused", "is a template"),
        ("container", 503, "AdoptionRefused", "is a container"),
        ("taken", i64::from(ours), "AdoptionRefused", "is another ProxmoxVM's"),
        ("too-far", 9001, "NotAllowed", "VM 9001 may not be adopted; allowed: 500–2000"),
        ("absent", 599, "DependencyNotFound", "there is no VM 599 on pve1; waiting"),
    ] {
        adopt(&lab, name, vmid, json!({})).await;
        let message = until_told(&lab, name, word).await;
        assert!(message.contains(says), "{name}: {message}");
    }
    adopt(&lab, "nowhere", 500, json!({"adopt": {"node": "pve9"}})).await;
    assert!(until_told(&lab, "nowhere", "UnknownNode").await.contains("spec.adopt.node"));
    adopt(&lab, "shrunk", 500, json!({"disk": {"size": "2Gi"}})).await;
    assert!(until_told(&lab, "shrunk", "DiskTooSmall").await.contains("has 3Gi, more than 2Gi"));
    assert_eq!((lab.simulator.vms(), writes(&lab)), (before, Vec::new()));
    // What was awaited comes.
    lab.simulator.add_vm(&GuestSpec::new(599, "late", "pve2").disk("local-lvm", 1));
    lab.until_ready(&["absent"]).await;
    assert_eq!(status(&lab, "absent").node.as_deref(), Some("pve2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_adopts_where_the_administrator_has_not_opened_it() {
    let mut lab = Lab::bare(scenario()).await;
    lab.connect().await;
    lab.start();
    let before = lab.simulator.vms();
    adopt(&lab, "shop", 500, json!({"adopt": {"dryRun": true}})).await;
    let message = until_told(&lab, "shop", "NotAllowed").await;
    assert!(message.contains("spec.adopt: VM 500 may not be adopted; no machine may be adopted"), "{message}");
    assert_eq!(status(&lab, "shop").adoption, None, "what others' machines are like is nobody's business");
    assert_eq!((lab.simulator.vms(), writes(&lab)), (before, Vec::new()));
    lab.patch_cluster(allow_adoption()).await;
    until_told(&lab, "shop", "DryRun").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_want_the_same_machine_one_gets_it_and_the_other_when_that_lets_go() {
    let lab = lab().await;
    lab.create::<Namespace>(json!({"metadata": {"name": "bank", "labels": {"cloudfaster.app/tenant": "true"}}})).await;
    let before = vm(&lab, 500);
    let of_bank = Api::<ProxmoxVM>::namespaced(lab.client.clone(), "bank");
    let theirs = {
        let mut object = adopting("theirs", 500, json!({"deletionPolicy": "Retain"}));
        object.metadata.namespace = Some("bank".to_owned());
        object
    };
    let ours = adopting("ours", 500, json!({"deletionPolicy": "Retain"}));
    let (machines, params) = (lab.machines(), PostParams::default());
    let (one, other) = tokio::join!(machines.create(&params, &ours), of_bank.create(&params, &theirs));
    one.and(other).unwrap();
    let ready = |lab: &Lab, name: &str| lab.get(name).is_some_and(|vm| is_ready(&vm));
    let one_each = |lab: &Lab| {
        ["ours", "theirs"].iter().any(|name| ready(lab, name))
            && ["ours", "theirs"].iter().any(|name| told(lab, name).0 == "AdoptionRefused")
    };
    lab.until("one has it and the other is refused", one_each).await;
    assert_only_marked(&lab, &before);
    let (first, second) = if ready(&lab, "ours") { ("ours", "theirs") } else { ("theirs", "ours") };
    let of_first = if first == "ours" { lab.machines() } else { of_bank.clone() };
    of_first.delete(first, &kube::api::DeleteParams::default()).await.unwrap();
    lab.until(&format!("{second} gets it"), |lab| ready(lab, second)).await;
    assert_only_marked(&lab, &before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_machine_of_an_earlier_object_of_the_name_is_adopted_when_it_is_named() {
    let mut lab = Lab::bare(scenario()).await;
    lab.connect().await;
    lab.patch_cluster(json!({"spec": {"tenants": [{
        "namespaceSelector": {"matchLabels": {"cloudfaster.app/tenant": "true"}},
        "allow": {"adoption": [{"from": 1000, "to": 1999}]},
    }]}}))
    .await;
    lab.start();
    lab.machine("web", json!({"deletionPolicy": "Orphan"})).await;
    lab.until_ready(&["web"]).await;
    let before = lab.vm_of("web").unwrap();
    // As a restored namespace has it: the same name, and another uid.
    lab.delete("web").await;
    lab.until_gone(&["web"]).await;
    lab.machine("web", json!({})).await;
    let message = until_told(&lab, "web", "NameTaken").await;
    assert!(message.contains("spec.adopt"), "{message}");
    lab.delete("web").await;
    lab.until_gone(&["web"]).await;
    // Nobody of another name gets it so.
    adopt(&lab, "thief", 1000, json!({})).await;
    assert!(until_told(&lab, "thief", "AdoptionRefused").await.contains("bears the mark of another object"));
    adopt(&lab, "web", 1000, json!({})).await;
    lab.until_ready(&["web"]).await;
    let after = vm(&lab, 1000);
    assert_eq!((without_notes(&after), after.running), (without_notes(&before), true));
    assert_ne!(after.config["description"], before.config["description"]);
    assert_eq!(lab.made().len(), 1, "{}", lab.describe());
}

/// Killed at this moment of the adoption.
async fn adopted_at(crash: Crash) -> bool {
    let mut lab = Lab::bare(scenario()).await;
    lab.connect().await;
    lab.patch_cluster(allow_adoption()).await;
    let before = vm(&lab, 500);
    adopt(&lab, "shop", 500, json!({})).await;
    lab.start_until(Some(crash));
    let through = |lab: &Lab| lab.get("shop").is_some_and(|vm| is_ready(&vm));
    let crashed = lab.crash(&format!("{crash:?}, or through"), through).await;
    lab.kill();
    lab.start();
    lab.until_ready(&["shop"]).await;
    assert_only_marked(&lab, &before);
    crashed
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_adopted_once_whenever_the_controller_is_killed() {
    let calls = [Crash::BeforeCall(Call::CONFIG, 0), Crash::AfterCall(Call::CONFIG, 0)];
    let writes = (0..12).flat_map(|n| [Crash::BeforeWrite(n), Crash::AfterWrite(n)]);
    let crashed = join_all(calls.into_iter().chain(writes).map(adopted_at)).await;
    assert!(crashed[..2].iter().all(|crashed| *crashed), "{crashed:?}");
    assert!(crashed.iter().filter(|crashed| **crashed).count() > 10, "{crashed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adopted_machine_survives_the_loss_of_the_whole_status() {
    let mut lab = lab().await;
    let before = vm(&lab, 501);
    adopt(&lab, "db", 501, json!({})).await;
    lab.until_ready(&["db"]).await;
    lab.kill();
    lab.wipe("db").await;
    lab.start();
    lab.until_ready(&["db"]).await;
    assert_only_marked(&lab, &before);
}
