//! Conditions by the rules of kstatus, so that `kubectl wait` and Flux judge every kind alike.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

/// The object is as its spec says.
pub const READY: &str = "Ready";
/// The operator is working on it, or waits for something that can come by itself.
pub const RECONCILING: &str = "Reconciling";
/// Nothing happens until a person changes something.
pub const STALLED: &str = "Stalled";

/// Nothing is done for the object, since its annotation says so.
pub const PAUSED: &str = "Paused";

/// An object whose status has conditions.
pub trait Conditioned {
    /// The conditions.
    fn conditions(&self) -> &[Condition];

    /// The conditions, to be changed, with the status' one sentence of where the object stands, if it has one.
    fn conditions_mut(&mut self) -> (&mut Vec<Condition>, Option<&mut Option<String>>);
}

/// Where an object stands, as the three conditions of kstatus tell it together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As the spec says.
    Ready,
    /// On its way.
    Reconciling,
    /// Not without help.
    Stalled,
}

/// Sets `Ready`, `Reconciling` and `Stalled` so that they agree with each other.
///
/// kstatus takes a missing `Reconciling` or `Stalled` for false, so these two are there only when they are true.
pub fn set_verdict(
    conditions: &mut Vec<Condition>,
    verdict: &Verdict,
    reason: &str,
    message: &str,
    generation: i64,
    now: Timestamp,
) {
    let ready = match verdict {
        Verdict::Ready => "True",
        Verdict::Reconciling | Verdict::Stalled => "False",
    };
    set_condition(conditions, condition(READY, ready, reason, message, generation, now));
    for (kind, holds) in [(RECONCILING, *verdict == Verdict::Reconciling), (STALLED, *verdict == Verdict::Stalled)] {
        if holds {
            set_condition(conditions, condition(kind, "True", reason, message, generation, now));
        } else {
            remove_condition(conditions, kind);
        }
    }
}

/// Which of `Ready`, `Reconciling` and `Stalled` holds.
pub fn verdict_of(conditions: &[Condition]) -> &str {
    let mut held = conditions.iter().filter(|condition| condition.status == "True").map(|condition| &condition.type_);
    held.find(|kind| [READY, RECONCILING, STALLED].contains(&kind.as_str())).map_or("Unknown", String::as_str)
}

/// A condition that changed now.
pub fn condition(kind: &str, status: &str, reason: &str, message: &str, generation: i64, now: Timestamp) -> Condition {
    Condition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: Some(generation),
        last_transition_time: Time(now),
    }
}

/// Puts a condition into the list; the time of the transition stays where the status did not change.
pub fn set_condition(conditions: &mut Vec<Condition>, mut new: Condition) {
    match conditions.iter_mut().find(|old| old.type_ == new.type_) {
        Some(old) => {
            if old.status == new.status {
                new.last_transition_time = old.last_transition_time.clone();
            }
            *old = new;
        }
        None => conditions.push(new),
    }
}

/// Puts a condition there while it is false, with its reason and message.
pub fn set_while_false(
    conditions: &mut Vec<Condition>,
    kind: &str,
    why: Option<(String, String)>,
    generation: i64,
    now: Timestamp,
) {
    match why {
        Some((reason, message)) => {
            set_condition(conditions, condition(kind, "False", &reason, &message, generation, now));
        }
        None => remove_condition(conditions, kind),
    }
}

/// Takes a condition out of the list.
pub fn remove_condition(conditions: &mut Vec<Condition>, kind: &str) {
    conditions.retain(|condition| condition.type_ != kind);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_time_of_a_transition_stays_while_the_status_does() {
        let mut conditions = Vec::new();
        set_verdict(&mut conditions, &Verdict::Reconciling, "Cloning", "10 %", 1, at(1));
        set_verdict(&mut conditions, &Verdict::Reconciling, "Cloning", "20 %", 1, at(2));
        assert!(conditions.iter().all(|c| c.last_transition_time.0 == at(1) && c.message == "20 %"));
        set_verdict(&mut conditions, &Verdict::Ready, "Running", "", 1, at(3));
        assert_eq!(conditions.len(), 1);
        assert_eq!((conditions[0].status.as_str(), conditions[0].last_transition_time.0), ("True", at(3)));
    }

    #[test]
    fn an_object_never_stalls_and_goes_on_at_once() {
        let mut conditions = Vec::new();
        set_verdict(&mut conditions, &Verdict::Stalled, "Refused", "no", 1, at(1));
        set_verdict(&mut conditions, &Verdict::Reconciling, "Cloning", "", 2, at(2));
        let kinds: Vec<_> = conditions.iter().map(|c| (c.type_.as_str(), c.status.as_str())).collect();
        assert_eq!(kinds, [(READY, "False"), (RECONCILING, "True")]);
    }
}
