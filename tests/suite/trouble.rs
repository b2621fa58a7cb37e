//! What goes wrong around the controller while it makes machines. It goes on by itself, and each object has one machine.

use serde_json::json;

use crate::support::{Bench, Which};

const NAMES: [&str; 4] = ["one", "two", "three", "four"];
const CLONING: &str = "jsonpath={.status.phase}=Cloning";

/// Machines on their way, the first of them being cloned.
async fn begun(which: Which) -> Bench {
    let bench = Bench::start(which).await;
    bench.machines(&NAMES).await;
    bench.wait(&NAMES[..1], CLONING).await;
    bench
}

/// All of them come about, once each, and can be removed without a trace.
async fn comes_well(bench: &Bench) {
    bench.ready(&NAMES).await;
    bench.proxmox.assert_exactly(&NAMES).await;
    bench.remove(&NAMES).await;
}

pub async fn the_controller_is_killed(which: Which) {
    let mut bench = begun(which).await;
    bench.plane.crash().await;
    comes_well(&bench).await;
}

pub async fn the_api_server_is_killed(which: Which) {
    let mut bench = begun(which).await;
    bench.plane.restart_api().await;
    comes_well(&bench).await;
}

/// The backup knows the first machine; the others were asked for after it and are not known to the restored cluster: they
/// are applied again, as GitOps does, and find what was made for them or make it anew. What was made for an object that
/// does not come back is not this object's to remove.
pub async fn an_older_backup_is_restored(which: Which) {
    let mut bench = Bench::start(which).await;
    bench.machines(&NAMES[..1]).await;
    bench.ready(&NAMES[..1]).await;
    let backup = bench.plane.back_up().await;
    bench.machines(&NAMES[..2]).await;
    // What changes after the backup is lost with it: the machine was deleted, and is to be again.
    bench.kubectl().works(&["label", "pvm", "one", "-n", "shop", "later=true"]).await;
    bench.wait(&NAMES[1..2], CLONING).await;
    bench.plane.restore(&backup).await;
    bench.ready(&NAMES[..1]).await;
    let labels =
        bench.kubectl().works(&["get", "pvm", "-n", "shop", "-o", "jsonpath={.items[*].metadata.labels}"]).await;
    assert!(!labels.contains("later"), "the backup was not restored: {labels}");
    // A change is seen and carried out after the restore.
    bench.machines(&["three"]).await;
    bench.ready(&["one", "three"]).await;
    let made = bench.proxmox.made().await;
    let named = |name: &str| made.iter().filter(|vm| vm["name"] == json!(name)).count();
    assert_eq!((named("one"), named("three")), (1, 1), "{made:#?}");
}
