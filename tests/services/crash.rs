//! Crashes on order: at any call to the engine that changes something, and at any write to Kubernetes.
//!
//! When the moment has come, everything stops: no request of the controller has an effect any more, neither on the engine nor
//! on Kubernetes, and then it is killed.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use http::Method;

use crate::docker::proxy::{Death, Life};

/// When the controller is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    Never,
    /// At a call to the engine; or it is not, and only what the engine answered is lost.
    AtCall(Death),
    /// At the write to Kubernetes of this number, from 0, which has no effect.
    BeforeWrite(usize),
    /// At the write to Kubernetes of this number, which has its effect and is not answered.
    AfterWrite(usize),
}

impl Crash {
    /// What becomes of the way to the engine.
    pub fn death(self) -> Death {
        match self {
            Self::AtCall(death) => death,
            Self::Never | Self::BeforeWrite(_) | Self::AfterWrite(_) => Death::Never,
        }
    }
}

/// Between the controller and the control plane: counts the writes, and stops everything when the moment has come.
pub struct Gate {
    crash: Crash,
    life: Arc<Life>,
    writes: AtomicUsize,
}

/// The number of a write.
pub struct Turn(Option<usize>);

impl Gate {
    /// A gate for one life of a controller.
    pub fn new(crash: Crash, life: Arc<Life>) -> Self {
        Self { crash, life, writes: AtomicUsize::new(0) }
    }

    pub fn life(&self) -> &Life {
        &self.life
    }

    /// A request comes in.
    pub async fn enter(&self, method: &Method, path: &str) -> Turn {
        let write = method != Method::GET && !path.contains("/events");
        let number = write.then(|| self.writes.fetch_add(1, Ordering::SeqCst));
        if number.is_some_and(|number| self.crash == Crash::BeforeWrite(number)) {
            self.life.die();
        }
        self.stop_if_dead().await;
        Turn(number)
    }

    /// Its answer is on its way.
    pub async fn leave(&self, turn: Turn) {
        if turn.0.is_some_and(|number| self.crash == Crash::AfterWrite(number)) {
            self.life.die();
        }
        self.stop_if_dead().await;
    }

    async fn stop_if_dead(&self) {
        if self.life.is_dead() {
            pending::<()>().await;
        }
    }
}
