//! Faults: what goes wrong, for whom, and how often.
//!
//! A fault is an effect with a filter and, if wanted, a number of times. Conditions (a node is down, a
//! storage is full) last until they are cleared; the others hit the next requests or tasks that fit.

use std::time::Duration;

use regex::Regex;
use serde::{Deserialize, Serialize};

/// How a node fails to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NodeTrouble {
    /// The host is gone, and the others know it: `595 No route to host` after 3 seconds.
    NoRoute,
    /// The host has just gone: `595 Connection timed out` after 30 seconds.
    TimedOut,
    /// The host is a member of the cluster, its API proxy is down: `595 Connection refused`.
    Refused,
    /// Its proxy answers, but the daemon behind it is down: what needs it is `595 Connection refused`.
    DaemonDown,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Effect {
    /// The node (of the filter) does not answer, until cleared.
    NodeDown {
        /// In which way.
        trouble: NodeTrouble,
    },
    /// The cluster has no quorum, until cleared.
    QuorumLost,
    /// The storage is full (on the filter's node, or everywhere), until cleared.
    StorageFull {
        /// Storage id.
        storage: String,
    },
    /// Somebody holds the lock of the configuration file of the filter's guest, until cleared.
    ConfigLocked,
    /// Volumes of the filter's guest cannot be deleted, until cleared.
    VolumesUndeletable,
    /// The guest agent of the filter's guest does not answer, until cleared.
    AgentSilent,
    /// The token is not valid any more, until cleared.
    TokenRevoked {
        /// `user@realm!token`.
        token: String,
    },
    /// A clone (of the template, or to the id, of the filter) fails when that much is copied.
    CloneFails {
        /// 0 to 100.
        percent: f64,
    },
    /// The worker of a task is killed: a clone when that much is copied, a destroy when the volumes are
    /// gone, others at their start.
    WorkerKilled {
        /// 0 to 100.
        #[serde(default)]
        percent: f64,
        /// Only tasks of this type, such as `qmclone`.
        #[serde(default)]
        task_type: Option<String>,
    },
    /// The start of the filter's guest fails.
    StartFails {
        /// The task's error.
        message: String,
    },
    /// The request has its effect, but the connection closes without an answer.
    ReplyLost,
    /// The connection closes before the request has any effect.
    RequestLost,
    /// The request is answered with this status at once, without any effect.
    Status {
        /// HTTP status.
        code: u16,
        /// Reason phrase.
        reason: String,
    },
    /// The answer takes that much longer.
    Slow {
        /// Milliseconds of the simulator's clock.
        milliseconds: u64,
    },
}

/// Whom a fault hits; what is not given fits everything.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Filter {
    /// HTTP method.
    pub method: Option<String>,
    /// Regular expression for the path after `/api2/json`.
    pub path: Option<String>,
    /// Node.
    pub node: Option<String>,
    /// Guest: for a clone the template or the new id.
    pub vmid: Option<u32>,
}

/// An effect, whom it hits, and how often.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// What goes wrong.
    pub effect: Effect,
    /// Whom it hits.
    #[serde(default)]
    pub filter: Filter,
    /// How many times; none means until it is cleared.
    #[serde(default)]
    pub times: Option<u32>,
    /// How many fitting ones pass unharmed first.
    #[serde(default)]
    pub after: u32,
}

impl Fault {
    /// A fault that hits everything until it is cleared.
    pub fn new(effect: Effect) -> Self {
        Self { effect, filter: Filter::default(), times: None, after: 0 }
    }

    /// A node that is down, gone from the network.
    pub fn node_down(node: &str) -> Self {
        Self::new(Effect::NodeDown { trouble: NodeTrouble::NoRoute }).node(node)
    }

    /// The same for one node.
    #[must_use]
    pub fn node(mut self, node: &str) -> Self {
        self.filter.node = Some(node.into());
        self
    }

    /// The same for one guest.
    #[must_use]
    pub fn vmid(mut self, vmid: u32) -> Self {
        self.filter.vmid = Some(vmid);
        self
    }

    /// The same for requests of that method whose path fits the regular expression.
    #[must_use]
    pub fn request(mut self, method: &str, path: &str) -> Self {
        self.filter.method = Some(method.into());
        self.filter.path = Some(path.into());
        self
    }

    /// The same, that many times.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// The same, after that many fitting ones.
    #[must_use]
    pub fn after(mut self, count: u32) -> Self {
        self.after = count;
        self
    }
}

/// What a fault does to a clone.
pub(crate) enum Fate {
    Fails,
    Killed,
}

/// What a fault does to a request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RequestFate {
    ReplyLost,
    RequestLost,
    Status(u16, String),
    Slow(Duration),
}

struct Active {
    id: u64,
    fault: Fault,
    path: Option<Regex>,
    since: Duration,
    hits: u32,
}

impl Active {
    fn on(&self, node: Option<&str>, vmids: &[u32]) -> bool {
        let filter = &self.fault.filter;
        let node_fits = filter.node.as_deref().is_none_or(|wanted| node == Some(wanted));
        node_fits && filter.vmid.is_none_or(|wanted| vmids.contains(&wanted))
    }

    /// Counts a fitting one and tells whether it is hit.
    fn hit(&mut self) -> bool {
        if self.fault.after > 0 {
            self.fault.after -= 1;
            return false;
        }
        match &mut self.fault.times {
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                self.hits += 1;
                true
            }
            None => {
                self.hits += 1;
                true
            }
        }
    }
}

#[derive(Default)]
pub(crate) struct Faults {
    active: Vec<Active>,
    next: u64,
}

impl Faults {
    /// # Errors
    /// When the path is no regular expression.
    pub fn add(&mut self, fault: Fault, now: Duration) -> Result<u64, regex::Error> {
        let path = fault.filter.path.as_deref().map(Regex::new).transpose()?;
        self.next += 1;
        self.active.push(Active { id: self.next, fault, path, since: now, hits: 0 });
        Ok(self.next)
    }

    pub fn remove(&mut self, id: u64) -> Option<Fault> {
        let at = self.active.iter().position(|active| active.id == id)?;
        Some(self.active.remove(at).fault)
    }

    pub fn clear(&mut self) -> Vec<Fault> {
        self.active.drain(..).map(|active| active.fault).collect()
    }

    /// Id, fault as it is left, and how often it hit.
    pub fn list(&self) -> impl Iterator<Item = (u64, &Fault, u32)> {
        self.active.iter().map(|active| (active.id, &active.fault, active.hits))
    }

    fn any(&self, fits: impl Fn(&Active) -> bool) -> bool {
        self.active.iter().any(|active| active.fault.times != Some(0) && fits(active))
    }

    pub fn node_trouble(&self, node: &str) -> Option<(NodeTrouble, Duration)> {
        self.active.iter().find_map(|active| match active.fault.effect {
            Effect::NodeDown { trouble } if active.on(Some(node), &[]) => Some((trouble, active.since)),
            _ => None,
        })
    }

    pub fn quorum_lost(&self) -> bool {
        self.any(|active| active.fault.effect == Effect::QuorumLost)
    }

    pub fn storage_full(&self, storage: &str, node: &str) -> bool {
        self.any(|active| {
            matches!(&active.fault.effect, Effect::StorageFull { storage: full } if full == storage)
                && active.on(Some(node), &[])
        })
    }

    pub fn config_locked(&self, vmid: u32) -> bool {
        self.any(|active| {
            active.fault.effect == Effect::ConfigLocked && active.fault.filter.vmid.is_none_or(|wanted| wanted == vmid)
        })
    }

    pub fn undeletable(&self, vmid: u32) -> bool {
        self.any(|active| {
            active.fault.effect == Effect::VolumesUndeletable
                && active.fault.filter.vmid.is_none_or(|wanted| wanted == vmid)
        })
    }

    pub fn agent_silent(&self, node: &str, vmid: u32) -> bool {
        self.any(|active| active.fault.effect == Effect::AgentSilent && active.on(Some(node), &[vmid]))
    }

    pub fn token_revoked(&self, token: &str) -> bool {
        self.any(|active| matches!(&active.fault.effect, Effect::TokenRevoked { token: revoked } if revoked == token))
    }

    pub fn clone_fate(&mut self, node: &str, source: u32, newid: u32, percent: f64) -> Option<Fate> {
        for active in &mut self.active {
            let fate = match &active.fault.effect {
                Effect::CloneFails { percent: at } if percent >= *at => Fate::Fails,
                Effect::WorkerKilled { percent: at, task_type }
                    if percent >= *at && task_type.as_deref().is_none_or(|kind| kind == "qmclone") =>
                {
                    Fate::Killed
                }
                _ => continue,
            };
            if active.on(Some(node), &[source, newid]) && active.hit() {
                return Some(fate);
            }
        }
        None
    }

    pub fn killed(&mut self, kind: &str, node: &str, vmid: u32) -> bool {
        self.active.iter_mut().any(|active| {
            matches!(&active.fault.effect, Effect::WorkerKilled { task_type, .. }
                if task_type.as_deref().is_none_or(|wanted| wanted == kind))
                && active.on(Some(node), &[vmid])
                && active.hit()
        })
    }

    pub fn start_failure(&mut self, node: &str, vmid: u32) -> Option<String> {
        self.active.iter_mut().find_map(|active| match &active.fault.effect {
            Effect::StartFails { message } if active.on(Some(node), &[vmid]) => {
                let message = message.clone();
                active.hit().then_some(message)
            }
            _ => None,
        })
    }

    /// What happens to a request; each fitting fault counts it.
    pub fn request_fates(&mut self, method: &str, path: &str) -> Vec<RequestFate> {
        let mut words = path.trim_start_matches('/').split('/');
        let (node, vmid) = match (words.next(), words.next(), words.next(), words.next()) {
            (Some("nodes"), node, Some("qemu"), vmid) => (node, vmid.and_then(|vmid| vmid.parse().ok())),
            (Some("nodes"), node, ..) => (node, None),
            _ => (None, None),
        };
        let vmids: Vec<u32> = vmid.into_iter().collect();
        let mut fates = Vec::new();
        for active in &mut self.active {
            let fate = match &active.fault.effect {
                Effect::ReplyLost => RequestFate::ReplyLost,
                Effect::RequestLost => RequestFate::RequestLost,
                Effect::Status { code, reason } => RequestFate::Status(*code, reason.clone()),
                Effect::Slow { milliseconds } => RequestFate::Slow(Duration::from_millis(*milliseconds)),
                _ => continue,
            };
            let method_fits = active.fault.filter.method.as_deref().is_none_or(|wanted| wanted == method);
            let path_fits = active.path.as_ref().is_none_or(|wanted| wanted.is_match(path));
            if method_fits && path_fits && active.on(node, &vmids) && active.hit() {
                fates.push(fate);
            }
        }
        fates
    }
}
