//! The protocol below the clients: forms of answers, refusals, discovery, conversions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod standalone_support;

use axum::body::Body;
use cloudfaster::standalone::ControlPlane;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use kube::api::PostParams;
use serde_json::{Value, json};
use standalone_support::{client, in_memory, machine, machines};
use tower::ServiceExt as _;

const MACHINES: &str = "/apis/cloudfaster.app/v1alpha1/namespaces/default/machines";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

struct Answer {
    code: StatusCode,
    media: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

async fn send(plane: &ControlPlane, method: Method, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = plane.router().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
    Answer {
        code: answer.status(),
        media: answer
            .headers()
            .get(header::CONTENT_TYPE)
            .map(|value| value.to_str().unwrap().to_owned())
            .unwrap_or_default(),
        body: answer.into_body().collect().await.unwrap().to_bytes().to_vec(),
    }
}

async fn get(plane: &ControlPlane, path: &str, accept: &str) -> Answer {
    send(plane, Method::GET, path, &[("Accept", accept)], Vec::new()).await
}

async fn with_web() -> ControlPlane {
    let plane = in_memory().await;
    machines(&client(&plane)).create(&PostParams::default(), &machine("web", &json!({}))).await.unwrap();
    plane
}

#[tokio::test]
async fn what_is_not_served_is_refused_in_the_shape_of_kubernetes() {
    let plane = with_web().await;
    let json = ("Content-Type", "application/json");
    let web = &format!("{MACHINES}/web");
    let big = format!("{{\"x\":\"{}\"}}", "a".repeat(3 * 1024 * 1024));
    let other = r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"web"}}"#;
    let elsewhere =
        r#"{"apiVersion":"cloudfaster.app/v1alpha1","kind":"Machine","metadata":{"name":"x","namespace":"other"}}"#;
    let name = r#"{"apiVersion":"cloudfaster.app/v1alpha1","kind":"Machine","metadata":{"name":"x"}}"#;
    for (method, path, headers, body, code, reason) in [
        (Method::GET, "/apis/none/v1/things", vec![], "", 404, "NotFound"),
        (Method::GET, "/api/v1/pods", vec![], "", 404, "NotFound"),
        (Method::GET, "/nowhere", vec![], "", 404, "NotFound"),
        (Method::GET, "/api/v1/secrets/x/status", vec![], "", 404, "NotFound"),
        (Method::POST, web, vec![json], "{}", 405, "MethodNotAllowed"),
        (Method::PUT, MACHINES, vec![json], "{}", 405, "MethodNotAllowed"),
        (Method::GET, web, vec![("Accept", "image/png")], "", 406, "NotAcceptable"),
        (Method::POST, MACHINES, vec![("Content-Type", "text/plain")], "{}", 415, "UnsupportedMediaType"),
        (
            Method::POST,
            MACHINES,
            vec![("Content-Type", "application/vnd.kubernetes.protobuf")],
            "k8s",
            415,
            "UnsupportedMediaType",
        ),
        (
            Method::PATCH,
            web,
            vec![("Content-Type", "application/strategic-merge-patch+json")],
            "{}",
            415,
            "UnsupportedMediaType",
        ),
        (Method::PATCH, web, vec![("Content-Type", "application/apply-patch+cbor")], "{}", 415, "UnsupportedMediaType"),
        (Method::PATCH, web, vec![("Content-Type", "application/apply-patch+yaml")], "{}", 422, "Invalid"),
        (Method::POST, MACHINES, vec![json], &big, 413, "RequestEntityTooLarge"),
        (Method::POST, MACHINES, vec![json], "{", 400, "BadRequest"),
        (Method::POST, MACHINES, vec![json], "[]", 400, "BadRequest"),
        (Method::POST, MACHINES, vec![json], other, 400, "BadRequest"),
        (Method::POST, MACHINES, vec![json], elsewhere, 400, "BadRequest"),
        (Method::PUT, web, vec![json], name, 400, "BadRequest"),
        (Method::DELETE, "/api/v1/namespaces/default", vec![], "", 403, "Forbidden"),
        (Method::GET, &format!("{MACHINES}?limit=x"), vec![], "", 400, "BadRequest"),
        (Method::GET, &format!("{MACHINES}?continue=x"), vec![], "", 400, "BadRequest"),
        (Method::GET, &format!("{MACHINES}?labelSelector=a%20in%20b"), vec![], "", 400, "BadRequest"),
    ] {
        let answer = send(&plane, method.clone(), path, &headers, body.as_bytes().to_vec()).await;
        let status = answer.json();
        assert_eq!(answer.code.as_u16(), code, "{method} {path}: {status}");
        assert_eq!(status["kind"], "Status");
        assert_eq!(status["status"], "Failure");
        assert_eq!(status["code"], code);
        assert_eq!(status["reason"], reason, "{method} {path}: {status}");
        assert_ne!(status["message"], "");
    }
}

#[tokio::test]
async fn invalid_objects_are_refused_with_a_cause_for_each_field() {
    let plane = in_memory().await;
    let bad = machine("web", &json!({ "cores": 0, "power": "On" }));
    let body = serde_json::to_vec(&bad).unwrap();
    let answer = send(&plane, Method::POST, MACHINES, &[("Content-Type", "application/json")], body).await;
    assert_eq!(answer.code, 422);
    assert_eq!(
        answer.json()["details"],
        json!({
            "name": "web",
            "group": "cloudfaster.app",
            "kind": "Machine",
            "causes": [
                {
                    "reason": "FieldValueInvalid",
                    "message": "Invalid value: 0: spec.cores in body should be greater than or equal to 1",
                    "field": "spec.cores",
                },
                {
                    "reason": "FieldValueNotSupported",
                    "message": "Unsupported value: \"On\": supported values: \"Running\", \"Stopped\", \"Paused\"",
                    "field": "spec.power",
                },
                {
                    "reason": "FieldValueInvalid",
                    "message": "Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation",
                    "field": "<nil>",
                },
            ],
        })
    );
}

#[tokio::test]
async fn tables_carry_columns_cells_and_metadata() {
    let plane = with_web().await;
    let table = get(&plane, MACHINES, TABLE).await.json();
    assert_eq!(table["kind"], "Table");
    let columns: Vec<&str> =
        table["columnDefinitions"].as_array().unwrap().iter().map(|column| column["name"].as_str().unwrap()).collect();
    assert_eq!(columns, ["Name", "Ready", "Progress", "OS", "Cores", "Age"]);
    assert_eq!(table["columnDefinitions"][3]["priority"], 1);
    let row = &table["rows"][0];
    assert_eq!(
        row["cells"].as_array().unwrap()[..5],
        [json!("web"), json!(null), json!(null), json!("debian"), json!(1)]
    );
    assert_eq!(row["object"]["kind"], "PartialObjectMetadata");
    assert_eq!(row["object"]["metadata"]["name"], "web");
    let bare = get(&plane, &format!("{MACHINES}?includeObject=None"), TABLE).await.json();
    assert_eq!(bare["rows"][0]["object"], json!(null));
    let one = get(&plane, &format!("{MACHINES}/web?includeObject=Object"), TABLE).await.json();
    assert_eq!(one["rows"][0]["object"]["spec"]["os"], "debian");
}

#[tokio::test]
async fn yaml_is_read_and_written() {
    let plane = in_memory().await;
    let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c\ndata:\n  a: \"1\"\n";
    let headers = [("Content-Type", "application/yaml"), ("Accept", "application/yaml")];
    let path = "/api/v1/namespaces/default/configmaps";
    let answer = send(&plane, Method::POST, path, &headers, manifest.into()).await;
    assert_eq!(answer.code, 201);
    assert_eq!(answer.media, "application/yaml");
    let object: Value = serde_saphyr::from_slice(&answer.body).unwrap();
    assert_eq!(object["data"], json!({ "a": "1" }));
}

#[tokio::test]
async fn both_views_of_an_event_show_the_same_one() {
    let plane = in_memory().await;
    let event = json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": { "name": "e" },
        "regarding": { "kind": "Machine", "name": "web", "namespace": "default" },
        "note": "it started",
        "reason": "Started",
        "action": "Start",
        "type": "Normal",
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "cloudfaster",
        "reportingInstance": "one",
        "deprecatedCount": 2,
    });
    let path = "/apis/events.k8s.io/v1/namespaces/default/events";
    let body = serde_json::to_vec(&event).unwrap();
    let created = send(&plane, Method::POST, path, &[("Content-Type", "application/json")], body).await;
    assert_eq!(created.code, 201);
    let core =
        get(&plane, "/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3Dweb", "").await.json();
    let core = &core["items"][0];
    assert_eq!(core["apiVersion"], "v1");
    assert_eq!(core["involvedObject"], event["regarding"]);
    assert_eq!(core["message"], "it started");
    assert_eq!(core["reportingComponent"], "cloudfaster");
    assert_eq!(core["count"], 2);
    let patch = json!({ "message": "it started again", "count": 3 });
    let changed = send(
        &plane,
        Method::PATCH,
        "/api/v1/namespaces/default/events/e",
        &[("Content-Type", "application/strategic-merge-patch+json")],
        serde_json::to_vec(&patch).unwrap(),
    )
    .await;
    assert_eq!(changed.code, 200, "{}", changed.json());
    let again = get(&plane, &format!("{path}/e"), "").await.json();
    assert_eq!(again["note"], "it started again");
    assert_eq!(again["deprecatedCount"], 3);
    assert_eq!(again["apiVersion"], "events.k8s.io/v1");
}

#[tokio::test]
async fn discovery_comes_piece_by_piece_and_as_a_whole() {
    let plane = in_memory().await;
    let groups = get(&plane, "/apis", "application/json").await.json();
    assert_eq!(groups["kind"], "APIGroupList");
    let resources = get(&plane, "/apis/cloudfaster.app/v1alpha1", "").await.json();
    assert_eq!(resources["resources"][0]["shortNames"], json!(["mc"]));
    assert_eq!(resources["resources"][0]["categories"], json!(["cloudfaster"]));
    assert_eq!(resources["resources"][1]["name"], "machines/status");
    let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let whole = get(&plane, "/apis", &format!("{aggregated},application/json")).await;
    assert_eq!(whole.media, aggregated);
    let items = whole.json()["items"].clone();
    let group = items.as_array().unwrap().iter().find(|item| item["metadata"]["name"] == "cloudfaster.app").unwrap();
    let resource = &group["versions"][0]["resources"][0];
    assert_eq!(resource["resource"], "machines");
    assert_eq!(resource["responseKind"]["kind"], "Machine");
    assert_eq!(resource["subresources"][0]["subresource"], "status");
}

#[tokio::test]
async fn collections_are_deleted_as_they_are_selected() {
    let plane = with_web().await;
    machines(&client(&plane)).create(&PostParams::default(), &machine("db", &json!({ "os": "ubuntu" }))).await.unwrap();
    let path = format!("{MACHINES}?fieldSelector=spec.os%3Dubuntu");
    let deleted = send(&plane, Method::DELETE, &path, &[], Vec::new()).await.json();
    assert_eq!(deleted["items"].as_array().unwrap().len(), 1);
    let left = get(&plane, MACHINES, "").await.json();
    assert_eq!(left["items"].as_array().unwrap().len(), 1);
    assert_eq!(left["items"][0]["metadata"]["name"], "web");
}

#[tokio::test]
async fn openapi_tells_kubectl_what_it_may_ask() {
    let plane = in_memory().await;
    let index = get(&plane, "/openapi/v3", "").await.json();
    let address = index["paths"]["apis/cloudfaster.app/v1alpha1"]["serverRelativeURL"].as_str().unwrap().to_owned();
    let document = get(&plane, &address, "application/json").await.json();
    let kind = json!({ "group": "cloudfaster.app", "version": "v1alpha1", "kind": "Machine" });
    let patch = &document["paths"]["/apis/cloudfaster.app/v1alpha1/namespaces/{namespace}/machines/{name}"]["patch"];
    assert_eq!(patch["x-kubernetes-group-version-kind"], kind);
    let names: Vec<&Value> = patch["parameters"].as_array().unwrap().iter().map(|p| &p["name"]).collect();
    assert!(names.contains(&&json!("fieldValidation")) && names.contains(&&json!("dryRun")));
    let schemas = &document["components"]["schemas"];
    let schema = &schemas["app.cloudfaster.v1alpha1.Machine"];
    assert_eq!(schema["x-kubernetes-group-version-kind"], json!([kind]));
    assert_eq!(schema["properties"]["spec"]["properties"]["cores"]["type"], "integer");
    assert!(schemas["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"].is_object());
}
