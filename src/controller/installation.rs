//! The id of this installation of the operator. The marks of its machines carry it, so it must outlast restarts.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};

use super::describe;

const NAME: &str = "cloudfaster-installation";
const KEY: &str = "id";

/// Why the id is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Kubernetes refuses.
    #[error("ConfigMap {NAME} in namespace {namespace}: {}", describe(source))]
    Kubernetes {
        /// The operator's namespace.
        namespace: String,
        /// The refusal.
        source: kube::Error,
    },
    /// Somebody emptied it.
    #[error(
        "ConfigMap {NAME} in namespace {0} has no key {KEY}: put the id of the installation back (it stands in the notes of \
         each machine), or delete the ConfigMap if there are none"
    )]
    Empty(String),
}

/// The id of this installation; one is drawn at the first start.
pub async fn ensure(client: Client, namespace: &str) -> Result<String, Error> {
    let api: Api<ConfigMap> = Api::namespaced(client, namespace);
    let failed = |source| Error::Kubernetes { namespace: namespace.to_owned(), source };
    let map = match api.get_opt(NAME).await.map_err(failed)? {
        Some(map) => map,
        None => {
            let drawn = ConfigMap {
                metadata: ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() },
                data: Some(BTreeMap::from([(KEY.to_owned(), uuid::Uuid::new_v4().to_string())])),
                immutable: Some(true),
                ..ConfigMap::default()
            };
            match api.create(&PostParams::default(), &drawn).await {
                Ok(map) => map,
                // Another replica was faster.
                Err(kube::Error::Api(status)) if status.is_already_exists() => api.get(NAME).await.map_err(failed)?,
                Err(error) => return Err(failed(error)),
            }
        }
    };
    map.data
        .and_then(|mut data| data.remove(KEY))
        .filter(|id| !id.is_empty())
        .ok_or_else(|| Error::Empty(namespace.to_owned()))
}
