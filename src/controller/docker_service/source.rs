//! The source of a service: what its spec asks for, and what was fetched of it.

use bytes::Bytes;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, ResourceExt, runtime::reflector::ObjectRef};
use sha2::{Digest, Sha256};

use crate::{
    api::{
        DockerService,
        common::SecretKeyRef,
        docker_service::{ArchiveSource, ConfigMapKeyRef, Source, SourceStatus},
    },
    controller::{
        Shared, secret,
        sources::{Asked, Failure, Fetched, Sight, What},
        unresolved::{Unresolved, stall, wait},
    },
    docker::{
        compose,
        content::{Content, Limits},
    },
    reason::Reason,
};

/// An annotation of the object: each new value asks at once whether there is something newer.
pub const FETCH_AT: &str = "cloudfaster.app/fetchAt";

/// The files of a service, and what is to be told of them.
pub struct Supplied {
    /// The files, from what counts as the source's root.
    pub content: Content,
    /// What the status says of it.
    pub status: SourceStatus,
    /// Why it is not known whether there is something newer.
    pub trouble: Option<Reason>,
    /// When it is asked again.
    pub due: Option<Timestamp>,
}

/// The files of a service, as soon as they are there.
///
/// # Errors
/// Why they are not.
pub async fn supply(
    shared: &Shared,
    service: &DockerService,
    source: &Source,
    limits: Limits,
) -> Result<Supplied, Unresolved> {
    let Source { archive, path, persistent_paths: _ } = source;
    let what = read_archive(shared, service, archive).await?;
    let What::Archive(bytes) = &what;
    let fingerprint = hex::encode(Sha256::digest(bytes)) + &format!("{limits:?}");
    let request = service.annotations().get(FETCH_AT).cloned();
    let asked = Asked { what, limits, fingerprint, request: request.clone(), interval: None };
    let (services, object) = (shared.services.clone(), ObjectRef::from_obj(service));
    let uid = service.uid().unwrap_or_default();
    match shared.sources.see(&uid, asked, move || services.wake(object)) {
        Sight::Fetching => Err(wait("Fetching", "the source is being fetched".to_owned())),
        Sight::Failed(Failure { reason: Reason { word, message }, for_good }) => {
            let message = format!("spec.source: {message}");
            Err(if for_good { stall(&word, message) } else { wait(&word, message) })
        }
        Sight::Ready { fetched, trouble, due } => {
            let Fetched { content, revision, notes } = &*fetched;
            let content = root(content, path.as_deref())?;
            let (digest, notes) = (content.digest().to_owned(), notes.clone());
            let status = SourceStatus { revision: revision.clone(), digest, notes, fetched_at: request };
            Ok(Supplied { content, status, trouble, due })
        }
    }
}

/// What counts as the source's root.
fn root(content: &Content, path: Option<&str>) -> Result<Content, Unresolved> {
    let Some(path) = path else { return Ok(content.clone()) };
    let inside = compose::inside(".", path)
        .ok_or_else(|| stall("InvalidSource", format!("spec.source.path: {path:?} leaves the source")))?;
    content.subtree(&inside).map_err(|error| stall("InvalidSource", format!("spec.source.path: {error}")))
}

async fn read_archive(shared: &Shared, service: &DockerService, archive: &ArchiveSource) -> Result<What, Unresolved> {
    let namespace = service.namespace().unwrap_or_default();
    let ArchiveSource { config_map_ref, secret_key_ref } = archive;
    match (config_map_ref, secret_key_ref) {
        (Some(reference), None) => {
            let maps = Api::<ConfigMap>::namespaced(shared.client.clone(), &namespace);
            in_config_map(&maps, reference).await.map(What::Archive)
        }
        (None, Some(SecretKeyRef { name, key })) => {
            let field = "spec.source.archive.secretKeyRef";
            let secrets = Api::<Secret>::namespaced(shared.client.clone(), &namespace);
            let found = secret::read(&secrets, name, field).await??;
            let held = found.data.unwrap_or_default().remove(key);
            held.map(|bytes| What::Archive(bytes.0.into())).ok_or_else(|| lacks_key(field, "Secret", name, key))
        }
        (Some(_), Some(_)) | (None, None) => Err(stall(
            "InvalidSpec",
            "spec.source.archive: give exactly one of configMapRef and secretKeyRef".to_owned(),
        )),
    }
}

async fn in_config_map(maps: &Api<ConfigMap>, reference: &ConfigMapKeyRef) -> Result<Bytes, Unresolved> {
    let field = "spec.source.archive.configMapRef";
    let ConfigMapKeyRef { name, key } = reference;
    let found = match maps.get_opt(name).await {
        // An administrator may have narrowed the operator's rights to some namespaces.
        Err(kube::Error::Api(status)) if status.is_forbidden() => {
            let message = format!("{field}: {}; waiting until that is granted", status.message);
            return Err(wait("DependencyForbidden", message));
        }
        found => found?,
    };
    let Some(found) = found else {
        let message = format!("{field}: there is no ConfigMap {name}; waiting until it is created");
        return Err(wait("DependencyNotFound", message));
    };
    let held = found.binary_data.unwrap_or_default().remove(key);
    held.map(|bytes| bytes.0.into()).ok_or_else(|| lacks_key(field, "ConfigMap", name, key))
}

fn lacks_key(field: &str, kind: &str, name: &str, key: &str) -> Unresolved {
    wait("DependencyNotFound", format!("{field}: {kind} {name} has no binary data under {key}; waiting until it has"))
}
