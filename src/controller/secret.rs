//! Reading Secrets: what is missing or wrong is told with the field that names it, and never with what it holds.

use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::{Api, Resource, ResourceExt, api::ObjectMeta};

use crate::{
    api::{DockerService, common::SecretKeyRef, conditions::Verdict},
    reason::Reason,
};

/// Why something cannot go on.
#[derive(Clone, Debug)]
pub enum Problem {
    /// It may come by itself.
    Wait(Reason),
    /// Somebody has to change something.
    Stall(Reason),
}

impl Problem {
    /// How an object stands for it.
    pub fn judged(&self) -> (Verdict, Reason) {
        match self {
            Self::Wait(reason) => (Verdict::Reconciling, reason.clone()),
            Self::Stall(reason) => (Verdict::Stalled, reason.clone()),
        }
    }

    /// What it is.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Wait(reason) | Self::Stall(reason) => reason.clone(),
        }
    }
}

/// Which version of a Secret it is.
pub fn version(secret: &Secret) -> String {
    format!("{}/{}", secret.uid().unwrap_or_default(), secret.resource_version().unwrap_or_default())
}

/// The text behind a key of a Secret, if there is one.
pub fn text(secret: &Secret, key: &str) -> Option<String> {
    String::from_utf8(secret.data.as_ref()?.get(key)?.0.clone()).ok()
}

/// A Secret that belongs to a service, beside it, and goes after it.
pub fn of_service(service: &DockerService, name: &str, data: impl IntoIterator<Item = (String, ByteString)>) -> Secret {
    // To block the owner's removal is a right of its own on some clusters, and is not needed.
    let owner = service.controller_owner_ref(&()).map(|owner| OwnerReference { block_owner_deletion: None, ..owner });
    Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            owner_references: owner.map(|owner| vec![owner]),
            labels: Some([("app.kubernetes.io/managed-by".to_owned(), "cloudfaster".to_owned())].into()),
            ..ObjectMeta::default()
        },
        data: Some(data.into_iter().collect()),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    }
}

/// A Secret that a tenant's object names. One that is not there yet, or that we may not read, is waited for.
///
/// # Errors
/// What the API server answers.
pub async fn read(api: &Api<Secret>, name: &str, field: &str) -> Result<Result<Secret, Problem>, kube::Error> {
    let wait = |word: &str, message: String| Err(Problem::Wait(Reason::new(word, message)));
    match api.get_opt(name).await {
        // An administrator may have narrowed the operator's rights to some namespaces.
        Err(kube::Error::Api(status)) if status.is_forbidden() => {
            Ok(wait("DependencyForbidden", format!("{field}: {}; waiting until that is granted", status.message)))
        }
        Err(error) => Err(error),
        Ok(Some(secret)) => Ok(Ok(secret)),
        Ok(None) => {
            let message = format!("{field}: there is no Secret {name}; waiting until it is created");
            Ok(wait("DependencyNotFound", message))
        }
    }
}

/// What a key of a Secret holds, as text.
///
/// # Errors
/// That the key is not there, or holds no text.
pub fn value(secret: &Secret, key: &str, field: &str) -> Result<String, Problem> {
    let name = secret.name_any();
    let Some(bytes) = secret.data.as_ref().and_then(|data| data.get(key)) else {
        let message = format!("{field}: Secret {name} has no key {key}; waiting until it has");
        return Err(Problem::Wait(Reason::new("DependencyNotFound", message)));
    };
    String::from_utf8(bytes.0.clone())
        .map_err(|_| Problem::Wait(Reason::new("InvalidSecret", format!("{field}: {key} of Secret {name} is no text"))))
}

/// A key of a Secret, as text without the line break at its end, and which version of the Secret it is.
///
/// # Errors
/// What the API server answers.
pub async fn read_key(
    api: &Api<Secret>,
    reference: &SecretKeyRef,
    field: &str,
) -> Result<Result<(String, String), Problem>, kube::Error> {
    let SecretKeyRef { name, key } = reference;
    Ok(read(api, name, field).await?.and_then(|secret| {
        let text = value(&secret, key, field)?;
        Ok((text.trim_end_matches(['\n', '\r']).to_owned(), version(&secret)))
    }))
}
