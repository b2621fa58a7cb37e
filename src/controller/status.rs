//! Writing status: only when it changed, and only over the version that it was computed from.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Api, Resource, ResourceExt, api::PostParams, core::object::HasStatus, runtime::reflector::ObjectRef};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::run::{Kind, Waker};

/// Replaces the status of an object, unless it says the same already, times aside.
///
/// The object carries the `resourceVersion` that the status was computed from; if somebody wrote in between, it is a
/// conflict, and the caller begins anew.
///
/// # Errors
/// What the API server answers.
pub async fn replace<K>(api: &Api<K>, before: &K, after: &K) -> Result<Option<K>, kube::Error>
where
    K: Resource<DynamicType = ()>
        + HasStatus<Status: Serialize>
        + Clone
        + DeserializeOwned
        + Serialize
        + std::fmt::Debug,
{
    let same = match (serde_json::to_value(before.status()), serde_json::to_value(after.status())) {
        (Ok(before), Ok(after)) => timeless(before) == timeless(after),
        _ => false,
    };
    if same { Ok(None) } else { write(api, after).await.map(Some) }
}

/// Replaces the status of an object as [`replace`] does, and lets the echo of that wake nobody.
///
/// # Errors
/// What the API server answers.
pub async fn report<K: Kind>(api: &Api<K>, waker: &Waker<K>, before: &K, after: &K) -> Result<Option<K>, kube::Error> {
    let written = replace(api, before, after).await?;
    let version = written.as_ref().unwrap_or(before).resource_version().unwrap_or_default();
    waker.wrote(&ObjectRef::from_obj(before), &version);
    Ok(written)
}

/// Replaces the status of an object, whatever it said. What says the same changes nothing in Kubernetes, and is a conflict
/// all the same for whoever computed it from an old version.
///
/// # Errors
/// What the API server answers.
pub async fn write<K>(api: &Api<K>, after: &K) -> Result<K, kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Serialize + std::fmt::Debug,
{
    let name = after.meta().name.as_deref().unwrap_or_default();
    api.replace_status(name, &PostParams::default(), after).await
}

/// Kubernetes' times have whole seconds.
pub fn to_second(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}

/// Without the times that say when something was noticed.
fn timeless(mut value: Value) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(map) => {
                map.remove("lastTransitionTime");
                map.values_mut().for_each(strip);
            }
            Value::Array(list) => list.iter_mut().for_each(strip),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    strip(&mut value);
    value
}
