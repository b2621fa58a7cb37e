//! Times that were written down by a controller whose clock was ahead.

use super::build::*;
use crate::proxmox::plan::*;

/// What was recorded says that it is three hours later.
const AHEAD: i64 = 3 * 3600;

#[test]
fn a_start_that_was_written_down_in_the_future_may_have_happened_long_ago() {
    let scene = |since: i64| {
        Scene::at_stage(Stage::Starting).machine(place("a", 600), finished_config(600), Power::Stopped).with(|scene| {
            scene.recorded.intent.as_mut().unwrap().since = at(since);
        })
    };
    // From now on a start that fails does not end the machine.
    let Step::Record(next) = scene(AHEAD).next() else { panic!("{:?}", scene(AHEAD).next()) };
    assert_eq!(next.intent.unwrap().stage, Stage::Established);
    // Two clocks are never quite the same.
    assert_eq!(word(&scene(5).next()), "start a/600");
}

#[test]
fn a_guest_that_ended_is_started_again_though_its_last_start_lies_ahead() {
    let scene = |at_second: i64| {
        Scene::at_stage(Stage::Established).machine(place("a", 600), finished_config(600), Power::Stopped).with(
            |scene| {
                scene.recorded.started = Some(Started { at: at(at_second), count: 5 });
            },
        )
    };
    assert_eq!(scene(AHEAD).outcome(), "start a/600");
    assert_eq!(scene(-1).outcome(), "wait BackOff");
}

#[test]
fn the_next_attempt_does_not_wait_for_a_time_that_was_never() {
    let failed = |second: i64| {
        Scene::new().with(|scene| {
            scene.recorded.attempts = ["a", "b"]
                .map(|node| Attempt {
                    node: node.into(),
                    vmid: Some(600),
                    outcome: AttemptOutcome::Failed,
                    reason: Reason::new("CloneFailed", "no space"),
                    time: at(second),
                })
                .to_vec();
        })
    };
    assert_eq!(failed(AHEAD).outcome(), "clone 9000 to a/601");
    assert_eq!(failed(-1).outcome(), "wait AllNodesFailed");
    // What failed since is paused for, by the clock of now.
    let since = failed(AHEAD).with(|scene| scene.recorded.attempts[1].time = at(-1));
    assert_eq!(since.outcome(), "wait AllNodesFailed");
}

#[test]
fn what_was_left_behind_in_the_future_is_looked_at_now() {
    let left = |second: i64| {
        Scene::at_stage(Stage::Established).machine(place("a", 600), finished_config(600), Power::Running).with(
            |scene| {
                scene.recorded.leftovers =
                    vec![Leftover { place: place("b", 601), reason: "busy".into(), command: None, since: at(second) }];
            },
        )
    };
    let mut gone = left(AHEAD).absent(place("b", 601)).stored(place("b", 601), &[]);
    assert_eq!(word(&gone.settle()), "rest");
    assert_eq!(gone.recorded.leftovers, []);
    let mut recent = left(-1).absent(place("b", 601)).stored(place("b", 601), &[]);
    assert_eq!(word(&recent.settle()), "rest");
    assert_eq!(recent.recorded.leftovers.len(), 1);
}
