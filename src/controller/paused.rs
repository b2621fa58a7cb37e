//! The annotation `cloudfaster.app/paused`: the object is left alone until it goes, also when it is deleted.
//!
//! While it is paused nobody looks whether the object is as its spec says, so it is neither Ready nor not: `Ready` is
//! Unknown, and `Reconciling` keeps kstatus from calling it current. Decided here for all kinds; no I/O.

use jiff::Timestamp;
use kube::{
    Resource,
    runtime::events::{Event, EventType},
};

use super::events;
use crate::api::{
    self,
    conditions::{self, Conditioned, READY, RECONCILING, STALLED},
};

/// The reason of the conditions while the object is paused.
const WORD: &str = "Paused";
/// The same from then on until its first reconcile has something to say.
const RESUMED: &str = "Resumed";

/// What the annotation says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Go on.
    Run,
    /// Leave it alone.
    Pause,
    /// Something that is not understood: left alone too, since doing nothing can be made up for.
    Misread(String),
}

/// What the annotation of an object says.
pub fn wish<K: Resource>(object: &K) -> Wish {
    match object.meta().annotations.as_ref().and_then(|all| all.get(api::PAUSED)).map(String::as_str) {
        None | Some("" | "false") => Wish::Run,
        Some("true") => Wish::Pause,
        Some(other) => Wish::Misread(other.to_owned()),
    }
}

/// Whether the status says that the object is paused.
pub fn is_shown<K: Conditioned>(object: &K) -> bool {
    object.conditions().iter().any(|condition| condition.type_ == conditions::PAUSED && condition.status == "True")
}

/// The object with a status that says that it is paused, and why; nothing if it is not to be.
pub fn paused<K: Resource + Conditioned + Clone>(object: &K, now: Timestamp) -> Option<K> {
    let asked = match wish(object) {
        Wish::Run => return None,
        Wish::Pause => format!("the annotation {} says so", api::PAUSED),
        Wish::Misread(value) => format!(
            "the annotation {} says {value:?}, which is taken for \"true\"; to go on, remove it or set it to \"false\"",
            api::PAUSED
        ),
    };
    let effect = if object.meta().deletion_timestamp.is_some() {
        "it is being deleted, and is neither removed nor let go until it goes on"
    } else {
        "nothing is looked at and nothing is changed until it goes on"
    };
    let message = format!("paused: {asked}; {effect}");
    let mut after = object.clone();
    let generation = observed(object);
    let (list, sentence) = after.conditions_mut();
    for (kind, status) in [(conditions::PAUSED, "True"), (READY, "Unknown"), (RECONCILING, "True")] {
        let condition = conditions::condition(kind, status, WORD, &message, generation, now);
        conditions::set_condition(list, condition);
    }
    conditions::remove_condition(list, STALLED);
    if let Some(sentence) = sentence {
        *sentence = Some(message);
    }
    Some(after)
}

/// The object with a status that says that it goes on.
pub fn resumed<K: Resource + Conditioned + Clone>(object: &K, now: Timestamp) -> K {
    let message = "is looked at again after a pause".to_owned();
    let mut after = object.clone();
    let generation = observed(object);
    let (list, sentence) = after.conditions_mut();
    conditions::remove_condition(list, conditions::PAUSED);
    for (kind, status) in [(READY, "Unknown"), (RECONCILING, "True")] {
        let condition = conditions::condition(kind, status, RESUMED, &message, generation, now);
        conditions::set_condition(list, condition);
    }
    if let Some(sentence) = sentence {
        *sentence = Some(message);
    }
    after
}

/// A pause is seen of the present generation, whatever generation the rest of the status is of.
fn observed<K: Resource>(object: &K) -> i64 {
    object.meta().generation.unwrap_or_default()
}

/// The event that tells of a pause or of its end.
pub fn event<K: Resource + Conditioned>(after: &K) -> Event {
    let condition = after.conditions().iter().find(|condition| condition.type_ == READY);
    let (reason, note) = condition.map_or_else(Default::default, |it| (it.reason.clone(), it.message.clone()));
    let action = if reason == WORD { "Pause" } else { "Resume" };
    events::event(EventType::Normal, &reason, action, note)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::ProxmoxVM;

    fn vm(annotation: Option<&str>, deleted: bool, status: &serde_json::Value) -> ProxmoxVM {
        let mut object = json!({
            "apiVersion": "cloudfaster.app/v1alpha1", "kind": "ProxmoxVM",
            "metadata": {"name": "one", "namespace": "shop", "generation": 3},
            "spec": {"clusterRef": {"name": "main"}, "os": "DEBIAN12"},
            "status": status,
        });
        if let Some(value) = annotation {
            object["metadata"]["annotations"] = json!({"cloudfaster.app/paused": value});
        }
        if deleted {
            object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        serde_json::from_value(object).unwrap()
    }

    fn shown(vm: &ProxmoxVM) -> Vec<(&str, &str, &str)> {
        let conditions = vm.conditions().iter();
        conditions.map(|it| (it.type_.as_str(), it.status.as_str(), it.reason.as_str())).collect()
    }

    fn stalled() -> serde_json::Value {
        let condition = |kind: &str, status: &str| {
            json!({"type": kind, "status": status, "reason": "Refused", "message": "no",
                   "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 2})
        };
        json!({"observedGeneration": 2, "phase": "Stalled", "conditions": [condition("Ready", "False"), condition("Stalled", "True")]})
    }

    #[test]
    fn only_nothing_and_false_let_an_object_go_on() {
        for (value, wished) in [
            (None, Wish::Run),
            (Some(""), Wish::Run),
            (Some("false"), Wish::Run),
            (Some("true"), Wish::Pause),
            (Some("yes"), Wish::Misread("yes".to_owned())),
            (Some("True"), Wish::Misread("True".to_owned())),
            (Some("0"), Wish::Misread("0".to_owned())),
        ] {
            assert_eq!(wish(&vm(value, false, &json!(null))), wished);
            assert_eq!(paused(&vm(value, false, &json!(null)), Timestamp::UNIX_EPOCH).is_some(), wished != Wish::Run);
        }
    }

    #[test]
    fn a_paused_object_is_neither_ready_nor_stalled_nor_current() {
        let paused = paused(&vm(Some("true"), false, &stalled()), Timestamp::UNIX_EPOCH).unwrap();
        let expected =
            [("Ready", "Unknown", "Paused"), ("Paused", "True", "Paused"), ("Reconciling", "True", "Paused")];
        assert_eq!(shown(&paused), expected);
        assert!(is_shown(&paused));
        let status = paused.status.unwrap();
        assert_eq!(status.observed_generation, 2, "the new spec was not looked at");
        assert!(status.phase.is_some() && status.message.unwrap().contains("cloudfaster.app/paused says so"));
    }

    #[test]
    fn what_is_not_understood_is_told_with_the_remedy_and_a_deletion_with_its_effect() {
        let misread = paused(&vm(Some("yes"), false, &json!(null)), Timestamp::UNIX_EPOCH).unwrap();
        let message = misread.status.unwrap().message.unwrap();
        assert!(message.contains("\"yes\"") && message.contains("set it to \"false\""), "{message}");
        let deleted = paused(&vm(Some("true"), true, &json!(null)), Timestamp::UNIX_EPOCH).unwrap();
        assert!(deleted.status.unwrap().message.unwrap().contains("being deleted, and is neither removed nor let go"));
    }

    #[test]
    fn an_object_that_goes_on_says_so_until_its_reconcile_knows_more() {
        let before = paused(&vm(Some("true"), false, &stalled()), Timestamp::UNIX_EPOCH).unwrap();
        let resumed = resumed(&before, Timestamp::UNIX_EPOCH);
        assert_eq!(shown(&resumed), [("Ready", "Unknown", "Resumed"), ("Reconciling", "True", "Resumed")]);
        assert!(!is_shown(&resumed));
        assert_eq!((event(&before).reason.as_str(), event(&resumed).action.as_str()), ("Paused", "Resume"));
    }
}
