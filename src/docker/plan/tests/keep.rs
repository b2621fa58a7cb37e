//! Keeping a project as it is, whatever people and the host do to it.

use super::{
    build::*,
    create::{at_rest, come_to_rest},
    walker::{Object, Walker},
    world::World,
};
use crate::docker::{compose::model::Restart, desired::*, identity, observed::*, plan::Step};

fn reason(step: &Step) -> (&str, &str) {
    match step {
        Step::Stall(reason) | Step::Wait(reason, _) => (&reason.word, &reason.message),
        other => panic!("{other:?}"),
    }
}

fn ids(world: &World) -> Vec<String> {
    world.mine().map(|held| held.seen.id.clone()).collect()
}

#[test]
fn what_was_stopped_killed_paused_or_renamed_is_brought_back_as_it_is() {
    for meddle in ["stop", "kill", "pause", "rename"] {
        let (mut object, mut world, mut walker) = at_rest(deployment());
        let before = ids(&world);
        let id = world.named("p-web-1").seen.id.clone();
        match meddle {
            "stop" => world.end(&id, 0),
            "kill" => world.end(&id, 137),
            "pause" => world.named_mut("p-web-1").seen.state = ContainerState::Paused,
            _ => world.named_mut("p-web-1").seen.name = "mine-now".into(),
        }
        come_to_rest(&mut object, &mut world, &mut walker);
        assert_eq!(ids(&world), before, "{meddle}");
        assert_eq!(world.named("p-web-1").seen.state, ContainerState::Running, "{meddle}");
    }
}

#[test]
fn what_was_removed_updated_or_disconnected_is_made_anew_and_nothing_else_is_touched() {
    for meddle in ["remove", "update", "disconnect"] {
        let (mut object, mut world, mut walker) = at_rest(deployment());
        let id = world.named("p-db-1").seen.id.clone();
        match meddle {
            "remove" => drop(world.containers.remove(&id)),
            "update" => world.named_mut("p-db-1").seen.settings = "more memory".into(),
            _ => world.named_mut("p-db-1").seen.networks.clear(),
        }
        let others: Vec<_> = ids(&world).into_iter().filter(|other| *other != id).collect();
        come_to_rest(&mut object, &mut world, &mut walker);
        let now = ids(&world);
        assert!(!now.contains(&id), "{meddle}");
        assert!(others.iter().all(|other| now.contains(other)), "{meddle}");
        assert_eq!(now.len(), 4, "{meddle}");
    }
}

#[test]
fn who_lives_in_a_namespace_starts_again_when_its_host_did_and_is_made_anew_when_its_host_was() {
    let (mut object, mut world, mut walker) = at_rest(deployment());
    let (web, logs) = (world.named("p-web-1").seen.id.clone(), world.named("p-logs-1").seen.clone());
    world.end(&web, 0);
    world.start(&web).unwrap();
    come_to_rest(&mut object, &mut world, &mut walker);
    let now = &world.named("p-logs-1").seen;
    assert_eq!(now.id, logs.id);
    assert!(now.started_at > logs.started_at, "its network was gone");
    world.containers.remove(&web);
    come_to_rest(&mut object, &mut world, &mut walker);
    assert_ne!(world.named("p-logs-1").seen.id, logs.id);
}

#[test]
fn a_one_shot_runs_once_for_each_release_whatever_is_restarted_or_pruned() {
    let (mut object, mut world, mut walker) = at_rest(deployment());
    let migrate = world.named("p-migrate-1").seen.id.clone();
    world.reboot();
    come_to_rest(&mut object, &mut world, &mut walker);
    object.deployment.restart = Some("now".into());
    object.version += 1;
    let calls = come_to_rest(&mut object, &mut world, &mut walker);
    assert!(!calls.contains(&format!("start {migrate}")), "{calls:?}");
    // `docker container prune` takes all that do not run.
    world.containers.remove(&migrate);
    world.reboot();
    let calls = come_to_rest(&mut object, &mut world, &mut walker);
    assert!(!calls.iter().any(|call| call.contains("migrate")), "{calls:?}");
    object.deployment.release = "r2".into();
    object.version += 1;
    let calls = come_to_rest(&mut object, &mut world, &mut walker);
    assert!(calls.contains(&"create p-migrate-1".to_owned()), "{calls:?}");
    assert!(world.migrated.contains("r2"));
}

#[test]
fn a_one_shot_that_somebody_killed_runs_again_and_one_that_failed_does_not() {
    for (code, again) in [(137, true), (143, true), (1, false), (0, false)] {
        let (mut object, mut world, mut walker) = (Object::new(deployment()), World::new(), Walker::default());
        while world.mine().all(|held| held.slot.service != "migrate" || held.seen.state != ContainerState::Running) {
            walker.reconcile(&mut object, &mut world);
            let db = world.containers.values_mut().find(|held| held.slot.service == "db").unwrap();
            db.seen.health = db.seen.health.map(|_| Health::Healthy);
        }
        let id = world.named("p-migrate-1").seen.id.clone();
        world.end(&id, code);
        let last = walker.reconcile(&mut object, &mut world);
        assert_eq!(world.containers[&id].seen.state == ContainerState::Running, again, "{code}");
        if code == 1 {
            let (word, message) = reason(&last);
            assert!(matches!(last, Step::Stall(_)));
            assert_eq!(word, "Exited");
            assert!(message.contains("exit code 1") && message.contains("its last words"), "{message}");
        }
    }
}

#[test]
fn a_restart_happens_once_for_each_value_and_not_again_when_the_status_is_lost() {
    for value in ["2026-09-21T20:00:00Z", "please"] {
        let (mut object, mut world, mut walker) = at_rest(deployment());
        let started = |world: &World, name: &str| world.named(name).seen.started_at;
        let before = started(&world, "p-web-1");
        world.seconds += 30_000;
        object.deployment.restart = Some(value.into());
        object.version += 1;
        let kept = ids(&world);
        let calls = come_to_rest(&mut object, &mut world, &mut walker);
        assert_eq!(ids(&world), kept, "it is a restart, not another container");
        assert_eq!(calls.iter().filter(|call| call.starts_with("stop")).count(), 3, "{calls:?}");
        assert!(started(&world, "p-web-1") > before);
        object.recorded = None;
        object.version += 1;
        let calls = come_to_rest(&mut object, &mut world, &mut Walker::default());
        assert!(calls.is_empty(), "{value}: {calls:?}");
    }
}

#[test]
fn a_restart_that_had_not_happened_when_the_status_was_lost_happens_if_it_says_when_it_was_asked_for() {
    let (mut object, mut world, _) = at_rest(deployment());
    world.seconds += 30_000;
    object.deployment.restart = Some(at(20_000).to_string());
    object.recorded = None;
    object.version += 1;
    let calls = come_to_rest(&mut object, &mut world, &mut Walker::default());
    assert_eq!(calls.iter().filter(|call| call.starts_with("stop")).count(), 3, "{calls:?}");
}

#[test]
fn a_project_stops_in_reverse_order_and_comes_back_although_its_processes_ended_well() {
    let mut deployment = deployment();
    deployment.services.get_mut("web").unwrap().restart = Restart::No;
    let (mut object, mut world, mut walker) = at_rest(deployment);
    object.deployment.state = State::Stopped;
    object.version += 1;
    let calls = come_to_rest(&mut object, &mut world, &mut walker);
    let stops: Vec<_> =
        ["p-logs-1", "p-web-1", "p-db-1"].map(|name| format!("stop {}", world.named(name).seen.id)).into();
    assert_eq!(calls, stops);
    object.deployment.state = State::Running;
    object.version += 1;
    come_to_rest(&mut object, &mut world, &mut walker);
    assert_eq!(world.states(), ["p-db-1 running", "p-logs-1 running", "p-migrate-1 exited", "p-web-1 running"]);
}

#[test]
fn a_server_without_a_restart_policy_that_was_stopped_by_us_comes_back_when_the_status_was_lost_too() {
    let mut deployment = only_web();
    deployment.services.get_mut("web").unwrap().restart = Restart::No;
    let (mut object, mut world, mut walker) = at_rest(deployment);
    object.deployment.state = State::Stopped;
    object.version += 1;
    come_to_rest(&mut object, &mut world, &mut walker);
    object.recorded = None;
    object.deployment.state = State::Running;
    object.version += 1;
    come_to_rest(&mut object, &mut world, &mut Walker::default());
    assert_eq!(world.states(), ["p-web-1 running"]);
}

#[test]
fn a_container_that_crashes_again_and_again_is_shown_with_the_end_of_its_log() {
    let (mut object, mut world, mut walker) = at_rest(only_web());
    let now = at(world.seconds);
    let seen = &mut world.named_mut("p-web-1").seen;
    (seen.state, seen.restarts, seen.exit_code, seen.started_at) = (ContainerState::Restarting, 7, 3, Some(now));
    let last = walker.reconcile(&mut object, &mut world);
    let (word, message) = reason(&last);
    assert_eq!(word, "CrashLooping");
    assert!(message.contains("exit code 3, 7 restarts") && message.contains("its last words"), "{message}");
    // Once it has run for a while it counts as well, however often it crashed.
    world.named_mut("p-web-1").seen.state = ContainerState::Running;
    assert!(matches!(walker.reconcile(&mut object, &mut world), Step::Wait(_, Some(_))));
    world.seconds += 11;
    assert!(matches!(walker.reconcile(&mut object, &mut world), Step::Rest { .. }));
}

#[test]
fn a_container_that_is_not_healthy_is_awaited_and_then_complained_of() {
    let (mut object, mut world, mut walker) = at_rest(only_web());
    let now = at(world.seconds);
    let seen = &mut world.named_mut("p-web-1").seen;
    (seen.health, seen.started_at) = (Some(Health::Unhealthy), Some(now));
    assert_eq!(reason(&walker.reconcile(&mut object, &mut world)).0, "Unhealthy");
    world.seconds += 100;
    let last = walker.reconcile(&mut object, &mut world);
    assert!(reason(&last).1.contains("its last words"), "{last:?}");
    world.named_mut("p-web-1").seen.health = Some(Health::Healthy);
    assert!(matches!(walker.reconcile(&mut object, &mut world), Step::Rest { .. }));
}

#[test]
fn commands_run_once_after_each_start_of_ours() {
    let mut deployment = only_web();
    deployment.services.get_mut("web").unwrap().post_start = true;
    let (mut object, mut world, mut walker) = at_rest(deployment);
    let hooks = |world: &World| world.calls.iter().filter(|call| call.starts_with("after start")).count();
    assert_eq!(hooks(&world), 1);
    object.deployment.restart = Some("now".into());
    object.version += 1;
    come_to_rest(&mut object, &mut world, &mut walker);
    assert_eq!(hooks(&world), 2);
    come_to_rest(&mut object, &mut world, &mut Walker::default());
    assert_eq!(hooks(&world), 2);
}

#[test]
fn copies_with_our_labels_are_left_alone_and_ours_is_kept() {
    let (mut object, mut world, mut walker) = at_rest(deployment());
    let web = world.named("p-web-1").seen.id.clone();
    // The usual way to keep a copy before trying something.
    world.named_mut("p-web-1").seen.name = "web-backup".into();
    world.commit_and_run(&web, "p-web-1");
    world.duplicate(&web, "web-duplicate");
    let last = walker.reconcile(&mut object, &mut world);
    assert_eq!(reason(&last).0, "NameTaken");
    world.named_mut("p-web-1").seen.name = "web-copy".into();
    come_to_rest(&mut object, &mut world, &mut walker);
    assert_eq!(world.named("p-web-1").seen.id, web);
    // Without a record they are told apart by what the image carries, and by their names.
    object.recorded = None;
    object.version += 1;
    let last = Walker::default().reconcile(&mut object, &mut world);
    assert_eq!(reason(&last).0, "SeveralClaimants");
    assert!(reason(&last).1.contains("web-duplicate"));
    world.containers.retain(|_, held| held.seen.name != "web-duplicate");
    come_to_rest(&mut object, &mut world, &mut Walker::default());
    assert_eq!(world.named("web-copy").seen.state, ContainerState::Running);
}

#[test]
fn what_a_former_object_of_the_same_name_left_is_not_touched_unless_it_is_taken_over() {
    let (mut object, mut world, mut walker) = at_rest(deployment());
    let before = ids(&world);
    object.owner.uid = "u2".into();
    (object.recorded, object.held) = (None, false);
    object.version += 1;
    let calls = world.calls.len();
    let last = walker.reconcile(&mut object, &mut world);
    assert_eq!(reason(&last).0, "FormerObject");
    assert!(reason(&last).1.contains("u1") && reason(&last).1.contains(identity::ADOPT_ANNOTATION));
    assert_eq!(world.calls.len(), calls);
    object.owner.formerly.insert("u1".into());
    object.version += 1;
    come_to_rest(&mut object, &mut world, &mut walker);
    assert_eq!(ids(&world), before);
}

#[test]
fn a_host_that_cannot_be_asked_changes_nothing() {
    let (object, world, _) = at_rest(deployment());
    let unknown = crate::reason::Reason::new("HostUnreachable", "no route");
    let observed = Observed { unknown: Some(unknown.clone()), ..world.observe(&object.owner) };
    for (desired, expected) in [
        (Desired::Present(Box::new(deployment())), Step::Wait(unknown.clone(), None)),
        (Desired::Gone(Removal::WithVolumes), Step::Wait(unknown.clone(), None)),
        (Desired::Gone(Removal::Orphan), Step::Release),
    ] {
        let recorded = object.recorded.clone().unwrap();
        let step = super::super::plan(&desired, &object.owner, &recorded, &observed, at(world.seconds));
        assert_eq!(step, expected);
    }
}
