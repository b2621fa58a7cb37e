//! The pool that a machine is in: given with the clone, changed later, and left alone where the spec names none.

use super::{Action, Context, Intent, Look, MachineSpec, Step};

impl Context<'_> {
    /// Puts the machine into the pool that the spec names. Only the list tells pools, exactly, once it is of now.
    pub(super) fn pool(&self, spec: &MachineSpec, intent: &Intent) -> Option<Step> {
        let (wanted, place) = (spec.pool.as_ref()?, &intent.place);
        let entry = self.snapshot().vm(&place.node, place.vmid)?;
        if entry.pool.as_ref() == Some(wanted) {
            return None;
        }
        if !self.observed.list_is_fresh {
            return Some(Step::Look(Look::List(place.node.clone())));
        }
        Some(Step::Act(Action::Pool { place: place.clone(), pool: wanted.clone() }))
    }
}
