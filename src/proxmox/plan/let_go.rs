//! Letting a machine go: it stays as it is, without our mark; what never ran is removed.

use super::{
    Action, ConfigValues, Context, Intent, Machine, Place, Planned, Reason, Removal, Seen, Stage, Step, TAG,
    TaskAction, TaskSight, notes,
    remove::Remains,
    whose::{Whose, whose},
};

impl Context<'_> {
    /// The next step of an object that ends and whose machine stays.
    ///
    /// The second mark stays in it: changing it would change what the guest takes itself for, and it says nothing
    /// without an object of this uid.
    pub(super) fn let_go(&self) -> Planned {
        let kept = match &self.recorded.intent {
            Some(intent) => match intent.stage {
                // Of one that was found by its marks nobody knows whether it ran.
                Stage::Creating if intent.template.is_none() && self.is_whole(&intent.place)? => Some(intent),
                Stage::Creating | Stage::Abandoning => return self.remove_attempt(intent, Removal::FailedAttempt),
                Stage::Adopting => return self.end_adoption(intent),
                Stage::Starting | Stage::Established => Some(intent),
            },
            None => None,
        };
        if let Some(step) = self.await_last_task()? {
            return Ok(step);
        }
        if let Some(step) = self.remove_leftovers(Removal::Deletion)? {
            return Ok(step);
        }
        let late = self.late_clones(Removal::FailedAttempt)?;
        if !late.is_empty() {
            return Ok(self.record(|recorded| self.add_late(recorded, late)));
        }
        if let Some(intent) = kept
            && let Some(step) = self.unmark(&intent.place, Some(intent))?
        {
            return Ok(step);
        }
        // What an older record knows nothing of may have run, too.
        for place in self.other_claims(kept.map(|intent| &intent.place))? {
            if let Some(step) = self.unmark(&place, None)? {
                return Ok(step);
            }
        }
        Ok(self.claim_out_of_reach().unwrap_or(Step::Release))
    }

    /// Whether our machine stands there, and nothing works on it or did not come to its end.
    fn is_whole(&self, place: &Place) -> Planned<bool> {
        Ok(match self.sight(place)? {
            Seen::Present(Machine { config, .. }) => {
                whose(self.owner, place, config) == Whose::Ours && config.lock().is_none()
            }
            Seen::Absent | Seen::Unknown(_) => false,
        })
    }

    /// A task is awaited, for it holds the machine's lock. How it ended matters only where it was to remove something.
    fn await_last_task(&self) -> Planned<Option<Step>> {
        let removes = |action| matches!(action, TaskAction::Stop | TaskAction::Destroy | TaskAction::FreeVolume);
        match &self.recorded.task {
            Some(task) if !removes(task.action) && matches!(self.task_sight(task)?, TaskSight::Failed(_)) => {
                Ok(Some(self.record(|recorded| recorded.task = None)))
            }
            _ => self.await_task(Removal::Deletion),
        }
    }

    /// Takes our tag and our mark from a machine; nothing, if it has none. The mark goes last: until then it is found.
    fn unmark(&self, place: &Place, intent: Option<&Intent>) -> Planned<Option<Step>> {
        let Place { node, vmid } = place;
        let machine = match self.sight(place)? {
            Seen::Unknown(why) => {
                let message = format!(
                    "{node} cannot be asked about VM {vmid}, from which the mark is to be taken: {why}. Set \
                     spec.deletionPolicy to Orphan to leave it as it is"
                );
                return Ok(Some(Step::Wait(Reason::new("NodeUnreachable", message))));
            }
            Seen::Absent => {
                return Ok(match self.moved(place, intent)? {
                    Some(Remains::Step(step)) => Some(step),
                    Some(Remains::Stuck(reason, _)) => Some(Step::Wait(reason)),
                    Some(Remains::Nothing | Remains::Foreign) | None => None,
                });
            }
            Seen::Present(machine) => machine,
        };
        let config = &machine.config;
        let notes = notes::unmarked(config);
        let tagged = config.tags().iter().any(|tag| tag == TAG) && !self.observed.tag_refused && !self.adopted;
        if whose(self.owner, place, config) != Whose::Ours || (notes.is_none() && !tagged) {
            return Ok(None);
        }
        if let Some(lock) = config.lock() {
            let message =
                format!("VM {vmid} on {node} is locked ({lock}), and the mark is taken from it when that has ended");
            return Ok(Some(Step::Wait(Reason::new("Locked", message))));
        }
        let place = place.clone();
        if tagged {
            let tags: Vec<_> = config.tags().into_iter().filter(|tag| tag != TAG).collect();
            let named = self.recorded.applied.tags.clone();
            return Ok(Some(Step::Act(Action::Tag { place, tags: tags.join(";"), ours: true, named })));
        }
        let digest = config.digest().map(str::to_owned);
        Ok(notes.map(|text| {
            let (set, delete) = match text.is_empty() {
                true => (Vec::new(), vec!["description".to_owned()]),
                false => (vec![("description".to_owned(), text)], Vec::new()),
            };
            Step::Act(Action::Configure { place, set: ConfigValues(set), delete, password: None, digest })
        }))
    }
}
