//! What is told of each exchange with Proxmox to whoever observes them: without names, numbers and texts.

use std::{sync::Arc, time::Duration};

use super::{Error, Result};

/// One request and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange<'a> {
    /// HTTP method.
    pub method: &'a str,
    /// The path with a placeholder for each name: `/nodes/{}/qemu/{}/config`.
    pub route: &'a str,
    /// What became of it, in a word.
    pub outcome: &'static str,
    /// How long the answer took.
    pub took: Duration,
}

/// Told of each exchange.
pub type Observer = Arc<dyn Fn(&Exchange<'_>) + Send + Sync>;

/// The words of the API's paths; whatever else stands in a path is a name.
const WORDS: &[&str] = &[
    "access",
    "agent",
    "clone",
    "cluster",
    "config",
    "content",
    "current",
    "log",
    "network-get-interfaces",
    "nodes",
    "pending",
    "permissions",
    "qemu",
    "reboot",
    "resize",
    "resources",
    "resume",
    "shutdown",
    "start",
    "status",
    "stop",
    "storage",
    "suspend",
    "tasks",
    "ticket",
    "version",
];

/// After these stand names, and a name may be any word.
const NAMED: &[&str] = &["content", "nodes", "qemu", "storage", "tasks"];

pub(super) fn tell<T>(observer: &Observer, method: &str, path: &str, answer: &Result<T>, took: Duration) {
    observer(&Exchange { method, route: &route(path), outcome: outcome(answer), took });
}

fn route(path: &str) -> String {
    let mut before = "";
    let mut route = String::new();
    for part in path.split('/').skip(1) {
        let shown = if NAMED.contains(&before) || !WORDS.contains(&part) { "{}" } else { part };
        route.push('/');
        route.push_str(shown);
        before = shown;
    }
    route
}

fn outcome<T>(answer: &Result<T>) -> &'static str {
    match answer {
        Ok(_) => "ok",
        Err(Error::Api(refusal)) => match refusal.status {
            401 => "unauthorized",
            403 => "forbidden",
            400..=499 => "refused",
            // Proxmox answers nearly every failure with 500.
            500 => "failed",
            595..=599 => "node_unreachable",
            _ => "server_error",
        },
        Err(Error::Fingerprint { .. } | Error::Certificate { .. }) => "not_trusted",
        Err(Error::Unreachable { .. }) => "unreachable",
        Err(Error::ReplyLost { .. }) => "reply_lost",
        Err(Error::Timeout { .. }) => "timeout",
        Err(Error::Decode { .. }) => "not_understood",
        Err(Error::Settings(_)) => "not_sent",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_has_no_name_in_it() {
        for (path, shown) in [
            ("/version", "/version"),
            ("/cluster/resources", "/cluster/resources"),
            ("/cluster/tasks", "/cluster/tasks"),
            ("/access/ticket", "/access/ticket"),
            ("/nodes/pve1/qemu/600/status/current", "/nodes/{}/qemu/{}/status/current"),
            ("/nodes/status/qemu/600/clone", "/nodes/{}/qemu/{}/clone"),
            ("/nodes/pve1/tasks/UPID:pve1:0000:qmclone:600:op@pve!full:/status", "/nodes/{}/tasks/{}/status"),
            ("/nodes/pve1/storage", "/nodes/{}/storage"),
            ("/nodes/pve1/storage/content/content", "/nodes/{}/storage/{}/content"),
            ("/nodes/pve1/storage/local/content/local:vm-600-disk-0", "/nodes/{}/storage/{}/content/{}"),
            ("/nodes/pve1/qemu/600/agent/network-get-interfaces", "/nodes/{}/qemu/{}/agent/network-get-interfaces"),
            ("/something/new", "/{}/{}"),
        ] {
            assert_eq!(route(path), shown);
        }
    }
}
