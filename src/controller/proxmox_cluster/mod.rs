//! Reconciles `ProxmoxCluster`: keeps an inventory running for each, and reports what it sees.

mod nodes;
mod report;
mod rights;
mod settings;
mod spec;

pub use settings::connection;
pub use spec::fleet_of;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt, runtime::reflector::ObjectRef};

use super::{
    Shared, finalizer,
    fleet::Fleet,
    hold::{self, Holder},
    run::{Error, Kind, Next, Reconciler},
    secret::Problem,
    status,
};
use crate::{
    api::{
        PAUSED, ProxmoxCluster, ProxmoxVM,
        conditions::{self, Conditioned},
        proxmox_cluster::ProxmoxClusterStatus,
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

/// Reconciles `ProxmoxCluster`s.
pub struct ClusterReconciler {
    shared: Arc<Shared>,
    /// Told of each exchange with Proxmox.
    observer: Observer,
}

impl Reconciler for ClusterReconciler {
    type Kind = ProxmoxCluster;

    async fn reconcile(&self, cluster: &ProxmoxCluster) -> Result<Next, Error> {
        let deleting = cluster.metadata.deletion_timestamp.is_some();
        if deleting && !finalizer::is_held(cluster) {
            return Ok(Next::Event);
        }
        self.advance(cluster, deleting).await
    }

    fn forget(&self, name: &ObjectRef<ProxmoxCluster>) {
        self.shared.fleets.remove(&name.name);
        wake_all(&self.shared, &name.name);
    }

    fn pause(&self, cluster: &ProxmoxCluster) {
        let name = cluster.name_any();
        if self
            .shared
            .fleets
            .refuse(&name, Reason::new("ClusterPaused", format!("it is paused by its annotation {PAUSED}")))
        {
            wake_all(&self.shared, &name);
        }
    }

    fn phase(cluster: &ProxmoxCluster) -> String {
        conditions::verdict_of(cluster.conditions()).to_owned()
    }
}

impl Kind for ProxmoxCluster {
    fn api(client: &Client, _: &Self) -> Api<Self> {
        Api::all(client.clone())
    }
}

impl Holder for ProxmoxCluster {
    fn named(&self) -> Vec<String> {
        vec![self.spec.credentials.secret_ref.name.clone()]
    }

    fn held(&self) -> &[String] {
        self.status.as_ref().map_or(&[], |status| &status.held_secrets)
    }

    fn set_held(&mut self, names: Vec<String>) {
        self.status.get_or_insert_with(report::unobserved).held_secrets = names;
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

    async fn advance(&self, cluster: &ProxmoxCluster, deleting: bool) -> Result<Next, Error> {
        let name = cluster.name_any();
        let users = if deleting { self.users(&name).await? } else { Vec::new() };
        if deleting && users.is_empty() && self.let_go(cluster).await? {
            return Ok(Next::Event);
        }
        let held = finalizer::hold(&self.clusters(), cluster).await?;
        let cluster = held.as_ref().unwrap_or(cluster);
        let secret = self.secret(cluster).await?;
        let cluster = &match &secret {
            Ok(secret) => {
                let Shared { client, operator_namespace, leaving, .. } = &*self.shared;
                hold::hold_secrets(client, operator_namespace, leaving, cluster, &[secret]).await?
            }
            Err(_) => cluster.clone(),
        };
        let fleet = match secret.and_then(|secret| self.connect(cluster, &secret)) {
            Ok(fleet) => fleet,
            Err(problem) => {
                let news = self.shared.fleets.refuse(&name, problem.reason());
                self.write(cluster, report::refused(cluster, &problem, &users, Timestamp::now())).await?;
                if news {
                    wake_all(&self.shared, &name);
                }
                return Ok(Next::After(SECRET));
            }
        };
        let missing = rights::missing(&fleet, &cluster.spec).await;
        let snapshot = fleet.inventory.snapshot();
        let seen = report::Seen { snapshot: &snapshot, missing: &missing, account: &fleet.account, users: &users };
        let status = report::status(cluster, &seen, Timestamp::now());
        let ready = report::is_ready(&status);
        let changed = cluster.status.as_ref().map(|status| status.observed_generation) != cluster.metadata.generation;
        self.write(cluster, status).await?;
        if changed {
            // Templates, ranges, tenants: what a machine was refused for may be there now.
            wake_all(&self.shared, &name);
        }
        Ok(Next::After(if ready { ROTATION } else { SECRET }))
    }

    /// Nobody uses the cluster any more: it can go, and its Secret with it. Whether it went: a machine may have been placed
    /// on it just now.
    async fn let_go(&self, cluster: &ProxmoxCluster) -> Result<bool, Error> {
        let _turn = self.shared.leaving.turn().await;
        let name = cluster.name_any();
        let placed = || !self.shared.ledger.objects(&name, |place| place.is_some()).is_empty();
        if placed() {
            return Ok(false);
        }
        self.shared.fleets.refuse(&name, Reason::new("ClusterDeleting", "it is being deleted"));
        if placed() || !self.users(&name).await?.is_empty() {
            return Ok(false);
        }
        let Shared { client, operator_namespace, .. } = &*self.shared;
        hold::release_secrets(client, operator_namespace, cluster, cluster.held()).await?;
        finalizer::release(&self.clusters(), cluster).await?;
        Ok(true)
    }

    fn clusters(&self) -> Api<ProxmoxCluster> {
        Api::all(self.shared.client.clone())
    }

    /// The machines that hold a cluster.
    async fn users(&self, name: &str) -> Result<Vec<String>, kube::Error> {
        hold::users(&self.shared.client, |vm: &ProxmoxVM| vm.spec.cluster_ref.name == name).await
    }

    /// The Secret with the credentials.
    async fn secret(&self, cluster: &ProxmoxCluster) -> Result<Result<Secret, Problem>, Error> {
        let name = &cluster.spec.credentials.secret_ref.name;
        let namespace = &self.shared.operator_namespace;
        let secret = Api::<Secret>::namespaced(self.shared.client.clone(), namespace).get_opt(name).await?;
        Ok(secret.ok_or_else(|| {
            Problem::Wait(Reason::new(
                "DependencyNotFound",
                format!(
                    "spec.credentials.secretRef: there is no Secret {name} in the namespace {namespace}; waiting until it is \
                     created"
                ),
            ))
        }))
    }

    /// The fleet that runs with the cluster's settings; it is started when they are new.
    fn connect(&self, cluster: &ProxmoxCluster, secret: &Secret) -> Result<Arc<Fleet>, Problem> {
        let name = cluster.name_any();
        if let Some(fleet) = self.shared.fleets.current(&name, &settings::fingerprint(&cluster.spec, secret)) {
            return Ok(fleet);
        }
        let connection = settings::connection(&cluster.spec, secret, &self.observer)?;
        let fleet = self
            .shared
            .fleets
            .start(&name, connection)
            .map_err(|error| Problem::Stall(Reason::new("InvalidSpec", format!("spec.nodes: {error}"))))?;
        tracing::info!(cluster = name, "inventory starts");
        tokio::spawn(follow(self.shared.clone(), fleet.clone()));
        Ok(fleet)
    }

    async fn write(&self, cluster: &ProxmoxCluster, status: ProxmoxClusterStatus) -> Result<(), Error> {
        let after = ProxmoxCluster { status: Some(status), ..cluster.clone() };
        status::report(&self.clusters(), &self.shared.clusters, cluster, &after).await?;
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
    let Changes { site, vms, tasks, nodes, state, marks: _ } = changes;
    // A clone is filed under its template's id: whoever waits for a task wakes, since there are few of them.
    let node_changed = *state || !nodes.is_empty();
    let of_site = |node: &str| snapshot.node(node).is_some_and(|node| node.site == *site);
    let concerned = shared.ledger.objects(cluster, |place| match place {
        // Room may have come free for those that wait for it, and those that search know all marks now.
        None => true,
        Some(place) => of_site(&place.node) && (node_changed || vms.contains(&place.vmid)),
    });
    shared.machines.wake_all(concerned);
    if tasks.iter().any(|task| task.kind() == "qmclone") {
        shared.machines.wake_all(shared.ledger.next_turns(cluster));
    }
    shared.machines.wake_all(shared.ledger.awaiting(cluster, |upid| tasks.iter().any(|task| task.as_str() == upid)));
}

/// Wakes every machine of a cluster.
fn wake_all(shared: &Shared, cluster: &str) {
    shared.machines.wake_all(shared.ledger.objects(cluster, |_| true));
}
