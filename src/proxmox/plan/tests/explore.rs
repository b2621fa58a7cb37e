//! Walks through the model: whatever happens in whatever order, nothing foreign is touched, and it comes to its rest.

mod checks;
mod events;

use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use self::events::{Event, events};
use super::{
    build::*,
    walker::{Object, Walker},
    world::{Fault, Job, World, site_of},
};
use crate::proxmox::plan::*;

const NICS: [&str; 2] = ["net1", "net2"];

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
