//! `kill -9` between any two calls that change something, a lost status, copies by hand, and two controllers at once.

use std::future::Future;

use cloudfaster::simulator::Simulator;
use futures::{StreamExt, stream};
use serde_json::json;

use crate::support::{Call, Crash, Lab, is_ready, small};

const NAMES: [&str; 3] = ["one", "two", "three"];

/// So many laboratories at the same time: they wait most of their time.
const AT_ONCE: usize = 12;

/// Every moment at which one of `calls` (so many of each) can be cut off.
fn around(calls: &[(Call, u32)]) -> Vec<Crash> {
    let each = calls.iter().flat_map(|(call, count)| (0..*count).map(|number| (*call, number)));
    each.flat_map(|(call, number)| [Crash::BeforeCall(call, number), Crash::AfterCall(call, number)]).collect()
}

/// Runs a journey for each of the moments, several at once.
async fn each<F: Future<Output = bool>>(crashes: Vec<Crash>, journey: impl Fn(Crash) -> F) -> Vec<bool> {
    stream::iter(crashes).map(journey).buffered(AT_ONCE).collect().await
}

/// Runs a journey for the moments around every write to Kubernetes, until a journey is through before it comes to that.
///
/// Before a write and after it, for every other one: so each stretch between two writes is met once.
async fn each_write<F: Future<Output = bool>>(journey: impl Fn(Crash) -> F) -> u32 {
    let moments = (0..).step_by(2).flat_map(|number| [Crash::BeforeWrite(number), Crash::AfterWrite(number)]);
    let mut journeys = stream::iter(moments).map(journey).buffered(AT_ONCE);
    let mut crashed = 0;
    while journeys.next().await.expect("the numbers have no end") {
        crashed += 1;
    }
    crashed
}

/// Three machines are made; the controller is killed once, and another one goes on.
async fn three_machines(crash: Crash) -> bool {
    let mut lab = Lab::bare(small(3)).await;
    lab.connect().await;
    for name in NAMES {
        lab.machine(name, json!({})).await;
    }
    lab.start_until(Some(crash));
    let ready = |lab: &Lab| NAMES.iter().all(|name| lab.get(name).is_some_and(|vm| is_ready(&vm)));
    let crashed = lab.crash(&format!("{crash:?}, or through"), ready).await;
    if crashed {
        lab.start();
    }
    lab.until(&format!("Ready after {crash:?}"), ready).await;
    lab.assert_exactly(&NAMES, &format!("{crash:?}"));
    crashed
}

#[tokio::test(flavor = "multi_thread")]
async fn three_machines_come_of_it_when_the_controller_is_killed_at_any_call_to_proxmox() {
    let crashes = around(&[(Call::CLONE, 3), (Call::CONFIG, 6), (Call::RESIZE, 3), (Call::START, 3)]);
    let crashed = each(crashes.clone(), three_machines).await;
    let spared: Vec<_> = crashes.iter().zip(crashed).filter(|(_, crashed)| !crashed).collect();
    assert!(spared.is_empty(), "never came to {spared:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn three_machines_come_of_it_when_the_controller_is_killed_at_any_write_to_kubernetes() {
    let crashed = each_write(three_machines).await;
    assert!(crashed > 20, "only {crashed} writes");
}

/// A machine that is Ready is deleted; the controller is killed once, and another one goes on.
async fn one_deletion(crash: Crash) -> bool {
    let mut lab = Lab::new(small(2)).await;
    lab.machine("one", json!({})).await;
    lab.until_ready(&["one"]).await;
    lab.kill();
    lab.delete("one").await;
    lab.start_until(Some(crash));
    let crashed = lab.crash(&format!("{crash:?}, or through"), |lab| lab.get("one").is_none()).await;
    if crashed {
        lab.start();
    }
    lab.until_gone(&["one"]).await;
    lab.assert_nothing_left(&format!("{crash:?}"));
    crashed
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_when_the_controller_is_killed_at_any_call_of_a_deletion() {
    let crashes = around(&[(Call::STOP, 1), (Call::DESTROY, 1)]);
    let crashed = each(crashes.clone(), one_deletion).await;
    assert!(crashed.iter().all(|crashed| *crashed), "never came to some of {crashes:?}: {crashed:?}");
    let crashed = each_write(one_deletion).await;
    assert!(crashed > 3, "only {crashed} writes");
}

/// The status of a machine is lost at a moment of its creation, with no controller there, and another one goes on.
async fn status_lost(crash: Crash) -> bool {
    let mut lab = Lab::bare(small(2)).await;
    lab.connect().await;
    lab.machine("one", json!({})).await;
    lab.start_until(Some(crash));
    let ready = |lab: &Lab| lab.get("one").is_some_and(|vm| is_ready(&vm));
    let crashed = lab.crash(&format!("{crash:?}, or through"), ready).await;
    lab.kill();
    lab.wipe("one").await;
    lab.until("the status is wiped", |lab| !ready(lab)).await;
    lab.start();
    lab.until(&format!("Ready after the status was lost at {crash:?}"), ready).await;
    lab.assert_exactly(&["one"], &format!("status lost at {crash:?}"));
    crashed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_whose_status_is_lost_at_any_call_is_found_by_its_marks() {
    let mut crashes = around(&[(Call::CLONE, 1), (Call::CONFIG, 2), (Call::RESIZE, 1), (Call::START, 1)]);
    crashes.push(Crash::BeforeWrite(1000));
    let crashed = each(crashes.clone(), status_lost).await;
    assert!(crashed.iter().rev().skip(1).all(|crashed| *crashed), "never came to some of {crashes:?}: {crashed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_whose_status_is_lost_while_the_controller_runs_stays_the_only_one() {
    let lab = Lab::new(small(2)).await;
    for name in NAMES {
        lab.machine(name, json!({})).await;
    }
    lab.until("a clone runs", |lab| lab.simulator.running_tasks().iter().any(|task| task.kind == "qmclone")).await;
    for name in NAMES {
        lab.wipe(name).await;
    }
    lab.until_ready(&NAMES).await;
    for name in NAMES {
        lab.wipe(name).await;
    }
    lab.until_ready(&NAMES).await;
    lab.assert_exactly(&NAMES, "the status of running machines was lost");
}

/// A copy by hand: of the VM, to the id.
type Copy = fn(&Simulator, u32, u32) -> Result<(), cloudfaster::simulator::Error>;

/// A hand-made copy stands beside the machine; the status is lost, and then the machine is deleted.
async fn with_copy(copy: Copy, what: &str) {
    let mut lab = Lab::new(small(2)).await;
    lab.machine("one", json!({})).await;
    lab.until_ready(&["one"]).await;
    let original = lab.made().remove(0);
    copy(&lab.simulator, original.vmid, 1500).unwrap();
    let copied = lab.simulator.vm(1500).unwrap();
    lab.kill();
    lab.wipe("one").await;
    lab.until("the status is wiped", |lab| !is_ready(&lab.get("one").unwrap())).await;
    lab.start();
    lab.until_ready(&["one"]).await;
    let status = lab.get("one").unwrap().status.unwrap();
    assert_eq!(status.vmid, Some(i64::from(original.vmid)), "{what}: it found its own machine\n{}", lab.describe());
    assert_eq!(lab.made().len(), 2, "{what}: no third one\n{}", lab.describe());
    lab.delete("one").await;
    lab.until_gone(&["one"]).await;
    assert_eq!(lab.made(), [copied], "{what}: the copy is left alone\n{}", lab.describe());
    assert!(lab.volumes_made().iter().all(|volume| volume.vmid == 1500), "{}", lab.describe());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_made_by_hand_is_left_alone() {
    tokio::join!(
        with_copy(|simulator, vmid, newid| simulator.copy_vm(vmid, newid), "a clone by hand"),
        with_copy(|simulator, vmid, newid| simulator.restore_copy(vmid, newid), "a restored backup"),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_appears_while_its_original_is_made_is_left_alone() {
    let mut lab = Lab::bare(small(2)).await;
    lab.connect().await;
    lab.machine("one", json!({})).await;
    lab.start_until(Some(Crash::BeforeCall(Call::RESIZE, 0)));
    assert!(lab.crash("the disk is to be grown", |_| false).await);
    let original = lab.made().remove(0);
    lab.simulator.restore_copy(original.vmid, 1500).unwrap();
    lab.wipe("one").await;
    lab.start();
    lab.until_ready(&["one"]).await;
    assert_eq!(lab.get("one").unwrap().status.unwrap().vmid, Some(i64::from(original.vmid)), "{}", lab.describe());
    assert!(!lab.simulator.vm(1500).unwrap().running, "the copy was started\n{}", lab.describe());
    assert_eq!(lab.made().len(), 2, "{}", lab.describe());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_controllers_at_once_make_one_machine_for_each_object() {
    let mut lab = Lab::new(small(3)).await;
    lab.start();
    let names = ["one", "two", "three", "four", "five", "six"];
    for name in names {
        lab.machine(name, json!({})).await;
    }
    lab.until_ready(&names).await;
    lab.assert_exactly(&names, "two controllers");
    for name in names {
        lab.delete(name).await;
    }
    lab.until_gone(&names).await;
    lab.assert_nothing_left("two controllers deleted");
}
