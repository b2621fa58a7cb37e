//! Many idle machines cost Proxmox as many requests as one.

use std::collections::BTreeMap;

use futures::{StreamExt, stream};
use serde_json::json;

use crate::support::{Lab, small};

/// What a poll asks: a request of each kind, the last of them about one machine after the other.
const POLL: [&str; 4] =
    ["GET /cluster/resources", "GET /cluster/status", "GET /cluster/tasks", "GET /nodes/*/qemu/*/config"];

/// Proxmox' list says ten seconds late that a machine runs, and then it is looked at once more: so many times three polls
/// are given to come to rest.
const ROUNDS: usize = 3;

/// What is asked in the course of several polls at rest.
async fn polled(lab: &Lab) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for _ in 0..ROUNDS {
        lab.simulator.forget_requests();
        lab.until("three polls", |lab| {
            let counts = lab.simulator.request_counts();
            POLL.iter().all(|kind| counts.get(*kind).is_some_and(|count| *count >= 3))
        })
        .await;
        counts = lab.simulator.request_counts();
        if counts.len() == POLL.len() {
            break;
        }
    }
    counts
}

async fn idle(machines: usize) -> BTreeMap<String, u64> {
    let mut scenario = small(5);
    scenario.clone_mib_per_second = 8000;
    scenario.boot_seconds = 1;
    for node in &mut scenario.nodes {
        node.memory_mib = 256 * 1024;
    }
    let lab = Lab::new(scenario).await;
    let names: Vec<String> = (0..machines).map(|number| format!("vm-{number}")).collect();
    let spec = json!({"memory": "1Gi", "cores": 1, "disk": {"size": "1Gi"}});
    stream::iter(&names).for_each_concurrent(8, |name| lab.machine(name, spec.clone())).await;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    lab.until_ready(&names).await;
    lab.until("all addresses are known", |lab| {
        lab.seen().values().all(|vm| vm.status.as_ref().is_some_and(|status| !status.ip_addresses.is_empty()))
    })
    .await;
    polled(&lab).await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_idle_machines_cost_as_many_requests_as_one() {
    let (one, many) = tokio::join!(idle(1), idle(200));
    for (machines, counts) in [(1, one), (200, many)] {
        assert_eq!(counts.keys().collect::<Vec<_>>(), POLL, "{machines} at rest: {counts:?}");
        // The poll that was under way when counting began or ended may be seen in part.
        assert!(counts.values().all(|count| (3..=4).contains(count)), "{machines} at rest: {counts:?}");
    }
}
