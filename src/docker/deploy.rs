//! From a resolved project to what decisions need of it, with a hash of everything that containers, networks and volumes
//! are made from.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{
    compose::model::{
        Build, Deploy, FileGrant, FileObject, Mount, MountKind, Namespace, Project, PullPolicy, Restart, Service,
        VolumesFrom, VolumesFromSource,
    },
    content::Content,
    delivery::Delivery,
    desired::{self, Deployment, Fetch, State},
    engine::{InvalidReference, Reference},
    identity::{self, Owner},
};

/// How long a new container may take to become healthy, unless its own health check says that it takes longer.
const HEALTH_DEADLINE: SignedDuration = SignedDuration::from_mins(5);

/// Why a project cannot be deployed.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Undeployable {
    /// The image of a service is no reference.
    #[error("{at}: services.{service}.image: {invalid}")]
    Image {
        /// The file and line.
        at: String,
        /// The service.
        service: String,
        /// What is wrong.
        invalid: InvalidReference,
    },
}

/// So much of a namespace and a name is shown in that of the project.
const LONGEST_NAME: usize = 40;
/// So many digits of a hash tell two projects apart whose names begin alike.
const HASH: usize = 12;

/// The project's name of an object: its namespace and name, and a hash that no other object's has.
pub fn project_name(owner: &Owner) -> String {
    let Owner { installation, namespace, name, uid: _, formerly: _ } = owner;
    let plain = |letter: char| if letter.is_ascii_lowercase() || letter.is_ascii_digit() { letter } else { '-' };
    let shown: String = format!("{namespace}-{name}").chars().map(plain).take(LONGEST_NAME).collect();
    let hash = identity::hash([installation.as_str(), namespace, name]);
    format!("{}-{}", shown.trim_matches('-'), hash.get(..HASH).unwrap_or(&hash))
}

/// What decisions need of a project.
///
/// # Errors
/// What of the project no engine can do.
pub fn deployment(
    project: &Project,
    delivery: &Delivery,
    owner: &Owner,
    state: State,
    restart: Option<String>,
) -> Result<Deployment, Undeployable> {
    let hasher = Hasher { salt: &owner.installation };
    let services: BTreeMap<String, desired::Service> = project
        .services
        .iter()
        .map(|(name, service)| Ok((name.clone(), of_service(&hasher, project, delivery, name, service)?)))
        .collect::<Result<_, _>>()?;
    let used = |of: fn(&desired::Service) -> &BTreeSet<String>| -> BTreeSet<&String> {
        services.values().flat_map(of).collect()
    };
    let (networks, volumes) = (used(|service| &service.networks), used(|service| &service.volumes));
    let networks = project.networks.iter().filter(|(key, _)| networks.contains(key)).map(|(key, network)| {
        let desired = desired::Network {
            name: network.name.clone(),
            external: network.external,
            config: hasher.of(network),
            proxy: network.labels.get(identity::PROXY).filter(|proxy| !proxy.is_empty()).cloned(),
        };
        (key.clone(), desired)
    });
    let volumes = project.volumes.iter().filter(|(key, _)| volumes.contains(key)).map(|(key, volume)| {
        let desired = desired::Volume {
            name: volume.name.clone(),
            external: volume.external,
            config: hasher.of(volume),
            content: volume.labels.contains_key(identity::CONTENT),
        };
        (key.clone(), desired)
    });
    // What is mounted is in the project already: volumes are named after their content.
    let contexts: Vec<_> = delivery.contexts.iter().map(|(name, context)| (name, context.digest())).collect();
    Ok(Deployment {
        project: project.name.clone(),
        release: hasher.of(&(project, contexts)),
        state,
        restart,
        health_deadline: health_deadline(project),
        rollback: true,
        returning: false,
        networks: networks.collect(),
        volumes: volumes.collect(),
        services,
    })
}

fn of_service(
    hasher: &Hasher<'_>,
    project: &Project,
    delivery: &Delivery,
    name: &str,
    service: &Service,
) -> Result<desired::Service, Undeployable> {
    let image = service.image.clone().unwrap_or_else(|| format!("{}-{name}", project.name));
    let image: Reference = image.parse().map_err(|invalid| Undeployable::Image {
        at: service.at.of("image").to_string(),
        service: name.to_owned(),
        invalid,
    })?;
    let mounted = service.volumes.iter().filter_map(|mount| match &mount.kind {
        MountKind::Volume { source, .. } => source.clone(),
        MountKind::Bind { .. } | MountKind::Tmpfs { .. } | MountKind::Image { .. } => None,
    });
    let lives_in = [&service.network_mode, &service.ipc, &service.pid].into_iter().flatten();
    let mounts_of = service.volumes_from.iter().filter_map(|VolumesFrom { source, .. }| match source {
        VolumesFromSource::Service(service) => Some(service.clone()),
        VolumesFromSource::Container(_) => None,
    });
    Ok(desired::Service {
        replicas: service.replicas(),
        container_name: service.container_name.clone(),
        image: image.to_string(),
        fetch: fetch(hasher, project, delivery.contexts.get(name), service),
        config: config(hasher, project, service),
        networks: service.networks.keys().cloned().collect(),
        volumes: mounted.collect(),
        lives_in: lives_in
            .filter_map(|namespace| match namespace {
                Namespace::Service(service) => Some(service.clone()),
                _ => None,
            })
            .collect(),
        mounts_of: mounts_of.collect(),
        depends_on: service.depends_on.clone(),
        restart: service.restarts().unwrap_or(Restart::No),
        post_start: !service.post_start.is_empty(),
    })
}

fn fetch(hasher: &Hasher<'_>, project: &Project, context: Option<&Content>, service: &Service) -> Fetch {
    let build = |build: &Build| {
        let context = context.map(Content::digest);
        Fetch::Build(hasher.of(&(build, files(&build.secrets, &project.secrets), context)))
    };
    match (&service.pull_policy, &service.build) {
        (Some(PullPolicy::Never), _) => Fetch::Never,
        (Some(PullPolicy::Always), _) => Fetch::Always,
        (Some(PullPolicy::Every(period)), _) => {
            Fetch::Every(SignedDuration::try_from(*period).unwrap_or(SignedDuration::MAX))
        }
        (Some(PullPolicy::Build | PullPolicy::Missing) | None, Some(built)) => build(built),
        (Some(PullPolicy::Build | PullPolicy::Missing) | None, None) => Fetch::Missing,
    }
}

/// A hash of what the containers of a service are made from: not how many there are, nor when and in which order.
fn config(hasher: &Hasher<'_>, project: &Project, service: &Service) -> String {
    let made_from = Service {
        build: None,
        pull_policy: None,
        scale: None,
        depends_on: BTreeMap::new(),
        profiles: Vec::new(),
        attach: None,
        post_start: Vec::new(),
        pre_stop: Vec::new(),
        deploy: service.deploy.clone().map(|deploy| Deploy { replicas: None, ..deploy }),
        ..service.clone()
    };
    let networks: Vec<_> =
        service.networks.keys().filter_map(|key| Some((key, &project.networks.get(key)?.name))).collect();
    let named = service.volumes.iter().filter_map(|Mount { kind, .. }| match kind {
        MountKind::Volume { source: Some(key), .. } => Some((key, &project.volumes.get(key)?.name)),
        _ => None,
    });
    let files = (files(&service.configs, &project.configs), files(&service.secrets, &project.secrets));
    hasher.of(&(made_from, networks, named.collect::<Vec<_>>(), files))
}

/// What the files that are granted hold, each as a hash.
fn files<'a>(grants: &'a [FileGrant], all: &BTreeMap<String, FileObject>) -> Vec<(&'a str, String)> {
    let content = |grant: &'a FileGrant| Some((grant.source.as_str(), digest(&all.get(&grant.source)?.content)));
    grants.iter().filter_map(content).collect()
}

/// The longest that a health check of the project says it takes, and half as much again.
fn health_deadline(project: &Project) -> SignedDuration {
    let checks = project.services.values().filter_map(|service| service.healthcheck.as_ref());
    let longest = checks.map(|check| {
        let given = |duration: Option<std::time::Duration>, otherwise: u64| {
            duration.unwrap_or(std::time::Duration::from_secs(otherwise))
        };
        let round = given(check.interval, 30).saturating_add(given(check.timeout, 30));
        given(check.start_period, 0).saturating_add(round.saturating_mul(check.retries.unwrap_or(3).saturating_add(1)))
    });
    let longest = longest.max().unwrap_or_default();
    let longest = longest.saturating_add(longest / 2);
    SignedDuration::try_from(longest).unwrap_or(SignedDuration::MAX).max(HEALTH_DEADLINE)
}

/// Makes hashes that tell two versions of something apart. They are shown, and values of Secrets are part of what they are
/// made from: without the salt, which tenants do not see, nobody can try out what the values may be.
struct Hasher<'a> {
    salt: &'a str,
}

impl Hasher<'_> {
    /// Of plain data: maps are sorted, and positions are no part of it.
    fn of<T: Serialize>(&self, value: &T) -> String {
        // The model is always written.
        digest(&serde_json::to_vec(&(self.salt, value)).unwrap_or_default())
    }
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::compose;

    fn owner() -> Owner {
        Owner {
            installation: "i".into(),
            namespace: "shop".into(),
            name: "web".into(),
            uid: "1".into(),
            formerly: BTreeSet::new(),
        }
    }

    fn of(text: &str) -> Deployment {
        let sources = compose::Sources::inline("compose.yaml", text);
        let request = compose::Request {
            sources: &sources,
            files: &["compose.yaml".to_owned()],
            variables: &BTreeMap::new(),
            profiles: &[],
            name: "p",
        };
        let project = compose::load(request).unwrap_or_else(|problems| panic!("{problems}")).project;
        deployment(&project, &Delivery::default(), &owner(), State::Running, None).unwrap()
    }

    #[test]
    fn a_container_is_made_anew_for_what_it_is_made_from_only() {
        let before =
            of("services: {web: {image: nginx, environment: {A: a}, configs: [c]}}\nconfigs: {c: {content: x}}");
        for (text, same) in [
            (
                "services: {web: {image: nginx, environment: {A: a}, configs: [c], scale: 3}}\nconfigs: {c: {content: x}}",
                true,
            ),
            (
                "services: {web: {image: nginx, environment: {A: a}, configs: [c], pull_policy: always}}\nconfigs: {c: {content: x}}",
                true,
            ),
            ("services: {web: {image: nginx, environment: {A: b}, configs: [c]}}\nconfigs: {c: {content: x}}", false),
            ("services: {web: {image: nginx, environment: {A: a}, configs: [c]}}\nconfigs: {c: {content: y}}", false),
            (
                "services: {web: {image: nginx, environment: {A: a}, configs: [c], user: '1'}}\nconfigs: {c: {content: x}}",
                false,
            ),
        ] {
            let after = of(text);
            assert_eq!(after.services["web"].config == before.services["web"].config, same, "{text}");
            assert_ne!(after.release, before.release, "it is another release: {text}");
        }
    }

    #[test]
    fn only_what_services_use_is_made() {
        let deployment = of(
            "services: {web: {image: nginx, volumes: ['data:/d'], networks: [a]}, side: {image: nginx, network_mode: service:web}}
volumes: {data: {}, unused: {}}
networks: {a: {}, b: {}}",
        );
        assert_eq!(deployment.volumes.keys().collect::<Vec<_>>(), ["data"]);
        assert_eq!(deployment.networks.keys().collect::<Vec<_>>(), ["a"]);
        assert_eq!(deployment.services["web"].image, "nginx:latest");
        assert_eq!(deployment.services["side"].lives_in, BTreeSet::from(["web".to_owned()]));
    }

    #[test]
    fn how_an_image_gets_to_the_host_is_said_by_its_policy_and_its_build() {
        let fetch = |service: &str| of(&format!("services: {{web: {{{service}}}}}")).services["web"].fetch.clone();
        assert_eq!(fetch("image: nginx"), Fetch::Missing);
        assert_eq!(fetch("image: nginx, pull_policy: always"), Fetch::Always);
        assert_eq!(fetch("image: nginx, pull_policy: never"), Fetch::Never);
        assert_eq!(fetch("image: nginx, pull_policy: daily"), Fetch::Every(SignedDuration::from_hours(24)));
        assert!(matches!(fetch("build: {context: ., dockerfile_inline: FROM scratch}"), Fetch::Build(_)));
    }

    #[test]
    fn a_projects_name_tells_objects_apart_whose_names_run_together() {
        let name = |namespace: &str, name: &str| {
            project_name(&Owner { namespace: namespace.into(), name: name.into(), ..owner() })
        };
        assert_ne!(name("a-b", "c"), name("a", "b-c"));
        assert!(name("shop", "web.site").starts_with("shop-web-site-"));
        assert!(name(&"n".repeat(63), &"x".repeat(253)).len() <= LONGEST_NAME + 1 + HASH);
    }
}
