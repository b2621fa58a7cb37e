//! What Kubernetes drives: a reconciler for each kind, and the wiring that they share.

mod fleet;
mod installation;
mod ledger;
mod pace;
mod proxmox_cluster;
mod proxmox_vm;
mod run;
mod status;

use std::sync::Arc;

use kube::{
    Client,
    runtime::events::{Recorder, Reporter},
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::{fleet::Fleets, ledger::Ledger, run::Waker};
use crate::api::{ProxmoxCluster, ProxmoxVM};

/// The name under which the operator reports events.
const REPORTER: &str = "cloudfaster-controller";

/// What the controller is told from outside.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    /// Namespace of the operator: its own objects and the administrators' Secrets live there.
    #[arg(long, env = "CLOUDFASTER_NAMESPACE", default_value = "cloudfaster-system")]
    pub operator_namespace: String,
    /// Id of this installation, which the marks of its machines carry. Without it the one that is kept in the ConfigMap
    /// `cloudfaster-installation` holds, made at the first start.
    #[arg(long, env = "CLOUDFASTER_INSTALLATION")]
    pub installation: Option<String>,
}

/// Why the controller ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The installation's id is not to be had.
    #[error("the installation's id: {0}")]
    Installation(#[from] installation::Error),
    /// The objects cannot be listed at the start.
    #[error("the objects cannot be listed: {0}")]
    List(#[source] kube::Error),
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
    ledger: Ledger,
    recorder: Recorder,
    machines: Waker<ProxmoxVM>,
    clusters: Waker<ProxmoxCluster>,
}

/// Runs the reconcilers until `shutdown`, or until one of them ends.
///
/// # Errors
/// When it cannot begin, or when a part of it ended by itself.
pub async fn run(settings: Settings, client: Client, shutdown: CancellationToken) -> Result<(), Error> {
    let Settings { operator_namespace, installation } = settings;
    let installation = match installation {
        Some(id) => id,
        None => installation::ensure(client.clone(), &operator_namespace).await?,
    };
    tracing::info!(installation, operator_namespace, "controller starts");
    let (machines, machine_wakes) = Waker::new();
    let (clusters, cluster_wakes) = Waker::new();
    let reporter = Reporter { controller: REPORTER.to_owned(), instance: None };
    let shared = Arc::new(Shared {
        recorder: Recorder::new(client.clone(), reporter),
        fleets: Fleets::new(shutdown.clone()),
        ledger: Ledger::default(),
        client: client.clone(),
        operator_namespace,
        installation,
        machines,
        clusters,
    });
    // What any object has recorded is known before the first one is given a VMID.
    proxmox_vm::fill_ledger(&shared).await.map_err(Error::List)?;

    let mut tasks = JoinSet::new();
    let stop = shutdown.child_token();
    {
        let reconciler = Arc::new(proxmox_cluster::ClusterReconciler::new(shared.clone()));
        let (client, stop) = (client.clone(), stop.clone());
        tasks.spawn(async move {
            run::run(client, reconciler, cluster_wakes, |_| {}, stop).await;
            "ProxmoxCluster"
        });
    }
    {
        let reconciler = Arc::new(proxmox_vm::MachineReconciler::new(shared.clone()));
        let stop = stop.clone();
        tasks.spawn(async move {
            run::run(client, reconciler, machine_wakes, |_| {}, stop).await;
            "ProxmoxVM"
        });
    }
    let first = tasks.join_next().await.and_then(Result::ok).unwrap_or("a task");
    let ended_by_itself = !shutdown.is_cancelled();
    stop.cancel();
    while tasks.join_next().await.is_some() {}
    if ended_by_itself { Err(Error::Ended(first)) } else { Ok(()) }
}
