//! What the schema refuses, and with which words: a table, as `kubectl apply` shows them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod standalone_support;

use http_body_util::BodyExt as _;
use kube::Error;
use kube::api::{Patch, PatchParams, PostParams, ValidationDirective};
use serde_json::{Value, json};
use standalone_support::{client, in_memory, machine, machines};
use tower::ServiceExt as _;

const INVALID: &str = "Machine.cloudfaster.app \"web\" is invalid: ";
const HIDDEN: &str = "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";

fn message<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result.unwrap_err() {
        Error::Api(status) => status.message.clone(),
        other => panic!("not an answer of the API: {other}"),
    }
}

#[tokio::test]
async fn each_rule_of_the_schema_refuses_with_its_text() {
    let plane = in_memory().await;
    let machines = machines(&client(&plane));
    for (spec, expected) in [
        (
            json!({ "cores": 0 }),
            "spec.cores: Invalid value: 0: spec.cores in body should be greater than or equal to 1",
        ),
        (
            json!({ "cores": 129 }),
            "spec.cores: Invalid value: 129: spec.cores in body should be less than or equal to 128",
        ),
        (
            json!({ "cores": 5_000_000_000_i64, "os": "x" }),
            "[<nil>: Invalid value: \"\": Checked value must be of type integer with format int32 in spec.cores, spec.cores: Invalid value: 5000000000: spec.cores in body should be less than or equal to 128]",
        ),
        (
            json!({ "memory": "4096" }),
            "spec.memory: Invalid value: \"4096\": spec.memory in body should match '^[1-9][0-9]*(Mi|Gi|Ti)$'",
        ),
        (json!({ "os": "" }), "spec.os: Invalid value: \"\": spec.os in body should be at least 1 chars long"),
        (json!({ "tags": ["a", "a"] }), "spec.tags[1]: Duplicate value: \"a\""),
        (
            json!({ "disks": [{ "name": "a", "size": 1 }, { "name": "a", "size": 2 }] }),
            "spec.disks[1]: Duplicate value: {\"name\":\"a\"}",
        ),
        (
            json!({ "disks": [{ "name": "a", "size": 0 }] }),
            "spec.disks[0].size: Invalid value: 0: spec.disks[0].size in body should be greater than or equal to 1",
        ),
        (
            json!({ "linked": true, "disks": [{ "name": "a", "size": 1 }, { "name": "b", "size": 1 }] }),
            "spec: Invalid value: a linked clone has one disk",
        ),
    ] {
        let refused = message(machines.create(&PostParams::default(), &machine("web", &spec)).await);
        assert_eq!(refused, format!("{INVALID}{expected}"));
    }
    // These hide the rules in CEL, and say so.
    for (spec, expected) in [
        (json!({ "os": null }), "spec.os: Required value"),
        (
            json!({ "power": "On" }),
            "spec.power: Unsupported value: \"On\": supported values: \"Running\", \"Stopped\", \"Paused\"",
        ),
        (
            json!({ "cores": "many" }),
            "spec.cores: Invalid value: \"string\": spec.cores in body must be of type integer: \"string\"",
        ),
        (
            json!({ "until": "tomorrow" }),
            "spec.until: Invalid value: \"tomorrow\": spec.until in body must be of type date-time: \"tomorrow\"",
        ),
        (
            json!({ "cores": 1.5 }),
            "spec.cores: Invalid value: \"float64\": spec.cores in body must be of type int32: \"float64\", <nil>: Invalid value: \"\": Checked value must be of type integer with format int32 in spec.cores",
        ),
        (json!({ "os": "a".repeat(33) }), "spec.os: Too long: may not be more than 32 bytes"),
        (json!({ "tags": ["a", "b", "c", "d"] }), "spec.tags: Too many: 4: must have at most 3 items"),
        (json!({ "labels": { "a": "1", "b": "2", "c": "3" } }), "spec.labels: Too many: 3: must have at most 2 items"),
        (
            json!({ "port": true }),
            "spec.port: Invalid value: \"boolean\": spec.port in body must be of type integer,string: \"boolean\"",
        ),
    ] {
        let refused = message(machines.create(&PostParams::default(), &machine("web", &spec)).await);
        assert_eq!(refused, format!("{INVALID}[{expected}, {HIDDEN}]"));
    }
}

#[tokio::test]
async fn what_the_schema_allows_is_kept() {
    let plane = in_memory().await;
    let machines = machines(&client(&plane));
    let spec = json!({
        "port": "http",
        "note": null,
        "until": "2030-01-01T00:00:00Z",
        "extra": { "anything": [1, { "goes": true }] },
        "labels": { "a": "1" },
        "disks": [{ "name": "a", "size": 1 }],
    });
    let mut wanted = machine("web", &json!({}));
    for (field, value) in spec.as_object().unwrap() {
        wanted.data["spec"][field] = value.clone();
    }
    let created = machines.create(&PostParams::default(), &wanted).await.unwrap();
    for (field, value) in spec.as_object().unwrap() {
        if field == "disks" {
            let filled = json!([{ "name": "a", "size": 1, "bus": "scsi" }]);
            assert_eq!(created.data["spec"]["disks"], filled);
        } else {
            assert_eq!(created.data["spec"][field], *value, "{field}");
        }
    }
}

#[tokio::test]
async fn transition_rules_compare_with_the_item_of_the_same_key() {
    let plane = in_memory().await;
    let machines = machines(&client(&plane));
    let disks = json!([{ "name": "a", "size": 10 }, { "name": "b", "size": 20 }]);
    machines.create(&PostParams::default(), &machine("web", &json!({ "disks": disks }))).await.unwrap();
    let patch = |spec: Value| {
        let machines = machines.clone();
        async move {
            let patch = json!({ "spec": spec });
            let params = PatchParams::default();
            machines.patch("web", &params, &Patch::Merge(&patch)).await
        }
    };
    assert_eq!(
        message(patch(json!({ "os": "ubuntu" })).await),
        format!("{INVALID}spec.os: Invalid value: \"ubuntu\": the OS is immutable")
    );
    let swapped = json!([{ "name": "b", "size": 20 }, { "name": "a", "size": 10 }, { "name": "c", "size": 1 }]);
    patch(json!({ "disks": swapped })).await.unwrap();
    let shrunk = json!([{ "name": "b", "size": 19 }, { "name": "a", "size": 10 }]);
    assert_eq!(
        message(patch(json!({ "disks": shrunk })).await),
        format!("{INVALID}spec.disks[0].size: Invalid value: 19: a disk never shrinks: from 20 to 19")
    );
}

#[tokio::test]
async fn unknown_fields_are_refused_warned_of_or_dropped_as_asked() {
    let plane = in_memory().await;
    let machines = machines(&client(&plane));
    let wanted = machine("web", &json!({ "coers": 2, "disks": [{ "name": "a", "size": 1, "sice": 3 }] }));
    machines.create(&PostParams::default(), &machine("web", &json!({}))).await.unwrap();
    let mut patch = json!({ "spec": wanted.data["spec"].clone() });
    patch["metadata"]["lables"] = json!({});
    let strict = PatchParams { field_validation: Some(ValidationDirective::Strict), ..PatchParams::default() };
    let refused = machines.patch("web", &strict, &Patch::Merge(&patch)).await;
    let refused = message(refused);
    assert!(
        refused.starts_with(" \"\" is invalid: patch: Invalid value: ")
            && refused.ends_with("strict decoding error: unknown field \"metadata.lables\", unknown field \"spec.coers\", unknown field \"spec.disks[0].sice\""),
        "{refused}"
    );

    for (asked, warnings) in [("Warn", 3), ("Ignore", 0)] {
        let request = http::Request::builder()
            .method("PATCH")
            .uri(format!("/apis/cloudfaster.app/v1alpha1/namespaces/default/machines/web?fieldValidation={asked}"))
            .header("Content-Type", "application/merge-patch+json")
            .body(axum::body::Body::from(patch.to_string()))
            .unwrap();
        let response = plane.router().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        let texts: Vec<_> = response.headers().get_all("Warning").iter().collect();
        assert_eq!(texts.len(), warnings, "{asked}: {texts:?}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert!(body["spec"].get("coers").is_none());
    }
}

#[tokio::test]
async fn what_an_update_does_not_touch_is_not_held_against_it() {
    // The stricter definition comes with a restart; the objects stay as they are.
    let directory = tempfile::tempdir().unwrap();
    let open = |least: f64| {
        let mut definition = standalone_support::definition();
        let schema = definition.spec.versions[0].schema.as_mut().unwrap();
        let root = schema.open_api_v3_schema.as_mut().unwrap();
        let spec = root.properties.as_mut().unwrap().get_mut("spec").unwrap();
        let cores = spec.properties.as_mut().unwrap().get_mut("cores").unwrap();
        cores.minimum = Some(least);
        let directory = directory.path().to_owned();
        async move {
            cloudfaster::standalone::ControlPlane::open(
                &directory,
                vec![definition],
                tokio_util::sync::CancellationToken::new(),
            )
            .await
            .unwrap()
        }
    };
    let plane = open(1.0).await;
    machines(&client(&plane)).create(&PostParams::default(), &machine("web", &json!({}))).await.unwrap();
    plane.close().await;

    let plane = open(2.0).await;
    let machines = machines(&client(&plane));
    let params = PatchParams::default();
    let stop = json!({ "spec": { "power": "Stopped" } });
    machines.patch("web", &params, &Patch::Merge(&stop)).await.unwrap();
    let worse = json!({ "spec": { "cores": 0 } });
    let refused = machines.patch("web", &params, &Patch::Merge(&worse)).await;
    assert!(message(refused).contains("should be greater than or equal to 2"));
    plane.close().await;
}

#[tokio::test]
async fn the_projects_own_definitions_are_served_and_guard_their_machines() {
    let plane = cloudfaster::standalone::ControlPlane::in_memory(
        cloudfaster::api::crds(),
        tokio_util::sync::CancellationToken::new(),
    )
    .await
    .unwrap();
    let machines: kube::Api<cloudfaster::api::ProxmoxVM> = kube::Api::default_namespaced(client(&plane));
    let manifest = |size: &str| {
        let manifest = json!({
            "metadata": { "name": "web" },
            "spec": {
                "clusterRef": { "name": "main" },
                "os": "UBUNTU24_SERVER",
                "cores": 1,
                "memory": "1Gi",
                "disk": { "size": size },
            },
        });
        serde_json::from_value::<cloudfaster::api::ProxmoxVM>(manifest).unwrap()
    };
    let created = machines.create(&PostParams::default(), &manifest("40Gi")).await.unwrap();
    assert_eq!(created.status.unwrap().observed_generation, -1);
    let grow = json!({ "spec": { "disk": { "size": "41Gi" } } });
    machines.patch("web", &PatchParams::default(), &Patch::Merge(&grow)).await.unwrap();
    let shrink = json!({ "spec": { "disk": { "size": "40Gi" } } });
    let refused = message(machines.patch("web", &PatchParams::default(), &Patch::Merge(&shrink)).await);
    assert!(refused.starts_with("ProxmoxVM.cloudfaster.app \"web\" is invalid: spec.disk.size: "), "{refused}");
    let other = json!({ "spec": { "os": "DEBIAN13" } });
    let refused = message(machines.patch("web", &PatchParams::default(), &Patch::Merge(&other)).await);
    assert!(refused.contains("spec.os: "), "{refused}");
}
