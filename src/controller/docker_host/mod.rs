//! Reconciles `DockerHost`: keeps an inventory of its engine running, and reports what it sees.

mod report;
mod settings;

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt, runtime::reflector::ObjectRef};
use parking_lot::Mutex;

use self::report::Seen;
use super::{
    Shared,
    docks::Dock,
    finalizer,
    hold::{self, Holder},
    registries::Registries,
    run::{Error, Kind, Next, Reconciler},
    secret::{self, Problem},
    status,
};
use crate::{
    api::{
        DockerHost, DockerService, PAUSED,
        conditions::{self, Conditioned},
        docker_host::DockerHostStatus,
    },
    docker::engine::{
        Capacity, Engine,
        inventory::{self, Changes, Event},
    },
    reason::Reason,
};

/// How soon a host is asked again that did not answer, or whose Secret is missing or wrong: Secrets are not watched.
const TROUBLE: Duration = Duration::from_secs(5);
/// How often it is asked for its capacity otherwise, and its Secrets are read: credentials are rotated.
const ROTATION: Duration = Duration::from_secs(60);

/// Reconciles `DockerHost`s.
pub struct HostReconciler {
    shared: Arc<Shared>,
    /// Ids of the proxies' containers, by host.
    proxies: Mutex<HashMap<String, String>>,
}

/// The Secrets that a host names.
struct Secrets {
    credentials: Option<Secret>,
    registries: Vec<Secret>,
}

impl Reconciler for HostReconciler {
    type Kind = DockerHost;

    async fn reconcile(&self, host: &DockerHost) -> Result<Next, Error> {
        let deleting = host.metadata.deletion_timestamp.is_some();
        if deleting && !finalizer::is_held(host) {
            return Ok(Next::Event);
        }
        self.advance(host, deleting).await
    }

    fn forget(&self, name: &ObjectRef<DockerHost>) {
        self.shared.docks.remove(&name.name);
        wake_all(&self.shared, &name.name);
    }

    fn pause(&self, host: &DockerHost) {
        let name = host.name_any();
        let reason = Reason::new("HostPaused", format!("it is paused by its annotation {PAUSED}"));
        if self.shared.docks.refuse(&name, reason) {
            wake_all(&self.shared, &name);
        }
    }

    fn phase(host: &DockerHost) -> String {
        conditions::verdict_of(host.conditions()).to_owned()
    }
}

impl Kind for DockerHost {
    fn api(client: &Client, _: &Self) -> Api<Self> {
        Api::all(client.clone())
    }
}

impl Holder for DockerHost {
    fn named(&self) -> Vec<String> {
        let credentials = self.spec.credentials.iter().map(|credentials| &credentials.secret_ref);
        credentials.chain(&self.spec.registry_secrets).map(|reference| reference.name.clone()).collect()
    }

    fn held(&self) -> &[String] {
        self.status.as_ref().map_or(&[], |status| &status.held_secrets)
    }

    fn set_held(&mut self, names: Vec<String>) {
        self.status.get_or_insert_with(report::unobserved).held_secrets = names;
    }
}

impl HostReconciler {
    /// A reconciler of `DockerHost`s.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, proxies: Mutex::default() }
    }

    async fn advance(&self, host: &DockerHost, deleting: bool) -> Result<Next, Error> {
        let name = host.name_any();
        let users = if deleting { self.users(&name).await? } else { Vec::new() };
        if deleting && users.is_empty() && self.let_go(host).await? {
            return Ok(Next::Event);
        }
        let held = finalizer::hold(&self.hosts(), host).await?;
        let host = held.as_ref().unwrap_or(host);
        let secrets = self.secrets(host).await?;
        let host = &match &secrets {
            Ok(Secrets { credentials, registries }) => {
                let Shared { client, operator_namespace, leaving, .. } = &*self.shared;
                let secrets: Vec<&Secret> = credentials.iter().chain(registries).collect();
                hold::hold_secrets(client, operator_namespace, leaving, host, &secrets).await?
            }
            Err(_) => host.clone(),
        };
        let seen = Seen { services: self.shared.berths.held(&name), users: &users };
        let answer = match secrets {
            Ok(secrets) => self.ask(host, &secrets, seen.services).await,
            Err(problem) => Err(Silence::Closed(problem)),
        };
        let changed = host.status.as_ref().map(|status| status.observed_generation) != host.metadata.generation;
        let (status, news, next) = match answer {
            Ok((capacity, started)) => {
                let news = self.has_another_proxy(host).await || changed || started;
                (report::status(host, &capacity, &seen, Timestamp::now()), news, ROTATION)
            }
            Err(silence) => {
                let (problem, closes) = match silence {
                    Silence::Closed(problem) => (problem, true),
                    // What is known of it is kept, and it is listened to as soon as it answers again.
                    Silence::Unanswered(problem) => (problem, self.shared.docks.get(&name).is_err()),
                };
                let news = closes && self.shared.docks.refuse(&name, problem.reason());
                (report::refused(host, &problem, &seen, Timestamp::now()), news || changed, TROUBLE)
            }
        };
        self.write(host, status).await?;
        if news {
            // Tenants, registries: what a service was refused for may be there now.
            wake_all(&self.shared, &name);
        }
        Ok(Next::After(next))
    }

    /// What the engine is and has; and whether it is talked to with these settings only now.
    async fn ask(&self, host: &DockerHost, secrets: &Secrets, services: usize) -> Result<(Capacity, bool), Silence> {
        let name = host.name_any();
        let Secrets { credentials, registries } = secrets;
        let fingerprint = settings::fingerprint(&host.spec, credentials.as_ref(), registries);
        let known = self.shared.docks.current(&name, &fingerprint);
        let engine = match &known {
            Some(dock) => dock.engine.clone(),
            None => {
                let settings = settings::settings(&host.spec, credentials.as_ref()).map_err(Silence::Closed)?;
                Engine::new(&settings).map_err(|error| Silence::Closed(report::unanswered(&error)))?
            }
        };
        let capacity = engine.capacity().await.map_err(|error| Silence::Unanswered(report::unanswered(&error)))?;
        if let Some(problem) = report::unusable(host, &capacity, services) {
            return Err(Silence::Closed(problem));
        }
        if known.is_none() {
            let registries = Registries::read(registries.iter(), "spec.registrySecrets").map_err(Silence::Closed)?;
            tracing::info!(host = name, version = capacity.version, "the engine is listened to");
            let settings = inventory::Settings {
                engine,
                installation: self.shared.installation.clone(),
                image_patterns: Vec::new(),
            };
            let dock = self.shared.docks.start(&name, settings, registries, fingerprint);
            tokio::spawn(follow(self.shared.clone(), dock));
        }
        Ok((capacity, known.is_none()))
    }

    /// Whether the container of the host's proxy is another one than before: that one meets nobody yet.
    async fn has_another_proxy(&self, host: &DockerHost) -> bool {
        let name = host.name_any();
        let container = host.spec.proxy.as_ref().and_then(|proxy| proxy.container.as_ref());
        let (Some(container), Ok(dock)) = (container, self.shared.docks.get(&name)) else { return false };
        // One that cannot be asked just now is asked again.
        let Ok(found) = dock.engine.find_container(container).await else { return false };
        let Some(id) = found.and_then(|found| found.id) else { return false };
        let before = self.proxies.lock().insert(name, id.clone());
        before.is_some_and(|before| before != id)
    }

    /// Nobody uses the host any more: it can go, and its Secrets with it. Whether it went: a service may have come just now.
    async fn let_go(&self, host: &DockerHost) -> Result<bool, Error> {
        let _turn = self.shared.leaving.turn().await;
        let name = host.name_any();
        self.shared.docks.refuse(&name, Reason::new("HostDeleting", "it is being deleted"));
        if self.shared.berths.held(&name) > 0 || !self.users(&name).await?.is_empty() {
            return Ok(false);
        }
        let Shared { client, operator_namespace, .. } = &*self.shared;
        hold::release_secrets(client, operator_namespace, host, host.held()).await?;
        finalizer::release(&self.hosts(), host).await?;
        Ok(true)
    }

    /// The services that hold a host.
    async fn users(&self, name: &str) -> Result<Vec<String>, kube::Error> {
        hold::users(&self.shared.client, |service: &DockerService| service.spec.host_ref.name == name).await
    }

    /// The Secrets that the host names, of the operator's namespace.
    async fn secrets(&self, host: &DockerHost) -> Result<Result<Secrets, Problem>, Error> {
        let api = Api::<Secret>::namespaced(self.shared.client.clone(), &self.shared.operator_namespace);
        let credentials = match &host.spec.credentials {
            Some(credentials) => {
                let name = &credentials.secret_ref.name;
                match secret::read(&api, name, "spec.credentials.secretRef").await? {
                    Ok(secret) => Some(secret),
                    Err(problem) => return Ok(Err(problem)),
                }
            }
            None => None,
        };
        let mut registries = Vec::new();
        for reference in &host.spec.registry_secrets {
            match secret::read(&api, &reference.name, "spec.registrySecrets").await? {
                Ok(secret) => registries.push(secret),
                Err(problem) => return Ok(Err(problem)),
            }
        }
        Ok(Ok(Secrets { credentials, registries }))
    }

    fn hosts(&self) -> Api<DockerHost> {
        Api::all(self.shared.client.clone())
    }

    async fn write(&self, host: &DockerHost, status: DockerHostStatus) -> Result<(), Error> {
        let after = DockerHost { status: Some(status), ..host.clone() };
        status::report(&self.hosts(), &self.shared.hosts, host, &after).await?;
        Ok(())
    }
}

/// Why an engine is not asked, or did not answer.
enum Silence {
    /// It must not be used as it is.
    Closed(Problem),
    /// It may answer later.
    Unanswered(Problem),
}

/// Wakes every service of a host.
fn wake_all(shared: &Shared, host: &str) {
    shared.services.wake_all(shared.berths.of_host(host));
}

/// Wakes what is concerned by each change that the inventory sees, until it ends.
async fn follow(shared: Arc<Shared>, dock: Arc<Dock>) {
    let name = dock.name.clone();
    let inventory = dock.inventory.clone();
    // The dock itself is not held: when it is replaced, its inventory ends, and with it this task.
    drop(dock);
    let mut changes = inventory.subscribe();
    // What was seen before anybody listened.
    wake_all(&shared, &name);
    while let Some(event) = changes.next().await {
        match event {
            Event::Missed => wake_all(&shared, &name),
            Event::Changed(changes) => {
                let Changes { owners, host, images } = &*changes;
                if *host {
                    shared.hosts.wake(ObjectRef::new(&name));
                }
                if *host || *images {
                    wake_all(&shared, &name);
                    continue;
                }
                // The labels of a stranger's container may name anybody: it costs a look, no more.
                let concerned = owners.iter().filter_map(|owner| shared.berths.of_uid(&owner.uid));
                shared.services.wake_all(concerned);
            }
        }
    }
}
