//! A machine is changed where it differs from the spec, and what waits for its next boot is told.

use super::build::*;
use crate::proxmox::{outcome::Outcome, plan::*, wire::VmConfig};

fn here() -> Place {
    place("a", 600)
}

fn established(config: VmConfig) -> Scene {
    Scene::at_stage(Stage::Established).machine(here(), config, Power::Running)
}

fn kept(changes: &[(&str, &str)]) -> Scene {
    established(changed(&finished_config(600), changes))
}

/// A machine that runs with other values than its next boot brings.
fn waiting(current: &[(&str, &str)]) -> Scene {
    let config = finished_config(600);
    kept(&[]).with(|scene| {
        let machine = Machine {
            current: changed(&config, current),
            config,
            power: Power::Running,
            process: Some(PROCESS),
            unprepared: Default::default(),
        };
        scene.machines.insert(here(), Sight::Present(Box::new(machine)));
    })
}

fn nic(bridge: &str) -> Nic {
    Nic { bridge: bridge.into(), model: None, vlan: None, firewall: None, mac: None }
}

/// What the plan comes to set and to delete.
fn set(mut scene: Scene) -> Vec<String> {
    match scene.settle() {
        Step::Act(Action::Configure { set, delete, .. }) => {
            let set = set.0.into_iter().map(|(key, value)| format!("{key}: {value}"));
            set.chain(delete.into_iter().map(|key| format!("-{key}"))).collect()
        }
        step => vec![word(&step)],
    }
}

#[test]
fn each_field_of_the_spec_is_set_where_it_differs_and_only_there() {
    /// A change of the spec, a config that fits it, and the key and value that are sent where it does not.
    type Case = (fn(&mut MachineSpec), &'static [(&'static str, &'static str)], &'static str, &'static str);
    let cases: [Case; 9] = [
        (|spec| spec.cores = Some(4), &[("cores", "4")], "cores", "4"),
        (|spec| spec.memory_mib = Some(4096), &[("memory", "4096")], "memory", "4096"),
        (|spec| spec.sockets = Some(2), &[("sockets", "2")], "sockets", "2"),
        (|spec| spec.cpu_type = Some("host".into()), &[("cpu", "host,flags=+aes")], "cpu", "host"),
        (|spec| spec.on_boot = Some(true), &[("onboot", "1")], "onboot", "1"),
        (|spec| spec.protection = Some(true), &[("protection", "1")], "protection", "1"),
        (|spec| spec.cloud_init.as_mut().unwrap().user = Some("bob".into()), &[("ciuser", "bob")], "ciuser", "bob"),
        (
            |spec| spec.cloud_init.as_mut().unwrap().dns_servers = vec!["1.1.1.1".into(), "::1".into()],
            &[("nameserver", "1.1.1.1 ::1")],
            "nameserver",
            "1.1.1.1 ::1",
        ),
        (
            |spec| spec.cloud_init.as_mut().unwrap().search_domain = Some("example.com".into()),
            &[("searchdomain", "example.com")],
            "searchdomain",
            "example.com",
        ),
    ];
    for (change, fits, key, value) in cases {
        assert_eq!(set(kept(&[]).asking(change)), [format!("{key}: {value}")]);
        assert_eq!(kept(fits).asking(change).outcome(), "rest", "{key}");
    }
    // What is off and was never said otherwise is off.
    let off: [fn(&mut MachineSpec); 2] = [|spec| spec.on_boot = Some(false), |spec| spec.protection = Some(false)];
    for change in off {
        assert_eq!(kept(&[]).asking(change).outcome(), "rest");
    }
    assert_eq!(set(kept(&[("onboot", "1")]).asking(|spec| spec.on_boot = Some(false))), ["onboot: 0"]);
}

#[test]
fn what_the_spec_does_not_name_is_left_as_it_is() {
    let theirs = [
        ("sockets", "4"),
        ("cpu", "host"),
        ("onboot", "1"),
        ("protection", "1"),
        ("net0", "virtio=BC:24:11:00:00:01,bridge=theirs"),
        ("ipconfig0", "ip=dhcp"),
        ("nameserver", "9.9.9.9"),
        ("balloon", "512"),
        ("tags", "cloudfaster;theirs"),
    ];
    assert_eq!(kept(&theirs).outcome(), "rest");
    let notes = format!("Ask Bob\n\n{}", owner().mark(600).line());
    assert_eq!(kept(&[("description", &notes)]).outcome(), "rest");
}

#[test]
fn the_rest_of_a_cpu_line_stays() {
    let scene = |cpu| kept(&[("cpu", cpu)]).asking(|spec| spec.cpu_type = Some("max".into()));
    assert_eq!(set(scene("host,flags=+aes,hidden=1")), ["cpu: max,flags=+aes,hidden=1"]);
    assert_eq!(set(scene("cputype=host,flags=+aes")), ["cpu: max,flags=+aes"]);
    assert_eq!(scene("flags=+aes,cputype=max").outcome(), "rest");
}

#[test]
fn a_network_card_keeps_its_address_and_what_is_not_said() {
    let old = "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1,rate=5,tag=10";
    let with = |change: fn(&mut Nic)| {
        let mut nic = nic("vmbr0");
        change(&mut nic);
        set(kept(&[("net0", old)]).asking(|spec| drop(spec.nics.insert("net0".into(), nic))))
    };
    assert_eq!(with(|_| {}), ["rest"]);
    let line = |line: &str| vec![format!("net0: {line}")];
    assert_eq!(
        with(|nic| nic.bridge = "vmbr1".into()),
        line("virtio=BC:24:11:00:00:01,bridge=vmbr1,firewall=1,rate=5,tag=10")
    );
    assert_eq!(with(|nic| nic.vlan = Some(10)), ["rest"]);
    assert_eq!(with(|nic| nic.vlan = Some(0)), line("virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1,rate=5"));
    assert_eq!(
        with(|nic| nic.firewall = Some(false)),
        line("virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=0,rate=5,tag=10")
    );
    assert_eq!(
        with(|nic| nic.model = Some("e1000".into())),
        line("e1000=BC:24:11:00:00:01,bridge=vmbr0,firewall=1,rate=5,tag=10")
    );
    assert_eq!(with(|nic| nic.mac = Some("bc:24:11:00:00:01".into())), ["rest"]);
    assert_eq!(
        with(|nic| nic.mac = Some("bc:24:11:00:00:02".into())),
        line("virtio=BC:24:11:00:00:02,bridge=vmbr0,firewall=1,rate=5,tag=10")
    );
    let long = kept(&[("net0", "model=virtio,macaddr=bc:24:11:00:00:01,bridge=vmbr0")]);
    assert_eq!(long.asking(|spec| drop(spec.nics.insert("net0".into(), nic("vmbr0")))).outcome(), "rest");
}

#[test]
fn a_card_that_the_spec_added_goes_when_it_is_named_no_more_and_no_other() {
    let mut added = kept(&[]).asking(|spec| drop(spec.nics.insert("net1".into(), nic("vmbr1"))));
    let Step::Record(next) = added.next() else { panic!("{:?}", added.next()) };
    assert_eq!(next.applied.nics, ["net1"]);
    assert_eq!(set(added.clone()), ["net1: virtio,bridge=vmbr1"]);
    added.settle();
    let line = [("net1", "virtio=BC:24:11:00:00:01,bridge=vmbr1"), ("ipconfig1", "ip=dhcp")];
    let there = added.machine(here(), changed(&finished_config(600), &line), Power::Running);
    assert_eq!(there.clone().outcome(), "rest");
    let unnamed = there.clone().asking(|spec| spec.nics.clear());
    assert_eq!(set(unnamed.clone()), ["-net1", "-ipconfig1"]);
    let mut gone = unnamed.clone().machine(here(), finished_config(600), Power::Running);
    assert_eq!(word(&gone.settle()), "rest");
    assert_eq!(gone.recorded.applied.nics, [""; 0]);
    // One of the template, which the spec only changed, stays.
    let named = kept(&line).asking(|spec| drop(spec.nics.insert("net1".into(), nic("vmbr1"))));
    assert_eq!(named.asking(|spec| spec.nics.clear()).outcome(), "rest");
}

#[test]
fn an_address_replaces_the_one_of_its_kind_with_its_gateway() {
    let scene = |old: &str, parts: &[(&str, &str)]| {
        let parts = parts.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        set(kept(&[("ipconfig0", old)]).asking(|spec| {
            spec.cloud_init.as_mut().unwrap().addresses.insert("ipconfig0".into(), parts);
        }))
    };
    let new = [("ip", "192.0.2.5/24"), ("gw", "192.0.2.1")];
    assert_eq!(scene("", &new), ["ipconfig0: gw=192.0.2.1,ip=192.0.2.5/24"]);
    assert_eq!(scene("ip=192.0.2.5/24,gw=192.0.2.1", &new), ["rest"]);
    assert_eq!(scene("ip=192.0.2.5/24,gw=192.0.2.1", &[("ip", "dhcp")]), ["ipconfig0: ip=dhcp"]);
    assert_eq!(scene("gw=192.0.2.1,ip=192.0.2.5/24,ip6=auto", &new), ["rest"]);
    assert_eq!(scene("ip=dhcp,ip6=auto", &new), ["ipconfig0: gw=192.0.2.1,ip=192.0.2.5/24,ip6=auto"]);
}

#[test]
fn cloud_init_needs_its_drive() {
    let none = [("ide2", "")];
    assert_eq!(kept(&none).outcome(), "rest");
    assert_eq!(kept(&none).asking(|spec| spec.cores = Some(4)).outcome(), "configure a/600 cores");
    let user = |spec: &mut MachineSpec| spec.cloud_init.as_mut().unwrap().user = Some("bob".into());
    assert_eq!(kept(&none).asking(user).outcome(), "stall NoCloudInitDrive");
}

#[test]
fn the_users_notes_stand_before_our_mark() {
    let line = owner().mark(600).line();
    let wanted = |text: &str| {
        let text = text.to_owned();
        move |spec: &mut MachineSpec| spec.description = Some(text)
    };
    assert_eq!(set(kept(&[]).asking(wanted("Ask Alice"))), [format!("description: Ask Alice\n\n{line}")]);
    let there = format!("Ask Alice\n\n{line}");
    assert_eq!(kept(&[("description", &there)]).asking(wanted("Ask Alice  \n")).outcome(), "rest");
    assert_eq!(set(kept(&[("description", &there)]).asking(wanted(""))), [format!("description: {line}")]);
}

#[test]
fn tags_are_those_of_the_spec_beside_those_of_others() {
    let asking = |tags: &[&str], there: &str, before: &[&str]| {
        let strings = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>();
        let scene = kept(&[("tags", there)]).asking(|spec| spec.tags = strings(tags));
        scene.with(|scene| scene.recorded.applied.tags = strings(before)).outcome()
    };
    assert_eq!(asking(&["web"], "cloudfaster;theirs", &[]), "tag a/600 cloudfaster;theirs;web");
    assert_eq!(asking(&["web"], "cloudfaster;theirs;web", &["web"]), "rest");
    assert_eq!(asking(&[], "cloudfaster;theirs;web", &["web"]), "tag a/600 cloudfaster;theirs");
    assert_eq!(asking(&[], "cloudfaster;theirs;web", &[]), "rest");
    // What was set is remembered, and a refusal of what the spec asks for is none of the kind that is overlooked.
    let tag = Action::Tag { place: here(), tags: "web".into(), ours: false, named: vec!["web".into()] };
    assert_eq!(succeeded(&kept(&[]).recorded, &tag).applied.tags, ["web"]);
    let refused = Outcome::Wait(Reason::new("Forbidden", "tags"));
    assert_eq!(word(&failed_action(false, &kept(&[]).recorded, &tag, refused, at(0))), "retry Forbidden");
}

#[test]
fn what_waits_for_a_reboot_is_told_and_waits_for_it() {
    let mut scene = waiting(&[("memory", "1024")]);
    let Step::Rest { pending, .. } = scene.settle() else { panic!() };
    let next = Pending { key: "memory".into(), current: Some("1024".into()), next: Some("2048".into()) };
    assert_eq!(pending, [next]);
    // What the spec does not name is nobody's business.
    assert_eq!(waiting(&[("vga", "std"), ("balloon", "1")]).outcome(), "rest");
}

#[test]
fn a_change_that_waits_restarts_the_machine_once_if_the_spec_says_so() {
    let reboots = |spec: &mut MachineSpec| spec.power.reboot = true;
    let mut scene = waiting(&[("memory", "1024")]).asking(reboots);
    assert_eq!(word(&scene.settle()), "shut down a/600");
    assert_eq!(scene.recorded.reboot.as_ref().unwrap().process, PROCESS);
    // The call was lost: the same process is asked again.
    assert_eq!(word(&scene.settle()), "shut down a/600");
    // Another process, and it waits all the same: a second restart would not help.
    let Some(Sight::Present(machine)) = scene.machines.get_mut(&here()) else { panic!() };
    machine.process = Some(PROCESS + 1);
    assert_eq!(word(&scene.settle()), "rest, reboot for memory");
    // It helped: that is forgotten, so that the same change is worth a restart again.
    let mut helped = kept(&[]).asking(reboots).with(|next| next.recorded = scene.recorded.clone());
    assert_eq!(word(&helped.settle()), "rest");
    assert_eq!(helped.recorded.reboot, None);
    // Standing still tells nothing.
    let mut still = kept(&[]).machine(here(), finished_config(600), Power::Stopped).asking(reboots);
    still.recorded.reboot = scene.recorded.reboot.clone();
    assert_eq!(word(&still.settle()), "start a/600");
    assert!(still.recorded.reboot.is_some());
}

#[test]
fn a_changed_login_waits_for_the_next_boot_and_never_restarts() {
    let mut scene = kept(&[]).asking(|spec| spec.power.reboot = true);
    let Some(Sight::Present(machine)) = scene.machines.get_mut(&here()) else { panic!() };
    for key in ["sshkeys", "cipassword", "ciuser", "cicustom"] {
        machine.unprepared.insert(key.into(), Some("old".into()));
    }
    let Step::Rest { pending, .. } = scene.settle() else { panic!("{:?}", scene.next()) };
    let told: Vec<_> = pending.iter().map(|change| (change.key.as_str(), change.current.as_deref())).collect();
    assert_eq!(told, [("cipassword", None), ("ciuser", Some("old")), ("sshkeys", None)]);
    assert!(pending.iter().all(|change| change.key == "ciuser" || change.next.is_none()), "a secret is told");
    let Some(Sight::Present(machine)) = scene.machines.get_mut(&here()) else { panic!() };
    machine.unprepared.insert("nameserver".into(), None);
    let mut servers = scene.asking(|spec| spec.cloud_init.as_mut().unwrap().dns_servers = vec!["1.1.1.1".into()]);
    let config = changed(&finished_config(600), &[("nameserver", "1.1.1.1")]);
    let Some(Sight::Present(machine)) = servers.machines.get_mut(&here()) else { panic!() };
    (machine.config, machine.current) = (config.clone(), config);
    assert_eq!(word(&servers.settle()), "shut down a/600");
}

#[test]
fn another_version_of_a_password_is_set_once_and_the_same_hash_again_changes_nothing() {
    let newer = |scene: Scene| {
        scene.asking(|spec| spec.cloud_init.as_mut().unwrap().password.as_mut().unwrap().version = "2".into())
    };
    let Step::Act(action) = newer(kept(&[])).settle() else { panic!() };
    let Action::Configure { set, password: Some(password), .. } = &action else { panic!("{action:?}") };
    assert_eq!(set.0, []);
    assert!(!format!("{action:?}").contains("secret"));
    let done = newer(kept(&[])).with(|scene| scene.recorded = succeeded(&scene.recorded, &action));
    assert_eq!(done.outcome(), "rest");
    let salt = |scene: Scene| match newer(scene).settle() {
        Step::Act(Action::Configure { password: Some(password), .. }) => password.salt,
        step => panic!("{step:?}"),
    };
    assert_eq!(salt(kept(&[("cores", "9")])), password.salt);
    assert_eq!(password.salt.as_ref().unwrap().len(), 9);
    assert_eq!(salt(kept(&[("ostype", "win11")])), None, "Windows knows no hashes");
}

#[test]
fn a_protected_machine_is_kept_until_its_spec_says_otherwise() {
    let gone = |there: &str, protection| {
        let scene = kept(&[("protection", there)]);
        scene.with(|scene| scene.desired = Desired::Gone { protection, adopted: false }).outcome()
    };
    assert_eq!(gone("1", Some(true)), "wait Protected");
    assert_eq!(gone("", Some(true)), "wait Protected");
    assert_eq!(gone("1", None), "wait Protected");
    assert_eq!(gone("1", Some(false)), "configure a/600 protection");
    assert_eq!(gone("", None), "stop a/600");
    // What never ran holds nothing worth protecting, and must be removable.
    let creating = Scene::at_stage(Stage::Creating)
        .machine(here(), finished_config(600), Power::Stopped)
        .asking(|spec| spec.protection = Some(true));
    assert_eq!(creating.clone().outcome(), "start a/600");
    let deleted = creating.with(|scene| scene.desired = Desired::Gone { protection: Some(true), adopted: false });
    assert_eq!(deleted.outcome(), "destroy a/600");
}
