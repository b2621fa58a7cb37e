//! A machine from `kubectl apply` to `kubectl delete`.

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
