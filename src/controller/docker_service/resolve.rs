//! What an object refers to, and what its spec means: everything that is read from Kubernetes.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};

use super::{
    catalogued::{self, Catalogued},
    convert,
    reached::{self, Doors},
    releases,
    source::{self, Supplied},
    variables::Variables,
};
use crate::{
    api::{
        DockerHost, DockerService,
        docker_service::{self, DeletionPolicy, DockerServiceSpec, ServiceUrls},
        docker_tenant::DockerTenant,
        power::RESTARTED_AT,
    },
    controller::{
        Shared,
        docker_policy::{self, Terms},
        docks::Dock,
        finalizer,
        registries::Registries,
        secret,
        unresolved::{Ground, Unresolved, stall, wait},
    },
    docker::{
        act::Admission,
        compose::{
            self,
            model::{Project, PullPolicy},
        },
        content::Content,
        delivery::{self, Delivery},
        deploy,
        desired::Desired,
        identity::{ADOPT_ANNOTATION, Owner},
        recorded::Recorded,
    },
    proxmox::restart,
    reason::Reason,
};

/// What positions in the inline compose file name.
const FILE: &str = "compose.yaml";
/// What they name in a file that the catalogue made: nobody has it.
const CATALOGUE_FILE: &str = "(made of types)";

/// What an object's reconcile works with.
pub struct World {
    /// Whose things are on the host.
    pub owner: Owner,
    /// What is desired.
    pub desired: Desired,
    /// The project that it comes from, if there is to be one.
    pub project: Option<Arc<Project>>,
    /// What was recorded.
    pub recorded: Recorded,
    /// How its host is reached.
    pub dock: Arc<Dock>,
    /// The address by which people reach the host's ports.
    pub public_address: Option<String>,
    /// Who we are to registries.
    pub registries: Registries,
    /// Which images its containers may be made from.
    pub admission: Option<Admission>,
    /// What nobody is to see.
    pub variables: Variables,
    /// What of its source goes to the host.
    pub delivery: Arc<Delivery>,
    /// Where its files come from, if it has any.
    pub supplied: Option<Supplied>,
    /// What the status tells besides.
    pub told: Told,
}

/// What was resolved and is told in the status.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Where people reach it by name.
    pub urls: Option<ServiceUrls>,
    /// The catalogue's types.
    pub types: Vec<String>,
    /// Secrets with generated passwords.
    pub credentials: Vec<String>,
}

/// Resolves an object.
///
/// # Errors
/// Why there is nothing to do for it.
pub async fn resolve(shared: &Shared, service: &DockerService) -> Result<World, Unresolved> {
    let held = finalizer::is_held(service);
    let deleting = service.metadata.deletion_timestamp.is_some();
    if deleting && !held {
        return Err(Unresolved::Nothing);
    }
    if deleting && service.spec.deletion_policy == DeletionPolicy::Orphan {
        return Err(Unresolved::Orphaned);
    }
    let name = &service.spec.host_ref.name;
    let host = host(shared, service, deleting).await?;
    let owner = owner(shared, service);
    let asked = if deleting {
        Asked::nothing(Desired::Gone(convert::removal(service.spec.deletion_policy)))
    } else if host.metadata.deletion_timestamp.is_some() && !held {
        return Err(wait("HostDeleting", format!("DockerHost {name} is being deleted and takes no new services")));
    } else {
        present(shared, service, &host, &owner).await?
    };
    let Asked { desired, project, registries, admission, variables, delivery, supplied, told } = asked;
    let dock = shared
        .docks
        .get(name)
        .map_err(|reason| wait(&reason.word, format!("DockerHost {name}: {}", reason.message)))?;
    Ok(World {
        owner,
        desired,
        project,
        recorded: recorded(service, held),
        public_address: host.spec.public_address.clone(),
        registries: registries.before(&dock.registries),
        admission,
        variables,
        dock,
        delivery: Arc::new(delivery),
        supplied,
        told,
    })
}

/// What the spec asks for.
struct Asked {
    desired: Desired,
    project: Option<Arc<Project>>,
    registries: Registries,
    admission: Option<Admission>,
    variables: Variables,
    delivery: Delivery,
    supplied: Option<Supplied>,
    told: Told,
}

impl Asked {
    /// Something that needs no project.
    fn nothing(desired: Desired) -> Self {
        Self {
            desired,
            project: None,
            registries: Registries::default(),
            admission: None,
            variables: Variables::default(),
            delivery: Delivery::default(),
            supplied: None,
            told: Told::default(),
        }
    }
}

/// Whose things on the host an object's are.
fn owner(shared: &Shared, service: &DockerService) -> Owner {
    let adopted = service.annotations().get(ADOPT_ANNOTATION);
    Owner {
        installation: shared.installation.clone(),
        namespace: service.namespace().unwrap_or_default(),
        name: service.name_any(),
        uid: service.uid().unwrap_or_default(),
        formerly: adopted.into_iter().flat_map(|uids| uids.split(',')).map(|uid| uid.trim().to_owned()).collect(),
    }
}

/// What the status records. Before the finalizer is set nothing is made, so an object that has it has a record, or lost it.
pub fn recorded(service: &DockerService, held: bool) -> Recorded {
    let status = service.status.clone().unwrap_or_default();
    let lost = held && status.phase.is_none();
    Recorded { lost, ..convert::recorded(&status) }
}

async fn host(shared: &Shared, service: &DockerService, deleting: bool) -> Result<DockerHost, Unresolved> {
    let name = &service.spec.host_ref.name;
    let found = Api::<DockerHost>::all(shared.client.clone()).get_opt(name).await?;
    found.ok_or_else(|| {
        let what = if deleting {
            "; it is needed to remove the containers, so apply it again, or let go of them with deletionPolicy: Orphan"
        } else {
            "; waiting until it is created"
        };
        wait("DependencyNotFound", format!("spec.hostRef: there is no DockerHost {name}{what}"))
    })
}

/// The project that the spec asks for, if its host's administrator allows it.
async fn present(
    shared: &Shared,
    service: &DockerService,
    host: &DockerHost,
    owner: &Owner,
) -> Result<Asked, Unresolved> {
    let DockerServiceSpec {
        host_ref: _,
        compose,
        compose_file,
        types,
        // With the types.
        filebrowser: _,
        source,
        // With the names by which people reach it.
        hostname: _,
        expose,
        env,
        env_from,
        profiles,
        state,
        pull_policy,
        registry_secrets,
        rollout,
        // A matter of its end.
        deletion_policy: _,
        // Shown only.
        user_id: _,
    } = &service.spec;
    let tenant = tenant(shared, service, host).await?;
    let secrets = Api::<Secret>::namespaced(shared.client.clone(), &owner.namespace);
    let mut variables = Variables::read(&secrets, env, env_from).await??;
    let mut registries = Vec::new();
    for (index, reference) in registry_secrets.iter().enumerate() {
        registries.push(secret::read(&secrets, &reference.name, &format!("spec.registrySecrets[{index}]")).await??);
    }
    let registries = Registries::read(registries.iter(), "spec.registrySecrets")?;

    let supplied = match source {
        Some(source) => Some(source::supply(shared, service, source, docker_policy::content_limits(&tenant)).await?),
        None => {
            shared.sources.forget(&owner.uid);
            None
        }
    };
    let content = supplied.as_ref().map(|supplied| supplied.content.clone());
    let project = deploy::project_name(owner);
    let catalogued = match &types[..] {
        [] => None,
        [_, ..] => {
            let url = reached::main_url(service, host.spec.proxy.as_ref(), &tenant)?;
            Some(catalogued::compose(service, &host.spec, url.as_deref(), &secrets, &mut variables).await?)
        }
    };
    let inline = compose.as_deref().map(|text| (FILE, text));
    let inline = inline.or(catalogued.as_ref().map(|made| (CATALOGUE_FILE, made.text.as_str())));
    let (sources, file) = compose_file_of(inline, compose_file.as_deref(), content.clone())?;
    let request =
        compose::Request { sources: &sources, files: &[file], variables: &variables.all, profiles, name: &project };
    let loaded = compose::load(request).map_err(|problems| {
        let told: Vec<_> = problems.to_string().lines().map(str::to_owned).collect();
        stall("InvalidCompose", variables.redact(&told.join("; ")))
    })?;
    let mut resolved = loaded.project;
    if let Some(policy) = pull_policy {
        set_pull_policy(&mut resolved, *policy);
    }
    let terms = Terms::new(&host.spec, &tenant, &project);
    if let Some(reason) = docker_policy::check(&terms, &resolved).reason() {
        let Reason { word, message } = variables.redacted(reason);
        return Err(stall(&word, format!("DockerHost {}: {message}", host.name_any())));
    }
    docker_policy::set_defaults(&tenant, &mut resolved);
    let (doors, types, credentials) = match catalogued {
        Some(Catalogued { text: _, doors, types, credentials }) => (doors, types, credentials),
        None => (Doors::of(expose.as_ref()), Vec::new(), Vec::new()),
    };
    let urls = reached::reach(shared, service, &host.spec, &tenant, doors, &mut resolved)?;
    let persistent = source.as_ref().map(|source| source.persistent_paths.as_slice()).unwrap_or_default();
    let delivery = match &content {
        Some(content) => delivery::take(&mut resolved, content, persistent)
            .map_err(|error| stall("InvalidCompose", variables.redact(&error.to_string())))?,
        None => Delivery::default(),
    };
    let restart = service.annotations().get(RESTARTED_AT).map(|value| restart::value(value));
    let deployment = deploy::deployment(&resolved, &delivery, owner, convert::state(*state), restart)
        .map_err(|error| stall("InvalidCompose", variables.redact(&error.to_string())))?;
    let deployment = convert::rollout(rollout.as_ref(), deployment);
    take_place(shared, service, host, &tenant)?;
    let recorded = recorded(service, finalizer::is_held(service));
    let former = releases::former(&secrets, service, &recorded, &deployment, owner).await?;
    let (project, deployment) = former.unwrap_or_else(|| (Arc::new(resolved), deployment));
    let desired = Desired::Present(Box::new(deployment));
    let admission = Some(docker_policy::admission(&host.spec.reserved_labels, &tenant.allow.unwrap_or_default()));
    let project = Some(project);
    let told = Told { urls, types, credentials };
    Ok(Asked { desired, project, registries, admission, variables, delivery, supplied, told })
}

/// Where the compose file is, and what is beside it.
fn compose_file_of(
    inline: Option<(&str, &str)>,
    path: Option<&str>,
    content: Option<Content>,
) -> Result<(compose::Sources, String), Unresolved> {
    match (inline, path) {
        (Some((file, text)), None) => Ok((compose::Sources::inline(file, text).with_content(content), file.to_owned())),
        (None, Some(path)) if content.is_some() => {
            let inside = compose::inside(".", path)
                .ok_or_else(|| stall("InvalidSpec", format!("spec.composeFile: {path:?} leaves the source")))?;
            Ok((compose::Sources::default().with_content(content), inside))
        }
        (None, Some(_)) => {
            Err(stall("InvalidSpec", "spec.composeFile is a path in spec.source: give that too".to_owned()))
        }
        (Some(_), Some(_)) | (None, None) => {
            Err(stall("InvalidSpec", "spec: give exactly one of compose, composeFile and types".to_owned()))
        }
    }
}

/// The entry of the host's that admits the object's namespace.
async fn tenant(shared: &Shared, service: &DockerService, host: &DockerHost) -> Result<DockerTenant, Unresolved> {
    let name = host.name_any();
    let namespace = service.namespace().unwrap_or_default();
    let ground = Ground { kind: "DockerHost", name: &name, invalid: "InvalidHost" };
    docker_policy::validate(&host.spec).map_err(|error| ground.invalid(error))?;
    Ok(ground.admits(&shared.client, &host.spec.tenants, &namespace).await?.clone())
}

/// Takes one of the places that the object's namespace has on the host.
fn take_place(
    shared: &Shared,
    service: &DockerService,
    host: &DockerHost,
    tenant: &DockerTenant,
) -> Result<(), Unresolved> {
    let most = tenant.limits.as_ref().and_then(|limits| limits.services).and_then(|most| usize::try_from(most).ok());
    shared.berths.admit(&service.uid().unwrap_or_default(), most).map_err(|others| {
        let (name, namespace) = (host.name_any(), service.namespace().unwrap_or_default());
        let most = most.unwrap_or_default();
        stall(
            "TooManyServices",
            format!(
                "DockerHost {name}: the namespace {namespace} has {others} services there, and at most {most} are allowed"
            ),
        )
    })
}

/// What the spec says of pulling, in place of what the file does. What is built is built.
fn set_pull_policy(project: &mut Project, policy: docker_service::PullPolicy) {
    let policy = match policy {
        docker_service::PullPolicy::Always => PullPolicy::Always,
        docker_service::PullPolicy::Missing => PullPolicy::Missing,
        docker_service::PullPolicy::Never => PullPolicy::Never,
    };
    for service in project.services.values_mut().filter(|service| service.build.is_none()) {
        service.pull_policy = Some(policy.clone());
    }
}
