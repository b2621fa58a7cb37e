//! Clones one after the other: with too many at a time they run into each other's storage locks.

use super::{Context, Fleet, Intent, Owner, Reason, Turn};
use crate::proxmox::wire::Vmid;

/// The word for a machine that waits until it may be cloned.
pub const QUEUED: &str = "Queued";
/// Beyond so many the place in the queue is told in tens: it would have to be written too often.
const NEAR: usize = 10;

impl Intent {
    /// When it is the turn of this attempt to be cloned.
    pub fn turn(&self, owner: &Owner) -> Option<Turn> {
        let node = self.template_node.clone().unwrap_or_else(|| self.place.node.clone());
        Some(Turn { since: self.since, uid: owner.uid.clone(), node, template: self.template? })
    }
}

impl Context<'_> {
    /// Why the attempt has to wait before it is cloned, if it has to. What the list shows already was begun.
    pub(super) fn queued(&self, fleet: &Fleet, intent: &Intent) -> Option<Reason> {
        if self.recorded.task.is_some() || self.snapshot().vm(&intent.place.node, intent.place.vmid).is_some() {
            return None;
        }
        let turn = intent.turn(self.owner)?;
        let Turn { node, template, .. } = &turn;
        let waiting = self.others().waiting();
        let before: Vec<&Turn> = waiting
            .filter(|other| other.node == *node && (&other.since, &other.uid) < (&turn.since, &turn.uid))
            .collect();
        let of_template = before.iter().filter(|other| other.template == *template).count();
        let (running, of_node) = (self.clones(node, Some(*template)), self.clones(node, None));
        let full = |running: usize, before: usize, most: usize| running.saturating_add(before) >= most;
        let (running, before, what) = if full(running, of_template, fleet.clones_per_template) {
            (running, of_template, format!("template {template} on {node}"))
        } else if full(of_node, before.len(), fleet.clones_per_node) {
            (of_node, before.len(), node.clone())
        } else {
            return None;
        };
        let before = match before {
            0 => "it is the next".to_owned(),
            1 => "1 machine is before it".to_owned(),
            near if near < NEAR => format!("{near} machines are before it"),
            far => format!("more than {} machines are before it", far.saturating_sub(1) / NEAR * NEAR),
        };
        let message = format!("waits for its turn to be cloned: {running} of {what} run; {before}");
        Some(Reason::new(QUEUED, message))
    }

    /// How many clones run on a node, or are about to: those that the list shows, whoever began them, and those that do not
    /// show there yet.
    fn clones(&self, node: &str, template: Option<Vmid>) -> usize {
        let is_meant = |other: Vmid| template.is_none_or(|template| template == other);
        let listed = self.snapshot().clones(node).filter(|upid| {
            upid.id().parse().is_ok_and(is_meant)
                && self.others().cloning().all(|known| known.upid.as_deref() != Some(upid.as_str()))
        });
        let begun = self.others().cloning().filter(|known| known.node == node && is_meant(known.template));
        listed.count().saturating_add(begun.count())
    }
}
