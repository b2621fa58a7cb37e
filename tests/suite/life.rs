//! A machine from `kubectl apply` to `kubectl delete`.

use serde_json::json;

use crate::support::{Bench, Which};

pub async fn from_apply_to_delete(which: Which) {
    let bench = Bench::start(which).await;
    bench.machines(&["web", "db"]).await;
    bench.ready(&["web", "db"]).await;
    bench.proxmox.assert_exactly(&["web", "db"]).await;

    let table = bench.kubectl().works(&["get", "pvm", "-n", "shop"]).await;
    let header: Vec<_> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(header, ["NAME", "READY", "PHASE", "PROGRESS", "NODE", "VMID", "IP", "AGE"]);
    let web: Vec<_> = table.lines().find(|line| line.starts_with("web")).unwrap().split_whitespace().collect();
    assert_eq!(web[1..4], ["True", "Running", "100"]);
    let story = bench.kubectl().works(&["describe", "pvm", "web", "-n", "shop"]).await;
    assert!(story.contains("Events:") && story.contains("Running"), "{story}");

    let manifest = bench.manifests.machine("web");
    let diff = bench.kubectl().run_with(&["diff", "-f", "-"], &manifest).await;
    assert!(diff.ok() && diff.out.is_empty(), "an apply differs from what it applied: {}{}", diff.out, diff.err);
    let again = bench.kubectl().works_with(&["apply", "-f", "-"], &manifest).await;
    assert!(again.contains("unchanged"), "{again}");

    bench.remove(&["web", "db"]).await;
}

pub async fn the_next_node_is_taken_and_the_status_says_why(which: Which) {
    let bench = Bench::start(which).await;
    let kubectl = bench.kubectl();
    let fails = |node: &str| json!({"effect": {"cloneFails": {"percent": 50}}, "filter": {"node": node}});
    bench.proxmox.fault(fails("pve1")).await;
    bench.proxmox.fault(fails("pve2")).await;
    bench.machines(&["web"]).await;
    bench.ready(&["web"]).await;
    let attempts = "jsonpath={range .status.attempts[*]}{.node} {.outcome}{'\\n'}{end}";
    let attempts = kubectl.works(&["get", "pvm", "web", "-n", "shop", "-o", attempts]).await;
    assert_eq!(attempts, "pve1 Failed\npve2 Failed\npve3 Succeeded\n");
    bench.proxmox.assert_exactly(&["web"]).await;

    // Nowhere is room: it says so and waits, and goes on by itself when there is.
    bench.proxmox.fault(fails("pve3")).await;
    bench.machines(&["db"]).await;
    bench.wait(&["db"], "jsonpath={.status.attemptsTotal}=3").await;
    let ready = kubectl.works(&["get", "pvm", "db", "-n", "shop", "--no-headers"]).await;
    assert!(ready.contains("False"), "{ready}");
    bench.proxmox.mend().await;
    bench.ready(&["db"]).await;
    bench.proxmox.assert_exactly(&["web", "db"]).await;
    bench.remove(&["web", "db"]).await;
}
