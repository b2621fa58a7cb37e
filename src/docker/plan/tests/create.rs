//! Bringing a project up.

use super::{
    build::*,
    walker::{Object, Walker},
    world::World,
};
use crate::docker::{compose::model::Condition, desired::*, identity, labels, observed::ContainerState, plan::*};

/// Steps until it rests, with healthchecks and jobs coming to their ends; the calls that it took.
pub fn come_to_rest(object: &mut Object, world: &mut World, walker: &mut Walker) -> Vec<String> {
    let from = world.calls.len();
    for _ in 0..30 {
        let last = walker.reconcile(object, world);
        if matches!(last, Step::Rest { .. }) {
            return world.calls[from..].to_vec();
        }
        world.settle();
        world.seconds += 20;
    }
    panic!("it does not rest: {:?}", walker.last);
}

pub fn at_rest(deployment: Deployment) -> (Object, World, Walker) {
    let (mut object, mut world, mut walker) = (Object::new(deployment), World::new(), Walker::default());
    come_to_rest(&mut object, &mut world, &mut walker);
    (object, world, walker)
}

fn word(step: &Step) -> &str {
    match step {
        Step::Stall(reason) | Step::Wait(reason, _) => &reason.word,
        other => other.name(),
    }
}

#[test]
fn a_project_comes_up_in_the_order_of_its_dependencies() {
    let (mut object, mut world, mut walker) = (Object::new(deployment()), World::new(), Walker::default());
    let calls = come_to_rest(&mut object, &mut world, &mut walker);
    let position =
        |what: &str| calls.iter().position(|call| call == what).unwrap_or_else(|| panic!("{what}: {calls:?}"));
    let start = |name: &str| position(&format!("start {}", world.named(name).seen.id));
    let created = calls.iter().rposition(|call| call.starts_with("create ")).unwrap();
    assert!(position("pull db:1 ") < position("create p-db-1"));
    assert!(position("create network default") < position("create p-db-1"));
    assert!(position("create volume data") < position("create p-db-1"));
    assert!(position("create p-web-1") < position("create p-logs-1"), "it lives in the network of the other");
    assert!(created < start("p-db-1"), "everything is there before the first one starts");
    assert!(start("p-db-1") < start("p-migrate-1"));
    assert!(start("p-migrate-1") < start("p-web-1"));
    assert!(start("p-web-1") < start("p-logs-1"));
    assert_eq!(world.states(), ["p-db-1 running", "p-logs-1 running", "p-migrate-1 exited", "p-web-1 running"]);
}

#[test]
fn what_does_not_depend_on_one_another_is_done_at_once() {
    let (mut object, mut world, mut walker) = (Object::new(deployment()), World::new(), Walker::default());
    let mut batches = Vec::new();
    for _ in 0..200 {
        walker.step(&mut object, &mut world, super::world::Fault::None);
        if let Some(Step::Act(actions)) = walker.last.take() {
            batches.push(actions.iter().map(Action::key).collect::<Vec<_>>());
        }
        world.settle();
    }
    assert_eq!(
        batches[0],
        ["create network default", "create volume data", "pull db:1 ", "pull logs:1 ", "pull app:1 ", "pull web:1 "]
    );
    assert_eq!(batches[1], ["create p-db-1", "create p-migrate-1", "create p-web-1"]);
    assert_eq!(batches[2], ["create p-logs-1"]);
}

#[test]
fn at_rest_nothing_is_called_and_nothing_is_looked_at() {
    let (mut object, world, mut walker) = at_rest(deployment());
    let mut again = world.clone();
    let calls = come_to_rest(&mut object, &mut again, &mut walker);
    assert!(calls.is_empty(), "{calls:?}");
    let desired = Desired::Present(Box::new(object.deployment.clone()));
    let observed = world.observe(&object.owner);
    let step = plan(&desired, &object.owner, object.recorded.as_ref().unwrap(), &observed, at(world.seconds));
    assert!(matches!(step, Step::Rest { .. }), "{step:?}");
}

#[test]
fn a_name_that_somebody_else_has_stalls_before_anything_is_made_under_it() {
    for what in ["container", "network", "volume"] {
        let (mut object, mut world, mut walker) = (Object::new(deployment()), World::new(), Walker::default());
        match what {
            "container" => world.take_name("p-web-1"),
            "network" => world.take_network(),
            _ => world.take_volume(),
        }
        for _ in 0..5 {
            walker.reconcile(&mut object, &mut world);
        }
        let last = walker.last.clone().unwrap();
        assert_eq!(word(&last), "NameTaken", "{what}: {last:?}");
        assert!(!world.calls.iter().any(|call| call.starts_with("start")), "{:?}", world.calls);
    }
}

#[test]
fn an_external_network_or_volume_is_awaited_used_and_never_made() {
    let mut deployment = deployment();
    deployment.networks.get_mut("default").unwrap().external = true;
    deployment.volumes.get_mut("data").unwrap().external = true;
    let (mut object, mut world, mut walker) = (Object::new(deployment), World::new(), Walker::default());
    for (expected, then) in [("NetworkNotFound", "network"), ("VolumeNotFound", "volume")] {
        for _ in 0..4 {
            walker.reconcile(&mut object, &mut world);
        }
        assert_eq!(word(walker.last.as_ref().unwrap()), expected);
        match then {
            "network" => world.take_network(),
            _ => world.take_volume(),
        }
    }
    come_to_rest(&mut object, &mut world, &mut walker);
    assert!(world.named("p-web-1").seen.networks.contains("x001"));
    object.deleting = true;
    object.removal = Removal::WithVolumes;
    object.version += 1;
    while object.exists {
        walker.reconcile(&mut object, &mut world);
    }
    assert_eq!((world.networks.len(), world.volumes.len()), (1, 1), "what is external stays");
}

#[test]
fn an_image_that_cannot_be_had_stops_everything_before_it_begins() {
    let (mut object, mut world, mut walker) = (Object::new(deployment()), World::new(), Walker::default());
    world.registry.remove("web:1");
    for _ in 0..5 {
        walker.reconcile(&mut object, &mut world);
    }
    assert_eq!(word(walker.last.as_ref().unwrap()), "ImageNotFound");
    assert!(world.states().is_empty());
    world.registry.insert("web:1".into(), "sha256:web:1".into());
    world.seconds += 100;
    come_to_rest(&mut object, &mut world, &mut walker);
}

#[test]
fn a_dependency_that_can_never_be_healthy_is_named_and_one_that_is_not_required_only_warned_of() {
    for required in [true, false] {
        let mut deployment = deployment();
        let web = deployment.services.get_mut("web").unwrap();
        let mut dependency = depend(Condition::ServiceHealthy);
        dependency.required = required;
        web.depends_on = [("migrate".to_owned(), dependency)].into();
        let (mut object, mut world, mut walker) = (Object::new(deployment), World::new(), Walker::default());
        for _ in 0..10 {
            walker.reconcile(&mut object, &mut world);
            world.settle();
        }
        let last = walker.last.clone().unwrap();
        match required {
            true => assert_eq!(word(&last), "DependencyEnded"),
            false => {
                let Step::Rest { warnings, .. } = last else { panic!("{last:?}") };
                // Nothing is to start any more.
                assert!(warnings.is_empty());
                assert_eq!(world.named("p-web-1").seen.state, ContainerState::Running);
            }
        }
    }
}

#[test]
fn an_image_is_pulled_once_for_each_release_or_when_it_is_old() {
    let mut always = only_web();
    always.services.get_mut("web").unwrap().fetch = Fetch::Always;
    let (mut object, mut world, mut walker) = at_rest(always);
    assert_eq!(world.calls.iter().filter(|call| call.starts_with("pull")).count(), 1);
    let before = world.named("p-web-1").seen.id.clone();
    // Another image under the same tag is no concern of ours before the next release.
    world.registry.insert("web:1".into(), "sha256:newer".into());
    assert!(come_to_rest(&mut object, &mut world, &mut walker).is_empty());
    object.deployment.release = "r2".into();
    object.version += 1;
    come_to_rest(&mut object, &mut world, &mut walker);
    let seen = &world.named("p-web-1").seen;
    assert_ne!(seen.id, before);
    assert_eq!(seen.labels[labels::compose::IMAGE], "sha256:newer");

    let mut daily = only_web();
    daily.services.get_mut("web").unwrap().fetch = Fetch::Every(jiff::SignedDuration::from_hours(24));
    let (mut object, mut world, mut walker) = at_rest(daily);
    let Some(Step::Rest { again: Some(again), .. }) = walker.last else { panic!("{:?}", walker.last) };
    world.seconds += 90_000;
    assert!(again < at(world.seconds));
    let calls = come_to_rest(&mut object, &mut world, &mut walker);
    assert_eq!(calls.len(), 1, "the same image is no reason to touch anything: {calls:?}");
    // A registry that is gone is worth a warning, no more.
    world.registry.clear();
    world.seconds += 90_000;
    walker.reconcile(&mut object, &mut world);
    walker.reconcile(&mut object, &mut world);
    let Some(Step::Rest { warnings, .. }) = &walker.last else { panic!("{:?}", walker.last) };
    assert_eq!(warnings[0].word, "ImageNotFound");
}

#[test]
fn what_was_built_is_known_again_by_its_label() {
    let mut built = only_web();
    built.services.get_mut("web").unwrap().fetch = Fetch::Build("b1".into());
    let (mut object, mut world, mut walker) = at_rest(built);
    assert_eq!(world.calls.iter().filter(|call| call.starts_with("build")).count(), 1);
    object.recorded = None;
    object.version += 1;
    let calls = come_to_rest(&mut object, &mut world, &mut Walker::default());
    assert!(calls.is_empty(), "{calls:?}");
    object.deployment.services.get_mut("web").unwrap().fetch = Fetch::Build("b2".into());
    object.deployment.release = "r2".into();
    object.version += 1;
    let calls = come_to_rest(&mut object, &mut world, &mut walker);
    assert_eq!(calls[0], "build web:1 b2");
    assert_eq!(world.named("p-web-1").seen.labels[labels::compose::IMAGE], "sha256:web:1-b2");
}

#[test]
fn a_mark_says_everything_that_makes_a_container_what_it_is() {
    let thing = |name, config, image| identity::Thing::Container { service: "web", number: 1, name, config, image };
    let all = owner().labels(thing("p-web-1", "c", "i"));
    assert_eq!(owner().claim(&all, thing("p-web-1", "c", "i")), identity::Claim::Ours);
    for other in [thing("p-web-2", "c", "i"), thing("p-web-1", "d", "i"), thing("p-web-1", "c", "j")] {
        assert_eq!(owner().claim(&all, other), identity::Claim::Nobody);
    }
    let restored = identity::Owner { uid: "u2".into(), ..owner() };
    assert_eq!(restored.claim(&all, thing("p-web-1", "c", "i")), identity::Claim::Former("u1".into()));
    let adopting = identity::Owner { formerly: ["u1".to_owned()].into(), ..restored };
    assert_eq!(adopting.claim(&all, thing("p-web-1", "c", "i")), identity::Claim::Ours);
    let other = identity::Owner { name: "other".into(), ..owner() };
    assert_eq!(other.claim(&all, thing("p-web-1", "c", "i")), identity::Claim::Other("shop".into(), "web".into()));
    let elsewhere = identity::Owner { installation: "test".into(), ..owner() };
    assert_eq!(elsewhere.claim(&all, thing("p-web-1", "c", "i")), identity::Claim::Nobody);
}
