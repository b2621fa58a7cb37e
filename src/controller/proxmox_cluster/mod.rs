//! Reconciles `ProxmoxCluster`: keeps an inventory running for each, and reports what it sees.

mod report;
mod settings;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt, runtime::reflector::ObjectRef};

use self::settings::Problem;
use super::{
    Shared, describe,
    fleet::Fleet,
    run::{Kind, Next, Reconciler, Waker},
    status,
};
use crate::{
    api::{
        PAUSED, ProxmoxCluster, ProxmoxVM,
        conditions::{READY, RECONCILING, STALLED},
    },
    proxmox::{
        client::{Exchange, Observer},
        inventory::{Changes, Event},
        plan::Reason,
    },
    telemetry::Metrics,
};

/// How soon a Secret that is missing or wrong is read again: Secrets are not watched.
const SECRET: Duration = Duration::from_secs(5);
/// How often the Secret is read otherwise: credentials are rotated.
const ROTATION: Duration = Duration::from_secs(60);

/// Why a reconcile failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Kubernetes cannot be asked.
    #[error("Kubernetes: {}", describe(.0))]
    Kubernetes(#[from] kube::Error),
}

/// Reconciles `ProxmoxCluster`s.
pub struct ClusterReconciler {
    shared: Arc<Shared>,
    /// Told of each exchange with Proxmox.
    observer: Observer,
}

impl Reconciler for ClusterReconciler {
    type Kind = ProxmoxCluster;
    type Error = Error;

    async fn reconcile(&self, cluster: &ProxmoxCluster) -> Result<Next, Error> {
        let name = cluster.name_any();
        let fleet = match self.connect(cluster).await? {
            Ok(fleet) => fleet,
            Err(problem) => {
                let news = self.refuse(&name, problem.reason());
                self.write(cluster, report::refused(cluster, &problem, Timestamp::now())).await?;
                if news {
                    wake_all(&self.shared, &name);
                }
                return Ok(Next::After(SECRET));
            }
        };
        let snapshot = fleet.inventory.snapshot();
        let status = report::status(cluster, &snapshot, Timestamp::now());
        let ready = report::is_ready(&status);
        let changed = cluster.status.as_ref().map(|status| status.observed_generation) != cluster.metadata.generation;
        self.write(cluster, status).await?;
        if changed {
            // Templates, ranges, tenants: what a machine was refused for may be there now.
            wake_all(&self.shared, &name);
        }
        Ok(Next::After(if ready { ROTATION } else { SECRET }))
    }

    fn forget(&self, name: &ObjectRef<ProxmoxCluster>) {
        self.shared.fleets.remove(&name.name);
        wake_all(&self.shared, &name.name);
    }

    fn pause(&self, cluster: &ProxmoxCluster) {
        let name = cluster.name_any();
        if self.refuse(&name, Reason::new("ClusterPaused", format!("it is paused by its annotation {PAUSED}"))) {
            wake_all(&self.shared, &name);
        }
    }

    fn phase(cluster: &ProxmoxCluster) -> String {
        let conditions = cluster.status.iter().flat_map(|status| &status.conditions);
        let mut held = conditions.filter(|condition| condition.status == "True").map(|condition| &condition.type_);
        held.find(|kind| [READY, RECONCILING, STALLED].contains(&kind.as_str()))
            .map_or("Unknown", String::as_str)
            .to_owned()
    }
}

impl Kind for ProxmoxCluster {
    fn api(client: &Client, _: &Self) -> Api<Self> {
        Api::all(client.clone())
    }
}

impl ClusterReconciler {
    /// A reconciler of `ProxmoxCluster`s.
    pub fn new(shared: Arc<Shared>, metrics: &Metrics) -> Self {
        let metrics = metrics.clone();
        let observer = move |exchange: &Exchange<'_>| {
            let Exchange { method, route, outcome, took } = exchange;
            metrics.proxmox(method, route, outcome, *took);
        };
        Self { shared, observer: Arc::new(observer) }
    }

    /// Stops talking to the cluster; whether it is for another reason than before.
    fn refuse(&self, name: &str, reason: Reason) -> bool {
        let news = self.shared.fleets.get(name).err().as_ref() != Some(&reason);
        self.shared.fleets.refuse(name, reason);
        news
    }

    /// The fleet that runs with the cluster's settings; it is started when they are new.
    async fn connect(&self, cluster: &ProxmoxCluster) -> Result<Result<Arc<Fleet>, Problem>, Error> {
        let name = cluster.name_any();
        let secret_name = &cluster.spec.credentials.secret_ref.name;
        let namespace = &self.shared.operator_namespace;
        let secrets = Api::<Secret>::namespaced(self.shared.client.clone(), namespace);
        let Some(secret) = secrets.get_opt(secret_name).await? else {
            return Ok(Err(Problem::Wait(Reason::new(
                "DependencyNotFound",
                format!(
                    "spec.credentials.secretRef: there is no Secret {secret_name} in the namespace {namespace}; waiting until \
                     it is created"
                ),
            ))));
        };
        let fingerprint = settings::fingerprint(&cluster.spec, &secret);
        if let Some(fleet) = self.shared.fleets.current(&name, &fingerprint) {
            return Ok(Ok(fleet));
        }
        let sites = match settings::sites(&cluster.spec, &secret, &self.observer) {
            Ok(sites) => sites,
            Err(problem) => return Ok(Err(problem)),
        };
        Ok(match self.shared.fleets.start(&name, sites, fingerprint) {
            Ok(fleet) => {
                tracing::info!(cluster = name, "inventory starts");
                tokio::spawn(follow(self.shared.clone(), fleet.clone()));
                Ok(fleet)
            }
            Err(error) => Err(Problem::Stall(Reason::new("InvalidSpec", format!("spec.nodes: {error}")))),
        })
    }

    async fn write(
        &self,
        cluster: &ProxmoxCluster,
        status: crate::api::proxmox_cluster::ProxmoxClusterStatus,
    ) -> Result<(), Error> {
        let api = ProxmoxCluster::api(&self.shared.client, cluster);
        let after = ProxmoxCluster { status: Some(status), ..cluster.clone() };
        let written = match status::replace(&api, cluster, &after).await {
            Ok(written) => written,
            // It is read anew, for somebody wrote in between.
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let version = written.as_ref().unwrap_or(cluster).resource_version().unwrap_or_default();
        self.shared.clusters.wrote(&ObjectRef::from_obj(cluster), &version);
        Ok(())
    }
}

/// Wakes what is concerned by each change that the inventory sees, until it ends.
async fn follow(shared: Arc<Shared>, fleet: Arc<Fleet>) {
    let name = fleet.name.clone();
    let inventory = fleet.inventory.clone();
    // The fleet itself is not held: when it is replaced, its inventory ends, and with it this task.
    drop(fleet);
    let mut changes = inventory.subscribe();
    // What was seen before anybody listened.
    wake_all(&shared, &name);
    shared.clusters.wake(ObjectRef::new(&name));
    while let Some(event) = changes.next().await {
        match event {
            Event::Missed => wake_all(&shared, &name),
            Event::Changed(changes) => wake_concerned(&shared, &name, &inventory.snapshot(), &changes),
        }
        shared.clusters.wake(ObjectRef::new(&name));
    }
}

fn wake_concerned(shared: &Shared, cluster: &str, snapshot: &crate::proxmox::inventory::Snapshot, changes: &Changes) {
    let Changes { site, vms, tasks, nodes, state } = changes;
    // A clone is filed under its template's id: whoever waits for a task wakes, since there are few of them.
    let node_changed = *state || !nodes.is_empty();
    let of_site = |node: &str| snapshot.node(node).is_some_and(|node| node.site == *site);
    let concerned = shared.ledger.objects(cluster, |place| match place {
        // Room may have come free for those that wait for it.
        None => true,
        Some(place) => of_site(&place.node) && (node_changed || vms.contains(&place.vmid)),
    });
    for object in concerned {
        shared.machines.wake(object);
    }
    for object in shared.ledger.awaiting(cluster, |upid| tasks.iter().any(|task| task.as_str() == upid)) {
        shared.machines.wake(object);
    }
}

/// Wakes every machine of a cluster.
fn wake_all(shared: &Shared, cluster: &str) {
    wake(&shared.machines, shared.ledger.objects(cluster, |_| true));
}

fn wake(machines: &Waker<ProxmoxVM>, objects: Vec<ObjectRef<ProxmoxVM>>) {
    for object in objects {
        machines.wake(object);
    }
}
