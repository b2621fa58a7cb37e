//! Removing, at every stage, until nothing is left.

use super::build::*;
use crate::proxmox::{
    inventory::{GuestKind, Reach, TaskState},
    outcome::Outcome,
    plan::*,
};

fn here() -> Place {
    place("a", 600)
}

fn deleted(stage: Stage) -> Scene {
    Scene::at_stage(stage).deleted()
}

fn with_config(stage: Stage, changes: &[(&str, &str)], power: Power) -> Scene {
    deleted(stage).machine(here(), changed(&finished_config(600), changes), power)
}

const STAGES: [Stage; 4] = [Stage::Creating, Stage::Starting, Stage::Established, Stage::Abandoning];

#[test]
fn nothing_is_released_while_something_is_there() {
    for stage in STAGES {
        for (scene, expected) in [
            (deleted(stage), "release"),
            (with_config(stage, &[], Power::Stopped), "destroy a/600"),
            (with_config(stage, &[], Power::Running), "stop a/600"),
            (with_config(stage, &[], Power::Paused), "stop a/600"),
            (with_config(stage, &[("protection", "1")], Power::Running), "wait Protected"),
            (with_config(stage, &[("lock", "backup")], Power::Stopped), "wait Locked"),
            (with_config(stage, &[("description", "")], Power::Stopped), "destroy a/600"),
            (deleted(stage).stored(here(), &["local:600/d"]), "free a/600 local:600/d"),
            (deleted(stage).machine(place("b", 600), finished_config(600), Power::Running), "stop b/600"),
        ] {
            let shown = format!("{stage:?} {:?} {:?}", scene.machines, scene.volumes);
            assert_eq!(scene.outcome(), expected, "{shown}");
        }
    }
}

#[test]
fn a_node_that_cannot_be_asked_holds_the_object_and_an_unrelated_one_does_not() {
    for stage in STAGES {
        let unknown = |node: &str| {
            let scene = deleted(stage).with(|scene| {
                scene.machines.insert(place(node, 600), Sight::Unknown("it is offline".into()));
                scene.sites[0].nodes.get_mut(node).unwrap().reach = Reach::Offline;
            });
            scene.outcome()
        };
        assert_eq!(unknown("a"), "wait NodeUnreachable");
        assert_eq!(unknown("b"), "release");
    }
    let listed = deleted(Stage::Established).machine(place("b", 600), finished_config(600), Power::Running);
    let listed = listed.with(|scene| {
        scene.machines.insert(place("b", 600), Sight::Unknown("595".into()));
    });
    assert_eq!(listed.outcome(), "wait NodeUnreachable");
}

#[test]
fn what_is_not_ours_is_not_removed() {
    let foreign = |stage| deleted(stage).machine(here(), config(&[("name", "theirs")]), Power::Stopped);
    assert_eq!(foreign(Stage::Creating).outcome(), "release");
    assert_eq!(foreign(Stage::Abandoning).outcome(), "release");
    assert_eq!(foreign(Stage::Starting).outcome(), "stall NotOurs");
    assert_eq!(foreign(Stage::Established).outcome(), "stall NotOurs");
    // A container that took the VMID has its own volumes.
    let container = deleted(Stage::Creating).stored(here(), &["local:600/rootfs"]).with(|scene| {
        let mut entry = entry("a", &config(&[]));
        (entry.kind, entry.details) = (GuestKind::Lxc, None);
        scene.sites[0].vms.insert(600, entry);
    });
    assert_eq!(container.outcome(), "release");
    let copy = deleted(Stage::Established).machine(place("b", 610), finished_config(600), Power::Stopped);
    assert_eq!(copy.outcome(), "release");
}

#[test]
fn who_takes_the_vmid_of_a_machine_that_was_destroyed_holds_nothing_up() {
    let scene = deleted(Stage::Established).machine(here(), config(&[("name", "theirs")]), Power::Running);
    let destroyed = scene.task("a", TaskAction::Destroy, "qmdestroy", 600, TaskSight::Succeeded);
    assert_eq!(destroyed.outcome(), "release");
}

#[test]
fn a_clone_that_runs_is_stopped_and_any_other_task_awaited() {
    let with = |action, kind: &str, sight| deleted(Stage::Creating).task("a", action, kind, 600, sight);
    let failed = |text: &str| TaskSight::Failed(text.to_owned());
    for (scene, expected) in [
        (with(TaskAction::Clone, "qmclone", TaskSight::Running(None)), "stop Clone on a"),
        (with(TaskAction::Clone, "qmclone", failed("interrupted by signal")), "retry CloneFailed"),
        (with(TaskAction::Resize, "resize", TaskSight::Running(None)), "wait Resizing"),
        (with(TaskAction::Destroy, "qmdestroy", TaskSight::Running(None)), "wait Destroying"),
        (with(TaskAction::Destroy, "qmdestroy", TaskSight::Succeeded), "release"),
        (with(TaskAction::Destroy, "qmdestroy", failed("VM is locked (backup)")), "retry Locked"),
        (with(TaskAction::Stop, "qmstop", failed("can't lock file '/x' - got timeout")), "retry LockTimeout"),
    ] {
        let shown = format!("{:?}", scene.tasks);
        assert_eq!(scene.outcome(), expected, "{shown}");
    }
}

#[test]
fn a_clone_whose_task_is_not_known_is_awaited_and_one_that_was_killed_needs_an_administrator() {
    let stub = config(&[("lock", "clone"), ("description", " qmclone temporary file")]);
    let half = deleted(Stage::Creating).machine(here(), stub, Power::Stopped);
    let running = half.clone().with(|scene| {
        scene.sites[0].tasks.insert(upid("a", 7, "qmclone", TEMPLATE), TaskState::Running);
    });
    assert_eq!(running.outcome(), "wait Busy");
    let mut killed = half;
    let Step::Wait(reason) = killed.settle() else { panic!() };
    assert_eq!(reason.word, "LeftoverRemains");
    assert!(reason.message.ends_with("an administrator can help on a with: qm unlock 600 && qm destroy 600 --purge"));
    // For what is left of an attempt the template is not known: any clone on that node may be it.
    killed.sites[0].tasks.insert(upid("a", 7, "qmclone", TEMPLATE), TaskState::Running);
    assert_eq!(word(&killed.settle()), "wait Busy");
}

#[test]
fn a_destroy_that_was_cut_short_needs_an_administrator() {
    let mut scene = deleted(Stage::Established).machine(here(), config(&[("lock", "destroyed")]), Power::Stopped);
    let busy = scene.clone().with(|scene| {
        scene.sites[0].tasks.insert(upid("a", 7, "qmdestroy", 600), TaskState::Running);
    });
    assert_eq!(busy.outcome(), "wait Busy");
    assert_eq!(word(&scene.settle()), "wait LeftoverRemains");
    assert_eq!(scene.recorded.leftovers[0].command.as_deref(), Some("qm destroy 600 --skiplock 1 --purge"));
    let gone = scene.absent(here());
    assert_eq!(gone.outcome(), "release");
}

#[test]
fn a_volume_that_may_be_another_clusters_is_left_to_an_administrator() {
    let mut scene = deleted(Stage::Creating).with(|scene| {
        let volumes = vec![Volume { id: "nfs:600/d".into(), shared: true }];
        scene.volumes.insert(here(), Volumes::Known(Stored { volumes, ..Stored::default() }));
    });
    assert_eq!(word(&scene.settle()), "wait LeftoverRemains");
    assert_eq!(scene.recorded.leftovers[0].command.as_deref(), Some("pvesm free nfs:600/d"));
    assert_eq!(scene.stored(here(), &[]).outcome(), "release");
}

#[test]
fn a_list_from_before_makes_no_endless_record() {
    // The machine was destroyed a moment ago, and the list does not know it yet.
    let scene = deleted(Stage::Established).machine(here(), finished_config(600), Power::Stopped).absent(here());
    assert_eq!(scene.outcome(), "release");
}

#[test]
fn a_late_clone_and_a_leftover_hold_the_object() {
    let nothing = Scene::new().deleted();
    assert_eq!(nothing.clone().outcome(), "release");
    let late = nothing.clone().machine(place("b", 601), cloned_config(601), Power::Running);
    assert_eq!(late.outcome(), "stop b/601");
    let with_leftover = nothing.with(|scene| {
        let place = place("b", 601);
        scene.recorded.leftovers = vec![Leftover { place, reason: "lost".into(), command: None, since: at(0) }];
    });
    assert_eq!(with_leftover.clone().outcome(), "release");
    let unknown = with_leftover.clone().with(|scene| {
        scene.machines.insert(place("b", 601), Sight::Unknown("595".into()));
    });
    assert_eq!(unknown.outcome(), "wait LeftoverRemains");
    let there = with_leftover.machine(place("b", 601), cloned_config(601), Power::Running);
    assert_eq!(there.outcome(), "stop b/601");
}

fn abandoned() -> Scene {
    Scene::at_stage(Stage::Abandoning)
        .with(|scene| scene.recorded.intent.as_mut().unwrap().reason = Some(Reason::new("StartFailed", "no memory")))
}

#[test]
fn a_failed_attempt_is_removed_before_the_next_begins() {
    let there = |power| abandoned().machine(here(), finished_config(600), power);
    assert_eq!(there(Power::Stopped).outcome(), "destroy a/600");
    assert_eq!(abandoned().stored(here(), &["local:600/d"]).outcome(), "free a/600 local:600/d");
    let mut gone = abandoned();
    assert_eq!(word(&gone.settle()), "clone 9001 to b/601");
    assert_eq!(gone.recorded.attempts[0].reason.word, "StartFailed");
    // It runs after all: then it is no failed attempt.
    let mut runs = there(Power::Running);
    assert_eq!(word(&runs.settle()), "rest");
    let foreign = abandoned().machine(here(), config(&[("name", "theirs")]), Power::Running);
    assert_eq!(foreign.outcome(), "clone 9001 to b/601");
    let offline = abandoned().with(|scene| {
        scene.machines.insert(here(), Sight::Unknown("it is offline".into()));
        scene.sites[0].nodes.get_mut("a").unwrap().reach = Reach::Offline;
    });
    assert_eq!(offline.outcome(), "clone 9001 to b/601");
}

#[test]
fn what_cannot_be_removed_does_not_keep_the_next_node_waiting_for_ever() {
    let free = Action::FreeVolume { place: here(), volume: "local:600/d".into() };
    for outcome in [
        Outcome::Wait(Reason::new("Forbidden", "Permission check failed")),
        Outcome::RetryHere(Reason::new("VolumeNotFreed", "busy")),
        Outcome::Stalled(Reason::new("Refused", "no")),
    ] {
        let mut recorded = abandoned().recorded;
        for round in 1..=6 {
            match failed_action(false, &recorded, &free, outcome.clone(), at(round)) {
                Step::Retry(next, _) if round <= 5 => recorded = *next,
                Step::Record(next) if round == 6 => recorded = *next,
                step => panic!("round {round}: {step:?}"),
            }
        }
        assert_eq!(recorded.intent, None);
        assert_eq!(recorded.leftovers[0].command.as_deref(), Some("pvesm free local:600/d"));
        assert_eq!(recorded.attempts[0].reason.word, "StartFailed");
    }
}
