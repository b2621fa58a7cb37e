//! VMIDs that rest: a client of the REST API may still know a machine by one that was released. For a while it is given to
//! nobody but its last owner, so that no client ever commands a stranger's machine.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::proxmox::wire::Vmid;

/// How long a VMID rests.
const REST: SignedDuration = SignedDuration::from_hours(7 * 24);
/// So many VMIDs of a cluster are kept resting, at most: the oldest are given up first.
const MOST: usize = 5_000;

/// The VMIDs that rest.
#[derive(Debug, Default)]
pub struct Resting(BTreeMap<Vmid, Rest>);

/// A VMID that was released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rest {
    /// The cluster that it was released in.
    pub cluster: String,
    /// The user whose it was, by its name in Kubernetes.
    pub owner: String,
    /// When it was released.
    pub released: Timestamp,
}

impl Rest {
    fn is_over(&self, now: Timestamp) -> bool {
        now.duration_since(self.released) >= REST
    }
}

impl Resting {
    /// Notes that a VMID was released, unless a later release of it is known.
    pub fn add(&mut self, vmid: Vmid, rest: Rest) {
        if self.0.get(&vmid).is_none_or(|known| known.released < rest.released) {
            self.0.insert(vmid, rest);
        }
    }

    /// Whether a VMID is not given to this user now.
    pub fn is_refused_to(&self, vmid: Vmid, user: &str, now: Timestamp) -> bool {
        self.0.get(&vmid).is_some_and(|rest| rest.owner != user && !rest.is_over(now))
    }

    /// Those that were released in a cluster and still rest; what has rested enough is forgotten.
    pub fn of(&mut self, cluster: &str, now: Timestamp) -> BTreeMap<Vmid, Rest> {
        self.0.retain(|_, rest| !rest.is_over(now));
        let mut found: Vec<_> = self.0.iter().filter(|(_, rest)| rest.cluster == cluster).collect();
        if found.len() > MOST {
            tracing::warn!(cluster, count = found.len(), "more VMIDs rest than are kept; the oldest may be given away");
            found.sort_by_key(|(_, rest)| std::cmp::Reverse(rest.released));
            found.truncate(MOST);
        }
        found.into_iter().map(|(vmid, rest)| (*vmid, rest.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(days: i64) -> Timestamp {
        Timestamp::from_second(days * 86_400).unwrap()
    }

    fn rest(cluster: &str, owner: &str, day: i64) -> Rest {
        Rest { cluster: cluster.into(), owner: owner.into(), released: at(day) }
    }

    #[test]
    fn a_vmid_rests_seven_days_before_another_owner_gets_it() {
        let mut resting = Resting::default();
        resting.add(1000, rest("main", "ana", 10));
        for (user, day, refused) in [
            ("ana", 10, false),
            ("ana", 16, false),
            ("eva", 10, true),
            ("eva", 16, true),
            ("eva", 17, false),
            ("eva", 30, false),
        ] {
            assert_eq!(resting.is_refused_to(1000, user, at(day)), refused, "{user} on day {day}");
        }
    }

    #[test]
    fn the_last_release_counts_whichever_is_heard_of_first() {
        let mut resting = Resting::default();
        resting.add(1000, rest("main", "ana", 10));
        resting.add(1000, rest("main", "eva", 12));
        resting.add(1000, rest("main", "ana", 11));
        assert_eq!(resting.of("main", at(12)).values().collect::<Vec<_>>(), [&rest("main", "eva", 12)]);
    }

    #[test]
    fn a_cluster_keeps_its_own_and_forgets_what_has_rested() {
        let mut resting = Resting::default();
        resting.add(1000, rest("main", "ana", 10));
        resting.add(1001, rest("other", "ana", 10));
        resting.add(1002, rest("main", "ana", 14));
        assert_eq!(resting.of("main", at(16)).into_keys().collect::<Vec<_>>(), [1000, 1002]);
        assert_eq!(resting.of("main", at(18)).into_keys().collect::<Vec<_>>(), [1002]);
        assert_eq!(resting.0.len(), 1);
    }

    #[test]
    fn the_oldest_are_given_up_when_there_are_too_many() {
        let mut resting = Resting::default();
        for number in 0..6_000_u32 {
            let released = at(1).checked_add(SignedDuration::from_secs(i64::from(number))).unwrap();
            resting.add(number, Rest { released, ..rest("main", "ana", 1) });
        }
        let kept = resting.of("main", at(2));
        assert_eq!((kept.len(), kept.keys().next()), (MOST, Some(&1_000)));
    }
}
