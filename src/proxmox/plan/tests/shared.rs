//! A template on a shared storage, cloned to another node: until its end the clone stands on the template's node.

use super::build::*;
use crate::proxmox::{inventory::TaskState, plan::*, wire::Vmid};

/// Only `a` has a template, and all storages are shared.
fn shared() -> Scene {
    Scene::new().with(|scene| {
        scene.sites[0].vms.remove(&9001);
        for node in scene.sites[0].nodes.values_mut() {
            node.storages[0].shared = true;
        }
        scene.fleet().nodes[1].templates.insert("debian".into(), TemplateRef::Vmid(TEMPLATE));
    })
}

/// Its place on `b` was chosen.
fn chosen() -> Scene {
    shared().with(|scene| {
        scene.recorded = Scene::at_stage(Stage::Creating).recorded;
        let intent = scene.recorded.intent.as_mut().unwrap();
        (intent.place, intent.template_node) = (place("b", 600), Some("a".into()));
    })
}

fn cloning(scene: &mut Scene) {
    scene.sites[0].tasks.insert(upid("a", 7, "qmclone", TEMPLATE), TaskState::Running);
}

fn stub() -> crate::proxmox::wire::VmConfig {
    config(&[("lock", "clone"), ("description", " qmclone temporary file")])
}

fn locked(vmid: Vmid) -> crate::proxmox::wire::VmConfig {
    changed(&cloned_config(vmid), &[("lock", "clone")])
}

#[test]
fn a_node_without_a_template_takes_that_of_another_one_if_all_of_it_is_shared() {
    let on_b = |scene: &mut Scene| scene.spec().placement.nodes = vec!["b".into()];
    let mut scene = shared().with(on_b);
    assert_eq!(word(&scene.settle()), "clone 9000 of a to b/600");
    assert_eq!(scene.recorded.intent.unwrap().template_node.as_deref(), Some("a"));
    assert_eq!(shared().outcome(), "clone 9000 to a/600");
    let of_local =
        shared().with(on_b).with(|scene| scene.sites[0].nodes.get_mut("b").unwrap().storages[0].shared = false);
    assert_eq!(of_local.outcome(), "wait NoNodeAvailable");
    // The drive for cloud-init is on a storage that only `a` has.
    let half = shared().with(on_b).with(|scene| {
        let config = changed(&template_config(), &[("ide2", "other:vm-9000-cloudinit,media=cdrom")]);
        scene.sites[0].vms.insert(TEMPLATE, entry("a", &config));
    });
    assert_eq!(half.outcome(), "wait NoNodeAvailable");
    let to_local = shared().with(on_b).with(|scene| {
        scene.spec().storage = Some("own".into());
        let node = scene.sites[0].nodes.get_mut("b").unwrap();
        let own =
            crate::proxmox::inventory::StorageState { name: "own".into(), shared: false, ..node.storages[0].clone() };
        node.storages.push(own);
    });
    assert_eq!(to_local.outcome(), "wait NoNodeAvailable");
}

#[test]
fn a_clone_whose_task_is_not_known_is_awaited_where_it_stands_and_followed() {
    for config in [stub(), locked(600)] {
        let mut scene = chosen().with(cloning).machine(place("a", 600), config, Power::Stopped);
        assert_eq!(word(&scene.settle()), "wait Cloning");
        assert_eq!(scene.recorded.intent.as_ref().unwrap().place, place("a", 600));
        // It has ended: the machine stands on its own node.
        scene.sites[0].tasks.clear();
        scene.sites[0].vms.remove(&600);
        scene.machines.clear();
        let mut scene = scene.machine(place("b", 600), cloned_config(600), Power::Stopped);
        assert!(word(&scene.settle()).starts_with("configure b/600"));
        assert_eq!(scene.recorded.intent.unwrap().place, place("b", 600));
    }
}

#[test]
fn nothing_is_cloned_again_while_the_list_shows_it_where_it_was() {
    let scene = chosen().with(|scene| scene.recorded.intent.as_mut().unwrap().place = place("a", 600));
    let left = scene.clone().machine(place("a", 600), locked(600), Power::Stopped).absent(place("a", 600));
    assert_eq!(left.outcome(), "wait Busy");
    let mut gone = scene;
    assert_eq!(word(&gone.settle()), "clone 9000 of a to b/601");
}

#[test]
fn a_deleted_object_takes_its_clone_with_it_wherever_it_stands() {
    let running = chosen().task("a", TaskAction::Clone, "qmclone", TEMPLATE, TaskSight::Running(None)).deleted();
    assert_eq!(running.outcome(), "stop Clone on a");
    let unknown = chosen().with(cloning).machine(place("a", 600), stub(), Power::Stopped).deleted();
    assert_eq!(unknown.outcome(), "wait Busy");
    let ended = chosen().machine(place("b", 600), cloned_config(600), Power::Stopped).deleted();
    assert_eq!(ended.outcome(), "destroy b/600");
    assert_eq!(chosen().deleted().outcome(), "release");
}

#[test]
fn what_others_have_under_the_vmid_on_the_templates_node_is_not_ours() {
    let foreign = chosen().machine(place("a", 600), config(&[("name", "theirs")]), Power::Stopped);
    let mut scene = foreign;
    assert!(word(&scene.settle()).ends_with("to a/601"), "{:?}", scene.recorded);
}
