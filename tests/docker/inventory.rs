//! The inventory of a host, on the real engine.

use std::{collections::BTreeSet, time::Duration};

use bollard::models::{ContainerCreateBody, NetworkCreateRequest, VolumeCreateRequest};
use cloudfaster::docker::engine::{
    Engine, Removal,
    inventory::{Event, Inventory, Look, Owner, Reach, Settings, Snapshot, Subscription},
};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    calls::body,
    support::{Run, engine, images::image},
};

/// How long something may take before a test gives up.
const LIMIT: Duration = Duration::from_secs(120);

pub fn start(test: &Run, engine: &Engine) -> (Inventory, DropGuard) {
    let token = CancellationToken::new();
    let settings = Settings {
        engine: engine.clone(),
        installation: test.id.clone(),
        image_patterns: vec![test.name("held") + ":*"],
    };
    (Inventory::start(settings, token.clone()), token.drop_guard())
}

/// Waits until the snapshot is as it should be.
pub async fn until(inventory: &Inventory, what: &str, wanted: impl Fn(&Snapshot) -> bool) {
    let mut watch = inventory.watch();
    let waited = timeout(LIMIT, watch.wait_for(|snapshot| wanted(snapshot))).await.is_ok();
    assert!(waited, "waited in vain for {what}: {:#?}", inventory.snapshot());
}

/// Waits until somebody's things change.
async fn told(subscription: &mut Subscription) -> BTreeSet<Owner> {
    loop {
        match timeout(LIMIT, subscription.next()).await.expect("no change was told").expect("it stopped") {
            Event::Changed(changes) if changes.owners.is_empty() => {}
            Event::Changed(changes) => return changes.owners.clone(),
            Event::Missed => panic!("changes were missed"),
        }
    }
}

fn owner(object: &str) -> Owner {
    Owner { namespace: "tests".into(), name: object.into(), uid: format!("uid-{object}") }
}

fn states(snapshot: &Snapshot, object: &str) -> Vec<String> {
    let containers = snapshot.containers_of(&owner(object));
    containers.map(|it| it.inspected.state.as_ref().unwrap().status.unwrap().to_string()).collect()
}

#[tokio::test]
async fn what_was_there_before_and_what_comes_later_is_known_and_what_is_foreign_is_not() {
    let (test, engine) = (Run::new(), engine());
    let tag = test.name("image") + ":1";
    image(&tag);
    let create = async |name: &str, labels| {
        let body = ContainerCreateBody { labels: Some(labels), ..body(&tag, &["sleep", "1000"]) };
        engine.create_container(&test.name(name), None, body).await.unwrap().id
    };
    let before = create("before", test.labels("one")).await;
    create("foreign", test.foreign_labels()).await;
    let (inventory, _guard) = start(&test, &engine);
    until(&inventory, "the first list", Snapshot::is_current).await;
    let snapshot = inventory.snapshot();
    assert_eq!(snapshot.containers().map(|it| it.id()).collect::<Vec<_>>(), [before.as_str()]);
    assert_eq!(snapshot.container(&before).unwrap().name(), test.name("before"));
    assert!(snapshot.capacity.is_some());

    let mut changes = inventory.subscribe();
    let later = create("later", test.labels("two")).await;
    assert_eq!(told(&mut changes).await, [owner("two")].into());
    create("foreign-later", test.foreign_labels()).await;
    engine.start_container(&before).await.unwrap();
    assert_eq!(told(&mut changes).await, [owner("one")].into());
    until(&inventory, "the start", |snapshot| states(snapshot, "one") == ["running"]).await;
    engine.rename_container(&later, &test.name("renamed")).await.unwrap();
    until(&inventory, "the name", |snapshot| {
        snapshot.container(&later).is_some_and(|it| it.name() == test.name("renamed"))
    })
    .await;
    engine.kill_container(&before, "SIGKILL").await.unwrap();
    until(&inventory, "the end", |snapshot| states(snapshot, "one") == ["exited"]).await;
    engine.remove_container(&before, Removal::default()).await.unwrap();
    until(&inventory, "the removal", |snapshot| snapshot.container(&before).is_none()).await;
    let snapshot = inventory.snapshot();
    assert_eq!(snapshot.owners().collect::<Vec<_>>(), [&owner("two")]);
    assert_eq!(snapshot.containers().count(), 1);
}

#[tokio::test]
async fn networks_volumes_and_held_images_are_followed() {
    let (test, engine) = (Run::new(), engine());
    let (inventory, _guard) = start(&test, &engine);
    until(&inventory, "the first list", Snapshot::is_current).await;
    let network = |name: &str, labels| NetworkCreateRequest {
        name: test.name(name),
        labels: Some(labels),
        ..NetworkCreateRequest::default()
    };
    let mut changes = inventory.subscribe();
    engine.create_network(network("foreign", test.foreign_labels())).await.unwrap();
    let id = engine.create_network(network("net", test.labels("one"))).await.unwrap();
    assert_eq!(told(&mut changes).await, [owner("one")].into());
    assert!(inventory.snapshot().network(&id).is_some());
    let volume = VolumeCreateRequest {
        name: Some(test.name("data")),
        labels: Some(test.labels("two")),
        ..VolumeCreateRequest::default()
    };
    engine.create_volume(volume).await.unwrap();
    assert_eq!(told(&mut changes).await, [owner("two")].into());
    let snapshot = inventory.snapshot();
    assert_eq!(
        snapshot.volumes_of(&owner("two")).map(|it| it.listed.name.clone()).collect::<Vec<_>>(),
        [test.name("data")]
    );
    assert_eq!(snapshot.networks().count(), 1);

    let held = test.name("held") + ":1";
    image(&held);
    until(&inventory, "the image", |snapshot| snapshot.image(&held).is_some()).await;
    engine.remove_image(&held).await.unwrap();
    engine.remove_network(&id).await.unwrap();
    engine.remove_volume(&test.name("data")).await.unwrap();
    until(&inventory, "that nothing is left", |snapshot| {
        snapshot.owners().next().is_none() && snapshot.images().next().is_none()
    })
    .await;
    assert_eq!((inventory.snapshot().networks().count(), inventory.snapshot().volumes().count()), (0, 0));
}

#[tokio::test]
async fn a_container_that_connects_to_a_network_is_inspected_again() {
    let (test, engine) = (Run::new(), engine());
    let tag = test.name("image") + ":1";
    image(&tag);
    let network = NetworkCreateRequest { name: test.name("net"), ..NetworkCreateRequest::default() };
    let network = engine.create_network(network).await.unwrap();
    let created = ContainerCreateBody { labels: Some(test.labels("one")), ..body(&tag, &["sleep", "1000"]) };
    let id = crate::calls::run(&engine, &test.name("a"), created).await;
    let (inventory, _guard) = start(&test, &engine);
    until(&inventory, "the first list", Snapshot::is_current).await;
    let connected = |snapshot: &Snapshot| {
        let settings = snapshot.container(&id).unwrap().inspected.network_settings.as_ref();
        settings.unwrap().networks.as_ref().unwrap().contains_key(&test.name("net"))
    };
    assert!(!connected(&inventory.snapshot()));
    engine.connect_network(&network, &id, Default::default()).await.unwrap();
    until(&inventory, "the connection", connected).await;
    engine.disconnect_network(&network, &id).await.unwrap();
    until(&inventory, "the disconnection", |snapshot| !connected(snapshot)).await;
}

#[tokio::test]
async fn what_was_just_done_is_seen_by_whoever_looks() {
    let (test, engine) = (Run::new(), engine());
    let tag = test.name("image") + ":1";
    image(&tag);
    let (inventory, _guard) = start(&test, &engine);
    // Even before anything was listed.
    for round in 0..5 {
        let created = ContainerCreateBody { labels: Some(test.labels("one")), ..body(&tag, &["sleep", "1000"]) };
        let id = engine.create_container(&test.name(&round.to_string()), None, created).await.unwrap().id;
        let snapshot = inventory.look(Look::container(&id)).await;
        assert!(snapshot.container(&id).is_some(), "round {round}");
        engine.remove_container(&id, Removal::default()).await.unwrap();
        let snapshot = inventory.look(Look::container(&id)).await;
        assert!(snapshot.container(&id).is_none(), "round {round}");
    }
    let volume = VolumeCreateRequest {
        name: Some(test.name("data")),
        labels: Some(test.labels("one")),
        ..VolumeCreateRequest::default()
    };
    engine.create_volume(volume).await.unwrap();
    assert!(inventory.look(Look::lists()).await.volume(&test.name("data")).is_some());
}

#[tokio::test]
async fn an_event_costs_one_inspection_and_many_at_once_cost_no_more() {
    let (test, engine) = (Run::new(), engine());
    let tag = test.name("image") + ":1";
    image(&tag);
    let created = ContainerCreateBody { labels: Some(test.labels("one")), ..body(&tag, &["sleep", "1000"]) };
    let ours = crate::calls::run(&engine, &test.name("ours"), created).await;
    let foreign = crate::calls::run(&engine, &test.name("foreign"), body(&tag, &["sleep", "1000"])).await;
    let (inventory, _guard) = start(&test, &engine);
    until(&inventory, "the first list", Snapshot::is_current).await;
    let paused = |snapshot: &Snapshot| states(snapshot, "one") == ["paused"];

    let before = inventory.requests();
    for _ in 0..10 {
        engine.pause_container(&foreign).await.unwrap();
        engine.unpause_container(&foreign).await.unwrap();
    }
    engine.pause_container(&ours).await.unwrap();
    until(&inventory, "the pause", paused).await;
    let events = 1;
    let spent = inventory.requests() - before;
    println!("20 events of foreign containers and {events} of ours: {spent} requests");
    // Tests beside this one make networks, volumes and images, of which the engine does not tell whose they are.
    let others = 10;
    assert!(spent <= events + others, "{spent} requests");
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_said_to_be_lost() {
    let test = Run::new();
    let folder = tempfile::tempdir().unwrap();
    let address = format!("unix://{}", folder.path().join("none.sock").display()).parse().unwrap();
    let settings = cloudfaster::docker::engine::Settings { address, ..crate::support::settings() };
    let engine = Engine::new(&settings).unwrap();
    let (inventory, guard) = start(&test, &engine);
    until(&inventory, "the failure", |snapshot| matches!(snapshot.reach, Reach::Lost { .. })).await;
    let snapshot = inventory.look(Look::lists()).await;
    assert!(!snapshot.is_current());
    let Reach::Lost { failure, .. } = &snapshot.reach else { panic!("{:?}", snapshot.reach) };
    assert_eq!(failure.word, "HostUnreachable");
    let mut changes = inventory.subscribe();
    drop(guard);
    let ended = async { while changes.next().await.is_some() {} };
    timeout(LIMIT, ended).await.expect("it does not stop");
}
