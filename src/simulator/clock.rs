//! The simulator's time: real, scaled, or virtual.
//!
//! Time is a [`Duration`] since the simulator was made. Whoever has to wait asks the clock for the moment
//! to pass; with a virtual clock that moment comes when somebody advances it, or at once when the mode
//! says so, and nothing ever sleeps.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// How time passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ClockMode {
    /// As outside.
    #[default]
    Real,
    /// That many times as fast as outside.
    Scaled(f64),
    /// Only when it is advanced.
    Virtual(Auto),
}

/// When a virtual clock advances by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Auto {
    /// Never: a request that has to wait waits for `advance`.
    Never,
    /// When a request would have to wait, to the moment it waits for.
    #[default]
    WhenWaiting,
    /// Also when a client looks at tasks while one runs, to the next event: a client that polls for the end
    /// of a task sees it progress with every look.
    WhenPolled,
}

#[derive(Debug)]
pub(crate) struct Clock {
    mode: ClockMode,
    started: Instant,
    manual: Mutex<Duration>,
    moved: watch::Sender<()>,
}

impl Clock {
    pub fn new(mode: ClockMode) -> Self {
        Self { mode, started: Instant::now(), manual: Mutex::default(), moved: watch::Sender::new(()) }
    }

    pub fn auto(&self) -> Auto {
        match self.mode {
            ClockMode::Virtual(auto) => auto,
            ClockMode::Real | ClockMode::Scaled(_) => Auto::Never,
        }
    }

    pub fn is_virtual(&self) -> bool {
        matches!(self.mode, ClockMode::Virtual(_))
    }

    pub fn now(&self) -> Duration {
        match self.mode {
            ClockMode::Real => self.started.elapsed(),
            ClockMode::Scaled(factor) => self.started.elapsed().mul_f64(factor.max(0.0)),
            ClockMode::Virtual(_) => *self.manual.lock(),
        }
    }

    /// Moves a virtual clock forward to that moment, never back. Other clocks go their own way.
    pub fn advance_to(&self, moment: Duration) {
        let mut now = self.manual.lock();
        if moment > *now {
            *now = moment;
            self.moved.send_replace(());
        }
    }

    /// Waits until that moment.
    pub async fn until(&self, moment: Duration) {
        let mut moved = self.moved.subscribe();
        loop {
            let now = self.now();
            if now >= moment {
                return;
            }
            match self.mode {
                ClockMode::Real => tokio::time::sleep(moment - now).await,
                // A clock that stands still is a virtual one without `advance`; look again once a second.
                ClockMode::Scaled(factor) if factor <= 0.0 => tokio::time::sleep(Duration::from_secs(1)).await,
                ClockMode::Scaled(factor) => tokio::time::sleep((moment - now).div_f64(factor)).await,
                ClockMode::Virtual(_) => {
                    if moved.changed().await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}
