//! Events: what happened to a machine that a person would want to know of. Pure functions of the object.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::events::{Event, EventType};

use super::report::REBOOT_REQUIRED;
use crate::{
    api::{
        conditions::{READY, STALLED},
        proxmox_vm::{Leftover, Phase, ProxmoxVMStatus, Stage},
    },
    controller::events::event,
};

/// Reasons that a machine that was Ready is not any more by nobody's wish, while it goes on as far as is known.
const OUT_OF_SIGHT: [&str; 8] = [
    "NodeUnreachable",
    "NoQuorum",
    "ClusterNotReady",
    "InvalidCluster",
    "DependencyNotFound",
    "DependencyForbidden",
    "NamespaceNotAdmitted",
    "SearchIncomplete",
];

/// What the change from one status to the next tells.
pub fn events(old: &ProxmoxVMStatus, new: &ProxmoxVMStatus) -> Vec<Event> {
    let mut events: Vec<_> = of_phase(old, new).or_else(|| of_verdict(old, new)).into_iter().collect();
    events.extend(of_place(old, new));
    events.extend(of_reboot(old, new));
    events.extend(of_leftovers(&old.leftovers, &new.leftovers));
    events
}

fn find<'a>(status: &'a ProxmoxVMStatus, kind: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|condition| condition.type_ == kind)
}

fn of_phase(old: &ProxmoxVMStatus, new: &ProxmoxVMStatus) -> Option<Event> {
    let phase = new.phase.filter(|phase| old.phase != Some(*phase))?;
    let ready = find(new, READY);
    // What stands still because it is to, or because we asked it to, is no trouble.
    let meant = old.phase == Some(Phase::Stopping) || ready.is_some_and(|ready| ready.status == "True");
    let reason = ready.map_or_else(|| format!("{phase:?}"), |ready| ready.reason.clone());
    let trouble = phase.is_trouble() && !meant || reason == "Missing";
    let type_ = if trouble { EventType::Warning } else { EventType::Normal };
    // The next node's turn is no repetition, and the recorder keeps the first note of one.
    let action = match &new.intent {
        Some(intent) => format!("{phase:?}VM{}", intent.vmid),
        None => format!("{phase:?}"),
    };
    Some(event(type_, &reason, action, new.message.clone().unwrap_or_default()))
}

/// In the same phase it stands still for another reason, is lost from sight, or is back.
fn of_verdict(old: &ProxmoxVMStatus, new: &ProxmoxVMStatus) -> Option<Event> {
    let (before, now) = (find(old, READY)?, find(new, READY)?);
    if before.reason == now.reason {
        return None;
    }
    let unseen = |ready: &Condition| OUT_OF_SIGHT.contains(&ready.reason.as_str());
    let (type_, action) = match now.status.as_str() {
        "True" if unseen(before) => (EventType::Normal, "Observe"),
        "False" if find(new, STALLED).is_some() => (EventType::Warning, "Stall"),
        "False" if unseen(now) && before.status == "True" => (EventType::Warning, "Observe"),
        _ => return None,
    };
    Some(event(type_, &now.reason, action, now.message.clone()))
}

fn of_place(old: &ProxmoxVMStatus, new: &ProxmoxVMStatus) -> Option<Event> {
    let intent = new.intent.as_ref().filter(|intent| intent.stage == Stage::Established)?;
    let before = old.intent.as_ref().filter(|before| before.vmid == intent.vmid && before.node != intent.node)?;
    let note = format!("VM {} is on {} now, and was on {}", intent.vmid, intent.node, before.node);
    Some(event(EventType::Normal, "Moved", "Follow", note))
}

fn of_reboot(old: &ProxmoxVMStatus, new: &ProxmoxVMStatus) -> Option<Event> {
    let required = find(new, REBOOT_REQUIRED).filter(|_| find(old, REBOOT_REQUIRED).is_none())?;
    Some(event(EventType::Normal, REBOOT_REQUIRED, "Change", required.message.clone()))
}

/// The recorder takes what has the same reason and action for a repetition, and keeps the first note.
fn of_leftovers(old: &[Leftover], new: &[Leftover]) -> Vec<Event> {
    let same = |one: &Leftover, other: &Leftover| (&one.node, one.vmid) == (&other.node, other.vmid);
    let remains = new.iter().filter(|left| {
        let known = old.iter().find(|known| same(known, left));
        known.is_none_or(|known| left.command.is_some() && known.command != left.command)
    });
    let removed = old.iter().filter(|left| !new.iter().any(|still| same(still, left)));
    let remains = remains
        .map(|left| event(EventType::Warning, "LeftoverRemains", format!("RemoveVM{}", left.vmid), describe(left)));
    let removed = removed.map(|left| {
        let note = format!("nothing is left of VM {} on {}", left.vmid, left.node);
        event(EventType::Normal, "LeftoverRemoved", format!("RemoveVM{}", left.vmid), note)
    });
    remains.chain(removed).collect()
}

fn describe(left: &Leftover) -> String {
    let Leftover { node, vmid, reason, command, since: _ } = left;
    let help = command.as_ref().map(|command| format!("; an administrator can help on {node} with: {command}"));
    format!("VM {vmid} on {node} could not be removed: {reason}{}", help.unwrap_or_default())
}

/// The machine was left in Proxmox as it is, without anybody having asked.
pub fn orphaned(status: &ProxmoxVMStatus) -> Event {
    let ProxmoxVMStatus { phase, intent, leftovers, .. } = status;
    let machine = match intent {
        Some(intent) => format!("VM {} on {} is left with the marks of this object", intent.vmid, intent.node),
        None if phase.is_none() => {
            "the status was lost: a machine with the marks of this object may be left".to_owned()
        }
        None => "no machine was made".to_owned(),
    };
    let leftovers = leftovers.iter().map(describe);
    let note: Vec<_> = std::iter::once(machine).chain(leftovers).collect();
    let note = format!("let go without asking Proxmox, as spec.deletionPolicy says: {}", note.join("; "));
    event(EventType::Warning, "Orphaned", "Release", note)
}

/// The machine was left in Proxmox without our mark.
pub fn retained(node: &str, vmid: i64) -> Event {
    let note = format!("VM {vmid} on {node} stays as it is, and bears the mark of this object no more");
    event(EventType::Normal, "Retained", "Release", note)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
    use serde_json::{Value, json};

    use super::*;
    use crate::api::conditions::condition;

    fn status(patch: Value) -> ProxmoxVMStatus {
        let mut status = json!({"phase": "Running", "intent": {
            "node": "a", "vmid": 600, "attempt": 1, "stage": "Established", "since": "2026-01-02T03:04:05Z",
        }});
        json_patch::merge(&mut status, &patch);
        serde_json::from_value(status).unwrap()
    }

    fn with(status: ProxmoxVMStatus, conditions: &[(&str, &str, &str)]) -> ProxmoxVMStatus {
        let made = |(kind, holds, reason): &(&str, &str, &str)| {
            condition(kind, holds, reason, "why", 1, Timestamp::UNIX_EPOCH)
        };
        ProxmoxVMStatus { conditions: conditions.iter().map(made).collect(), ..status }
    }

    fn told(old: &ProxmoxVMStatus, new: &ProxmoxVMStatus) -> Vec<String> {
        let shown = |event: Event| format!("{:?} {}: {}", event.type_, event.reason, event.note.unwrap_or_default());
        events(old, new).into_iter().map(shown).collect()
    }

    fn left(command: Option<&str>) -> ProxmoxVMStatus {
        let since = Time(Timestamp::UNIX_EPOCH);
        let (node, reason, command) = ("b".to_owned(), "it is locked".to_owned(), command.map(str::to_owned));
        ProxmoxVMStatus { leftovers: vec![Leftover { node, vmid: 601, reason, command, since }], ..status(json!({})) }
    }

    #[test]
    fn each_attempt_is_told_for_itself() {
        let placed = |vmid: i64| {
            let pending = status(json!({"phase": "Pending", "intent": null}));
            let cloning = status(json!({"phase": "Cloning", "intent": {"vmid": vmid, "stage": "Creating"}}));
            events(&pending, &cloning).into_iter().map(|event| event.action).collect::<Vec<_>>()
        };
        assert_eq!((placed(600), placed(601)), (vec!["CloningVM600".to_owned()], vec!["CloningVM601".to_owned()]));
    }

    #[test]
    fn a_leftover_is_told_of_when_it_comes_when_a_command_helps_and_when_it_is_gone() {
        let (none, plain, helped) = (status(json!({})), left(None), left(Some("qm unlock 601")));
        for (old, new, expected) in [
            (&none, &plain, "Warning LeftoverRemains: VM 601 on b could not be removed: it is locked"),
            (
                &plain,
                &helped,
                "Warning LeftoverRemains: VM 601 on b could not be removed: it is locked; an administrator can help on b \
                 with: qm unlock 601",
            ),
            (&helped, &none, "Normal LeftoverRemoved: nothing is left of VM 601 on b"),
        ] {
            assert_eq!(told(old, new), [expected]);
        }
        assert!(told(&helped, &helped).is_empty());
    }

    #[test]
    fn a_machine_that_moved_is_told_of_and_one_that_is_tried_elsewhere_is_not() {
        let moved = status(json!({"intent": {"node": "b"}}));
        assert_eq!(told(&status(json!({})), &moved), ["Normal Moved: VM 600 is on b now, and was on a"]);
        let other = status(json!({"intent": {"node": "b", "vmid": 601}}));
        assert!(told(&status(json!({})), &other).is_empty());
        let cloning = status(json!({"intent": {"node": "b", "stage": "Creating"}}));
        assert!(told(&status(json!({"intent": {"stage": "Creating"}})), &cloning).is_empty());
    }

    #[test]
    fn in_the_same_phase_what_a_person_would_not_see_else_is_told() {
        let ready = with(status(json!({})), &[(READY, "True", "Running")]);
        let unseen = with(status(json!({})), &[(READY, "False", "NodeUnreachable")]);
        let working = with(status(json!({})), &[(READY, "False", "Configuring")]);
        let stalled =
            |word| with(status(json!({"phase": "Stalled"})), &[(READY, "False", word), (STALLED, "True", word)]);
        assert_eq!(told(&ready, &unseen), ["Warning NodeUnreachable: why"]);
        assert_eq!(told(&unseen, &ready), ["Normal Running: why"]);
        assert!(told(&ready, &working).is_empty() && told(&working, &ready).is_empty());
        assert_eq!(told(&stalled("Missing"), &stalled("NotOurs")), ["Warning NotOurs: why"]);
        assert!(told(&stalled("Missing"), &stalled("Missing")).is_empty());
    }

    #[test]
    fn a_reboot_that_is_needed_is_told_once() {
        let ready = with(status(json!({})), &[(READY, "True", "Running")]);
        let required = [(READY, "True", "Running"), (REBOOT_REQUIRED, "True", "PendingChanges")];
        let required = with(status(json!({})), &required);
        assert_eq!(told(&ready, &required), ["Normal RebootRequired: why"]);
        assert!(told(&required, &required).is_empty());
    }

    #[test]
    fn a_machine_that_is_gone_is_a_warning_though_a_new_one_is_made() {
        let gone = with(status(json!({"phase": "Pending", "intent": null})), &[(READY, "False", "Missing")]);
        let told = told(&status(json!({})), &gone);
        assert!(told[0].starts_with("Warning Missing"), "{told:?}");
    }

    #[test]
    fn what_is_left_behind_on_purpose_is_named() {
        let note = |status: &ProxmoxVMStatus| orphaned(status).note.unwrap();
        assert!(note(&status(json!({}))).ends_with("says: VM 600 on a is left with the marks of this object"));
        assert!(note(&left(Some("qm unlock 601"))).ends_with("an administrator can help on b with: qm unlock 601"));
        assert!(note(&status(json!({"intent": null}))).ends_with("no machine was made"));
        assert!(note(&ProxmoxVMStatus::default()).contains("the status was lost"));
    }
}
