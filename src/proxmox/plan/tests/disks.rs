//! Disks beside the one that a machine boots from.

use super::build::*;
use crate::proxmox::{inventory::StorageState, outcome, plan::*, wire::VmConfig};

const DATA: &str = "local:vm-600-disk-1";

fn here() -> Place {
    place("a", 600)
}

fn disk(gib: u64) -> ExtraDisk {
    ExtraDisk { bytes: gib * GIB, ..ExtraDisk::default() }
}

/// A machine that runs with these values, and whose spec names a disk `data` of 10 GiB.
fn kept(changes: &[(&str, &str)]) -> Scene {
    Scene::at_stage(Stage::Established)
        .machine(here(), changed(&finished_config(600), changes), Power::Running)
        .asking(|spec| drop(spec.disks.insert("data".into(), disk(10))))
}

/// The same with other values in force than its next boot brings.
fn waiting(next: &[(&str, &str)], current: &[(&str, &str)]) -> Scene {
    kept(next).with(|scene| {
        let Some(Sight::Present(machine)) = scene.machines.get_mut(&here()) else { panic!() };
        machine.current = changed(&finished_config(600), current);
    })
}

fn attached() -> String {
    format!("{DATA},serial=data,size=10G")
}

fn known(key: Option<&str>, volume: Option<&str>, delete: bool) -> KnownDisk {
    let text = |text: &str| text.to_owned();
    KnownDisk { name: "data".into(), key: key.map(text), volume: volume.map(text), delete }
}

fn knowing(scene: Scene, disk: KnownDisk) -> Scene {
    scene.with(|scene| scene.recorded.disks = vec![disk])
}

fn unnamed(scene: Scene) -> Scene {
    scene.asking(|spec| spec.disks.clear())
}

#[test]
fn a_disk_that_nobody_gave_a_storage_is_not_forgotten_where_there_is_none_to_take() {
    let bare = changed(&finished_config(600), &[("boot", ""), ("scsi0", "")]);
    let mut scene = Scene::at_stage(Stage::Established).machine(here(), bare, Power::Running).asking(|spec| {
        (spec.disk_bytes, spec.cloud_init) = (None, None);
        spec.disks.insert("data".into(), disk(10));
    });
    let Step::Stall(reason) = scene.settle() else { panic!("{:?}", scene.next()) };
    assert_eq!(reason.word, "StorageNotNamed");
    assert!(reason.message.starts_with("spec.disks[data].storage: name one"), "{reason:?}");
}

#[test]
fn a_disk_is_recorded_before_it_is_made_and_made_with_its_name_as_its_serial_number() {
    let mut scene = kept(&[]);
    let Step::Record(next) = scene.next() else { panic!("{:?}", scene.next()) };
    assert_eq!(next.disks, [known(None, None, false)]);
    assert_eq!(word(&scene.settle()), "disk a/600 data attach scsi1: local:10,serial=data");
    // Found, it is recorded where it is.
    let mut there = knowing(kept(&[("scsi1", &attached())]), known(None, None, false));
    assert_eq!(word(&there.settle()), "rest");
    assert_eq!(there.recorded.disks, [known(Some("scsi1"), Some(DATA), false)]);
    // After a lost status, or when the template brought it, it is known by its serial number.
    assert_eq!(kept(&[("scsi4", &attached())]).outcome(), "rest");
}

#[test]
fn a_repeated_change_carries_the_digest_of_what_it_was_computed_from() {
    let mut scene = kept(&[("digest", "abc")]);
    let Step::Act(Action::Disk { digest, .. }) = scene.settle() else { panic!() };
    assert_eq!(digest.as_deref(), Some("abc"));
}

#[test]
fn disks_are_made_before_the_first_boot_one_after_the_other() {
    let mut scene =
        Scene::at_stage(Stage::Creating).machine(here(), finished_config(600), Power::Stopped).asking(|spec| {
            spec.disks.insert("data".into(), disk(10));
            spec.disks.insert("logs".into(), ExtraDisk { storage: Some("slow".into()), ..disk(1) });
        });
    let slow = StorageState { name: "slow".into(), ..scene.sites[0].nodes["a"].storages[0].clone() };
    scene.sites[0].nodes.get_mut("a").unwrap().storages.push(slow);
    assert_eq!(word(&scene.settle()), "disk a/600 data attach scsi1: local:10,serial=data");
    let mut one = scene.machine(here(), changed(&finished_config(600), &[("scsi1", &attached())]), Power::Stopped);
    assert_eq!(word(&one.settle()), "disk a/600 logs attach scsi2: slow:1,serial=logs");
    let both = [("scsi1", attached()), ("scsi2", "slow:vm-600-disk-0,serial=logs,size=1G".to_owned())];
    let both = both.each_ref().map(|(key, value)| (*key, value.as_str()));
    let two = one.machine(here(), changed(&finished_config(600), &both), Power::Stopped);
    assert_eq!(two.outcome(), "start a/600");
}

#[test]
fn the_slot_is_a_free_one_on_the_bus_of_the_boot_disk_and_never_the_first() {
    let boots_from = |key: &str| {
        let disk = "local:vm-disk-0,size=20G";
        kept(&[("scsi0", ""), ("boot", &format!("order={key}")), (key, disk)]).outcome()
    };
    assert!(boots_from("virtio0").contains("attach virtio1:"));
    assert!(boots_from("sata0").contains("attach sata1:"));
    assert!(boots_from("ide0").contains("attach sata1:"));
    assert!(boots_from("scsi3").contains("attach scsi1:"));
    assert!(kept(&[("scsi1", "theirs:1,size=1G")]).outcome().contains("attach scsi2:"));
    // One that is in use until the next boot is not free.
    assert!(waiting(&[], &[("scsi1", "theirs:1,size=1G")]).outcome().contains("attach scsi2:"));
    let full: Vec<_> = (1..=5).map(|slot| (format!("sata{slot}"), "theirs:1")).collect();
    let mut full: Vec<_> = full.iter().map(|(key, value)| (key.as_str(), *value)).collect();
    full.extend([("scsi0", ""), ("boot", "order=sata0"), ("sata0", "local:vm-disk-0,size=20G")]);
    assert_eq!(kept(&full).outcome(), "stall NoDiskSlot");
}

#[test]
fn options_are_set_where_they_differ_and_all_else_of_the_line_stays() {
    let set = |line: &str, change: fn(&mut ExtraDisk)| {
        let line = format!("{DATA},{line},serial=data,size=10G");
        let mut scene = knowing(
            kept(&[("scsi1", &line), ("scsihw", "virtio-scsi-single")]),
            known(Some("scsi1"), Some(DATA), false),
        )
        .asking(|spec| change(spec.disks.get_mut("data").unwrap()));
        match scene.settle() {
            Step::Act(Action::Configure { set, digest, .. }) => {
                assert_eq!(digest, None, "of the config, if it has one");
                set.0.into_iter().map(|(key, value)| format!("{key}: {value}")).collect::<Vec<_>>().join(" ")
            }
            step => word(&step),
        }
    };
    let line = |options: &str| format!("scsi1: {DATA},{options}");
    assert_eq!(set("cache=none", |_| {}), "rest");
    assert_eq!(set("cache=none", |disk| disk.ssd = Some(true)), line("cache=none,serial=data,size=10G,ssd=1"));
    assert_eq!(set("ssd=1", |disk| disk.ssd = Some(true)), "rest");
    assert_eq!(set("discard=on", |disk| disk.discard = Some(false)), line("discard=ignore,serial=data,size=10G"));
    assert_eq!(set("cache=none", |disk| disk.discard = Some(false)), "rest");
    assert_eq!(set("cache=none", |disk| disk.backup = Some(true)), "rest");
    assert_eq!(set("cache=none", |disk| disk.backup = Some(false)), line("backup=0,cache=none,serial=data,size=10G"));
    assert_eq!(set("iothread=0", |disk| disk.io_thread = Some(true)), line("iothread=1,serial=data,size=10G"));
}

#[test]
fn an_option_that_the_slot_does_not_have_is_refused_by_its_field() {
    let told = |changes: &[(&str, &str)], change: fn(&mut ExtraDisk)| {
        let mut scene = kept(changes).asking(|spec| change(spec.disks.get_mut("data").unwrap()));
        match scene.settle() {
            Step::Stall(reason) => reason.message,
            step => word(&step),
        }
    };
    let virtio = [("scsi0", ""), ("boot", "order=virtio0"), ("virtio0", "local:vm-disk-0,size=20G")];
    assert!(told(&virtio, |disk| disk.ssd = Some(true)).starts_with("spec.disks[data].ssd: "));
    assert!(told(&virtio, |disk| disk.io_thread = Some(true)).ends_with("iothread=1,serial=data"));
    assert!(told(&[], |disk| disk.io_thread = Some(true)).starts_with("spec.disks[data].ioThread: "));
    assert!(told(&[], |disk| disk.ssd = Some(true)).ends_with("serial=data,ssd=1"));
}

#[test]
fn a_lost_serial_number_is_put_back_and_a_moved_volume_is_followed() {
    let bare = format!("{DATA},size=10G");
    let mut scene = knowing(kept(&[("scsi5", &bare)]), known(Some("scsi1"), Some(DATA), false));
    assert_eq!(word(&scene.settle()), "configure a/600 scsi5");
    let moved = "slow:vm-600-disk-7,serial=data,size=10G";
    let mut scene = knowing(kept(&[("scsi1", moved)]), known(Some("scsi1"), Some(DATA), false));
    assert_eq!(word(&scene.settle()), "rest");
    assert_eq!(scene.recorded.disks, [known(Some("scsi1"), Some("slow:vm-600-disk-7"), false)]);
    // The disk that it boots from is no other disk, whatever its serial number.
    let boot = "local:vm-disk-0,serial=data,size=20G";
    assert!(kept(&[("scsi0", boot)]).outcome().contains("attach scsi1: local:10"));
}

#[test]
fn a_disk_grows_once_it_is_attached_and_never_shrinks() {
    let grown = |gib| kept(&[("scsi1", &attached())]).asking(|spec| drop(spec.disks.insert("data".into(), disk(gib))));
    assert_eq!(grown(11).outcome(), "resize a/600 scsi1 11G");
    assert_eq!(grown(9).outcome(), "rest");
    let later = waiting(&[("sata1", &attached())], &[]);
    let later = later.asking(|spec| drop(spec.disks.insert("data".into(), disk(11))));
    assert_eq!(later.outcome(), "rest, reboot for sata1");
}

#[test]
fn a_disk_that_is_named_no_more_is_detached_and_its_volume_kept_and_told() {
    let there = knowing(unnamed(kept(&[("scsi1", &attached())])), known(Some("scsi1"), Some(DATA), false));
    assert_eq!(there.outcome(), "disk a/600 data detach scsi1");
    let mut detached = knowing(unnamed(kept(&[("unused0", DATA)])), known(Some("scsi1"), Some(DATA), false));
    assert_eq!(word(&detached.settle()), "rest");
    assert_eq!(detached.recorded.disks, [known(None, Some(DATA), false)]);
    // Named again, it is attached again, with its data.
    let again = kept(&[("unused0", DATA)]).with(|scene| scene.recorded.disks = detached.recorded.disks.clone());
    assert_eq!(again.clone().outcome(), format!("disk a/600 data attach scsi1: {DATA},serial=data"));
    let elsewhere = again.asking(|spec| spec.disks.get_mut("data").unwrap().storage = Some("slow".into()));
    assert_eq!(elsewhere.outcome(), "stall DiskElsewhere");
    // Somebody removed the volume.
    let mut gone = knowing(unnamed(kept(&[])), known(None, Some(DATA), false));
    assert_eq!(word(&gone.settle()), "rest");
    assert_eq!(gone.recorded.disks, []);
}

#[test]
fn a_volume_is_removed_only_where_the_spec_said_so_while_it_named_the_disk() {
    let mut scene = kept(&[("scsi1", &attached())]).asking(|spec| spec.disks.get_mut("data").unwrap().delete = true);
    assert_eq!(word(&scene.settle()), "rest");
    assert!(scene.recorded.disks[0].delete);
    let going = unnamed(scene);
    assert_eq!(going.clone().outcome(), "disk a/600 data detach scsi1");
    let config = |changes: &[(&str, &str)]| changed(&finished_config(600), changes);
    let detached = going.clone().machine(here(), config(&[("unused3", DATA), ("unused0", "theirs:1")]), Power::Running);
    assert_eq!(detached.outcome(), "disk a/600 data remove unused3");
    let mut done = going.machine(here(), config(&[("unused0", "theirs:1")]), Power::Running);
    assert_eq!(word(&done.settle()), "rest");
    assert_eq!(done.recorded.disks, []);
}

#[test]
fn disks_that_the_spec_never_named_are_nobodys_business() {
    let theirs = [("scsi1", "theirs:1,size=1G,serial=other"), ("unused0", "theirs:2"), ("virtio3", "theirs:3,size=1G")];
    assert_eq!(unnamed(kept(&theirs)).outcome(), "rest");
}

#[test]
fn a_protected_machine_loses_no_disk() {
    let there = [("scsi1", attached()), ("protection", "1".to_owned())];
    let there = there.each_ref().map(|(key, value)| (*key, value.as_str()));
    let scene = knowing(unnamed(kept(&there)), known(Some("scsi1"), Some(DATA), true));
    assert_eq!(scene.outcome(), "stall Protected");
    let detached = [("unused0", DATA), ("protection", "1")];
    assert_eq!(knowing(unnamed(kept(&detached)), known(None, Some(DATA), true)).outcome(), "stall Protected");
    assert_eq!(knowing(unnamed(kept(&detached)), known(None, Some(DATA), false)).outcome(), "rest");
}

#[test]
fn a_disk_that_is_gone_is_missed_and_no_empty_one_takes_its_place() {
    let mut scene = knowing(kept(&[]), known(Some("scsi1"), Some(DATA), false));
    assert_eq!(word(&scene.settle()), "stall DiskMissing");
    assert_eq!(scene.recorded.disks, [known(None, Some(DATA), false)]);
    // Taken out of the spec once, it is forgotten.
    let mut forgotten = unnamed(scene);
    assert_eq!(word(&forgotten.settle()), "rest");
    assert_eq!(forgotten.recorded.disks, []);
    let anew = knowing(kept(&[]), known(Some("scsi1"), Some(DATA), false)).asking(|spec| spec.recreate = true);
    assert_eq!(anew.outcome(), "disk a/600 data attach scsi1: local:10,serial=data");
    // What never ran holds no data.
    let creating = Scene::at_stage(Stage::Creating)
        .machine(here(), finished_config(600), Power::Stopped)
        .asking(|spec| drop(spec.disks.insert("data".into(), disk(10))));
    let creating = knowing(creating, known(Some("scsi1"), Some(DATA), false));
    assert_eq!(creating.outcome(), "disk a/600 data attach scsi1: local:10,serial=data");
}

#[test]
fn what_cannot_be_plugged_while_it_runs_waits_for_the_next_boot() {
    assert_eq!(waiting(&[("sata1", &attached())], &[]).outcome(), "rest, reboot for sata1");
    let mut going = knowing(unnamed(waiting(&[], &[("sata1", &attached())])), known(Some("sata1"), Some(DATA), true));
    assert_eq!(word(&going.settle()), "rest, reboot for sata1");
    assert_eq!(going.recorded.disks, [known(None, Some(DATA), true)]);
    // Named again before that boot, it stays where it is.
    let again = going.asking(|spec| drop(spec.disks.insert("data".into(), disk(10))));
    assert_eq!(again.outcome(), format!("disk a/600 data attach sata1: {}", attached()));
    let options = waiting(&[("scsi1", &format!("{},ssd=1", attached()))], &[("scsi1", &attached())]);
    let options = options.asking(|spec| spec.disks.get_mut("data").unwrap().ssd = Some(true));
    assert_eq!(options.outcome(), "rest, reboot for scsi1");
}

#[test]
fn a_node_needs_room_for_all_disks_together_on_each_storage() {
    let asking = |gib: u64, storage: Option<&str>| {
        let storage = storage.map(str::to_owned);
        let disk = ExtraDisk { storage, ..disk(gib) };
        Scene::new().asking(|spec| drop(spec.disks.insert("data".into(), disk)))
    };
    let fast = |scene: Scene, avail: u64| {
        scene.with(|scene| {
            let node = scene.sites[0].nodes.get_mut("b").unwrap();
            let fast = StorageState { name: "fast".into(), avail: avail * GIB, ..node.storages[0].clone() };
            node.storages.push(fast);
        })
    };
    assert_eq!(asking(980, None).outcome(), "clone 9000 to a/600");
    assert_eq!(asking(981, None).outcome(), "wait NoNodeAvailable");
    assert_eq!(asking(10, Some("fast")).outcome(), "wait NoNodeAvailable");
    assert_eq!(fast(asking(10, Some("fast")), 10).outcome(), "clone 9001 to b/600");
    assert_eq!(fast(asking(10, Some("fast")), 9).outcome(), "wait NoNodeAvailable");
    // What others are having made counts.
    let claimed = |storage: &str| {
        fast(asking(10, Some("fast")), 15).with(|scene| {
            let disks = vec![ClaimedDisk { storage: Some(storage.into()), bytes: 6 * GIB }];
            scene.placed(Claim { disks, ..claim("b", 610, 1, 0) });
        })
    };
    assert_eq!(claimed("fast").outcome(), "wait NoNodeAvailable");
    assert_eq!(claimed("local").outcome(), "clone 9001 to b/600");
    // The exact figures of the node count, too.
    let mut exact = asking(500, None);
    let available = std::collections::BTreeMap::from([("local".to_owned(), 519 * GIB)]);
    exact.volumes.insert(here(), Volumes::Known(Stored { volumes: Vec::new(), available }));
    assert_eq!(exact.outcome(), "clone 9001 to b/600");
}

#[test]
fn a_new_disk_for_a_machine_that_was_made_waits_for_room_and_one_being_made_is_made_elsewhere() {
    let full =
        |scene: Scene| scene.with(|scene| scene.sites[0].nodes.get_mut("a").unwrap().storages[0].avail = 9 * GIB);
    assert_eq!(full(kept(&[])).outcome(), "wait NotEnoughStorage");
    let mut exact = kept(&[]);
    let available = std::collections::BTreeMap::from([("local".to_owned(), 9 * GIB)]);
    exact.volumes.insert(here(), Volumes::Known(Stored { volumes: Vec::new(), available }));
    assert_eq!(exact.outcome(), "wait NotEnoughStorage");
    let offline = kept(&[]).asking(|spec| spec.disks.get_mut("data").unwrap().storage = Some("fast".into()));
    assert_eq!(offline.outcome(), "wait StorageOffline");
    let creating = Scene::at_stage(Stage::Creating)
        .machine(here(), finished_config(600), Power::Stopped)
        .asking(|spec| drop(spec.disks.insert("data".into(), disk(10))));
    let mut creating = full(creating);
    creating.settle();
    let intent = creating.recorded.intent.unwrap();
    assert_eq!((intent.stage, intent.reason.unwrap().word.as_str()), (Stage::Abandoning, "NotEnoughStorage"));
}

#[test]
fn a_disk_that_cannot_be_made_sends_a_new_machine_to_the_next_node_and_is_tried_again_for_one_that_ran() {
    let failed = |stage, text: &str| {
        let task = upid("a", 1, "qmconfig", 600);
        let mut scene = Scene::at_stage(stage);
        scene.recorded.task = Some(Task { upid: task, node: "a".into(), action: TaskAction::Disk });
        let outcome = outcome::of_task(TaskAction::Disk, text);
        let change = DiskChange::Detach { key: "scsi1".into() };
        let action = Action::Disk { place: here(), name: "data".into(), change, digest: None };
        let step = failed_action(false, &scene.recorded, &action, outcome, at(0));
        match &step {
            Step::Record(next) => format!("{:?}", next.intent.as_ref().unwrap().stage),
            step => word(step),
        }
    };
    let full = "lvcreate 'pve/vm-600-disk-1' error: insufficient free space";
    assert_eq!(failed(Stage::Creating, full), "Abandoning");
    assert_eq!(failed(Stage::Established, full), "retry DiskFailed");
    assert_eq!(failed(Stage::Established, "VM is locked (backup)"), "retry Locked");
    assert_eq!(failed(Stage::Established, "scsi1: hotplug problem - error unplugging scsi1"), "retry WaitsForBoot");
    assert_eq!(failed(Stage::Established, "checksum mismatch (file change by other user?)"), "retry ChangedMeanwhile");
}

#[test]
fn nothing_of_disks_is_changed_on_terms_that_are_refused() {
    let refused = kept(&[]).with(|scene| scene.terms().refusal = Some(Reason::new("NotAllowed", "too large")));
    assert_eq!(refused.outcome(), "stall NotAllowed");
}

#[test]
fn a_machine_with_a_boot_disk_alone_is_as_it_was() {
    let config: VmConfig = finished_config(600);
    let scene = Scene::at_stage(Stage::Established).machine(here(), config, Power::Running);
    assert_eq!(scene.outcome(), "rest");
}
