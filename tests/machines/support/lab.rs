//! Everything in one process: the control plane, the simulated Proxmox over HTTPS, and the controllers.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use cloudfaster::{
    api::{self, ProxmoxCluster, ProxmoxVM},
    proxmox::client as proxmox,
    simulator::{RequestRecord, Scenario, Server, Simulator, VmView, VolumeView},
    standalone::{ControlPlane, Serving},
};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::{
    api::{
        core::v1::{Namespace, Secret},
        events::v1::Event,
    },
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt, watcher},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    controller::Controller,
    crash::{Crash, Gate},
    logs, manifests,
};

/// How long anything may take before a test gives up.
pub const LIMIT: Duration = Duration::from_secs(150);
pub const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

type Seen<K> = BTreeMap<String, K>;

/// The laboratory.
pub struct Lab {
    pub simulator: Simulator,
    pub client: Client,
    pub proxmox: Server,
    plane: ControlPlane,
    machines: watch::Receiver<Seen<ProxmoxVM>>,
    clusters: watch::Receiver<Seen<ProxmoxCluster>>,
    before: (Vec<VmView>, Vec<VolumeView>),
    controllers: Vec<(Controller, Arc<Gate>)>,
    _shutdown: DropGuard,
}

impl Lab {
    /// A control plane with the namespaces and the credentials, and a simulated Proxmox; no controller runs yet.
    pub async fn bare(scenario: Scenario) -> Self {
        super::start();
        let shutdown = CancellationToken::new();
        let simulator = Simulator::new(scenario);
        let proxmox = simulator.serve(LISTEN).await.unwrap();
        let plane = ControlPlane::in_memory(api::crds(), shutdown.clone()).await.unwrap();
        let client = Client::new(plane.router(), "default");
        let lab = Self {
            machines: follow(Api::all(client.clone())),
            clusters: follow(Api::all(client.clone())),
            before: (simulator.vms(), simulator.volumes()),
            controllers: Vec::new(),
            _shutdown: shutdown.drop_guard(),
            simulator,
            client,
            proxmox,
            plane,
        };
        lab.create::<Namespace>(json!({"metadata": {"name": "cloudfaster-system"}})).await;
        let tenant = json!({"metadata": {"name": "shop", "labels": {"cloudfaster.app/tenant": "true"}}});
        lab.create::<Namespace>(tenant).await;
        lab
    }

    /// The same with its cluster and a controller.
    pub async fn new(scenario: Scenario) -> Self {
        let mut lab = Self::bare(scenario).await;
        lab.connect().await;
        lab.start();
        lab
    }

    /// Applies the credentials and the cluster.
    pub async fn connect(&self) {
        self.create_in::<Secret>("cloudfaster-system", credentials(Scenario::TOKEN_SECRET)).await;
        let cluster = self.cluster_object();
        self.clusters().create(&PostParams::default(), &cluster).await.unwrap();
    }

    /// The cluster object that fits the simulated one.
    pub fn cluster_object(&self) -> ProxmoxCluster {
        let mut cluster = manifests::cluster(&self.simulator.nodes());
        self.point(&mut cluster);
        cluster
    }

    /// Where the simulated one happens to be, and the certificate that it made.
    pub fn point(&self, cluster: &mut ProxmoxCluster) {
        cluster.spec.endpoints = vec![self.proxmox.url()];
        cluster.spec.tls = Some(serde_json::from_value(json!({"fingerprints": [self.proxmox.fingerprint()]})).unwrap());
    }

    /// A client of the simulated Proxmox, for what others do there.
    pub fn proxmox_client(&self) -> proxmox::Client {
        proxmox::Client::new(proxmox::Settings {
            endpoints: vec![self.proxmox.url().parse().unwrap()],
            credentials: proxmox::Credentials::Token {
                id: Scenario::TOKEN_ID.to_owned(),
                secret: proxmox::SecretString::from(Scenario::TOKEN_SECRET.to_owned()),
            },
            trust: proxmox::Trust::Fingerprints(vec![self.proxmox.fingerprint().parse().unwrap()]),
            timeouts: proxmox::Timeouts::default(),
        })
        .unwrap()
    }

    /// Serves the control plane to other processes, with a kubeconfig for them in this folder.
    pub async fn serve(&self, folder: &Path) -> (Serving, PathBuf) {
        let kubeconfig = folder.join("kubeconfig");
        let serving = self.plane.serve(folder, LISTEN, &kubeconfig).await.unwrap();
        (serving, kubeconfig)
    }

    pub fn machines(&self) -> Api<ProxmoxVM> {
        Api::namespaced(self.client.clone(), "shop")
    }

    pub fn clusters(&self) -> Api<ProxmoxCluster> {
        Api::all(self.client.clone())
    }

    /// Starts a controller, beside those that run.
    pub fn start(&mut self) {
        self.start_until(None);
    }

    /// Starts a controller that is stopped at a moment.
    pub fn start_until(&mut self, crash: Option<Crash>) {
        let gate = Arc::new(Gate::new(self.simulator.clone(), crash));
        self.controllers.push((Controller::start(self.plane.router(), gate.clone()), gate));
    }

    /// `kill -9` to all controllers.
    pub fn kill(&mut self) {
        self.controllers.clear();
    }

    /// Waits for the crash that was ordered, and kills the controller there; or for `through`, and tells that it did not
    /// come to the crash.
    pub async fn crash(&mut self, what: &str, through: impl Fn(&Self) -> bool) -> bool {
        let gate = self.controllers.last().expect("a controller runs").1.clone();
        let crashed = tokio::select! {
            () = gate.closed() => true,
            () = self.until(what, through) => gate.is_closed(),
        };
        drop(gate);
        if crashed {
            self.kill();
        }
        crashed
    }

    pub async fn create<K>(&self, object: Value)
    where
        K: Resource<DynamicType = ()> + Serialize + DeserializeOwned + Clone + std::fmt::Debug,
    {
        let object: K = serde_json::from_value(object).unwrap();
        Api::<K>::all(self.client.clone()).create(&PostParams::default(), &object).await.unwrap();
    }

    pub async fn create_in<K>(&self, namespace: &str, object: Value)
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + Serialize
            + DeserializeOwned
            + Clone
            + std::fmt::Debug,
    {
        let object: K = serde_json::from_value(object).unwrap();
        Api::<K>::namespaced(self.client.clone(), namespace).create(&PostParams::default(), &object).await.unwrap();
    }

    /// Applies a machine.
    pub async fn machine(&self, name: &str, spec: Value) {
        self.machines().create(&PostParams::default(), &manifests::machine(name, spec)).await.unwrap();
    }

    pub async fn patch_cluster(&self, patch: Value) {
        self.clusters().patch("main", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// Patches a machine, and waits until the watch shows it.
    pub async fn patch(&self, name: &str, patch: Value) {
        let patched = self.machines().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
        let version = |vm: &ProxmoxVM| vm.resource_version().and_then(|version| version.parse::<u64>().ok());
        let wanted = version(&patched);
        self.until("the patch is seen", |lab| lab.get(name).is_some_and(|vm| version(&vm) >= wanted)).await;
    }

    /// Changes the spec of a machine, and waits until it is Ready with it.
    pub async fn change(&self, name: &str, spec: Value) {
        self.patch(name, json!({"spec": spec})).await;
        self.until_ready(&[name]).await;
    }

    /// Takes the whole status away, as a restore from a backup does.
    pub async fn wipe(&self, name: &str) {
        loop {
            let vm = self.machines().get(name).await.unwrap();
            let wiped = ProxmoxVM { status: None, ..vm };
            match self.machines().replace_status(name, &PostParams::default(), &wiped).await {
                Err(kube::Error::Api(status)) if status.is_conflict() => {}
                written => return drop(written.unwrap()),
            }
        }
    }

    /// The machine of an object, as the simulated cluster has it.
    pub fn vm_of(&self, name: &str) -> Option<VmView> {
        let vmid = self.get(name)?.status?.vmid?;
        self.simulator.vm(u32::try_from(vmid).ok()?)
    }

    /// The events that concern a machine.
    pub async fn events(&self, name: &str) -> Vec<Told> {
        let api = Api::<Event>::namespaced(self.client.clone(), "shop");
        let events = api.list(&ListParams::default()).await.unwrap();
        let of = |event: &Event| event.regarding.as_ref().and_then(|it| it.name.as_deref()) == Some(name);
        let told = |event: Event| Told {
            warning: event.type_.as_deref() == Some("Warning"),
            reason: event.reason.unwrap_or_default(),
            note: event.note.unwrap_or_default(),
        };
        events.into_iter().filter(of).map(told).collect()
    }

    /// How many tasks of a kind there were.
    pub fn tasks_of(&self, kind: &str) -> usize {
        self.simulator.tasks().iter().filter(|task| task.kind == kind).count()
    }

    pub async fn delete(&self, name: &str) {
        self.machines().delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// The machines as the watch shows them, by name.
    pub fn seen(&self) -> Seen<ProxmoxVM> {
        self.machines.borrow().clone()
    }

    pub fn get(&self, name: &str) -> Option<ProxmoxVM> {
        self.machines.borrow().get(name).cloned()
    }

    pub fn cluster(&self) -> Option<ProxmoxCluster> {
        self.clusters.borrow().get("main").cloned()
    }

    /// Waits until the objects and the simulated cluster are so.
    pub async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let (mut machines, mut clusters) = (self.machines.clone(), self.clusters.clone());
        let mut changed = self.simulator.changed();
        let waiting = async {
            while !holds(self) {
                tokio::select! {
                    _ = machines.changed() => {}
                    _ = clusters.changed() => {}
                    _ = changed.changed() => {}
                }
            }
        };
        if tokio::time::timeout(LIMIT, waiting).await.is_err() {
            panic!("in vain: {what}\n{}\nthe logs of all tests: {}", self.describe(), logs::write().display());
        }
    }

    pub async fn until_ready(&self, names: &[&str]) {
        self.until(&format!("{names:?} are Ready"), |lab| {
            names.iter().all(|name| lab.get(name).is_some_and(|vm| is_ready(&vm)))
        })
        .await;
    }

    pub async fn until_gone(&self, names: &[&str]) {
        self.until(&format!("{names:?} are gone"), |lab| names.iter().all(|name| lab.get(name).is_none())).await;
    }

    /// The machines that were made since the beginning.
    pub fn made(&self) -> Vec<VmView> {
        self.simulator.vms().into_iter().filter(|vm| self.before.0.iter().all(|old| old.vmid != vm.vmid)).collect()
    }

    /// The volumes that were made since the beginning.
    pub fn volumes_made(&self) -> Vec<VolumeView> {
        self.simulator.volumes().into_iter().filter(|volume| !self.before.1.contains(volume)).collect()
    }

    /// Nothing in Proxmox is other than in the beginning, and no task runs.
    pub fn assert_nothing_left(&self, when: &str) {
        let left = (self.simulator.vms(), self.simulator.volumes());
        let same = left == self.before && self.simulator.running_tasks().is_empty();
        assert!(same, "{when}: something is left\n{}", self.describe());
    }

    /// Each of these objects has exactly one machine, at the place that its status names, running, and there is no other
    /// machine and no volume that belongs to none.
    pub fn assert_exactly(&self, names: &[&str], when: &str) {
        let made = self.made();
        let mut expected: Vec<u32> = names
            .iter()
            .filter_map(|name| {
                let status = self.get(name)?.status?;
                let vmid = u32::try_from(status.vmid?).ok()?;
                let node = status.node?;
                made.iter()
                    .any(|vm| vm.vmid == vmid && vm.node == node && vm.name == **name && vm.running)
                    .then_some(vmid)
            })
            .collect();
        expected.sort_unstable();
        expected.dedup();
        let vmids: Vec<u32> = made.iter().map(|vm| vm.vmid).collect();
        let volumes = self.volumes_made();
        let disks = |name: &&str| self.get(name).and_then(|vm| vm.status).map_or(0, |status| status.disks.len());
        // One to boot from, one for cloud-init, and the others.
        let expected_volumes: usize = names.iter().map(|name| 2 + disks(name)).sum();
        let owned = |volume: &VolumeView| {
            made.iter().any(|vm| vm.vmid == volume.vmid && Some(&vm.node) == volume.node.as_ref())
        };
        let right = expected.len() == names.len()
            && vmids == expected
            && volumes.iter().all(owned)
            && volumes.len() == expected_volumes
            && self.simulator.running_tasks().is_empty();
        assert!(right, "{when}: not exactly one machine each\n{}", self.describe());
    }

    /// Everything that helps to understand a failure.
    pub fn describe(&self) -> String {
        let mut text = String::new();
        for (name, vm) in self.seen() {
            let _ = writeln!(
                text,
                "object {name}: finalizers {:?}, deleted {:?}",
                vm.finalizers(),
                vm.metadata.deletion_timestamp
            );
            let _ = writeln!(text, "  {}", serde_json::to_string(&vm.status).unwrap());
        }
        if let Some(cluster) = self.cluster() {
            let _ = writeln!(text, "cluster: {}", serde_json::to_string(&cluster.status).unwrap());
        }
        for vm in self.made() {
            let _ = writeln!(text, "VM {} {} on {}: running {} {:?}", vm.vmid, vm.name, vm.node, vm.running, vm.config);
        }
        for volume in self.volumes_made() {
            let _ = writeln!(text, "volume {} on {:?}: {}", volume.volid, volume.node, volume.size);
        }
        for task in self.simulator.tasks() {
            let _ = writeln!(text, "task {} {} on {}: {:?}", task.kind, task.id, task.node, task.status);
        }
        let telling = |request: &&RequestRecord| request.method != "GET" || request.status.is_none();
        for request in self.simulator.requests().iter().filter(telling) {
            let _ =
                writeln!(text, "request {} {} {} {:?}", request.number, request.method, request.path, request.status);
        }
        for (kind, count) in self.simulator.request_counts().iter().filter(|(kind, _)| kind.starts_with("GET")) {
            let _ = writeln!(text, "{count} × {kind}");
        }
        for (_, fault, hits) in self.simulator.faults() {
            let _ = writeln!(text, "fault {fault:?}: hit {hits} times");
        }
        text
    }
}

/// An event.
#[derive(Debug)]
pub struct Told {
    pub warning: bool,
    pub reason: String,
    pub note: String,
}

/// The Secret with the token.
pub fn credentials(secret: &str) -> Value {
    json!({
        "metadata": {"name": "proxmox", "namespace": "cloudfaster-system"},
        "stringData": {"tokenId": Scenario::TOKEN_ID, "tokenSecret": secret},
    })
}

/// What a watch shows of a kind, by name.
fn follow<K>(api: Api<K>) -> watch::Receiver<Seen<K>>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
{
    let (sender, receiver) = watch::channel(Seen::new());
    tokio::spawn(async move {
        let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
        while let Ok(Some(event)) = events.try_next().await {
            sender.send_modify(|seen| match event {
                watcher::Event::Apply(object) | watcher::Event::InitApply(object) => {
                    seen.insert(object.name_any(), object);
                }
                watcher::Event::Delete(object) => {
                    seen.remove(&object.name_any());
                }
                watcher::Event::Init | watcher::Event::InitDone => {}
            });
        }
    });
    receiver
}

/// Whether the object says, of its present generation, that it is Ready.
pub fn is_ready(vm: &ProxmoxVM) -> bool {
    vm.status.as_ref().is_some_and(|status| {
        Some(status.observed_generation) == vm.metadata.generation && holds(&status.conditions, api::conditions::READY)
    })
}

fn holds(conditions: &[Condition], kind: &str) -> bool {
    conditions.iter().any(|condition| condition.type_ == kind && condition.status == "True")
}

/// Reason and message of the condition `Ready`.
pub fn reason(conditions: &[Condition]) -> (String, String) {
    let ready = conditions.iter().find(|condition| condition.type_ == api::conditions::READY);
    ready.map(|ready| (ready.reason.clone(), ready.message.clone())).unwrap_or_default()
}
