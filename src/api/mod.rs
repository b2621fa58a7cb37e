//! The custom resources: types, schema rules, columns. No I/O.
//!
//! The doc comments of the fields become `kubectl explain`.

pub mod common;
pub mod conditions;
pub mod disks;
pub mod docker_host;
pub mod docker_service;
pub mod docker_tenant;
pub mod network;
pub mod power;
pub mod proxmox_cluster;
pub mod proxmox_vm;
pub mod size;
pub mod tenant;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps,
};
use kube::CustomResourceExt;
use serde_json::json;

pub use docker_host::DockerHost;
pub use docker_service::DockerService;
pub use proxmox_cluster::ProxmoxCluster;
pub use proxmox_vm::ProxmoxVM;
pub use size::Size;

/// The API group of all kinds.
pub const GROUP: &str = "cloudfaster.app";

/// Holds an object until nothing of it is left outside Kubernetes.
pub const FINALIZER: &str = "cloudfaster.app/finalizer";

/// Annotation of an object that is to be left alone for a while: `"true"`.
pub const PAUSED: &str = "cloudfaster.app/paused";

/// Label of what was made for a user of the REST API: the user's name in Kubernetes.
pub const USER: &str = "cloudfaster.app/user";

/// The definitions of all kinds, as `cloudfaster crds` prints them.
pub fn crds() -> Vec<CustomResourceDefinition> {
    [ProxmoxCluster::crd(), ProxmoxVM::crd(), DockerHost::crd(), DockerService::crd()]
        .into_iter()
        .map(with_unobserved_status)
        .collect()
}

/// Each definition as a YAML document, with the name of its file in `crds/`.
///
/// # Errors
/// When a definition cannot be written as YAML, which would be a defect of its types.
pub fn crd_documents() -> Result<Vec<(String, String)>, serde_saphyr::ser::Error> {
    crds()
        .iter()
        .map(|crd| {
            let yaml = serde_saphyr::to_string(crd)?;
            Ok((format!("{}.yaml", crd.spec.names.plural), format!("---\n{}\n", yaml.trim_end())))
        })
        .collect()
}

/// kstatus takes an object without status for reconciled: a default of -1 says that nobody has looked yet.
fn with_unobserved_status(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        let status = version
            .schema
            .as_mut()
            .and_then(|schema| schema.open_api_v3_schema.as_mut())
            .and_then(|root| root.properties.as_mut())
            .and_then(|properties| properties.get_mut("status"));
        if let Some(JSONSchemaProps { default, .. }) = status {
            *default = Some(JSON(json!({"observedGeneration": -1})));
        }
    }
    crd
}
