//! Many idle machines cost Proxmox as many requests as one.

use std::collections::BTreeMap;

use cloudfaster::simulator::RequestRecord;
use futures::{StreamExt, stream};
use serde_json::json;

use crate::support::{Lab, small};

const POLL: &str = "/cluster/resources";

fn is_poll(request: &RequestRecord) -> bool {
    request.path.starts_with(POLL)
}

/// What is asked from one poll at rest to the next, by method and path, once nothing else goes on.
async fn between_two_polls(lab: &Lab) -> BTreeMap<String, usize> {
    // The first poll ends what was going on before it; what lies between the next two is what rest costs.
    lab.simulator.forget_requests();
    lab.until("four polls", |lab| lab.simulator.requests().iter().filter(|request| is_poll(request)).count() >= 4)
        .await;
    let requests = lab.simulator.requests();
    let polls: Vec<usize> =
        requests.iter().enumerate().filter(|(_, request)| is_poll(request)).map(|(index, _)| index).collect();
    let mut counts = BTreeMap::new();
    for request in &requests[polls[1]..polls[3]] {
        *counts.entry(format!("{} {}", request.method, request.path)).or_default() += 1;
    }
    counts
}

async fn idle(machines: usize) -> BTreeMap<String, usize> {
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
    between_two_polls(&lab).await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_idle_machines_cost_as_many_requests_as_one() {
    let (one, many) = tokio::join!(idle(1), idle(200));
    assert_eq!(many, one);
    let per_poll = one.values().sum::<usize>();
    assert!(per_poll <= 2 * 4, "a poll at rest is a request of each kind: {one:?}");
}
