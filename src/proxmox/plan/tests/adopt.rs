//! Machines that were there before their object.

use super::build::*;
use crate::proxmox::{
    identity::Mark,
    inventory::{GuestKind, Reach},
    plan::*,
    wire::{Addresses, VmConfig, Vmid},
};

const VMID: Vmid = 500;

fn here() -> Place {
    place("a", VMID)
}

/// Somebody's machine.
fn theirs() -> VmConfig {
    config(&[
        ("name", "old"),
        ("cores", "8"),
        ("sockets", "2"),
        ("memory", "4096"),
        ("boot", "order=scsi0"),
        ("scsi0", "local:vm-500-disk-0,size=32G"),
        ("net0", "virtio=BC:24:11:00:00:05,bridge=vmbr0"),
        ("tags", "legacy"),
        ("description", "Ask Alice"),
        ("smbios1", "uuid=22222222-2222-3333-4444-555555555555"),
        ("digest", "abc"),
    ])
}

/// An object that wants it and names nothing of it.
fn wanting(dry_run: bool) -> Scene {
    Scene::new().asking(|spec| {
        *spec = MachineSpec {
            name: "web".into(),
            source: Source::Machine { place: here(), dry_run },
            power: PowerSpec { state: None, ..PowerSpec::default() },
            ..MachineSpec::default()
        };
    })
}

fn meeting(config: VmConfig, power: Power) -> Scene {
    wanting(false).machine(here(), config, power)
}

fn marked(changes: &[(&str, &str)]) -> VmConfig {
    let notes = format!("Ask Alice\n\n{}", owner().mark(VMID).line());
    changed(&changed(&theirs(), &[("description", &notes)]), changes)
}

fn adopted(changes: &[(&str, &str)], power: Power) -> Scene {
    meeting(marked(changes), power).with(|scene| {
        let stage = Scene::at_stage(Stage::Established).recorded.intent.unwrap();
        scene.recorded.intent = Some(Intent { place: here(), template: None, ..stage });
        scene.recorded.attempts_total = 1;
    })
}

#[test]
fn a_machine_that_differs_in_nothing_gets_a_mark_in_its_notes_and_no_more() {
    for power in [Power::Running, Power::Stopped, Power::Paused] {
        let mut scene = meeting(theirs(), power);
        let Step::Act(Action::Configure { place, set, delete, password: None, digest }) = scene.settle() else {
            panic!()
        };
        let notes = format!("Ask Alice\n\n{}", owner().mark(VMID).line());
        assert_eq!((place, delete.len(), digest.as_deref()), (here(), 0, Some("abc")));
        assert_eq!(set.0, [("description".to_owned(), notes)]);
        assert_eq!(scene.recorded.intent.as_ref().unwrap().stage, Stage::Adopting);
        let mut scene = scene.machine(here(), marked(&[]), power);
        assert!(word(&scene.settle()).starts_with("rest"), "{:?}", scene.next());
        assert_eq!(scene.recorded.intent.as_ref().unwrap().stage, Stage::Established);
        assert_eq!(scene.recorded.attempts[0].reason.word, "Adopted");
    }
}

#[test]
fn what_the_spec_names_is_shown_before_it_is_done() {
    let scene = wanting(true).machine(here(), theirs(), Power::Running);
    assert_eq!(scene.clone().outcome(), "preview a/500 ");
    let with_disk = changed(&theirs(), &[("scsi1", "local:vm-500-disk-1,serial=logs,size=1G")]);
    let mut scene = scene.machine(here(), with_disk, Power::Running).asking(|spec| {
        spec.cores = Some(4);
        spec.sockets = Some(2);
        spec.memory_mib = Some(2048);
        spec.disk_bytes = Some(40 * GIB);
        spec.description = Some("for Bob".into());
        spec.tags = vec!["legacy".into(), "web".into()];
        spec.cpu_type = Some("host".into());
        spec.on_boot = Some(true);
        spec.protection = Some(false);
        let nic = Nic { bridge: "vmbr1".into(), model: None, vlan: None, firewall: None, mac: None };
        spec.nics = [("net0".to_owned(), nic)].into();
        let disk = |bytes| ExtraDisk { bytes, discard: Some(true), ..ExtraDisk::default() };
        spec.disks = [("data".to_owned(), disk(5 * GIB)), ("logs".to_owned(), disk(GIB))].into();
        spec.power.state = Some(Power::Stopped);
        spec.pool = Some("shop".into());
    });
    let Step::Preview { place, differences, problem: None } = scene.settle() else { panic!("{:?}", scene.next()) };
    assert_eq!(place, here());
    let shown: Vec<_> = differences
        .iter()
        .map(|Difference { field, present, desired }| {
            format!("{field}: {} → {}", present.as_deref().unwrap_or("-"), desired.as_deref().unwrap_or("-"))
        })
        .collect();
    assert_eq!(
        shown,
        [
            "cores: 8 → 4",
            "cpuType: - → host",
            "description: Ask Alice → for Bob",
            "disk.size: 32Gi → 40Gi",
            "disks[data]: - → a new one of 5G",
            "disks[logs]: local:vm-500-disk-1,serial=logs,size=1G → local:vm-500-disk-1,discard=on,serial=logs,size=1G",
            "memory: 4Gi → 2Gi",
            "nics[net0]: virtio=BC:24:11:00:00:05,bridge=vmbr0 → virtio=BC:24:11:00:00:05,bridge=vmbr1",
            "onBoot: false → true",
            "pool: - → shop",
            "powerState: Running → Stopped",
            "tags: legacy → legacy, web",
        ]
    );
    assert_eq!(scene.recorded, Recorded::default(), "nothing is recorded, so nothing holds the object");
    scene.spec().source = Source::Machine { place: here(), dry_run: false };
    assert_eq!(word(&scene.settle()), "configure a/500 description");
}

#[test]
fn a_secret_is_never_shown() {
    let cloud_init = CloudInit {
        password: Some(Password { text: "secret".into(), version: "1".into() }),
        ssh_keys: vec!["ssh-ed25519 AAAA a@b".into()],
        user: Some("deploy".into()),
        ..CloudInit::default()
    };
    let scene = wanting(true).asking(|spec| spec.cloud_init = Some(cloud_init));
    let with_drive = changed(&theirs(), &[("ide2", "local:vm-500-cloudinit,media=cdrom")]);
    let mut scene = scene.machine(here(), with_drive, Power::Running);
    let Step::Preview { differences, .. } = scene.settle() else { panic!() };
    let hidden = |field: &str| Difference { field: field.into(), present: None, desired: None };
    assert!(differences.contains(&hidden("cloudInit.passwordSecretRef")), "{differences:?}");
    assert!(differences.contains(&hidden("cloudInit.sshKeys")), "{differences:?}");
    assert!(!format!("{differences:?}").contains("AAAA"));
    // Without a drive nothing of it reaches the guest.
    let scene = scene.machine(here(), theirs(), Power::Running);
    let told = scene.clone().outcome();
    assert!(told.ends_with("but NoCloudInitDrive"), "{told}");
    let scene = scene.asking(|spec| spec.source = Source::Machine { place: here(), dry_run: false });
    assert_eq!(scene.outcome(), "stall NoCloudInitDrive");
}

#[test]
fn a_disk_that_would_shrink_keeps_it_from_being_adopted() {
    let small = |dry_run| wanting(dry_run).asking(|spec| spec.disk_bytes = Some(20 * GIB));
    let told = small(true).machine(here(), theirs(), Power::Running).outcome();
    assert_eq!(told, "preview a/500 disk.size but DiskTooSmall");
    assert_eq!(small(false).machine(here(), theirs(), Power::Running).outcome(), "stall DiskTooSmall");
}

#[test]
fn what_is_not_to_be_had_is_refused_or_awaited() {
    let noted = |mark: Mark| meeting(changed(&theirs(), &[("description", &mark.line())]), Power::Running);
    let other = |owner: Owner| noted(owner.mark(VMID));
    let mark = || owner().mark(VMID);
    let mut template = wanting(false);
    template.spec().source = Source::Machine { place: place("a", TEMPLATE), dry_run: false };
    let template = template.machine(place("a", TEMPLATE), template_config(), Power::Stopped);
    let container = wanting(false).with(|scene| {
        let mut entry = entry("a", &config(&[]));
        (entry.kind, entry.details) = (GuestKind::Lxc, None);
        scene.sites[0].vms.insert(VMID, entry);
    });
    let held = |place: Place| {
        meeting(theirs(), Power::Running).with(|scene| {
            scene.placed(claim(&place.node, place.vmid, 1, 1));
        })
    };
    let left = meeting(theirs(), Power::Running).with(|scene| {
        scene.other(Holding { leftovers: vec![place("b", VMID)], ..Holding::default() });
    });
    let silent = wanting(false).with(|scene| {
        scene.machines.insert(here(), Sight::Unknown("595".into()));
        scene.sites[0].nodes.get_mut("a").unwrap().reach = Reach::Offline;
    });
    let unknown = wanting(false).asking(|spec| {
        spec.source = Source::Machine { place: place("z", VMID), dry_run: false };
    });
    let other_site = held(place("c", VMID)).with(|scene| scene.sites.push(site(1, &["c"])));
    for (what, scene, expected) in [
        ("another installation's", other(Owner { installation: "other".into(), ..owner() }), "stall AdoptionRefused"),
        ("another object's", other(Owner { name: "db".into(), ..owner() }), "stall AdoptionRefused"),
        ("another namespace's", other(Owner { namespace: "bank".into(), ..owner() }), "stall AdoptionRefused"),
        (
            "an earlier object's of this name",
            other(Owner { uid: "old".into(), ..owner() }),
            "configure a/500 description",
        ),
        ("a copy", noted(Mark { name: "db".into(), vmid: 600, ..mark() }), "configure a/500 description"),
        ("a template", template, "stall AdoptionRefused"),
        ("a container", container, "stall AdoptionRefused"),
        ("recorded by another", held(here()), "stall AdoptionRefused"),
        ("recorded by another and moved", held(place("b", VMID)), "stall AdoptionRefused"),
        ("of the same number on another host", other_site, "configure a/500 description"),
        ("left by another", left, "stall AdoptionRefused"),
        ("not there", wanting(false), "wait DependencyNotFound"),
        (
            "on another node",
            wanting(false).machine(place("b", VMID), theirs(), Power::Running),
            "configure b/500 description",
        ),
        ("on a node that is down", silent, "wait NodeUnreachable"),
        ("on a node that is none", unknown, "stall UnknownNode"),
        ("locked", meeting(changed(&theirs(), &[("lock", "backup")]), Power::Running), "wait Locked"),
    ] {
        assert_eq!(scene.outcome(), expected, "{what}");
    }
}

#[test]
fn the_terms_decide_before_anything_is_looked_at() {
    let refused = wanting(true).with(|scene| scene.terms().refusal = Some(Reason::new("NotAllowed", "no")));
    assert_eq!(word(&refused.next()), "stall NotAllowed");
    // Its own address is nobody else's.
    let own = meeting(theirs(), Power::Running).with(|scene| {
        scene.terms().addresses = Addresses { macs: ["BC:24:11:00:00:05".to_owned()].into(), ..Addresses::default() };
    });
    assert_eq!(own.outcome(), "configure a/500 description");
}

#[test]
fn who_was_faster_keeps_it() {
    let mut scene = meeting(theirs(), Power::Running);
    scene.settle();
    assert!(scene.recorded.intent.is_some());
    let mark = Owner { installation: "other".into(), ..owner() }.mark(VMID).line();
    let mut scene = scene.machine(here(), changed(&theirs(), &[("description", &mark)]), Power::Running);
    assert_eq!(word(&scene.settle()), "stall AdoptionRefused");
    assert_eq!(scene.recorded.intent, None);
    let mut gone = meeting(theirs(), Power::Running);
    gone.settle();
    assert_eq!(
        gone.absent(here()).with(|scene| drop(scene.sites[0].vms.remove(&VMID))).outcome(),
        "wait DependencyNotFound"
    );
}

#[test]
fn an_adopted_machine_is_kept_as_the_spec_says_and_otherwise_left_alone() {
    for power in [Power::Running, Power::Stopped, Power::Paused] {
        let told = adopted(&[], power).outcome();
        assert!(told.starts_with("rest"), "{power:?}: {told}");
    }
    assert_eq!(adopted(&[("cores", "1"), ("name", "x"), ("tags", "")], Power::Running).outcome(), "rest");
    let asked = adopted(&[], Power::Running).asking(|spec| spec.memory_mib = Some(2048));
    assert_eq!(asked.outcome(), "configure a/500 memory");
    let stopped = adopted(&[], Power::Stopped).asking(|spec| spec.power.state = Some(Power::Running));
    assert_eq!(stopped.outcome(), "start a/500");
    assert_eq!(adopted(&[("description", "")], Power::Running).outcome(), "stall NotOurs");
    assert_eq!(adopted(&[], Power::Running).absent(here()).outcome(), "stall Missing");
}

#[test]
fn a_restart_of_one_that_is_left_on_or_off_ends_with_it_running() {
    let asked = |notes: &str, power| {
        let notes = format!("{}\n{notes}", owner().mark(VMID).line());
        adopted(&[("description", notes.trim_end())], power).asking(|spec| spec.power.restart = Some("now".into()))
    };
    assert_eq!(asked("", Power::Running).outcome(), "configure a/500 description");
    let noted = crate::proxmox::restart::Restart { value: "now".into(), process: Some(PROCESS) }.to_string();
    assert_eq!(asked(&noted, Power::Running).outcome(), "shut down a/500");
    assert_eq!(asked(&noted, Power::Stopped).outcome(), "start a/500");
    // One that is off stays so, as the next start is as good.
    assert_eq!(asked("", Power::Stopped).outcome(), "configure a/500 description");
    let done = crate::proxmox::restart::Restart { value: "now".into(), process: None }.to_string();
    assert_eq!(asked(&done, Power::Stopped).outcome(), "rest stopped");
    let reboot = |power| {
        adopted(&[], power).asking(|spec| spec.power.reboot = true).with(|scene| {
            scene.recorded.reboot = Some(Reboot { changes: "memory=1".into(), process: PROCESS });
        })
    };
    assert_eq!(reboot(Power::Stopped).outcome(), "start a/500");
}

#[test]
fn an_adopted_machine_whose_status_was_lost_is_known_by_its_mark() {
    let lost = |scene: Scene| scene.with(|scene| scene.recorded = Recorded { lost: true, ..Recorded::default() });
    let mut scene = lost(adopted(&[], Power::Stopped));
    assert_eq!(word(&scene.settle()), "rest stopped");
    assert_eq!(scene.recorded.intent.unwrap().stage, Stage::Established);
    let retained = lost(adopted(&[("tags", "cloudfaster")], Power::Stopped));
    let retained = retained.with(|scene| scene.desired = Desired::LetGo { adopted: true });
    assert_eq!(retained.outcome(), "configure a/500 description", "its tags are its own");
}

#[test]
fn an_object_that_ends_while_it_adopts_leaves_what_it_has_not_marked() {
    let adopting = |config: VmConfig, desired: Desired| {
        let mut scene = meeting(theirs(), Power::Running);
        scene.settle();
        scene.machine(here(), config, Power::Running).with(|scene| scene.desired = desired)
    };
    let gone = || Desired::Gone { protection: None, adopted: true };
    let let_go = || Desired::LetGo { adopted: true };
    assert_eq!(adopting(theirs(), gone()).outcome(), "release");
    assert_eq!(adopting(theirs(), let_go()).outcome(), "release");
    assert_eq!(adopting(marked(&[]), gone()).outcome(), "stop a/500");
    assert_eq!(adopting(marked(&[]), let_go()).outcome(), "configure a/500 description");
}
