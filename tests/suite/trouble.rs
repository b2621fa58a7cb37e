//! What goes wrong around the controller while it makes machines. It goes on by itself, and each object has one machine.

use std::time::Duration;

use serde_json::json;

use crate::support::{Bench, Which, plane::OPERATOR, tokens};

const NAMES: [&str; 4] = ["one", "two", "three", "four"];

/// Machines on their way, as soon as the first clone has begun.
async fn begun(which: Which) -> Bench {
    let bench = Bench::start(which).await;
    bench.machines(&NAMES).await;
    bench.proxmox.until_made(1).await;
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
    bench.proxmox.until_made(2).await;
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

/// A second controller works beside the first without knowing of it.
pub async fn two_controllers_work_at_once(which: Which) {
    let bench = begun(which).await;
    let second = bench.plane.controller("second", &["--leader-elect=false"]).await;
    comes_well(&bench).await;
    second.kill().await;
}

/// Of two replicas one leads; when it is killed in the middle of clones, the other goes on.
pub async fn the_leader_is_killed_while_it_clones() {
    const QUICK: [&str; 3] = ["--lease-duration=3s", "--lease-renew-deadline=2s", "--lease-retry-period=500ms"];
    let mut bench = Bench::start(Which::Kubernetes).await;
    bench.plane.stop_controller().await;
    let leader = bench.plane.controller("leader", &QUICK).await;
    let holder = |bench: &Bench| {
        let kubectl = bench.kubectl().clone();
        let field = "jsonpath={.spec.holderIdentity}";
        async move { kubectl.works(&["get", "lease", "cloudfaster-controller", "-n", OPERATOR, "-o", field]).await }
    };
    bench.machines(&NAMES).await;
    bench.proxmox.until_made(1).await;
    let first = holder(&bench).await;
    let mut standby = bench.plane.controller("standby", &QUICK).await;
    leader.kill().await;
    comes_well(&bench).await;
    let second = holder(&bench).await;
    assert!(!second.is_empty() && first != second, "{first} still leads: {second}");
    assert!(standby.runs());
    // It lets go of the Lease, so that the next one need not wait.
    assert!(standby.stop().await.success());
    assert_eq!(holder(&bench).await, "");
}

/// The controller's rights are taken away while machines are cloned, and given back.
pub async fn rights_are_taken_away_and_given_back() {
    let bench = begun(Which::Kubernetes).await;
    let taken = ["clusterrolebinding", "-l", "app.kubernetes.io/part-of=cloudfaster"];
    let mut get = vec!["get", "-o", "yaml"];
    get.extend(taken);
    let bindings = bench.kubectl().works(&get).await;
    let mut delete = vec!["delete"];
    delete.extend(taken);
    bench.kubectl().works(&delete).await;
    bench.kubectl().works_with(&["apply", "-f", "-"], &bench.manifests.machine("later")).await;
    // What Proxmox has begun comes to its end, and nothing follows it.
    let state = bench.proxmox.until("the clones have ended", |state| state["runningTasks"] == json!([])).await;
    let untouched =
        bench.kubectl().works(&["get", "pvm", "later", "-n", "shop", "-o", "jsonpath={.status.phase}"]).await;
    assert_eq!(untouched, "", "without rights the status was written: {state:#}");
    bench.kubectl().works_with(&["apply", "--server-side", "--force-conflicts", "-f", "-"], &strip(&bindings)).await;
    let all: Vec<_> = NAMES.into_iter().chain(["later"]).collect();
    bench.ready(&all).await;
    bench.proxmox.assert_exactly(&all).await;
    bench.remove(&all).await;
}

/// Tenants' Secrets may be read in some namespaces only: the condition says so, where the tenant looks.
pub async fn a_secret_that_may_not_be_read_is_told_in_the_condition() {
    let bench = Bench::start(Which::Kubernetes).await;
    let binding = bench.kubectl().works(&["get", "clusterrolebinding", "cloudfaster-secrets", "-o", "yaml"]).await;
    bench.kubectl().works(&["delete", "clusterrolebinding", "cloudfaster-secrets"]).await;
    bench.machines(&["web"]).await;
    bench.wait(&["web"], "jsonpath={.status.conditions[?(@.type==\"Ready\")].reason}=DependencyForbidden").await;
    let message = "jsonpath={.status.message}";
    let message = bench.kubectl().works(&["get", "pvm", "web", "-n", "shop", "-o", message]).await;
    assert!(message.contains("spec.cloudInit.sshKeySecretRefs[0]") && message.contains("cannot get"), "{message}");
    bench.kubectl().works_with(&["apply", "-f", "-"], &strip(&binding)).await;
    bench.ready(&["web"]).await;
    bench.remove(&["web"]).await;
}

/// Without what an apply must not send.
fn strip(list: &str) -> String {
    let forbidden = ["resourceVersion:", "uid:", "creationTimestamp:"];
    let lines = list.lines().filter(|line| !forbidden.iter().any(|key| line.trim_start().starts_with(key)));
    lines.fold(String::new(), |text, line| text + line + "\n")
}

/// The token in the controller's file expires; a new one is put into the file later, as the kubelet does.
pub async fn a_token_expires_and_is_renewed() {
    let mut bench = Bench::start(Which::Kubernetes).await;
    bench.plane.stop_controller().await;
    let valid = bench.plane.token().await;
    bench.plane.put_token(&tokens::expiring(&bench.plane.kubernetes().accounts_key(), &valid, EXPIRES));
    bench.plane.start_controller().await;
    bench.machines(&NAMES[..1]).await;
    bench.ready(&NAMES[..1]).await;
    // It cannot renew its Lease, so it must not go on; it comes back, and is not let in.
    bench.plane.controller_ends().await;
    bench.plane.put_token(&valid);
    bench.machines(&NAMES).await;
    comes_well(&bench).await;
}

/// How long a token lasts that is to expire while the controller runs.
const EXPIRES: Duration = Duration::from_secs(20);
