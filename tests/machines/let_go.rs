//! Machines that stay when their object is deleted, and objects that let go without asking Proxmox.

use std::collections::BTreeMap;

use cloudfaster::simulator::{Scenario, VmView};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::support::{Call, Crash, Lab, is_ready, reason, small};

fn told(lab: &Lab, name: &str) -> (String, String) {
    reason(&lab.get(name).and_then(|vm| vm.status).unwrap_or_default().conditions)
}

/// A config without what only the operator writes.
fn without_marks(vm: &VmView) -> BTreeMap<String, String> {
    let mut config = vm.config.clone();
    let notes = config.remove("description").unwrap_or_default();
    let notes: Vec<_> = notes.lines().filter(|line| !line.contains("cloudfaster.app/mark")).collect();
    let notes = notes.join("\n").trim_end().to_owned();
    config.extend((!notes.is_empty()).then(|| ("description".to_owned(), notes)));
    let tags = config.remove("tags").unwrap_or_default();
    let tags: Vec<_> = tags.split(';').filter(|tag| *tag != "cloudfaster" && !tag.is_empty()).collect();
    config.extend((!tags.is_empty()).then(|| ("tags".to_owned(), tags.join(";"))));
    config
}

/// It runs on as it was, with nothing of the operator's in it but what the guest takes itself for.
fn assert_kept(lab: &Lab, before: &VmView) {
    let after = lab.simulator.vm(before.vmid).unwrap_or_else(|| panic!("it is gone\n{}", lab.describe()));
    assert_eq!((after.running, &after.node, &after.pending), (before.running, &before.node, &before.pending));
    assert_eq!(after.config, without_marks(before), "{}", lab.describe());
}

async fn ready(scenario: Scenario, spec: Value) -> (Lab, VmView) {
    let lab = Lab::new(scenario).await;
    lab.machine("one", spec).await;
    lab.until_ready(&["one"]).await;
    let before = lab.vm_of("one").unwrap();
    (lab, before)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_is_to_stay_stays_as_it_is_without_the_marks() {
    let retain = json!({
        "deletionPolicy": "Retain", "protection": true, "tags": ["web"], "description": "Ask Alice\n\nfirst",
    });
    let (lab, before) = ready(small(1), retain).await;
    assert!(before.config["tags"].contains("cloudfaster") && before.config["description"].contains("cloudfaster.app"));
    lab.delete("one").await;
    lab.until_gone(&["one"]).await;
    assert_kept(&lab, &before);
    let notes = &lab.simulator.vm(before.vmid).unwrap().config["description"];
    assert_eq!(notes.trim_end(), "Ask Alice\n\nfirst");
    let events = lab.events("one").await;
    let kept = events.iter().find(|event| event.reason == "Retained").unwrap_or_else(|| panic!("{events:?}"));
    assert!(kept.note.contains("VM 1000 on pve1"), "{kept:?}");
    // An object of the same name has nothing to do with it.
    lab.machine("one", json!({})).await;
    lab.until_ready(&["one"]).await;
    assert_ne!(lab.vm_of("one").unwrap().vmid, before.vmid);
    lab.delete("one").await;
    lab.until_gone(&["one"]).await;
    assert_kept(&lab, &before);
}

/// Killed at this moment of letting go.
async fn let_go_at(crash: Crash) -> bool {
    let mut lab = Lab::bare(small(1)).await;
    lab.connect().await;
    lab.start();
    lab.machine("one", json!({"deletionPolicy": "Retain", "description": "Ask Alice"})).await;
    lab.until_ready(&["one"]).await;
    let before = lab.vm_of("one").unwrap();
    lab.kill();
    lab.delete("one").await;
    lab.start_until(Some(crash));
    let crashed = lab.crash(&format!("{crash:?}, or through"), |lab| lab.get("one").is_none()).await;
    lab.kill();
    lab.start();
    lab.until_gone(&["one"]).await;
    assert_kept(&lab, &before);
    crashed
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stays_whenever_the_controller_is_killed() {
    let calls =
        [0, 1].into_iter().flat_map(|n| [Crash::BeforeCall(Call::CONFIG, n), Crash::AfterCall(Call::CONFIG, n)]);
    let writes = (0..5).flat_map(|n| [Crash::BeforeWrite(n), Crash::AfterWrite(n)]);
    let crashed = futures::future::join_all(calls.chain(writes).map(let_go_at)).await;
    assert!(crashed.iter().filter(|crashed| **crashed).count() >= 8, "{crashed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_never_ran_is_removed_though_it_was_to_stay() {
    let mut scenario = small(1);
    scenario.clone_mib_per_second = 25;
    let lab = Lab::new(scenario).await;
    lab.machine("one", json!({"deletionPolicy": "Retain"})).await;
    lab.until("it is cloned", |lab| lab.simulator.running_tasks().iter().any(|task| task.kind == "qmclone")).await;
    lab.delete("one").await;
    lab.until_gone(&["one"]).await;
    lab.assert_nothing_left("it was being cloned");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_is_changed_while_the_deletion_waits_takes_effect() {
    let (lab, before) = ready(small(1), json!({"protection": true})).await;
    lab.until("it is protected", |lab| lab.vm_of("one").is_some_and(|vm| vm.config.contains_key("protection"))).await;
    lab.delete("one").await;
    lab.until("it waits", |lab| told(lab, "one").0 == "Protected").await;
    let before = VmView { config: lab.simulator.vm(before.vmid).unwrap().config, ..before };
    lab.patch("one", json!({"spec": {"deletionPolicy": "Retain"}})).await;
    lab.until_gone(&["one"]).await;
    assert_kept(&lab, &before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_holds_the_object_until_it_is_let_go_as_it_is() {
    let (lab, before) = ready(small(3), json!({"deletionPolicy": "Retain"})).await;
    lab.simulator.switch_node("pve1", false).unwrap();
    lab.delete("one").await;
    lab.until("it waits", |lab| told(lab, "one").0 == "NodeUnreachable").await;
    assert!(told(&lab, "one").1.contains("spec.deletionPolicy to Orphan"), "{:?}", told(&lab, "one"));
    lab.patch("one", json!({"spec": {"deletionPolicy": "Orphan"}})).await;
    lab.until_gone(&["one"]).await;
    assert_eq!(lab.simulator.vm(before.vmid).unwrap().config, before.config);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_is_let_go_without_proxmox_and_without_its_cluster() {
    let (lab, before) = ready(small(1), json!({"deletionPolicy": "Orphan"})).await;
    lab.simulator.switch_node("pve1", false).unwrap();
    // Somebody takes the cluster away by force, which the operator holds back.
    let force = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    lab.clusters().delete("main", &kube::api::DeleteParams::default()).await.unwrap();
    while lab.clusters().get_opt("main").await.unwrap().is_some() {
        let _ = lab.clusters().patch("main", &PatchParams::default(), &force).await;
    }
    lab.simulator.forget_requests();
    lab.delete("one").await;
    lab.until_gone(&["one"]).await;
    let events = lab.events("one").await;
    let told = events.iter().find(|event| event.reason == "Orphaned").unwrap_or_else(|| panic!("{events:?}"));
    assert!(told.warning && told.note.contains("VM 1000 on pve1 is left with the marks"), "{told:?}");
    lab.simulator.switch_node("pve1", true).unwrap();
    let after = lab.simulator.vm(before.vmid).unwrap();
    assert_eq!(after.config, before.config);
    assert!(lab.simulator.requests().iter().all(|request| request.method == "GET"), "{}", lab.describe());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_waits_for_its_cluster_can_be_let_go() {
    let (lab, _) = ready(small(1), json!({})).await;
    let force = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    lab.clusters().delete("main", &kube::api::DeleteParams::default()).await.unwrap();
    while lab.clusters().get_opt("main").await.unwrap().is_some() {
        let _ = lab.clusters().patch("main", &PatchParams::default(), &force).await;
    }
    lab.delete("one").await;
    lab.until("it waits", |lab| told(lab, "one").0 == "DependencyNotFound").await;
    assert!(told(&lab, "one").1.contains("spec.deletionPolicy to Orphan"), "{:?}", told(&lab, "one"));
    assert!(lab.get("one").is_some_and(|vm| !is_ready(&vm)));
    lab.patch("one", json!({"spec": {"deletionPolicy": "Orphan"}})).await;
    lab.until_gone(&["one"]).await;
}
