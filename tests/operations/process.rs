//! The built program as a replica, and a control plane that it reaches over TLS and that can be stopped and started.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use cloudfaster::{
    api::{self, ProxmoxCluster, ProxmoxVM, conditions},
    simulator::{Scenario, Server, Simulator},
    standalone::{ControlPlane, Serving},
};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::{
    api::{
        coordination::v1::Lease,
        core::v1::{Namespace, Secret},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt,
    api::PostParams,
    runtime::{WatchStreamExt, watcher},
};
use parking_lot::Mutex;
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::support::{cluster, lab, small, start};

pub const LIMIT: Duration = Duration::from_secs(60);
/// How often a prober asks.
const PROBE: Duration = Duration::from_millis(50);

/// A control plane that the program reaches as it reaches any other, and a simulated Proxmox.
pub struct World {
    pub simulator: Simulator,
    pub proxmox: Server,
    directory: tempfile::TempDir,
    address: SocketAddr,
    running: Option<(ControlPlane, Serving)>,
}

impl World {
    /// Both run; nothing is applied.
    pub async fn bare(scenario: Scenario) -> Self {
        start();
        let simulator = Simulator::new(scenario);
        let proxmox = simulator.serve(lab::LISTEN).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let mut world = Self { simulator, proxmox, directory, address: lab::LISTEN, running: None };
        world.serve(api::crds()).await;
        world.address = world.running.as_ref().unwrap().1.address();
        world
    }

    /// The operator's namespace, a tenant's, the credentials and the cluster are there.
    pub async fn new(scenario: Scenario) -> Self {
        let world = Self::bare(scenario).await;
        let (client, params) = (world.client(), PostParams::default());
        let namespaces: Api<Namespace> = Api::all(client.clone());
        for (name, labels) in [("cloudfaster-system", json!({})), ("shop", json!({"cloudfaster.app/tenant": "true"}))] {
            let namespace = json!({"metadata": {"name": name, "labels": labels}});
            namespaces.create(&params, &serde_json::from_value(namespace).unwrap()).await.unwrap();
        }
        let secret = serde_json::from_value(lab::credentials(Scenario::TOKEN_SECRET)).unwrap();
        let secrets: Api<Secret> = Api::namespaced(client.clone(), "cloudfaster-system");
        secrets.create(&params, &secret).await.unwrap();
        let mut main = cluster(&world.simulator.nodes());
        main.spec.endpoints = vec![world.proxmox.url()];
        main.spec.tls = Some(serde_json::from_value(json!({"fingerprints": [world.proxmox.fingerprint()]})).unwrap());
        Api::<ProxmoxCluster>::all(client).create(&params, &main).await.unwrap();
        world
    }

    /// The control plane stops, as an API server does that is restarted.
    pub async fn stop(&mut self) {
        let (plane, serving) = self.running.take().expect("it runs");
        plane.close().await;
        serving.ended().await.unwrap();
    }

    /// It serves again, where it served before, with these kinds.
    pub async fn serve(&mut self, kinds: Vec<CustomResourceDefinition>) {
        let plane = ControlPlane::open(self.directory.path(), kinds, CancellationToken::new()).await.unwrap();
        let serving = plane.serve(self.directory.path(), self.address, &self.kubeconfig()).await.unwrap();
        self.running = Some((plane, serving));
    }

    /// A kubeconfig by which the control plane is reached at another address.
    pub fn kubeconfig_by(&self, address: SocketAddr) -> PathBuf {
        let text = std::fs::read_to_string(self.kubeconfig()).unwrap();
        let by = self.directory.path().join("kubeconfig-by");
        std::fs::write(&by, text.replace(&self.address.to_string(), &address.to_string())).unwrap();
        by
    }

    /// Where the control plane is reached.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.directory.path().join("kubeconfig")
    }

    pub fn client(&self) -> Client {
        Client::new(self.running.as_ref().expect("it runs").0.router(), "default")
    }

    pub fn machines(&self) -> Api<ProxmoxVM> {
        Api::namespaced(self.client(), "shop")
    }

    pub async fn machine(&self, name: &str) {
        self.machines().create(&PostParams::default(), &crate::support::machine(name, json!({}))).await.unwrap();
    }

    pub async fn until_ready(&self, name: &str) {
        let mut changes =
            watcher(self.machines(), watcher::Config::default()).default_backoff().applied_objects().boxed();
        let ready = async {
            while let Some(vm) = changes.try_next().await.unwrap() {
                if vm.name_any() == name && is_ready(&vm) {
                    return;
                }
            }
        };
        if timeout(LIMIT, ready).await.is_err() {
            panic!("{name} is not Ready in time: {:#?}", self.machines().get(name).await);
        }
    }

    pub fn lease(&self) -> Api<Lease> {
        Api::namespaced(self.client(), "cloudfaster-system")
    }

    /// Who leads, as it changes.
    pub fn leader(&self) -> watch::Receiver<Option<String>> {
        let (sender, receiver) = watch::channel(None);
        let mut changes = watcher(self.lease(), watcher::Config::default()).default_backoff().applied_objects().boxed();
        tokio::spawn(async move {
            while let Ok(Some(lease)) = changes.try_next().await {
                sender.send_replace(lease.spec.and_then(|spec| spec.holder_identity));
            }
        });
        receiver
    }

    /// The calls so far that change something in Proxmox.
    pub fn changes(&self) -> usize {
        self.simulator.requests().iter().filter(|request| request.method != "GET").count()
    }
}

pub fn is_ready(vm: &ProxmoxVM) -> bool {
    let conditions = vm.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().any(|condition| condition.type_ == conditions::READY && condition.status == "True")
}

/// Waits until somebody leads for whom it holds.
pub async fn until_leads(leader: &mut watch::Receiver<Option<String>>, is: impl Fn(&str) -> bool) -> String {
    let found = leader.wait_for(|leader| leader.as_deref().is_some_and(&is));
    let found = timeout(LIMIT, found).await.expect("somebody leads in time").unwrap();
    found.clone().unwrap()
}

/// A running `cloudfaster controller`.
pub struct Replica {
    pub child: Child,
    health: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
    /// Ends when all of it was read.
    reading: JoinHandle<()>,
}

/// Short times, so that a test does not wait for long.
pub const SHORT: [&str; 3] = ["--lease-duration=3s", "--lease-renew-deadline=2s", "--lease-retry-period=300ms"];
/// So long that nothing but giving back explains that another takes over.
pub const LONG: [&str; 3] = ["--lease-duration=600s", "--lease-renew-deadline=500s", "--lease-retry-period=200s"];

impl Replica {
    /// Starts one, and waits until it can be probed.
    pub async fn start(world: &World, arguments: &[&str]) -> Self {
        Self::reaching(&world.kubeconfig(), arguments).await
    }

    /// The same by a kubeconfig of its own.
    pub async fn reaching(kubeconfig: &Path, arguments: &[&str]) -> Self {
        let kubeconfig = kubeconfig.to_str().unwrap();
        Self::run(&[&["controller", "--kubeconfig", kubeconfig], arguments].concat()).await
    }

    /// Starts the program, which tells of its health.
    pub async fn run(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_cloudfaster"))
            .args(arguments)
            .args(["--health-listen", "127.0.0.1:0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let kept = log.clone();
        let (found, address) = tokio::sync::oneshot::channel();
        let reading = tokio::spawn(async move {
            let mut found = Some(found);
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some((_, address)) = line.split_once("health and metrics are served address=")
                    && let Some(found) = found.take()
                {
                    let _ = found.send(address.trim().parse().unwrap());
                }
                kept.lock().push(line);
            }
        });
        let health = timeout(LIMIT, address).await.expect("it says where it can be probed");
        let health = health.unwrap_or_else(|_| panic!("it ended: {:#?}", log.lock()));
        Self { child, health, log, reading }
    }

    /// What it logged.
    pub fn log(&self) -> String {
        self.log.lock().join("\n")
    }

    /// Status and text of one of its endpoints.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let response = reqwest::get(format!("http://{}{path}", self.health)).await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// Asks as a prober does, until it is answered so.
    pub async fn until(&self, path: &str, is: impl Fn(u16, &str) -> bool) -> String {
        let mut last = (0, String::new());
        let asking = async {
            loop {
                last = self.get(path).await;
                if is(last.0, &last.1) {
                    return last.1.clone();
                }
                sleep(PROBE).await;
            }
        };
        match timeout(LIMIT, asking).await {
            Ok(text) => text,
            Err(_) => panic!("{path} answers {last:?}\n{}", self.log()),
        }
    }

    pub async fn until_ready(&self) {
        self.until("/readyz", |status, _| status == 200).await;
    }

    pub fn signal(&self, name: &str) {
        let sent = std::process::Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Waits until it has ended, and all that it logged is there.
    pub async fn ended(&mut self) -> ExitStatus {
        let ended = async {
            let status = self.child.wait().await.unwrap();
            (&mut self.reading).await.unwrap();
            status
        };
        timeout(LIMIT, ended).await.unwrap_or_else(|_| panic!("it goes on\n{}", self.log.lock().join("\n")))
    }
}

/// A scenario whose clones take a while.
pub fn slow(nodes: u32) -> Scenario {
    let mut scenario = small(nodes);
    scenario.clone_mib_per_second = 5;
    scenario
}
