//! What Kubernetes drives: a reconciler for each kind, and the wiring that they share.

mod artifacts;
mod docker_host;
mod docker_policy;
mod docker_service;
mod docks;
mod events;
mod finalizer;
mod fleet;
mod hold;
pub mod import;
mod installation;
pub mod lease;
mod ledger;
mod pace;
mod paused;
mod policy;
mod proxmox_cluster;
mod proxmox_vm;
mod registries;
mod resting;
mod run;
mod secret;
mod sessions;
mod settings;
mod sources;
mod start;
mod status;
mod turns;
mod unresolved;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::{
    Client,
    runtime::events::{Recorder, Reporter},
};
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use self::{
    docks::{Berths, Docks},
    fleet::Fleets,
    hold::Leaving,
    lease::{Elector, Lost, Terms},
    ledger::Ledger,
    run::{Reconciler, Waker, Wakes, Wiring},
    sources::{Places, Sources},
};
use crate::{
    api::{DockerHost, DockerService, ProxmoxCluster, ProxmoxVM},
    docker::content::fetch::Networks,
    kubernetes::{self, describe},
    telemetry::{Sample, Telemetry},
};

pub use settings::{Election, Settings};

/// The name under which the operator reports events.
const REPORTER: &str = "cloudfaster-controller";
/// How long reconciles that are under way may take to end after the signal to stop; the rest is cut off, which does no
/// more harm than a crash. With what else the end takes, it is less than the 30 s that Kubernetes gives.
const DRAIN: Duration = Duration::from_secs(20);

/// Why the controller ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another may lead.
    #[error("stopped at once: {0}")]
    Lost(#[from] Lost),
    /// A controller ended by itself.
    #[error("the controller of {0} ended")]
    Ended(&'static str),
}

/// What the reconcilers share.
pub(crate) struct Shared {
    client: Client,
    operator_namespace: String,
    installation: String,
    fleets: Fleets,
    leaving: Leaving,
    ledger: Ledger,
    recorder: Recorder,
    machines: Waker<ProxmoxVM>,
    clusters: Waker<ProxmoxCluster>,
    docks: Docks,
    berths: Berths,
    hosts: Waker<DockerHost>,
    services: Waker<DockerService>,
    sources: Sources,
}

/// Runs the reconcilers until `shutdown`, or until one of them ends; with `terms`, while this process leads. What is
/// missing at the start is waited for, and a Kubernetes that does not answer is asked again for as long as it takes.
///
/// # Errors
/// When it leads no longer, or a part of it ended by itself. When it was told to stop, it ends without an error.
pub async fn run(
    settings: Settings,
    client: Client,
    telemetry: Telemetry,
    terms: Option<Terms>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let running = telemetry.health.check("running");
    running.pass();
    let watch_over = async {
        shutdown.cancelled().await;
        running.fail("it was told to stop");
        std::future::pending::<()>().await;
    };
    tokio::select! {
        done = elected(settings, client, &telemetry, terms, &shutdown) => done,
        () = watch_over => Ok(()),
    }
}

async fn elected(
    settings: Settings,
    client: Client,
    telemetry: &Telemetry,
    terms: Option<Terms>,
    shutdown: &CancellationToken,
) -> Result<(), Error> {
    let unbound = kubernetes::observed(client.clone(), telemetry, || true);
    // One that could not do the work does not stand by for it either.
    let known = start::until_done(telemetry, "definitions", || start::definitions(&unbound));
    if shutdown.run_until_cancelled(known).await.is_none() {
        return Ok(());
    }
    let Some(terms) = terms else {
        telemetry.metrics.leads(true);
        return reconcile(settings, unbound, telemetry, shutdown).await;
    };
    let identity = lease::identity();
    let mut elector = Elector::new(unbound, &settings.operator_namespace, identity, terms, telemetry);
    if shutdown.run_until_cancelled(elector.acquire()).await.is_none() {
        // It may have been acquired just now.
        elector.release().await;
        return Ok(());
    }
    let reign = elector.reign();
    let client = kubernetes::observed(client, telemetry, move || reign.is_current());
    tokio::select! {
        biased;
        lost = elector.hold() => Err(lost.into()),
        done = reconcile(settings, client, telemetry, shutdown) => {
            elector.release().await;
            done
        }
    }
}

/// Runs the controller of a kind beside the others.
fn spawn<R: Reconciler>(
    tasks: &mut JoinSet<&'static str>,
    wiring: &Arc<Wiring>,
    kind: &'static str,
    reconciler: R,
    wakes: Wakes<R::Kind>,
) {
    let wiring = wiring.clone();
    tasks.spawn(async move {
        run::run(&wiring, kind, Arc::new(reconciler), wakes).await;
        kind
    });
}

/// Reconciles until it is told to stop. When this is dropped, everything ends at once.
async fn reconcile(
    settings: Settings,
    client: Client,
    telemetry: &Telemetry,
    shutdown: &CancellationToken,
) -> Result<(), Error> {
    let Settings { operator_namespace, installation, cache_dir, source_networks, artifacts } = settings;
    // What reconciles work with outlasts them.
    let inventories = CancellationToken::new();
    let _ended = inventories.clone().drop_guard();
    let acts = inventories.clone();
    let fetches = inventories.clone();
    let (machines, machine_wakes) = Waker::new();
    let (clusters, cluster_wakes) = Waker::new();
    let (hosts, host_wakes) = Waker::new();
    let (services, service_wakes) = Waker::new();
    let begun = async {
        let installation = match installation {
            Some(id) => id,
            None => {
                let ensured = || async {
                    let ensured = installation::ensure(client.clone(), &operator_namespace).await;
                    ensured.map_err(|error| error.to_string())
                };
                start::until_done(telemetry, "installation", ensured).await
            }
        };
        tracing::info!(installation, operator_namespace, "controller starts");
        let places =
            Places { cache: cache_dir, networks: Networks { allowed: source_networks }, artifacts: artifacts.clone() };
        let reporter = Reporter { controller: REPORTER.to_owned(), instance: None };
        let shared = Arc::new(Shared {
            recorder: Recorder::new(client.clone(), reporter),
            fleets: Fleets::new(inventories.clone(), "ClusterNotReady"),
            docks: Docks::new(inventories, "HostNotReady"),
            berths: Berths::default(),
            leaving: Leaving::default(),
            ledger: Ledger::default(),
            client: client.clone(),
            operator_namespace,
            installation,
            machines,
            clusters,
            hosts,
            services,
            sources: Sources::new(places, fetches),
        });
        // What any object has recorded is known before the first one is given a VMID.
        let filled = || async { proxmox_vm::fill_ledger(&shared).await.map_err(|error| describe(&error)) };
        start::until_done(telemetry, "ledger", filled).await;
        // What is on a host is known before it may go.
        let filled = || async { docker_service::fill_berths(&shared).await.map_err(|error| describe(&error)) };
        start::until_done(telemetry, "berths", filled).await;
        shared
    };
    let Some(shared) = shutdown.run_until_cancelled(begun).await else { return Ok(()) };

    let known = Arc::downgrade(&shared);
    telemetry.metrics.sample(move || Some(Sample::Sites(known.upgrade()?.fleets.census(Timestamp::now()))));
    let known = Arc::downgrade(&shared);
    telemetry.metrics.sample(move || Some(Sample::Engines(known.upgrade()?.docks.census())));
    let stop = shutdown.child_token();
    let wiring = Arc::new(Wiring {
        client,
        recorder: shared.recorder.clone(),
        telemetry: telemetry.clone(),
        stop: stop.clone(),
    });
    if let Some(store) = artifacts.clone() {
        let client = wiring.client.clone();
        tokio::spawn(stop.clone().run_until_cancelled_owned(artifacts::keep_swept(client, store)));
    }
    let mut tasks = JoinSet::new();
    let clusters = proxmox_cluster::ClusterReconciler::new(shared.clone(), &telemetry.metrics);
    spawn(&mut tasks, &wiring, "ProxmoxCluster", clusters, cluster_wakes);
    spawn(&mut tasks, &wiring, "ProxmoxVM", proxmox_vm::MachineReconciler::new(shared.clone()), machine_wakes);
    spawn(&mut tasks, &wiring, "DockerHost", docker_host::HostReconciler::new(shared.clone()), host_wakes);
    let services = docker_service::ServiceReconciler::new(shared.clone(), acts);
    spawn(&mut tasks, &wiring, "DockerService", services, service_wakes);
    let first = shutdown.run_until_cancelled(tasks.join_next()).await;
    stop.cancel();
    if timeout(DRAIN, async { while tasks.join_next().await.is_some() {} }).await.is_err() {
        tracing::warn!("not every reconcile ended in time; the rest is cut off");
        tasks.shutdown().await;
    }
    match first {
        Some(ended) if !shutdown.is_cancelled() => Err(Error::Ended(ended.and_then(Result::ok).unwrap_or("a kind"))),
        _ => Ok(()),
    }
}
