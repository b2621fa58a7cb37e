//! The definitions, asked of both control planes at once: what they refuse, they refuse with the same sentence.

use std::collections::{BTreeMap, BTreeSet};

use cloudfaster::api;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::support::{Kubectl, Plane, Which, fixture};

/// Both control planes, with the definitions and a namespace.
struct Pair {
    planes: [Plane; 2],
    clients: [Client; 2],
    /// Where their words differ; told all together.
    differences: Mutex<Vec<String>>,
}

impl Pair {
    async fn start() -> Self {
        let (embedded, kubernetes) = tokio::join!(Plane::start(Which::Embedded), Plane::start(Which::Kubernetes));
        for plane in [&embedded, &kubernetes] {
            plane.kubectl.works(&["create", "namespace", "shop"]).await;
        }
        let clients = [client(&embedded.kubectl).await, client(&kubernetes.kubectl).await];
        Self { planes: [embedded, kubernetes], clients, differences: Mutex::default() }
    }

    /// What both answer to a request: the object, or the sentence of the refusal. They must agree.
    async fn both(&self, method: &str, path: &str, object: &Value) -> Result<Value, String> {
        let (embedded, kubernetes) =
            tokio::join!(ask(&self.clients[0], method, path, object), ask(&self.clients[1], method, path, object));
        match (embedded, kubernetes) {
            (Ok(_), Ok(object)) => Ok(object),
            (Err(embedded), Err(kubernetes)) => {
                if embedded != kubernetes {
                    self.differences.lock().push(format!("  embedded: {embedded}\nKubernetes: {kubernetes}\n"));
                }
                Err(kubernetes)
            }
            (embedded, kubernetes) => panic!("the embedded one: {embedded:?}\nKubernetes: {kubernetes:?}\n{object:#}"),
        }
    }

    fn agree(&self) {
        let differences = self.differences.lock();
        assert!(differences.is_empty(), "{} refusals differ:\n{}", differences.len(), differences.join("\n"));
    }

    async fn create(&self, object: &Value) -> Result<Value, String> {
        self.both("POST", &format!("{}?dryRun=All&fieldValidation=Strict", collection(object)), object).await
    }
}

async fn client(kubectl: &Kubectl) -> Client {
    let read = Kubeconfig::read_from(kubectl.kubeconfig()).unwrap();
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

async fn ask(client: &Client, method: &str, path: &str, object: &Value) -> Result<Value, String> {
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("Content-Type", if method == "PATCH" { "application/merge-patch+json" } else { "application/json" })
        .body(object.to_string().into_bytes())
        .unwrap();
    match client.request::<Value>(request).await {
        Ok(object) => Ok(object),
        Err(kube::Error::Api(status)) => Err(status.message),
        Err(other) => panic!("{other}"),
    }
}

fn collection(object: &Value) -> String {
    let plural = format!("{}s", object["kind"].as_str().unwrap().to_lowercase());
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("/apis/{}/namespaces/{namespace}/{plural}", object["apiVersion"].as_str().unwrap()),
        None => format!("/apis/{}/{plural}", object["apiVersion"].as_str().unwrap()),
    }
}

/// Objects that have every field of every kind between them, in the documents of `full/`.
fn full() -> Vec<Value> {
    let mut objects = Vec::new();
    for crd in api::crds() {
        let file = fixture("full").join(format!("{}.yaml", crd.spec.names.plural));
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        objects.extend(serde_saphyr::from_multiple::<Value>(&text).unwrap());
    }
    objects
}

fn schema(crd: &CustomResourceDefinition) -> Value {
    serde_json::to_value(&crd.spec.versions[0].schema).unwrap()["openAPIV3Schema"].take()
}

fn schema_of(kind: &str) -> Value {
    schema(api::crds().iter().find(|crd| crd.spec.names.kind == kind).unwrap())
}

pub async fn a_fully_filled_object_survives_a_round_trip(which: Which) {
    for crd in api::crds() {
        let (mut all, mut given) = (BTreeSet::new(), BTreeSet::new());
        fields(&schema(&crd), "", &mut all);
        for object in full().iter().filter(|object| object["kind"] == json!(crd.spec.names.kind)) {
            leaves(object, "", &mut given);
        }
        let missing: Vec<_> = all.difference(&given).collect();
        assert!(missing.is_empty(), "no document of full/{}.yaml gives {missing:?}", crd.spec.names.plural);
    }
    let plane = Plane::start(which).await;
    plane.kubectl.works(&["create", "namespace", "shop"]).await;
    let client = client(&plane.kubectl).await;
    for object in full() {
        let path = collection(&object);
        let created = ask(&client, "POST", &format!("{path}?dryRun=All&fieldValidation=Strict"), &object).await;
        contains(&created.unwrap()["spec"], &object["spec"], "spec");
        let mut bare = object.clone();
        bare.as_object_mut().unwrap().remove("status");
        ask(&client, "POST", &path, &bare).await.unwrap();
        let name = format!("{path}/{}", object["metadata"]["name"].as_str().unwrap());
        let Some(status) = object.get("status") else { continue };
        let patch = json!({"status": status});
        let answer = ask(&client, "PATCH", &format!("{name}/status?dryRun=All&fieldValidation=Strict"), &patch).await;
        contains(&answer.unwrap()["status"], status, "status");
    }
}

/// Paths of all fields of a schema, lists as `[]`.
fn fields(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if path.is_empty() && !["spec", "status"].contains(&name.as_str()) {
            continue;
        }
        let path = format!("{path}.{name}");
        let before = found.len();
        fields(property, &path, found);
        fields(&property["items"], &format!("{path}[]"), found);
        if found.len() == before {
            found.insert(path);
        }
    }
}

/// Paths of all values, maps and lists included.
fn leaves(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    found.insert(path.to_owned());
    match value {
        Value::Object(map) => map.iter().for_each(|(name, value)| leaves(value, &format!("{path}.{name}"), found)),
        Value::Array(list) => list.iter().for_each(|value| leaves(value, &format!("{path}[]"), found)),
        _ => {}
    }
}

/// Everything that was given came back; defaults may stand beside it.
fn contains(got: &Value, given: &Value, path: &str) {
    match (got, given) {
        (Value::Object(got), Value::Object(given)) => {
            for (name, value) in given {
                contains(got.get(name).unwrap_or(&Value::Null), value, &format!("{path}.{name}"));
            }
        }
        (Value::Array(got), Value::Array(given)) => {
            assert_eq!(got.len(), given.len(), "{path}");
            for (index, (got, given)) in got.iter().zip(given).enumerate() {
                contains(got, given, &format!("{path}[{index}]"));
            }
        }
        _ => assert_eq!(got, given, "{path}"),
    }
}

/// Every limit that the schema sets on a field that a document of `full/` gives, overstepped one at a time.
pub async fn what_the_schema_limits_is_refused_in_the_same_words() {
    let pair = Pair::start().await;
    let mut tried = 0;
    for object in full() {
        let schema = schema_of(object["kind"].as_str().unwrap());
        let mut oversteps = Vec::new();
        walk(&schema["properties"]["spec"], &object["spec"], "/spec", &mut oversteps);
        for (pointer, value, what) in oversteps {
            let mut wrong = object.clone();
            match value {
                Some(value) => *wrong.pointer_mut(&pointer).unwrap() = value,
                None => {
                    let (parent, name) = pointer.rsplit_once('/').unwrap();
                    wrong.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name);
                }
            }
            let refusal = pair.create(&wrong).await.expect_err(&format!("{pointer}: {what} is accepted"));
            let field = pointer.rsplit('/').find(|part| part.parse::<usize>().is_err()).unwrap().replace("~1", "/");
            assert!(refusal.contains(&field), "{pointer}, {what}: the refusal does not name the field: {refusal}");
            tried += 1;
        }
    }
    assert!(tried > 50, "only {tried} limits were tried");
    pair.agree();
}

type Overstep = (String, Option<Value>, String);

fn walk(schema: &Value, value: &Value, pointer: &str, found: &mut Vec<Overstep>) {
    let mut wrong = |value: Value, what: String| found.push((pointer.to_owned(), Some(value), what));
    match value {
        Value::String(text) => {
            if let Some(limit) = schema["maxLength"].as_u64() {
                wrong(json!(text.repeat(1 + limit as usize / text.len().max(1))), format!("longer than {limit}"));
            }
            if schema["minLength"].as_u64().is_some_and(|limit| limit > 0) {
                wrong(json!(""), "an empty text".to_owned());
            }
            if schema["pattern"].is_string() {
                wrong(json!(" *no *way *there "), "what the pattern forbids".to_owned());
            }
            if schema["enum"].is_array() {
                wrong(json!("Nonsense"), "none of the enum's".to_owned());
            }
            wrong(json!(7), "a number for a text".to_owned());
        }
        Value::Number(_) => {
            for (limit, by) in [("minimum", -1), ("maximum", 1)] {
                if let Some(limit) = schema[limit].as_f64() {
                    wrong(json!(limit as i64 + by), format!("beyond {limit}"));
                }
            }
            wrong(json!("seven"), "a text for a number".to_owned());
        }
        Value::Bool(_) => wrong(json!("yes"), "a text for a boolean".to_owned()),
        Value::Array(list) => {
            if let (Some(limit), Some(first)) = (schema["maxItems"].as_u64(), list.first()) {
                let many = (0..=limit).map(|number| numbered(first, number)).collect();
                wrong(Value::Array(many), format!("more than {limit}"));
            }
            if schema["minItems"].as_u64().is_some_and(|limit| limit > 0) {
                wrong(json!([]), "an empty list".to_owned());
            }
            if schema["x-kubernetes-list-type"].is_string() && !list.is_empty() {
                let mut twice = list.clone();
                twice.push(list[0].clone());
                wrong(Value::Array(twice), "the same twice".to_owned());
            }
            for (index, item) in list.iter().enumerate() {
                walk(&schema["items"], item, &format!("{pointer}/{index}"), found);
            }
        }
        Value::Object(map) => {
            let mut unknown = map.clone();
            unknown.insert("noSuchField".to_owned(), json!(1));
            if schema["properties"].is_object() {
                wrong(Value::Object(unknown), "an unknown field".to_owned());
            }
            for required in schema["required"].as_array().into_iter().flatten() {
                let name = required.as_str().unwrap();
                if map.contains_key(name) {
                    found.push((format!("{pointer}/{name}"), None, "left out".to_owned()));
                }
            }
            for (name, value) in map {
                let step = name.replace('~', "~0").replace('/', "~1");
                walk(&schema["properties"][name], value, &format!("{pointer}/{step}"), found);
            }
        }
        Value::Null => {}
    }
}

/// Items of a map by key differ in their key, so that only their number is wrong.
fn numbered(item: &Value, number: u64) -> Value {
    let mut item = item.clone();
    match &mut item {
        Value::Object(map) => {
            for key in ["name", "os", "node"] {
                if let Some(value) = map.get_mut(key) {
                    *value = json!(format!("k{number}"));
                }
            }
        }
        Value::String(text) => *text = format!("{text}{number}"),
        _ => {}
    }
    item
}

/// Every rule in CEL has a case in `rules.yaml`: an object that breaks it, or a change that does.
pub async fn what_the_rules_forbid_is_refused_in_the_same_words() {
    let pair = Pair::start().await;
    let mut unbroken: BTreeMap<String, String> = BTreeMap::new();
    for crd in api::crds() {
        messages(&schema(&crd), &crd.spec.names.kind, &mut unbroken);
    }
    let cases: Vec<Value> =
        serde_saphyr::from_multiple(&std::fs::read_to_string(fixture("rules.yaml")).unwrap()).unwrap();
    for (number, case) in cases.iter().enumerate() {
        let message = case["message"].as_str().unwrap();
        let mut good = full().into_iter().find(|object| object["kind"] == case["kind"]).unwrap();
        good["metadata"]["name"] = json!(format!("case-{number}"));
        good.as_object_mut().unwrap().remove("status");
        json_patch::merge(&mut good["spec"], &case["given"]);
        let mut wrong = good.clone();
        json_patch::merge(&mut wrong["spec"], &case["change"]);
        let refusal = if case["transition"] == json!(true) {
            pair.both("POST", &collection(&good), &good).await.unwrap_or_else(|error| panic!("{case}: {error}"));
            let path = format!("{}/case-{number}?dryRun=All", collection(&good));
            pair.both("PATCH", &path, &json!({"spec": wrong["spec"]})).await
        } else {
            pair.create(&good).await.unwrap_or_else(|error| panic!("{case}: the unchanged object is refused: {error}"));
            pair.create(&wrong).await
        };
        let refusal = refusal.expect_err(&format!("{case}: it is accepted"));
        assert!(refusal.contains(message), "{case}: {refusal}");
        unbroken.remove(message);
    }
    pair.agree();
    assert!(unbroken.is_empty(), "no case of rules.yaml breaks {unbroken:#?}");
}

/// The sentences of all rules, and where they stand.
fn messages(schema: &Value, path: &str, found: &mut BTreeMap<String, String>) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let message = rule["message"].as_str().unwrap_or_else(|| panic!("{path}: a rule without a sentence: {rule}"));
        found.insert(message.to_owned(), path.to_owned());
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        messages(property, &format!("{path}.{name}"), found);
    }
    if schema["items"].is_object() {
        messages(&schema["items"], &format!("{path}[]"), found);
    }
}

/// `kubectl explain` describes every field alike.
pub async fn kubectl_explains_both_alike() {
    let pair = Pair::start().await;
    for crd in api::crds() {
        let kind = &crd.spec.names.plural;
        let explain = ["explain", "--recursive", kind];
        let [embedded, kubernetes] = &pair.planes;
        let (embedded, kubernetes) = tokio::join!(embedded.kubectl.works(&explain), kubernetes.kubectl.works(&explain));
        assert_eq!(embedded, kubernetes, "the embedded control plane (left) explains {kind} otherwise");
        assert!(kubernetes.contains("observedGeneration"), "{kubernetes}");
    }
}

/// What a definition must not have is refused by the real one, so a defect in `crds/` does not get past this suite.
pub async fn kubernetes_refuses_a_broken_definition() {
    let plane = Plane::start(Which::Kubernetes).await;
    let broken: [(&str, &str, Value); 2] = [
        (
            "a rule beyond the cost limit",
            "cost",
            json!([{"op": "add", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/careless",
                    "value": {"type": "array", "items": {"type": "string"},
                              "x-kubernetes-validations": [{"rule": "self.all(a, self.all(b, self.all(c, a + b != c)))"}]}}]),
        ),
        (
            "a field that is not structural",
            "type",
            json!([{"op": "add", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/careless",
                    "value": {"description": "no type"}}]),
        ),
    ];
    for crd in api::crds() {
        for (what, word, patch) in &broken {
            let mut wrong = serde_json::to_value(&crd).unwrap();
            json_patch::patch(&mut wrong, &serde_json::from_value::<json_patch::Patch>(patch.clone()).unwrap())
                .unwrap();
            let applied = plane.kubectl.run_with(&["apply", "--dry-run=server", "-f", "-"], &wrong.to_string()).await;
            assert!(!applied.ok() && applied.err.contains(word), "{what} is accepted: {}{}", applied.out, applied.err);
        }
    }
}

/// Every example is what the API server takes.
pub async fn every_example_is_accepted(which: Which) {
    let plane = Plane::start(which).await;
    plane.kubectl.works(&["create", "namespace", "shop"]).await;
    let examples = ["apply", "--dry-run=server", "--validate=strict", "-f", "examples"];
    let said = plane.kubectl.works(&examples).await;
    assert!(said.lines().count() >= 5, "{said}");
    let said = plane.kubectl.run(&["apply", "--server-side", "--dry-run=server", "-f", "examples"]).await;
    assert!(said.ok(), "{}", said.err);
}
