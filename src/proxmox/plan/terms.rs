//! On which terms a machine may be made and changed.
//!
//! What the administrator's policy refuses is not made. A machine that was made before the policy was tightened is left
//! alone: it is kept running as it is, and only changes are refused.

use super::{Action, Context, Place, Planned, Reason, Step};
use crate::proxmox::wire::Addresses;

/// What an administrator says to a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// What of the spec is refused, and what is allowed.
    pub refusal: Option<Reason>,
    /// So many machines the namespace may have.
    pub most_machines: Option<usize>,
    /// What the spec asks for that nobody else may have.
    pub addresses: Addresses,
}

impl Context<'_> {
    /// What stands in the way of a machine that has no place yet.
    pub(super) fn new_on_terms(&self, terms: &Terms) -> Option<Planned> {
        let Terms { refusal, most_machines, addresses } = terms;
        let placed = self.others().placed_in_namespace();
        let full = most_machines.filter(|most| placed >= *most).map(|most| {
            let message = format!("the namespace has {placed} machines in this cluster, and {most} are allowed");
            Reason::new("TooManyMachines", message)
        });
        // Those that chose their place at the same time do not show in the inventory yet.
        let promised = || {
            if *addresses == Addresses::default() {
                return None;
            }
            let taken = self.others().machines().find_map(|claim| addresses.common(&claim.addresses));
            taken.map(|what| Reason::new("AddressTaken", format!("{what} is another machine's")))
        };
        let refused = refusal.clone().or(full).or_else(|| self.stolen(addresses)).or_else(promised)?;
        Some(Ok(Step::Stall(refused)))
    }

    /// The step, unless it would bring about what is refused.
    pub(super) fn on_terms(&self, terms: &Terms, step: Step) -> Step {
        let changes = match &step {
            Step::Act(action) => is_change(action),
            Step::Look(_)
            | Step::Record(_)
            | Step::Retry(..)
            | Step::Wait(_)
            | Step::Rest { .. }
            | Step::Preview { .. }
            | Step::Stall(_)
            | Step::Release => false,
        };
        let refused = if changes { terms.refusal.clone().or_else(|| self.stolen(&terms.addresses)) } else { None };
        refused.map_or(step, Step::Stall)
    }

    /// A machine that the inventory shows has what this one asks for.
    fn stolen(&self, addresses: &Addresses) -> Option<Reason> {
        if *addresses == Addresses::default() {
            return None;
        }
        let own = self.recorded.intent.as_ref().map(|intent| &intent.place).or(self.adoptee);
        let is_own = |site, vmid| {
            own.is_some_and(|Place { node, vmid: own }| {
                *own == vmid && self.node(node).is_some_and(|node| node.site == site)
            })
        };
        self.snapshot().sites().find_map(|(site, state)| {
            let others = state.vms.iter().filter(|(vmid, entry)| !entry.template && !is_own(site, **vmid));
            others.map(|(_, entry)| entry).find_map(|entry| {
                let what = addresses.common(&entry.details.as_ref()?.addresses)?;
                Some(Reason::new("AddressTaken", format!("{what} is another machine's")))
            })
        })
    }
}

/// Whether an action brings a machine closer to its spec, rather than turning it on or off or removing it.
fn is_change(action: &Action) -> bool {
    match action {
        Action::Clone { .. }
        | Action::Configure { .. }
        | Action::Tag { .. }
        | Action::Resize { .. }
        | Action::Disk { .. }
        | Action::Pool { .. } => true,
        Action::Start(_)
        | Action::Shutdown { .. }
        | Action::Suspend(_)
        | Action::Resume(_)
        | Action::Stop(_)
        | Action::Destroy(_)
        | Action::FreeVolume { .. }
        | Action::StopTask(_) => false,
    }
}
