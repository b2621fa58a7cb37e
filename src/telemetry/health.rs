//! Whether the process works: what its loops and its conditions say, asked by `/livez` and `/readyz`.
//!
//! Nothing here measures anything by itself. Whoever runs a loop beats its pulse, and whoever knows whether something is
//! there says so in a check; a process of which nobody has said anything is not ready.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

/// The health of the process. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Health {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    pulses: Mutex<BTreeMap<String, Beat>>,
    checks: Mutex<BTreeMap<String, Result<(), String>>>,
}

#[derive(Clone, Copy, Debug)]
struct Beat {
    last: Instant,
    limit: Duration,
}

impl Health {
    /// The pulse of a loop, which has to beat at least once in each `limit` from now on.
    pub fn pulse(&self, name: impl Into<String>, limit: Duration) -> Pulse {
        let pulse = Pulse { shared: self.shared.clone(), name: name.into(), limit };
        pulse.beat();
        pulse
    }

    /// Something that must hold for the process to be ready. Until somebody says that it holds, it does not.
    pub fn check(&self, name: impl Into<String>) -> Check {
        let name = name.into();
        self.shared.checks.lock().entry(name.clone()).or_insert_with(|| Err("not yet".to_owned()));
        Check { shared: self.shared.clone(), name }
    }

    /// Whether every loop makes progress.
    pub fn live(&self) -> Report {
        self.live_at(Instant::now())
    }

    fn live_at(&self, now: Instant) -> Report {
        let pulses = self.shared.pulses.lock();
        let lines = pulses.iter().map(|(name, beat)| {
            let silent = now.saturating_duration_since(beat.last);
            let verdict = match silent <= beat.limit {
                true => Ok(()),
                false => {
                    Err(format!("no progress for {} s, the limit is {} s", silent.as_secs(), beat.limit.as_secs()))
                }
            };
            (name.clone(), verdict)
        });
        Report { name: "livez", lines: lines.collect(), empty_is_good: true }
    }

    /// Whether everything is there that the process needs to do its work, or to take it over.
    pub fn ready(&self) -> Report {
        let checks = self.shared.checks.lock();
        let lines = checks.iter().map(|(name, verdict)| (name.clone(), verdict.clone()));
        Report { name: "readyz", lines: lines.collect(), empty_is_good: false }
    }
}

/// What a loop shows that it makes progress with. One that is dropped without [`Pulse::retire`], since its loop
/// panicked, is missed.
#[derive(Debug)]
pub struct Pulse {
    shared: Arc<Shared>,
    name: String,
    limit: Duration,
}

impl Pulse {
    /// The loop has come round.
    pub fn beat(&self) {
        let beat = Beat { last: Instant::now(), limit: self.limit };
        self.shared.pulses.lock().insert(self.name.clone(), beat);
    }

    /// The loop has ended as it should.
    pub fn retire(self) {
        self.shared.pulses.lock().remove(&self.name);
    }
}

/// What is said of one condition of readiness.
#[derive(Clone, Debug)]
pub struct Check {
    shared: Arc<Shared>,
    name: String,
}

impl Check {
    /// It holds.
    pub fn pass(&self) {
        self.set(Ok(()));
    }

    /// It does not, and why.
    pub fn fail(&self, reason: impl fmt::Display) {
        self.set(Err(reason.to_string()));
    }

    /// It is not asked for any more.
    pub fn retire(self) {
        self.shared.checks.lock().remove(&self.name);
    }

    fn set(&self, verdict: Result<(), String>) {
        self.shared.checks.lock().insert(self.name.clone(), verdict);
    }
}

/// What an endpoint answers; shown as Kubernetes shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    name: &'static str,
    lines: Vec<(String, Result<(), String>)>,
    empty_is_good: bool,
}

impl Report {
    /// Whether all is well.
    pub fn is_good(&self) -> bool {
        (self.empty_is_good || !self.lines.is_empty()) && self.lines.iter().all(|(_, verdict)| verdict.is_ok())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, verdict) in &self.lines {
            match verdict {
                Ok(()) => writeln!(out, "[+]{name} ok")?,
                Err(reason) => writeln!(out, "[-]{name} failed: {reason}")?,
            }
        }
        writeln!(out, "{} check {}", self.name, if self.is_good() { "passed" } else { "failed" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[test]
    fn a_loop_that_stands_still_is_named_until_it_goes_on() {
        let health = Health::default();
        assert!(health.live().is_good(), "a process without loops does not hang");
        let (one, _two) = (health.pulse("one", LIMIT), health.pulse("two", LIMIT * 3));
        assert!(health.live_at(Instant::now() + LIMIT / 2).is_good());
        let later = Instant::now() + LIMIT * 2;
        assert!(!health.live_at(later).is_good());
        let shown = health.live_at(later).to_string();
        assert!(shown.starts_with("[-]one failed: no progress for "), "{shown}");
        assert!(shown.ends_with("the limit is 10 s\n[+]two ok\nlivez check failed\n"), "{shown}");
        one.beat();
        assert!(health.live_at(Instant::now() + LIMIT / 2).is_good());
    }

    #[test]
    fn a_loop_that_panicked_is_missed_and_one_that_ended_is_not() {
        let health = Health::default();
        drop(health.pulse("panicked", LIMIT));
        health.pulse("ended", LIMIT).retire();
        let shown = health.live_at(Instant::now() + LIMIT * 2).to_string();
        assert!(shown.contains("[-]panicked") && !shown.contains("ended"), "{shown}");
    }

    #[test]
    fn nothing_is_ready_before_everything_is_said_to_be_there() {
        let health = Health::default();
        assert!(!health.ready().is_good(), "nobody has said anything");
        let (cache, lease) = (health.check("cache"), health.check("lease"));
        cache.pass();
        assert!(!health.ready().is_good());
        assert_eq!(health.ready().to_string(), "[+]cache ok\n[-]lease failed: not yet\nreadyz check failed\n");
        lease.pass();
        assert!(health.ready().is_good());
        lease.fail("Kubernetes does not answer");
        assert!(!health.ready().is_good());
        lease.retire();
        assert!(health.ready().is_good());
    }
}
