//! A controller that walks the plan, and can be interrupted between any two instructions.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::SignedDuration;

use super::{
    build::*,
    world::{Fault, World},
};
use crate::{
    docker::{
        desired::*,
        identity::Owner,
        observed::{Class, ContainerState, Observed, Progress, TaskSight},
        plan::*,
        recorded::Recorded,
    },
    reason::Reason,
};

const MOST_STEPS: u32 = 400;

/// The object in Kubernetes.
#[derive(Clone, Debug)]
pub struct Object {
    pub owner: Owner,
    pub deployment: Deployment,
    pub removal: Removal,
    pub deleting: bool,
    pub exists: bool,
    /// It holds our finalizer.
    pub held: bool,
    pub recorded: Option<Recorded>,
    /// What was deployed, by release.
    pub models: BTreeMap<String, Deployment>,
    pub version: u32,
}

impl Object {
    pub fn new(deployment: Deployment) -> Self {
        Self {
            owner: owner(),
            deployment,
            removal: Removal::KeepVolumes,
            deleting: false,
            exists: true,
            held: false,
            recorded: None,
            models: BTreeMap::new(),
            version: 0,
        }
    }
}

impl Object {
    /// What is deployed: what is asked for, or the last good release if that did not come up.
    fn due(&self) -> Deployment {
        let recorded = self.recorded.clone().unwrap_or_default();
        let lost = recorded.lost_release.filter(|lost| {
            lost.release == self.deployment.release
                && lost.restart == self.deployment.restart
                && recorded.good.as_ref().is_some_and(|good| good.release != lost.release)
        });
        let former = lost.and(recorded.good).and_then(|good| self.models.get(&good.release));
        match former {
            Some(former) => former.clone().in_place_of(&self.deployment),
            None => self.deployment.clone(),
        }
    }
}

/// A reconcile under way.
#[derive(Clone, Debug)]
struct Walk {
    version: u32,
    deleting: bool,
    removal: Removal,
    deployment: Deployment,
    recorded: Recorded,
    seen: Option<Observed>,
    acting: VecDeque<Action>,
    steps: u32,
}

/// A controller.
#[derive(Clone, Debug, Default)]
pub struct Walker {
    walk: Option<Walk>,
    tasks: BTreeMap<String, TaskSight>,
    failures: BTreeMap<String, i64>,
    /// What the last reconcile ended with.
    pub last: Option<Step>,
}

impl Walker {
    /// The process dies.
    pub fn crash(&mut self) {
        *self = Self::default();
    }

    /// A call is under way for longer than a reconcile.
    pub fn is_busy_with(&mut self, key: &str) {
        self.tasks.insert(key.to_owned(), TaskSight::Running(Progress::default()));
    }

    pub fn is_walking(&self) -> bool {
        self.walk.is_some()
    }

    /// One instruction: begins a reconcile, takes a step, or makes a call.
    pub fn step(&mut self, object: &mut Object, world: &mut World, fault: Fault) {
        let Some(mut walk) = self.walk.take() else {
            self.walk = begin(object);
            return;
        };
        walk.steps += 1;
        if object.deleting && !walk.deleting {
            // A call of one that does not know of the deletion is beyond any plan: the write before it has to be refused.
            walk.acting.clear();
        }
        if let Some(action) = walk.acting.pop_front() {
            self.perform(&walk, &action, object, world, fault);
            if walk.acting.is_empty() {
                walk.seen = None;
            }
            self.walk = Some(walk);
            return;
        }
        let step = self.plan(&mut walk, object, world);
        assert!(walk.steps < MOST_STEPS, "the plan does not come to an end: {step:?}\n{:?}", walk.recorded);
        self.last = Some(step.clone());
        let goes_on = match step {
            Step::Look(looks) => {
                let seen = walk.seen.as_mut().unwrap();
                for look in looks {
                    world.look(&look, seen);
                }
                true
            }
            Step::Record(next) => {
                assert_ne!(*next, walk.recorded, "nothing is recorded");
                if next.good != walk.recorded.good {
                    object.models.insert(walk.deployment.release.clone(), walk.deployment.clone());
                }
                let lost = next.lost_release != walk.recorded.lost_release;
                walk.recorded = *next;
                if lost {
                    // What is desired is another thing from now on.
                    walk.write(object);
                    return;
                }
                if walk.version == object.version {
                    object.held = true;
                }
                walk.write(object)
            }
            Step::Act(actions) => {
                let keys: BTreeSet<_> = actions.iter().map(Action::key).collect();
                assert_eq!(keys.len(), actions.len(), "the same twice: {actions:?}");
                object.held |= walk.version == object.version;
                walk.acting = actions.into();
                // The fence: nothing is changed by one that does not know of the last write.
                walk.write(object)
            }
            Step::Wait(..) | Step::Rest { .. } | Step::Stall(_) => false,
            Step::Release => {
                if walk.version == object.version {
                    object.exists = false;
                }
                false
            }
        };
        if goes_on {
            self.walk = Some(walk);
        }
    }

    /// Takes steps until something has to be awaited.
    pub fn reconcile(&mut self, object: &mut Object, world: &mut World) -> Step {
        self.step(object, world, Fault::None);
        while self.walk.is_some() {
            self.step(object, world, Fault::None);
        }
        self.last.clone().unwrap()
    }

    fn plan(&self, walk: &mut Walk, object: &Object, world: &World) -> Step {
        let seen = walk.seen.get_or_insert_with(|| world.observe(&object.owner));
        let observed = Observed { tasks: self.tasks.clone(), ..seen.clone() };
        let desired = match walk.deleting {
            true => Desired::Gone(walk.removal),
            false => Desired::Present(Box::new(walk.deployment.clone())),
        };
        plan(&desired, &object.owner, &walk.recorded, &observed, at(world.seconds))
    }

    fn perform(&mut self, walk: &Walk, action: &Action, object: &Object, world: &mut World, fault: Fault) {
        let strict = walk.version == object.version;
        if let Action::Start { id, slot } = action
            && slot.service == "migrate"
            && strict
            && let Some(seen) = walk.seen.as_ref().and_then(|seen| seen.containers.get(id))
        {
            let did_it = seen.state == ContainerState::Exited && seen.exit_code == 0;
            let halted = walk.recorded.halted.get(id) == Some(&seen.started_at);
            assert!(!did_it || halted, "a one-shot runs again: {seen:?}");
        }
        let key = action.key();
        match world.act(action, &object.owner, &walk.deployment, fault) {
            Ok(()) => {
                self.failures.remove(&key);
                self.tasks.remove(&key);
                if matches!(
                    action,
                    Action::Pull { .. }
                        | Action::Build { .. }
                        | Action::Deliver { .. }
                        | Action::Survey { .. }
                        | Action::AfterStart { .. }
                ) {
                    self.tasks.insert(key, TaskSight::Succeeded { at: at(world.seconds), found: world.found(action) });
                }
            }
            Err((class, word, refused)) => {
                let failures = self.failures.entry(key.clone()).or_default();
                let pause = if *failures == 0 && class == Class::LookAgain { 0 } else { 1 << (*failures).min(5) };
                *failures += 1;
                let again = at(world.seconds) + SignedDuration::from_secs(pause);
                let reason = Reason::new(word, format!("{key} failed"));
                self.tasks.insert(key, TaskSight::Failed { reason, class, refused, again });
            }
        }
    }
}

impl Walk {
    /// Writes the record, unless somebody else wrote since it was read.
    fn write(&mut self, object: &mut Object) -> bool {
        if self.version != object.version || !object.exists {
            return false;
        }
        object.version += 1;
        self.version = object.version;
        object.recorded = Some(self.recorded.clone());
        true
    }
}

fn begin(object: &Object) -> Option<Walk> {
    if !object.exists || (object.deleting && !object.held) {
        return None;
    }
    let lost = object.held && object.recorded.is_none();
    Some(Walk {
        version: object.version,
        deleting: object.deleting,
        removal: object.removal,
        deployment: object.due(),
        recorded: Recorded { lost, ..object.recorded.clone().unwrap_or_default() },
        seen: None,
        acting: VecDeque::new(),
        steps: 0,
    })
}
