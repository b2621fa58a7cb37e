//! Who leads, decided from what the Lease says and since when it says so. No I/O and no clock.
//!
//! No clock but one's own is trusted: a holder is taken for gone when its Lease has not changed for as long as it
//! promised, counted from when that was seen here, whatever the times in the Lease say. This is client-go's rule, so that
//! replicas on nodes whose clocks differ never lead together.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::api::ObjectMeta;
use tokio::time::Instant;

/// The times of the election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long a Lease that does not change holds the others back; whole seconds.
    pub duration: Duration,
    /// How long a leader goes on without a renewal.
    pub renew_deadline: Duration,
    /// How often it is renewed, and about how often those who wait look.
    pub retry: Duration,
}

/// Times that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTerms {
    /// The Lease has a field for whole seconds only.
    #[error("--lease-duration must be whole seconds, at least one")]
    Duration,
    /// Two would lead at the same time.
    #[error(
        "--lease-renew-deadline must be shorter than --lease-duration: a leader has to stop before another may take over"
    )]
    Deadline,
    /// One lost request would be the end.
    #[error("--lease-retry-period must be longer than 0 and at most half of --lease-renew-deadline")]
    Retry,
}

impl Terms {
    /// The terms, if they can work.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn checked(self) -> Result<Self, InvalidTerms> {
        let Self { duration, renew_deadline, retry } = self;
        let seconds = i32::try_from(duration.as_secs()).unwrap_or_default();
        if seconds < 1 || duration.subsec_nanos() != 0 {
            Err(InvalidTerms::Duration)
        } else if renew_deadline >= duration {
            Err(InvalidTerms::Deadline)
        } else if retry.is_zero() || retry.saturating_mul(2) > renew_deadline {
            Err(InvalidTerms::Retry)
        } else {
            Ok(self)
        }
    }

    /// How long one request may take: when the first of them is lost, there is time for another before the deadline.
    pub fn request_limit(&self) -> Duration {
        self.renew_deadline / 2
    }

    fn seconds(&self) -> i32 {
        i32::try_from(self.duration.as_secs()).unwrap_or(i32::MAX)
    }
}

/// The Lease as it was seen last.
#[derive(Clone, Debug)]
pub struct Sight {
    lease: Option<Lease>,
    /// When it was first seen to say what it says.
    since: Instant,
}

impl Sight {
    /// Nothing was seen yet.
    pub fn nothing(now: Instant) -> Self {
        Self { lease: None, since: now }
    }

    /// It is seen now.
    pub fn see(&mut self, lease: Option<Lease>, now: Instant) {
        let says = |lease: &Option<Lease>| lease.as_ref().map(|lease| lease.spec.clone());
        if says(&self.lease) != says(&lease) {
            self.since = now;
        }
        self.lease = lease;
    }

    /// Where a watch goes on.
    pub fn version(&self) -> Option<&str> {
        self.lease.as_ref()?.metadata.resource_version.as_deref()
    }
}

/// Who holds a Lease; one that was released has no holder, or an empty one.
pub fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

/// What to do about the Lease.
#[derive(Clone, Debug, PartialEq)]
pub enum Move {
    /// It is not there: make it.
    Create(Lease),
    /// It is free, or ours: write this over the version that was seen.
    Write(Lease),
    /// It is somebody else's, at least until then.
    Wait {
        /// Whose.
        holder: String,
        /// Until when.
        until: Instant,
    },
}

/// The next move of `me` in the Lease `name`.
pub fn next(name: &str, me: &str, terms: &Terms, sight: &Sight, now: Instant, time: Timestamp) -> Move {
    let Some(lease) = &sight.lease else {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        return Move::Create(Lease { metadata, spec: Some(claim(me, terms, None, time)) });
    };
    match holder(lease) {
        Some(holder) if holder == me => Move::Write(renewed(lease, terms, time)),
        Some(holder) => {
            let until = sight.since + promised(lease, terms);
            if now < until {
                Move::Wait { holder: holder.to_owned(), until }
            } else {
                Move::Write(claimed(lease, me, terms, time))
            }
        }
        None => Move::Write(claimed(lease, me, terms, time)),
    }
}

/// The Lease without a holder, for whoever comes next; nothing if it is not `me` who holds it.
pub fn released(me: &str, sight: &Sight, time: Timestamp) -> Option<Lease> {
    let lease = sight.lease.as_ref().filter(|lease| holder(lease) == Some(me))?;
    let mut free = lease.clone();
    let spec = free.spec.get_or_insert_default();
    spec.holder_identity = None;
    spec.renew_time = Some(MicroTime(time));
    spec.lease_duration_seconds = Some(1);
    Some(free)
}

/// How long its holder promised to stay within: its own setting counts, not ours.
fn promised(lease: &Lease, terms: &Terms) -> Duration {
    let seconds = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds);
    match seconds.and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0) {
        Some(seconds) => Duration::from_secs(seconds),
        None => terms.duration,
    }
}

fn claimed(lease: &Lease, me: &str, terms: &Terms, time: Timestamp) -> Lease {
    Lease { metadata: lease.metadata.clone(), spec: Some(claim(me, terms, lease.spec.as_ref(), time)) }
}

fn claim(me: &str, terms: &Terms, before: Option<&LeaseSpec>, time: Timestamp) -> LeaseSpec {
    let transitions = before.map_or(0, |spec| spec.lease_transitions.unwrap_or_default().saturating_add(1));
    LeaseSpec {
        holder_identity: Some(me.to_owned()),
        acquire_time: Some(MicroTime(time)),
        renew_time: Some(MicroTime(time)),
        lease_duration_seconds: Some(terms.seconds()),
        lease_transitions: Some(transitions),
        ..before.cloned().unwrap_or_default()
    }
}

fn renewed(lease: &Lease, terms: &Terms, time: Timestamp) -> Lease {
    let mut renewed = lease.clone();
    let spec = renewed.spec.get_or_insert_default();
    spec.renew_time = Some(MicroTime(time));
    spec.lease_duration_seconds = Some(terms.seconds());
    renewed
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms {
        duration: Duration::from_secs(15),
        renew_deadline: Duration::from_secs(10),
        retry: Duration::from_secs(2),
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn lease(holder: Option<&str>, renewed: i64, promised: Option<i32>) -> Lease {
        Lease {
            metadata: ObjectMeta { resource_version: Some(renewed.to_string()), ..ObjectMeta::default() },
            spec: Some(LeaseSpec {
                holder_identity: holder.map(str::to_owned),
                renew_time: Some(MicroTime(at(renewed))),
                acquire_time: Some(MicroTime(at(1))),
                lease_duration_seconds: promised,
                lease_transitions: Some(4),
                ..LeaseSpec::default()
            }),
        }
    }

    fn seen(lease: Lease, since: Instant) -> Sight {
        Sight { lease: Some(lease), since }
    }

    fn spec(step: Move) -> LeaseSpec {
        match step {
            Move::Create(lease) | Move::Write(lease) => lease.spec.unwrap(),
            Move::Wait { .. } => panic!("{step:?}"),
        }
    }

    #[test]
    fn a_lease_that_is_not_there_is_made() {
        let now = Instant::now();
        let step = next("it", "me", &TERMS, &Sight::nothing(now), now, at(100));
        let Move::Create(lease) = &step else { panic!("{step:?}") };
        assert_eq!(lease.metadata.name.as_deref(), Some("it"));
        assert_eq!(holder(lease), Some("me"));
        assert_eq!((spec(step.clone()).lease_duration_seconds, spec(step).lease_transitions), (Some(15), Some(0)));
    }

    #[test]
    fn a_lease_that_was_released_is_taken_at_once_over_the_version_that_was_seen() {
        let now = Instant::now();
        for free in [None, Some("")] {
            let step = next("it", "me", &TERMS, &seen(lease(free, 99, Some(1)), now), now, at(100));
            let Move::Write(written) = &step else { panic!("{step:?}") };
            assert_eq!(written.metadata.resource_version.as_deref(), Some("99"));
            assert_eq!(holder(written), Some("me"));
            assert_eq!(spec(step).lease_transitions, Some(5), "it has another holder");
        }
    }

    #[test]
    fn a_holder_is_waited_for_as_long_as_it_promised_since_its_lease_changed_before_our_eyes() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        for (promised, patience) in [(Some(15), 15), (Some(60), 60), (Some(2), 2), (None, 15), (Some(0), 15)] {
            let sight = seen(lease(Some("other"), 99, promised), now);
            let until = now + second * patience;
            let waits = Move::Wait { holder: "other".to_owned(), until };
            for time in [now, until - second / 2] {
                assert_eq!(next("it", "me", &TERMS, &sight, time, at(100)), waits, "{promised:?}");
            }
            assert_eq!(spec(next("it", "me", &TERMS, &sight, until, at(100))).holder_identity.as_deref(), Some("me"));
        }
    }

    #[test]
    fn the_other_ones_clock_does_not_count() {
        let now = Instant::now();
        for renewed in [0, 100, 1_000_000_000] {
            let sight = seen(lease(Some("other"), renewed, Some(15)), now);
            assert!(matches!(next("it", "me", &TERMS, &sight, now, at(500_000)), Move::Wait { .. }), "{renewed}");
        }
    }

    #[test]
    fn only_what_the_lease_says_counts_as_a_sign_of_life() {
        let now = Instant::now();
        let later = now + Duration::from_secs(10);
        let mut sight = Sight::nothing(now);
        sight.see(Some(lease(Some("other"), 99, Some(15))), now);
        let mut labelled = lease(Some("other"), 99, Some(15));
        labelled.metadata.resource_version = Some("100".to_owned());
        sight.see(Some(labelled), later);
        assert_eq!((sight.since, sight.version()), (now, Some("100")), "somebody labelled it");
        sight.see(Some(lease(Some("other"), 101, Some(15))), later);
        assert_eq!(sight.since, later, "it was renewed");
        sight.see(None, later + Duration::from_secs(1));
        assert_eq!(sight.since, later + Duration::from_secs(1), "it was deleted");
    }

    #[test]
    fn ones_own_lease_is_renewed_and_keeps_when_it_was_acquired() {
        let now = Instant::now();
        let renewed = spec(next("it", "me", &TERMS, &seen(lease(Some("me"), 99, Some(60)), now), now, at(100)));
        assert_eq!(renewed.renew_time, Some(MicroTime(at(100))));
        assert_eq!(renewed.acquire_time, Some(MicroTime(at(1))));
        assert_eq!((renewed.lease_transitions, renewed.lease_duration_seconds), (Some(4), Some(15)));
    }

    #[test]
    fn only_the_holder_releases() {
        let now = Instant::now();
        let free = released("me", &seen(lease(Some("me"), 99, Some(15)), now), at(100)).unwrap();
        assert_eq!((holder(&free), free.metadata.resource_version.as_deref()), (None, Some("99")));
        assert_eq!(released("me", &seen(lease(Some("other"), 99, Some(15)), now), at(100)), None);
        assert_eq!(released("me", &seen(lease(None, 99, Some(15)), now), at(100)), None);
        assert_eq!(released("me", &Sight::nothing(now), at(100)), None);
    }

    #[test]
    fn terms_that_cannot_work_are_refused_by_the_name_of_the_flag() {
        let terms = |duration: u64, renew_deadline: u64, retry: u64| Terms {
            duration: Duration::from_millis(duration),
            renew_deadline: Duration::from_millis(renew_deadline),
            retry: Duration::from_millis(retry),
        };
        for (terms, verdict) in [
            (TERMS, Ok(TERMS)),
            (terms(1000, 900, 450), Ok(terms(1000, 900, 450))),
            (terms(500, 400, 100), Err(InvalidTerms::Duration)),
            (terms(1500, 400, 100), Err(InvalidTerms::Duration)),
            (terms(2000, 2000, 100), Err(InvalidTerms::Deadline)),
            (terms(2000, 1000, 501), Err(InvalidTerms::Retry)),
            (terms(2000, 1000, 0), Err(InvalidTerms::Retry)),
        ] {
            assert_eq!(terms.checked(), verdict);
        }
    }
}
