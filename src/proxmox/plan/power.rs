//! Whether a machine runs: brought to what the spec says, restarted once for each value, started again when the guest ended
//! by itself.

use jiff::{SignedDuration, Timestamp};

use super::{
    Action, Context, Intent, Machine, MachineSpec, Power, Reason, Recorded, Stage, Started, Step, TaskAction, notes,
};

/// So long after its start was written down a machine that stands still may have run, and been used.
const START_WINDOW: SignedDuration = SignedDuration::from_secs(60);
/// A machine that ran for so long is started again at once, as if it had never ended by itself.
const STEADY: SignedDuration = SignedDuration::from_mins(10);
/// How long one that ended again soon after its start is left alone, and how that grows.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(10);
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(5);

impl Recorded {
    /// What the end of a task says of the machine's power.
    pub(super) fn note_power(&mut self, action: TaskAction, now: Timestamp) {
        match action {
            TaskAction::Start => {
                let soon = self.started.filter(|before| now.duration_since(before.at) < STEADY);
                let count = soon.map_or(0, |before| before.count).saturating_add(1);
                self.started = Some(Started { at: now, count });
            }
            // It ended because it was to.
            TaskAction::Shutdown | TaskAction::Stop => self.started = None,
            TaskAction::Clone
            | TaskAction::Resize
            | TaskAction::Disk
            | TaskAction::Suspend
            | TaskAction::Resume
            | TaskAction::Destroy
            | TaskAction::FreeVolume => {}
        }
    }
}

impl Started {
    /// When a machine that ended after this start may be started again: at once after the first, later and later after
    /// each that follows soon.
    fn next(self) -> Timestamp {
        let doublings = u32::try_from(self.count.saturating_sub(2)).unwrap_or(0);
        let pause = match self.count {
            ..=1 => SignedDuration::ZERO,
            _ => FIRST_PAUSE.checked_mul(2_i32.saturating_pow(doublings)).unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE),
        };
        self.at.saturating_add(pause).unwrap_or(Timestamp::MAX)
    }
}

impl Context<'_> {
    /// The next change of the machine's power, if one is due.
    pub(super) fn power(&self, spec: &MachineSpec, intent: &Intent, machine: &Machine, reboot: bool) -> Option<Step> {
        let place = || intent.place.clone();
        let restart = reboot || notes::restart_due(spec, machine);
        match (machine.power, self.wanted_power(spec, machine)) {
            (Power::Stopped, Power::Stopped) => None,
            (Power::Stopped, Power::Running | Power::Paused) => Some(self.start(intent)),
            // What is paused cannot be asked for anything.
            (Power::Paused, Power::Stopped | Power::Running) => Some(Step::Act(Action::Resume(place()))),
            (Power::Paused, Power::Paused) => restart.then(|| Step::Act(Action::Resume(place()))),
            (Power::Running, Power::Stopped) => Some(self.shut_down(spec, intent)),
            (Power::Running, Power::Running | Power::Paused) if restart => Some(self.shut_down(spec, intent)),
            (Power::Running, Power::Running) => None,
            (Power::Running, Power::Paused) => Some(Step::Act(Action::Suspend(place()))),
        }
    }

    /// What it is to be. One that is to stay as it is goes on after a restart that ended it.
    fn wanted_power(&self, spec: &MachineSpec, machine: &Machine) -> Power {
        spec.power.state.unwrap_or_else(|| match machine.power {
            Power::Stopped if self.recorded.reboot.is_some() || notes::is_restarting(spec, machine) => Power::Running,
            power => power,
        })
    }

    fn shut_down(&self, spec: &MachineSpec, intent: &Intent) -> Step {
        Step::Act(Action::Shutdown { place: intent.place.clone(), how: spec.power.shutdown })
    }

    /// A start that fails for good ends an attempt and its machine, so it must be sure that no start was carried out
    /// before whose answer was lost: the machine may have run for hours since.
    fn start(&self, intent: &Intent) -> Step {
        if intent.stage == Stage::Starting {
            if self.is_ahead(intent.since) || self.now.duration_since(intent.since) > START_WINDOW {
                return self.record_intent(intent, |intent| intent.stage = Stage::Established);
            }
            return Step::Act(Action::Start(intent.place.clone()));
        }
        match self.recorded.started {
            Some(started) if started.next() > self.now && !self.is_ahead(started.at) => Step::Wait(Reason::new(
                "BackOff",
                format!(
                    "the guest ended by itself soon after each of its last {} starts; it is started again at {}",
                    started.count,
                    started.next().strftime("%FT%TZ")
                ),
            )),
            Some(_) | None => Step::Act(Action::Start(intent.place.clone())),
        }
    }
}
