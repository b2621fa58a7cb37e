//! Walks through the model: whatever happens in whatever order, nothing foreign is touched, and it comes to its rest.

use std::collections::BTreeSet;

use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use super::{
    build::*,
    walker::{Object, Walker},
    world::{ADOPTEE, Fault, Guest, Job, NODES, World, site_of},
};
use crate::proxmox::{
    plan::*,
    restart,
    wire::{Drive, VmConfig},
};

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Event {
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

const NICS: [&str; 2] = ["net1", "net2"];

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

struct Stage {
    world: World,
    object: Object,
    walkers: [Walker; 2],
    removed_by_hand: bool,
    /// The status was lost, and what it alone knew.
    lost: bool,
}

impl Stage {
    fn new() -> Self {
        Self {
            world: World::new(),
            object: Object::new(),
            walkers: Default::default(),
            removed_by_hand: false,
            lost: false,
        }
    }

    fn happen(&mut self, event: Event) {
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

    /// Nothing goes wrong any more, and an administrator does what the object asks for: it must come to its rest.
    fn heal(&mut self) {
        self.object.end_dry_run();
        self.walkers = Default::default();
        self.world.offline.clear();
        self.world.sticky_volumes = false;
        let mut rested = 0;
        for round in 0..150 {
            self.world.poll();
            self.walkers[0].step(&mut self.object, &mut self.world, Fault::None);
            while self.walkers[0].walk.is_some() {
                self.walkers[0].step(&mut self.object, &mut self.world, Fault::None);
            }
            if !self.object.exists {
                return self.check_gone();
            }
            let last = self.walkers[0].last.clone();
            let waits_for = |word: &str| matches!(&last, Some(Step::Wait(why) | Step::Stall(why)) if why.word == word);
            let missing = waits_for("Missing") && !self.object.spec.recreate;
            let given_up = missing || waits_for("NotOurs") || self.object.adopts() && waits_for("DependencyNotFound");
            if self.removed_by_hand && given_up {
                return;
            }
            // Its end was not seen, and somebody has its place: the object says how it is let go.
            if waits_for("NotOurs") && self.object.deleting && self.world.mine().next().is_none() {
                return;
            }
            // Somebody's machine without any disk stands where the first one was.
            if waits_for("StorageNotNamed") {
                return;
            }
            if waits_for("AdoptionRefused") {
                return self.check_theirs();
            }
            rested = if matches!(last, Some(Step::Rest { .. })) { rested + 1 } else { 0 };
            let tidy = self.object.recorded.as_ref().is_some_and(|recorded| recorded.leftovers.is_empty());
            if rested > 4 && tidy {
                return self.check_rest();
            }
            if waits_for("SeveralClaimants") {
                self.keep_one();
            }
            self.do_as_told(waits_for("SearchIncomplete"));
            let running: Vec<_> = self.world.running.keys().cloned().collect();
            for upid in running {
                self.world.end(&upid, true);
            }
            self.world.seconds += 20;
            assert!(round < 140, "it does not come to its rest: {last:?}\n{:?}\n{:?}", self.object, self.world.guests);
        }
    }

    fn keep_one(&mut self) {
        let best = self.world.mine().max_by_key(|(_, guest)| (guest.ran, guest.lock().is_none())).map(|(key, _)| *key);
        let others: Vec<_> = self.world.mine().map(|(key, _)| *key).filter(|key| Some(*key) != best).collect();
        for key in others {
            self.remove(key);
        }
    }

    fn remove(&mut self, key: (usize, u32)) {
        if let Some(guest) = self.world.guests.remove(&key) {
            self.world.volumes.remove(&(guest.node, key.1, true));
        }
    }

    /// Stops what runs where it is to be removed, and removes what is half made, where a leftover asks for it.
    fn do_as_told(&mut self, all: bool) {
        let leftovers = self.object.recorded.iter().flat_map(|recorded| recorded.leftovers.clone());
        for left in leftovers {
            let there = self.world.guests.get_mut(&(site_of(&left.place.node), left.place.vmid));
            if let Some(guest) = there.filter(|guest| guest.mine) {
                guest.switch(false);
            }
            if left.command.is_some_and(|command| command.starts_with("pvesm free local:")) {
                self.world.volumes.retain(|(node, vmid, mine)| !(*mine && place(node, *vmid) == left.place));
            }
        }
        let leftovers = self.object.recorded.iter().flat_map(|recorded| recorded.leftovers.clone());
        let told: Vec<_> = leftovers.filter(|left| left.command.is_some()).map(|left| left.place).collect();
        let half_made: Vec<_> = self
            .world
            .mine()
            .filter(|((_, vmid), guest)| {
                let half = guest.lock().is_some() || guest.config().is_temporary_clone();
                half && (all || told.contains(&place(guest.node, *vmid)))
            })
            .map(|(key, _)| *key)
            .collect();
        if !self.world.running.values().any(|task| matches!(task.job, Job::Clone { .. })) {
            for key in half_made {
                self.remove(key);
            }
        }
    }

    /// Somebody else was faster, and nothing was done to it.
    fn check_theirs(&self) {
        let guest = &self.world.guests[&ADOPTEE];
        assert!(!guest.mine && guest.config().description() == World::their_mark(), "{guest:?}");
        assert_eq!(guest.config().get("cores"), Some("8"));
    }

    fn check_gone(&self) {
        if !self.object.retain {
            let left: Vec<_> = self.world.mine().collect();
            assert!(left.is_empty(), "{left:?}");
        }
    }

    fn check_rest(&self) {
        let mine: Vec<_> = self.world.mine().collect();
        let [((_, vmid), guest)] = mine.as_slice() else { panic!("not one machine: {mine:?}\n{:?}", self.object) };
        let at = place(guest.node, *vmid);
        let recorded = self.object.recorded.as_ref().unwrap();
        assert_eq!(recorded.intent.as_ref().unwrap().place, at);
        let wanted = self.object.spec.power.state;
        assert!(wanted.is_none_or(|wanted| guest.power == wanted), "{guest:?}");
        let restarted = !self.object.awaits_restart(*vmid, guest);
        assert!(restarted || self.object.forgotten || guest.power == Power::Stopped, "not restarted: {guest:?}");
        let config = guest.config();
        let spec = &self.object.spec;
        assert!(spec.cores.is_none_or(|cores| config.cores() == cores), "{config:?}");
        assert!(spec.memory_mib.is_none_or(|mib| config.memory_mib() == mib), "{config:?}");
        assert!(spec.disk_bytes.is_none_or(|bytes| config.boot_disk_size() == Some(bytes)), "{config:?}");
        if spec.cloud_init.is_some() {
            assert_eq!((config.get("cipassword"), config.get("ciuser")), (Some("secret"), Some("admin")));
        }
        assert_eq!(config.is_on_boot(), spec.on_boot == Some(true));
        assert!(spec.tags.iter().all(|tag| config.tags().contains(tag)), "{config:?}");
        let there = NICS.iter().filter(|nic| config.get(nic).is_some()).map(|nic| (*nic).to_owned());
        assert!(self.lost || there.eq(spec.nics.keys().cloned()), "{config:?}");
        let text = spec.description.as_deref().unwrap_or_default();
        assert!(config.description().starts_with(text), "{config:?}");
        let waits = guest.pending.keys().any(|key| matches!(key.as_str(), "cores" | "memory"));
        assert!(!waits || !spec.power.reboot || guest.power == Power::Stopped, "not restarted for {guest:?}");
        assert!(config.description().contains(&owner().mark(*vmid).line()));
        let second = config.smbios_uuid() == Some(owner().smbios_uuid(*vmid));
        assert_eq!(second, !self.object.adopts(), "an adopted machine keeps what it takes itself for");
        self.check_disks(guest, recorded);
        assert!(spec.pool.is_none() || guest.pool == spec.pool, "{guest:?}");
        let volumes: Vec<_> = self.world.volumes.iter().filter(|(.., mine)| *mine).collect();
        assert_eq!(volumes, [&(guest.node, *vmid, true)]);
    }
}

impl Stage {
    /// Each disk of the spec is there once, no volume is lost, and none is there that was to go.
    fn check_disks(&self, guest: &Guest, recorded: &Recorded) {
        let (spec, config) = (&self.object.spec, guest.config());
        for (name, disk) in &spec.disks {
            let there: Vec<_> = config.iter().filter(|(_, line)| line.contains(&format!("serial={name},"))).collect();
            let [(_, line)] = there.as_slice() else { panic!("not one disk {name}: {config:?}") };
            assert!(Drive::parse(line).size() >= Some(disk.bytes), "{config:?}");
        }
        let volumes = |config: &VmConfig| -> BTreeSet<String> {
            let named = config.iter().map(|(key, line)| (key, Drive::parse(line).volume));
            named
                .filter(|(key, volume)| *key != "scsi0" && guest.extra.contains(volume))
                .map(|(_, volume)| volume)
                .collect()
        };
        let referred: BTreeSet<_> = volumes(&config).union(&volumes(&guest.current())).cloned().collect();
        assert_eq!(referred, guest.extra, "a volume is lost: {guest:?}");
        if !self.lost {
            let known: BTreeSet<_> = recorded.disks.iter().filter_map(|disk| disk.volume.clone()).collect();
            assert_eq!(known, guest.extra, "{recorded:?}");
            let attached = volumes(&guest.current());
            let gone = |disk: &&KnownDisk| disk.delete && !spec.disks.contains_key(&disk.name);
            let left: Vec<_> = recorded.disks.iter().filter(gone).collect();
            // It is detached at the next boot.
            assert!(left.iter().all(|disk| attached.contains(disk.volume.as_ref().unwrap())), "{left:?} {guest:?}");
        }
    }
}

fn events() -> impl Strategy<Value = Event> {
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

fn walk(mut stage: Stage, events: &[Event], delete: bool) {
    for event in events {
        stage.happen(*event);
    }
    if delete {
        stage.happen(Event::Delete);
    }
    stage.heal();
}

#[test]
fn whatever_happens_it_comes_to_its_rest_and_touches_nothing_foreign() {
    let config = Config { cases: 400, failure_persistence: None, max_shrink_iters: 3000, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let strategy = (prop::collection::vec(events(), 0..200), any::<bool>());
    runner
        .run(&strategy, |(events, delete)| {
            walk(Stage::new(), &events, delete);
            Ok(())
        })
        .unwrap();
}

#[test]
fn whatever_happens_a_machine_is_adopted_as_it_is_or_left_alone() {
    let config = Config { cases: 400, failure_persistence: None, max_shrink_iters: 3000, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let strategy = (prop::collection::vec(events(), 0..150), any::<bool>(), any::<bool>());
    runner
        .run(&strategy, |(events, delete, dry_run)| {
            let (world, object) = (World::with_adoptee(), Object::adopting(dry_run));
            walk(Stage { world, object, ..Stage::new() }, &events, delete);
            Ok(())
        })
        .unwrap();
}
