//! How templates are cloned: in turn, linked, to another storage, to another node, and cancelled.

use std::collections::BTreeSet;

use cloudfaster::simulator::{Effect, Fault, GuestSpec, RequestRecord, Scenario, StorageKind, StorageSpec};
use futures::future::join_all;
use serde_json::json;

use crate::support::{Call, Crash, Lab, reason, small};

/// The clone calls that were answered with a task.
fn clones(lab: &Lab) -> Vec<RequestRecord> {
    let requests = lab.simulator.requests().into_iter();
    requests.filter(|request| request.path.ends_with("/clone") && request.status == Some(200)).collect()
}

fn running_clones(lab: &Lab) -> usize {
    lab.simulator.running_tasks().iter().filter(|task| task.kind == "qmclone").count()
}

fn told(lab: &Lab, name: &str) -> (String, String) {
    reason(&lab.get(name).and_then(|vm| vm.status).unwrap_or_default().conditions)
}

fn place(lab: &Lab, name: &str) -> (Option<String>, Option<i64>) {
    let status = lab.get(name).and_then(|vm| vm.status).unwrap_or_default();
    (status.node, status.vmid)
}

/// A template on `pve1` alone, on a storage that all nodes share, and a storage of each node's own.
fn shared() -> Scenario {
    let mut scenario = small(3);
    scenario.storages.push(StorageSpec::new("shared", StorageKind::Nfs, 500).shared());
    scenario.storages.push(StorageSpec::new("fast", StorageKind::LvmThin, 100));
    scenario.templates = vec![GuestSpec::new(9001, "debian12", "pve1").disk("shared", 1)];
    scenario
}

/// What these tests ask for is opened to their namespace.
async fn open(lab: &Lab) {
    let tenant = json!({"namespaceSelector": {}, "allow": {"storages": ["fast", "local-lvm"]}});
    lab.patch_cluster(json!({"spec": {"tenants": [tenant]}})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_wait_for_their_turn_and_no_more_clones_run_than_may() {
    let mut scenario = small(1);
    scenario.clone_mib_per_second = 20;
    scenario.nodes[0].memory_mib = 64 * 1024;
    let lab = Lab::new(scenario).await;
    let names: Vec<String> = (0..7).map(|number| format!("vm-{number}")).collect();
    join_all(names.iter().map(|name| lab.machine(name, json!({"memory": "1Gi"})))).await;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let most = std::cell::Cell::new(0);
    let watch = |lab: &Lab| most.set(most.get().max(running_clones(lab)));
    lab.until("some wait and say what for", |lab| {
        watch(lab);
        names.iter().any(|name| {
            let (word, message) = told(lab, name);
            word == "Queued" && message.contains("of template 9001 on pve1 run; ") && message.contains("before it")
        })
    })
    .await;
    lab.until("all are Ready", |lab| {
        watch(lab);
        names.iter().all(|name| lab.get(name).is_some_and(|vm| crate::support::is_ready(&vm)))
    })
    .await;
    assert_eq!(most.get(), 2, "{}", lab.describe());
    lab.assert_exactly(&names, "one after the other");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_waits_and_is_deleted_leaves_the_queue() {
    let mut scenario = small(1);
    scenario.clone_mib_per_second = 10;
    scenario.nodes[0].memory_mib = 64 * 1024;
    let mut lab = Lab::bare(scenario).await;
    lab.connect().await;
    lab.patch_cluster(json!({"spec": {"clones": {"perTemplate": 1}}})).await;
    lab.start();
    lab.machine("first", json!({})).await;
    lab.until("the first is cloned", |lab| running_clones(lab) == 1).await;
    lab.machine("second", json!({})).await;
    lab.until("the second waits", |lab| told(lab, "second").0 == "Queued").await;
    lab.machine("third", json!({})).await;
    lab.until("the third waits behind it", |lab| told(lab, "third").1.ends_with("1 machine is before it")).await;
    lab.delete("second").await;
    lab.until_gone(&["second"]).await;
    lab.until_ready(&["first", "third"]).await;
    lab.assert_exactly(&["first", "third"], "without the second");
    assert_eq!(clones(&lab).len(), 2, "{}", lab.describe());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_that_runs_into_a_lock_is_tried_again_on_its_node() {
    let lab = Lab::new(small(2)).await;
    let locked = lab.simulator.fault(Fault::new(Effect::ConfigLocked).vmid(9001)).unwrap();
    lab.machine("one", json!({})).await;
    lab.until("the lock is told", |lab| told(lab, "one").0 == "LockTimeout").await;
    lab.simulator.clear_fault(locked);
    lab.until_ready(&["one"]).await;
    assert_eq!(place(&lab, "one").0.as_deref(), Some("pve1"), "{}", lab.describe());
    lab.assert_exactly(&["one"], "after a lock");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_linked_clone_is_made_on_its_templates_storage_and_holds_the_template() {
    let lab = Lab::new(small(1)).await;
    lab.machine("one", json!({"clone": "Linked"})).await;
    lab.until_ready(&["one"]).await;
    let asked = clones(&lab);
    assert_eq!(asked[0].params["full"], "0");
    assert!(!asked[0].params.contains_key("storage"));
    assert!(lab.volumes_made().iter().all(|volume| volume.volid.starts_with("local-lvm:")), "{}", lab.describe());
    lab.delete("one").await;
    lab.until_gone(&["one"]).await;
    lab.assert_nothing_left("a linked clone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_goes_to_the_storage_that_the_spec_names() {
    let mut scenario = small(1);
    scenario.storages.push(StorageSpec::new("fast", StorageKind::LvmThin, 100));
    let lab = Lab::new(scenario).await;
    open(&lab).await;
    lab.machine("one", json!({"disk": {"storage": "fast"}})).await;
    lab.machine("nowhere", json!({"disk": {"storage": "slow"}})).await;
    lab.until_ready(&["one"]).await;
    assert!(lab.volumes_made().iter().all(|volume| volume.volid.starts_with("fast:")), "{}", lab.describe());
    lab.until("a storage that is not allowed is refused", |lab| told(lab, "nowhere").0 == "NotAllowed").await;
    assert!(told(&lab, "nowhere").1.contains("spec.disk.storage: \"slow\" may not be used; allowed: fast, local-lvm"));
    lab.assert_exactly(&["one"], "on the fast storage");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_on_a_shared_storage_is_cloned_to_another_node() {
    let lab = Lab::new(shared()).await;
    lab.machine("full", json!({"placement": {"nodes": ["pve2"]}})).await;
    lab.machine("linked", json!({"clone": "Linked", "placement": {"nodes": ["pve3"]}})).await;
    lab.until_ready(&["full", "linked"]).await;
    let nodes = ["full", "linked"].map(|name| place(&lab, name).0.unwrap_or_default());
    assert_eq!(nodes, ["pve2", "pve3"]);
    for clone in clones(&lab) {
        assert!(clone.path.starts_with("/nodes/pve1/qemu/9001/"), "{clone:?}");
        assert!(["pve2", "pve3"].contains(&clone.params["target"].as_str()), "{clone:?}");
    }
    let made: BTreeSet<(String, String)> = lab.made().into_iter().map(|vm| (vm.name, vm.node)).collect();
    assert_eq!(made, [("full".into(), "pve2".into()), ("linked".into(), "pve3".into())].into(), "{}", lab.describe());
    let cluster = lab.cluster().unwrap().status.unwrap();
    let found: Vec<_> = cluster.nodes.iter().flat_map(|node| &node.templates).map(|found| &found.node).collect();
    assert_eq!(found, [&None, &Some("pve1".to_owned()), &Some("pve1".to_owned())]);
    for name in ["full", "linked"] {
        lab.delete(name).await;
    }
    lab.until_gone(&["full", "linked"]).await;
    lab.assert_nothing_left("two clones to other nodes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_that_is_not_shared_takes_no_clone_of_another_nodes_template() {
    let lab = Lab::new(shared()).await;
    open(&lab).await;
    lab.machine("one", json!({"disk": {"storage": "fast"}, "placement": {"nodes": ["pve2"]}})).await;
    lab.until("it says why", |lab| {
        let (word, message) = told(lab, "one");
        word == "NoNodeAvailable" && message.contains("the template is on pve1, and storage fast is not shared with it")
    })
    .await;
    assert!(clones(&lab).is_empty(), "{}", lab.describe());
}

/// The controller is killed as soon as the clone is posted, before it has written down its task.
async fn killed_after_the_clone(deleted: bool) {
    let mut scenario = shared();
    scenario.clone_mib_per_second = 10;
    let mut lab = Lab::bare(scenario).await;
    lab.connect().await;
    lab.machine("one", json!({"placement": {"nodes": ["pve2"]}})).await;
    lab.start_until(Some(Crash::AfterCall(Call::CLONE, 0)));
    assert!(lab.crash("the clone is posted", |_| false).await);
    if deleted {
        lab.delete("one").await;
    }
    lab.start();
    if deleted {
        lab.until_gone(&["one"]).await;
        lab.assert_nothing_left("killed after the clone, and deleted");
        return;
    }
    lab.until_ready(&["one"]).await;
    let begun = lab.simulator.tasks().into_iter().filter(|task| task.kind == "qmclone").count();
    assert_eq!((lab.made().len(), begun), (1, 1), "{}", lab.describe());
    assert_eq!(place(&lab, "one").0.as_deref(), Some("pve2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_to_another_node_is_found_where_it_stands_after_a_crash() {
    tokio::join!(killed_after_the_clone(false), killed_after_the_clone(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_is_cancelled_when_its_object_is_deleted_in_the_middle() {
    let cancelled = |scenario: Scenario, nodes: &'static str| async move {
        let scenario = Scenario { clone_mib_per_second: 5, ..scenario };
        let lab = Lab::new(scenario).await;
        lab.machine("one", json!({"placement": {"nodes": [nodes]}})).await;
        lab.until("the clone runs", |lab| {
            running_clones(lab) == 1
                && lab.get("one").is_some_and(|vm| vm.status.is_some_and(|status| status.task.is_some()))
        })
        .await;
        lab.delete("one").await;
        lab.until_gone(&["one"]).await;
        lab.assert_nothing_left("cancelled");
        let ends: Vec<_> = lab.simulator.tasks().into_iter().filter(|task| task.kind == "qmclone").collect();
        assert!(ends.iter().all(|task| task.status.as_deref() != Some("OK")), "{}", lab.describe());
    };
    tokio::join!(cancelled(small(1), "pve1"), cancelled(shared(), "pve2"));
}
