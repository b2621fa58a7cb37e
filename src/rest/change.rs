//! Changes to what is there: by its uid, so that it is never another one that was made under its name.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Shim, problem::Problem};

/// What becomes of an object.
#[derive(Clone, Debug)]
pub enum Change {
    /// It is changed by this merge patch.
    Patch(Value),
    /// It is deleted.
    Delete,
}

/// Writes down a change; `missing` is told when there is no such object any more.
///
/// # Errors
/// When it cannot be written down.
pub async fn write<K>(shim: &Shim, object: &K, change: Change, missing: fn() -> Problem) -> Result<(), Problem>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let api = Api::<K>::namespaced(shim.client.clone(), &object.namespace().unwrap_or_default());
    let name = object.name_any();
    let done = match change {
        Change::Patch(mut patch) => {
            if let Some(metadata) = patch.pointer_mut("/metadata").and_then(Value::as_object_mut) {
                metadata.insert("uid".to_owned(), object.uid().into());
            }
            shim.ask(api.patch(&name, &PatchParams::default(), &Patch::Merge(patch))).await.map(drop)
        }
        Change::Delete => shim.ask(delete(&api, object)).await,
    };
    match done {
        Err(kube::Error::Api(status)) if status.is_not_found() => Err(missing()),
        done => Ok(done?),
    }
}

/// Deletes an object, and never another one that was made under its name.
///
/// # Errors
/// When it is not there any more, or cannot be deleted.
pub async fn delete<K>(api: &Api<K>, object: &K) -> Result<(), kube::Error>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    let this = Preconditions { uid: object.uid(), resource_version: None };
    let params = DeleteParams { preconditions: Some(this), ..DeleteParams::default() };
    api.delete(&object.name_any(), &params).await.map(drop)
}
