//! Walks through the model: whatever happens in whatever order, nothing foreign is touched, and it comes to its rest.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use super::{
    build::*,
    walker::{Object, Walker},
    world::{Fault, World},
};
use crate::{
    docker::{
        desired::*,
        identity, labels,
        observed::{Container, ContainerState, Health},
        plan::*,
    },
    reason::Reason,
};

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// A controller executes an instruction.
    Step(usize),
    /// The same, and the call that it makes goes wrong.
    Faulty(usize, Fault),
    Crash(usize),
    Pass(i64),
    /// Healthchecks find out, jobs end.
    Settle,
    Reboot,
    // People, and on what.
    Stop(usize),
    Kill(usize),
    Remove(usize),
    Rename(usize),
    Pause(usize),
    Restart(usize),
    Update(usize),
    Disconnect(usize),
    CommitAndRun(usize),
    Duplicate(usize),
    TakeName(usize),
    TakeNetwork,
    TakeVolume,
    ReplaceProxy,
    /// New containers of a service do not start, or do again.
    Break(bool),
    LoseStatus,
    Delete,
    // The spec.
    Change(u32),
    Ask(State),
    AskRestart,
    Removal(Removal),
}

struct Stage {
    world: World,
    object: Object,
    walkers: [Walker; 2],
    changes: u32,
}

impl Stage {
    fn new() -> Self {
        let mut world = World::new();
        world.proxies.insert("edge".into(), BTreeSet::new());
        let object = Object::new(with_proxy(with_content(deployment(), 0)));
        Self { world, object, walkers: Default::default(), changes: 0 }
    }

    /// One of our containers that is known.
    fn pick(&self, which: usize, fits: impl Fn(&Container) -> bool) -> Option<String> {
        let recorded = self.object.recorded.as_ref()?;
        let known = |seen: &Container| recorded.containers.contains_key(&seen.id) && fits(seen);
        let ids: Vec<_> = self.world.mine().filter(|held| known(&held.seen)).map(|held| held.seen.id.clone()).collect();
        ids.get(which % ids.len().max(1)).cloned()
    }

    fn happen(&mut self, event: Event) {
        let running = |seen: &Container| seen.state == ContainerState::Running;
        let any = |_: &Container| true;
        match event {
            Event::Step(which) => self.walkers[which].step(&mut self.object, &mut self.world, Fault::None),
            Event::Faulty(which, fault) => self.walkers[which].step(&mut self.object, &mut self.world, fault),
            Event::Crash(which) => self.walkers[which].crash(),
            Event::Pass(seconds) => self.world.seconds += seconds,
            Event::Settle => self.world.settle(),
            Event::Reboot => self.world.reboot(),
            Event::Break(broken) => match broken {
                true => drop(self.world.unstartable.insert("web".into())),
                false => self.world.unstartable.clear(),
            },
            Event::ReplaceProxy => drop(self.world.proxies.insert("edge".into(), BTreeSet::new())),
            Event::Stop(which) => {
                // Of one that may end nobody can say whether it was told to.
                if let Some(id) = self.pick(which, |seen| running(seen) && seen.always_restarts) {
                    self.world.end(&id, 0);
                }
            }
            Event::Kill(which) => {
                if let Some(id) = self.pick(which, running) {
                    self.world.end(&id, 137);
                }
            }
            Event::Remove(which) => {
                if let Some(id) = self.pick(which, any) {
                    self.world.containers.remove(&id);
                }
            }
            Event::Rename(which) => {
                if let Some(id) = self.pick(which, any) {
                    self.world.containers.get_mut(&id).unwrap().seen.name = format!("renamed-{id}");
                }
            }
            Event::Pause(which) => {
                if let Some(id) = self.pick(which, running) {
                    self.world.containers.get_mut(&id).unwrap().seen.state = ContainerState::Paused;
                }
            }
            Event::Restart(which) => {
                if let Some(id) = self.pick(which, |seen| running(seen) && seen.always_restarts) {
                    self.world.end(&id, 0);
                    let _ = self.world.start(&id);
                }
            }
            Event::Update(which) => {
                if let Some(id) = self.pick(which, any) {
                    self.world.containers.get_mut(&id).unwrap().seen.settings = "more memory".into();
                }
            }
            Event::Disconnect(which) => {
                if let Some(id) = self.pick(which, running) {
                    self.world.containers.get_mut(&id).unwrap().seen.networks.clear();
                }
            }
            Event::CommitAndRun(which) => {
                if let Some(id) = self.pick(which, any) {
                    let name = format!("copy-{}", self.world.containers.len());
                    self.world.commit_and_run(&id, &name);
                }
            }
            Event::Duplicate(which) => {
                if let Some(id) = self.pick(which, any) {
                    let name = format!("duplicate-{}", self.world.containers.len());
                    self.world.duplicate(&id, &name);
                }
            }
            Event::TakeName(which) => {
                let name = ["p-web-1", "p-db-1", "p-migrate-1", "p-web-2"][which % 4];
                if !self.world.containers.values().any(|held| held.seen.name == name) {
                    self.world.take_name(name);
                }
            }
            Event::TakeNetwork => self.world.take_network(),
            Event::TakeVolume => self.world.take_volume(),
            Event::LoseStatus => {
                // As a restore from a backup does it: the processes begin anew.
                self.walkers = Default::default();
                self.object.recorded = None;
                self.object.version += 1;
            }
            Event::Delete => {
                self.object.deleting = true;
                self.object.version += 1;
                self.object.exists &= self.object.held;
            }
            Event::Change(number) => self.change(number),
            Event::Ask(state) => {
                self.object.deployment.state = state;
                self.object.version += 1;
            }
            Event::AskRestart => {
                self.changes += 1;
                self.object.deployment.restart = Some(format!("restart-{}", self.changes));
                self.object.version += 1;
            }
            Event::Removal(removal) if self.object.exists => {
                self.object.removal = removal;
                self.object.version += 1;
            }
            Event::Removal(_) => {}
        }
    }

    /// Another spec, by a number.
    fn change(&mut self, number: u32) {
        self.changes += 1;
        let deployment = &mut self.object.deployment;
        let services = &mut deployment.services;
        let config = identity::hash(["changed", &self.changes.to_string()]);
        let of = |services: &mut BTreeMap<String, Service>, name: &str, change: &dyn Fn(&mut Service)| {
            if let Some(service) = services.get_mut(name) {
                change(service);
            }
        };
        match number {
            0 => of(services, "web", &|web| web.config = config.clone()),
            1 => of(services, "db", &|db| db.config = config.clone()),
            2 => of(services, "migrate", &|migrate| migrate.config = config.clone()),
            3 => of(services, "web", &|web| web.replicas = 3 - web.replicas.min(2)),
            4 => drop(services.remove("logs")),
            5 => drop(services.insert("extra".into(), Service { networks: Default::default(), ..server("web:1") })),
            6 => drop(services.remove("extra")),
            7 => deployment.networks.get_mut("default").unwrap().config = config,
            8 => of(services, "web", &|web| web.fetch = Fetch::Always),
            10 => deliver(deployment, self.changes % 3),
            _ => of(services, "db", &|db| db.depends_on.clear()),
        }
        deployment.release = format!("r{}", self.changes + 1);
        self.object.version += 1;
    }

    /// Nothing goes wrong any more, and an administrator does what the object asks for: it must come to its rest.
    fn heal(&mut self) {
        self.walkers = Default::default();
        self.world.unstartable.clear();
        let recorded = self.object.recorded.clone().unwrap_or_default();
        if recorded.lost_release.is_some() || !recorded.failed.is_empty() {
            self.happen(Event::AskRestart);
        }
        let mut rested = 0;
        for _ in 0..120 {
            if !self.object.exists {
                return self.check_gone();
            }
            let calls = self.world.calls.len();
            let last = self.walkers[0].reconcile(&mut self.object, &mut self.world);
            let told = |warnings: &[Reason]| warnings.iter().all(|warning| warning.word == "EditsDropped");
            rested = if matches!(&last, Step::Rest { warnings, .. } if told(warnings)) { rested + 1 } else { 0 };
            if rested > 2 {
                assert!(
                    self.world.calls[calls..].is_empty(),
                    "at rest something is changed: {:?}",
                    &self.world.calls[calls..]
                );
                return self.check_rest();
            }
            match &last {
                Step::Stall(reason) | Step::Wait(reason, _) => self.do_as_told(&reason.word),
                Step::Rest { warnings, .. } => warnings.iter().for_each(|warning| self.do_as_told(&warning.word)),
                _ => {}
            }
            self.world.settle();
            self.world.seconds += 20;
        }
        panic!(
            "it does not come to its rest: {:?}\n{:?}\n{:#?}",
            self.walkers[0].last,
            self.object.recorded,
            self.world.states()
        );
    }

    fn do_as_told(&mut self, word: &str) {
        match word {
            "NameTaken" => {
                let Self { world, .. } = self;
                world.containers.retain(|_, held| held.mine || !held.seen.name.starts_with("p-"));
                world.networks.retain(|_, (_, mine)| *mine);
                world.volumes.retain(|_, (_, mine)| *mine);
            }
            "SeveralClaimants" => {
                let copy = |name: &str| name.starts_with("copy-") || name.starts_with("duplicate-");
                self.world.containers.retain(|_, held| held.mine || !copy(&held.seen.name));
                for held in self.world.containers.values_mut().filter(|held| held.seen.name.starts_with("renamed-")) {
                    held.seen.name = identity::former_name(&held.seen.labels[identity::CONTAINER], &held.seen.id);
                }
            }
            "VolumeInUse" => self.world.containers.retain(|_, held| held.mine),
            "NetworkInUse" => {
                for held in self.world.containers.values_mut().filter(|held| !held.mine) {
                    held.seen.networks.clear();
                }
            }
            _ => {}
        }
    }

    fn check_rest(&self) {
        let Deployment { services, networks, volumes, state, .. } = &self.object.deployment;
        let mut expected = BTreeMap::new();
        for (name, service) in services {
            for number in 1..=service.replicas {
                expected.insert(format!("p-{name}-{number}"), name.as_str());
            }
        }
        for held in self.world.mine() {
            let seen = &held.seen;
            let name = expected.remove(&seen.name).unwrap_or_else(|| panic!("{} is too many", seen.name));
            let runs = seen.state == ContainerState::Running;
            match (name, state) {
                ("migrate", State::Running) => {
                    assert_eq!((seen.state, seen.exit_code), (ContainerState::Exited, 0), "{seen:?}");
                }
                (_, State::Running) => assert!(runs, "{seen:?}"),
                (_, State::Stopped) => assert!(!runs, "{seen:?}"),
            }
            if runs && name == "db" {
                assert_eq!(seen.health, Some(Health::Healthy));
            }
            let label = |key: &str| seen.labels.get(key).map(String::as_str);
            assert_eq!(label(labels::compose::SERVICE), Some(name));
            // It was made from what is desired now.
            let mut words = vec![services[name].config.as_str()];
            for key in &services[name].networks {
                let ids: Vec<_> = self
                    .world
                    .networks
                    .values()
                    .filter(|(seen, mine)| *mine && seen.labels[labels::compose::NETWORK] == *key)
                    .collect();
                assert_eq!(ids.len(), 1);
                assert_eq!(ids[0].0.labels[identity::CONFIG], networks[key].config);
                words.extend([key.as_str(), ids[0].0.id.as_str()]);
            }
            for other in services[name].made_with() {
                words.extend([other.as_str(), self.world.named(&format!("p-{other}-1")).seen.id.as_str()]);
            }
            assert_eq!(label(identity::CONFIG), Some(identity::hash(words).as_str()), "{name} is not as desired");
        }
        // What did its work may have been removed since.
        expected.retain(|_, name| *name != "migrate" || !self.world.migrated.contains(&self.object.deployment.release));
        assert!(expected.is_empty(), "missing: {expected:?}");
        for (id, (seen, mine)) in &self.world.networks {
            let wanted = networks.contains_key(seen.labels.get(labels::compose::NETWORK).map_or("", String::as_str));
            assert!(!mine || wanted, "network {id} is too many");
            if let Some(proxy) = seen.labels.get(identity::PROXY).filter(|_| *mine && *state == State::Running) {
                assert!(self.world.proxies[proxy].contains(id), "the proxy does not meet the project");
            }
        }
        for volume in volumes.values() {
            assert!(self.world.volumes.get(&volume.name).is_some_and(|(_, mine)| *mine), "{} is missing", volume.name);
        }
        let delivered = self.world.volumes.values().filter(|(seen, _)| seen.labels.contains_key(identity::CONTENT));
        for (seen, _) in delivered {
            let good = self.object.recorded.as_ref().and_then(|recorded| recorded.good.as_ref());
            let may_be_needed = good.is_some_and(|good| good.contents.contains(&seen.name));
            let wanted = volumes.values().any(|volume| volume.name == seen.name);
            assert!(wanted || may_be_needed, "{} is of a former release", seen.name);
            assert!(self.world.filled.contains(&seen.name), "{} is empty", seen.name);
        }
    }

    fn check_gone(&self) {
        if self.object.removal == Removal::Orphan {
            return;
        }
        let left: Vec<_> = self.world.mine().collect();
        assert!(left.is_empty(), "released with {left:?}");
        assert!(!self.world.networks.values().any(|(_, mine)| *mine), "released with a network");
        for (seen, _) in self.world.volumes.values().filter(|(_, mine)| *mine) {
            let written = !seen.labels.contains_key(identity::CONTENT);
            assert!(written && self.object.removal == Removal::KeepVolumes, "released with {}", seen.name);
        }
    }
}

fn events() -> impl Strategy<Value = Event> {
    let fault = prop_oneof![Just(Fault::LostAfter), Just(Fault::LostBefore)];
    let which = 0..8_usize;
    let people = prop_oneof![
        which.clone().prop_map(Event::Stop),
        which.clone().prop_map(Event::Kill),
        which.clone().prop_map(Event::Remove),
        which.clone().prop_map(Event::Rename),
        which.clone().prop_map(Event::Pause),
        which.clone().prop_map(Event::Restart),
        which.clone().prop_map(Event::Update),
        which.clone().prop_map(Event::Disconnect),
        which.clone().prop_map(Event::CommitAndRun),
        which.clone().prop_map(Event::Duplicate),
        which.prop_map(Event::TakeName),
        Just(Event::TakeNetwork),
        Just(Event::TakeVolume),
        Just(Event::ReplaceProxy),
    ];
    prop_oneof![
        160 => Just(Event::Step(0)),
        20 => Just(Event::Step(1)),
        16 => (0..2_usize, fault).prop_map(|(which, fault)| Event::Faulty(which, fault)),
        5 => (0..2_usize).prop_map(Event::Crash),
        3 => any::<bool>().prop_map(Event::Break),
        12 => prop_oneof![Just(1), Just(15), Just(70)].prop_map(Event::Pass),
        20 => Just(Event::Settle),
        1 => Just(Event::Reboot),
        12 => people,
        2 => Just(Event::LoseStatus),
        1 => Just(Event::Delete),
        8 => (0..11_u32).prop_map(Event::Change),
        2 => prop_oneof![Just(State::Running), Just(State::Stopped)].prop_map(Event::Ask),
        2 => Just(Event::AskRestart),
        1 => prop_oneof![Just(Removal::KeepVolumes), Just(Removal::WithVolumes), Just(Removal::Orphan)]
            .prop_map(Event::Removal),
    ]
}

#[test]
fn whatever_happens_it_comes_to_its_rest_and_touches_nothing_foreign() {
    let config = Config { cases: 300, failure_persistence: None, max_shrink_iters: 4000, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let strategy = (prop::collection::vec(events(), 0..250), any::<bool>());
    runner
        .run(&strategy, |(events, delete)| {
            let mut stage = Stage::new();
            for event in &events {
                stage.happen(*event);
            }
            if delete {
                stage.happen(Event::Delete);
            }
            stage.heal();
            Ok(())
        })
        .unwrap();
}

/// A controller that is killed after each single instruction of a bring-up, an update and a deletion.
#[test]
fn a_kill_after_any_instruction_leaves_nothing_too_many_and_nothing_too_few() {
    let mut longest = 0;
    for change in [None, Some(0), Some(1), Some(7), Some(10)] {
        for lose_status in [false, true] {
            for kill_at in 0.. {
                let mut stage = Stage::new();
                if let Some(change) = change {
                    stage.heal();
                    stage.happen(Event::Change(change));
                    stage.walkers = Default::default();
                }
                for _ in 0..kill_at {
                    stage.happen(Event::Step(0));
                    if !stage.walkers[0].is_walking() {
                        stage.happen(Event::Settle);
                        stage.happen(Event::Pass(10));
                    }
                }
                if matches!(stage.walkers[0].last, Some(Step::Rest { .. })) {
                    longest = longest.max(kill_at);
                    break;
                }
                stage.happen(Event::Crash(0));
                if lose_status {
                    stage.happen(Event::LoseStatus);
                }
                stage.heal();
                stage.happen(Event::Removal(Removal::WithVolumes));
                stage.happen(Event::Delete);
                stage.heal();
            }
        }
    }
    assert!(longest > 30, "it was killed {longest} times only");
}
