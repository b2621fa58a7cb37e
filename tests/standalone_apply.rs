//! Server-side apply as kubectl and kube-rs use it, and who owns what afterwards.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod standalone_support;

use std::collections::BTreeMap;

use kube::api::{Patch, PatchParams, PostParams};
use kube::{Error, ResourceExt};
use serde_json::{Value, json};
use standalone_support::{Output, Served, client, in_memory, machine, machines, served};

fn manifest(spec: &Value) -> String {
    let mut object = json!({
        "apiVersion": "cloudfaster.app/v1alpha1",
        "kind": "Machine",
        "metadata": { "name": "web", "labels": { "tier": "front" } },
        "spec": { "os": "debian", "memory": "1Gi" },
    });
    json_patch::merge(&mut object["spec"], spec);
    object.to_string()
}

async fn run(served: &Served, arguments: &[&str], spec: Value) -> Output {
    served.kubectl_with(&[arguments, &["-f", "-"]].concat(), &manifest(&spec)).await
}

const SERVER_SIDE: &[&str] = &["apply", "--server-side"];
const ARGO: &[&str] = &["apply", "--server-side", "--field-manager=argocd-controller"];
const APPLIED: &str = "machine.cloudfaster.app/web serverside-applied\n";

/// The object, and the fields of each manager by its name and operation.
async fn look(served: &Served) -> (Value, BTreeMap<String, Value>) {
    let json = served.works(&["get", "mc", "web", "-o", "json", "--show-managed-fields"]).await;
    let object: Value = serde_json::from_str(&json).unwrap();
    let managers = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let managers = managers.into_iter().map(|entry| {
        let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
        (format!("{} {}", text("manager"), text("operation")), entry["fieldsV1"].clone())
    });
    (object.clone(), managers.collect())
}

#[tokio::test]
async fn kubectl_applies_on_the_server_and_takes_back_what_it_does_not_say_any_more() {
    let served = served().await;
    let dry = run(&served, &["apply", "--server-side", "--dry-run=server"], json!({})).await;
    assert_eq!(dry.out, "machine.cloudfaster.app/web serverside-applied (server dry run)\n", "{}", dry.err);
    assert!(!served.kubectl(&["get", "mc", "web"]).await.ok);

    let applied = run(&served, SERVER_SIDE, json!({ "cores": 2, "tags": ["blue"] })).await;
    assert_eq!(applied.out, APPLIED, "{}", applied.err);
    let (object, managers) = look(&served).await;
    assert_eq!(object["spec"]["power"], "Running", "defaults are filled in, and nobody's");
    let owned = json!({
        "f:metadata": { "f:labels": { "f:tier": {} } },
        "f:spec": { "f:cores": {}, "f:memory": {}, "f:os": {}, "f:tags": { "v:\"blue\"": {} } },
    });
    assert_eq!(managers, BTreeMap::from([("kubectl Apply".to_owned(), owned)]));

    run(&served, SERVER_SIDE, json!({ "tags": ["blue"] })).await;
    let before = look(&served).await.0;
    assert_eq!(before["spec"]["cores"], 1, "the default is back");
    let again = run(&served, SERVER_SIDE, json!({ "tags": ["blue"] })).await;
    assert_eq!(again.out, APPLIED);
    assert_eq!(look(&served).await.0, before, "the same again is not written");
    let differs = run(&served, &["diff", "--server-side"], json!({ "tags": ["blue"] })).await;
    assert!(differs.ok && differs.out.is_empty(), "{differs:?}");
    let differs = run(&served, &["diff", "--server-side"], json!({ "cores": 4 })).await;
    assert!(differs.out.contains("+  cores: 4") && differs.out.contains("-  - blue"), "{differs:?}");

    let unknown = run(&served, SERVER_SIDE, json!({ "coers": 2 })).await;
    assert!(unknown.err.contains(".spec.coers: field not declared in schema"), "{}", unknown.err);
}

#[tokio::test]
async fn a_second_manager_shares_or_conflicts_and_may_force() {
    let served = served().await;
    run(&served, SERVER_SIDE, json!({ "cores": 2 })).await;
    let shared = run(&served, ARGO, json!({ "cores": 2 })).await;
    assert_eq!(shared.out, APPLIED, "what is equal is no conflict: {}", shared.err);
    let shared = look(&served).await.0;
    for arguments in [SERVER_SIDE, ARGO, SERVER_SIDE] {
        assert_eq!(run(&served, arguments, json!({ "cores": 2 })).await.out, APPLIED);
        let differs = run(&served, &["diff", "--server-side"], json!({ "cores": 2 })).await;
        assert!(differs.ok && differs.out.is_empty(), "{differs:?}");
        assert_eq!(look(&served).await.0, shared, "two managers who agree leave each other alone");
    }
    let conflict = |output: Output| {
        let conflict = output.err.lines().next().unwrap_or_default().to_owned();
        conflict.strip_prefix("error: ").map_or(conflict.clone(), str::to_owned)
    };
    assert_eq!(
        conflict(run(&served, ARGO, json!({ "cores": 4 })).await),
        "Apply failed with 1 conflict: conflict with \"kubectl\": .spec.cores"
    );
    let forced = run(&served, &[ARGO, &["--force-conflicts"]].concat(), json!({ "cores": 4 })).await;
    assert_eq!(forced.out, APPLIED, "{}", forced.err);
    let (object, managers) = look(&served).await;
    assert_eq!(object["spec"]["cores"], 4);
    assert!(managers["kubectl Apply"]["f:spec"].get("f:cores").is_none());
    assert_eq!(managers["argocd-controller Apply"]["f:spec"]["f:cores"], json!({}));
    served.works(&["patch", "mc", "web", "--type=merge", "-p", r#"{"spec":{"cores":8}}"#]).await;
    assert_eq!(
        conflict(run(&served, ARGO, json!({ "cores": 4 })).await),
        "Apply failed with 1 conflict: conflict with \"kubectl-patch\" using cloudfaster.app/v1alpha1: .spec.cores"
    );
}

#[tokio::test]
async fn who_applied_on_the_client_goes_over_to_the_server_and_back() {
    let served = served().await;
    run(&served, &["apply"], json!({ "cores": 2, "tags": ["blue"] })).await;
    assert!(look(&served).await.1.contains_key("kubectl-client-side-apply Update"));
    let over = run(&served, SERVER_SIDE, json!({ "cores": 4 })).await;
    assert_eq!(over.out, APPLIED, "{}", over.err);
    let (object, managers) = look(&served).await;
    assert_eq!(
        managers.keys().collect::<Vec<_>>(),
        ["kubectl Apply", "kubectl-last-applied Apply"],
        "the old entry was taken over"
    );
    assert_eq!(object["spec"]["cores"], 4);
    assert_eq!(object["spec"].get("tags"), None, "what client-side apply had given is taken back too");
    let differs = run(&served, &["diff", "--server-side"], json!({ "cores": 4 })).await;
    assert!(differs.ok && differs.out.is_empty(), "{differs:?}");
    // The annotation was kept in step, so client-side apply goes on from there.
    let back = run(&served, &["apply"], json!({})).await;
    assert_eq!(back.out, "machine.cloudfaster.app/web configured\n", "{}", back.err);
    assert_eq!(look(&served).await.0["spec"]["cores"], 1);
}

#[tokio::test]
async fn every_way_of_kubectl_to_write_has_a_manager_of_its_own() {
    let served = served().await;
    served.kubectl_with(&["create", "-f", "-"], &manifest(&json!({}))).await;
    served.works(&["label", "mc", "web", "by=label"]).await;
    served.works(&["annotate", "mc", "web", "by=annotate"]).await;
    served.works(&["patch", "mc", "web", "--type=merge", "-p", r#"{"spec":{"cores":2}}"#]).await;
    let status = r#"{"status":{"phase":"Up"}}"#;
    served.works(&["patch", "mc", "web", "--subresource=status", "--type=merge", "-p", status]).await;
    let mut edit = served.command();
    edit.args(["edit", "mc", "web"]).env("KUBE_EDITOR", "sed -i s/cores:.2/cores:\\ 7/");
    assert!(edit.output().await.unwrap().status.success());
    let (object, managers) = look(&served).await;
    assert_eq!(
        managers.keys().map(String::as_str).collect::<Vec<_>>(),
        [
            "kubectl-annotate Update",
            "kubectl-create Update",
            "kubectl-edit Update",
            "kubectl-label Update",
            "kubectl-patch Update",
        ],
    );
    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    let of_status = entries.iter().find(|entry| entry["subresource"] == "status").unwrap();
    assert_eq!(of_status["fieldsV1"], json!({ "f:status": { "f:phase": {} } }));
    assert_eq!(managers["kubectl-edit Update"], json!({ "f:spec": { "f:cores": {} } }));
    let yaml = served.works(&["get", "mc", "web", "-o", "yaml"]).await;
    assert!(!yaml.contains("managedFields"), "kubectl hides them unless asked");
}

#[tokio::test]
async fn the_built_in_kinds_are_applied_alike() {
    let served = served().await;
    for (manifest, name) in [
        (json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } }), "namespace/shop"),
        (
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "c" }, "data": { "a": "b" } }),
            "configmap/c",
        ),
        (
            json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s" }, "stringData": { "a": "b" } }),
            "secret/s",
        ),
        (
            json!({ "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": "l" }, "spec": { "holderIdentity": "me" } }),
            "lease.coordination.k8s.io/l",
        ),
    ] {
        for _ in 0..2 {
            let applied = served.kubectl_with(&["apply", "--server-side", "-f", "-"], &manifest.to_string()).await;
            assert_eq!(applied.out, format!("{name} serverside-applied\n"), "{}", applied.err);
        }
        let differs = served.kubectl_with(&["diff", "--server-side", "-f", "-"], &manifest.to_string()).await;
        assert!(differs.ok && differs.out.is_empty(), "{differs:?}");
    }
    let without = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "c" }, "data": { "z": "y" } });
    served.kubectl_with(&["apply", "--server-side", "-f", "-"], &without.to_string()).await;
    let data = served.works(&["get", "cm", "c", "-o", "jsonpath={.data}"]).await;
    assert_eq!(data, r#"{"z":"y"}"#);
}

#[tokio::test]
async fn a_controller_applies_objects_and_their_status_with_kube() {
    let plane = in_memory().await;
    let machines = machines(&client(&plane));
    let params = PatchParams::apply("controller");
    let wanted = machine("web", &json!({ "cores": 2, "disks": [{ "name": "a", "size": 1 }] }));
    let created = machines.patch("web", &params, &Patch::Apply(&wanted)).await.unwrap();
    assert_eq!(created.data["spec"]["cores"], 2);
    let same = machines.patch("web", &params, &Patch::Apply(&wanted)).await.unwrap();
    assert_eq!(same.resource_version(), created.resource_version());

    // Somebody else adds a disk of theirs to the same list.
    let other = json!({
        "apiVersion": "cloudfaster.app/v1alpha1",
        "kind": "Machine",
        "spec": { "disks": [{ "name": "b", "size": 2 }] },
    });
    let both = machines.patch("web", &PatchParams::apply("other"), &Patch::Apply(&other)).await.unwrap();
    assert_eq!(both.data["spec"]["disks"].as_array().unwrap().len(), 2);
    let refused = machines
        .patch("web", &PatchParams::apply("other"), &Patch::Apply(&machine("web", &json!({ "cores": 3 }))))
        .await
        .unwrap_err();
    let Error::Api(status) = refused else { panic!("{refused}") };
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    assert_eq!(status.message, "Apply failed with 1 conflict: conflict with \"controller\": .spec.cores");
    let causes = &status.details.as_ref().unwrap().causes;
    assert_eq!((causes[0].reason.as_str(), causes[0].field.as_str()), ("FieldManagerConflict", ".spec.cores"));

    let report = json!({
        "apiVersion": "cloudfaster.app/v1alpha1",
        "kind": "Machine",
        "status": { "phase": "Up", "conditions": [{ "type": "Ready", "status": "True" }] },
    });
    let reported = machines.patch_status("web", &params, &Patch::Apply(&report)).await.unwrap();
    assert_eq!(reported.data["status"]["phase"], "Up");
    assert_eq!(reported.metadata.generation, both.metadata.generation);
    let fields = reported.managed_fields().iter().find(|entry| entry.subresource.as_deref() == Some("status")).unwrap();
    assert_eq!(fields.operation.as_deref(), Some("Apply"));
}

#[tokio::test]
async fn managers_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let plane = standalone_support::open(directory.path()).await;
    let created = machines(&client(&plane))
        .patch("web", &PatchParams::apply("one"), &Patch::Apply(&machine("web", &json!({}))))
        .await
        .unwrap();
    plane.close().await;
    let plane = standalone_support::open(directory.path()).await;
    let machines = machines(&client(&plane));
    assert_eq!(machines.get("web").await.unwrap().managed_fields(), created.managed_fields());
    let mut changed = machines.get("web").await.unwrap();
    changed.data["spec"]["cores"] = json!(3);
    let replaced = machines.replace("web", &PostParams::default(), &changed).await.unwrap();
    assert_eq!(replaced.managed_fields().len(), 2);
}
