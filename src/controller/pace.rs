//! How fast objects are reconciled: backoff for each that fails, and nothing at all for one that did not change.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rand::RngExt;

use super::run::Next;

const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(300);

/// The pace of the objects of a kind, by `namespace/name`.
#[derive(Debug, Default)]
pub struct Pace {
    objects: Mutex<HashMap<String, Object>>,
}

#[derive(Debug, Default)]
struct Object {
    /// Failures without a success between them.
    failures: u32,
    /// Its generation and whether it was being deleted when it failed: a change of these is worth a try at once.
    wanted: (Option<i64>, bool),
    /// Not before this time, unless it was changed by its owner.
    not_before: Option<Instant>,
    /// The version that our own last write left, if we did not have to come back by ourselves.
    rests_at: Option<String>,
    /// When it is to be looked at again, with or without an event.
    due: Option<Instant>,
    /// Something outside Kubernetes changed.
    woken: bool,
}

impl Pace {
    /// Notes that something outside Kubernetes changed for the object.
    pub fn wake(&self, name: &str) {
        self.objects.lock().entry(name.to_owned()).or_default().woken = true;
    }

    /// Notes the version that our own write left, so that its echo wakes nobody.
    pub fn wrote(&self, name: &str, version: &str) {
        self.objects.lock().entry(name.to_owned()).or_default().rests_at = Some(version.to_owned());
    }

    /// Whether there is nothing to do yet, and for how long.
    pub fn not_yet(
        &self,
        name: &str,
        version: &str,
        generation: Option<i64>,
        deleting: bool,
    ) -> Option<Option<Duration>> {
        let now = Instant::now();
        let mut objects = self.objects.lock();
        let object = objects.entry(name.to_owned()).or_default();
        let wanted = (generation, deleting);
        if object.wanted != wanted {
            *object = Object { wanted, ..Object::default() };
            return None;
        }
        if let Some(not_before) = object.not_before
            && not_before > now
        {
            return Some(Some(not_before.saturating_duration_since(now)));
        }
        if object.woken {
            object.woken = false;
            return None;
        }
        let due = object.due.map(|due| due.saturating_duration_since(now));
        let unchanged = object.rests_at.as_deref() == Some(version) && due != Some(Duration::ZERO);
        unchanged.then_some(due)
    }

    /// A reconcile ended without a failure of its own; when the object is due again.
    pub fn done(&self, name: &str, next: Next) -> Option<Duration> {
        if next == Next::Backoff {
            return Some(self.failed(name));
        }
        let mut objects = self.objects.lock();
        let object = objects.entry(name.to_owned()).or_default();
        object.not_before = None;
        let delay = match next {
            Next::Event | Next::Backoff => None,
            Next::After(delay) | Next::Underway(delay) => Some(delay),
        };
        // A task that was started may fail again as it did before: starting it is no success.
        if !matches!(next, Next::Underway(_)) {
            object.failures = 0;
        }
        object.due = delay.and_then(|delay| Instant::now().checked_add(delay));
        match delay {
            // An event that came in the meantime is not lost.
            _ if object.woken => Some(Duration::ZERO),
            delay => delay,
        }
    }

    /// A reconcile failed; how long to wait: exponential with jitter.
    pub fn failed(&self, name: &str) -> Duration {
        let mut objects = self.objects.lock();
        let object = objects.entry(name.to_owned()).or_default();
        let full = FIRST_DELAY.saturating_mul(2_u32.saturating_pow(object.failures)).min(LONGEST_DELAY);
        let delay = full.mul_f64(rand::rng().random_range(0.5..=1.0));
        object.failures = object.failures.saturating_add(1);
        object.not_before = Instant::now().checked_add(delay);
        object.due = object.not_before;
        object.rests_at = None;
        delay
    }

    /// How many objects wait after a failure, and how many were woken and have not had their turn.
    pub fn count(&self) -> (u64, u64) {
        let now = Instant::now();
        let objects = self.objects.lock();
        let waits = |object: &&Object| object.failures > 0 && object.not_before.is_some_and(|until| until > now);
        let count = |which: &dyn Fn(&&Object) -> bool| objects.values().filter(|object| which(object)).count() as u64;
        (count(&waits), count(&|object| object.woken))
    }

    /// The object is gone.
    pub fn forget(&self, name: &str) {
        self.objects.lock().remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_grows_and_ends_at_five_minutes() {
        let pace = Pace::default();
        let delays: Vec<_> = (0..12).map(|_| pace.failed("a/b")).collect();
        assert!(delays[0] <= FIRST_DELAY && delays[0] >= FIRST_DELAY / 2);
        assert!(delays[11] <= LONGEST_DELAY && delays[11] >= LONGEST_DELAY / 2);
        pace.done("a/b", Next::Underway(Duration::ZERO));
        assert!(pace.failed("a/b") > FIRST_DELAY, "what is under way may fail again");
        pace.done("a/b", Next::Event);
        assert!(pace.failed("a/b") <= FIRST_DELAY, "a success resets the backoff");
    }

    #[test]
    fn the_echo_of_our_own_write_wakes_nobody() {
        let pace = Pace::default();
        assert_eq!(pace.not_yet("a/b", "1", Some(1), false), None, "a new object is reconciled");
        pace.wrote("a/b", "2");
        pace.done("a/b", Next::Event);
        assert_eq!(pace.not_yet("a/b", "2", Some(1), false), Some(None));
        assert_eq!(pace.not_yet("a/b", "3", Some(1), false), None, "somebody else wrote");
        assert_eq!(pace.not_yet("a/b", "2", Some(2), false), None, "the spec changed");
        assert_eq!(pace.not_yet("a/b", "2", Some(2), true), None, "it is deleted");
        pace.wrote("a/b", "4");
        pace.wake("a/b");
        assert_eq!(pace.not_yet("a/b", "4", Some(2), true), None, "something woke it");
        assert_eq!(pace.not_yet("a/b", "4", Some(2), true), Some(None));
    }

    #[test]
    fn a_failed_object_is_left_alone_until_its_time_or_its_spec_changes() {
        let pace = Pace::default();
        pace.not_yet("a/b", "1", Some(1), false);
        pace.failed("a/b");
        pace.wake("a/b");
        assert!(matches!(pace.not_yet("a/b", "1", Some(1), false), Some(Some(_))));
        assert_eq!(pace.not_yet("a/b", "2", Some(2), false), None);
    }
}
