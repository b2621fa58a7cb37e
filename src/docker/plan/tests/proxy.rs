//! The host's proxy.

use std::collections::BTreeSet;

use super::{
    build::*,
    create::come_to_rest,
    walker::{Object, Walker},
    world::World,
};
use crate::docker::{desired::*, plan::*};

fn world_with_proxy() -> World {
    let mut world = World::new();
    world.proxies.insert("edge".into(), BTreeSet::new());
    world
}

#[test]
fn the_proxy_meets_the_project_on_its_own_network_and_is_let_go_before_that_is_removed() {
    let (mut object, mut world, mut walker) =
        (Object::new(with_proxy(only_web())), world_with_proxy(), Walker::default());
    come_to_rest(&mut object, &mut world, &mut walker);
    let network = world.networks.values().find(|(seen, _)| seen.name == "p_ingress").unwrap().0.id.clone();
    assert_eq!(world.proxies["edge"], BTreeSet::from([network]));
    (object.deleting, object.removal) = (true, Removal::KeepVolumes);
    object.version += 1;
    while object.exists {
        walker.reconcile(&mut object, &mut world);
    }
    assert!(world.networks.is_empty() && world.proxies["edge"].is_empty());
}

#[test]
fn a_proxy_that_was_made_anew_is_connected_again() {
    let (mut object, mut world, mut walker) =
        (Object::new(with_proxy(only_web())), world_with_proxy(), Walker::default());
    come_to_rest(&mut object, &mut world, &mut walker);
    world.proxies.insert("edge".into(), BTreeSet::new());
    let calls = come_to_rest(&mut object, &mut world, &mut walker);
    assert!(matches!(&calls[..], [call] if call.starts_with("connect edge ")), "{calls:?}");
}

#[test]
fn a_proxy_that_is_not_there_is_a_warning() {
    let (mut object, mut world, mut walker) = (Object::new(with_proxy(only_web())), World::new(), Walker::default());
    come_to_rest(&mut object, &mut world, &mut walker);
    let Some(Step::Rest { warnings, .. }) = &walker.last else { panic!("{:?}", walker.last) };
    assert!(warnings[0].message.contains("container edge, is not there"), "{warnings:?}");
}
