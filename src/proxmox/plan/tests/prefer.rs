//! Which of the nodes that have room is chosen.

use super::build::*;
use crate::proxmox::{inventory::StorageState, plan::*};

type Change = fn(&mut Scene);

fn by(policy: Policy) -> Scene {
    Scene::new().with(|scene| scene.spec().placement.policy = policy)
}

/// The node is changed in the list.
fn node(scene: &mut Scene, name: &str, change: impl FnOnce(&mut crate::proxmox::inventory::NodeState)) {
    change(scene.sites[0].nodes.get_mut(name).unwrap());
}

#[test]
fn the_node_with_most_left_of_what_it_has_least_of_is_chosen() {
    assert_eq!(by(Policy::MostFree).outcome(), "clone 9000 to a/600");
    let busy: [(&str, Change); 6] = [
        ("memory", |scene| node(scene, "a", |node| node.used_memory = 8 * GIB)),
        ("load", |scene| node(scene, "a", |node| node.cpu_load = 500)),
        ("storage", |scene| node(scene, "a", |node| node.storages[0].avail = 300 * GIB)),
        ("memory in flight", |scene| scene.placed(claim("a", 610, 8, 0))),
        ("storage in flight", |scene| scene.placed(claim("a", 610, 0, 700))),
        ("cores in flight", |scene| scene.placed(Claim { cores: 8, ..claim("a", 610, 0, 0) })),
    ];
    for (what, change) in busy {
        assert_eq!(by(Policy::MostFree).with(change).outcome(), "clone 9001 to b/600", "{what}");
        assert_eq!(by(Policy::Ordered).with(change).outcome(), "clone 9000 to a/600", "{what}");
    }
    // The scarcest counts, not the sum: b has little memory and nothing else to do.
    let scene = by(Policy::MostFree).with(|scene| {
        node(scene, "a", |node| node.cpu_load = 500);
        node(scene, "b", |node| node.used_memory = 50 * GIB);
    });
    assert_eq!(scene.outcome(), "clone 9000 to a/600");
}

#[test]
fn machines_of_a_group_are_spread_while_another_node_has_room() {
    let of_group = |node: &str, vmid, group: &str| Claim { group: Some(group.into()), ..claim(node, vmid, 1, 0) };
    let spread = |claims: Vec<Claim>| {
        by(Policy::Spread).with(|scene| {
            scene.spec().placement.group = Some("web".into());
            claims.into_iter().for_each(|claim| scene.placed(claim));
        })
    };
    assert_eq!(spread(vec![]).outcome(), "clone 9000 to a/600");
    assert_eq!(spread(vec![of_group("a", 610, "web")]).outcome(), "clone 9001 to b/600");
    assert_eq!(spread(vec![of_group("a", 610, "db"), claim("a", 611, 1, 0)]).outcome(), "clone 9000 to a/600");
    let both = vec![of_group("a", 610, "web"), of_group("b", 611, "web")];
    assert_eq!(spread(both).outcome(), "clone 9000 to a/600");
    let full = spread(vec![of_group("a", 610, "web")]).with(|scene| node(scene, "b", |node| node.cpus = 1));
    assert_eq!(full.outcome(), "clone 9000 to a/600");
}

#[test]
fn only_the_nodes_that_the_spec_allows_are_chosen() {
    let only = |nodes: &[&str]| {
        Scene::new().with(|scene| scene.spec().placement.nodes = nodes.iter().map(|name| (*name).to_owned()).collect())
    };
    assert_eq!(only(&["b"]).outcome(), "clone 9001 to b/600");
    assert_eq!(only(&["a", "b"]).outcome(), "clone 9000 to a/600");
    let full = only(&["b"]).with(|scene| node(scene, "b", |node| node.cpus = 1));
    assert_eq!(full.outcome(), "wait NoNodeAvailable");
    let mut unknown = only(&["b", "z"]);
    let Step::Stall(reason) = unknown.settle() else { panic!() };
    assert_eq!(reason.message, "spec.placement.nodes: the cluster has no node \"z\"; it has a, b");
}

#[test]
fn disks_in_flight_count_on_their_storage_and_on_a_shared_one_from_every_node() {
    let scene = |shared: bool, on: &str, from: &str| {
        Scene::new().with(|scene| {
            for state in scene.sites[0].nodes.values_mut() {
                state.storages[0].shared = shared;
            }
            let disks = vec![ClaimedDisk { storage: Some(on.into()), bytes: 981 * GIB }];
            scene.placed(Claim { disks, ..claim(from, 610, 0, 0) });
        })
    };
    assert_eq!(scene(false, "local", "a").outcome(), "clone 9001 to b/600");
    assert_eq!(scene(false, "local", "b").outcome(), "clone 9000 to a/600");
    assert_eq!(scene(false, "other", "a").outcome(), "clone 9000 to a/600");
    assert_eq!(scene(true, "local", "b").outcome(), "wait NoNodeAvailable");
    assert_eq!(scene(true, "other", "b").outcome(), "clone 9000 to a/600");
}

#[test]
fn the_storage_that_the_spec_names_is_used_and_has_to_have_room() {
    let on_fast = |avail: u64| {
        Scene::new().with(|scene| {
            scene.spec().storage = Some("fast".into());
            let fast = StorageState {
                name: "fast".into(),
                active: true,
                total: 100 * GIB,
                avail: avail * GIB,
                ..StorageState::default()
            };
            node(scene, "b", |node| node.storages.push(fast));
        })
    };
    let mut scene = on_fast(50);
    assert_eq!(word(&scene.settle()), "clone 9001 to b/600 on fast");
    assert_eq!(scene.recorded.intent.unwrap().storage.as_deref(), Some("fast"));
    let mut full = on_fast(19);
    assert_eq!(word(&full.settle()), "wait NoNodeAvailable");
    let told: Vec<_> = full.recorded.attempts.iter().map(|attempt| attempt.reason.message.as_str()).collect();
    assert_eq!(told, ["storage fast is not available", "19 GiB free on fast, 20 GiB asked for"]);
}

#[test]
fn a_linked_clone_is_asked_for_as_such() {
    assert_eq!(Scene::new().with(|scene| scene.spec().linked = true).outcome(), "clone 9000 to a/600, linked");
}

#[test]
fn a_template_that_is_named_itself_is_found_and_gets_a_vmid_of_the_fallback_range() {
    let source = |template: TemplateRef, node: Option<&str>| {
        Scene::new().with(|scene| scene.spec().source = Source::Template { template, node: node.map(str::to_owned) })
    };
    assert_eq!(source(TemplateRef::Vmid(9001), None).outcome(), "clone 9001 to b/700");
    assert_eq!(source(TemplateRef::Vmid(9001), Some("a")).outcome(), "wait NoNodeAvailable");
    assert_eq!(source(TemplateRef::Name("debian".into()), Some("b")).outcome(), "clone 9001 to b/700");
    assert_eq!(source(TemplateRef::Vmid(600), None).outcome(), "wait NoNodeAvailable");
    assert_eq!(source(TemplateRef::Vmid(9001), Some("z")).outcome(), "stall UnknownNode");
}
