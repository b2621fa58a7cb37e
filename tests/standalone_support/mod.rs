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
