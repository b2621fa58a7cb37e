//! Objects through the ordinary kube client: create, read, change, delete, status, finalizers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod standalone_support;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::{
    Api, DeleteParams, DynamicObject, ListParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions,
    PropagationPolicy,
};
use kube::{Error, ResourceExt};
use serde_json::{Value, json};
use standalone_support::{client, in_memory, machine, machines};

fn post() -> PostParams {
    PostParams::default()
}

/// The code, reason and message of a refusal.
fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> (u16, String, String) {
    match result.unwrap_err() {
        Error::Api(status) => (status.code, status.reason.clone(), status.message.clone()),
        other => panic!("not an answer of the API: {other}"),
    }
}

#[tokio::test]
async fn a_new_object_gets_what_the_server_sets_and_the_defaults() {
    let plane = in_memory().await;
    let machines = machines(&client(&plane));
    let mut wanted = machine("web", &json!({}));
    wanted.data["status"] = json!({ "phase": "Forged" });
    let created = machines.create(&post(), &wanted).await.unwrap();
    assert_eq!(created.metadata.generation, Some(1));
    assert_eq!(created.metadata.namespace.as_deref(), Some("default"));
    assert!(created.uid().is_some() && created.creation_timestamp().is_some());
    assert_eq!(created.data["spec"]["cores"], 1);
    assert_eq!(created.data["spec"]["power"], "Running");
    assert_eq!(
        created.data["status"],
        json!({ "observedGeneration": -1 }),
        "a status is not taken from whoever creates"
    );
    assert_eq!(machines.get("web").await.unwrap(), created);
}

#[tokio::test]
async fn refusals_have_the_texts_of_kubernetes() {
    let plane = in_memory().await;
    let client = client(&plane);
    let machines = machines(&client);
    let created = machines.create(&post(), &machine("web", &json!({}))).await.unwrap();
    assert_eq!(
        refusal(machines.create(&post(), &machine("web", &json!({}))).await),
        (409, "AlreadyExists".to_owned(), "machines.cloudfaster.app \"web\" already exists".to_owned())
    );
    assert_eq!(
        refusal(machines.get("none").await),
        (404, "NotFound".to_owned(), "machines.cloudfaster.app \"none\" not found".to_owned())
    );
    let mut stale = created.clone();
    stale.metadata.resource_version = Some("1".to_owned());
    assert_eq!(
        refusal(machines.replace("web", &post(), &stale).await),
        (
            409,
            "Conflict".to_owned(),
            "Operation cannot be fulfilled on machines.cloudfaster.app \"web\": the object has been modified; please apply your changes to the latest version and try again".to_owned()
        )
    );
    let mut blind = created.clone();
    blind.metadata.resource_version = None;
    assert_eq!(
        refusal(machines.replace("web", &post(), &blind).await).2,
        "machines.cloudfaster.app \"web\" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update"
    );
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "nowhere");
    let secret =
        Secret { metadata: ObjectMeta { name: Some("s".to_owned()), ..ObjectMeta::default() }, ..Secret::default() };
    assert_eq!(
        refusal(secrets.create(&post(), &secret).await),
        (404, "NotFound".to_owned(), "namespaces \"nowhere\" not found".to_owned())
    );
    let named = refusal(machines.create(&post(), &machine("Web_1", &json!({}))).await);
    assert_eq!(named.0, 422);
    assert!(
        named.2.starts_with(
            "Machine.cloudfaster.app \"Web_1\" is invalid: metadata.name: Invalid value: \"Web_1\": a lowercase RFC 1123 subdomain must consist of"
        ),
        "{}",
        named.2
    );
}

#[tokio::test]
async fn generation_counts_changes_of_the_spec_only() {
    let plane = in_memory().await;
    let machines = machines(&client(&plane));
    machines.create(&post(), &machine("web", &json!({}))).await.unwrap();
    let merge = |patch: Value| {
        let machines = machines.clone();
        async move { machines.patch("web", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap() }
    };
    let labelled = merge(json!({ "metadata": { "labels": { "a": "b" } } })).await;
    assert_eq!(labelled.metadata.generation, Some(1));
    let bigger = merge(json!({ "spec": { "cores": 2 } })).await;
    assert_eq!(bigger.metadata.generation, Some(2));
    let same = merge(json!({ "spec": { "cores": 2 } })).await;
    assert_eq!(same.resource_version(), bigger.resource_version(), "what changes nothing is not written");
}

#[tokio::test]
async fn the_status_and_the_rest_are_written_apart() {
    let plane = in_memory().await;
    let machines = machines(&client(&plane));
    let created = machines.create(&post(), &machine("web", &json!({}))).await.unwrap();

    let mut both = created.clone();
    both.data["spec"]["cores"] = 64.into();
    both.data["status"] = json!({ "phase": "Ready", "observedGeneration": 1 });
    let reported = machines.replace_status("web", &post(), &both).await.unwrap();
    assert_eq!(reported.data["status"]["phase"], "Ready");
    assert_eq!(reported.data["spec"]["cores"], 1);
    assert_eq!(reported.metadata.generation, Some(1));

    let patch = json!({ "spec": { "cores": 2 }, "status": { "phase": "Forged" } });
    let changed = machines.patch("web", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    assert_eq!(changed.data["status"]["phase"], "Ready");
    assert_eq!(changed.data["spec"]["cores"], 2);

    let stale = json!({
        "metadata": { "resourceVersion": created.resource_version() },
        "status": { "phase": "Late" },
    });
    let late = machines.patch_status("web", &PatchParams::default(), &Patch::Merge(&stale)).await;
    assert_eq!(refusal(late).0, 409);
}

#[tokio::test]
async fn finalizers_hold_an_object_until_they_are_gone() {
    let plane = in_memory().await;
    let machines = machines(&client(&plane));
    let mut held = machine("web", &json!({}));
    held.metadata.finalizers = Some(vec!["cloudfaster.app/vm".to_owned()]);
    machines.create(&post(), &held).await.unwrap();

    let going = machines
        .delete("web", &DeleteParams::default())
        .await
        .unwrap()
        .left()
        .expect("the object, which is still there");
    assert!(going.metadata.deletion_timestamp.is_some());
    assert_eq!(going.metadata.deletion_grace_period_seconds, Some(0));
    assert_eq!(going.metadata.generation, Some(2));

    let mut more = machines.get("web").await.unwrap();
    more.finalizers_mut().push("example.org/late".to_owned());
    let (code, _, message) = refusal(machines.replace("web", &post(), &more).await);
    assert_eq!(code, 422);
    assert!(
        message.ends_with("metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"example.org/late\"}"),
        "{message}"
    );

    let release: json_patch::Patch = serde_json::from_value(json!([
        { "op": "test", "path": "/metadata/finalizers/0", "value": "cloudfaster.app/vm" },
        { "op": "remove", "path": "/metadata/finalizers/0" },
    ]))
    .unwrap();
    machines.patch("web", &PatchParams::default(), &Patch::Json::<()>(release.clone())).await.unwrap();
    assert_eq!(refusal(machines.get("web").await).0, 404);

    machines.create(&post(), &machine("web", &json!({}))).await.unwrap();
    let (code, _, _) = refusal(machines.patch("web", &PatchParams::default(), &Patch::Json::<()>(release)).await);
    assert_eq!(code, 422, "the test in the patch fails");
    assert!(machines.delete("web", &DeleteParams::default()).await.unwrap().is_right(), "nothing holds it");
}

#[tokio::test]
async fn deletions_keep_to_their_preconditions() {
    let plane = in_memory().await;
    let machines = machines(&client(&plane));
    let created = machines.create(&post(), &machine("web", &json!({}))).await.unwrap();
    let of = |uid: Option<String>, resource_version: Option<String>| DeleteParams {
        preconditions: Some(Preconditions { uid, resource_version }),
        ..DeleteParams::default()
    };
    let other_uid = of(Some("another".to_owned()), None);
    assert_eq!(refusal(machines.delete("web", &other_uid).await).0, 409);
    let old = of(None, Some("1".to_owned()));
    assert_eq!(refusal(machines.delete("web", &old).await).0, 409);
    let exact = of(created.uid(), created.resource_version());
    machines.delete("web", &exact).await.unwrap();
}

#[tokio::test]
async fn a_dry_run_checks_and_changes_nothing() {
    let plane = in_memory().await;
    let machines = machines(&client(&plane));
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let shown = machines.create(&dry, &machine("web", &json!({}))).await.unwrap();
    assert_eq!(shown.data["spec"]["cores"], 1);
    assert_eq!(refusal(machines.get("web").await).0, 404);
    let bad = machine("web", &json!({ "cores": 0 }));
    assert_eq!(refusal(machines.create(&dry, &bad).await).0, 422);

    machines.create(&post(), &machine("web", &json!({}))).await.unwrap();
    let params = DeleteParams::default().dry_run();
    machines.delete("web", &params).await.unwrap();
    machines.get("web").await.unwrap();
}

#[tokio::test]
async fn names_can_be_made_up_by_the_server() {
    let plane = in_memory().await;
    let machines = machines(&client(&plane));
    let mut wanted = machine("x", &json!({}));
    wanted.metadata.name = None;
    wanted.metadata.generate_name = Some("web-".to_owned());
    let first = machines.create(&post(), &wanted).await.unwrap().name_any();
    let second = machines.create(&post(), &wanted).await.unwrap().name_any();
    assert!(first.starts_with("web-") && first.len() == 9, "{first}");
    assert_ne!(first, second);
}

#[tokio::test]
async fn lists_are_narrowed_by_labels_and_fields() {
    let plane = in_memory().await;
    let machines = machines(&client(&plane));
    for (name, os, tier) in [("a", "debian", "web"), ("b", "ubuntu", "db"), ("c", "debian", "db")] {
        let mut wanted = machine(name, &json!({ "os": os }));
        wanted.labels_mut().insert("tier".to_owned(), tier.to_owned());
        machines.create(&post(), &wanted).await.unwrap();
    }
    let names = |params: ListParams| {
        let machines = machines.clone();
        async move {
            let list = machines.list(&params).await.unwrap();
            list.iter().map(ResourceExt::name_any).collect::<Vec<_>>()
        }
    };
    let by_label = |selector: &str| ListParams::default().labels(selector);
    let by_field = |selector: &str| ListParams::default().fields(selector);
    assert_eq!(names(by_label("tier=db")).await, ["b", "c"]);
    assert_eq!(names(by_label("tier!=db")).await, ["a"]);
    assert_eq!(names(by_label("tier in (web, db),tier notin (db)")).await, ["a"]);
    assert_eq!(names(by_label("!tier")).await, [""; 0]);
    assert_eq!(names(by_label("tier")).await, ["a", "b", "c"]);
    assert_eq!(names(by_field("metadata.name=b")).await, ["b"]);
    assert_eq!(names(by_field("spec.os=debian,metadata.name!=a")).await, ["c"]);
    assert_eq!(refusal(machines.list(&by_field("spec.cores=1")).await).2, "field label not supported: spec.cores");
}

#[tokio::test]
async fn the_pages_of_a_list_show_one_moment() {
    let plane = in_memory().await;
    let machines = machines(&client(&plane));
    for index in 0..5 {
        let name = format!("m{index}");
        machines.create(&post(), &machine(&name, &json!({}))).await.unwrap();
    }
    let page = ListParams::default().limit(2);
    let first = machines.list(&page).await.unwrap();
    assert_eq!(first.metadata.remaining_item_count, Some(3));
    let token = first.metadata.continue_.clone().unwrap();
    machines.delete("m3", &DeleteParams::default()).await.unwrap();
    machines.create(&post(), &machine("m9", &json!({}))).await.unwrap();
    let second = machines.list(&page.clone().continue_token(&token)).await.unwrap();
    let third = machines.list(&page.continue_token(&second.metadata.continue_.clone().unwrap())).await.unwrap();
    let names: Vec<String> = second.iter().chain(third.iter()).map(ResourceExt::name_any).collect();
    assert_eq!(names, ["m2", "m3", "m4"]);
    assert_eq!(third.metadata.resource_version, first.metadata.resource_version);
}

#[tokio::test]
async fn texts_of_a_secret_become_data() {
    let plane = in_memory().await;
    let secrets: Api<Secret> = Api::default_namespaced(client(&plane));
    let secret = Secret {
        metadata: ObjectMeta { name: Some("token".to_owned()), ..ObjectMeta::default() },
        string_data: Some(BTreeMap::from([("value".to_owned(), "s3cret".to_owned())])),
        ..Secret::default()
    };
    let created = secrets.create(&post(), &secret).await.unwrap();
    assert_eq!(created.type_.as_deref(), Some("Opaque"));
    assert_eq!(created.string_data, None);
    assert_eq!(created.data.unwrap()["value"].0, b"s3cret");
    let freeze = json!({ "immutable": true });
    let params = PatchParams::default();
    secrets.patch("token", &params, &Patch::Strategic(&freeze)).await.unwrap();
    let change = json!({ "stringData": { "value": "other" } });
    let refused = refusal(secrets.patch("token", &params, &Patch::Strategic(&change)).await);
    assert_eq!(refused.2, "Secret \"token\" is invalid: data: Forbidden: field is immutable when `immutable` is set");
}

#[tokio::test]
async fn a_deleted_namespace_takes_its_content_along() {
    let plane = in_memory().await;
    let client = client(&plane);
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let named = |name: &str| ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    let namespace = Namespace { metadata: named("shop"), ..Namespace::default() };
    let created = namespaces.create(&post(), &namespace).await.unwrap();
    assert_eq!(created.status.unwrap().phase.as_deref(), Some("Active"));
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "shop");
    let mut map = ConfigMap { metadata: named("free"), ..ConfigMap::default() };
    maps.create(&post(), &map).await.unwrap();
    map.metadata = named("held");
    map.metadata.finalizers = Some(vec!["example.org/hold".to_owned()]);
    maps.create(&post(), &map).await.unwrap();

    let going = namespaces.delete("shop", &DeleteParams::default()).await.unwrap().left().unwrap();
    assert_eq!(going.status.unwrap().phase.as_deref(), Some("Terminating"));
    map.metadata = named("late");
    let (code, _, message) = refusal(maps.create(&post(), &map).await);
    assert_eq!(code, 403);
    assert_eq!(
        message,
        "configmaps \"late\" is forbidden: unable to create new content in namespace shop because it is being terminated"
    );
    standalone_support::gone(&maps, "free").await;
    let release = json!({ "metadata": { "finalizers": null } });
    maps.patch("held", &PatchParams::default(), &Patch::Merge(&release)).await.unwrap();
    standalone_support::gone(&namespaces, "shop").await;
    assert!(maps.list(&ListParams::default()).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn what_is_owned_goes_with_its_owner_unless_it_is_orphaned() {
    let plane = in_memory().await;
    let client = client(&plane);
    let machines = machines(&client);
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    for (owner, map) in [("one", "follows"), ("two", "stays")] {
        let owner = machines.create(&post(), &machine(owner, &json!({}))).await.unwrap();
        maps.create(&post(), &owned(&owner, map, &[])).await.unwrap();
    }
    let orphan = DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() };
    machines.delete("two", &orphan).await.unwrap();
    machines.delete("one", &DeleteParams::default()).await.unwrap();
    standalone_support::gone(&maps, "follows").await;
    let stays = maps.get("stays").await.unwrap();
    assert_eq!(stays.metadata.owner_references, None);
}

/// A ConfigMap that holds up its owner.
fn owned(owner: &DynamicObject, name: &str, finalizers: &[&str]) -> ConfigMap {
    serde_json::from_value(json!({
        "metadata": {
            "name": name,
            "finalizers": finalizers,
            "ownerReferences": [{
                "apiVersion": "cloudfaster.app/v1alpha1",
                "kind": "Machine",
                "name": owner.name_any(),
                "uid": owner.uid(),
                "blockOwnerDeletion": true,
            }],
        },
    }))
    .unwrap()
}

#[tokio::test]
async fn in_the_foreground_an_owner_goes_after_what_it_owns() {
    let plane = in_memory().await;
    let client = client(&plane);
    let machines = machines(&client);
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let owner = machines.create(&post(), &machine("one", &json!({}))).await.unwrap();
    maps.create(&post(), &owned(&owner, "free", &[])).await.unwrap();
    maps.create(&post(), &owned(&owner, "held", &["cloudfaster.app/test"])).await.unwrap();
    let foreground =
        DeleteParams { propagation_policy: Some(PropagationPolicy::Foreground), ..DeleteParams::default() };
    machines.delete("one", &foreground).await.unwrap();
    standalone_support::gone(&maps, "free").await;
    let waits = machines.get("one").await.unwrap();
    assert_eq!(waits.finalizers(), ["foregroundDeletion"]);
    assert!(maps.get("held").await.unwrap().metadata.deletion_timestamp.is_some());
    let freed = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    maps.patch("held", &PatchParams::default(), &freed).await.unwrap();
    standalone_support::gone(&machines, "one").await;
}
