//! The thin REST shim: the old API over custom resources.
//!
//! It keeps nothing: machines are `ProxmoxVM`s, services are `DockerService`s, users and API keys are Secrets, and uploads are in the
//! artifact store. It changes nothing otherwise than by writing
//! those. What it is asked for often it reads from caches that watches keep.

mod access;
mod attempt;
mod cache;
mod change;
mod docs;
mod fault;
mod form;
mod index;
pub mod keys;
mod limits;
mod machines;
mod making;
mod names;
mod patience;
mod places;
mod problem;
mod serve;
mod services;
mod settings;
mod shelf;
mod users;
mod webhooks;

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, core::DeserializeGuard};
use serde::Serialize;
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use self::{
    keys::Keyring, limits::Limits, machines::Machines, places::Places, problem::Problem, services::Services,
    shelf::Shelf,
};
use crate::{
    api::{
        DockerHost, DockerService, ProxmoxCluster, ProxmoxVM, USER,
        conditions::{Conditioned, READY},
    },
    kubernetes,
    telemetry::Telemetry,
};

pub use docs::openapi;
pub use places::LABEL;
pub use serve::{Listener, ServeError};
pub use settings::{NAMESPACE, Settings, USERS_NAMESPACE};

/// How long Kubernetes may take to answer one question; the client itself would try for minutes.
const LIMIT: Duration = Duration::from_secs(10);
/// The caches: machines, clusters, services, hosts, keys.
const CACHES: usize = 5;
/// How long after the shutdown requests wait for what is not to be left half made. It is less than they may take to end.
const LAST_WAIT: Duration = Duration::from_secs(5);
/// How many files are uploaded at the same time.
const UPLOADS: usize = 16;

/// Kubernetes did not answer.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {} s", LIMIT.as_secs())]
struct Silence;

/// What the requests share.
pub struct Shim {
    client: Client,
    settings: Settings,
    telemetry: Telemetry,
    places: Places,
    machines: Machines,
    clusters: Shelf<ProxmoxCluster>,
    services: Services,
    hosts: Shelf<DockerHost>,
    uploads: Semaphore,
    keys: Keyring,
    limits: Limits,
    filled: AtomicUsize,
    /// It is to end: nobody waits for what may as well be asked for later.
    closing: CancellationToken,
    /// It ends in a moment: nobody waits for anything.
    closed: CancellationToken,
}

/// It is done, or being done.
#[derive(Serialize, ToSchema)]
pub struct Done {
    /// `Ok`.
    #[schema(example = "Ok")]
    status: &'static str,
}

impl Default for Done {
    fn default() -> Self {
        Self { status: "Ok" }
    }
}

impl Shim {
    fn new(settings: Settings, client: &Client, telemetry: &Telemetry, closing: CancellationToken) -> Self {
        Self {
            client: kubernetes::observed(client.clone(), telemetry, || true),
            telemetry: telemetry.clone(),
            places: Places::new(&settings),
            machines: Machines::default(),
            clusters: Shelf::default(),
            services: Services::default(),
            hosts: Shelf::default(),
            uploads: Semaphore::new(UPLOADS),
            keys: Keyring::default(),
            limits: Limits::new(settings.rest_requests_per_second),
            filled: AtomicUsize::new(0),
            closing,
            closed: CancellationToken::new(),
            settings,
        }
    }

    /// Asks Kubernetes, and does not wait for long.
    async fn ask<T>(&self, question: impl Future<Output = Result<T, kube::Error>>) -> Result<T, kube::Error> {
        timeout(LIMIT, question).await.unwrap_or_else(|_| Err(kube::Error::Service(Box::new(Silence))))
    }

    /// Whether the caches are filled: before, there is no telling what there is.
    fn filled(&self) -> Result<(), Problem> {
        if self.filled.load(Ordering::Acquire) == CACHES {
            Ok(())
        } else {
            Err(Problem::unavailable("The control plane has not answered yet; try again later"))
        }
    }

    /// The clusters that machines are made on.
    fn clusters(&self) -> Vec<Arc<ProxmoxCluster>> {
        let only = self.settings.rest_cluster.as_deref();
        let all = self.clusters.all().into_iter();
        all.filter(|cluster| cluster.metadata.deletion_timestamp.is_none())
            .filter(|cluster| only.is_none_or(|only| cluster.metadata.name.as_deref() == Some(only)))
            .collect()
    }

    /// The operating systems that there are templates for.
    fn systems(&self) -> Vec<String> {
        let mut known: Vec<String> = self.clusters().iter().flat_map(|cluster| systems(cluster)).collect();
        known.sort();
        known.dedup();
        known
    }

    /// The cluster on which a machine with this operating system is made: one that is Ready, if there is one.
    fn cluster_for(&self, os: &str) -> Result<String, Problem> {
        let mut clusters = self.clusters();
        clusters.retain(|cluster| systems(cluster).any(|name| name == os));
        let ready = clusters.iter().find(|cluster| is_ready(&***cluster));
        let chosen = ready.or(clusters.first()).and_then(|cluster| cluster.metadata.name.clone());
        chosen.ok_or_else(|| Problem::unavailable(format!("No ProxmoxCluster has a template for {os} any more")))
    }

    /// The host on which services are made: one that is Ready, if there is one.
    fn docker_host(&self) -> Result<Arc<DockerHost>, Problem> {
        let only = self.settings.rest_docker_host.as_deref();
        let mut hosts = self.hosts.all();
        hosts.retain(|host| host.metadata.deletion_timestamp.is_none());
        hosts.retain(|host| only.is_none_or(|only| host.metadata.name.as_deref() == Some(only)));
        let ready = hosts.iter().find(|host| is_ready(&***host));
        ready.or(hosts.first()).cloned().ok_or_else(|| match only {
            Some(only) => Problem::unavailable(format!("There is no DockerHost {only} yet")),
            None => Problem::unavailable("There is no DockerHost yet"),
        })
    }

    /// The host of a service, if it is there.
    fn host_of(&self, service: &DockerService) -> Option<Arc<DockerHost>> {
        let name = (String::new(), service.spec.host_ref.name.clone());
        self.hosts.get(&name)
    }

    /// Keeps a cache for as long as it takes.
    async fn keep<K>(&self, api: Api<DeserializeGuard<K>>, selector: &str, cache: impl cache::Cached<K>)
    where
        K: kube::Resource<DynamicType = ()> + serde::de::DeserializeOwned + Clone + std::fmt::Debug + Send + 'static,
    {
        let check = self.telemetry.health.check(format!("rest-cache-{}", K::plural(&())));
        let filled = || {
            check.pass();
            self.filled.fetch_add(1, Ordering::AcqRel);
        };
        cache::keep(api, selector, cache, filled).await;
    }
}

/// The operating systems that a cluster has templates for.
fn systems(cluster: &ProxmoxCluster) -> impl Iterator<Item = String> {
    let nodes = cluster.spec.nodes.iter().flat_map(|node| &node.templates);
    cluster.spec.templates.iter().chain(nodes).map(|template| template.os.clone())
}

fn is_ready(object: &impl Conditioned) -> bool {
    object.conditions().iter().any(|condition| condition.type_ == READY && condition.status == "True")
}

/// Serves the API until `shutdown`.
///
/// # Errors
/// When a part of it ends by itself.
pub async fn run(
    listener: Listener,
    settings: Settings,
    client: Client,
    telemetry: Telemetry,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let shim = Arc::new(Shim::new(settings, &client, &telemetry, shutdown.clone()));
    let mut tasks = JoinSet::new();
    {
        let shim = shim.clone();
        let api = shim.places.api(&shim.client);
        tasks.spawn(async move { shim.keep::<ProxmoxVM>(api, USER, shim.machines.clone()).await });
    }
    {
        let shim = shim.clone();
        let api = shim.places.api(&shim.client);
        // Those that are nobody's, too: they have host names and webhooks.
        tasks.spawn(async move { shim.keep::<DockerService>(api, "", shim.services.clone()).await });
    }
    {
        let shim = shim.clone();
        let api = Api::all(shim.client.clone());
        tasks.spawn(async move { shim.keep::<DockerHost>(api, "", shim.hosts.clone()).await });
    }
    {
        let shim = shim.clone();
        let api = Api::all(shim.client.clone());
        tasks.spawn(async move { shim.keep::<ProxmoxCluster>(api, "", shim.clusters.clone()).await });
    }
    {
        let shim = shim.clone();
        let api = Api::namespaced(shim.client.clone(), &shim.settings.rest_namespace);
        tasks.spawn(async move { shim.keep::<Secret>(api, keys::LABEL, shim.keys.clone()).await });
    }
    let closed = {
        let shim = shim.clone();
        async move {
            shim.closing.cancelled().await;
            sleep(LAST_WAIT).await;
            shim.closed.cancel();
            std::future::pending().await
        }
    };
    tokio::select! {
        served = listener.serve(shim, shutdown) => served,
        () = closed => Ok(()),
        _ = tasks.join_next() => Err(ServeError::Watch),
    }
}
