//! Where a new machine goes.

use std::sync::Arc;

use super::build::*;
use crate::proxmox::{
    inventory::{GuestKind, Reach, SiteError, SiteState, VmDetails},
    plan::*,
    wire::Vmid,
};

/// A change of the cluster's state.
type Change = fn(&mut SiteState);

/// A foreign machine.
fn guest(site: &mut SiteState, node: &str, vmid: Vmid, memory_gib: u64) {
    let mut entry = entry(node, &config(&[("name", "theirs")]));
    entry.max_memory = memory_gib * GIB;
    site.vms.insert(vmid, entry);
}

fn details(site: &mut SiteState, vmid: Vmid) -> &mut VmDetails {
    Arc::make_mut(site.vms.get_mut(&vmid).unwrap().details.as_mut().unwrap())
}

#[test]
fn the_first_node_of_the_list_that_can_take_it_is_chosen() {
    let skips: &[(&str, &str, Change)] = &[
        ("NodeOffline", "offline", |site| site.nodes.get_mut("a").unwrap().reach = Reach::Offline),
        ("NodeUnreachable", "no answer", |site| {
            site.nodes.get_mut("a").unwrap().reach = Reach::Unknown("no answer".into());
        }),
        ("NoTemplate", "no template with VMID 9000", |site| {
            site.vms.remove(&9000);
        }),
        ("NoTemplate", "no template with VMID 9000", |site| site.vms.get_mut(&9000).unwrap().template = false),
        ("NoTemplate", "no template with VMID 9000", |site| {
            site.vms.get_mut(&9000).unwrap().node = Some("b".into());
        }),
        ("NoTemplate", "template 9000 has no boot disk", |site| details(site, 9000).boot_storage = None),
        ("NoCloudInitDrive", "template 9000 has no cloud-init drive, which spec.cloudInit needs", |site| {
            details(site, 9000).has_cloudinit = false;
        }),
        ("DiskTooSmall", "the disk of template 9000 has 21 GiB, more than spec.disk.size", |site| {
            details(site, 9000).boot_disk_size = Some(21 * GIB);
        }),
        ("NotEnoughCpus", "has 1 CPUs, 2 are asked for", |site| site.nodes.get_mut("a").unwrap().cpus = 1),
        ("NotEnoughMemory", "1 GiB of memory free, 2 GiB asked for", |site| {
            site.nodes.get_mut("a").unwrap().used_memory = 63 * GIB;
        }),
        ("NotEnoughMemory", "1 GiB of memory free, 2 GiB asked for", |site| guest(site, "a", 500, 63)),
        ("StorageOffline", "storage local is not available", |site| {
            site.nodes.get_mut("a").unwrap().storages[0].active = false;
        }),
        ("NotEnoughStorage", "19 GiB free on local, 20 GiB asked for", |site| {
            site.nodes.get_mut("a").unwrap().storages[0].avail = 19 * GIB;
        }),
    ];
    assert_eq!(Scene::new().outcome(), "clone 9000 to a/600");
    for (reason, message, change) in skips {
        let mut scene = Scene::new();
        change(&mut scene.sites[0]);
        assert_eq!(word(&scene.settle()), "clone 9001 to b/600", "{reason}");
        let [skipped] = scene.recorded.attempts.as_slice() else { panic!("{:?}", scene.recorded.attempts) };
        assert_eq!((skipped.node.as_str(), skipped.outcome), ("a", AttemptOutcome::Skipped));
        assert_eq!((skipped.reason.word.as_str(), skipped.reason.message.as_str()), (*reason, *message));
    }
}

#[test]
fn a_cordoned_node_takes_no_new_machine() {
    let scene = Scene::new().with(|scene| scene.fleet().nodes[0].cordoned = true);
    assert_eq!(scene.outcome(), "clone 9001 to b/600");
}

#[test]
fn a_template_is_found_by_its_number_its_name_or_its_tag_and_never_guessed() {
    let by = |template: TemplateRef| {
        Scene::new().with(|scene| {
            scene.fleet().nodes.truncate(1);
            scene.fleet().nodes[0].templates.insert("debian".into(), template);
        })
    };
    let tag = |scene: &mut Scene| scene.sites[0].vms.get_mut(&9000).unwrap().tags = vec!["debian-13".into()];
    assert_eq!(by(TemplateRef::Name("debian".into())).outcome(), "clone 9000 to a/600");
    assert_eq!(by(TemplateRef::Tag("debian-13".into())).with(tag).outcome(), "clone 9000 to a/600");
    assert_eq!(by(TemplateRef::Tag("debian-13".into())).outcome(), "wait NoNodeAvailable");
    let twice = by(TemplateRef::Name("debian".into())).with(|scene| {
        scene.sites[0].vms.insert(9005, entry("a", &template_config()));
    });
    let mut twice = twice;
    assert_eq!(word(&twice.settle()), "wait NoNodeAvailable");
    assert_eq!(twice.recorded.attempts[0].reason.message, "more than one template named debian: [9000, 9005]");
}

#[test]
fn what_is_in_flight_and_the_reserve_count() {
    let claim = |node: &str, vmid, memory: u64, disk: u64| {
        Scene::new().with(|scene| {
            scene.placed(self::claim(node, vmid, memory, disk));
        })
    };
    assert_eq!(claim("a", 600, 62, 0).outcome(), "clone 9000 to a/601");
    assert_eq!(claim("a", 600, 63, 0).outcome(), "clone 9001 to b/601");
    assert_eq!(claim("b", 600, 63, 0).outcome(), "clone 9000 to a/601");
    assert_eq!(claim("a", 600, 1, 981).outcome(), "clone 9001 to b/601");
    // Once it is listed it is not counted twice.
    let listed = claim("a", 600, 40, 0).with(|scene| guest(&mut scene.sites[0], "a", 600, 40));
    assert_eq!(listed.outcome(), "clone 9000 to a/601");
    let reserve = |memory: u64, storage: u64| {
        Scene::new().with(|scene| {
            scene.fleet().reserve_memory = memory * GIB;
            scene.fleet().reserve_storage = storage * GIB;
        })
    };
    assert_eq!(reserve(62, 980).outcome(), "clone 9000 to a/600");
    assert_eq!(reserve(63, 0).outcome(), "wait NoNodeAvailable");
    assert_eq!(reserve(0, 981).outcome(), "wait NoNodeAvailable");
}

#[test]
fn the_nodes_own_figure_of_its_storage_decides() {
    let scene = Scene::new().with(|scene| {
        let stored = Stored { volumes: vec![], available: [("local".to_owned(), 19 * GIB)].into() };
        scene.volumes.insert(place("a", 600), Volumes::Known(stored));
    });
    assert_eq!(scene.outcome(), "clone 9001 to b/600");
}

#[test]
fn nothing_is_chosen_without_quorum_or_before_the_inventory_was_read() {
    let stale = Scene::new().with(|scene| (scene.sites[0].quorate, scene.sites[0].stale) = (false, true));
    assert_eq!(stale.outcome(), "wait NoNodeAvailable");
    let never = Scene::new().with(|scene| (scene.sites[0].at, scene.sites[0].quorate) = (None, false));
    assert_eq!(never.outcome(), "wait ReadingInventory");
    let unread = |scene: &mut Scene, of: &[Vmid]| {
        for vmid in of {
            scene.sites[0].vms.get_mut(vmid).unwrap().details = None;
        }
    };
    assert_eq!(Scene::new().with(|scene| unread(scene, &[9000, 9001])).outcome(), "wait ReadingInventory");
    // One template that cannot be read does not keep the other nodes from being used.
    let unreadable = Scene::new().with(|scene| {
        unread(scene, &[9000]);
        scene.machines.insert(place("a", 9000), Sight::Unknown("595".into()));
    });
    assert_eq!(unreadable.outcome(), "clone 9001 to b/600");
    let not_yet = Scene::new().with(|scene| {
        unread(scene, &[9000]);
        scene.machines.insert(place("a", 9000), present(template_config(), Power::Stopped));
    });
    assert_eq!(not_yet.outcome(), "wait ReadingInventory");
}

#[test]
fn a_host_that_was_never_reached_keeps_nobody_waiting() {
    let scene = Scene::new().with(|scene| {
        let mut silent = site(1, &["c"]);
        silent.at = None;
        silent.error = Some(SiteError::Unreachable("no route to host".into()));
        silent.nodes.get_mut("c").unwrap().reach = Reach::Unknown("no route to host".into());
        scene.sites.push(silent);
    });
    assert_eq!(scene.outcome(), "clone 9000 to a/600");
}

#[test]
fn an_os_that_no_node_has_a_template_for_stalls() {
    let mut scene = Scene::new().with(|scene| scene.spec().source = Source::Os("plan9".into()));
    let Step::Stall(reason) = scene.settle() else { panic!() };
    assert_eq!(reason.word, "UnknownOS");
    assert_eq!(reason.message, "spec.os: the cluster has no template for \"plan9\"; it has debian");
}

#[test]
fn a_vmid_is_free_if_nobody_has_it_and_no_volume_is_left_of_it() {
    let take = |vmids: &[Vmid]| {
        Scene::new().with(|scene| vmids.iter().for_each(|vmid| guest(&mut scene.sites[0], "b", *vmid, 1)))
    };
    assert_eq!(take(&[600]).outcome(), "clone 9000 to a/601");
    assert_eq!(take(&[600, 602]).outcome(), "clone 9000 to a/601");
    assert_eq!(take(&[600, 601, 602, 603]).outcome(), "clone 9000 to a/700");
    assert_eq!(take(&[600, 601, 602, 603, 700, 701, 702]).outcome(), "wait NoNodeAvailable");
    let container = take(&[600]).with(|scene| {
        let entry = scene.sites[0].vms.get_mut(&600).unwrap();
        (entry.kind, entry.details) = (GuestKind::Lxc, None);
    });
    assert_eq!(container.outcome(), "clone 9000 to a/601");
    let claimed =
        Scene::new().with(|scene| [600, 601].into_iter().for_each(|vmid| scene.placed(self::claim("b", vmid, 0, 0))));
    assert_eq!(claimed.outcome(), "clone 9000 to a/602");
    let withheld = Scene::new().with(|scene| scene.withheld.extend([600, 602]));
    assert_eq!(withheld.outcome(), "clone 9000 to a/601");
    let considered = Scene::new().with(|scene| scene.other(Holding { candidate: Some(600), ..Holding::default() }));
    assert_eq!(considered.outcome(), "clone 9000 to a/601");
    let own = Scene::new().with(|scene| {
        scene.claims.put(&owner().uid, Holding { candidate: Some(600), ..Holding::default() });
    });
    assert_eq!(own.outcome(), "clone 9000 to a/600");
    assert_eq!(Scene::new().stored(place("a", 600), &["local:600/disk"]).outcome(), "clone 9000 to a/601");
    let unknown = Scene::new().with(|scene| {
        scene.volumes.insert(place("a", 600), Volumes::Unknown("storage nfs is not available".into()));
    });
    assert_eq!(unknown.outcome(), "clone 9001 to b/600");
}

#[test]
fn a_vmid_that_another_host_has_is_not_used_here_either() {
    let scene = Scene::new().with(|scene| {
        let mut other = site(1, &["c"]);
        guest(&mut other, "c", 600, 1);
        scene.sites.push(other);
    });
    assert_eq!(scene.outcome(), "clone 9000 to a/601");
}

fn failed(node: &str, vmid: Vmid, seconds: i64) -> Attempt {
    let reason = Reason::new("CloneFailed", "copy failed");
    Attempt { node: node.into(), vmid: Some(vmid), outcome: AttemptOutcome::Failed, reason, time: at(seconds) }
}

#[test]
fn a_node_that_failed_comes_after_those_that_did_not() {
    let after = |attempts: Vec<Attempt>, now: i64| {
        Scene::new().with(|scene| {
            scene.recorded.attempts = attempts;
            scene.now = at(now);
        })
    };
    assert_eq!(after(vec![failed("a", 600, 0)], 0).outcome(), "clone 9001 to b/601");
    let both = vec![failed("a", 600, 0), failed("b", 601, 5)];
    assert_eq!(after(both.clone(), 14).outcome(), "wait AllNodesFailed");
    assert_eq!(after(both, 15).outcome(), "clone 9000 to a/602");
    let often: Vec<_> = (0..10).flat_map(|_| [failed("a", 600, 0), failed("b", 601, 0)]).collect();
    assert_eq!(after(often.clone(), 299).outcome(), "wait AllNodesFailed");
    assert_eq!(after(often, 300).outcome(), "clone 9000 to a/602");
}

#[test]
fn a_freed_node_is_picked_up_while_the_others_pause() {
    let scene = Scene::new().with(|scene| {
        scene.recorded.attempts = (0..4).map(|at| failed("a", 600, at)).collect();
        scene.now = at(5);
    });
    let full = scene.clone().with(|scene| guest(&mut scene.sites[0], "b", 500, 63));
    assert_eq!(full.outcome(), "wait AllNodesFailed");
    assert_eq!(scene.outcome(), "clone 9001 to b/601");
}

#[test]
fn vmids_of_failed_attempts_are_used_again_only_when_no_other_is_left() {
    let scene = Scene::new().with(|scene| {
        scene.recorded.attempts = (600..604).chain(700..703).map(|vmid| failed("a", vmid, 0)).collect();
    });
    assert_eq!(scene.clone().outcome(), "clone 9001 to b/600");
    let one = scene.with(|scene| {
        scene.recorded.attempts.truncate(3);
        let place = place("b", 603);
        scene.recorded.leftovers = vec![Leftover { place, reason: String::new(), command: None, since: at(0) }];
    });
    assert_eq!(one.outcome(), "clone 9001 to b/700");
}

#[test]
fn more_nodes_than_attempts_are_kept_make_no_endless_record() {
    let names: Vec<String> = (0..30).map(|number| format!("n{number:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut scene = Scene::new().with(|scene| {
        *scene.fleet() = fleet(&names);
        scene.sites = vec![site(0, &names)];
        scene.sites[0].vms.retain(|vmid, _| *vmid == 9000);
        scene.sites[0].nodes.get_mut("n00").unwrap().cpus = 1;
    });
    assert_eq!(word(&scene.settle()), "wait NoNodeAvailable");
    assert_eq!(scene.recorded.attempts.len(), 10);
}

#[test]
fn with_more_failed_nodes_than_are_remembered_there_is_a_pause_all_the_same() {
    let scene = Scene::new().with(|scene| {
        scene.recorded.attempts = (0..20).map(|number| failed(&format!("x{number}"), 100, 0)).collect();
        scene.now = at(9);
    });
    assert_eq!(scene.clone().outcome(), "wait AllNodesFailed");
    assert_eq!(scene.with(|scene| scene.now = at(10)).outcome(), "clone 9000 to a/600");
}

#[test]
fn a_machine_of_an_earlier_object_of_this_name_is_neither_touched_nor_doubled() {
    let theirs = |vmid: Vmid| {
        let mark = Owner { uid: "uid-0".into(), ..owner() }.mark(600);
        let config = changed(&cloned_config(600), &[("description", &mark.line())]);
        Scene::new().machine(place("b", vmid), config, Power::Stopped)
    };
    assert_eq!(theirs(600).outcome(), "stall NameTaken");
    // A copy of it under another VMID says nothing.
    assert_eq!(theirs(601).outcome(), "clone 9000 to a/600");
    // Nor does a list that is from before its removal.
    assert_eq!(theirs(600).absent(place("b", 600)).outcome(), "clone 9000 to a/601");
}
