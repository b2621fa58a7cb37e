//! From events and answers to snapshots.

use std::{collections::BTreeMap, time::Instant};

use bollard::models::{ContainerInspectResponse, ContainerSummary, EventMessage, ImageSummary, Network, Volume};
use serde_json::{Value, json};

use super::{
    Look,
    merge::{Seen, look_after},
    snapshot::{Owner, Snapshot},
};

const HERE: &str = "here";

fn labels(installation: &str, object: &str) -> Value {
    json!({
        "cloudfaster.app/installation": installation,
        "cloudfaster.app/namespace": "tenant",
        "cloudfaster.app/name": object,
        "cloudfaster.app/uid": format!("uid-{object}"),
    })
}

fn owner(object: &str) -> Owner {
    Owner { namespace: "tenant".into(), name: object.into(), uid: format!("uid-{object}") }
}

fn container(id: &str, object: &str, state: &str) -> (String, Option<ContainerInspectResponse>) {
    let inspected = json!({
        "Id": id, "Name": format!("/{id}-name"), "State": { "Status": state },
        "Config": { "Labels": labels(HERE, object) },
    });
    (id.to_owned(), Some(serde_json::from_value(inspected).unwrap()))
}

fn containers(all: impl IntoIterator<Item = (String, Option<ContainerInspectResponse>)>) -> Seen {
    Seen { containers: all.into_iter().collect(), ..Seen::default() }
}

fn network(id: &str, object: &str) -> Network {
    serde_json::from_value(json!({ "Id": id, "Name": id, "Labels": labels(HERE, object) })).unwrap()
}

fn volume(name: &str, object: &str) -> Volume {
    let volume = json!({ "Name": name, "Driver": "local", "Mountpoint": "/", "Labels": labels(HERE, object), "Scope": "local", "Options": {} });
    serde_json::from_value(volume).unwrap()
}

fn event(kind: &str, action: &str, id: &str, attributes: Value) -> EventMessage {
    let event = json!({ "Type": kind, "Action": action, "Actor": { "ID": id, "Attributes": attributes } });
    serde_json::from_value(event).unwrap()
}

/// A snapshot with a container, a network and a volume of the object "one".
fn some() -> Snapshot {
    let seen = Seen {
        networks: Some(vec![network("n1", "one")]),
        volumes: Some(vec![volume("v1", "one")]),
        ..containers([container("c1", "one", "running")])
    };
    Snapshot::default().after(HERE, seen).0
}

#[test]
fn an_event_says_what_is_to_be_looked_at() {
    let networks = || Look { networks: true, ..Look::default() };
    let volumes = || Look { volumes: true, ..Look::default() };
    let nothing = Look::default;
    for (told, look) in [
        (event("container", "start", "c1", json!({})), Look::container("c1")),
        (event("container", "create", "c2", labels(HERE, "two")), Look::container("c2")),
        (event("container", "create", "c3", labels("elsewhere", "two")), nothing()),
        (event("container", "die", "c3", json!({})), nothing()),
        (event("network", "create", "n2", json!({})), networks()),
        (event("network", "create", "n1", json!({})), nothing()),
        (event("network", "destroy", "n1", json!({})), networks()),
        (event("network", "destroy", "n2", json!({})), nothing()),
        (event("network", "connect", "n2", json!({ "container": "c1" })), Look::container("c1")),
        (event("network", "connect", "n1", json!({ "container": "c3" })), nothing()),
        (event("volume", "create", "v2", json!({})), volumes()),
        (event("volume", "destroy", "v1", json!({})), volumes()),
        (event("volume", "destroy", "v2", json!({})), nothing()),
        (event("volume", "mount", "v1", json!({})), nothing()),
        (event("image", "tag", "sha256:1", json!({})), Look { images: true, ..Look::default() }),
        (event("plugin", "enable", "p", json!({})), nothing()),
    ] {
        assert_eq!(look_after(&some(), HERE, told.clone()), look, "{told:?}");
    }
}

#[test]
fn changes_name_whose_things_are_not_as_they_were() {
    let before = some();
    let told = |seen| before.after(HERE, seen).1.owners.into_iter().map(|owner| owner.name).collect::<Vec<_>>();
    assert!(told(containers([container("c1", "one", "running")])).is_empty(), "the same again is no change");
    assert_eq!(told(containers([container("c1", "one", "exited")])), ["one"]);
    assert_eq!(told(containers([container("c2", "two", "created")])), ["two"]);
    assert_eq!(told(containers([("c1".to_owned(), None)])), ["one"]);
    assert!(told(containers([("c9".to_owned(), None)])).is_empty());
    assert_eq!(told(Seen { networks: Some(Vec::new()), ..Seen::default() }), ["one"]);
    assert_eq!(told(Seen { volumes: Some(vec![volume("v1", "two")]), ..Seen::default() }), ["one", "two"]);
    let foreign = json!({ "Id": "c1", "Config": { "Labels": labels("elsewhere", "one") } });
    let foreign = serde_json::from_value(foreign).unwrap();
    let (next, changes) = before.after(HERE, containers([("c1".to_owned(), Some(foreign))]));
    assert_eq!((next.containers().count(), changes.owners.len()), (0, 1), "another installation's is not ours");
}

#[test]
fn an_owners_things_are_found_by_the_owner() {
    let mut snapshot = some();
    for seen in [
        containers([container("c2", "two", "running"), container("c3", "one", "running")]),
        Seen { networks: Some(vec![network("n1", "one"), network("n2", "two")]), ..Seen::default() },
        containers([("c1".to_owned(), None)]),
        Seen { volumes: Some(vec![volume("v1", "two")]), ..Seen::default() },
    ] {
        snapshot = snapshot.after(HERE, seen).0;
    }
    let ids = |object: &str| {
        let owner = owner(object);
        let containers = snapshot.containers_of(&owner).map(|it| it.id().to_owned());
        let networks = snapshot.networks_of(&owner).map(|it| it.listed.id.clone().unwrap());
        let volumes = snapshot.volumes_of(&owner).map(|it| it.listed.name.clone());
        containers.chain(networks).chain(volumes).collect::<Vec<_>>()
    };
    assert_eq!(ids("one"), ["c3", "n1"]);
    assert_eq!(ids("two"), ["c2", "n2", "v1"]);
    assert_eq!(snapshot.owners().count(), 2);
}

#[test]
fn tags_of_ours_stand_for_images() {
    let image = |tag: &str, id: &str| -> ImageSummary {
        let image = json!({
            "Id": id, "ParentId": "", "RepoTags": [tag], "RepoDigests": [], "Created": 0, "Size": 0, "SharedSize": 0,
            "Labels": {}, "Containers": 0,
        });
        serde_json::from_value(image).unwrap()
    };
    let seen = |tag: &str, id: &str| Seen { images: Some(vec![image(tag, id)]), ..Seen::default() };
    let (one, changes) = Snapshot::default().after(HERE, seen("held:1", "sha256:1"));
    assert!(changes.images);
    assert_eq!(one.image("held:1"), Some("sha256:1"));
    assert!(!one.after(HERE, seen("held:1", "sha256:1")).1.images);
    assert!(one.after(HERE, seen("held:1", "sha256:2")).1.images);
}

#[test]
fn a_list_tells_which_containers_have_to_be_inspected() {
    let snapshot = some().after(HERE, containers([container("c2", "two", "exited")])).0;
    let summary = |id: &str, state: &str, name: &str, status: &str| -> ContainerSummary {
        let summary = json!({ "Id": id, "State": state, "Names": [format!("/{name}")], "Status": status });
        serde_json::from_value(summary).unwrap()
    };
    let differing = |listed: &[ContainerSummary]| snapshot.differing(listed).into_iter().collect::<Vec<_>>();
    let c1 = || summary("c1", "running", "c1-name", "Up 2 hours");
    let c2 = || summary("c2", "exited", "c2-name", "Exited (0) 2 hours ago");
    assert!(differing(&[c1(), c2()]).is_empty());
    assert_eq!(differing(&[c1()]), ["c2"], "it is gone");
    assert_eq!(differing(&[c1(), c2(), summary("c3", "created", "c3-name", "Created")]), ["c3"]);
    assert_eq!(differing(&[summary("c1", "exited", "c1-name", "Exited (1)"), c2()]), ["c1"]);
    assert_eq!(differing(&[summary("c1", "running", "other", "Up 1 second"), c2()]), ["c1"]);
    assert_eq!(differing(&[summary("c1", "running", "c1-name", "Up 1 second (healthy)"), c2()]), ["c1"]);
}

#[test]
fn a_thousand_containers_are_merged_one_by_one() {
    let many = |state: &str| {
        (0..1000).map(|at| container(&format!("c{at}"), &format!("object-{at}"), state)).collect::<Vec<_>>()
    };
    let mut snapshot = Snapshot::default().after(HERE, containers(many("running"))).0;
    let begun = Instant::now();
    for (id, inspected) in many("exited") {
        let (next, changes) =
            snapshot.after(HERE, Seen { containers: BTreeMap::from([(id, inspected)]), ..Seen::default() });
        assert_eq!(changes.owners.len(), 1);
        snapshot = next;
    }
    println!("a snapshot of 1000 containers after one event: {:?}", begun.elapsed() / 1000);
    assert_eq!(snapshot.owners().count(), 1000);
}
