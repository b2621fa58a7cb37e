//! VMIDs and room: nobody gets what somebody has.

use std::collections::{BTreeMap, BTreeSet};

use cloudfaster::{
    proxmox::client::Destroy,
    simulator::{ContainerSpec, Effect, Fault, GuestSpec},
};
use futures::future::join_all;
use serde_json::json;

use crate::support::{Call, Crash, Lab, small};

fn vmid(lab: &Lab, name: &str) -> Option<i64> {
    lab.get(name)?.status?.vmid
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vmid_that_a_container_has_is_not_taken() {
    let mut scenario = small(2);
    scenario.containers.push(ContainerSpec { vmid: 1000, name: "ct".to_owned(), node: "pve2".to_owned() });
    let lab = Lab::new(scenario).await;
    lab.machine("one", json!({})).await;
    lab.until_ready(&["one"]).await;
    assert_eq!(vmid(&lab, "one"), Some(1001));
    assert!(!lab.simulator.requests().iter().any(|request| request.params.get("newid").is_some_and(|id| id == "1000")));
}

/// Somebody makes a machine under the chosen VMID after it was chosen and before the clone is asked for.
async fn taken_first(node: &str) {
    let mut lab = Lab::bare(small(2)).await;
    lab.connect().await;
    lab.machine("one", json!({})).await;
    lab.start_until(Some(Crash::BeforeCall(Call::CLONE, 0)));
    assert!(lab.crash("the clone is asked for", |_| false).await);
    let theirs = GuestSpec::new(1000, "theirs", node).disk("local-lvm", 1);
    lab.simulator.add_vm(&theirs);
    let before = lab.simulator.vm(1000).unwrap();
    lab.start();
    lab.until_ready(&["one"]).await;
    assert_eq!(vmid(&lab, "one"), Some(1001), "{}", lab.describe());
    assert_eq!(lab.simulator.vm(1000).unwrap(), before, "theirs on {node} was touched");
    lab.delete("one").await;
    lab.until_gone(&["one"]).await;
    assert_eq!(lab.made(), [before], "theirs on {node} was touched");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vmid_that_somebody_takes_first_is_left_to_them() {
    tokio::join!(taken_first("pve1"), taken_first("pve2"));
}

/// The same with no time in between: the list still shows the VMID free when the clone is posted.
#[tokio::test(flavor = "multi_thread")]
async fn a_vmid_taken_behind_the_operators_back_is_given_up() {
    let journey = |node: &'static str| async move {
        let lab = Lab::new(small(2)).await;
        lab.until("the cluster is known", |lab| {
            lab.cluster()
                .and_then(|cluster| cluster.status)
                .is_some_and(|status| status.nodes.iter().any(|node| node.online))
        })
        .await;
        lab.machine("one", json!({})).await;
        lab.simulator.add_vm(&GuestSpec::new(1000, "theirs", node).disk("local-lvm", 1));
        let theirs = lab.simulator.vm(1000).unwrap();
        lab.until_ready(&["one"]).await;
        assert_eq!(lab.simulator.vm(1000).unwrap(), theirs, "theirs on {node} was touched\n{}", lab.describe());
        assert_eq!(vmid(&lab, "one"), Some(1001), "{}", lab.describe());
    };
    tokio::join!(journey("pve1"), journey("pve2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vmid_under_which_a_volume_is_left_is_skipped() {
    let mut lab = Lab::bare(small(1)).await;
    // Its machine was destroyed, and the volume could not be deleted.
    lab.simulator.add_vm(&GuestSpec::new(1000, "theirs", "pve1").disk("local-lvm", 1));
    let stuck = lab.simulator.fault(Fault::new(Effect::VolumesUndeletable).vmid(1000)).unwrap();
    let destroy = Destroy { purge: true, unreferenced_disks: false };
    lab.proxmox_client().destroy("pve1", 1000, destroy).await.unwrap();
    lab.until("the machine is destroyed", |lab| lab.made().is_empty() && lab.simulator.running_tasks().is_empty())
        .await;
    lab.simulator.clear_fault(stuck);
    let left = lab.volumes_made();
    assert!(!left.is_empty());
    lab.connect().await;
    lab.start();
    lab.machine("one", json!({})).await;
    lab.until_ready(&["one"]).await;
    assert_eq!(vmid(&lab, "one"), Some(1001), "{}", lab.describe());
    let now = lab.simulator.volumes();
    assert!(left.iter().all(|volume| now.contains(volume)), "somebody else's volume was touched");
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_machines_at_once_fill_five_nodes_and_no_node_over_its_memory() {
    let mut scenario = small(5);
    scenario.clone_mib_per_second = 800;
    for node in &mut scenario.nodes {
        node.memory_mib = 16 * 1024;
        node.base_memory_mib = 1024;
    }
    let lab = Lab::new(scenario).await;
    let names: Vec<String> = (0..30).map(|number| format!("vm-{number}")).collect();
    // 14 GiB are free on each node with a GiB in reserve: six or seven of them.
    join_all(names.iter().map(|name| lab.machine(name, json!({"memory": "2Gi", "cores": 1})))).await;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    lab.until_ready(&names).await;
    lab.assert_exactly(&names, "thirty at once");
    let vmids: BTreeSet<i64> = names.iter().filter_map(|name| vmid(&lab, name)).collect();
    assert_eq!(vmids.len(), 30);
    let mut promised: BTreeMap<String, u64> = BTreeMap::new();
    for vm in lab.made() {
        *promised.entry(vm.node).or_default() += vm.config["memory"].parse::<u64>().unwrap();
    }
    assert!(promised.values().all(|mib| *mib <= 15 * 1024), "{promised:?}");
    let asked: Vec<String> =
        lab.simulator.requests().iter().filter_map(|request| request.params.get("newid").cloned()).collect();
    let distinct: BTreeSet<&String> = asked.iter().collect();
    assert_eq!(asked.len(), distinct.len(), "a VMID was asked for twice: {asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_that_do_not_fit_wait_until_another_one_goes() {
    let mut scenario = small(1);
    scenario.nodes[0].memory_mib = 8 * 1024;
    let lab = Lab::new(scenario).await;
    lab.machine("one", json!({"memory": "4Gi"})).await;
    lab.until_ready(&["one"]).await;
    lab.machine("two", json!({"memory": "4Gi"})).await;
    lab.until("it says that there is no room", |lab| {
        lab.get("two").and_then(|vm| vm.status?.message).is_some_and(|message| message.contains("memory"))
    })
    .await;
    lab.delete("one").await;
    lab.until_ready(&["two"]).await;
    lab.until_gone(&["one"]).await;
    lab.assert_exactly(&["two"], "one made room");
}

/// The node of each machine.
fn nodes(lab: &Lab, names: &[&str]) -> Vec<String> {
    names.iter().map(|name| lab.get(name).unwrap().status.unwrap().node.unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_of_a_group_are_spread_and_others_fill_the_nodes_in_their_order() {
    let lab = Lab::new(small(3)).await;
    let spread = json!({"placement": {"policy": "Spread", "group": "web"}});
    let names = ["web-1", "web-2", "web-3", "plain-1", "plain-2"];
    for name in names {
        lab.machine(name, if name.starts_with("web") { spread.clone() } else { json!({}) }).await;
    }
    lab.until_ready(&names).await;
    let distinct: BTreeSet<String> = nodes(&lab, &names[..3]).into_iter().collect();
    assert_eq!(distinct.len(), 3, "{}", lab.describe());
    assert_eq!(nodes(&lab, &names[3..]), ["pve1", "pve1"]);
    // With no other node left two of them share one.
    lab.machine("web-4", spread).await;
    lab.until_ready(&["web-4"]).await;
    lab.assert_exactly(&["web-1", "web-2", "web-3", "web-4", "plain-1", "plain-2"], "spread");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_with_most_free_is_chosen_and_what_is_placed_at_the_same_time_counts() {
    let mut scenario = small(3);
    for node in &mut scenario.nodes {
        (node.memory_mib, node.base_memory_mib, node.cpus) = (32 * 1024, 1024, 32);
    }
    // `pve1` is half full.
    scenario.vms = vec![GuestSpec::new(500, "theirs", "pve1").disk("local-lvm", 1).with("memory", "16384")];
    let lab = Lab::new(scenario).await;
    let names = ["one", "two", "three", "four"];
    let spec = json!({"placement": {"policy": "MostFree"}, "memory": "4Gi"});
    join_all(names.iter().map(|name| lab.machine(name, spec.clone()))).await;
    lab.until_ready(&names).await;
    let mut nodes = nodes(&lab, &names);
    nodes.sort();
    assert_eq!(nodes, ["pve2", "pve2", "pve3", "pve3"], "{}", lab.describe());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_nobody_knows_is_told() {
    let lab = Lab::new(small(1)).await;
    lab.machine("one", json!({"placement": {"nodes": ["pve9"]}})).await;
    let told = |lab: &Lab| lab.get("one").and_then(|vm| vm.status?.message).unwrap_or_default();
    lab.until("the node is told", |lab| {
        told(lab) == "spec.placement.nodes: the cluster has no node \"pve9\"; it has pve1"
    })
    .await;
    assert!(lab.made().is_empty());
}
