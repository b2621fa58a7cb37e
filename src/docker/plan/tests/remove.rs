//! Deletion.

use super::{
    build::*,
    create::at_rest,
    walker::{Object, Walker},
    world::World,
};
use crate::docker::{desired::*, plan::Step};

fn delete(object: &mut Object, removal: Removal) {
    (object.deleting, object.removal) = (true, removal);
    object.version += 1;
}

#[test]
fn everything_that_is_ours_goes_in_reverse_order_and_volumes_by_policy() {
    for (removal, volumes) in [(Removal::WithVolumes, 0), (Removal::KeepVolumes, 1)] {
        let (mut object, mut world, mut walker) = at_rest(deployment());
        let stops = ["p-logs-1", "p-web-1", "p-db-1"].map(|name| format!("stop {}", world.named(name).seen.id));
        world.take_name("theirs");
        delete(&mut object, removal);
        let from = world.calls.len();
        while object.exists {
            walker.reconcile(&mut object, &mut world);
        }
        let calls = &world.calls[from..];
        assert_eq!(calls.iter().filter(|call| call.starts_with("stop")).cloned().collect::<Vec<_>>(), stops);
        assert_eq!(world.containers.len(), 1, "a stranger's stays");
        assert!(world.networks.is_empty());
        assert_eq!(world.volumes.len(), volumes);
    }
}

#[test]
fn an_orphan_is_left_as_it_is() {
    let (mut object, mut world, mut walker) = at_rest(deployment());
    let before = world.states();
    delete(&mut object, Removal::Orphan);
    assert_eq!(walker.reconcile(&mut object, &mut world), Step::Release);
    assert_eq!(world.states(), before);
}

#[test]
fn a_network_that_a_stranger_uses_holds_the_object_and_names_the_command() {
    let (mut object, mut world, mut walker) = at_rest(deployment());
    let network = world.networks.keys().next().unwrap().clone();
    world.take_name("theirs");
    world.named_mut("theirs").seen.networks.insert(network);
    delete(&mut object, Removal::WithVolumes);
    for _ in 0..5 {
        walker.reconcile(&mut object, &mut world);
    }
    let Some(Step::Wait(reason, Some(_))) = &walker.last else { panic!("{:?}", walker.last) };
    assert_eq!(reason.word, "NetworkInUse");
    assert!(reason.message.contains("docker network disconnect -f p_default"), "{}", reason.message);
    assert!(object.exists);
    world.named_mut("theirs").seen.networks.clear();
    world.seconds += 100;
    while object.exists {
        walker.reconcile(&mut object, &mut world);
    }
}

#[test]
fn what_was_made_is_found_by_its_labels_when_the_status_is_lost() {
    let (mut object, mut world, _) = at_rest(deployment());
    object.recorded = None;
    delete(&mut object, Removal::WithVolumes);
    let mut walker = Walker::default();
    while object.exists {
        walker.reconcile(&mut object, &mut world);
    }
    assert!(world.containers.is_empty() && world.networks.is_empty() && world.volumes.is_empty());
}

#[test]
fn a_project_of_which_nothing_was_made_is_let_go() {
    let mut object = Object::new(deployment());
    object.held = true;
    delete(&mut object, Removal::WithVolumes);
    let mut world = World::new();
    assert_eq!(Walker::default().reconcile(&mut object, &mut world), Step::Release);
    assert!(world.calls.is_empty());
}
