//! Requests and replies that get lost, errors of the server and locks: it converges to exactly one machine, or to nothing.

use cloudfaster::simulator::{Effect, Fault};
use futures::{StreamExt, stream};
use serde_json::json;

use crate::support::{Call, Crash, Lab, is_ready, small};

const AT_ONCE: usize = 16;

/// What can become of a call.
fn mishaps() -> Vec<Effect> {
    let status = |code, reason: &str| Effect::Status { code, reason: reason.to_owned() };
    vec![
        Effect::ReplyLost,
        Effect::RequestLost,
        status(500, "got no worker upid - start worker failed"),
        status(503, "Service Unavailable"),
        status(595, "Connection refused"),
        status(596, "Broken pipe"),
        status(500, "can't lock file '/var/lock/qemu-server/lock-1000.conf' - got timeout"),
    ]
}

/// Which calls a fault hits: the first one, the second one, or one out of several.
fn faults(calls: &[(Call, u32)]) -> Vec<Fault> {
    let each = calls.iter().flat_map(|(call, count)| (0..*count).map(|after| (*call, after)));
    each.flat_map(|(call, after)| mishaps().into_iter().map(move |effect| call.fault(effect).after(after).times(1)))
        .collect()
}

async fn created_in_spite_of(fault: Fault) {
    let mut lab = Lab::bare(small(2)).await;
    let id = lab.simulator.fault(fault.clone()).unwrap();
    lab.connect().await;
    lab.start();
    lab.machine("one", json!({})).await;
    lab.until_ready(&["one"]).await;
    let hits = lab.simulator.faults().into_iter().find(|(number, ..)| *number == id).map(|(_, _, hits)| hits);
    assert_eq!(hits, Some(1), "{fault:?} never hit");
    lab.assert_exactly(&["one"], &format!("{fault:?}"));
}

async fn deleted_in_spite_of(fault: Fault) {
    let lab = Lab::new(small(2)).await;
    lab.machine("one", json!({})).await;
    lab.until_ready(&["one"]).await;
    let id = lab.simulator.fault(fault.clone()).unwrap();
    lab.delete("one").await;
    lab.until_gone(&["one"]).await;
    let hits = lab.simulator.faults().into_iter().find(|(number, ..)| *number == id).map(|(_, _, hits)| hits);
    assert_eq!(hits, Some(1), "{fault:?} never hit");
    lab.assert_nothing_left(&format!("{fault:?}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn any_call_of_the_creation_may_go_wrong_once() {
    let faults = faults(&[(Call::CLONE, 1), (Call::CONFIG, 2), (Call::RESIZE, 1), (Call::START, 1)]);
    stream::iter(faults).for_each_concurrent(AT_ONCE, created_in_spite_of).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_call_of_the_deletion_may_go_wrong_once() {
    let faults = faults(&[(Call::STOP, 1), (Call::DESTROY, 1)]);
    stream::iter(faults).for_each_concurrent(AT_ONCE, deleted_in_spite_of).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_third_request_may_be_lost_on_its_way_or_its_reply() {
    let journey = |effect: Effect| async move {
        let mut lab = Lab::bare(small(2)).await;
        // Each has its turn, then the next ones pass.
        for round in 0..12 {
            lab.simulator.fault(Fault::new(effect.clone()).after(20 + round * 3).times(1)).unwrap();
        }
        lab.connect().await;
        lab.start();
        lab.machine("one", json!({})).await;
        lab.until_ready(&["one"]).await;
        lab.assert_exactly(&["one"], &format!("{effect:?}"));
        lab.delete("one").await;
        lab.until_gone(&["one"]).await;
        lab.assert_nothing_left(&format!("{effect:?}"));
    };
    tokio::join!(journey(Effect::RequestLost), journey(Effect::ReplyLost));
}

/// Somebody holds the lock of the machine's config from the end of its clone on, for longer than Proxmox waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_somebody_holds_for_long_only_delays_it() {
    let mut lab = Lab::bare(small(1)).await;
    lab.connect().await;
    lab.machine("one", json!({})).await;
    lab.start_until(Some(Crash::BeforeCall(Call::CONFIG, 0)));
    assert!(lab.crash("it is to be configured", |_| false).await);
    let lock = lab.simulator.fault(Fault::new(Effect::ConfigLocked).vmid(1000)).unwrap();
    lab.start();
    let timed_out = |lab: &Lab| {
        let refused = |request: &cloudfaster::simulator::RequestRecord| {
            request.method == "PUT" && request.path.ends_with("/config") && request.status == Some(500)
        };
        lab.simulator.requests().iter().filter(|request| refused(request)).count() >= 2
    };
    lab.until("the change of the config timed out twice", timed_out).await;
    assert!(!is_ready(&lab.get("one").unwrap()));
    lab.simulator.clear_fault(lock);
    lab.until_ready(&["one"]).await;
    lab.assert_exactly(&["one"], "after the lock");
    let lock = lab.simulator.fault(Fault::new(Effect::ConfigLocked).vmid(1000)).unwrap();
    lab.delete("one").await;
    lab.until("a task of the deletion timed out", |lab| {
        let timed_out = |status: &String| status.contains("got timeout");
        lab.simulator.tasks().iter().any(|task| task.status.as_ref().is_some_and(timed_out))
    })
    .await;
    lab.simulator.clear_fault(lock);
    lab.until_gone(&["one"]).await;
    lab.assert_nothing_left("after the lock");
}

/// A backup holds the lock in the config.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_the_machine_holds_up_its_deletion_only() {
    let lab = Lab::new(small(1)).await;
    lab.machine("one", json!({})).await;
    lab.until_ready(&["one"]).await;
    lab.simulator.set_option(1000, "lock", Some("backup")).unwrap();
    lab.delete("one").await;
    lab.until("it says what holds it up", |lab| {
        let status = lab.get("one").and_then(|vm| vm.status);
        status.and_then(|status| status.message).is_some_and(|message| message.contains("backup"))
    })
    .await;
    assert!(lab.simulator.vm(1000).is_some(), "{}", lab.describe());
    lab.simulator.unlock(1000).unwrap();
    lab.until_gone(&["one"]).await;
    lab.assert_nothing_left("after the backup");
}
