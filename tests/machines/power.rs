//! Machines run, stand still, are paused and restarted as their specs say, and no guest is ended hard by surprise.

use cloudfaster::{
    api::{ProxmoxVM, power::PowerState, proxmox_vm::Phase},
    simulator::Scenario,
};
use serde_json::{Value, json};

use crate::support::{Call, Crash, Lab, is_ready, reason, small};

/// A guest that never comes to listen.
fn deaf() -> Scenario {
    Scenario { boot_seconds: 1_000_000, ..small(1) }
}

fn is_at(lab: &Lab, phase: Phase, power: PowerState) -> bool {
    let status = lab.get("one").and_then(|vm| vm.status).unwrap_or_default();
    (status.phase, status.power_state) == (Some(phase), Some(power))
}

fn word(lab: &Lab) -> String {
    reason(&lab.get("one").and_then(|vm| vm.status).unwrap_or_default().conditions).0
}

fn restart(value: &str) -> Value {
    json!({"metadata": {"annotations": {"cloudfaster.app/restartedAt": value}}})
}

fn restarted(vm: &ProxmoxVM) -> Option<String> {
    vm.status.as_ref()?.restarted_at.clone()
}

/// No task failed, and none was refused.
fn assert_smooth(lab: &Lab) {
    let failed: Vec<_> = lab
        .simulator
        .tasks()
        .into_iter()
        .filter(|task| task.status.as_ref().is_some_and(|status| status != "OK"))
        .collect();
    assert!(failed.is_empty(), "{failed:?}\n{}", lab.describe());
    let refused = lab
        .simulator
        .requests()
        .into_iter()
        .any(|request| request.method != "GET" && request.status.is_none_or(|status| status >= 400));
    assert!(!refused, "a call was refused\n{}", lab.describe());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_power_state_is_reached_from_each_other_cleanly() {
    let lab = Lab::new(Scenario { boot_seconds: 0, ..small(1) }).await;
    lab.machine("one", json!({})).await;
    lab.until_ready(&["one"]).await;
    for (state, phase, running, paused) in [
        (PowerState::Stopped, Phase::Stopped, false, false),
        (PowerState::Paused, Phase::Paused, true, true),
        (PowerState::Stopped, Phase::Stopped, false, false),
        (PowerState::Running, Phase::Running, true, false),
        (PowerState::Paused, Phase::Paused, true, true),
        (PowerState::Running, Phase::Running, true, false),
    ] {
        lab.change("one", json!({"powerState": state})).await;
        assert!(is_at(&lab, phase, state), "{state:?}\n{}", lab.describe());
        let vm = lab.vm_of("one").unwrap();
        assert_eq!((vm.running, vm.paused), (running, paused), "{state:?}\n{}", lab.describe());
    }
    assert_smooth(&lab);
    assert_eq!((lab.tasks_of("qmstop"), lab.tasks_of("qmshutdown")), (0, 2), "{}", lab.describe());
    lab.assert_exactly(&["one"], "at the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_is_to_stand_still_is_made_and_started_only_when_it_is_to_run() {
    let lab = Lab::new(small(1)).await;
    lab.machine("one", json!({"powerState": "Stopped"})).await;
    lab.until_ready(&["one"]).await;
    assert!(is_at(&lab, Phase::Stopped, PowerState::Stopped), "{}", lab.describe());
    let vm = lab.vm_of("one").unwrap();
    assert!(!vm.running && vm.config["memory"] == "2048" && vm.config["scsi0"].contains("size=2G"), "{vm:?}");
    assert_eq!(lab.tasks_of("qmstart"), 0, "{}", lab.describe());
    lab.change("one", json!({"powerState": "Running"})).await;
    lab.assert_exactly(&["one"], "it was started");
    lab.change("one", json!({"powerState": "Stopped", "shutdown": {"forceAfterTimeout": true}})).await;
    lab.delete("one").await;
    lab.until_gone(&["one"]).await;
    lab.assert_nothing_left("a stopped machine was deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_does_not_listen_is_ended_hard_only_if_the_spec_says_so() {
    let lab = Lab::new(deaf()).await;
    lab.machine("one", json!({"shutdown": {"timeoutSeconds": 20}})).await;
    lab.until_ready(&["one"]).await;
    lab.patch("one", json!({"spec": {"powerState": "Stopped"}})).await;
    lab.until("it is asked", |lab| is_at(lab, Phase::Stopping, PowerState::Running)).await;
    lab.until("it did not listen", |lab| word(lab) == "ShutdownTimedOut").await;
    let (_, message) = reason(&lab.get("one").unwrap().status.unwrap().conditions);
    assert!(message.contains("spec.shutdown.forceAfterTimeout"), "{message}");
    assert!(lab.vm_of("one").unwrap().running, "{}", lab.describe());
    lab.change("one", json!({"shutdown": {"forceAfterTimeout": true}})).await;
    assert!(is_at(&lab, Phase::Stopped, PowerState::Stopped) && !lab.vm_of("one").unwrap().running);
    assert_eq!(lab.tasks_of("qmstop"), 0, "Proxmox itself ends it, within the same task\n{}", lab.describe());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_whose_guest_is_asked_to_shut_down_is_deleted_without_waiting_for_it() {
    let lab = Lab::new(deaf()).await;
    lab.machine("one", json!({"shutdown": {"timeoutSeconds": 3600}})).await;
    lab.until_ready(&["one"]).await;
    lab.patch("one", json!({"spec": {"powerState": "Stopped"}})).await;
    lab.until("it is asked", |lab| is_at(lab, Phase::Stopping, PowerState::Running)).await;
    lab.delete("one").await;
    lab.until_gone(&["one"]).await;
    lab.assert_nothing_left("deleted while the guest was asked to shut down");
    let ends: Vec<_> = lab.simulator.tasks().into_iter().filter(|task| task.kind == "qmshutdown").collect();
    assert!(
        ends.iter().all(|task| task.status.as_deref() == Some("received interrupt")),
        "{ends:?}\n{}",
        lab.describe()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_value_of_the_annotation_restarts_once_also_when_the_status_is_lost() {
    let scenario = Scenario { boot_seconds: 0, ..small(1) };
    let mut lab = Lab::new(scenario).await;
    lab.machine("one", json!({})).await;
    lab.until_ready(&["one"]).await;
    for (count, value) in [(1, "2026-11-24T08:00:00Z"), (2, "again")] {
        lab.patch("one", restart(value)).await;
        lab.until(value, |lab| {
            lab.get("one").is_some_and(|vm| is_ready(&vm) && restarted(&vm).as_deref() == Some(value))
        })
        .await;
        assert_eq!((lab.tasks_of("qmshutdown"), lab.tasks_of("qmstart")), (count, count + 1), "{}", lab.describe());
    }
    lab.kill();
    lab.wipe("one").await;
    lab.start();
    lab.until("Ready anew", |lab| {
        lab.get("one").is_some_and(|vm| is_ready(&vm) && restarted(&vm).as_deref() == Some("again"))
    })
    .await;
    assert_eq!(lab.tasks_of("qmshutdown"), 2, "{}", lab.describe());
    let notes = lab.vm_of("one").unwrap().config["description"].clone();
    assert!(notes.ends_with("`cloudfaster.app/restart:v1 value=again`"), "{notes}");
    assert_smooth(&lab);
}

/// A restart is asked for; the controller is killed once, and another one goes on.
async fn one_restart(crash: Crash) {
    let scenario = Scenario { boot_seconds: 0, ..small(1) };
    let mut lab = Lab::new(scenario).await;
    lab.machine("one", json!({})).await;
    lab.until_ready(&["one"]).await;
    lab.kill();
    lab.patch("one", restart("now")).await;
    lab.start_until(Some(crash));
    let through =
        |lab: &Lab| lab.get("one").is_some_and(|vm| is_ready(&vm) && restarted(&vm).as_deref() == Some("now"));
    assert!(lab.crash(&format!("{crash:?}"), through).await, "never came to {crash:?}");
    lab.start();
    lab.until(&format!("restarted after {crash:?}"), through).await;
    let carried_out = (lab.tasks_of("qmshutdown"), lab.tasks_of("qmstart"));
    assert_eq!(carried_out, (1, 2), "{crash:?}\n{}", lab.describe());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_happens_once_when_the_controller_is_killed_at_any_call() {
    let calls = [(Call::CONFIG, 0), (Call::SHUTDOWN, 0), (Call::START, 0), (Call::CONFIG, 1)];
    let moments = calls.map(|(call, number)| [Crash::BeforeCall(call, number), Crash::AfterCall(call, number)]);
    futures::future::join_all(moments.into_iter().flatten().map(one_restart)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_ends_by_itself_is_started_again_at_once_and_then_with_a_pause() {
    let lab = Lab::new(small(1)).await;
    lab.machine("one", json!({})).await;
    lab.until_ready(&["one"]).await;
    let vmid = lab.vm_of("one").unwrap().vmid;
    let count = |lab: &Lab| lab.get("one").and_then(|vm| vm.status?.started).map_or(0, |started| started.count);
    for starts in [2, 3] {
        lab.simulator.set_running(vmid, false).unwrap();
        // Noticed at once, so that the pause is not over before.
        lab.patch("one", json!({"metadata": {"annotations": {"seen": starts.to_string()}}})).await;
        if starts == 3 {
            lab.until("it pauses", |lab| word(lab) == "BackOff" && is_at(lab, Phase::Stopped, PowerState::Stopped))
                .await;
            assert_eq!(lab.tasks_of("qmstart"), 2, "{}", lab.describe());
        }
        lab.until("it runs again", |lab| count(lab) == starts && lab.get("one").is_some_and(|vm| is_ready(&vm))).await;
        assert!(lab.vm_of("one").unwrap().running, "{}", lab.describe());
    }
    assert_smooth(&lab);
}
