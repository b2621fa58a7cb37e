//! A machine that stays when its object goes, and one that is made anew when it is missing.

use super::build::*;
use crate::proxmox::{
    inventory::{GuestKind, Reach, TaskState},
    plan::*,
};

fn here() -> Place {
    place("a", 600)
}

fn kept(stage: Stage, changes: &[(&str, &str)], power: Power) -> Scene {
    Scene::at_stage(stage).let_go().machine(here(), changed(&finished_config(600), changes), power)
}

#[test]
fn our_tag_goes_then_our_mark_and_the_machine_stays_as_it_is() {
    for stage in [Stage::Starting, Stage::Established] {
        for power in [Power::Running, Power::Paused, Power::Stopped] {
            let scene = |changes: &[(&str, &str)]| kept(stage, changes, power);
            assert_eq!(scene(&[]).outcome(), "tag a/600 ", "{stage:?} {power:?}");
            let refused = scene(&[]).with(|scene| scene.tag_refused = true);
            assert_eq!(refused.outcome(), "configure a/600 -description");
            assert_eq!(scene(&[("tags", "web")]).outcome(), "configure a/600 -description");
            let notes = format!("Ask Alice\n\n{}", owner().mark(600).line());
            let mut noted = scene(&[("tags", "web"), ("description", &notes)]);
            let Step::Act(Action::Configure { set, delete, .. }) = noted.settle() else { panic!() };
            assert_eq!((set.0, delete.len()), (vec![("description".to_owned(), "Ask Alice".to_owned())], 0));
            assert_eq!(scene(&[("tags", "web"), ("description", "Ask Alice")]).outcome(), "release");
        }
    }
}

#[test]
fn protection_does_not_matter_and_a_lock_is_awaited() {
    let protected = kept(Stage::Established, &[("protection", "1"), ("tags", "")], Power::Running);
    assert_eq!(protected.outcome(), "configure a/600 -description");
    assert_eq!(kept(Stage::Established, &[("lock", "backup")], Power::Running).outcome(), "wait Locked");
    let unmarked = [("lock", "backup"), ("description", ""), ("tags", "")];
    assert_eq!(kept(Stage::Established, &unmarked, Power::Running).outcome(), "release");
}

#[test]
fn what_never_ran_is_removed() {
    for stage in [Stage::Creating, Stage::Abandoning] {
        assert_eq!(kept(stage, &[], Power::Stopped).outcome(), "destroy a/600");
        // Somebody started it: then it is a machine like any other.
        assert_eq!(kept(stage, &[], Power::Running).outcome(), "tag a/600 ");
    }
    let cloning = Scene::at_stage(Stage::Creating).let_go();
    let cloning = cloning.task("a", TaskAction::Clone, "qmclone", TEMPLATE, TaskSight::Running(None));
    assert_eq!(cloning.outcome(), "stop Clone on a");
    assert_eq!(Scene::new().let_go().outcome(), "release");
    assert_eq!(Scene::at_stage(Stage::Creating).let_go().outcome(), "release");
    // Of one that was found by its marks nobody knows it.
    let found = kept(Stage::Creating, &[], Power::Stopped);
    let found = found.with(|scene| scene.recorded.intent.as_mut().unwrap().template = None);
    assert_eq!(found.outcome(), "tag a/600 ");
}

#[test]
fn what_earlier_attempts_left_is_removed_all_the_same() {
    let left = Leftover { place: place("b", 601), reason: "lost".into(), command: None, since: at(0) };
    let scene = kept(Stage::Established, &[], Power::Running).with(|scene| scene.recorded.leftovers = vec![left]);
    let there = scene.clone().machine(place("b", 601), cloned_config(601), Power::Stopped);
    assert_eq!(there.outcome(), "destroy b/601");
    let unknown = scene.with(|scene| {
        scene.machines.insert(place("b", 601), Sight::Unknown("595".into()));
    });
    assert_eq!(unknown.outcome(), "wait LeftoverRemains");
    let late =
        kept(Stage::Established, &[], Power::Running).machine(place("b", 601), cloned_config(601), Power::Stopped);
    assert_eq!(late.outcome(), "destroy b/601");
}

#[test]
fn a_machine_that_moved_is_followed_and_one_that_cannot_be_asked_for_holds_the_object() {
    let moved = Scene::at_stage(Stage::Established).let_go();
    let moved = moved.machine(place("b", 600), finished_config(600), Power::Running);
    assert_eq!(moved.outcome(), "tag b/600 ");
    assert_eq!(Scene::at_stage(Stage::Established).let_go().outcome(), "release");
    let mut silent = Scene::at_stage(Stage::Established).let_go().with(|scene| {
        scene.machines.insert(here(), Sight::Unknown("it is offline".into()));
        scene.sites[0].nodes.get_mut("a").unwrap().reach = Reach::Offline;
    });
    let Step::Wait(reason) = silent.settle() else { panic!() };
    assert!(reason.word == "NodeUnreachable" && reason.message.contains("deletionPolicy"), "{reason:?}");
    let foreign = kept(Stage::Established, &[], Power::Running).machine(here(), config(&[]), Power::Running);
    assert_eq!(foreign.outcome(), "release");
}

#[test]
fn a_task_is_awaited_and_its_failure_is_of_no_interest() {
    let with =
        |sight| kept(Stage::Established, &[], Power::Running).task("a", TaskAction::Shutdown, "qmshutdown", 600, sight);
    assert_eq!(with(TaskSight::Running(None)).outcome(), "wait ShuttingDown");
    assert_eq!(with(TaskSight::Failed("VM quit/powerdown failed - got timeout".into())).outcome(), "tag a/600 ");
    // It was to be removed, and is to stay now.
    let stopped =
        |sight| kept(Stage::Established, &[], Power::Stopped).task("a", TaskAction::Destroy, "qmdestroy", 600, sight);
    assert_eq!(stopped(TaskSight::Running(None)).outcome(), "wait Destroying");
    assert_eq!(stopped(TaskSight::Vanished).outcome(), "tag a/600 ");
}

#[test]
fn a_machine_whose_status_was_lost_is_found_first() {
    let mut scene = Scene::new().let_go().machine(here(), finished_config(600), Power::Running);
    scene.recorded.lost = true;
    assert_eq!(scene.clone().outcome(), "tag a/600 ");
    scene.sites[0].stale = true;
    assert_eq!(scene.outcome(), "wait SearchIncomplete");
}

fn missing() -> Scene {
    let attempt = |outcome, seconds| Attempt {
        node: "a".into(),
        vmid: Some(600),
        outcome,
        reason: Reason::new("Running", "it ran"),
        time: at(seconds),
    };
    Scene::at_stage(Stage::Established)
        .asking(|spec| spec.recreate = true)
        .with(|scene| scene.recorded.attempts = vec![attempt(AttemptOutcome::Succeeded, 0)])
}

#[test]
fn a_machine_that_is_nowhere_is_made_anew_under_another_vmid_if_it_is_to_be() {
    assert_eq!(missing().asking(|spec| spec.recreate = false).outcome(), "stall Missing");
    let mut scene = missing();
    // On the same node: it did not fail there.
    assert_eq!(word(&scene.settle()), "clone 9000 to a/601");
    let lost = scene.recorded.attempts.last().unwrap();
    assert_eq!((lost.outcome, lost.reason.word.as_str(), lost.vmid), (AttemptOutcome::Lost, "Missing", Some(600)));
    assert_eq!(scene.recorded.applied, Applied::default());
}

#[test]
fn nothing_is_made_anew_while_the_first_may_be_anywhere() {
    let unknown = missing().with(|scene| {
        scene.machines.insert(place("b", 600), Sight::Unknown("595".into()));
    });
    assert_eq!(unknown.outcome(), "wait NodeUnreachable");
    let without_quorum = missing().with(|scene| scene.sites[0].quorate = false);
    assert_eq!(without_quorum.outcome(), "wait NodeUnreachable");
    // A host of its own, where a backup may have been restored.
    let mut other = site(1, &["c"]);
    other.stale = true;
    let other_site = missing().with(|scene| scene.sites.push(other));
    assert_eq!(other_site.outcome(), "wait SearchIncomplete");
    let unread = missing().with(|scene| {
        let mut entry = entry("b", &config(&[]));
        entry.details = None;
        scene.sites[0].vms.insert(650, entry);
    });
    assert_eq!(unread.outcome(), "wait SearchIncomplete");
    // It was on its way from one node to the other while they were asked.
    let listed = missing().machine(place("b", 600), finished_config(600), Power::Running).absent(place("b", 600));
    assert_eq!(listed.outcome(), "wait Busy");
    let out_of_reach = missing().with(|scene| {
        let mut entry = entry("b", &finished_config(600));
        entry.node = None;
        scene.sites[0].vms.insert(600, entry);
    });
    assert_eq!(out_of_reach.outcome(), "stall OutOfReach");
    let theirs = missing().machine(here(), config(&[("name", "theirs")]), Power::Running);
    assert_eq!(theirs.outcome(), "stall NotOurs");
}

#[test]
fn one_that_was_restored_elsewhere_is_taken_instead() {
    let restored = |changes: &[(&str, &str)]| {
        let scene = missing().with(|scene| scene.sites.push(site(1, &["c"])));
        scene.machine(place("c", 600), changed(&finished_config(600), changes), Power::Running)
    };
    let mut scene = restored(&[]);
    assert_eq!(word(&scene.settle()), "rest");
    assert_eq!(scene.recorded.intent.unwrap().place, place("c", 600));
    assert_eq!(restored(&[("description", "")]).outcome(), "configure c/600 description");
}

#[test]
fn a_container_that_took_the_vmid_is_no_hindrance() {
    let scene = missing().with(|scene| {
        let mut entry = entry("b", &config(&[]));
        (entry.kind, entry.details) = (GuestKind::Lxc, None);
        scene.sites[0].vms.insert(600, entry);
    });
    assert_eq!(scene.outcome(), "clone 9000 to a/601");
}

#[test]
fn one_that_was_lost_and_comes_back_is_left_alone_as_long_as_the_object_lives() {
    let mut scene = missing();
    scene.settle();
    let failed = Attempt { outcome: AttemptOutcome::Failed, ..scene.recorded.attempts[0].clone() };
    scene.recorded.attempts.insert(0, failed);
    let intent = scene.recorded.intent.as_mut().unwrap();
    (intent.place, intent.stage) = (place("b", 601), Stage::Established);
    scene.recorded.applied.password = Some("1".into());
    let scene = scene.machine(place("b", 601), finished_config(601), Power::Running);
    let back = scene.clone().machine(here(), finished_config(600), Power::Stopped);
    assert_eq!(back.outcome(), "rest");
    // Nor is one that is just being restored, which bears no mark yet.
    let restoring = config(&[("lock", "create")]);
    let restoring = scene.machine(here(), restoring, Power::Stopped).with(|scene| {
        scene.sites[0].tasks.insert(upid("a", 7, "qmrestore", 600), TaskState::Running);
    });
    assert_eq!(restoring.outcome(), "rest");
}
