//! A Kubernetes that is not there yet, goes away, or refuses: the controller goes on by itself.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::response::{IntoResponse, Response};
use cloudfaster::{
    api,
    controller::{self, Settings},
    telemetry::Telemetry,
};
use kube::{Client, client::Body};
use parking_lot::Mutex;
use serde_json::json;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    process::{LONG, Replica, World, until_leads},
    support::{Lab, small},
};

/// Which requests are refused, and with what.
type Rule = Box<dyn Fn(&http::Request<Body>) -> Option<u16> + Send + Sync>;

/// A controller in this process whose requests to Kubernetes can be refused.
struct Refused {
    rule: Arc<Mutex<Option<Rule>>>,
    refusals: Arc<AtomicUsize>,
    telemetry: Telemetry,
    _shutdown: DropGuard,
}

impl Refused {
    fn start(lab: &Lab, rule: Option<Rule>) -> Self {
        let (rule, refusals) = (Arc::new(Mutex::new(rule)), Arc::new(AtomicUsize::new(0)));
        let (client, rules, count) = (lab.client.clone(), rule.clone(), refusals.clone());
        let transport = tower::service_fn(move |request: http::Request<Body>| {
            let refusal = rules.lock().as_ref().and_then(|rule| rule(&request));
            let (client, count) = (client.clone(), count.clone());
            async move {
                Ok::<_, Infallible>(match refusal {
                    Some(code) => {
                        count.fetch_add(1, Ordering::SeqCst);
                        refuse(code)
                    }
                    None => client.send(request).await.unwrap().map(axum::body::Body::new),
                })
            }
        });
        let (telemetry, shutdown) = (Telemetry::default(), CancellationToken::new());
        let settings = Settings { operator_namespace: "cloudfaster-system".to_owned(), ..Settings::default() };
        let client = Client::new(transport, "default");
        tokio::spawn(controller::run(settings, client, telemetry.clone(), None, shutdown.clone()));
        Self { rule, refusals, telemetry, _shutdown: shutdown.drop_guard() }
    }

    fn set(&self, rule: Option<Rule>) {
        *self.rule.lock() = rule;
    }

    fn refusals(&self) -> usize {
        self.refusals.load(Ordering::SeqCst)
    }

    async fn until_refused(&self, times: usize) {
        let refused = async {
            while self.refusals() < times {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(crate::process::LIMIT, refused).await.expect("it asks again");
    }

    async fn until_ready_says(&self, is: impl Fn(bool, &str) -> bool) {
        let asked = async {
            loop {
                let report = self.telemetry.health.ready();
                if is(report.is_good(), &report.to_string()) {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        let done = tokio::time::timeout(crate::process::LIMIT, asked).await;
        assert!(done.is_ok(), "{}", self.telemetry.health.ready());
    }
}

fn refuse(code: u16) -> Response {
    let reason = match code {
        401 => "Unauthorized",
        403 => "Forbidden",
        410 => "Expired",
        _ => "InternalError",
    };
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
                      "message": format!("refused by the test with {code}")});
    (http::StatusCode::from_u16(code).unwrap(), axum::Json(body)).into_response()
}

fn fills_cache(request: &http::Request<Body>) -> bool {
    request.method() == http::Method::GET && request.uri().path().ends_with("/proxmoxvms")
}

fn watches(request: &http::Request<Body>) -> bool {
    fills_cache(request) && request.uri().query().is_some_and(|query| query.contains("watch=true"))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_ready_before_the_caches_are_filled_and_all_is_after() {
    let lab = Lab::bare(small(1)).await;
    lab.connect().await;
    lab.machine("one", json!({})).await;
    // What is asked with a page size is the cache's list.
    let list = |request: &http::Request<Body>| {
        (fills_cache(request) && request.uri().query().is_some_and(|query| query.contains("limit=500"))).then_some(500)
    };
    let controller = Refused::start(&lab, Some(Box::new(list)));
    controller.until_refused(2).await;
    let report = controller.telemetry.health.ready();
    assert!(!report.is_good());
    let text = report.to_string();
    assert!(text.contains("[-]cache-proxmoxvms failed: not yet") && text.contains("[-]watch-proxmoxvms"), "{text}");
    assert!(controller.telemetry.health.live().is_good(), "a Kubernetes that refuses is no reason to be restarted");
    controller.set(None);
    controller.until_ready_says(|good, _| good).await;
    lab.until_ready(&["one"]).await;
}

async fn is_refused_for_a_while(code: u16, is: fn(&http::Request<Body>) -> bool) {
    let lab = Lab::bare(small(1)).await;
    lab.connect().await;
    let controller = Refused::start(&lab, None);
    lab.machine("one", json!({})).await;
    lab.until_ready(&["one"]).await;
    controller.until_ready_says(|good, _| good).await;
    controller.set(Some(Box::new(move |request| is(request).then_some(code))));
    // What is refused is asked for again, and not without a pause.
    lab.machine("two", json!({})).await;
    controller.until_refused(2).await;
    assert!(controller.refusals() < 100, "{} refusals", controller.refusals());
    controller.set(None);
    lab.until_ready(&["one", "two"]).await;
    controller.until_ready_says(|good, _| good).await;
    assert!(controller.refusals() < 100, "{} refusals", controller.refusals());
    lab.assert_exactly(&["one", "two"], "Kubernetes refused for a while");
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_are_taken_away_for_a_while_do_no_harm() {
    is_refused_for_a_while(403, |request| request.method() != http::Method::GET).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_taken_for_a_while_does_no_harm() {
    is_refused_for_a_while(401, |_| true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_rights_says_what_is_missing_and_goes_on_when_it_is_granted() {
    let lab = Lab::bare(small(1)).await;
    lab.connect().await;
    let controller = Refused::start(&lab, Some(Box::new(|request| fills_cache(request).then_some(403))));
    controller
        .until_ready_says(|good, text| {
            !good && text.contains("[-]definitions failed: ProxmoxVM cannot be listed: refused by the test with 403")
        })
        .await;
    controller.set(None);
    lab.machine("one", json!({})).await;
    lab.until_ready(&["one"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_too_old_to_be_watched_from_leads_to_a_new_list() {
    let lab = Lab::bare(small(1)).await;
    lab.connect().await;
    let controller = Refused::start(&lab, Some(Box::new(|request| watches(request).then_some(410))));
    controller.until_refused(2).await;
    controller.set(None);
    lab.machine("one", json!({})).await;
    lab.until_ready(&["one"]).await;
    assert!(controller.refusals() < 100, "{} refusals", controller.refusals());
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_may_not_be_written_hold_nothing_up() {
    let lab = Lab::bare(small(1)).await;
    lab.connect().await;
    let event = |request: &http::Request<Body>| request.uri().path().contains("/events").then_some(403);
    let controller = Refused::start(&lab, Some(Box::new(event)));
    lab.machine("one", json!({})).await;
    lab.until_ready(&["one"]).await;
    assert!(controller.refusals() > 0);
    let metrics = controller.telemetry.metrics.encode().unwrap();
    let failed = |line: &str| line.starts_with("cloudfaster_reconciles_total") && line.contains("outcome=\"error\"");
    assert!(!metrics.lines().any(failed), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_controller_waits_for_a_kubernetes_that_comes_later_and_goes_on_after_it_was_restarted() {
    let mut world = World::new(small(1)).await;
    world.stop().await;
    let replica = Replica::start(&world, &LONG).await;
    // Before it has asked the first time it says `not yet`.
    let told = |text: &str| text.contains("[-]definitions failed: ProxmoxCluster cannot be listed: ");
    let text = replica.until("/readyz", |status, text| status == 503 && told(text)).await;
    assert!(text.contains("efused"), "{text}");
    assert_eq!(replica.get("/livez").await.0, 200);
    world.serve(api::crds()).await;
    replica.until_ready().await;
    world.machine("one").await;
    world.until_ready("one").await;
    // And again, while it works.
    world.stop().await;
    replica.until("/readyz", |status, text| status == 503 && text.contains("[-]kubernetes failed")).await;
    world.serve(api::crds()).await;
    world.machine("two").await;
    world.until_ready("two").await;
    replica.until_ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_that_kubernetes_does_not_know_yet_are_waited_for_and_told_of() {
    let mut world = World::new(small(1)).await;
    world.stop().await;
    world.serve(Vec::new()).await;
    let replica = Replica::start(&world, &LONG).await;
    let text = replica.until("/readyz", |status, text| status == 503 && text.contains("does not know")).await;
    assert!(text.contains("cloudfaster crds | kubectl apply"), "{text}");
    assert_eq!(replica.get("/livez").await.0, 200);
    world.stop().await;
    world.serve(api::crds()).await;
    replica.until_ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_ends_before_a_process_that_is_told_to_stop() {
    use cloudfaster::simulator::{Effect, Fault};

    let world = World::new(small(1)).await;
    // 20 s of the simulated time, which passes faster: time for the signal.
    let slow = Effect::Slow { milliseconds: 60_000 };
    world.simulator.fault(Fault::new(slow).request("POST", "/clone$")).unwrap();
    let mut leader = world.leader();
    let mut replica = Replica::start(&world, &LONG).await;
    until_leads(&mut leader, |_| true).await;
    world.machine("one").await;
    let mut changed = world.simulator.changed();
    let asked = || world.simulator.requests().iter().any(|request| request.path.ends_with("/clone"));
    while !asked() {
        changed.changed().await.unwrap();
    }
    replica.signal("TERM");
    replica.until("/readyz", |status, text| status == 503 && text.contains("told to stop")).await;
    assert_eq!(replica.ended().await.code(), Some(0), "{}", replica.log());
    let status = world.machines().get("one").await.unwrap().status.unwrap();
    assert!(status.task.is_some(), "the answer to the clone was not awaited\n{}", replica.log());
    assert!(replica.log().contains("the Lease is given back"), "{}", replica.log());
}
