//! What the tests of the embedded control plane share: a definition, objects of it, and a client.
#![allow(dead_code, reason = "each test file uses a part")]

use cloudfaster::standalone::ControlPlane;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

pub const MACHINES: &str = include_str!("../fixtures/standalone/machines.yaml");

pub fn definition() -> CustomResourceDefinition {
    serde_saphyr::from_str(MACHINES).unwrap()
}

pub async fn in_memory() -> ControlPlane {
    ControlPlane::in_memory(vec![definition()], CancellationToken::new()).await.unwrap()
}

pub async fn open(directory: &std::path::Path) -> ControlPlane {
    ControlPlane::open(directory, vec![definition()], CancellationToken::new()).await.unwrap()
}

pub fn client(plane: &ControlPlane) -> Client {
    Client::new(plane.router(), "default")
}

pub fn machine_resource() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("cloudfaster.app", "v1alpha1", "Machine"))
}

pub fn machines(client: &Client) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), "default", &machine_resource())
}

/// A machine that is valid, with `spec` laid over the least that it needs.
pub fn machine(name: &str, spec: &Value) -> DynamicObject {
    let mut object = json!({
        "apiVersion": "cloudfaster.app/v1alpha1",
        "kind": "Machine",
        "metadata": { "name": name },
        "spec": { "os": "debian", "memory": "1Gi" },
    });
    json_patch::merge(&mut object["spec"], spec);
    serde_json::from_value(object).unwrap()
}

/// Waits until an object is gone.
pub async fn gone<K>(api: &Api<K>, name: &str)
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    let gone = kube::runtime::wait::await_condition(api.clone(), name, |object: Option<&K>| object.is_none());
    tokio::time::timeout(std::time::Duration::from_secs(20), gone).await.expect("it stays").unwrap();
}

/// A control plane that kubectl can reach, with its data in a directory of its own.
pub struct Served {
    pub plane: ControlPlane,
    pub directory: tempfile::TempDir,
    pub serving: cloudfaster::standalone::Serving,
}

pub async fn served() -> Served {
    let directory = tempfile::tempdir().unwrap();
    let plane = open(directory.path()).await;
    let serving = plane
        .serve(directory.path(), "127.0.0.1:0".parse().unwrap(), &directory.path().join("kubeconfig"))
        .await
        .unwrap();
    Served { plane, directory, serving }
}

/// What a run of kubectl came to.
#[derive(Debug)]
pub struct Output {
    pub ok: bool,
    pub out: String,
    pub err: String,
}

impl Served {
    /// kubectl for this control plane: the one that `KUBECTL` names, else the one in `PATH`.
    pub fn command(&self) -> tokio::process::Command {
        let program = std::env::var_os("KUBECTL").unwrap_or_else(|| "kubectl".into());
        let mut command = tokio::process::Command::new(program);
        command
            .env("KUBECONFIG", self.serving.kubeconfig())
            .env("HOME", self.directory.path())
            .kill_on_drop(true)
            .stdin(std::process::Stdio::null());
        command
    }

    pub async fn kubectl(&self, arguments: &[&str]) -> Output {
        self.kubectl_with(arguments, "").await
    }

    /// Runs kubectl with `input` as its standard input.
    pub async fn kubectl_with(&self, arguments: &[&str], input: &str) -> Output {
        use tokio::io::AsyncWriteExt as _;
        let mut child = self
            .command()
            .args(arguments)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("kubectl 1.27 or later is needed: in PATH, or named by the variable KUBECTL");
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        let output = tokio::time::timeout(std::time::Duration::from_secs(60), child.wait_with_output())
            .await
            .unwrap_or_else(|_| panic!("kubectl {arguments:?} does not end"))
            .unwrap();
        Output {
            ok: output.status.success(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// As [`Self::kubectl`], for what must work.
    pub async fn works(&self, arguments: &[&str]) -> String {
        let output = self.kubectl(arguments).await;
        assert!(output.ok, "kubectl {arguments:?}: {}", output.err);
        output.out
    }

    /// Applies a manifest, which must work.
    pub async fn apply(&self, manifest: &str) -> String {
        let output = self.kubectl_with(&["apply", "-f", "-"], manifest).await;
        assert!(output.ok, "kubectl apply: {}", output.err);
        output.out
    }
}
