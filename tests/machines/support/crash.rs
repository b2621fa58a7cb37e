//! Crashes on order: between any two calls that change something.
//!
//! When the ordered call is there, everything stops at this very moment: no request of the controller has an effect any
//! more, neither on Proxmox nor on Kubernetes, and then it is killed.

use cloudfaster::simulator::{Effect, Fault, Simulator};
use http::Method;
use parking_lot::Mutex;
use tokio::sync::watch;

/// A call that changes something in Proxmox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// HTTP method.
    pub method: &'static str,
    /// Regular expression for the path.
    pub path: &'static str,
}

impl Call {
    pub const CLONE: Self = Self { method: "POST", path: "/clone$" };
    pub const CONFIG: Self = Self { method: "PUT", path: "/config$" };
    /// A disk is attached, detached or removed.
    pub const DISK: Self = Self { method: "POST", path: "/config$" };
    pub const RESIZE: Self = Self { method: "PUT", path: "/resize$" };
    pub const START: Self = Self { method: "POST", path: "/status/start$" };
    pub const STOP: Self = Self { method: "POST", path: "/status/stop$" };
    pub const SHUTDOWN: Self = Self { method: "POST", path: "/status/shutdown$" };
    pub const DESTROY: Self = Self { method: "DELETE", path: "/qemu/[0-9]+$" };

    /// A fault that hits this call.
    pub fn fault(self, effect: Effect) -> Fault {
        Fault::new(effect).request(self.method, self.path)
    }
}

/// When the controller is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// When so many calls of this kind were let through and the next one comes in: before it has an effect.
    BeforeCall(Call, u32),
    /// The same after it had its effect, before its answer.
    AfterCall(Call, u32),
    /// When so many writes to Kubernetes were let through and the next one comes in: before it has an effect.
    BeforeWrite(u32),
    /// The same after it had its effect, before its answer.
    AfterWrite(u32),
}

/// Between the controller and the control plane: counts the writes, and stops everything when the moment has come.
pub struct Gate {
    simulator: Simulator,
    crash: Option<Crash>,
    /// The fault that tells that the moment has come.
    trap: Option<u64>,
    /// The faults of the crash, which go with the next start.
    faults: Mutex<Vec<u64>>,
    writes: Mutex<u32>,
    closed: watch::Sender<bool>,
}

/// What a request is waiting for when it leaves.
pub struct Turn {
    last: bool,
}

impl Gate {
    /// A gate for one life of a controller.
    pub fn new(simulator: Simulator, crash: Option<Crash>) -> Self {
        let fault = |fault: Fault| simulator.fault(fault).expect("a fault");
        let (trap, faults) = match crash {
            Some(Crash::BeforeCall(call, after)) => {
                let trap = fault(call.fault(Effect::RequestLost).after(after));
                (Some(trap), vec![trap])
            }
            Some(Crash::AfterCall(call, after)) => {
                let trap = fault(call.fault(Effect::ReplyLost).after(after).times(1));
                (Some(trap), vec![trap, fault(call.fault(Effect::RequestLost).after(after + 1))])
            }
            Some(Crash::BeforeWrite(_) | Crash::AfterWrite(_)) | None => (None, Vec::new()),
        };
        let closed = watch::Sender::new(false);
        Self { simulator, crash, trap, faults: Mutex::new(faults), writes: Mutex::new(0), closed }
    }

    /// Nothing of the controller has an effect any more.
    fn close(&self) {
        if !*self.closed.borrow() {
            self.faults.lock().push(self.simulator.fault(Fault::new(Effect::RequestLost)).expect("a fault"));
            self.closed.send_replace(true);
        }
    }

    /// Whether the moment has come.
    pub fn is_closed(&self) -> bool {
        let trapped =
            self.trap.is_some_and(|trap| self.simulator.faults().iter().any(|(id, _, hits)| *id == trap && *hits > 0));
        if trapped {
            self.close();
        }
        *self.closed.borrow()
    }

    /// Waits until the moment has come.
    pub async fn closed(&self) {
        let mut changed = self.simulator.changed();
        let mut closed = self.closed.subscribe();
        while !self.is_closed() {
            tokio::select! {
                _ = changed.changed() => {}
                _ = closed.changed() => {}
            }
        }
    }

    /// A request comes in.
    pub async fn enter(&self, method: &Method, path: &str) -> Turn {
        let write = method != Method::GET && !path.contains("/events");
        let mut last = false;
        if write {
            let mut writes = self.writes.lock();
            match self.crash {
                Some(Crash::BeforeWrite(number)) if *writes == number => self.close(),
                Some(Crash::AfterWrite(number)) if *writes == number => last = true,
                _ => {}
            }
            *writes += 1;
        }
        self.stop_if_closed().await;
        Turn { last }
    }

    /// Its answer is on its way.
    pub async fn leave(&self, turn: Turn) {
        if turn.last {
            self.close();
        }
        self.stop_if_closed().await;
    }

    async fn stop_if_closed(&self) {
        if self.is_closed() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        for fault in self.faults.lock().drain(..) {
            self.simulator.clear_fault(fault);
        }
    }
}
