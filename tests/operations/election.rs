//! Two replicas, of which one works.

use std::{net::SocketAddr, time::Duration};

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::{
    process::{LONG, Replica, SHORT, World, slow, until_leads},
    support::{lab, small},
};

/// Two replicas, the first of which leads.
async fn two(world: &World, arguments: &[&str]) -> (Replica, Replica, String) {
    let mut leader = world.leader();
    let first = Replica::start(world, arguments).await;
    let leads = until_leads(&mut leader, |_| true).await;
    first.until_ready().await;
    let second = Replica::start(world, arguments).await;
    second.until_ready().await;
    (first, second, leads)
}

fn leader(metrics: &str) -> Option<&str> {
    metrics.lines().find_map(|line| line.strip_prefix("cloudfaster_leader "))
}

async fn cloning(world: &World) {
    let mut changed = world.simulator.changed();
    let clones = || world.simulator.running_tasks().iter().any(|task| task.kind == "qmclone");
    while !clones() {
        changed.changed().await.unwrap();
    }
}

async fn exactly_one(world: &World, name: &str) {
    let made: Vec<_> = world.simulator.vms().into_iter().filter(|vm| !vm.template).collect();
    assert!(made.len() == 1 && made[0].name == name && made[0].running, "{made:#?}");
    assert_eq!(world.machines().list(&ListParams::default()).await.unwrap().items.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_leads_and_the_other_is_ready_and_goes_on_when_the_first_is_killed_in_the_middle_of_a_clone() {
    let world = World::new(slow(1)).await;
    let (mut first, second, leads) = two(&world, &SHORT).await;
    assert_eq!(leader(&first.get("/metrics").await.1), Some("1"));
    let metrics = second.get("/metrics").await.1;
    assert_eq!(leader(&metrics), Some("0"));
    assert!(!metrics.contains("resource=\"proxmoxvms/status\"") && !metrics.contains("cloudfaster_reconciles_total{"));
    world.machine("web").await;
    cloning(&world).await;
    let mut leader_now = world.leader();
    first.child.start_kill().unwrap();
    first.ended().await;
    until_leads(&mut leader_now, |now| now != leads).await;
    world.until_ready("web").await;
    exactly_one(&world, "web").await;
    assert_eq!(leader(&second.get("/metrics").await.1), Some("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_told_to_stop_gives_the_lease_back_and_the_other_leads_at_once() {
    let world = World::new(small(1)).await;
    let (mut first, second, leads) = two(&world, &LONG).await;
    let mut leader_now = world.leader();
    first.signal("TERM");
    assert_eq!(first.ended().await.code(), Some(0), "{}", first.log());
    // The Lease would hold for ten minutes, and the other looks for itself after three.
    until_leads(&mut leader_now, |now| now != leads).await;
    world.machine("web").await;
    world.until_ready("web").await;
    let lease = world.lease().get("cloudfaster-controller").await.unwrap().spec.unwrap();
    assert_eq!(lease.lease_transitions, Some(1));
    assert!(second.log().contains("stands by"), "{}", second.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_lease_is_taken_ends_with_an_error_and_changes_nothing_more() {
    let world = World::new(slow(1)).await;
    let mut leader = world.leader();
    let mut first = Replica::start(&world, &LONG).await;
    until_leads(&mut leader, |_| true).await;
    world.machine("web").await;
    cloning(&world).await;
    let before = world.changes();
    let patch = json!({"spec": {"holderIdentity": "thief", "leaseDurationSeconds": 3600}});
    let patched = world.lease().patch("cloudfaster-controller", &PatchParams::default(), &Patch::Merge(patch)).await;
    assert_eq!(holder(&patched.unwrap()).as_deref(), Some("thief"));
    // It is told by its watch: by itself it would look after three minutes.
    let status = first.ended().await;
    assert!(!status.success(), "{}", first.log());
    assert!(first.log().contains("is held by thief now"), "{}", first.log());
    world.simulator.finish_tasks();
    let vms = world.simulator.vms();
    let clone = vms.iter().find(|vm| !vm.template).unwrap();
    assert!(!clone.running, "nobody configured and started what was cloned");
    assert_eq!(world.changes(), before, "a change was made after the Lease was lost");
    let lease = world.lease().get("cloudfaster-controller").await.unwrap();
    assert_eq!(holder(&lease).as_deref(), Some("thief"), "it gave back what is not its own");
}

fn holder(lease: &Lease) -> Option<String> {
    lease.spec.as_ref()?.holder_identity.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_frozen_for_longer_than_its_lease_ends_when_it_wakes_up() {
    let world = World::new(small(1)).await;
    let (mut first, _second, leads) = two(&world, &SHORT).await;
    let mut leader_now = world.leader();
    first.signal("STOP");
    until_leads(&mut leader_now, |now| now != leads).await;
    first.signal("CONT");
    assert!(!first.ended().await.success(), "{}", first.log());
    assert!(first.log().contains("stopped at once"), "{}", first.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_cannot_reach_kubernetes_ends_by_its_deadline() {
    let mut world = World::new(small(1)).await;
    let mut leader = world.leader();
    let mut first = Replica::start(&world, &SHORT).await;
    until_leads(&mut leader, |_| true).await;
    world.stop().await;
    let status = first.ended().await;
    assert!(!status.success(), "{}", first.log());
    assert!(first.log().contains("could not be renewed within 2 s"), "{}", first.log());
}

/// Passes bytes on to `target` until it is closed; then it takes everything and answers nothing.
async fn black_hole(target: SocketAddr) -> (SocketAddr, watch::Sender<bool>) {
    let listener = TcpListener::bind(lab::LISTEN).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (closed, closes) = watch::channel(false);
    tokio::spawn(async move {
        while let Ok((mut inside, _)) = listener.accept().await {
            let mut closes = closes.clone();
            tokio::spawn(async move {
                let mut outside = TcpStream::connect(target).await.unwrap();
                tokio::select! {
                    _ = copy_bidirectional(&mut inside, &mut outside) => return,
                    _ = closes.wait_for(|closed| *closed) => {}
                }
                // Held open for good.
                std::future::pending::<()>().await;
            });
        }
    });
    (address, closed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_requests_vanish_ends_by_its_deadline() {
    let world = World::new(small(1)).await;
    let (by, closed) = black_hole(world.address()).await;
    let mut leader = world.leader();
    let mut first = Replica::reaching(&world.kubeconfig_by(by), &SHORT).await;
    until_leads(&mut leader, |_| true).await;
    first.until_ready().await;
    closed.send_replace(true);
    assert!(!first.ended().await.success(), "{}", first.log());
    assert!(first.log().contains("Kubernetes did not answer within"), "{}", first.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_needs_not_be_elected_takes_no_lease() {
    let world = World::new(small(1)).await;
    let replica = Replica::start(&world, &["--leader-elect=false"]).await;
    world.machine("web").await;
    world.until_ready("web").await;
    assert_eq!(world.lease().get_opt("cloudfaster-controller").await.unwrap(), None);
    assert_eq!(leader(&replica.get("/metrics").await.1), Some("1"));
    assert!(!replica.get("/readyz?verbose").await.1.contains("lease"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_makes_the_lease_anew_when_somebody_deletes_it() {
    let world = World::new(small(1)).await;
    let mut leader = world.leader();
    let first = Replica::start(&world, &SHORT).await;
    let leads = until_leads(&mut leader, |_| true).await;
    let old = world.lease().get("cloudfaster-controller").await.unwrap().metadata.uid;
    world.lease().delete("cloudfaster-controller", &Default::default()).await.unwrap();
    let again =
        kube::runtime::wait::await_condition(world.lease(), "cloudfaster-controller", |lease: Option<&Lease>| {
            lease.is_some_and(|lease| lease.metadata.uid != old)
        });
    let again = tokio::time::timeout(Duration::from_secs(60), again).await.expect("it is made anew").unwrap();
    assert_eq!(holder(&again.unwrap()), Some(leads));
    first.until_ready().await;
}

#[tokio::test]
async fn times_that_cannot_work_are_refused_with_the_name_of_the_flag() {
    for (arguments, flag) in [
        (["--lease-duration=10s", "--lease-renew-deadline=10s"], "--lease-renew-deadline must be shorter"),
        (["--lease-duration=1500ms", "--lease-renew-deadline=1s"], "--lease-duration must be whole seconds"),
        (["--lease-retry-period=9s", "--lease-renew-deadline=10s"], "--lease-retry-period must be"),
        (["--lease-retry-period=soon", "--lease-duration=10s"], "--lease-retry-period"),
    ] {
        let run =
            std::process::Command::new(env!("CARGO_BIN_EXE_cloudfaster")).arg("controller").args(arguments).output();
        let run = run.unwrap();
        let text = String::from_utf8(run.stderr).unwrap();
        assert!(!run.status.success() && text.contains(flag), "{text}");
    }
}
