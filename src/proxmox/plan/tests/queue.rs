//! Clones one after the other.

use super::build::*;
use crate::proxmox::{inventory::TaskState, plan::*, wire::Vmid};

/// A machine whose place is chosen and whose clone was not begun.
fn chosen() -> Scene {
    Scene::at_stage(Stage::Creating).with(|scene| scene.now = at(10))
}

fn begun(template: Vmid, upid: Option<&str>) -> Cloning {
    Cloning { node: "a".into(), template, upid: upid.map(str::to_owned) }
}

fn turn(second: i64, uid: &str, template: Vmid) -> Turn {
    Turn { since: at(second), uid: uid.into(), node: "a".into(), template }
}

/// A clone that the list shows.
fn listed(scene: &mut Scene, number: u32, template: Vmid) -> String {
    let upid = upid("a", number, "qmclone", template);
    scene.sites[0].tasks.insert(upid.clone(), TaskState::Running);
    upid.to_string()
}

#[test]
fn no_more_clones_of_a_template_run_than_may() {
    let with = |cloning: Vec<Cloning>| chosen().with(|scene| scene.cloning(cloning));
    assert_eq!(with(vec![]).outcome(), "clone 9000 to a/600");
    assert_eq!(with(vec![begun(9000, None)]).outcome(), "clone 9000 to a/600");
    assert_eq!(with(vec![begun(9000, None), begun(9000, None)]).outcome(), "wait Queued");
    assert_eq!(with(vec![begun(9000, None), begun(9009, None)]).outcome(), "clone 9000 to a/600");
    let elsewhere = Cloning { node: "b".into(), ..begun(9000, None) };
    assert_eq!(with(vec![begun(9000, None), elsewhere]).outcome(), "clone 9000 to a/600");
}

#[test]
fn no_more_clones_of_a_node_run_than_may() {
    let cloning = (9001..9005).map(|template| begun(template, None));
    assert_eq!(chosen().with(|scene| scene.cloning(cloning)).outcome(), "wait Queued");
}

#[test]
fn clones_that_others_began_count_and_ours_count_once() {
    let foreign = chosen().with(|scene| {
        listed(scene, 1, 9000);
        listed(scene, 2, 9000);
    });
    assert_eq!(foreign.outcome(), "wait Queued");
    let known = chosen().with(|scene| {
        let upid = listed(scene, 1, 9000);
        scene.cloning([begun(9000, Some(&upid))]);
    });
    assert_eq!(known.outcome(), "clone 9000 to a/600");
}

#[test]
fn who_chose_first_goes_first_and_is_told_how_many_are_before_it() {
    let with = |turns: Vec<Turn>| {
        let mut scene = chosen().with(|scene| {
            scene.cloning([begun(9000, None)]);
            for turn in turns {
                scene.other(Holding { clone: Some(CloneState::Waiting(turn)), ..Holding::default() });
            }
        });
        match scene.settle() {
            Step::Wait(reason) => reason.message,
            step => word(&step),
        }
    };
    // Its own turn is (0, uid-1).
    assert_eq!(with(vec![turn(1, "x", 9000), turn(0, "uid-2", 9000)]), "clone 9000 to a/600");
    assert_eq!(with(vec![turn(-1, "x", 9001)]), "clone 9000 to a/600");
    let told = "waits for its turn to be cloned: 1 of template 9000 on a run; ";
    assert_eq!(with(vec![turn(0, "uid-0", 9000)]), format!("{told}1 machine is before it"));
    let many = (0..37).map(|number| turn(-1 - number, "x", 9000)).collect();
    assert_eq!(with(many), format!("{told}more than 30 machines are before it"));
}

#[test]
fn nothing_is_looked_at_while_a_machine_waits_and_what_was_begun_does_not_wait() {
    let full = || chosen().with(|scene| scene.cloning([begun(9000, None), begun(9000, None)]));
    assert_eq!(word(&full().next()), "wait Queued");
    let made = full().machine(place("a", 600), cloned_config(600), Power::Stopped);
    assert!(made.outcome().starts_with("configure a/600"));
}
