//! What can happen on a walk, and how it does.

use proptest::prelude::*;

use super::{
    super::{
        build::*,
        world::{ADOPTEE, Fault, Guest, Job, NODES, World, site_of},
    },
    NICS, Stage,
};
use crate::proxmox::{plan::*, restart, wire::Drive};

/// What happens next.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// A controller executes an instruction.
    Step(usize),
    /// The same, and the call that it makes goes wrong.
    Faulty(usize, Fault),
    Crash(usize),
    /// The inventory polls.
    Poll,
    Pass(i64),
    /// A task ends, well or not.
    End(usize, bool),
    /// A clone gets its description.
    Progress,
    /// The worker of a clone is killed.
    Kill,
    Offline(usize),
    Online(usize),
    /// What is removed next leaves its volume.
    StickyVolumes,
    // People.
    Copy,
    Stop,
    Start,
    Pause,
    Remove,
    Migrate,
    TakeVmid(usize, bool),
    EraseOneMark(bool),
    Unlock,
    LoseStatus,
    Delete,
    /// What becomes of the machine when its object is deleted.
    Retain(bool),
    /// What happens when it is missing.
    Recreate(bool),
    Grow,
    /// The spec asks for another power state.
    Ask(Power),
    /// The spec asks for a restart.
    Restart,
    /// Something else of the spec changes.
    Change(u32),
    /// Whether changes restart the machine.
    Reboot(bool),
    /// Somebody changes the config by hand.
    Meddle(u32),
    /// Another installation marks the machine that is to be adopted.
    OthersAdopt,
    /// The adoption is to be carried out.
    EndDryRun,
}

/// Another spec, by a number.
fn change(spec: &mut MachineSpec, number: u32) {
    let [first, second] = NICS.map(str::to_owned);
    let nic = |vlan| Nic { bridge: "vmbr0".into(), model: None, vlan: Some(vlan), firewall: None, mac: None };
    match number {
        0 => spec.cores = spec.cores.map(|cores| 5 - cores),
        1 => spec.memory_mib = spec.memory_mib.map(|mib| 6144 - mib),
        2 => spec.description = Some("for Alice".into()),
        3 => spec.tags = vec!["web".into()],
        4 => spec.tags = Vec::new(),
        5 => drop(spec.nics.insert(first, nic(1))),
        6 => drop(spec.nics.insert(second, nic(2))),
        7 => spec.nics.clear(),
        8 | 9 => {
            let Some(cloud_init) = &mut spec.cloud_init else { return };
            match number {
                8 => cloud_init.ssh_keys.push(format!("ssh-ed25519 AAAA {}", cloud_init.ssh_keys.len())),
                _ => cloud_init.password.as_mut().unwrap().version += "1",
            }
        }
        11 => drop(spec.disks.insert("data".into(), ExtraDisk { bytes: GIB, ..ExtraDisk::default() })),
        12 => drop(spec.disks.insert("logs".into(), ExtraDisk { bytes: GIB, delete: true, ..ExtraDisk::default() })),
        13 => drop(spec.disks.remove("data")),
        14 => drop(spec.disks.remove("logs")),
        16 | 17 => spec.pool = Some(format!("pool-{number}")),
        18 => spec.pool = None,
        15 => spec.disks.values_mut().for_each(|disk| disk.bytes += GIB),
        _ => spec.on_boot = Some(spec.on_boot != Some(true)),
    }
}

impl Stage {
    pub(super) fn happen(&mut self, event: Event) {
        let Self { world, object, walkers, removed_by_hand, lost } = self;
        if matches!(event, Event::Step(1) | Event::Faulty(1, _)) {
            // What a clone leaves that failed and that nobody has a record of bears no mark: no plan can find it.
            (world.sticks, world.sticky_volumes) = (false, false);
        }
        match event {
            Event::Step(which) => walkers[which].step(object, world, Fault::None),
            Event::Faulty(which, fault) => walkers[which].step(object, world, fault),
            Event::Crash(which) => walkers[which].crash(),
            Event::Poll => world.poll(),
            Event::Pass(seconds) => world.seconds += seconds,
            Event::End(which, well) => {
                let upid = world.running.keys().nth(which % world.running.len().max(1)).cloned();
                if let Some(upid) = upid {
                    world.end(&upid, well);
                }
            }
            Event::Progress => {
                let clones: Vec<_> = world.running.values().cloned().collect();
                for task in clones {
                    if let Job::Clone { vmid, description, clash: false, .. } = task.job
                        && let Some(guest) = world.guests.get_mut(&(site_of(task.node), vmid))
                    {
                        guest.config.insert("description".into(), description);
                    }
                }
            }
            Event::Kill => world.kill(|task| matches!(task.job, Job::Clone { .. })),
            Event::Offline(which) => {
                world.offline.insert(NODES[which]);
                world.kill(|task| task.node == NODES[which]);
            }
            Event::Online(which) => {
                world.offline.remove(NODES[which]);
            }
            Event::StickyVolumes => world.sticky_volumes = world.sticks,
            Event::Copy => {
                let whole = |guest: &Guest| guest.lock().is_none() && !guest.config().is_temporary_clone();
                let copied = world.mine().find(|(_, guest)| whole(guest)).map(|(key, guest)| (*key, guest.clone()));
                if let Some(((site, _), guest)) = copied {
                    let vmid = 800 + u32::try_from(world.guests.len()).unwrap();
                    let mut copy = Guest { mine: false, power: Power::Stopped, ran: None, ..guest };
                    copy.config.remove("smbios1");
                    world.guests.insert((site, vmid), copy);
                }
            }
            Event::Stop | Event::Start => {
                // Started by a person it may run and counts as never started all the same: that person's affair.
                let offline = world.offline.clone();
                if let Some(guest) = world.some_of_mine(|guest| guest.lock().is_none() && !offline.contains(guest.node))
                {
                    guest.switch(matches!(event, Event::Start));
                }
            }
            Event::Pause => {
                if let Some(guest) = world.some_of_mine(|guest| guest.power == Power::Running) {
                    guest.power = Power::Paused;
                }
            }
            Event::Remove => {
                let doomed = world.mine().find(|(_, guest)| guest.lock().is_none()).map(|(key, _)| *key);
                if let Some(key) = doomed {
                    let guest = world.guests.remove(&key).unwrap();
                    world.volumes.remove(&(guest.node, key.1, true));
                    // Its process went with it; another machine under its VMID has another one.
                    object.restart.remove(&key.1);
                    *removed_by_hand = true;
                }
            }
            Event::Migrate => {
                // A stub that nobody can tell whose it is goes nowhere.
                let movable = |guest: &Guest| guest.lock().is_none() && !guest.config().is_temporary_clone();
                let moved = world.mine().find(|((site, _), guest)| *site == 0 && movable(guest));
                if let Some(key) = moved.map(|(key, _)| *key) {
                    let guest = world.guests.get_mut(&key).unwrap();
                    let from = guest.node;
                    let to = if from == "a" { "b" } else { "a" };
                    if !world.offline.contains(from) && !world.offline.contains(to) {
                        guest.node = to;
                        world.volumes.remove(&(from, key.1, true));
                        world.volumes.insert((to, key.1, true));
                        // It takes longer than the time between two polls.
                        world.poll();
                    }
                }
            }
            Event::TakeVmid(which, container) => {
                let node = NODES[which];
                let vmid = object.recorded.as_ref().and_then(|recorded| recorded.intent.as_ref()).map(|i| i.place.vmid);
                let vmid = vmid.unwrap_or(600);
                let free = !world.guests.contains_key(&(site_of(node), vmid));
                if free && !world.volumes.contains(&(node, vmid, true)) {
                    let config = [("name".to_owned(), "theirs".to_owned())].into();
                    let guest = Guest { config, power: Power::Running, container, ..Guest::new(node) };
                    world.guests.insert((site_of(node), vmid), guest);
                    world.volumes.insert((node, vmid, false));
                    // A poll is due before anybody can know.
                    world.poll();
                    for walker in walkers {
                        walker.walk = None;
                    }
                }
            }
            Event::EraseOneMark(description) => {
                let uuid = |(_, vmid): (usize, u32)| format!("uuid={}", owner().smbios_uuid(vmid));
                let both: Vec<_> = world
                    .mine()
                    .filter(|(key, guest)| {
                        let config = guest.config();
                        guest.lock().is_none()
                            && config.get("smbios1").is_some_and(|smbios| smbios.contains(&uuid(**key)))
                            && config.description().contains("cloudfaster")
                    })
                    .map(|(key, _)| *key)
                    .collect();
                let recorded = object.recorded.as_ref().and_then(|recorded| recorded.restarted.as_ref());
                object.forgotten |= description && recorded != object.spec.power.restart.as_ref();
                for key in both {
                    world.guests.get_mut(&key).unwrap().config.remove(if description {
                        "description"
                    } else {
                        "smbios1"
                    });
                }
            }
            Event::Unlock => {
                let running = world.running.values().any(|task| matches!(task.job, Job::Clone { .. }));
                if !running && let Some(guest) = world.some_of_mine(|guest| guest.lock() == Some("clone")) {
                    guest.config.remove("lock");
                }
            }
            Event::LoseStatus => {
                // As a restore from a backup does it: the process begins anew, with a poll.
                *walkers = Default::default();
                world.poll();
                // Volumes bear no marks: what a failed clone left is known from the record alone.
                world.sticky_volumes = false;
                world.sticks = false;
                let mine = |key: (usize, u32)| world.guests.get(&key).is_some_and(|guest| guest.mine);
                let loose = world.volumes.iter().filter(|(node, vmid, own)| *own && !mine((site_of(node), *vmid)));
                for volume in loose.copied().collect::<Vec<_>>() {
                    world.volumes.remove(&volume);
                }
                object.recorded = None;
                *lost = true;
                object.forgotten |=
                    world.mine().any(|(_, guest)| restart::find(guest.config().description()).is_none());
                object.version += 1;
            }
            Event::Delete => {
                object.deleting = true;
                object.version += 1;
                if !object.held {
                    object.exists = false;
                }
            }
            Event::Retain(retain) if object.exists => {
                object.retain = retain;
                object.version += 1;
            }
            Event::Retain(_) => {}
            Event::Recreate(recreate) => {
                object.spec.recreate = recreate;
                object.version += 1;
            }
            Event::Grow => {
                object.spec.disk_bytes = object.spec.disk_bytes.map(|bytes| bytes + GIB);
                object.version += 1;
            }
            Event::Ask(power) => {
                object.spec.power.state = Some(power);
                object.version += 1;
            }
            Event::Change(number) => {
                change(&mut object.spec, number);
                object.version += 1;
            }
            Event::Reboot(reboot) => {
                object.spec.power.reboot = reboot;
                object.version += 1;
            }
            Event::Meddle(number) => {
                if let Some(guest) = world.some_of_mine(|guest| guest.lock().is_none()) {
                    match number {
                        0 => guest.change("cores", "16"),
                        1 => guest.change("tags", "cloudfaster;theirs"),
                        2 => guest.change("net5", "virtio=02:00:00:00:00:01,bridge=theirs"),
                        // A serial number is lost, or a disk detached.
                        4 | 5 => {
                            let extra =
                                |(key, line): &(&String, &String)| key.starts_with("scsi") && line.contains("serial=");
                            if let Some((key, line)) =
                                guest.config.iter().find(extra).map(|(k, v)| (k.clone(), v.clone()))
                            {
                                guest.pending.remove(&key);
                                guest.config.remove(&key);
                                match number {
                                    4 => {
                                        let mut drive = Drive::parse(&line);
                                        drive.options.remove("serial");
                                        guest.config.insert(key, drive.to_string());
                                    }
                                    _ => guest.keep_unused(&line),
                                }
                            }
                        }
                        _ => guest.change("ciuser", "eve"),
                    }
                }
            }
            Event::OthersAdopt => {
                if let Some(guest) = world.guests.get_mut(&ADOPTEE).filter(|guest| !guest.mine) {
                    guest.change("description", &World::their_mark());
                }
            }
            Event::EndDryRun => object.end_dry_run(),
            Event::Restart => object.ask_for_restart(world),
        }
    }
}

pub fn events() -> impl Strategy<Value = Event> {
    let fault = prop_oneof![Just(Fault::LostAfter), Just(Fault::LostBefore), Just(Fault::Busy)];
    prop_oneof![
        120 => Just(Event::Step(0)),
        12 => Just(Event::Step(1)),
        12 => (0..2_usize, fault).prop_map(|(which, fault)| Event::Faulty(which, fault)),
        4 => (0..2_usize).prop_map(Event::Crash),
        20 => Just(Event::Poll),
        12 => prop_oneof![Just(1), Just(15), Just(70)].prop_map(Event::Pass),
        25 => (0..3_usize, prop::bool::weighted(0.8)).prop_map(|(which, well)| Event::End(which, well)),
        4 => Just(Event::Progress),
        2 => Just(Event::Kill),
        3 => (0..3_usize).prop_map(Event::Offline),
        5 => (0..3_usize).prop_map(Event::Online),
        2 => Just(Event::StickyVolumes),
        2 => Just(Event::Copy),
        2 => Just(Event::Stop),
        1 => Just(Event::Start),
        1 => Just(Event::Remove),
        2 => Just(Event::Migrate),
        3 => (0..3_usize, any::<bool>()).prop_map(|(which, container)| Event::TakeVmid(which, container)),
        1 => any::<bool>().prop_map(Event::EraseOneMark),
        1 => Just(Event::Unlock),
        2 => Just(Event::LoseStatus),
        1 => Just(Event::Delete),
        1 => any::<bool>().prop_map(Event::Retain),
        1 => any::<bool>().prop_map(Event::Recreate),
        1 => Just(Event::Grow),
        1 => Just(Event::Pause),
        2 => prop_oneof![Just(Power::Running), Just(Power::Stopped), Just(Power::Paused)].prop_map(Event::Ask),
        2 => Just(Event::Restart),
        14 => (0..20_u32).prop_map(Event::Change),
        2 => any::<bool>().prop_map(Event::Reboot),
        3 => (0..6_u32).prop_map(Event::Meddle),
        1 => Just(Event::OthersAdopt),
        1 => Just(Event::EndDryRun),
    ]
}
