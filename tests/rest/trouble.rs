//! The control plane is away, or answers too late.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use axum::response::{IntoResponse, Response};
use http::{Method, Request, StatusCode};
use kube::{Client, api::ListParams, client::Body};
use serde_json::json;

use crate::support::{ADMIN, Shim, Site, detail, machine, service, settings, until};

/// How Kubernetes answers.
#[derive(Clone, Default)]
struct Line(Arc<AtomicU8>);

impl Line {
    const WORKS: u8 = 0;
    const AWAY: u8 = 1;
    /// What is created is created, and the answer is lost.
    const LOSES_ANSWERS: u8 = 2;

    fn set(&self, state: u8) {
        self.0.store(state, Ordering::SeqCst);
    }

    /// A client over this line.
    fn client(&self, through: &Client) -> Client {
        let (line, through) = (self.clone(), through.clone());
        let service = tower::service_fn(move |request: Request<Body>| {
            let (line, through) = (line.clone(), through.clone());
            async move {
                let state = line.0.load(Ordering::SeqCst);
                if state == Self::AWAY {
                    return Ok::<Response, Infallible>(StatusCode::SERVICE_UNAVAILABLE.into_response());
                }
                let creates = request.method() == Method::POST;
                let answer = through.send(request).await;
                if state == Self::LOSES_ANSWERS && creates {
                    return Ok(StatusCode::INTERNAL_SERVER_ERROR.into_response());
                }
                Ok(match answer {
                    Ok(response) => {
                        let (head, body) = response.into_parts();
                        Response::from_parts(head, axum::body::Body::new(body))
                    }
                    Err(_) => StatusCode::BAD_GATEWAY.into_response(),
                })
            }
        });
        Client::new(service, "default")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_control_plane_is_away_nothing_is_made_and_a_client_is_told_when_to_come_again() {
    let site = Site::new().await;
    let line = Line::default();
    let shim = Shim::start(line.client(&site.lab.client), settings(&[])).await;
    let client = shim.client(ADMIN);
    until(async || client.get("/protected").await.status == 200).await;
    line.set(Line::AWAY);
    for answer in [client.form("/vm", &machine("7", "web")).await, client.form("/users", "userid=7&username=Ana").await]
    {
        assert_eq!((answer.status, answer.retry_after.as_deref()), (503, Some("5")), "{answer:?}");
        assert!(detail(&answer).contains("control plane"), "{answer:?}");
    }
    // What a watch has shown is known all the same.
    assert_eq!(client.get("/vm/1000").await.status, 404);
    assert!(site.lab.seen().is_empty());
    line.set(Line::WORKS);
    assert_eq!(client.form("/vm", &machine("7", "web")).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_though_the_answer_was_lost_is_taken_back() {
    let site = Site::new().await;
    let line = Line::default();
    let shim = Shim::start(line.client(&site.lab.client), settings(&[])).await;
    let client = shim.client(ADMIN);
    until(async || client.get("/protected").await.status == 200).await;
    line.set(Line::LOSES_ANSWERS);
    let answer = client.form("/vm", &machine("7", "web")).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    // With a key it is left, and the next request with it goes on.
    let answer = client.once("/vm", "k", &machine("8", "web")).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    line.set(Line::WORKS);
    site.lab.until("the one without a key is gone", |lab| lab.seen().len() == 1).await;
    assert_eq!(client.once("/vm", "k", &machine("8", "web")).await.status, 201);
    assert_eq!(client.form("/vm", &machine("7", "web")).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_control_plane_has_answered_nothing_is_known() {
    let site = Site::bare(&[]).await;
    let line = Line::default();
    line.set(Line::AWAY);
    let shim = Shim::start(line.client(&site.lab.client), settings(&[])).await;
    let answer = shim.client(ADMIN).get("/vm/1000").await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(!shim.telemetry.health.ready().is_good());
    assert_eq!(shim.client(ADMIN).get("/heartbeat").await.status, 200);
    line.set(Line::WORKS);
    until(async || shim.telemetry.health.ready().is_good()).await;
    assert_eq!(shim.client(ADMIN).get("/vm/1000").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_is_answered_before_the_end() {
    let mut site = Site::new().await;
    let client = site.admin();
    let asked = tokio::spawn(async move { client.form("/vm", &machine("7", "web")).await });
    site.lab.until("it is being made", |lab| !lab.seen().is_empty()).await;
    site.shim.stop.cancel();
    assert_eq!(asked.await.unwrap().status, 201);
    (&mut site.shim.task).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_end_nobody_waits_for_long_and_nothing_is_left_half_made() {
    let mut site = Site::new().await;
    site.docker_host(json!({})).await;
    // Nobody looks at what is made now.
    site.lab.kill();
    let (client, other) = (site.admin(), site.admin());
    let waits = tokio::spawn(async move { client.form("/service?wait=600", &service("7", "shop")).await });
    let numberless = tokio::spawn(async move { other.form("/vm", &machine("7", "web")).await });
    site.lab.until("the machine is being made", |lab| !lab.seen().is_empty()).await;
    until(async || !site.services().list(&ListParams::default()).await.unwrap().items.is_empty()).await;
    site.shim.stop.cancel();
    let waited = waits.await.unwrap();
    assert_eq!((waited.status, &waited.body["status"]), (201, &json!("creating")), "{waited:?}");
    let refused = numberless.await.unwrap();
    assert!(refused.status == 503 && refused.retry_after.is_some(), "{refused:?}");
    (&mut site.shim.task).await.unwrap().unwrap();
    assert!(site.lab.seen().is_empty(), "a machine is left that nobody knows");
}
