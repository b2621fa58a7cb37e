//! What the administrator refuses is neither made nor changed, and what was made before is left alone.

use super::build::*;
use crate::proxmox::{
    plan::*,
    wire::{Addresses, Vmid},
};

const MAC: &str = "BC:24:11:00:00:01";

fn refuse(scene: &mut Scene) {
    scene.terms().refusal = Some(Reason::new("NotAllowed", "spec.cores: at most 1"));
}

fn asks_for_mac(scene: &mut Scene) {
    scene.terms().addresses = Addresses { macs: [MAC.to_owned()].into(), ..Addresses::default() };
}

/// A machine as the spec says, with a network card.
fn running(vmid: Vmid, changes: &[(&str, &str)]) -> Scene {
    let config = changed(&finished_config(vmid), &[("net0", &format!("virtio={MAC},bridge=vmbr0"))]);
    Scene::at_stage(Stage::Established).machine(place("a", vmid), changed(&config, changes), Power::Running)
}

#[test]
fn what_is_refused_gets_no_place() {
    let mut scene = Scene::new().with(refuse);
    assert_eq!(word(&scene.settle()), "stall NotAllowed");
    assert_eq!(scene.recorded, Recorded::default());
}

#[test]
fn a_clone_that_is_refused_meanwhile_is_not_begun() {
    let scene = Scene::at_stage(Stage::Creating).absent(place("a", 600));
    assert_eq!(scene.clone().outcome(), "clone 9000 to a/600");
    assert_eq!(scene.with(refuse).outcome(), "stall NotAllowed");
}

#[test]
fn a_machine_that_was_made_before_is_kept_and_not_changed() {
    assert_eq!(running(600, &[]).with(refuse).outcome(), "rest");
    assert_eq!(running(600, &[("cores", "1")]).with(refuse).outcome(), "stall NotAllowed");
    assert_eq!(running(600, &[("scsi0", "local:d,size=10G")]).with(refuse).outcome(), "stall NotAllowed");
    let stopped = Scene::at_stage(Stage::Established).machine(place("a", 600), finished_config(600), Power::Stopped);
    assert_eq!(stopped.with(refuse).outcome(), "start a/600");
}

#[test]
fn what_is_refused_can_be_deleted() {
    let scene = running(600, &[]).with(refuse).deleted();
    assert_eq!(scene.outcome(), "stop a/600");
}

#[test]
fn a_namespace_has_no_more_machines_than_it_may() {
    let with = |most: usize, has: usize| {
        Scene::new().with(|scene| {
            scene.terms().most_machines = Some(most);
            (0..has).zip(700..).for_each(|(_, vmid)| scene.placed(claim("b", vmid, 0, 0)));
        })
    };
    assert_eq!(with(2, 1).outcome(), "clone 9000 to a/600");
    assert_eq!(with(2, 2).outcome(), "stall TooManyMachines");
    assert_eq!(with(0, 0).outcome(), "stall TooManyMachines");
    // It has its place already.
    let made = running(600, &[("cores", "1")]).with(|scene| scene.terms().most_machines = Some(0));
    assert_eq!(made.outcome(), "configure a/600 cores");
}

#[test]
fn an_address_that_another_machine_has_is_refused() {
    let theirs = |line: (&str, &str)| {
        Scene::new().with(|scene| {
            scene.sites[0].vms.insert(500, entry("b", &config(&[("name", "theirs"), line])));
        })
    };
    let scene = theirs(("net1", "e1000=bc:24:11:00:00:01,bridge=vmbr0"));
    assert_eq!(scene.clone().outcome(), "clone 9000 to a/600");
    assert_eq!(scene.with(asks_for_mac).outcome(), "stall AddressTaken");
    let ip = theirs(("ipconfig0", "ip=10.0.0.7/24,gw=10.0.0.1")).with(|scene| {
        scene.terms().addresses.ips.extend(["10.0.0.7".parse::<std::net::IpAddr>().unwrap()]);
    });
    assert_eq!(ip.outcome(), "stall AddressTaken");
    // What the machine has itself is no reason.
    assert_eq!(running(600, &[("cores", "1")]).with(asks_for_mac).outcome(), "configure a/600 cores");
    let changed = running(600, &[("net0", "virtio=BC:24:11:00:00:02,bridge=vmbr0"), ("cores", "1")]).with(|scene| {
        asks_for_mac(scene);
        scene.sites[0].vms.insert(500, entry("b", &config(&[("net0", &format!("virtio={MAC}"))])));
    });
    assert_eq!(changed.outcome(), "stall AddressTaken");
}

#[test]
fn an_address_that_another_object_asks_for_just_now_is_refused() {
    let scene = Scene::new().with(|scene| {
        asks_for_mac(scene);
        let addresses = Addresses { macs: [MAC.to_owned()].into(), ..Addresses::default() };
        scene.placed(Claim { addresses, ..claim("b", 601, 0, 0) });
    });
    assert_eq!(scene.outcome(), "stall AddressTaken");
}
