//! From one release to the next.

use super::{
    build::*,
    create::{at_rest, come_to_rest},
    walker::{Object, Walker},
    world::{Held, World},
};
use crate::docker::{desired::*, identity, observed::*, plan::Step};

fn change(object: &mut Object, name: &str) {
    let service = object.deployment.services.get_mut(name).unwrap();
    service.config = identity::hash([service.config.as_str(), "changed"]);
    object.deployment.release += "+";
    object.version += 1;
}

fn word(walker: &Walker) -> &str {
    match walker.last.as_ref().unwrap() {
        Step::Stall(reason) | Step::Wait(reason, _) => &reason.word,
        other => other.name(),
    }
}

fn some_rounds(object: &mut Object, world: &mut World, walker: &mut Walker) {
    for _ in 0..6 {
        walker.reconcile(object, world);
        world.seconds += 5;
    }
}

#[test]
fn only_what_changed_is_made_anew_and_the_old_one_stops_when_the_new_one_is_ready() {
    let (mut object, mut world, mut walker) = at_rest(only_web());
    let old = world.named("p-web-1").seen.id.clone();
    change(&mut object, "web");
    let calls = come_to_rest(&mut object, &mut world, &mut walker);
    let new = world.named("p-web-1").seen.id.clone();
    let name = calls[0].strip_prefix("create ").unwrap();
    assert!(name.ends_with("_p-web-1"), "{name}");
    assert_eq!(
        calls[1..],
        [
            format!("stop {old}"),
            format!("rename {old} {old}_p-web-1"),
            format!("rename {new} p-web-1"),
            format!("start {new}"),
            format!("remove {old}"),
        ]
    );
}

#[test]
fn nothing_stops_while_anything_of_the_new_release_is_missing() {
    let (mut object, mut world, mut walker) = at_rest(deployment());
    let before = world.states();
    let web = object.deployment.services.get_mut("web").unwrap();
    (web.image, web.config) = ("web:2".into(), "2".into());
    change(&mut object, "db");
    let calls = world.calls.len();
    some_rounds(&mut object, &mut world, &mut walker);
    assert_eq!(word(&walker), "ImageNotFound");
    assert_eq!(world.states(), before, "the running release stays up");
    // And it is kept up.
    let id = world.named("p-db-1").seen.id.clone();
    world.end(&id, 0);
    some_rounds(&mut object, &mut world, &mut walker);
    assert_eq!(world.states(), before);
    assert!(!world.calls[calls..].iter().any(|call| call.starts_with("stop") || call.starts_with("create")));
    world.registry.insert("web:2".into(), "sha256:web:2".into());
    world.seconds += 100;
    come_to_rest(&mut object, &mut world, &mut walker);
}

#[test]
fn a_new_container_that_cannot_start_gives_way_to_the_old_one() {
    for why in ["port", "command", "crash", "unhealthy"] {
        let (mut object, mut world, mut walker) = at_rest(only_web());
        let old = world.named("p-web-1").seen.id.clone();
        match why {
            "port" => {
                world.ports.insert("web".into(), 80);
                world.take_name("theirs");
                world.named_mut("theirs").port = Some(80);
            }
            "command" => drop(world.unstartable.insert("web".into())),
            "unhealthy" => drop(world.checked.insert("web".into())),
            _ => {}
        }
        change(&mut object, "web");
        for _ in 0..12 {
            walker.reconcile(&mut object, &mut world);
            if let Some(held) =
                world.containers.values_mut().find(|held| held.mine && held.seen.id != old && held.seen.state.is_up())
                && why == "crash"
            {
                (held.seen.state, held.seen.restarts) = (ContainerState::Restarting, 6);
            }
            // The former one was healthy.
            if let Some(held) = world.containers.get_mut(&old).filter(|held| held.seen.health == Some(Health::Starting))
            {
                held.seen.health = Some(Health::Healthy);
            }
            world.seconds += 20;
        }
        let expected = match why {
            "port" => "PortTaken",
            "command" => "CommandNotFound",
            "crash" => "CrashLooping",
            _ => "Unhealthy",
        };
        assert_eq!(word(&walker), expected);
        assert!(matches!(walker.last, Some(Step::Stall(_))), "{why}: {:?}", walker.last);
        assert_eq!(world.states(), ["p-web-1 running"], "{why}");
        assert_eq!(world.named("p-web-1").seen.id, old, "{why}");
        // It does not flip to and fro.
        let calls = world.calls.len();
        some_rounds(&mut object, &mut world, &mut walker);
        assert_eq!(world.calls.len(), calls, "{why}");
        // Nor when the status is kept and the process is another.
        some_rounds(&mut object, &mut world, &mut Walker::default());
        assert_eq!(world.calls.len(), calls, "{why}");
        // A restart asks for another try.
        world.ports.clear();
        world.containers.retain(|_, held| held.mine);
        world.unstartable.clear();
        world.checked.clear();
        object.deployment.restart = Some("again".into());
        object.version += 1;
        come_to_rest(&mut object, &mut world, &mut walker);
        assert_ne!(world.named("p-web-1").seen.id, old, "{why}");
    }
}

#[test]
fn a_first_container_that_cannot_start_is_tried_again() {
    let (mut object, mut world, mut walker) = (Object::new(only_web()), World::new(), Walker::default());
    world.ports.insert("web".into(), 80);
    world.take_name("theirs");
    world.named_mut("theirs").port = Some(80);
    some_rounds(&mut object, &mut world, &mut walker);
    assert_eq!(word(&walker), "PortTaken");
    world.containers.retain(|_, held| held.mine);
    world.seconds += 600;
    come_to_rest(&mut object, &mut world, &mut walker);
}

#[test]
fn a_service_goes_over_when_what_it_depends_on_has() {
    let (mut object, mut world, mut walker) = at_rest(deployment());
    let old_web = world.named("p-web-1").seen.id.clone();
    change(&mut object, "db");
    change(&mut object, "web");
    // The new database does not become healthy.
    some_rounds(&mut object, &mut world, &mut walker);
    assert_eq!(world.containers[&old_web].seen.state, ContainerState::Running);
    come_to_rest(&mut object, &mut world, &mut walker);
    assert!(!world.containers.contains_key(&old_web));
}

#[test]
fn who_restarts_with_what_it_depends_on_stops_before_that_is_replaced() {
    let mut deployment = deployment();
    let web = deployment.services.get_mut("web").unwrap();
    web.depends_on.get_mut("db").unwrap().restart = true;
    let (mut object, mut world, mut walker) = at_rest(deployment);
    let (db, web) = (world.named("p-db-1").seen.id.clone(), world.named("p-web-1").seen.id.clone());
    change(&mut object, "db");
    let calls = come_to_rest(&mut object, &mut world, &mut walker);
    let position =
        |what: String| calls.iter().position(|call| *call == what).unwrap_or_else(|| panic!("{what}: {calls:?}"));
    let new_db = world.named("p-db-1").seen.id.clone();
    assert!(position(format!("stop {web}")) < position(format!("stop {db}")));
    assert!(position(format!("start {new_db}")) < position(format!("start {web}")));
    assert_eq!(world.named("p-web-1").seen.id, web);
}

#[test]
fn a_service_is_scaled_up_and_down_from_the_highest_number() {
    let (mut object, mut world, mut walker) = at_rest(only_web());
    for (replicas, expected) in [(3, vec!["p-web-1", "p-web-2", "p-web-3"]), (1, vec!["p-web-1"]), (0, vec![])] {
        object.deployment.services.get_mut("web").unwrap().replicas = replicas;
        object.version += 1;
        come_to_rest(&mut object, &mut world, &mut walker);
        let expected: Vec<_> = expected.into_iter().map(|name| format!("{name} running")).collect();
        assert_eq!(world.states(), expected);
    }
}

#[test]
fn what_the_file_no_longer_has_goes_in_reverse_order_and_volumes_stay() {
    let (mut object, mut world, mut walker) = at_rest(deployment());
    let (db, web) = (world.named("p-db-1").seen.id.clone(), world.named("p-web-1").seen.id.clone());
    object.deployment = only_web();
    object.deployment.project = "p".into();
    object.deployment.services =
        [("other".to_owned(), Service { networks: Default::default(), ..server("web:1") })].into();
    object.deployment.networks.clear();
    object.version += 1;
    let calls = come_to_rest(&mut object, &mut world, &mut walker);
    let position = |what: String| calls.iter().position(|call| *call == what).unwrap();
    assert!(
        position("create p-other-1".into()) < position(format!("stop {web}")),
        "the new is ready before the old stops"
    );
    assert!(position(format!("stop {web}")) < position(format!("stop {db}")));
    assert_eq!(world.states(), ["p-other-1 running"]);
    assert!(world.networks.is_empty());
    assert!(world.volumes.contains_key("p_data"));
}

#[test]
fn a_network_that_changed_is_replaced_after_everything_else_is_ready() {
    let (mut object, mut world, mut walker) = at_rest(deployment());
    let old = world.networks.keys().next().unwrap().clone();
    object.deployment.networks.get_mut("default").unwrap().config = "n2".into();
    object.deployment.release = "r2".into();
    object.version += 1;
    let calls = come_to_rest(&mut object, &mut world, &mut walker);
    let remove = calls.iter().position(|call| *call == format!("remove network {old}")).unwrap();
    assert!(calls[..remove].iter().all(|call| call.starts_with("stop")), "{calls:?}");
    assert_eq!(calls[remove + 1], "create network default");
    assert_eq!(world.networks.len(), 1);
    assert_eq!(world.states(), ["p-db-1 running", "p-logs-1 running", "p-migrate-1 exited", "p-web-1 running"]);
}

#[test]
fn a_volume_that_changed_is_never_replaced() {
    let (mut object, mut world, mut walker) = at_rest(deployment());
    object.deployment.volumes.get_mut("data").unwrap().config = "v2".into();
    change(&mut object, "db");
    let calls = world.calls.len();
    some_rounds(&mut object, &mut world, &mut walker);
    assert_eq!(word(&walker), "VolumeChanged");
    assert_eq!(world.calls.len(), calls);
}

#[test]
fn a_failed_migration_leaves_the_old_release_up() {
    let (mut object, mut world, mut walker) = at_rest(deployment());
    let web = world.named("p-web-1").seen.id.clone();
    change(&mut object, "migrate");
    change(&mut object, "web");
    for _ in 0..8 {
        walker.reconcile(&mut object, &mut world);
        let runs = |held: &&Held| held.slot.service == "migrate" && held.seen.state == ContainerState::Running;
        let migration = world.mine().find(runs).map(|held| held.seen.id.clone());
        if let Some(id) = migration {
            world.end(&id, 2);
        }
        world.seconds += 5;
    }
    assert!(matches!(walker.last, Some(Step::Stall(_))), "{:?}", walker.last);
    assert_eq!(world.containers[&web].seen.state, ContainerState::Running);
}
