//! `kubectl delete` at every stage of the creation leaves nothing.

use cloudfaster::{
    api::proxmox_vm::{Phase, ProxmoxVMStatus},
    simulator::{Effect, Fault, Scenario},
};
use futures::future::join_all;
use serde_json::json;

use crate::support::{Call, Crash, Lab, is_ready, small};

/// A moment that a machine passes on its way, seen from outside.
struct Stage {
    name: &'static str,
    reached: fn(&Lab) -> bool,
    fault: Option<fn() -> Fault>,
}

const fn stage(name: &'static str, reached: fn(&Lab) -> bool) -> Stage {
    Stage { name, reached, fault: None }
}

fn status(lab: &Lab) -> Option<ProxmoxVMStatus> {
    lab.get("one")?.status
}

fn requested(lab: &Lab, method: &str, end: &str) -> bool {
    lab.simulator.requests().iter().any(|request| request.method == method && request.path.ends_with(end))
}

fn task_runs(lab: &Lab, kind: &str) -> bool {
    lab.simulator.running_tasks().iter().any(|task| task.kind == kind)
}

fn half_cloned(lab: &Lab) -> bool {
    let line_of_half = |line: &String| line.contains("(5") && line.contains("transferred");
    lab.simulator.running_tasks().iter().any(|task| task.kind == "qmclone" && task.log.iter().any(line_of_half))
}

fn phase_is(lab: &Lab, phase: Phase) -> bool {
    status(lab).is_some_and(|status| status.phase == Some(phase))
}

fn made(lab: &Lab, holds: impl Fn(&cloudfaster::simulator::VmView) -> bool) -> bool {
    lab.made().iter().any(holds)
}

const STAGES: &[Stage] = &[
    stage("it was just applied", |lab| lab.get("one").is_some()),
    stage("its intent is recorded", |lab| status(lab).is_some_and(|status| status.intent.is_some())),
    stage("its clone is posted", |lab| requested(lab, "POST", "/clone")),
    stage("the clone's task is recorded", |lab| status(lab).is_some_and(|status| status.task.is_some())),
    stage("the clone runs", |lab| task_runs(lab, "qmclone")),
    stage("the clone is half done", half_cloned),
    stage("the clone is done", |lab| made(lab, |vm| !vm.config.contains_key("lock"))),
    stage("it is configured", |lab| made(lab, |vm| vm.config.contains_key("ciuser"))),
    stage("its disk grows", |lab| requested(lab, "PUT", "/resize")),
    stage("its start is posted", |lab| requested(lab, "POST", "/status/start")),
    stage("it runs", |lab| made(lab, |vm| vm.running)),
    stage("it is Ready", |lab| lab.get("one").is_some_and(|vm| is_ready(&vm))),
    Stage {
        name: "a failed clone is being cleaned up",
        reached: |lab| phase_is(lab, Phase::CleaningUp),
        fault: Some(|| Fault::new(Effect::CloneFails { percent: 50.0 })),
    },
    Stage {
        name: "its start fails again and again",
        reached: |lab| lab.simulator.tasks().iter().any(|task| task.kind == "qmstart" && task.status.is_some()),
        fault: Some(|| Fault::new(Effect::StartFails { message: "start failed: out of luck".to_owned() })),
    },
];

/// Slow enough that every stage can be seen.
fn slow() -> Scenario {
    let mut scenario = small(2);
    scenario.clone_mib_per_second = 50;
    scenario
}

async fn deleted_when(stage: &Stage) {
    let lab = Lab::new(slow()).await;
    if let Some(fault) = stage.fault {
        lab.simulator.fault(fault()).unwrap();
    }
    lab.machine("one", json!({})).await;
    lab.until(stage.name, stage.reached).await;
    lab.delete("one").await;
    lab.until_gone(&["one"]).await;
    lab.assert_nothing_left(stage.name);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_deleted_at_any_stage_leaves_nothing() {
    join_all(STAGES.iter().map(deleted_when)).await;
}

/// The controller is stopped at exactly this moment, the object deleted, and another controller goes on.
async fn deleted_at(crash: Crash) -> bool {
    let mut lab = Lab::bare(small(2)).await;
    lab.connect().await;
    lab.machine("one", json!({})).await;
    lab.start_until(Some(crash));
    let through = |lab: &Lab| lab.get("one").is_some_and(|vm| is_ready(&vm));
    let crashed = lab.crash(&format!("{crash:?}, or through"), through).await;
    lab.kill();
    lab.delete("one").await;
    lab.start();
    lab.until_gone(&["one"]).await;
    lab.assert_nothing_left(&format!("deleted at {crash:?}"));
    crashed
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_deleted_between_any_two_calls_leaves_nothing() {
    let calls = [(Call::CLONE, 0), (Call::CONFIG, 0), (Call::CONFIG, 1), (Call::RESIZE, 0), (Call::START, 0)];
    let calls = calls.into_iter().flat_map(|(call, n)| [Crash::BeforeCall(call, n), Crash::AfterCall(call, n)]);
    let crashed = join_all(calls.map(deleted_at)).await;
    assert!(crashed.iter().all(|crashed| *crashed), "{crashed:?}");
    let writes = join_all((0..40).map(|number| deleted_at(Crash::BeforeWrite(number)))).await;
    assert!(writes.iter().any(|crashed| !crashed), "there are more writes than were tried");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_waits_for_its_cluster_can_be_deleted() {
    let mut lab = Lab::bare(small(2)).await;
    lab.start();
    lab.machine("one", json!({})).await;
    lab.until("it waits", |lab| status(lab).is_some_and(|status| status.phase == Some(Phase::Pending))).await;
    lab.delete("one").await;
    lab.until_gone(&["one"]).await;
    lab.assert_nothing_left("it waited for its cluster");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_applied_and_deleted_without_a_controller_is_gone_at_once() {
    let mut lab = Lab::bare(small(2)).await;
    lab.connect().await;
    lab.machine("one", json!({})).await;
    lab.delete("one").await;
    lab.start();
    lab.until_gone(&["one"]).await;
    lab.machine("two", json!({})).await;
    lab.until_ready(&["two"]).await;
    lab.assert_exactly(&["two"], "after it");
}
