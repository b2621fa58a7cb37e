//! What is delivered.

use super::{
    build::*,
    create::{at_rest, come_to_rest},
    walker::{Object, Walker},
    world::{Fault, World},
};
use crate::docker::{desired::*, plan::*};

fn volumes(world: &World) -> Vec<&str> {
    world.volumes.keys().map(String::as_str).collect()
}

/// The next release, with this version of the content.
fn release(object: &mut Object, version: u32) {
    deliver(&mut object.deployment, version);
    object.deployment.release += "+";
    object.version += 1;
}

#[test]
fn content_is_there_before_a_container_is_made() {
    let (mut object, mut world, mut walker) =
        (Object::new(with_content(only_web(), 1)), World::new(), Walker::default());
    let calls = come_to_rest(&mut object, &mut world, &mut walker);
    let position = |what: &str| calls.iter().position(|call| call == what).unwrap();
    assert!(position("create volume site") < position("deliver p_site-1"));
    assert!(position("deliver p_site-1") < position("create p-web-1"));
    assert!(object.recorded.unwrap().delivered.contains_key("p_site-1"));
}

#[test]
fn the_content_of_a_former_release_goes_when_its_container_does() {
    let (mut object, mut world, mut walker) = at_rest(with_content(only_web(), 1));
    release(&mut object, 2);
    let old = world.named("p-web-1").seen.id.clone();
    let calls = come_to_rest(&mut object, &mut world, &mut walker);
    let position = |what: &str| calls.iter().position(|call| call == what).unwrap();
    assert!(position("deliver p_site-2") < position(&format!("stop {old}")), "the new is whole before the old stops");
    assert!(position(&format!("remove {old}")) < position("survey p_site-1"));
    assert!(position("survey p_site-1") < position("remove volume p_site-1"));
    assert_eq!(volumes(&world), ["p_site-2"]);
}

#[test]
fn what_users_wrote_into_content_that_goes_is_told() {
    let (mut object, mut world, mut walker) = at_rest(with_content(only_web(), 1));
    world.edited.insert("p_site-1".into());
    for (version, told) in [(2, true), (3, false)] {
        release(&mut object, version);
        come_to_rest(&mut object, &mut world, &mut walker);
        walker.reconcile(&mut object, &mut world);
        let Some(Step::Rest { warnings, .. }) = &walker.last else { panic!("{:?}", walker.last) };
        let dropped = warnings.iter().any(|warning| {
            warning.word == "EditsDropped" && warning.message.ends_with("is gone, and 1 file was written")
        });
        assert_eq!(dropped, told, "{version}: {warnings:?}");
    }
}

#[test]
fn a_look_that_takes_long_into_content_that_goes_is_let_be() {
    let (mut object, mut world, mut walker) = at_rest(with_content(only_web(), 1));
    release(&mut object, 2);
    let called = |world: &World, what: &str| world.calls.iter().any(|call| call.starts_with(what));
    while !called(&world, "survey p_site-1") {
        let fault = if called(&world, "remove c") { Fault::LostAfter } else { Fault::None };
        walker.step(&mut object, &mut world, fault);
        world.seconds += 1;
    }
    assert_eq!(world.states(), ["p-web-1 running", "p_site-1-survey created"]);
    walker.is_busy_with("survey p_site-1");
    let calls = world.calls.len();
    for _ in 0..3 {
        walker.reconcile(&mut object, &mut world);
    }
    assert_eq!(world.calls[calls..], [""; 0]);
    walker.crash();
    come_to_rest(&mut object, &mut world, &mut walker);
    assert_eq!((world.states(), volumes(&world)), (vec!["p-web-1 running".to_owned()], vec!["p_site-2"]));
}

#[test]
fn a_release_that_does_not_come_up_leaves_the_former_content_where_it_is() {
    let (mut object, mut world, mut walker) = at_rest(with_content(only_web(), 1));
    release(&mut object, 2);
    world.unstartable.insert("web".into());
    for _ in 0..8 {
        walker.reconcile(&mut object, &mut world);
        world.seconds += 20;
    }
    assert!(matches!(walker.last, Some(Step::Stall(_))), "{:?}", walker.last);
    assert_eq!(world.states(), ["p-web-1 running"]);
    assert_eq!(volumes(&world), ["p_site-1"]);
    // The former spec again.
    object.deployment = with_content(only_web(), 1);
    object.version += 1;
    let calls = come_to_rest(&mut object, &mut world, &mut walker);
    assert!(calls.is_empty(), "{calls:?}");
}

#[test]
fn a_delivery_that_was_cut_off_is_made_again_and_leaves_nothing() {
    let (mut object, mut world, mut walker) =
        (Object::new(with_content(only_web(), 1)), World::new(), Walker::default());
    let deliveries = |world: &World| world.calls.iter().filter(|call| call.starts_with("deliver")).count();
    while deliveries(&world) == 0 {
        walker.step(&mut object, &mut world, Fault::LostAfter);
        world.seconds += 1;
    }
    assert_eq!(world.states(), ["p_site-1-delivery created"]);
    walker.crash();
    come_to_rest(&mut object, &mut world, &mut walker);
    assert_eq!((deliveries(&world), world.states()), (2, vec!["p-web-1 running".to_owned()]));
}

#[test]
fn a_delivery_that_was_cut_off_is_not_taken_for_whole_when_the_record_is_lost() {
    let (mut object, mut world, mut walker) =
        (Object::new(with_content(only_web(), 1)), World::new(), Walker::default());
    while world.calls.iter().all(|call| !call.starts_with("deliver")) {
        walker.step(&mut object, &mut world, Fault::LostAfter);
        world.seconds += 1;
    }
    walker.crash();
    object.recorded = None;
    object.version += 1;
    come_to_rest(&mut object, &mut world, &mut walker);
    assert!(world.filled.contains("p_site-1"));
}

#[test]
fn content_is_not_delivered_over_what_runs_when_the_record_is_lost() {
    let (mut object, mut world, mut walker) = at_rest(with_content(only_web(), 1));
    object.recorded = None;
    object.version += 1;
    let calls = come_to_rest(&mut object, &mut world, &mut walker);
    assert!(calls.is_empty(), "{calls:?}");
}

#[test]
fn a_deletion_that_keeps_volumes_keeps_what_was_written_only() {
    let (mut object, mut world, mut walker) = at_rest(with_content(deployment(), 1));
    assert_eq!(volumes(&world), ["p_data", "p_site-1"]);
    (object.deleting, object.removal) = (true, Removal::KeepVolumes);
    object.version += 1;
    while object.exists {
        walker.reconcile(&mut object, &mut world);
    }
    assert_eq!(volumes(&world), ["p_data"]);
}
