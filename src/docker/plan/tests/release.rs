//! Releases as a whole.

use super::{
    build::*,
    create::{at_rest, come_to_rest},
    walker::{Object, Walker},
    world::World,
};
use crate::docker::{compose::model::Restart, desired::Service, identity, observed::ContainerState, plan::*};

/// The next release: the database and the web server are other ones.
fn next(object: &mut Object) {
    for name in ["db", "web"] {
        let service = object.deployment.services.get_mut(name).unwrap();
        service.config = identity::hash([service.config.as_str(), "next"]);
    }
    object.deployment.release += "+";
    object.version += 1;
}

fn rounds(object: &mut Object, world: &mut World, walker: &mut Walker) {
    for _ in 0..20 {
        walker.reconcile(object, world);
        world.settle();
        world.seconds += 20;
    }
}

fn ids(world: &World) -> Vec<&str> {
    ["p-db-1", "p-web-1"].map(|name| world.named(name).seen.labels[identity::CONFIG].as_str()).to_vec()
}

#[test]
fn a_release_of_which_a_part_does_not_come_up_goes_back_as_a_whole() {
    let (mut object, mut world, mut walker) = at_rest(deployment());
    let before: Vec<String> = ids(&world).into_iter().map(str::to_owned).collect();
    let migrated = world.migrated.len();
    next(&mut object);
    // The database goes over, and then the web server does not.
    world.unstartable.insert("web".into());
    rounds(&mut object, &mut world, &mut walker);
    let Some(Step::Stall(reason)) = &walker.last else { panic!("{:?}", walker.last) };
    assert!(reason.message.contains("the last good one was brought back"), "{reason:?}");
    assert_eq!(ids(&world), before, "both are what they were");
    assert!(world.mine().all(|held| held.seen.state.is_up() || held.slot.service == "migrate"));
    assert_eq!(
        world.migrated.len(),
        migrated + 1,
        "the migration of the new release ran once, and that of the old one not again"
    );

    // It does not flip to and fro, in another process neither.
    let calls = world.calls.len();
    rounds(&mut object, &mut world, &mut walker);
    rounds(&mut object, &mut world, &mut Walker::default());
    assert_eq!(world.calls.len(), calls, "{:?}", &world.calls[calls..]);

    // A restart asks for another try.
    world.unstartable.clear();
    object.deployment.restart = Some("again".into());
    object.version += 1;
    come_to_rest(&mut object, &mut world, &mut walker);
    assert_ne!(ids(&world), before);
    let recorded = object.recorded.unwrap();
    assert_eq!((recorded.good.unwrap().release, recorded.lost_release), (object.deployment.release, None));
}

#[test]
fn a_one_shot_of_a_release_that_does_not_come_up_does_not_run_on() {
    let (mut object, mut world, mut walker) = at_rest(deployment());
    next(&mut object);
    let extra = Service { restart: Restart::No, ..server("web:1") };
    object.deployment.services.insert("extra".into(), extra);
    object.deployment.services.get_mut("migrate").unwrap().config = "next".into();
    let migrates = |world: &World| world.mine().any(|held| held.slot.service == "migrate" && held.seen.state.is_up());
    loop {
        walker.reconcile(&mut object, &mut world);
        if migrates(&world) {
            break;
        }
        world.settle();
        world.seconds += 20;
    }
    let extra = world.named("p-extra-1").seen.id.clone();
    world.end(&extra, 3);
    for _ in 0..5 {
        walker.reconcile(&mut object, &mut world);
        world.seconds += 20;
    }
    assert!(object.recorded.as_ref().unwrap().lost_release.is_some());
    assert!(!migrates(&world), "{:?}", world.states());
}

#[test]
fn a_release_that_must_not_go_back_does_not() {
    let (mut object, mut world, mut walker) = at_rest(deployment());
    next(&mut object);
    object.deployment.rollback = false;
    world.unstartable.insert("web".into());
    rounds(&mut object, &mut world, &mut walker);
    let recorded = object.recorded.clone().unwrap();
    assert!(recorded.lost_release.is_none() && recorded.failed.is_empty());
    assert_eq!(world.named("p-web-1").seen.state, ContainerState::Created, "{:?}", world.states());
}

#[test]
fn another_spec_is_tried_though_the_last_one_failed() {
    let (mut object, mut world, mut walker) = at_rest(only_web());
    object.deployment.release += "+";
    object.deployment.services.get_mut("web").unwrap().config = "bad".into();
    object.version += 1;
    world.unstartable.insert("web".into());
    rounds(&mut object, &mut world, &mut walker);
    assert!(object.recorded.as_ref().unwrap().lost_release.is_some());
    world.unstartable.clear();
    object.deployment.release += "+";
    object.deployment.services.get_mut("web").unwrap().config = "mended".into();
    object.version += 1;
    come_to_rest(&mut object, &mut world, &mut walker);
    assert_eq!(object.recorded.unwrap().lost_release, None);
}

#[test]
fn a_release_that_comes_up_after_all_is_the_good_one() {
    let (mut object, mut world, mut walker) = at_rest(only_web());
    object.deployment.release += "+";
    object.deployment.services.get_mut("web").unwrap().config = "slow".into();
    object.version += 1;
    world.unstartable.insert("web".into());
    // What the last good release was made from is gone.
    object.models.clear();
    rounds(&mut object, &mut world, &mut walker);
    assert!(object.recorded.as_ref().unwrap().lost_release.is_some());
    world.unstartable.clear();
    object.recorded.as_mut().unwrap().failed.clear();
    object.version += 1;
    come_to_rest(&mut object, &mut world, &mut walker);
    let recorded = object.recorded.unwrap();
    assert_eq!((recorded.good.unwrap().release, recorded.lost_release), (object.deployment.release, None));
}
