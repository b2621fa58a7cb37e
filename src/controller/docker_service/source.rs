//! The source of a service: what its spec asks for, and what was fetched of it.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, ResourceExt, runtime::reflector::ObjectRef};
use reqwest::Url;
use secrecy::SecretString;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{
    api::{
        self, DockerService,
        common::{NameRef, SecretKeyRef},
        docker_service::{ArchiveSource, ConfigMapKeyRef, FETCH_AT, GitSource, Source, SourceStatus},
    },
    artifacts::Artifact,
    controller::{
        Shared,
        secret::{self, text},
        sources::{self, Asked, Download, Failure, Fetched, Sight, What},
        turns::Share,
        unresolved::{Unresolved, stall, wait},
    },
    docker::{
        compose,
        content::{
            Content, Limits,
            fetch::{
                git::{self, Credentials, GitUrl, Reference, SshAccess},
                http::Basic,
            },
        },
    },
    reason::Reason,
};

/// The word for a source that is on its way.
pub const FETCHING: &str = "Fetching";
/// How often a repository is asked whether there is something newer, where nobody says.
const INTERVAL: Duration = Duration::from_secs(600);
/// The most often that it is asked.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(30);

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
    let Source { git, archive, path, persistent_paths: _ } = source;
    let request = service.annotations().get(FETCH_AT).cloned();
    let reader = Reader::new(shared, service);
    let (what, interval) = match (git, archive) {
        (Some(git), None) => {
            let interval = git.interval.map_or(INTERVAL, Duration::from).max(SHORTEST_INTERVAL);
            (reader.git(git, limits).await?, Some(interval))
        }
        (None, Some(archive)) => (reader.archive(archive).await?, None),
        (Some(_), Some(_)) | (None, None) => {
            return Err(stall("InvalidSpec", "spec.source: give exactly one of git and archive"));
        }
    };
    let fingerprint = fingerprint(&(git, archive, format!("{limits:?}")), &what);
    let share =
        Share { namespace: service.namespace().unwrap_or_default(), user: service.labels().get(api::USER).cloned() };
    let asked = Asked { share, what, limits, fingerprint, request, interval };
    let (services, object) = (shared.services.clone(), ObjectRef::from_obj(service));
    let uid = service.uid().unwrap_or_default();
    match shared.sources.see(&uid, asked, move || services.wake(object)) {
        Sight::Fetching => Err(wait(FETCHING, "the source is being fetched")),
        Sight::Failed(Failure { reason: Reason { word, message }, for_good }) => {
            let message = format!("spec.source: {message}");
            Err(if for_good { stall(&word, message) } else { wait(&word, message) })
        }
        Sight::Ready { fetched, trouble, due, request } => {
            let Fetched { content, revision, notes } = &*fetched;
            let content = root(content, path.as_deref())?;
            let (digest, notes) = (content.digest().to_owned(), notes.clone());
            let status = SourceStatus { revision: revision.clone(), digest, notes, fetched_at: request };
            Ok(Supplied { content, status, trouble, due })
        }
    }
}

/// Tells what is asked for from all else, by what the spec says and by what Secrets hold.
fn fingerprint(spec: &impl Serialize, what: &What) -> String {
    let mut hash = Sha256::new();
    hash.update(serde_json::to_vec(spec).unwrap_or_default());
    match what {
        What::Archive { bytes, sha256: _ } => hash.update(bytes),
        What::Download(download) => {
            let Download { url: _, sha256: _, credentials, ca } = &**download;
            hash.update(credentials.as_ref().map(Basic::fingerprint).unwrap_or_default());
            hash.update(ca.as_deref().unwrap_or_default());
        }
        // The spec says which.
        What::Artifact(_) => {}
        What::Git(request, _) => hash.update(request.mirror()),
    }
    hex::encode(hash.finalize())
}

/// What counts as the source's root.
fn root(content: &Content, path: Option<&str>) -> Result<Content, Unresolved> {
    let Some(path) = path else { return Ok(content.clone()) };
    let inside = compose::inside(".", path)
        .ok_or_else(|| stall("InvalidSource", format!("spec.source.path: {path:?} leaves the source")))?;
    content.subtree(&inside).map_err(|error| stall("InvalidSource", format!("spec.source.path: {error}")))
}

/// Reads what a source refers to, in the service's namespace.
struct Reader<'a> {
    service: &'a DockerService,
    secrets: Api<Secret>,
    maps: Api<ConfigMap>,
}

impl<'a> Reader<'a> {
    fn new(shared: &Shared, service: &'a DockerService) -> Self {
        let namespace = service.namespace().unwrap_or_default();
        let secrets = Api::namespaced(shared.client.clone(), &namespace);
        Self { service, secrets, maps: Api::namespaced(shared.client.clone(), &namespace) }
    }

    async fn git(&self, git: &GitSource, content: Limits) -> Result<What, Unresolved> {
        let GitSource { url, branch, tag, commit, version, submodules, secret_ref, interval: _ } = git;
        let url = GitUrl::parse(url, false)
            .map_err(|error| stall("InvalidSource", format!("spec.source.git.url: {error}")))?;
        let field = "spec.source.git.secretRef";
        let secret = self.secret(secret_ref.as_ref(), field).await?;
        let credentials = match (&url, &secret) {
            (_, None) => Credentials::None,
            (GitUrl::Http(_), Some(secret)) => basic(secret).map_or(Credentials::None, Credentials::Basic),
            (GitUrl::Ssh(_), Some(secret)) => Credentials::Ssh(SshAccess {
                private_key: SecretString::from(secret::value(secret, "ssh-privatekey", field)?),
                known_hosts: secret::value(secret, "known_hosts", field)?,
            }),
        };
        let reference = match (branch, tag, commit, version) {
            (Some(branch), _, _, _) => Reference::Branch(branch.clone()),
            (_, Some(tag), _, _) => Reference::Tag(tag.clone()),
            (_, _, Some(commit), _) => Reference::Commit(commit.clone()),
            (_, _, _, Some(range)) => Reference::Version(range.clone()),
            (None, None, None, None) => Reference::Default,
        };
        let ca = secret.as_ref().and_then(authority);
        let submodules = *submodules;
        let request = git::Request { url, reference, submodules, credentials, ca, allow_insecure: false, content };
        let known = self.service.status.as_ref().and_then(|status| status.source.as_ref());
        Ok(What::Git(Box::new(request), known.and_then(|known| sources::known(&known.revision))))
    }

    async fn archive(&self, archive: &ArchiveSource) -> Result<What, Unresolved> {
        let ArchiveSource { url, sha256, secret_ref, config_map_ref, secret_key_ref, artifact } = archive;
        let sha256 = sha256.clone();
        match (url, config_map_ref, secret_key_ref, artifact) {
            (Some(url), None, None, None) => self.download(url, sha256, secret_ref.as_ref()).await,
            (None, Some(reference), None, None) => self.in_config_map(reference, sha256).await,
            (None, None, Some(SecretKeyRef { name, key }), None) => {
                let field = "spec.source.archive.secretKeyRef";
                let found = secret::read(&self.secrets, name, field).await??;
                let held = found.data.unwrap_or_default().remove(key);
                let held = held.ok_or_else(|| lacks_key(field, "Secret", name, key))?;
                Ok(What::Archive { bytes: held.0.into(), sha256 })
            }
            (None, None, None, Some(artifact)) => {
                let namespace = self.service.namespace().unwrap_or_default();
                Ok(What::Artifact(Artifact { namespace, sha256: artifact.clone() }))
            }
            _ => {
                let message = "spec.source.archive: give exactly one of url, configMapRef, secretKeyRef and artifact";
                Err(stall("InvalidSpec", message))
            }
        }
    }

    async fn download(&self, url: &str, sha256: Option<String>, secret: Option<&NameRef>) -> Result<What, Unresolved> {
        let field = "spec.source.archive.url";
        let url: Url = url.parse().map_err(|error| stall("InvalidSource", format!("{field}: {error}")))?;
        if url.scheme() != "https" || !url.username().is_empty() || url.password().is_some() {
            let remedy = "use https://, and name a Secret by secretRef if the server asks who you are";
            return Err(stall("InvalidSource", format!("{field}: {remedy}")));
        }
        let Some(sha256) = sha256 else {
            return Err(stall("InvalidSpec", "spec.source.archive.sha256: an archive by url needs it"));
        };
        let secret = self.secret(secret, "spec.source.archive.secretRef").await?;
        let (credentials, ca) = (secret.as_ref().and_then(basic), secret.as_ref().and_then(authority));
        Ok(What::Download(Box::new(Download { url, sha256, credentials, ca })))
    }

    async fn in_config_map(&self, reference: &ConfigMapKeyRef, sha256: Option<String>) -> Result<What, Unresolved> {
        let field = "spec.source.archive.configMapRef";
        let ConfigMapKeyRef { name, key } = reference;
        let found = match self.maps.get_opt(name).await {
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
        let held = held.ok_or_else(|| lacks_key(field, "ConfigMap", name, key))?;
        Ok(What::Archive { bytes: held.0.into(), sha256 })
    }

    async fn secret(&self, reference: Option<&NameRef>, field: &str) -> Result<Option<Secret>, Unresolved> {
        match reference {
            Some(reference) => Ok(Some(secret::read(&self.secrets, &reference.name, field).await??)),
            None => Ok(None),
        }
    }
}

/// Who we are to a server, if a Secret says so: a user and a password, or a token in place of the password.
fn basic(secret: &Secret) -> Option<Basic> {
    let password = text(secret, "password").or_else(|| text(secret, "token"))?;
    let user = text(secret, "username").unwrap_or_else(|| "git".to_owned());
    Some(Basic { user: user.trim().to_owned(), password: password.trim_end_matches(['\n', '\r']).to_owned().into() })
}

fn authority(secret: &Secret) -> Option<String> {
    text(secret, "ca.crt")
}

fn lacks_key(field: &str, kind: &str, name: &str, key: &str) -> Unresolved {
    wait("DependencyNotFound", format!("{field}: {kind} {name} has no binary data under {key}; waiting until it has"))
}
