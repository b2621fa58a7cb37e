//! A machine runs, stands still or is paused, as it is desired.

use super::build::*;
use crate::proxmox::{outcome, plan::*, restart::Restart, wire::VmConfig};

fn here() -> Place {
    place("a", 600)
}

fn kept(power: Power) -> Scene {
    Scene::at_stage(Stage::Established).machine(here(), finished_config(600), power)
}

fn noted(value: &str, process: Option<u32>) -> VmConfig {
    let restart = Restart { value: value.into(), process };
    let notes = format!("{}\n{restart}", finished_config(600).description());
    changed(&finished_config(600), &[("description", &notes)])
}

/// A machine with these notes, whose spec asks for the restart `now`.
fn asked(config: VmConfig, power: Power) -> Scene {
    Scene::at_stage(Stage::Established)
        .machine(here(), config, power)
        .asking(|spec| spec.power.restart = Some("now".into()))
}

/// The notes that the plan comes to write.
fn notes(mut scene: Scene) -> String {
    let Step::Act(Action::Configure { set, .. }) = scene.settle() else { panic!("{:?}", scene.next()) };
    let [(key, value)] = set.0.as_slice() else { panic!("{set:?}") };
    assert_eq!(key, "description");
    value.rsplit('\n').next().unwrap().to_owned()
}

#[test]
fn each_power_state_is_reached_from_each_other() {
    use Power::{Paused, Running, Stopped};
    for (is, wanted, expected) in [
        (Running, Running, "rest"),
        (Running, Stopped, "shut down a/600"),
        (Running, Paused, "suspend a/600"),
        (Stopped, Running, "start a/600"),
        (Stopped, Stopped, "rest stopped"),
        (Stopped, Paused, "start a/600"),
        // What is paused cannot be asked to shut down.
        (Paused, Running, "resume a/600"),
        (Paused, Stopped, "resume a/600"),
        (Paused, Paused, "rest paused"),
    ] {
        let scene = kept(is).asking(|spec| spec.power.state = Some(wanted));
        assert_eq!(scene.outcome(), expected, "{is:?} to {wanted:?}");
    }
}

#[test]
fn a_guest_is_ended_hard_only_if_the_spec_says_so() {
    let how = ShutdownSpec { seconds: 30, force: true };
    let mut scene = kept(Power::Running).asking(|spec| {
        spec.power = PowerSpec { state: Some(Power::Stopped), shutdown: how, ..PowerSpec::default() };
    });
    assert_eq!(scene.settle(), Step::Act(Action::Shutdown { place: here(), how }));
}

#[test]
fn a_guest_that_does_not_shut_down_is_asked_again_later() {
    let scene = |text: &str| {
        let failed = TaskSight::Failed(text.into());
        kept(Power::Running).asking(|spec| spec.power.state = Some(Power::Stopped)).task(
            "a",
            TaskAction::Shutdown,
            "qmshutdown",
            600,
            failed,
        )
    };
    assert_eq!(scene("VM quit/powerdown failed - got timeout").outcome(), "retry ShutdownTimedOut");
    assert_eq!(scene("VM is locked (backup)").outcome(), "retry Locked");
}

#[test]
fn a_lock_keeps_the_power_as_it_is() {
    let locked = changed(&finished_config(600), &[("lock", "backup")]);
    for (is, wanted) in
        [(Power::Running, Power::Stopped), (Power::Stopped, Power::Running), (Power::Running, Power::Paused)]
    {
        let scene = Scene::at_stage(Stage::Established)
            .machine(here(), locked.clone(), is)
            .asking(|spec| spec.power.state = Some(wanted));
        assert_eq!(scene.outcome(), "wait Locked", "{is:?} to {wanted:?}");
    }
}

#[test]
fn a_machine_that_is_to_stand_still_is_made_and_never_started() {
    let mut scene = Scene::at_stage(Stage::Creating)
        .machine(here(), finished_config(600), Power::Stopped)
        .asking(|spec| spec.power.state = Some(Power::Stopped));
    assert_eq!(word(&scene.settle()), "rest stopped");
    assert_eq!(scene.recorded.intent.as_ref().unwrap().stage, Stage::Established);
    assert_eq!(scene.recorded.attempts[0].outcome, AttemptOutcome::Succeeded);
    let paused = Scene::at_stage(Stage::Starting)
        .machine(here(), finished_config(600), Power::Running)
        .asking(|spec| spec.power.state = Some(Power::Paused));
    assert_eq!(paused.outcome(), "suspend a/600");
}

#[test]
fn a_restart_is_noted_carried_out_and_noted_as_done() {
    let done = Restart { value: "now".into(), process: None }.to_string();
    let begun = Restart { value: "now".into(), process: Some(PROCESS) }.to_string();
    let before = Restart { value: "before".into(), process: None };
    assert_eq!(notes(asked(finished_config(600), Power::Running)), begun);
    assert_eq!(notes(asked(noted("before", None), Power::Running)), begun);
    // One that was begun and never done gives way to the next.
    assert_eq!(notes(asked(noted("before", Some(PROCESS)), Power::Running)), begun);
    assert_eq!(asked(noted("now", Some(PROCESS)), Power::Running).outcome(), "shut down a/600");
    assert_eq!(asked(noted("now", Some(PROCESS)), Power::Paused).outcome(), "resume a/600");
    // Whoever ended that process: the restart has happened.
    assert_eq!(notes(asked(noted("now", Some(PROCESS)), Power::Stopped)), done);
    assert_eq!(notes(asked(noted("now", Some(PROCESS + 1)), Power::Running)), done);
    let mut rests = asked(noted("now", None), Power::Running);
    assert_eq!(word(&rests.settle()), "rest");
    assert_eq!(rests.recorded.restarted.as_deref(), Some("now"));
    // What nobody asks for any more is left as it is.
    let scene = |process| Scene::at_stage(Stage::Established).machine(here(), noted("now", process), Power::Running);
    assert_eq!(scene(Some(PROCESS)).outcome(), "rest");
    assert_eq!(scene(None).outcome(), "rest");
    assert_ne!(before.to_string(), done);
}

#[test]
fn a_restart_is_not_repeated_when_the_status_or_the_notes_are_lost() {
    let mut lost = asked(noted("now", None), Power::Running).with(|scene| {
        let applied = scene.recorded.applied.clone();
        scene.recorded = Recorded { lost: true, applied, ..Recorded::default() };
    });
    assert_eq!(word(&lost.settle()), "rest");
    let edited =
        asked(finished_config(600), Power::Running).with(|scene| scene.recorded.restarted = Some("now".into()));
    assert_eq!(notes(edited), Restart { value: "now".into(), process: None }.to_string());
}

#[test]
fn the_first_boot_and_any_start_are_as_good_as_a_restart() {
    let done = Restart { value: "now".into(), process: None }.to_string();
    assert_eq!(notes(asked(finished_config(600), Power::Stopped)), done);
    let created = Scene::at_stage(Stage::Creating)
        .machine(here(), finished_config(600), Power::Stopped)
        .asking(|spec| spec.power.restart = Some("now".into()));
    assert_eq!(notes(created), done);
}

#[test]
fn a_guest_that_ends_by_itself_is_started_again_later_and_later() {
    let ended = |count, ago: i64| {
        kept(Power::Stopped).with(|scene| {
            scene.now = at(10_000);
            scene.recorded.started = Some(Started { at: at(10_000 - ago), count });
        })
    };
    for (count, ago, expected) in [
        (1, 0, "start a/600"),
        (2, 9, "wait BackOff"),
        (2, 10, "start a/600"),
        (3, 19, "wait BackOff"),
        (3, 20, "start a/600"),
        (6, 159, "wait BackOff"),
        (50, 299, "wait BackOff"),
        (50, 300, "start a/600"),
    ] {
        assert_eq!(ended(count, ago).outcome(), expected, "{count} starts, the last {ago} s ago");
    }
    let started = |scene: Scene, action, kind| {
        let mut scene = scene.task("a", action, kind, 600, TaskSight::Succeeded);
        scene.settle();
        scene.recorded.started
    };
    let next = |count, at| Some(Started { count, at });
    assert_eq!(started(kept(Power::Running), TaskAction::Start, "qmstart"), next(1, at(0)));
    assert_eq!(started(ended(3, 30), TaskAction::Start, "qmstart"), next(4, at(10_000)));
    assert_eq!(started(ended(3, 600), TaskAction::Start, "qmstart"), next(1, at(10_000)));
    // One that was asked to end starts again at once.
    assert_eq!(started(ended(3, 30), TaskAction::Shutdown, "qmshutdown"), None);
    // One that never came to run is tried by the pace of failures.
    assert_eq!(ended(1, 0).with(|scene| scene.recorded.started = None).outcome(), "start a/600");
}

#[test]
fn a_machine_whose_guest_is_asked_to_end_can_be_deleted() {
    let scene =
        kept(Power::Running).task("a", TaskAction::Shutdown, "qmshutdown", 600, TaskSight::Running(None)).deleted();
    assert_eq!(scene.clone().outcome(), "stop Shutdown on a");
    // Its record may have been lost in the moment of the deletion.
    let forgotten = scene.clone().with(|scene| scene.recorded.task = None);
    assert_eq!(forgotten.outcome(), "stop Shutdown on a");
    let paused = kept(Power::Paused).deleted();
    assert_eq!(paused.outcome(), "stop a/600");
}

#[test]
fn what_was_done_meanwhile_is_looked_at_again() {
    for action in [Action::Suspend(here()), Action::Resume(here())] {
        let refusal = crate::proxmox::client::ApiError {
            request: "POST /x".into(),
            status: 500,
            text: "VM 600 not running".into(),
            fields: Default::default(),
        };
        let outcome = outcome::of_call(&action, &Box::new(refusal).into());
        let step = failed_action(false, &kept(Power::Running).recorded, &action, outcome, at(0));
        assert_eq!(word(&step), "retry PowerChanged");
    }
}
