//! How many services a namespace may have on a host.

use std::collections::BTreeSet;

use futures::future::{join_all, select_all};
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::{
    hosts::until_host,
    lab::{Lab, ready},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_gets_no_more_services_than_it_may_have_however_many_ask_at_once() {
    let lab = Lab::new().await;
    let patch = Patch::Json::<()>(
        serde_json::from_value(json!([{"op": "add", "path": "/spec/tenants/0/limits", "value": {"services": 2}}]))
            .unwrap(),
    );
    lab.hosts().patch("local", &PatchParams::default(), &patch).await.unwrap();
    let compose = format!("services: {{web: {{image: '{}'}}}}\n", lab.image);
    let names = join_all(["a", "b", "c", "d"].map(|name| lab.apply(name, &compose, json!({})))).await;
    let settled = names.iter().map(|name| {
        lab.until(name, "Ready, or refused", |status| {
            ready(&status.conditions).is_some_and(|it| it.status == "True" || it.reason == "TooManyServices")
        })
    });
    join_all(settled).await;
    let (running, refused): (BTreeSet<_>, BTreeSet<_>) = names.iter().partition(|name| !lab.running(name).is_empty());
    assert_eq!((running.len(), refused.len()), (2, 2), "{running:?} {refused:?}");
    until_host(&lab, "local", "it shows them", |status| status.services == Some(2)).await;
    // A place that is free is taken at once.
    lab.delete(running.first().unwrap()).await;
    let (_, at, _) = select_all(refused.iter().map(|name| Box::pin(lab.until_ready(name)))).await;
    let other = refused.iter().nth(1 - at).unwrap();
    lab.until_told(other, "TooManyServices", &["at most 2 are allowed"]).await;
    join_all(names.iter().filter(|name| Some(*name) != running.first().copied()).map(|name| lab.delete(name))).await;
}
