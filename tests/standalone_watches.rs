//! Watches, and what kube-rs builds on them: reflectors and controllers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod standalone_support;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use cloudfaster::standalone::ControlPlane;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use http_body_util::BodyExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{
    Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use kube::core::PartialObjectMeta;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::{self, watcher};
use kube::runtime::{Controller, WatchStreamExt as _};
use kube::{Error, ResourceExt as _};
use serde_json::{Value, json};
use standalone_support::{client, in_memory, machine, machine_resource, machines, open};
use tower::ServiceExt as _;

type Events = Pin<Box<dyn Stream<Item = Result<WatchEvent<DynamicObject>, Error>> + Send>>;

fn post() -> PostParams {
    PostParams::default()
}

async fn watch(api: &Api<DynamicObject>, params: &WatchParams, from: &str) -> Events {
    Box::pin(api.watch(params, from).await.unwrap())
}

/// The kind and the name of the next event; for a bookmark and an error, what they say.
async fn next(events: &mut Events) -> (&'static str, String) {
    let event = tokio::time::timeout(Duration::from_secs(20), events.try_next()).await.expect("an event").unwrap();
    match event {
        Some(WatchEvent::Added(object)) => ("ADDED", object.name_any()),
        Some(WatchEvent::Modified(object)) => ("MODIFIED", object.name_any()),
        Some(WatchEvent::Deleted(object)) => ("DELETED", object.name_any()),
        Some(WatchEvent::Bookmark(bookmark)) => ("BOOKMARK", bookmark.metadata.resource_version),
        Some(WatchEvent::Error(status)) => ("ERROR", format!("{} {}", status.code, status.reason)),
        None => ("END", String::new()),
    }
}

fn event(kind: &'static str, name: &str) -> (&'static str, String) {
    (kind, name.to_owned())
}

#[tokio::test]
async fn a_watch_goes_on_from_where_a_list_ended() {
    let plane = in_memory().await;
    let machines = machines(&client(&plane));
    machines.create(&post(), &machine("before", &json!({}))).await.unwrap();
    let list = machines.list(&ListParams::default()).await.unwrap();
    let from = list.metadata.resource_version.unwrap();
    // This happens between the list and the watch, which must not miss it.
    machines.create(&post(), &machine("web", &json!({}))).await.unwrap();
    let mut events = watch(&machines, &WatchParams::default(), &from).await;
    assert_eq!(next(&mut events).await, event("ADDED", "web"));
    let bigger = json!({ "spec": { "cores": 2 } });
    machines.patch("web", &PatchParams::default(), &Patch::Merge(&bigger)).await.unwrap();
    assert_eq!(next(&mut events).await, event("MODIFIED", "web"));
    machines.delete("web", &DeleteParams::default()).await.unwrap();
    assert_eq!(next(&mut events).await, event("DELETED", "web"));
}

#[tokio::test]
async fn a_watch_without_a_version_begins_with_what_there_is() {
    let plane = in_memory().await;
    let machines = machines(&client(&plane));
    for name in ["a", "b"] {
        machines.create(&post(), &machine(name, &json!({}))).await.unwrap();
    }
    let mut events = watch(&machines, &WatchParams::default(), "0").await;
    assert_eq!(next(&mut events).await, event("ADDED", "a"));
    assert_eq!(next(&mut events).await, event("ADDED", "b"));
}

#[tokio::test]
async fn what_enters_or_leaves_a_selection_is_added_or_deleted() {
    let plane = in_memory().await;
    let machines = machines(&client(&plane));
    let created = machines.create(&post(), &machine("web", &json!({}))).await.unwrap();
    let from = created.resource_version().unwrap();
    let selected = WatchParams::default().labels("tier=front");
    let mut events = watch(&machines, &selected, &from).await;
    for (tier, expected) in [("front", "ADDED"), ("front", ""), ("back", "DELETED")] {
        let patch = json!({ "metadata": { "labels": { "tier": tier } } });
        machines.patch("web", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
        if !expected.is_empty() {
            assert_eq!(next(&mut events).await, event(expected, "web"));
        }
    }
}

#[tokio::test]
async fn versions_from_before_the_history_are_gone() {
    let directory = tempfile::tempdir().unwrap();
    let plane = open(directory.path()).await;
    let created = machines(&client(&plane)).create(&post(), &machine("web", &json!({}))).await.unwrap();
    machines(&client(&plane)).create(&post(), &machine("db", &json!({}))).await.unwrap();
    let page = machines(&client(&plane)).list(&ListParams::default().limit(1)).await.unwrap();
    machines(&client(&plane)).delete("db", &DeleteParams::default()).await.unwrap();
    plane.close().await;

    // The history is not kept on the disk, so what came before the restart is too old.
    let plane = open(directory.path()).await;
    let machines = machines(&client(&plane));
    let from = created.resource_version().unwrap();
    let mut events = watch(&machines, &WatchParams::default(), &from).await;
    assert_eq!(next(&mut events).await, event("ERROR", "410 Expired"));
    assert_eq!(next(&mut events).await.0, "END");
    let token = page.metadata.continue_.unwrap();
    let list = machines.list(&ListParams::default().limit(1).continue_token(&token)).await;
    assert!(matches!(&list, Err(Error::Api(status)) if status.code == 410 && status.reason == "Expired"), "{list:?}");
    let future = watch_error(&plane, "99999").await;
    assert_eq!(future["code"], 504);
    assert!(future["message"].as_str().unwrap().starts_with("Timeout: Too large resource version: 99999, current: "));
    plane.close().await;
}

async fn watch_error(plane: &ControlPlane, from: &str) -> Value {
    let request = http::Request::get(format!("/apis/cloudfaster.app/v1alpha1/machines?watch=1&resourceVersion={from}"))
        .body(axum::body::Body::empty())
        .unwrap();
    let answer = plane.router().oneshot(request).await.unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test]
async fn a_version_that_has_left_the_history_is_gone() {
    let plane = in_memory().await;
    let client = client(&plane);
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let writers = (0..50).map(|writer| {
        let maps = maps.clone();
        async move {
            let name = format!("busy-{writer}");
            let map = json!({ "metadata": { "name": name } });
            maps.create(&post(), &serde_json::from_value(map).unwrap()).await?;
            for round in 0..84 {
                let patch = json!({ "data": { "round": round.to_string() } });
                maps.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
            }
            Ok::<_, Error>(())
        }
    });
    let from = maps.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    futures::future::try_join_all(writers).await.unwrap();
    let mut events = Box::pin(maps.watch(&WatchParams::default(), &from).await.unwrap());
    let first = events.try_next().await.unwrap().unwrap();
    assert!(matches!(first, WatchEvent::Error(status) if status.code == 410));
}

#[tokio::test]
async fn a_watch_ends_in_time_with_a_bookmark() {
    let plane = in_memory().await;
    let machines = machines(&client(&plane));
    let created = machines.create(&post(), &machine("web", &json!({}))).await.unwrap();
    let from = created.resource_version().unwrap();
    let short = WatchParams::default().timeout(1);
    let mut events = watch(&machines, &short, &from).await;
    // Other kinds move the version on, too.
    let maps: Api<ConfigMap> = Api::default_namespaced(client(&plane));
    let map = json!({ "metadata": { "name": "other" } });
    let later = maps.create(&post(), &serde_json::from_value(map).unwrap()).await.unwrap();
    let (kind, version) = next(&mut events).await;
    assert_eq!(kind, "BOOKMARK");
    assert!(version.parse::<u64>().unwrap() <= later.resource_version().unwrap().parse().unwrap());
    assert_eq!(next(&mut events).await.0, "END");
}

#[tokio::test]
async fn watches_end_with_the_control_plane() {
    let plane = in_memory().await;
    let machines = machines(&client(&plane));
    let mut events = watch(&machines, &WatchParams::default(), "0").await;
    plane.close().await;
    assert_eq!(next(&mut events).await.0, "END");
    let late = machines.create(&post(), &machine("web", &json!({}))).await;
    assert!(matches!(late, Err(Error::Api(status)) if status.code == 503));
}

#[tokio::test]
async fn streaming_lists_say_where_the_list_ends() {
    let plane = in_memory().await;
    let machines = machines(&client(&plane));
    for name in ["a", "b"] {
        machines.create(&post(), &machine(name, &json!({}))).await.unwrap();
    }
    let config = watcher::Config::default().streaming_lists();
    let mut stream = Box::pin(watcher(machines.clone(), config));
    let mut seen = Vec::new();
    loop {
        match stream.try_next().await.unwrap().unwrap() {
            watcher::Event::Init => {}
            watcher::Event::InitApply(object) => seen.push(object.name_any()),
            watcher::Event::InitDone => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, ["a", "b"]);
    machines.delete("a", &DeleteParams::default()).await.unwrap();
    let event = stream.try_next().await.unwrap().unwrap();
    assert!(matches!(event, watcher::Event::Delete(object) if object.name_any() == "a"));
}

#[tokio::test]
async fn metadata_can_be_listed_and_watched_alone() {
    let plane = in_memory().await;
    let machines = machines(&client(&plane));
    machines.create(&post(), &machine("web", &json!({}))).await.unwrap();
    let list = machines.list_metadata(&ListParams::default()).await.unwrap();
    let only: &PartialObjectMeta<DynamicObject> = &list.items[0];
    assert_eq!(only.name_any(), "web");
    let stream = machines.watch_metadata(&WatchParams::default(), "0").await;
    let mut stream = Box::pin(stream.unwrap());
    let first = stream.try_next().await.unwrap().unwrap();
    assert!(matches!(first, WatchEvent::Added(object) if object.name_any() == "web"));
}

#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Failed(#[from] kube::Error);

#[tokio::test]
async fn a_controller_reconciles_every_machine_while_others_write() {
    const MACHINES: usize = 40;
    let plane = in_memory().await;
    let client = client(&plane);
    let machines = machines(&client);

    let reconcile = {
        let machines = machines.clone();
        move |object: Arc<DynamicObject>, _: Arc<()>| {
            let machines = machines.clone();
            async move {
                let generation = object.metadata.generation;
                if object.data["status"]["observedGeneration"] != json!(generation) {
                    let status = json!({
                        "metadata": { "resourceVersion": object.resource_version() },
                        "status": { "observedGeneration": generation, "phase": "Ready" },
                    });
                    let params = PatchParams::default();
                    let name = object.name_any();
                    machines.patch_status(&name, &params, &Patch::Merge(&status)).await?;
                }
                Ok::<_, Failed>(Action::await_change())
            }
        }
    };
    let controller = Controller::new_with(machines.clone(), watcher::Config::default(), machine_resource());
    let store = controller.store();
    let running = tokio::spawn(
        controller
            .run(reconcile, |_, _: &Failed, _| Action::requeue(Duration::from_millis(20)), Arc::new(()))
            .for_each(|_| async {}),
    );
    let creations = (0..MACHINES).map(|index| {
        let machines = machines.clone();
        async move {
            let name = format!("m{index}");
            machines.create(&post(), &machine(&name, &json!({}))).await?;
            let bigger = json!({ "spec": { "cores": 2 } });
            let params = PatchParams::default();
            machines.patch(&name, &params, &Patch::Merge(&bigger)).await
        }
    });
    futures::future::try_join_all(creations).await.unwrap();
    let all_ready = async {
        let mut changes =
            Box::pin(watcher(machines.clone(), watcher::Config::default()).default_backoff().applied_objects());
        let mut ready = std::collections::BTreeSet::new();
        while ready.len() < MACHINES {
            let object = changes.try_next().await.unwrap().unwrap();
            if object.data["status"]["observedGeneration"] == json!(2) {
                ready.insert(object.name_any());
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all_ready).await.expect("all machines are reconciled");
    let known = store.get(&ObjectRef::new_with("m0", machine_resource()).within("default"));
    assert!(known.is_some());
    running.abort();
}
