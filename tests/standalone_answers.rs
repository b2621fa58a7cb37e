//! What a real kube-apiserver answers, the embedded one answers too.
//!
//! Each `tests/fixtures/standalone/answers/NAME.yaml` is a conversation, and `NAME.json` beside it
//! what a kube-apiserver v1.37.2 said to it. To record them anew, from a server on which nothing has
//! been done yet: `CLOUDFASTER_RECORD_FROM=https://127.0.0.1:6443 CLOUDFASTER_RECORD_TOKEN=… cargo
//! test --test standalone_answers`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod standalone_support;

use std::collections::HashMap;
use std::path::PathBuf;

use axum::body::Body;
use cloudfaster::standalone::ControlPlane;
use http::Request;
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::{Value, json};
use standalone_support::{definition, in_memory};
use tower::ServiceExt as _;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Turn {
    /// Method and path.
    ask: String,
    #[serde(default = "json_type", rename = "type")]
    media: String,
    #[serde(default = "agent")]
    agent: String,
    #[serde(default)]
    accept: String,
    /// A text is sent as it is.
    #[serde(default)]
    body: Value,
    /// The words of the answer vary, or are those of Go libraries: only its code and reason count.
    #[serde(default)]
    any_words: bool,
}

fn json_type() -> String {
    "application/json".to_owned()
}

fn agent() -> String {
    "probe/1.0".to_owned()
}

enum Server {
    Embedded(ControlPlane),
    Real { address: String, token: String, http: reqwest::Client },
}

impl Server {
    async fn real() -> Option<Self> {
        let address = std::env::var("CLOUDFASTER_RECORD_FROM").ok()?;
        let token = std::env::var("CLOUDFASTER_RECORD_TOKEN").expect("the variable CLOUDFASTER_RECORD_TOKEN");
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).build().unwrap();
        let server = Self::Real { address, token, http };
        // The real one estimates what rules cost, and finds this expression too dear.
        let mut definition = serde_json::to_value(definition()).unwrap();
        let size = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/disks/items/properties/size";
        let rule = format!("{size}/x-kubernetes-validations/0");
        definition.pointer_mut(&rule).unwrap().as_object_mut().unwrap().remove("messageExpression");
        let turn = |ask: &str, body| Turn {
            ask: ask.to_owned(),
            media: json_type(),
            agent: agent(),
            accept: String::new(),
            body,
            any_words: false,
        };
        let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        let (code, answer) = server.say(&turn(&format!("POST {definitions}"), definition), &HashMap::new()).await;
        assert!(matches!(code, 201 | 409), "{answer}");
        let served = turn("GET /apis/cloudfaster.app/v1alpha1/machines", Value::Null);
        while server.say(&served, &HashMap::new()).await.0 != 200 {
            tokio::task::yield_now().await;
        }
        Some(server)
    }

    async fn say(&self, turn: &Turn, words: &HashMap<String, String>) -> (u16, Value) {
        let fill = |text: &str| {
            words.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
        };
        let (method, path) = turn.ask.split_once(' ').unwrap();
        let path = fill(path);
        let body = match &turn.body {
            Value::Null => String::new(),
            Value::String(text) => fill(text),
            other => fill(&other.to_string()),
        };
        let headers = [("Content-Type", &turn.media), ("User-Agent", &turn.agent), ("Accept", &turn.accept)];
        let headers = headers.into_iter().filter(|(_, value)| !value.is_empty());
        let (code, body) = match self {
            Self::Embedded(plane) => {
                let mut request = Request::builder().method(method).uri(&path);
                for (name, value) in headers {
                    request = request.header(name, value);
                }
                let answer = plane.router().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
                let code = answer.status().as_u16();
                (code, answer.into_body().collect().await.unwrap().to_bytes().to_vec())
            }
            Self::Real { address, token, http } => {
                let method = method.parse().unwrap();
                let mut request = http.request(method, format!("{address}{path}")).bearer_auth(token);
                for (name, value) in headers {
                    request = request.header(name, value);
                }
                let answer = request.body(body).send().await.unwrap();
                (answer.status().as_u16(), answer.bytes().await.unwrap().to_vec())
            }
        };
        (code, serde_json::from_slice(&body).unwrap_or_else(|_| String::from_utf8_lossy(&body).into()))
    }
}

/// Holds a conversation, with what differs from run to run replaced by placeholders.
async fn converse(server: &Server, name: &str, turns: &[Turn]) -> Vec<Value> {
    let namespace = format!("talk-{name}");
    let mut words: HashMap<String, String> = [
        ("namespace", namespace.clone()),
        ("core", format!("/api/v1/namespaces/{namespace}")),
        ("machines", format!("/apis/cloudfaster.app/v1alpha1/namespaces/{namespace}/machines")),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    let begin = Turn {
        ask: "POST /api/v1/namespaces".to_owned(),
        media: json_type(),
        agent: agent(),
        accept: String::new(),
        any_words: false,
        body: json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } }),
    };
    assert_eq!(server.say(&begin, &words).await.0, 201, "the namespace is new");
    let mut versions = Names { kind: "version", known: Vec::new() };
    let mut uids = Names { kind: "uid", known: Vec::new() };
    let mut answers = Vec::new();
    for turn in turns {
        let said = tokio::time::timeout(std::time::Duration::from_secs(20), server.say(turn, &words));
        let (code, mut body) = said.await.unwrap_or_else(|_| panic!("no answer to {}", turn.ask));
        for (word, pointer) in [("version", "/metadata/resourceVersion"), ("uid", "/metadata/uid")] {
            if let Some(text) = body.pointer(pointer).and_then(Value::as_str) {
                words.insert(word.to_owned(), text.to_owned());
            }
        }
        if turn.any_words {
            body = json!({ "reason": body["reason"] });
        }
        settle(&mut body, &mut versions, &mut uids);
        answers.push(json!({ "code": code, "body": body }));
    }
    answers
}

/// Names for values in the order in which they appear, so that it shows which are equal.
struct Names {
    kind: &'static str,
    known: Vec<String>,
}

impl Names {
    fn of(&mut self, value: &str) -> String {
        let index = self.known.iter().position(|known| known == value).unwrap_or_else(|| {
            self.known.push(value.to_owned());
            self.known.len() - 1
        });
        format!("{}-{index}", self.kind)
    }
}

fn settle(value: &mut Value, versions: &mut Names, uids: &mut Names) {
    match value {
        Value::Object(fields) => {
            if fields.get("kind").is_some_and(|kind| kind == "Event") {
                // Which of its empty fields an event shows depends on the view.
                fields.retain(|_, value| !value.is_null() && *value != json!("") && *value != json!({}));
            }
            if let Some(Value::Array(entries)) = fields.get_mut("managedFields") {
                // They are sorted by times, which vary.
                entries.sort_by_cached_key(|entry| {
                    let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
                    (text("operation"), text("manager"), text("apiVersion"), text("subresource"))
                });
            }
            if fields.contains_key("items") {
                // Other objects of the server count too.
                if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
                    metadata.remove("resourceVersion");
                }
            }
            // Kubernetes tells some things twice, and of some that they are empty.
            if let Some(Value::Array(causes)) = fields.get_mut("causes") {
                let mut seen = Vec::new();
                causes.retain(|cause| {
                    !seen.contains(cause) && {
                        seen.push(cause.clone());
                        true
                    }
                });
            }
            fields.retain(|name, value| match name.as_str() {
                "continue" => *value != json!(""),
                "details" => *value != json!({}),
                _ => true,
            });
            for (name, value) in fields.iter_mut() {
                let text = value.as_str().map(str::to_owned);
                match (name.as_str(), text) {
                    ("resourceVersion", Some(text)) if text.parse::<u64>().is_ok() => {
                        *value = versions.of(&text).into()
                    }
                    ("uid", Some(text)) if text.len() == 36 => *value = uids.of(&text).into(),
                    ("time" | "creationTimestamp" | "deletionTimestamp", Some(_)) => *value = "some time".into(),
                    _ => settle(value, versions, uids),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| settle(item, versions, uids)),
        _ => {}
    }
}

/// Compares the embedded control plane with what was recorded, or records.
async fn answers_as_kubernetes(name: &str) {
    let fixture = |extension: &str| {
        let mut path = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        path.push(format!("tests/fixtures/standalone/answers/{name}.{extension}"));
        path
    };
    let turns: Vec<Turn> = serde_saphyr::from_str(&std::fs::read_to_string(fixture("yaml")).unwrap()).unwrap();
    if let Some(server) = Server::real().await {
        let answers: Vec<String> = converse(&server, name, &turns).await.iter().map(Value::to_string).collect();
        std::fs::write(fixture("json"), format!("[\n{}\n]\n", answers.join(",\n"))).unwrap();
    }
    let recorded: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(fixture("json")).unwrap()).unwrap();
    let answers = converse(&Server::Embedded(in_memory().await), name, &turns).await;
    assert_eq!(recorded.len(), answers.len(), "the conversation has to be recorded anew");
    let differences: Vec<String> = turns
        .iter()
        .zip(recorded.iter().zip(&answers))
        .enumerate()
        .filter(|(_, (_, (expected, answer)))| expected != answer)
        .map(|(index, (turn, (expected, answer)))| {
            let changes = json_patch::diff(expected, answer);
            let changes: Vec<String> = changes.iter().map(|change| format!("  {change}")).collect();
            format!("{index}: {} {}\n{}\n  instead of {expected}", turn.ask, turn.body, changes.join("\n"))
        })
        .collect();
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

#[tokio::test]
async fn applying_a_custom_kind_is_answered_as_by_kubernetes() {
    answers_as_kubernetes("apply").await;
}

#[tokio::test]
async fn managed_fields_are_kept_as_by_kubernetes() {
    answers_as_kubernetes("managers").await;
}

#[tokio::test]
async fn bad_objects_are_refused_as_by_kubernetes() {
    answers_as_kubernetes("validation").await;
}

#[tokio::test]
async fn objects_are_listed_and_deleted_as_by_kubernetes() {
    answers_as_kubernetes("objects").await;
}
