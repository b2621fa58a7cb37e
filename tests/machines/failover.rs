//! A node fails in one of the ways nodes fail, and the machine lands on the next, with nothing left behind.

use cloudfaster::{
    api::proxmox_vm::{Attempt, AttemptOutcome, ProxmoxVMStatus},
    simulator::{Effect, Fault, Scenario},
};
use futures::{StreamExt, stream};
use serde_json::json;

use crate::support::{Lab, is_ready, manifests::PACE, reason, small};

fn status(lab: &Lab, name: &str) -> ProxmoxVMStatus {
    lab.get(name).and_then(|vm| vm.status).unwrap_or_default()
}

fn message(lab: &Lab, name: &str) -> String {
    status(lab, name).message.unwrap_or_default()
}

fn attempt(lab: &Lab, name: &str, node: &str) -> Attempt {
    let attempts = status(lab, name).attempts;
    let found = attempts.into_iter().find(|attempt| attempt.node == node);
    found.unwrap_or_else(|| panic!("no attempt on {node}\n{}", lab.describe()))
}

/// Clones take long enough to be met half way.
fn slow(nodes: u32) -> Scenario {
    let mut scenario = small(nodes);
    scenario.clone_mib_per_second = 25;
    scenario
}

fn cloning(lab: &Lab) -> bool {
    let half = |line: &String| line.contains("transferred") && line.contains("(3");
    lab.simulator.running_tasks().iter().any(|task| task.kind == "qmclone" && task.log.iter().any(half))
}

async fn clone_fails_at(percent: f64) {
    let lab = Lab::new(small(2)).await;
    lab.simulator.fault(Fault::new(Effect::CloneFails { percent }).node("pve1")).unwrap();
    lab.machine("one", json!({})).await;
    lab.until_ready(&["one"]).await;
    assert_eq!(status(&lab, "one").node.as_deref(), Some("pve2"));
    assert_eq!(attempt(&lab, "one", "pve1").outcome, AttemptOutcome::Failed);
    assert_eq!(status(&lab, "one").leftovers, []);
    lab.assert_exactly(&["one"], &format!("the clone failed at {percent} %"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_that_fails_at_any_point_leads_to_the_next_node() {
    stream::iter([0.0, 1.0, 50.0, 99.0, 100.0]).for_each_concurrent(None, clone_fails_at).await;
}

/// A clone's worker is killed: what it left is locked, and only root can lift that.
async fn with_a_killed_clone() -> Lab {
    let mut lab = Lab::bare(small(2)).await;
    let killed = Effect::WorkerKilled { percent: 50.0, task_type: Some("qmclone".to_owned()) };
    lab.simulator.fault(Fault::new(killed).node("pve1").times(1)).unwrap();
    lab.connect().await;
    lab.start();
    lab.machine("one", json!({})).await;
    lab.until_ready(&["one"]).await;
    let now = status(&lab, "one");
    assert_eq!(now.node.as_deref(), Some("pve2"), "{}", lab.describe());
    let [leftover] = &now.leftovers[..] else { panic!("not one leftover\n{}", lab.describe()) };
    assert_eq!((leftover.node.as_str(), leftover.vmid), ("pve1", 1000));
    let command = leftover.command.clone().unwrap_or_default();
    assert!(command.contains("qm unlock 1000") && command.contains("qm destroy 1000"), "{command}");
    assert_eq!(now.vmid, Some(1001), "another VMID is taken");
    lab
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_clone_left_goes_from_the_status_when_root_unlocks_it() {
    let lab = with_a_killed_clone().await;
    lab.simulator.unlock(1000).unwrap();
    lab.until("the leftover is removed", |lab| status(lab, "one").leftovers.is_empty()).await;
    lab.assert_exactly(&["one"], "after qm unlock");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_clone_left_goes_from_the_status_when_root_removes_it() {
    let lab = with_a_killed_clone().await;
    lab.simulator.remove_vm(1000).unwrap();
    lab.until("the leftover is gone", |lab| status(lab, "one").leftovers.is_empty()).await;
    lab.assert_exactly(&["one"], "after qm destroy");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_clone_left_holds_the_object_until_an_administrator_helps() {
    let lab = with_a_killed_clone().await;
    lab.delete("one").await;
    lab.until("its machine is removed, and it says what is left", |lab| {
        lab.simulator.vm(1001).is_none() && message(lab, "one").contains("qm unlock 1000")
    })
    .await;
    assert!(lab.get("one").is_some());
    lab.simulator.unlock(1000).unwrap();
    lab.until_gone(&["one"]).await;
    lab.assert_nothing_left("after qm unlock");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_goes_down_during_the_clone_keeps_nothing_when_it_comes_back() {
    // Two of three have quorum.
    let lab = Lab::new(slow(3)).await;
    lab.machine("one", json!({})).await;
    lab.until("the clone is under way", cloning).await;
    lab.simulator.switch_node("pve1", false).unwrap();
    lab.until_ready(&["one"]).await;
    assert_eq!(status(&lab, "one").node.as_deref(), Some("pve2"), "{}", lab.describe());
    assert_eq!(status(&lab, "one").leftovers.len(), 1, "{}", lab.describe());
    lab.simulator.switch_node("pve1", true).unwrap();
    lab.until("pve1 is known to be back", |lab| {
        lab.cluster()
            .and_then(|cluster| cluster.status)
            .is_some_and(|status| status.nodes.iter().all(|node| node.online))
    })
    .await;
    // A clone whose node lost its power leaves its lock, as one whose worker was killed does.
    lab.until("what is there can be helped or is gone", |lab| {
        status(lab, "one").leftovers.iter().all(|leftover| leftover.command.is_some())
    })
    .await;
    if lab.simulator.vm(1000).is_some() {
        lab.simulator.unlock(1000).unwrap();
    }
    lab.until("nothing stays there", |lab| status(lab, "one").leftovers.is_empty()).await;
    lab.assert_exactly(&["one"], "the node is back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_storage_leads_to_the_next_node() {
    let mut lab = Lab::bare(small(2)).await;
    lab.simulator.fault(Fault::new(Effect::StorageFull { storage: "local-lvm".to_owned() }).node("pve1")).unwrap();
    lab.connect().await;
    lab.start();
    lab.machine("one", json!({})).await;
    lab.until_ready(&["one"]).await;
    assert_eq!(status(&lab, "one").node.as_deref(), Some("pve2"));
    assert_ne!(attempt(&lab, "one", "pve1").outcome, AttemptOutcome::Succeeded);
    lab.assert_exactly(&["one"], "pve1 is full");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_the_template_is_skipped() {
    let mut scenario = small(2);
    scenario.templates.remove(0);
    let lab = Lab::new(scenario).await;
    lab.machine("one", json!({})).await;
    lab.until_ready(&["one"]).await;
    let skipped = attempt(&lab, "one", "pve1");
    assert_eq!((skipped.outcome, skipped.reason.as_str()), (AttemptOutcome::Skipped, "NoTemplate"));
    lab.assert_exactly(&["one"], "no template on pve1");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_no_node_can_take_says_so_node_by_node_and_a_freed_node_picks_it_up() {
    let mut scenario = small(3);
    scenario.templates.remove(1);
    scenario.nodes[2].online = false;
    let lab = Lab::new(scenario).await;
    lab.machine("large", json!({"memory": "60Gi"})).await;
    lab.until_ready(&["large"]).await;
    lab.machine("one", json!({"memory": "8Gi"})).await;
    lab.until("it says why, node by node", |lab| {
        let message = message(lab, "one");
        ["pve1: ", "pve2: ", "pve3: "].iter().all(|node| message.contains(node))
    })
    .await;
    assert!(!is_ready(&lab.get("one").unwrap()));
    lab.simulator.switch_node("pve3", true).unwrap();
    lab.until_ready(&["one"]).await;
    assert_eq!(status(&lab, "one").node.as_deref(), Some("pve3"));
    lab.assert_exactly(&["large", "one"], "pve3 is back");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_failed_on_all_nodes_is_tried_again() {
    let mut lab = Lab::bare(small(2)).await;
    let fault = lab.simulator.fault(Fault::new(Effect::CloneFails { percent: 10.0 })).unwrap();
    lab.connect().await;
    lab.start();
    lab.machine("one", json!({})).await;
    lab.until("both nodes have failed", |lab| {
        let message = message(lab, "one");
        message.contains("every node failed") && message.contains("pve1: ") && message.contains("pve2: ")
    })
    .await;
    assert!(lab.made().is_empty() && lab.volumes_made().is_empty(), "{}", lab.describe());
    lab.simulator.clear_fault(fault);
    lab.until_ready(&["one"]).await;
    lab.assert_exactly(&["one"], "after all nodes had failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_without_quorum_is_waited_for() {
    let mut lab = Lab::bare(small(2)).await;
    let lost = lab.simulator.fault(Fault::new(Effect::QuorumLost)).unwrap();
    lab.connect().await;
    lab.start();
    lab.machine("one", json!({})).await;
    lab.until("it says that there is no quorum", |lab| message(lab, "one").contains("quorum")).await;
    lab.simulator.clear_fault(lost);
    lab.until_ready(&["one"]).await;
    lab.assert_exactly(&["one"], "quorum is back");
    let lost = lab.simulator.fault(Fault::new(Effect::QuorumLost)).unwrap();
    lab.delete("one").await;
    lab.until("the deletion meets it", |lab| reason(&status(lab, "one").conditions).0 == "NoQuorum").await;
    assert!(lab.get("one").is_some() && lab.made().len() == 1, "{}", lab.describe());
    lab.simulator.clear_fault(lost);
    lab.until_gone(&["one"]).await;
    lab.assert_nothing_left("quorum is back");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_again_and_again_is_tried_less_and_less_often() {
    let lab = Lab::new(small(1)).await;
    lab.machine("one", json!({})).await;
    lab.until_ready(&["one"]).await;
    let start = Fault::new(Effect::WorkerKilled { percent: 0.0, task_type: Some("qmstop".to_owned()) });
    lab.simulator.fault(start).unwrap();
    lab.delete("one").await;
    let began = lab.simulator.now();
    let stops = |lab: &Lab| lab.simulator.tasks().iter().filter(|task| task.kind == "qmstop").count();
    lab.until("it failed four times", |lab| stops(lab) >= 4).await;
    let outside = (lab.simulator.now() - began).as_secs_f64() / PACE;
    // Half of 1 + 2 + 4 seconds at least, by the jitter.
    assert!(outside > 3.5, "four times within {outside:.1} s\n{}", lab.describe());
    lab.simulator.clear_faults();
    lab.until_gone(&["one"]).await;
    lab.assert_nothing_left("after the stop had failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn quorum_lost_in_the_middle_of_a_clone_costs_no_second_machine() {
    let lab = Lab::new(slow(2)).await;
    lab.machine("one", json!({})).await;
    lab.until("the clone is under way", cloning).await;
    let lost = lab.simulator.fault(Fault::new(Effect::QuorumLost)).unwrap();
    lab.until("it is noticed", |lab| {
        let conditions = lab.cluster().and_then(|cluster| cluster.status).unwrap_or_default().conditions;
        conditions.iter().any(|condition| condition.message.contains("quorum"))
    })
    .await;
    lab.simulator.clear_fault(lost);
    lab.until_ready(&["one"]).await;
    lab.assert_exactly(&["one"], "quorum is back");
}
