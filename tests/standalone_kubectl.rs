//! Real kubectl against the control plane, over TLS, as a user types it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod standalone_support;

use std::process::Stdio;
use std::time::Duration;

use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use serde_json::{Value, json};
use standalone_support::{Served, client, machine_resource, machines, served};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

fn web(spec: &str) -> String {
    format!(
        "apiVersion: cloudfaster.app/v1alpha1
kind: Machine
metadata:
  name: web
spec:
  os: debian
  memory: 1Gi
{spec}"
    )
}

/// The words of each line.
fn words(text: &str) -> Vec<Vec<&str>> {
    text.lines().map(|line| line.split_whitespace().collect()).collect()
}

/// The next line of a kubectl that goes on.
async fn line(lines: &mut Lines<BufReader<ChildStdout>>) -> String {
    tokio::time::timeout(Duration::from_secs(30), lines.next_line())
        .await
        .expect("a line")
        .unwrap()
        .expect("kubectl goes on")
}

fn start(served: &Served, arguments: &[&str]) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = served
        .command()
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .expect("kubectl 1.27 or later is needed: in PATH, or named by the variable KUBECTL");
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

#[tokio::test]
async fn apply_creates_leaves_alone_and_changes() {
    let served = served().await;
    let applied = |spec: &'static str| {
        let served = &served;
        async move { served.apply(&web(spec)).await }
    };
    assert_eq!(applied("").await, "machine.cloudfaster.app/web created\n");
    assert_eq!(applied("").await, "machine.cloudfaster.app/web unchanged\n");
    assert_eq!(applied("  cores: 2").await, "machine.cloudfaster.app/web configured\n");
    let yaml = served.works(&["get", "mc", "web", "-o", "yaml"]).await;
    let object: Value = serde_saphyr::from_str(&yaml).unwrap();
    assert_eq!(object["spec"]["cores"], 2);
    assert_eq!(object["spec"]["power"], "Running");
    assert_eq!(object["status"]["observedGeneration"], -1);
    assert_eq!(object["metadata"]["generation"], 2);

    for manifest in [
        r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}}"#,
        r#"{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "b"}}"#,
        r#"{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}"#,
    ] {
        assert!(served.apply(manifest).await.ends_with(" created\n"));
        assert!(!served.apply(manifest).await.ends_with(" created\n"));
    }
    let changed = r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"z": "w"}}"#;
    assert_eq!(served.apply(changed).await, "configmap/c configured\n");
    let data = served.works(&["get", "cm", "c", "-o", "jsonpath={.data}"]).await;
    assert_eq!(data, "{\"z\":\"w\"}");
}

#[tokio::test]
async fn bad_manifests_are_refused_with_the_field_and_the_remedy() {
    let served = served().await;
    for (spec, expected) in [
        ("  coers: 2", "unknown field \"spec.coers\""),
        ("  cores: 0", "spec.cores: Invalid value: 0: spec.cores in body should be greater than or equal to 1"),
        (
            "  memory: \"4096\"",
            "spec.memory: Invalid value: \"4096\": spec.memory in body should match '^[1-9][0-9]*(Mi|Gi|Ti)$'",
        ),
        (
            "  power: \"Off\"",
            "spec.power: Unsupported value: \"Off\": supported values: \"Running\", \"Stopped\", \"Paused\"",
        ),
    ] {
        let manifest = web(spec);
        // A key that is given twice counts where it stands last.
        let manifest = if spec.contains("memory") { manifest.replace("  memory: 1Gi\n", "") } else { manifest };
        for arguments in [&["apply", "-f", "-"][..], &["apply", "--dry-run=server", "-f", "-"]] {
            let output = served.kubectl_with(arguments, &manifest).await;
            assert!(!output.ok);
            assert!(output.err.contains(expected), "{}", output.err);
        }
    }
}

#[tokio::test]
async fn get_shows_tables_and_follows_changes() {
    let served = served().await;
    served.apply(&web("  cores: 2")).await;
    let status = json!({ "status": {
        "observedGeneration": 1,
        "progress": 40,
        "conditions": [{ "type": "Ready", "status": "False" }],
    } })
    .to_string();
    let report = ["patch", "mc", "web", "--subresource=status", "--type=merge", "-p"];
    served.works(&[&report[..], &[&status]].concat()).await;

    let table = served.works(&["get", "mc"]).await;
    let table = words(&table);
    assert_eq!(table[0], ["NAME", "READY", "PROGRESS", "AGE"]);
    assert_eq!(table[1][..3], ["web", "False", "40"]);
    let wide = served.works(&["get", "cloudfaster", "-o", "wide"]).await;
    let wide = words(&wide);
    assert_eq!(wide[0], ["NAME", "READY", "PROGRESS", "OS", "CORES", "AGE"]);
    assert_eq!(wide[1][..5], ["web", "False", "40", "debian", "2"]);
    let all = served.works(&["get", "machines", "-A"]).await;
    assert_eq!(words(&all)[1][..2], ["default", "web"]);

    let (mut child, mut lines) = start(&served, &["get", "mc", "-w"]);
    assert!(line(&mut lines).await.starts_with("NAME"));
    assert!(line(&mut lines).await.contains("False"));
    let ready = status.replace("False", "True").replace("40", "100");
    served.works(&[&report[..], &[&ready]].concat()).await;
    let followed = line(&mut lines).await;
    assert_eq!(words(&followed)[0][..3], ["web", "True", "100"]);
    child.kill().await.unwrap();

    let waited = served.works(&["wait", "--for=condition=Ready", "mc/web", "--timeout=20s"]).await;
    assert_eq!(waited, "machine.cloudfaster.app/web condition met\n");
}

#[tokio::test]
async fn wait_is_woken_by_a_change() {
    let served = served().await;
    served.apply(&web("")).await;
    let (mut child, mut lines) = start(&served, &["wait", "--for=jsonpath={.spec.cores}=4", "mc/web", "--timeout=30s"]);
    served
        .works(&[
            "patch",
            "mc",
            "web",
            "--type=json",
            "-p",
            "[{\"op\":\"replace\",\"path\":\"/spec/cores\",\"value\":4}]",
        ])
        .await;
    assert_eq!(line(&mut lines).await, "machine.cloudfaster.app/web condition met");
    assert!(child.wait().await.unwrap().success());
}

#[tokio::test]
async fn describe_and_get_show_the_events_that_a_controller_records() {
    let served = served().await;
    served.apply(&web("")).await;
    let client = client(&served.plane);
    let object = machines(&client).get("web").await.unwrap();
    let reporter = Reporter { controller: "cloudfaster".to_owned(), instance: None };
    let recorder = Recorder::new(client, reporter);
    let reference = kube::Resource::object_ref(&object, &machine_resource());
    for _ in 0..2 {
        let event = Event {
            type_: EventType::Warning,
            reason: "NoRoom".to_owned(),
            note: Some("node sv1 is full".to_owned()),
            action: "Placing".to_owned(),
            secondary: None,
        };
        // The second one is a repetition, which patches the first.
        recorder.publish(&event, &reference).await.unwrap();
    }
    let described = served.works(&["describe", "mc", "web"]).await;
    let events: Vec<&str> = described.split("Events:").collect();
    for word in ["Warning", "NoRoom", "cloudfaster", "node sv1 is full", "x2"] {
        assert!(events[1].contains(word), "{word} in {described}");
    }
    for resource in ["events", "events.events.k8s.io"] {
        let table = served.works(&["get", resource]).await;
        let table = words(&table);
        assert_eq!(table[0], ["LAST", "SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]);
        assert_eq!(table[1][1..4], ["Warning", "NoRoom", "machine/web"]);
    }
    let narrowed = served.works(&["events", "--for", "mc/web", "--types=Warning"]).await;
    assert!(narrowed.contains("NoRoom"), "{narrowed}");
    let none = served.works(&["get", "events", "--field-selector=involvedObject.name=other"]).await;
    assert_eq!(none, "");
}

#[tokio::test]
async fn explain_reads_the_descriptions() {
    let served = served().await;
    let all = served.works(&["explain", "mc.spec", "--recursive"]).await;
    for text in ["cores\t<integer>", "disks\t<[]Object>", "size\t<integer> -required-", "What the machine is to be."] {
        assert!(all.contains(text), "{text} in {all}");
    }
    let kind = served.works(&["explain", "mc"]).await;
    for text in ["A virtual machine.", "APIVersion defines the versioned schema", "metadata\t<ObjectMeta>"] {
        assert!(kind.contains(text), "{text} in {kind}");
    }
    let labels = served.works(&["explain", "mc.metadata.labels"]).await;
    assert!(labels.contains("Map of string keys and values"), "{labels}");
    let secret = served.works(&["explain", "secret.data"]).await;
    assert!(secret.contains("map[string]string"), "{secret}");
}

#[tokio::test]
async fn resources_are_discovered() {
    let served = served().await;
    let resources = served.works(&["api-resources"]).await;
    let resources = words(&resources);
    for line in [
        vec!["machines", "mc", "cloudfaster.app/v1alpha1", "true", "Machine"],
        vec!["namespaces", "ns", "v1", "false", "Namespace"],
        vec!["leases", "coordination.k8s.io/v1", "true", "Lease"],
    ] {
        assert!(resources.contains(&line), "{line:?} in {resources:?}");
    }
    let version = served.works(&["version", "-o", "json"]).await;
    let version: Value = serde_json::from_str(&version).unwrap();
    assert_eq!(version["serverVersion"]["minor"], "37");
    let definitions = served.works(&["get", "crd", "-o", "name"]).await;
    assert_eq!(definitions, "customresourcedefinition.apiextensions.k8s.io/machines.cloudfaster.app\n");
    let established = ["wait", "--for=condition=Established", "crd/machines.cloudfaster.app"];
    served.works(&established).await;
}

#[tokio::test]
async fn delete_waits_for_finalizers() {
    let served = served().await;
    let held = web("").replace("name: web", "name: web\n  finalizers: [cloudfaster.app/vm]");
    served.apply(&held).await;
    let (mut child, mut lines) = start(&served, &["delete", "mc", "web"]);
    assert!(line(&mut lines).await.contains("\"web\" deleted"));
    let going = served.works(&["get", "mc", "web", "-o", "jsonpath={.metadata.deletionTimestamp}"]).await;
    assert!(!going.is_empty());
    assert!(child.try_wait().unwrap().is_none(), "kubectl waits");
    served.works(&["patch", "mc", "web", "--type=merge", "-p", "{\"metadata\":{\"finalizers\":null}}"]).await;
    assert!(child.wait().await.unwrap().success());
    let missing = served.kubectl(&["get", "mc", "web"]).await;
    assert!(missing.err.contains("machines.cloudfaster.app \"web\" not found"));
}

#[tokio::test]
async fn the_everyday_commands_work() {
    let served = served().await;
    served.works(&["create", "secret", "generic", "token", "--from-literal=value=s3cret"]).await;
    let value = served.works(&["get", "secret", "token", "-o", "jsonpath={.data.value}"]).await;
    assert_eq!(value, "czNjcmV0");
    served.works(&["create", "configmap", "c", "--from-literal=a=b"]).await;
    served.works(&["create", "namespace", "shop"]).await;
    served.works(&["-n", "shop", "create", "cm", "c", "--from-literal=a=b"]).await;
    served.works(&["describe", "ns", "shop"]).await;
    served.works(&["delete", "ns", "shop", "--timeout=30s"]).await;
    assert!(!served.kubectl(&["get", "ns", "shop"]).await.ok);

    served.apply(&web("")).await;
    served.works(&["label", "mc", "web", "tier=front"]).await;
    served.works(&["annotate", "mc", "web", "note=hello"]).await;
    let by_label = served.works(&["get", "mc", "-l", "tier=front", "-o", "name"]).await;
    assert_eq!(by_label, "machine.cloudfaster.app/web\n");
    let differs = served.kubectl_with(&["diff", "-f", "-"], &web("  cores: 3")).await;
    assert!(differs.out.contains("+  cores: 3"), "{differs:?}");
    served.kubectl_with(&["replace", "-f", "-"], &web("  cores: 3")).await;
    let mut edit = served.command();
    edit.args(["edit", "mc", "web"]).env("KUBE_EDITOR", "sed -i s/cores:.3/cores:\\ 7/");
    assert!(edit.status().await.unwrap().success());
    let cores = served.works(&["get", "mc", "web", "-o", "jsonpath={.spec.cores}"]).await;
    assert_eq!(cores, "7");
    served.works(&["delete", "mc", "--all"]).await;
    served.works(&["delete", "secret", "token"]).await;
}

#[tokio::test]
async fn without_the_token_nothing_but_the_health_is_told() {
    let served = served().await;
    let address = format!("https://{}", served.serving.address());
    let authority = std::fs::read(served.directory.path().join("ca.crt")).unwrap();
    let authority = reqwest::Certificate::from_pem(&authority).unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().tls_certs_only([authority]).build().unwrap();
    for token in ["", "Bearer wrong", "Bearer "] {
        let answer =
            http.get(format!("{address}/api/v1/namespaces")).header("Authorization", token).send().await.unwrap();
        assert_eq!(answer.status(), 401);
        let status: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(status["reason"], "Unauthorized");
    }
    let health = http.get(format!("{address}/readyz")).send().await.unwrap();
    assert_eq!(health.status(), 200);

    use std::os::unix::fs::PermissionsExt as _;
    for secret in ["token", "ca.key", "kubeconfig"] {
        let metadata = std::fs::metadata(served.directory.path().join(secret)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{secret}");
    }
}

#[tokio::test]
async fn a_restart_keeps_the_objects_and_the_credentials() {
    let mut served = served().await;
    served.apply(&web("")).await;
    served.plane.close().await;
    served.serving.ended().await.unwrap();
    served.plane = standalone_support::open(served.directory.path()).await;
    let kubeconfig = served.directory.path().join("kubeconfig");
    served.serving =
        served.plane.serve(served.directory.path(), "127.0.0.1:0".parse().unwrap(), &kubeconfig).await.unwrap();
    let names = served.works(&["get", "mc", "-o", "name"]).await;
    assert_eq!(names, "machine.cloudfaster.app/web\n");
}

#[tokio::test]
async fn an_address_that_is_taken_is_an_error_that_names_it() {
    let served = served().await;
    let address = served.serving.address();
    let kubeconfig = served.directory.path().join("other");
    let again = served.plane.serve(served.directory.path(), address, &kubeconfig).await;
    let error = again.expect_err("it is taken").to_string();
    assert!(error.contains(&address.to_string()), "{error}");
    assert!(!kubeconfig.exists(), "nobody is sent to a server that does not run");
}
